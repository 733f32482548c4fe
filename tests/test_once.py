"""What may be computed twice: a repeatable step writes its output once, with its final value (docs/scheduler.md).

Every step of the operators' examples, and GEMMs and convolutions with every activation, run over an output that already holds their
result, and every single store is looked at (_once.c): none may change a byte, not even until the next one.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from _models import example_model, model, node

from asymo import _core, ops
from asymo.graph.passes import fuse_separable
from asymo.plan.plan import Plan, Ref, Step
from asymo.runtime.session import InferenceSession, SessionOptions

sys.path.insert(0, str(Path(__file__).resolve().parent / "arm"))
sys.path.insert(0, str(Path(__file__).resolve().parent / "sched"))

import record
from _compile import compile_c

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="steps through x86-64 code")

ROOT = Path(__file__).resolve().parent.parent
ROWS = re.findall(r"^(ASYMO_STEP\w*)\((\w+)\)", (ROOT / "csrc/exec/steps.inc").read_text(), re.M)
REPEATABLE = {kind for row, kind in ROWS if row == "ASYMO_STEP"}
ACTIVATIONS = sorted(name.removeprefix("ASYMO_ACT_") for name in dir(_core.lib) if name.startswith("ASYMO_ACT_"))
OPERATORS = sorted(name for domain, name in ops.registered() if domain == "")
MOST_BYTES = 1 << 16
"""Examples with more memory than this are left out: a store takes microseconds here."""

Watched = Callable[[Sequence[np.ndarray], Callable[[], None]], tuple[int, int]]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """watched(arrays, run) -> stores into the arrays (whole pages) while run() runs, and how many of them changed something."""
    library = ctypes.CDLL(str(compile_c(tmp_path_factory.mktemp("once") / "once.so", ["tests/_once.c"], "-O2", "-shared", "-fPIC")))

    def watch(arrays: Sequence[np.ndarray], run: Callable[[], None]) -> tuple[int, int]:
        n, expected = len(arrays), [a.copy() for a in arrays]
        pointers = ctypes.c_void_p * n
        begin, before = pointers(*[a.ctypes.data for a in arrays]), pointers(*[a.ctypes.data for a in expected])
        result = (ctypes.c_int64 * 2)()
        assert library.once_watch(n, begin, before, (ctypes.c_int64 * n)(*[a.nbytes for a in arrays])) == 0
        try:
            run()
        finally:
            library.once_unwatch(result)
        return result[0], result[1]

    return watch


def pages(n_bytes: int) -> np.ndarray:
    return np.frombuffer(mmap.mmap(-1, -(-max(n_bytes, 1) // mmap.PAGESIZE) * mmap.PAGESIZE), np.uint8)


def examine(plan: Plan, inputs: Sequence[np.ndarray], watched: Watched) -> Iterator[tuple[Step, int, int]]:
    """(step, stores, stores that changed a byte) of the plan's steps, one after the other, but those that work in place."""
    slots, memory = _core.Slots(plan.slots), []
    arrays: list[np.ndarray] = [np.zeros(plan.arena_bytes, np.uint8), *plan.constants, *inputs]
    arrays += [np.empty(port.shape, port.dtype) for port in plan.outputs]
    for slot, array in enumerate(arrays):
        memory.append(pages(array.nbytes))
        memory[-1][: array.nbytes] = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        slots[slot] = memory[-1]
    with _core.Pool([-1]) as pool:
        for step in plan.steps:
            with _core.Program(1) as program:
                program.add(step.kind, step.args, [(ref.slot, ref.offset_bytes) for ref in step.operands])
                program.run(pool, slots)
                once = [m.copy() for m in memory]
                program.run(pool, slots)
                if all(np.array_equal(a, b) for a, b in zip(once, memory, strict=True)):
                    used = sorted({ref.slot for ref in step.operands if ref.slot >= 0})
                    yield step, *watched([memory[slot] for slot in used], lambda program=program: program.run(pool, slots))
                for m, a in zip(memory, once, strict=True):
                    m[...] = a


def plans_of(blob: bytes, feeds: Mapping[str, np.ndarray]) -> list[tuple[Plan, tuple[np.ndarray, ...]]]:
    """The plans that a run of the model makes, with their inputs."""
    with record._captured() as segments:
        InferenceSession(blob, SessionOptions(intra_op_num_threads=1)).run(None, dict(feeds))
    return [(plan, inputs) for plan, inputs, _ in segments]


def small(plan: Plan) -> bool:
    return plan.arena_bytes + sum(a.nbytes for a in plan.constants) <= MOST_BYTES


def with_activation(plan: Plan, act: str) -> Plan:
    """The plan with another activation behind its GEMMs and convolutions. slope: one constant more, so slots after it move up by one."""
    new = 1 + len(plan.constants)

    def moved(ref: Ref) -> Ref:
        return ref._replace(slot=ref.slot + 1) if ref.slot >= new else ref

    def changed(step: Step) -> Step:
        operands = tuple(moved(ref) for ref in step.operands)
        if "act" not in step.args:
            return step._replace(operands=operands)
        if step.kind == "separable":
            if act == "PRELU":
                return step._replace(operands=operands)
            several = {"act": (getattr(_core.lib, f"ASYMO_ACT_{act}"),) * 3, "p": (0.25,) * 3, "q": (0.75,) * 3}
            return step._replace(args={**step.args, **several}, operands=operands)
        args = {**step.args, "act": getattr(_core.lib, f"ASYMO_ACT_{act}"), "p": 0.25, "q": 0.75}
        return step._replace(args=args, operands=(*operands[:4], Ref(new), *operands[5:]))

    slope = np.linspace(-0.5, 0.5, 64, dtype=np.float32)
    return plan._replace(steps=tuple(changed(step) for step in plan.steps), constants=(*plan.constants, slope))


def products() -> dict[str, tuple[bytes, Mapping[str, np.ndarray]]]:
    """Models whose one step is a GEMM, a convolution, a depthwise or a Winograd one, none of a size that tiles divide."""
    random = np.random.default_rng(11)

    def conv(channels: int, n: int, group: int, side: int, kernel: int) -> tuple[bytes, Mapping[str, np.ndarray]]:
        x = random.standard_normal((1, side, side, channels), np.float32).transpose(0, 3, 1, 2)
        w, b = random.standard_normal((n, channels // group, kernel, kernel), np.float32), random.standard_normal(n, np.float32)
        nodes = [node("Conv", ["x", "w", "b"], ["y"], group=group, pads=[kernel // 2] * 4)]
        return model(nodes, {"x": x}, ["y"], {"w": w, "b": b}).SerializeToString(), {"x": np.ascontiguousarray(x)}

    a, b = random.standard_normal((17, 9), np.float32), random.standard_normal((9, 37), np.float32)
    row = random.standard_normal((1, 9), np.float32)
    return {
        "gemm": (model([node("MatMul", ["a", "b"], ["y"])], {"a": a}, ["y"], {"b": b}).SerializeToString(), {"a": a}),
        "gemm of one row": (model([node("MatMul", ["a", "b"], ["y"])], {"a": row}, ["y"], {"b": b}).SerializeToString(), {"a": row}),
        "conv": conv(5, 21, 1, 6, 5),
        "dwconv": conv(19, 19, 19, 6, 3),
        "winograd": conv(16, 19, 1, 6, 3),
        "winograd of 5x5": conv(48, 66, 1, 7, 5),
        "separable": record.separable(5, 19, 7, (6, 5)),
    }


PRODUCTS = products() if platform.machine() == "x86_64" else {}


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("name", PRODUCTS)
def test_activations(name: str, act: str, isa: str, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuse_separable, "LEAST_BYTES", 0)
    monkeypatch.setattr(fuse_separable, "MOST_FLOPS", np.inf)
    kinds = set()
    for plan, inputs in plans_of(*PRODUCTS[name]):
        for step, stores, revisions in examine(with_activation(plan, act), inputs, watched):
            assert stores > 0
            assert revisions == 0, f"{step.kind} with {act} on {isa}: {revisions} of {stores} stores were not of the final value"
            kinds.add(step.kind)
    assert name.split()[0] in kinds


def check_examples(examples: Iterable[ops.Example], operator: str, watched: Watched) -> None:
    for example in examples:
        proto, feeds = example_model(operator, example)
        for plan, inputs in plans_of(proto.SerializeToString(), feeds):
            for step, stores, revisions in examine(plan, inputs, watched) if small(plan) else ():
                if step.kind in REPEATABLE:
                    assert revisions == 0, f"{step.kind} on {_core.isa_name()}: {revisions} of {stores} stores were not of the final value"


def first_examples(operator: str) -> list[ops.Example]:
    return list(ops.registered()["", operator].examples())[:3]


@pytest.mark.parametrize("operator", OPERATORS)
def test_first_examples(operator: str, watched: Watched) -> None:
    check_examples(first_examples(operator), operator, watched)


@pytest.mark.slow
@pytest.mark.parametrize("operator", OPERATORS)
def test_examples(operator: str, isa: str, watched: Watched) -> None:
    check_examples(ops.registered()["", operator].examples(), operator, watched)


def test_every_repeatable_kind_is_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuse_separable, "LEAST_BYTES", 0)
    monkeypatch.setattr(fuse_separable, "MOST_FLOPS", np.inf)
    planned = [plan for product in PRODUCTS.values() for plan, _ in plans_of(*product)]
    for operator in OPERATORS:
        for example in first_examples(operator):
            proto, feeds = example_model(operator, example)
            planned += [plan for plan, _ in plans_of(proto.SerializeToString(), feeds) if small(plan)]
    assert {step.kind for plan in planned for step in plan.steps} >= REPEATABLE


def test_a_step_that_revises_is_noticed(watched: Watched) -> None:
    proto, feeds = example_model("LSTM", next(iter(ops.registered()["", "LSTM"].examples())))
    found = [
        (step.kind, revisions)
        for plan, inputs in plans_of(proto.SerializeToString(), feeds)
        for step, _, revisions in examine(plan, inputs, watched)
    ]
    assert any(kind == "rnn" and revisions > 0 for kind, revisions in found)


def test_one_wrong_store_is_noticed(watched: Watched) -> None:
    memory = pages(100)
    memory[:100] = 7

    def twice() -> None:
        ctypes.memset(memory.ctypes.data, 8, 1)
        ctypes.memset(memory.ctypes.data, 7, 1)

    assert watched([memory], twice) == (2, 1)
