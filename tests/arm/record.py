"""Records plans with their inputs and outputs in one file, which replay.c runs on another machine.

What is recorded: the examples of every operator, as they are and on floats of any bits, every instruction of the eltwise step on the
same, small products and convolutions that meet every tile, and whole models. Each runs here on the portable instruction set, whose
packed layout NEON shares, and on every other one of this machine; all must give the same bits. Every native segment becomes a case; host
steps between them do not.
The format stands above replay.c.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from _models import example_model, model, node  # noqa: E402

from asymo import _core, ops  # noqa: E402
from asymo._core import Pool  # noqa: E402
from asymo.graph.passes import fuse_separable  # noqa: E402
from asymo.plan.plan import Args, Plan, Port, Ref, Step  # noqa: E402
from asymo.runtime.session import InferenceSession, SessionOptions  # noqa: E402
from asymo.runtime.stage import Arena, Segment  # noqa: E402
from benchmarks.models.build import build as build_model  # noqa: E402

MODELS = ("mobilenet_v3_small", "shufflenet_v2_bn", "char_rnn_s1")
"""Whole models that are replayed in every way on every CPU model."""

QUICK_MODELS = (
    "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large_bn", "squeezenet11", "efficientnet_b0_bn",
    "efficientnet_lite0", "shufflenet_v2_bn", "char_rnn_s1", "char_rnn_s50", "mlp", "minilm_l6_dyn",
)  # fmt: skip
"""Whole models that are replayed once for each compiler: those of the fixed set that take seconds under qemu."""

Array = np.ndarray
Feeds = dict[str, Array]


@dataclass(frozen=True)
class Case:
    """One run of a plan."""

    name: str
    plan: Plan
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]


@dataclass
class Recording:
    """The cases, and how many segments had no step at all (constant results, graphs that only pass on)."""

    cases: list[Case] = field(default_factory=list)
    without_steps: int = 0

    def steps(self) -> Counter[str]:
        """Recorded steps by kind, those without any included."""
        counts = Counter(dict.fromkeys(_core.step_kinds(), 0))
        counts.update(step.kind for case in self.cases for step in case.plan.steps)
        return counts

    def digest(self) -> str:
        """SHA-256 over the bits of all outputs: what every instruction set, compiler and C library must give."""
        result = hashlib.sha256()
        for case in self.cases:
            for output in case.outputs:
                result.update(_canonical(output).tobytes())
        return result.hexdigest()

    def add(self, name: str, blob: bytes, feeds: Feeds) -> None:
        """Runs a model on every instruction set of this machine and keeps the portable one's plans. AssertionError when bits differ."""
        with _selected("portable"), _captured() as segments:
            expected = _session(blob).run(None, feeds)
        for isa in _others():
            with _selected(isa):
                _assert_same_bits(name, _session(blob).run(None, feeds), expected)
        cases = [
            Case(name if i == 0 else f"{name} segment {i}", *segment)
            for i, segment in enumerate(segment for segment in segments if segment[0].steps)
        ]
        self.without_steps += len(segments) - len(cases)
        self.cases += cases

    def add_plan(self, name: str, plan: Plan, inputs: tuple[Array, ...]) -> None:
        """Runs a plan without packed weights on every instruction set of this machine. AssertionError when bits differ."""
        with Pool([-1, -1]) as pool:
            segment = Segment(plan, pool, Arena())
            with _selected("portable"):
                outputs = tuple(segment(list(inputs)))
            for isa in _others():
                with _selected(isa):
                    _assert_same_bits(name, segment(list(inputs)), outputs)
        self.cases.append(Case(name, plan, inputs, outputs))


def _others() -> list[str]:
    return [isa for isa in _core.isas() if isa != "portable"]


def _assert_same_bits(name: str, got: Iterable[Any], expected: Iterable[Any]) -> None:
    for a, b in zip(got, expected, strict=True):
        if isinstance(a, Array):
            assert _canonical(a).tobytes() == _canonical(b).tobytes(), f"{name}: {_core.isa_name()} differs from portable"


def _session(blob: bytes) -> InferenceSession:
    return InferenceSession(blob, SessionOptions(intra_op_num_threads=2))


def _canonical(a: Array) -> Array:
    """`a` with one NaN for all: its sign and payload belong to the hardware."""
    return np.where(np.isnan(a), a.dtype.type(np.nan), a) if a.dtype.kind == "f" else a


@contextmanager
def _selected(isa: str) -> Iterator[None]:
    before = _core.isa_name()
    _core.select_isa(isa)
    try:
        yield
    finally:
        _core.select_isa(before)


Ran = tuple[Plan, tuple[Array, ...], tuple[Array, ...]]


@contextmanager
def _captured() -> Iterator[list[Ran]]:
    """Collects (plan, inputs, outputs) of every native segment that sessions run meanwhile."""
    ran: list[Ran] = []
    run = Segment.__call__

    def run_and_keep(self: Segment, inputs: list[Array]) -> list[Array]:
        outputs = run(self, inputs)
        ran.append((self.plan, tuple(a.copy() for a in inputs), tuple(a.copy() for a in outputs)))
        return outputs

    with mock.patch.object(Segment, "__call__", run_and_keep):
        yield ran


# ---- what is recorded


def bit_patterns(i: int, n: int) -> Array:
    """n floats spread over all 2^32 bit patterns: every exponent, both signs, NaN and infinities. Another sequence for every i."""
    multiplier = (2654435761, 2246822519, 3266489917)[i]
    bits = (np.arange(n, dtype=np.uint64) * multiplier).astype(np.uint32)
    bits[1:4] = np.array([0x80000000, 0x7F800000, 0xFF800000], np.uint32)[: max(n - 1, 0)]
    return np.roll(bits, 5 * i).view(np.float32)


def on_bit_patterns(example: ops.Example) -> ops.Example | None:
    """The example with bit patterns as its first input; None when that is a constant or not of fp32."""
    x = example.inputs[0] if example.inputs else None
    if x is None or 0 in example.constant or x.dtype != np.float32:
        return None
    wild = copy(example)
    wild.inputs = [bit_patterns(0, x.size).reshape(x.shape), *example.inputs[1:]]
    return wild


def record_operator(recording: Recording, name: str) -> None:
    """Every example of an operator, as it is and on bit patterns."""
    for index, example in enumerate(ops.registered()["", name].examples()):
        proto, feeds = example_model(name, example)
        recording.add(f"{name} {index}", proto.SerializeToString(), feeds)
        wild = on_bit_patterns(example)
        if wild is not None:
            proto, feeds = example_model(name, wild)
            recording.add(f"{name} {index} on bit patterns", proto.SerializeToString(), feeds)


def record_instructions(recording: Recording, n: int = 16411) -> None:
    """Every instruction of the eltwise step and every activation on bit patterns."""
    number = _core.eltwise_ops()
    codes = {name: (op, 0, 0) for name, op in number.items() if name not in ("load", "imm", "store", "act")}
    acts = [name for name in dir(_core.lib) if name.startswith("ASYMO_ACT_") and name not in ("ASYMO_ACT_NONE", "ASYMO_ACT_PRELU")]
    codes.update({name: (number["act"], getattr(_core.lib, name), 1) for name in acts})
    for name, (op, kind, is_act) in codes.items():
        arity = 1 if is_act else _core.lib.asymo_eltwise_op_arity(op)
        inputs = tuple(bit_patterns(i, n) for i in range(arity))
        code = [[number["load"], i, i, 0, 0] for i in range(arity)]
        code += [[op, 0, 0, kind, 0] if is_act else [op, 0, 0, 1, 2], [number["store"], 0, 0, 0, 0]]
        args: Args = {"rank": 1, "shape": (n,), "n_in": arity, "n_out": 1, "n_code": len(code), "unit_size": 1000}
        constants = (np.array(code, np.int32), np.array([0.3, 1.7], np.float32), np.ones((arity + 1, 1), np.int64))
        ports = tuple(Port(f"x{i}", x.dtype, x.shape) for i, x in enumerate(inputs))
        step = Step("eltwise", args, tuple(Ref(1 + i) for i in range(4 + arity)), name, name)
        recording.add_plan(f"{name} on bit patterns", Plan((step,), 0, constants, ports, (Port("y", inputs[0].dtype, (n,)),)), inputs)


def record_tiles(recording: Recording) -> None:
    """Products that meet every height of tile, odd depths and widths, with and without bias and activation."""
    random = np.random.default_rng(6)
    for m in range(1, 10):
        for k in (1, 2, 3, 4, 5, 6, 7, 31):
            for n in (1, 5, 8, 13, 24, 37):
                a, b, c = (random.standard_normal(s, np.float32) for s in ((m, k), (k, n), (n,)))
                nodes = [node("Gemm", ["a", "b", "c"], ["x"]), node("Relu", ["x"], ["y"])] if m % 2 else [node("MatMul", ["a", "b"], ["y"])]
                constants = {"b": b, "c": c} if m % 2 else {"b": b}
                recording.add(f"{m}x{k}x{n} product", model(nodes, {"a": a}, ["y"], constants).SerializeToString(), {"a": a})
    zeros, b = np.zeros((9, 8), np.float32), random.standard_normal((8, 9), np.float32)
    for low, high in ((-1.0, -0.0), (-1.0, 0.0), (-0.0, 1.0), (0.0, 1.0)):
        nodes = [node("MatMul", ["a", "b"], ["x"]), node("Clip", ["x", "low", "high"], ["y"])]
        constants = {"b": b, "low": np.float32(low), "high": np.float32(high)}
        recording.add(f"zeros within {low} and {high}", model(nodes, {"a": zeros}, ["y"], constants).SerializeToString(), {"a": zeros})


def record_convolutions(recording: Recording) -> None:
    """Convolution, residual, Relu: depthwise of the specialised kernels, dense ones of every Winograd form; odd channels and sizes."""
    random = np.random.default_rng(8)
    depthwise = [(c, c, c, k, stride, hw) for c in (5, 16, 19, 40) for k in (1, 3, 5, 7) for stride in (1, 2) for hw in ((1, 9), (11, 7))]
    dense = [(c, n, 1, 3, 1, hw) for c, n in ((16, 19), (17, 32), (33, 40), (64, 37)) for hw in ((4, 4), (6, 6), (7, 7), (17, 13))]
    dense += [(50, 70, 1, 5, 1, hw) for hw in ((6, 6), (11, 7))]
    forms = set()
    for c, n, group, k, stride, (h, w) in depthwise + dense:
        feeds = {"x": random.standard_normal((2, c, h, w), np.float32)}
        feeds["r"] = random.standard_normal((2, n, -(-h // stride), -(-w // stride)), np.float32)
        constants = {"w": random.standard_normal((n, c // group, k, k), np.float32), "b": random.standard_normal(n, np.float32)}
        nodes = [
            node("Conv", ["x", "w", "b"], ["s"], group=group, strides=[stride] * 2, pads=[k // 2] * 4),
            node("Add", ["s", "r"], ["t"]),
            node("Relu", ["t"], ["y"]),
        ]
        name = f"{c} to {n} channels {h}x{w}, group {group}, kernel {k}, stride {stride}"
        recording.add(name, model(nodes, feeds, ["y"], constants).SerializeToString(), feeds)
        forms |= {(step.args["tile"], step.args["kernel"]) for step in recording.cases[-1].plan.steps if step.kind == "winograd"}
    assert forms == {(2, (3, 3)), (4, (3, 3)), (2, (5, 5))}, f"the planner chose the Winograd forms {forms} only: record other shapes"


def separable(c: int, e: int, n: int, size: tuple[int, int]) -> tuple[bytes, Feeds]:
    """A model of a depthwise convolution with pointwise ones around it, and its input."""
    random = np.random.default_rng(9)
    shapes = {"a": (e, c, 1, 1), "w": (e, 1, 3, 3), "d": (e,), "b": (n, e, 1, 1)}
    constants = {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    feeds = {"x": random.standard_normal((2, c, *size), np.float32)}
    nodes = [
        node("Conv", ["x", "a"], ["s"]),
        node("Relu", ["s"], ["t"]),
        node("Conv", ["t", "w", "d"], ["u"], group=e, pads=[1] * 4),
        node("Sigmoid", ["u"], ["v"]),
        node("Conv", ["v", "b"], ["y"]),
    ]
    return model(nodes, feeds, ["y"], constants).SerializeToString(), feeds


def record_separable(recording: Recording) -> None:
    """Depthwise and pointwise convolutions in one step, however small."""
    with mock.patch.object(fuse_separable, "LEAST_BYTES", 0), mock.patch.object(fuse_separable, "MOST_FLOPS", np.inf):
        for c, e, n, size in ((3, 16, 8, (9, 11)), (7, 19, 5, (4, 6)), (16, 40, 24, (17, 13))):
            recording.add(f"{c} to {e} to {n} channels {size}, separable", *separable(c, e, n, size))
            assert "separable" in {step.kind for step in recording.cases[-1].plan.steps}


def record_model(recording: Recording, name: str) -> None:
    """A model of the benchmark set on random input."""
    random = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        blob = build_model(name, Path(folder)).read_bytes()
    feeds: Feeds = {}
    for port in _session(blob).get_inputs():
        shape = [d if isinstance(d, int) else {"batch": 1}.get(d, 8) for d in port.shape]
        is_float = port.type == "tensor(float)"
        feeds[port.name] = random.standard_normal(shape, np.float32) if is_float else random.integers(0, 2, shape)
    recording.add(name, blob, feeds)


def record_all() -> Recording:
    """Everything that `make arm` replays."""
    recording = Recording()
    for domain, name in sorted(ops.registered()):
        if domain == "":
            record_operator(recording, name)
    record_instructions(recording)
    record_tiles(recording)
    record_convolutions(recording)
    record_separable(recording)
    for name in MODELS:
        record_model(recording, name)
    return recording


def record_models() -> dict[str, Recording]:
    """The whole models of QUICK_MODELS by name."""
    found = {name: Recording() for name in QUICK_MODELS}
    for name, recording in found.items():
        record_model(recording, name)
    return found


# ---- the file


def layout(isa: str) -> set[tuple[int, int]]:
    """(nr, kr) of the packed layout of an instruction set, of this architecture or not."""
    rows = [_core.lib.asymo_gemm_row_at(i) for i in range(_core.lib.asymo_gemm_row_count())]
    return {(row.nr, row.kr) for row in rows if _core.ffi.string(_core.lib.asymo_isa_name(row.isa)).decode() == isa}


def write(cases: Iterable[Case], path: Path) -> None:
    """Writes the file that replay.c reads."""
    assert layout("portable") == layout("neon"), "portable and NEON pack weights in different ways: record on another instruction set"
    ((nr, kr),) = layout("portable")
    cases = list(cases)
    out = io.BytesIO()

    def ints(*values: int) -> None:
        out.write(np.array(values, "<i8").tobytes())

    def block(data: bytes) -> None:
        ints(len(data))
        out.write(data + bytes(-len(data) % 8))

    block(b"asymo-plans")
    ints(nr, kr, len(cases))
    for case in cases:
        plan = case.plan
        block(case.name.encode())
        ints(plan.arena_bytes, len(plan.steps), len(plan.constants), len(case.inputs), len(case.outputs))
        for step in plan.steps:
            block(step.kind.encode())
            ints(step.sharing.is_serial, len(step.operands))
            block(bytes(_core.ffi.buffer(_core.step_args(step.kind, step.args))))
            for ref in step.operands:
                ints(ref.slot, ref.offset_bytes)
        for array in (*plan.constants, *case.inputs):
            block(array.tobytes())
        for array in case.outputs:
            ints(array.itemsize, array.dtype.kind == "f" and array.itemsize in (4, 8))
            block(array.tobytes())
    path.write_bytes(out.getvalue())
