"""The door to the C core: the only importer of the compiled module `asymo._asymo`, and mypy's one zone of Any.

Importing it compares versions and selects the instruction set (knob ASYMO_ISA, else the best one of this CPU). Failures of C become
the exceptions of asymo.errors in `check`. Buffers cross by address: `Slots` is the table of addresses that a program runs on, and
`ffi.from_buffer` fills it (0.2 us; `array.ctypes.data` and `__array_interface__` take 1.1 us).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asymo import __version__, errors, knobs
from asymo._asymo import ffi, lib  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from typing_extensions import Self

Floats = npt.NDArray[np.float32]


def _text(pointer: Any) -> str:
    return str(ffi.string(pointer).decode())


if _text(lib.asymo_version()) != __version__:
    raise ImportError(
        f"the compiled core is version {_text(lib.asymo_version())}, the Python package is {__version__}: "
        "reinstall asymo, or in a checkout run `python setup.py build_ext --inplace`"
    )


def check(status: int) -> None:
    """Raises the exception of a C status other than ASYMO_OK, with the core's sentence."""
    if status:
        raise errors.BY_STATUS[status](_text(lib.asymo_last_error()))


# ---- instruction sets -----------------------------------------------------------------------------------------------


def isas() -> list[str]:
    """Instruction sets that this CPU has, worst first."""
    return [_text(lib.asymo_isa_name(i)) for i in range(lib.asymo_isa_count()) if lib.asymo_isa_is_supported(i)]


def isa_name() -> str:
    """The instruction set in use."""
    return _text(lib.asymo_isa_name(lib.asymo_isa_current()))


def select_isa(name: str) -> None:
    """Every kernel uses this instruction set from now on. Packed weights depend on it: a session must be made after the choice."""
    if name not in isas():
        raise errors.UnsupportedError(f"instruction set {name!r} is not one that this CPU has: {', '.join(isas())}")
    names = [_text(lib.asymo_isa_name(i)) for i in range(lib.asymo_isa_count())]
    check(lib.asymo_isa_select(names.index(name)))


select_isa(knobs.ISA.get() or isas()[-1])

# ---- buffers --------------------------------------------------------------------------------------------------------


def aligned_empty(n_bytes: int, alignment: int = 64) -> npt.NDArray[np.uint8]:
    """Uninitialised bytes that begin at a multiple of alignment (a power of two)."""
    block = np.empty(n_bytes + alignment, np.uint8)
    offset = -address(block) % alignment
    return block[offset : offset + n_bytes]


def aligned_floats(n: int) -> Floats:
    """n uninitialised fp32 values at a multiple of 64 bytes."""
    return aligned_empty(4 * n).view(np.float32)


def address(array: npt.NDArray[Any]) -> int:
    """Address of an array's first element, whatever its strides."""
    return int(array.__array_interface__["data"][0])


class Slots:
    """The table of base addresses that a program runs on. Entries hold their array alive until they are replaced."""

    def __init__(self, n: int) -> None:
        self.pointers: Any = ffi.new("void *[]", n)
        self._arrays: list[npt.NDArray[Any] | None] = [None] * n

    def __len__(self) -> int:
        return len(self._arrays)

    def __setitem__(self, slot: int, array: npt.NDArray[Any]) -> None:
        """array: C-contiguous, else BufferError or ValueError; it may be read-only when the program only reads it."""
        self.pointers[slot] = ffi.from_buffer(array)
        self._arrays[slot] = array

    def set_strided(self, slot: int, array: npt.NDArray[Any]) -> None:
        """Like slots[slot] = array for an array with any strides: the slot is the address of its first element."""
        self.pointers[slot] = ffi.cast("void *", address(array))
        self._arrays[slot] = array

    def clear(self, slot: int) -> None:
        """Forgets the slot's array."""
        self.pointers[slot] = ffi.NULL
        self._arrays[slot] = None


# ---- owners ---------------------------------------------------------------------------------------------------------


class _Owner:
    """A C object: destroyed by close(), at the end of a with block, or at the latest by the garbage collector."""

    _handle: Any

    def _own(self, handle: Any, destroy: Any) -> None:
        self._handle = ffi.gc(handle, destroy)

    def close(self) -> None:
        """Destroys the C object; a second call does nothing."""
        if self._handle is not None:
            ffi.release(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _open(self) -> Any:
        if self._handle is None:
            raise errors.InvalidArgumentError(f"this {type(self).__name__.lower()} is closed")
        return self._handle


class Pool(_Owner):
    """Pinned worker threads. Worker i runs on CPU cpus[i] (-1: anywhere); worker 0 is the thread that calls Program.run.

    spin_ns: how long a waiting worker spins before it sleeps (None: the knob ASYMO_SPIN_US, else 50 us; 0: sleeps at once).
    Several threads may run programs on one pool: they queue. Not usable in a forked child (ForkedError)."""

    def __init__(self, cpus: Sequence[int], spin_ns: int | None = None) -> None:
        out = ffi.new("asymo_pool **")
        check(lib.asymo_pool_create(list(cpus), len(cpus), out))
        self._own(out[0], lib.asymo_pool_destroy)
        self.workers: int = len(cpus)
        if spin_ns is None and (spin_us := knobs.SPIN_US.get()) is not None:
            spin_ns = 1000 * spin_us
        if spin_ns is not None:
            self.set_spin(spin_ns)

    def set_spin(self, spin_ns: int) -> None:
        """How long a waiting worker spins before it sleeps."""
        check(lib.asymo_pool_set_spin(self._open(), spin_ns))

    def placement(self) -> list[int]:
        """The CPU each worker is pinned to, -1 where it is not pinned (nobody asked, or the kernel refused)."""
        cpus = ffi.new("int32_t[]", self.workers)
        check(lib.asymo_pool_placement(self._open(), cpus))
        return list(cpus)


class Program(_Owner):
    """A flat array of steps in C, built by `add` and run by `run`. n_steps: room for that many."""

    def __init__(self, n_steps: int) -> None:
        out = ffi.new("asymo_program **")
        check(lib.asymo_program_create(n_steps, out))
        self._own(out[0], lib.asymo_program_destroy)
        self._n_steps = 0

    def __len__(self) -> int:
        return self._n_steps

    def add(
        self,
        kind: str,
        args: Mapping[str, Any],
        refs: Sequence[tuple[int, int]],
        serial: bool = False,
        min_chunk: int = 1,
    ) -> int:
        """Appends a step and returns its index. args: the fields of asymo_<kind>_args (int, float, tuple; 0 where left out).

        refs: (slot, offset_bytes) of every operand, slot -1 for an absent one. serial: the caller alone runs it and wakes nobody.
        min_chunk: units of the smallest claim."""
        struct = step_args(kind, args)
        check(lib.asymo_program_add(self._open(), step_kind(kind), struct, list(refs), len(refs), serial, min_chunk))
        self._n_steps += 1
        return self._n_steps - 1

    def run(self, pool: Pool, slots: Slots, first: int = 0, last: int | None = None, times_ns: npt.NDArray[np.int64] | None = None) -> None:
        """Runs steps [first, last), the GIL released. times_ns: [steps][workers][2], filled with begin and end of each worker in each
        step (0, 0 for a worker that had no part in it)."""
        times = ffi.NULL
        if times_ns is not None:
            if times_ns.dtype != np.int64 or times_ns.shape != (self._n_steps, pool.workers, 2):
                raise errors.InvalidArgumentError(f"times_ns must be int64 [{self._n_steps}][{pool.workers}][2]")
            times = ffi.from_buffer("int64_t[]", times_ns, require_writable=True)
        pointers = slots.pointers
        status = lib.asymo_program_run(
            self._open(), pool._open(), pointers, len(slots), first, self._n_steps if last is None else last, times
        )
        if status:
            check(status)


class Call:
    """A program bound to its pool and slots: the short way to run it again and again.

    The arrays of a call fill the slots from `first` on; everything before stays as it is in `slots`."""

    def __init__(self, program: Program, pool: Pool, slots: Slots, first: int) -> None:
        self._owners = (program, pool, slots)
        self._handles = (program._open(), pool._open(), slots.pointers, len(slots), 0, len(program), ffi.NULL)
        self._pointers = slots.pointers
        self._first = first

    def __call__(self, arrays: Sequence[npt.NDArray[Any]]) -> None:
        """Runs the program on C-contiguous arrays, which the caller keeps alive until this returns."""
        pointers, slot = self._pointers, self._first
        for array in arrays:
            pointers[slot] = _from_buffer(array)
            slot += 1
        status = _run(*self._handles)
        if status:
            check(status)


_from_buffer = ffi.from_buffer
_run = lib.asymo_program_run

# ---- step kinds -----------------------------------------------------------------------------------------------------


def step_kinds() -> list[str]:
    """Names of all step kinds, in the order of csrc/exec/steps.inc."""
    return [_text(lib.asymo_step_kind_name(i)) for i in range(lib.asymo_step_kind_count())]


_KINDS = {name: index for index, name in enumerate(step_kinds())}


def step_kind(kind: str) -> int:
    """Index of a step kind."""
    if kind not in _KINDS:
        raise errors.InvalidArgumentError(f"no step kind is called {kind!r}; there are {', '.join(_KINDS)}")
    return _KINDS[kind]


def step_args(kind: str, args: Mapping[str, Any]) -> Any:
    """The C struct asymo_<kind>_args with these fields; those left out are 0."""
    step_kind(kind)
    return ffi.new(f"asymo_{kind}_args *", dict(args))


def step_units(kind: str, args: Mapping[str, Any]) -> int:
    """Units of one phase of a step."""
    return int(lib.asymo_step_units(step_kind(kind), step_args(kind, args)))


def step_phases(kind: str, args: Mapping[str, Any]) -> int:
    """Phases of a step."""
    return int(lib.asymo_step_phases(step_kind(kind), step_args(kind, args)))


# ---- numbers --------------------------------------------------------------------------------------------------------


def constant(name: str) -> int:
    """An enumerator of csrc/asymo.h by its name without ASYMO_; AttributeError when there is none."""
    return int(getattr(lib, "ASYMO_" + name))


def eltwise_ops() -> dict[str, int]:
    """Instructions of the eltwise step by name."""
    return {_text(lib.asymo_eltwise_op_name(i)): i for i in range(lib.asymo_eltwise_op_count())}


def typed_ops() -> dict[str, int]:
    """Operations of the typed step by name."""
    return {_text(lib.asymo_typed_op_name(i)): i for i in range(lib.asymo_typed_op_count())}


def typed_is_supported(op: int, in_type: int, out_type: int) -> bool:
    """Whether the typed step computes an operation from one asymo_dtype to another."""
    return bool(lib.asymo_typed_is_supported(op, in_type, out_type))


# ---- packing --------------------------------------------------------------------------------------------------------


def _floats(array: Floats) -> Any:
    return ffi.cast("float *", address(array))


def gemm_geometry() -> tuple[int, int, int]:
    """(mr, nr, kr) of the GEMM layout of the instruction set in use."""
    sizes = [ffi.new("int64_t *") for _ in range(3)]
    lib.asymo_gemm_geometry(*sizes)
    return sizes[0][0], sizes[1][0], sizes[2][0]


def gemm_packed_size(k: int, n: int) -> int:
    """Elements of B[k, n] packed."""
    return int(lib.asymo_gemm_packed_size(k, n))


def gemm_pack(b: Floats) -> Floats:
    """Packs B[k, n] (fp32, any strides) into panels for the instruction set in use."""
    (k, n), (k_stride, n_stride) = b.shape, b.strides
    packed = aligned_floats(gemm_packed_size(k, n))
    lib.asymo_gemm_pack(k, n, _floats(b), k_stride // 4, n_stride // 4, _floats(packed))
    return packed


def winograd_pack(tile: int, w: Floats) -> Floats:
    """Transforms and packs W[n, c, 3, 3] (fp32) for F(tile x tile, 3x3), tile 2 or 4."""
    n, c = w.shape[:2]
    w = np.ascontiguousarray(w)
    packed = aligned_floats(lib.asymo_winograd_packed_size(tile, c, n))
    lib.asymo_winograd_pack(tile, c, n, _floats(w), _floats(packed))
    return packed


def rnn_pack(cell: int, r: Floats) -> Floats:
    """Packs one direction's recurrence weights R[gates * hidden, hidden] (fp32). cell: 0 RNN, 1 LSTM, 2 GRU."""
    hidden = r.shape[1]
    r = np.ascontiguousarray(r)
    packed = aligned_floats(lib.asymo_rnn_packed_size(cell, hidden))
    lib.asymo_rnn_pack(cell, hidden, _floats(r), _floats(packed))
    return packed


def rnn_state_bytes(cell: int, batch: int, hidden: int) -> int:
    """Bytes of the scratch operand of an rnn step."""
    return int(lib.asymo_rnn_state_bytes(cell, batch, hidden))
