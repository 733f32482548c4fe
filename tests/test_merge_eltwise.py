"""The merge_eltwise pass: one step for a tree of elementwise operators, and the bits of the separate steps."""

from __future__ import annotations

import numpy as np
from _models import assert_close, model, node, reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asymo.ops.eltwise import MAX_CODE, MAX_INPUTS, Code
from asymo.plan import opcodes
from asymo.runtime.session import InferenceSession, SessionOptions

F = np.float32


def run(proto: object, feeds: dict[str, np.ndarray], workers: int = 1) -> tuple[list[np.ndarray], list[str]]:
    """(outputs, kinds of the steps)."""
    options = SessionOptions()
    options.intra_op_num_threads = workers
    session = InferenceSession(proto.SerializeToString(), options)  # type: ignore[attr-defined]
    return session.run(None, feeds), [step.kind for plan in session.plans() for step in plan.steps]


def check(nodes: list, feeds: dict[str, np.ndarray], steps: int, constants: dict[str, np.ndarray] | None = None) -> None:
    """Runs nodes that lead to "y" and counts steps."""
    proto = model(nodes, feeds, ["y"], constants or {})
    got, kinds = run(proto, feeds)
    assert_close(got[0], reference(proto, feeds)[0], 1e-5)
    assert kinds == ["eltwise"] * steps


def test_chain_is_one_step(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 5, 7)).astype(F)
    nodes = [
        node("Add", ["x", "b"], ["a"]), node("Tanh", ["a"], ["t"]), node("Mul", ["t", "x"], ["m"]), node("Less", ["m", "half"], ["l"]),
        node("Where", ["l", "m", "half"], ["w"]), node("Cast", ["l"], ["f"], to=1), node("Sub", ["w", "f"], ["y"]),
    ]  # fmt: skip
    constants = {"b": rng.standard_normal(7).astype(F), "half": np.array(0.5, F)}
    check([*nodes[:4], *nodes[4:5], node("Abs", ["w"], ["y"])], {"x": x}, 2, constants)  # m is used twice
    check([nodes[0], nodes[1], node("Exp", ["t"], ["y"])], {"x": x}, 1, constants)


def test_broadcast_is_not_computed_again(rng: np.random.Generator) -> None:
    feeds = {"x": rng.standard_normal((4, 6)).astype(F), "s": rng.standard_normal((4, 1)).astype(F)}
    check([node("Exp", ["s"], ["e"]), node("Mul", ["x", "e"], ["y"])], feeds, 2)
    check([node("Exp", ["x"], ["e"]), node("Mul", ["s", "e"], ["y"])], feeds, 1)


def test_condition_stays_inside(rng: np.random.Generator) -> None:
    feeds = {"x": rng.standard_normal((4, 6)).astype(F), "z": rng.standard_normal((4, 6)).astype(F)}
    check([node("Less", ["x", "z"], ["c"]), node("Where", ["c", "x", "z"], ["y"])], feeds, 1)


def test_integers_are_read(rng: np.random.Generator) -> None:
    feeds = {"i": rng.integers(-5, 5, (4, 6)), "x": rng.standard_normal((4, 6)).astype(F)}
    check([node("Cast", ["i"], ["f"], to=1), node("Mul", ["f", "x"], ["y"])], feeds, 1)


def test_bounds_are_kept(rng: np.random.Generator) -> None:
    n = 2 * MAX_INPUTS
    feeds = {f"x{i}": rng.standard_normal((3, 5)).astype(F) for i in range(n)}
    nodes = [node("Add", [f"s{i - 1}" if i > 1 else "x0", f"x{i}"], [f"s{i}" if i < n - 1 else "y"]) for i in range(1, n)]
    check(nodes, feeds, -(-(n - 1) // (MAX_INPUTS - 1)))
    long = [node("Sin", [f"v{i}" if i else "x0"], [f"v{i + 1}"]) for i in range(MAX_CODE + 5)]
    check([*long, node("Identity", [f"v{MAX_CODE + 5}"], ["y"])], {"x0": feeds["x0"]}, 2)


UNARY, BINARY = ("Tanh", "Abs", "Relu", "Neg", "Sigmoid", "Floor"), ("Add", "Sub", "Mul", "Max", "Min")
SHAPES = ((2, 3, 5), (5,), (3, 1), (1, 1, 1), ())


@st.composite
def dags(draw: st.DrawFn) -> tuple[list, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Random graphs of elementwise operators over broadcast inputs and constants."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    feeds, constants, names = {}, {}, []
    for i in range(draw(st.integers(1, 4))):
        shape = draw(st.sampled_from(SHAPES)) if i else SHAPES[0]
        (constants if i and draw(st.booleans()) else feeds)[f"x{i}"] = rng.standard_normal(shape).astype(F)
        names.append(f"x{i}")
    nodes = []
    for i in range(draw(st.integers(1, 12))):
        pick = st.sampled_from(names[-5:])
        if draw(st.booleans()):
            nodes.append(node(draw(st.sampled_from(UNARY)), [draw(pick)], [f"v{i}"]))
        else:
            nodes.append(node(draw(st.sampled_from(BINARY)), [draw(pick), draw(pick)], [f"v{i}"]))
        names.append(f"v{i}")
    return [*nodes, node("Add", [names[-1], "x0"], ["y"])], feeds, constants


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(dags())
def test_random_graphs(dag: tuple[list, dict[str, np.ndarray], dict[str, np.ndarray]]) -> None:
    nodes, feeds, constants = dag
    proto = model(nodes, feeds, ["y"], constants)
    assert_close(run(proto, feeds, 2)[0][0], reference(proto, feeds)[0], 1e-5)


def test_registers_are_reused() -> None:
    c = Code(2)
    value = c("add", 0, 1)
    for _ in range(40):
        value = c("mul", c("tanh", value), 0)
    code, _ = opcodes.encode(2, c.body, [value])
    assert code[:, 1].max() <= 3


def test_scale_and_shift_is_one_instruction(rng: np.random.Generator) -> None:
    c = Code(1)
    code, immediates = opcodes.encode(1, c.body, [c("sub", c("mul", 0, 2.0), 3.0)])
    assert len(code) == 3  # load, act, store
    assert immediates.tolist() == [2.0, -3.0]
    feeds = {"x": rng.standard_normal((4, 6)).astype(F)}
    constants = {"p": np.array(2.5, F), "q": np.array([0.25], F)}
    check([node("Mul", ["x", "p"], ["a"]), node("Add", ["a", "q"], ["y"])], feeds, 1, constants)
