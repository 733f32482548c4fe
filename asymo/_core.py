"""The door to the C core: the only importer of the compiled module `asymo._asymo`, and mypy's one zone of Any.

Importing it compares versions and selects the instruction set (knob ASYMO_ISA, else the best one of this CPU). Failures of C become
the exceptions of asymo.errors in `check`. Buffers cross by address: `Slots` is the table of addresses that a program runs on, and
`ffi.from_buffer` fills it (0.2 us; `array.ctypes.data` and `__array_interface__` take 1.1 us).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from asymo import __version__, errors, knobs
from asymo._asymo import ffi, lib  # type: ignore[import-not-found]
from asymo.record import NamedTuple

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Self

    Floats = npt.NDArray[np.float32]


def _text(pointer: Any) -> str:
    return str(ffi.string(pointer).decode())


VERSION = _text(lib.asymo_version())

if __version__ != VERSION:
    raise ImportError(
        f"the compiled core is version {VERSION}, the Python package is {__version__}: "
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


def isas_here() -> tuple[str, ...]:
    """Instruction sets whose kernels the core that runs this thread can run: tried, not asked. Pin the thread first."""
    return tuple(_text(lib.asymo_isa_name(i)) for i in range(lib.asymo_isa_count()) if lib.asymo_isa_runs_here(i))


def core_kind_here() -> str:
    """What CPUID says of the core that runs this thread (Intel hybrid): "cpu_core" or "cpu_atom", else ""."""
    return {0x40: "cpu_core", 0x20: "cpu_atom"}.get(lib.asymo_hybrid_kind(), "")


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


HUGE_PAGE, BLOCK_BYTES = 2 << 20, 8 << 20


class _Weights:
    """Cuts the weights of all sessions out of blocks. NumPy asks for huge pages for arrays of 4 MiB and more; touching a page for the
    first time is most of what packing small weights costs (a 4 KiB page 3 us, its part of a huge one 0.4 us: Zen 4, virtual machine,
    2026-11-22). A block goes when the last array in it does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._block, self._used = np.empty(0, np.uint8), 0

    def empty(self, n: int) -> Floats:
        """n uninitialised fp32 values at a multiple of 64 bytes."""
        size = -(-4 * n // 64) * 64
        if size > BLOCK_BYTES // 2:
            return aligned_empty(4 * n, HUGE_PAGE).view(np.float32)
        with self._lock:
            if self._used + size > self._block.nbytes:
                self._block, self._used = aligned_empty(BLOCK_BYTES, HUGE_PAGE), 0
            begin, self._used = self._used, self._used + size
            return self._block[begin : begin + 4 * n].view(np.float32)


weights = _Weights()


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


class Worker(NamedTuple):
    """A worker of a pool.

    cpu: where it is pinned, -1: anywhere. type: its core type, 0 the fastest. group: workers next to each other with the same group (cores
    on one L2) share an interval of a step, -1: alone. in_order: runs the kernels for in-order cores. slowdown: this many times slower than
    it is, to emulate unequal cores (1 to 64)."""

    cpu: int = -1
    type: int = 0
    group: int = -1
    in_order: bool = False
    slowdown: float = 1.0


class WorkerStats(NamedTuple):
    """What a worker has done since its pool was made or its counters were reset.

    busy_ns: from its first look at a step to its last; wait_ns: the rest of the time in which programs ran. claims, steals_*: chunks, by
    whom they were taken from. rescues: chunks of late workers that it computed again."""

    busy_ns: int
    wait_ns: int
    steps: int
    units: int
    claims: int
    steals_same: int
    steals_from_faster: int
    steals_from_slower: int
    rescues: int


class Pool(_Owner):
    """Pinned worker threads. Worker 0 is the thread that calls Program.run.

    workers: in the order of their types; an int stands for Worker(cpu).
    spin_ns: how long a waiting worker spins before it sleeps (None: the knob ASYMO_SPIN_US, else 50 us; 0: sleeps at once).
    policy: who gets which units (None: the knob ASYMO_SCHED).
    Several threads may run programs on one pool: they queue. Not usable in a forked child (ForkedError)."""

    def __init__(self, workers: Sequence[Worker | int], spin_ns: int | None = None, policy: str | None = None) -> None:
        self.configs = tuple(w if isinstance(w, Worker) else Worker(w) for w in workers)
        out = ffi.new("asymo_pool **")
        check(lib.asymo_pool_create([tuple(w) for w in self.configs], len(workers), out))
        self._own(out[0], lib.asymo_pool_destroy)
        self.workers: int = len(workers)
        if spin_ns is None and (spin_us := knobs.SPIN_US.get()) is not None:
            spin_ns = 1000 * spin_us
        if spin_ns is not None:
            self.set_spin(spin_ns)
        self.set_policy(policy or knobs.SCHED.get() or "guided")

    def set_spin(self, spin_ns: int) -> None:
        """How long a waiting worker spins before it sleeps."""
        check(lib.asymo_pool_set_spin(self._open(), spin_ns))

    def set_policy(self, policy: str) -> None:
        """Who gets which units: one of the choices of the knob ASYMO_SCHED."""
        check(lib.asymo_pool_set_policy(self._open(), constant("POLICY_" + policy.upper())))

    def placement(self) -> list[int]:
        """The CPU each worker is pinned to, -1 where it is not pinned (nobody asked, or the kernel refused)."""
        cpus = ffi.new("int32_t[]", self.workers)
        check(lib.asymo_pool_placement(self._open(), cpus))
        return list(cpus)

    def stats(self) -> list[WorkerStats]:
        """What each worker has done; a run that is under way counts in part."""
        stats = ffi.new("asymo_worker_stats[]", self.workers)
        check(lib.asymo_pool_stats(self._open(), stats))
        return [WorkerStats(*(getattr(s, name) for name in WorkerStats._fields)) for s in stats]

    def reset_stats(self) -> None:
        """Sets all counters to 0. Waits for a run that is under way."""
        check(lib.asymo_pool_reset_stats(self._open()))


class Sharing(Protocol):
    """How a step's units are shared; asymo.plan.plan.Sharing is one. Entries are per core type; missing ones are 0.

    cores: how many workers of each type take part, () for worker 0 alone. chunk: units of a type's smallest claim. unit_ns: predicted
    time of a unit. spin_ns: how long workers spin after the step, -1: as long as the pool has it."""

    @property
    def cores(self) -> Sequence[int]: ...
    @property
    def chunk(self) -> Sequence[int]: ...
    @property
    def unit_ns(self) -> Sequence[float]: ...
    @property
    def spin_ns(self) -> int: ...


class Program(_Owner):
    """A flat array of steps in C, built by `add` and run by `run`. n_steps: room for that many; workers: of the pool that will run it."""

    def __init__(self, n_steps: int, workers: int = 1) -> None:
        out = ffi.new("asymo_program **")
        check(lib.asymo_program_create(n_steps, workers, out))
        self._own(out[0], lib.asymo_program_destroy)
        self._n_steps, self._n_workers = 0, workers

    def __len__(self) -> int:
        return self._n_steps

    def add(
        self,
        kind: str,
        args: Mapping[str, Any],
        refs: Sequence[tuple[int, int]],
        sharing: Sharing | None = None,
        horizon: int = 0,
        serial: bool = False,
        chunk: int = 1,
    ) -> int:
        """Appends a step and returns its index. args: the fields of asymo_<kind>_args (int, float, tuple; 0 where left out).

        refs: (slot, offset_bytes) of every operand, slot -1 for an absent one. sharing None: worker 0 alone if serial, else all workers in
        claims of at least `chunk` units. horizon: the first later step that writes memory which this one reads or writes."""
        struct = step_args(kind, args)
        if sharing is None:
            shared: tuple[Any, ...] = ([] if serial else [_ALL] * MAX_TYPES, [chunk] * MAX_TYPES, [], -1, horizon)
        else:
            shared = (list(sharing.cores), list(sharing.chunk), list(sharing.unit_ns), sharing.spin_ns, horizon)
        check(lib.asymo_program_add(self._open(), step_kind(kind), struct, list(refs), len(refs), ffi.new("asymo_sharing *", shared)))
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

    def learned(self) -> npt.NDArray[np.float32]:
        """[steps][workers]: what a unit of a step has cost each worker, in some unit of time, smoothed over the runs; 0: nobody knows."""
        costs = np.zeros((self._n_steps, self._n_workers), np.float32)
        if costs.size:
            lib.asymo_program_learned(self._open(), ffi.from_buffer("float[]", costs))
        return costs


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


MAX_TYPES = 4
"""Core types that a pool can tell apart."""

_ALL = 1 << 30


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


# ---- the scheduler's rules ----------------------------------------------------------------------------------------------

Share = Any
"""A C struct asymo_share: what the rules know of a worker in a loop."""


def shares(workers: Sequence[tuple[int, int, int, float, float]]) -> Any:
    """An array of asymo_share from (type, group, chunk, cost, usual) of each worker."""
    array = ffi.new("asymo_share[]", len(workers))
    for share, worker in zip(array, workers, strict=True):
        share.type, share.group, share.chunk, share.cost, share.usual = worker
    return array


def sched_cut(policy: str, units: int, workers: Any) -> list[int]:
    """The ends of the intervals that a loop of units is cut into; fills the rest of `workers` (an array by `shares`)."""
    ends = ffi.new("int64_t[]", len(workers))
    n = lib.asymo_sched_cut(constant("POLICY_" + policy.upper()), units, workers, len(workers), ends)
    return list(ends[0:n])


def sched_part(policy: str, worker: Share, owner: Share, left: int, units: int) -> float:
    """Which part of the `left` units of owner's interval a worker takes at once, of a loop of `units`."""
    return float(lib.asymo_sched_part(constant("POLICY_" + policy.upper()), worker, owner, left, units))


def sched_take(interval: tuple[int, int], steals: bool, part: float, least: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(what is left of an interval, the chunk): a claim from its front, or a steal from its back."""
    chunk = ffi.new("asymo_chunk *")
    rule = lib.asymo_sched_steal if steals else lib.asymo_sched_claim
    word = rule(lib.asymo_sched_range(0, *interval), part, least, chunk)
    return (word & 0xFFFFFF, word >> 24 & 0xFFFFFF), (chunk.begin, chunk.end)


def sched_steals(policy: str) -> bool:
    """Whether workers take from intervals of others."""
    return bool(lib.asymo_sched_steals(constant("POLICY_" + policy.upper())))


def sched_leaves(worker: Share, chunk: int, left: int) -> bool:
    """Whether a worker leaves a chunk to the faster ones when `left` units have not been taken (policy guided only)."""
    return bool(lib.asymo_sched_leaves(worker, chunk, left))


def sched_redoes(elapsed: float, usual: float, redo: float) -> bool:
    """Whether worker 0 computes again in `redo` what another has been computing for `elapsed` and should have ended after `usual`."""
    return bool(lib.asymo_sched_redoes(elapsed, usual, redo))


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


def geometry_of(isa: str) -> tuple[int, int]:
    """(mr, nr) of the GEMM layout of any instruction set, this CPU's or not; InvalidArgumentError when there is none of that name."""
    names = [_text(lib.asymo_isa_name(i)) for i in range(lib.asymo_isa_count())]
    rows = [lib.asymo_gemm_row_at(i) for i in range(lib.asymo_gemm_row_count())]
    found = [(row.mr, row.nr) for row in rows if names[row.isa] == isa and row.core == 0]
    if not found:
        raise errors.InvalidArgumentError(f"no instruction set is called {isa!r}; there are {', '.join(names)}")
    return found[0]


def gemm_packed_size(k: int, n: int) -> int:
    """Elements of B[k, n] packed."""
    return int(lib.asymo_gemm_packed_size(k, n))


def _factors(factor: npt.NDArray[np.float64] | None) -> Any:
    return ffi.NULL if factor is None else ffi.cast("double *", address(factor))


def gemm_pack(b: Floats, factor: npt.NDArray[np.float64] | None = None) -> Floats:
    """Packs B[k, n] (fp32, any strides) into panels for the instruction set in use. factor (n,), contiguous: what the columns are
    multiplied by, rounded once."""
    (k, n), (k_stride, n_stride) = b.shape, b.strides
    packed = weights.empty(gemm_packed_size(k, n))
    lib.asymo_gemm_pack(k, n, _floats(b), k_stride // 4, n_stride // 4, _factors(factor), _floats(packed))
    return packed


def winograd_pack(tile: int, w: Floats, factor: npt.NDArray[np.float64] | None = None) -> Floats:
    """Transforms and packs W[n, c, r, r] (fp32) for F(tile x tile, r x r), tile 2 or 4 and r 3 or tile 2 and r 5. factor (n,), contiguous:
    what the filters are multiplied by, rounded once."""
    n, c, kernel, _ = w.shape
    w = np.ascontiguousarray(w)
    packed = weights.empty(lib.asymo_winograd_packed_size(tile, kernel, c, n))
    lib.asymo_winograd_pack(tile, kernel, c, n, _floats(w), _factors(factor), _floats(packed))
    return packed


def rnn_pack(cell: int, r: Floats) -> Floats:
    """Packs one direction's recurrence weights R[gates * hidden, hidden] (fp32). cell: 0 RNN, 1 LSTM, 2 GRU."""
    hidden = r.shape[1]
    r = np.ascontiguousarray(r)
    packed = weights.empty(lib.asymo_rnn_packed_size(cell, hidden))
    lib.asymo_rnn_pack(cell, hidden, _floats(r), _floats(packed))
    return packed


def rnn_state_bytes(cell: int, batch: int, hidden: int) -> int:
    """Bytes of the scratch operand of an rnn step."""
    return int(lib.asymo_rnn_state_bytes(cell, batch, hidden))
