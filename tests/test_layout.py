"""The layout pass: the same numbers with fewer copies."""

from __future__ import annotations

import numpy as np
import pytest
from _models import assert_close, model, node, reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asymo.runtime.session import InferenceSession, SessionOptions

F = np.float32


def session(proto: object, workers: int = 1) -> InferenceSession:
    options = SessionOptions()
    options.intra_op_num_threads = workers
    return InferenceSession(proto.SerializeToString(), options)  # type: ignore[attr-defined]


def copies(built: InferenceSession) -> list[str]:
    """What the plan copies, by operator."""
    return [step.op for plan in built.plans() for step in plan.steps if step.kind == "copy"]


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(F)


def check(nodes: list, x: np.ndarray, constants: dict[str, np.ndarray], most_copies: int) -> None:
    """Runs nodes from "x" to "y" and counts copies."""
    proto = model(nodes, {"x": x}, ["y"], constants)
    built = session(proto)
    got = built.run(None, {"x": x})
    assert_close(got[0], reference(proto, {"x": x})[0], 1e-5)
    assert len(copies(built)) <= most_copies, copies(built)


def test_convolutions_transpose_once_in_and_once_out(rng: np.random.Generator) -> None:
    nodes = [
        node("Conv", ["x", "w1"], ["a"], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1], group=8),
        node("Sigmoid", ["c"], ["d"]),
        node("Mul", ["c", "d"], ["e"]),
        node("Concat", ["b", "e"], ["f"], axis=1),
        node("Slice", ["f", "one", "seven", "one"], ["g"]),
        node("MaxPool", ["g"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    constants = {"w1": weights(rng, 8, 3, 3, 3), "w2": weights(rng, 8, 1, 3, 3), "one": np.array([1]), "seven": np.array([7])}
    check(nodes, weights(rng, 2, 3, 10, 12), constants, 1 + 2 + 1 + 1)  # in, Concat, Slice, out


def test_channel_shuffle_is_one_copy(rng: np.random.Generator) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Reshape", ["a", "split"], ["b"]),
        node("Transpose", ["b"], ["c"], perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["c", "join"], ["d"]),
        node("Conv", ["d", "w"], ["y"]),
    ]
    constants = {"w": weights(rng, 8, 8, 1, 1), "split": np.array([2, 2, 4, 5, 6]), "join": np.array([2, 8, 5, 6])}
    check(nodes, weights(rng, 2, 8, 5, 6), constants, 3)


def test_detector_head_needs_no_transpose(rng: np.random.Generator) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Transpose", ["a"], ["b"], perm=[0, 2, 3, 1]),
        node("Reshape", ["b", "rows"], ["c"]),
        node("Softmax", ["c"], ["y"], axis=-1),
    ]
    check(nodes, weights(rng, 1, 3, 5, 6), {"w": weights(rng, 8, 3, 1, 1), "rows": np.array([1, -1, 4])}, 1)


@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions_and_broadcasts_follow(rng: np.random.Generator, keepdims: int) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Add", ["a", "column"], ["b"]),
        node("Mul", ["b", "row"], ["c"]),
        node("ReduceMean", ["c", "axes"], ["y"], keepdims=keepdims),
    ]
    constants = {
        "w": weights(rng, 8, 3, 1, 1), "column": weights(rng, 8, 1, 1), "row": weights(rng, 6), "axes": np.array([2, 3]),
    }  # fmt: skip
    check(nodes, weights(rng, 2, 3, 5, 6), constants, 1)


def test_pixel_shuffle(rng: np.random.Generator) -> None:
    for mode in ("DCR", "CRD"):
        nodes = [node("Conv", ["x", "w"], ["a"]), node("DepthToSpace", ["a"], ["y"], blocksize=2, mode=mode)]
        check(nodes, weights(rng, 1, 3, 5, 6), {"w": weights(rng, 8, 3, 1, 1)}, 3)


STEPS = ("transpose", "relu", "add", "reshape", "flatten", "concat", "slice", "pad", "reduce", "softmax", "unsqueeze", "split")


@st.composite
def programs(draw: st.DrawFn) -> tuple[list, np.ndarray, dict[str, np.ndarray]]:
    """A random chain of operators that move or keep axes."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=2, max_size=4)))
    x = np.random.default_rng(0).standard_normal(shape).astype(F)
    nodes, constants, last, before = [], {}, "x", "x"
    shapes = {"x": shape}
    for i in range(draw(st.integers(1, 7))):
        out, s = f"v{i}", shapes[last]
        rank = len(s)
        kind = draw(st.sampled_from(STEPS))
        axis = draw(st.integers(0, rank - 1)) if rank else 0
        if kind == "transpose" and rank:
            perm = draw(st.permutations(range(rank)))
            nodes.append(node("Transpose", [last], [out], perm=perm))
            shapes[out] = tuple(s[p] for p in perm)
        elif kind == "add" and shapes[before] == s:
            nodes.append(node("Add", [last, before], [out]))
            shapes[out] = s
        elif kind == "add":
            constants[f"c{i}"] = np.random.default_rng(i).standard_normal(s[draw(st.integers(0, rank)) :]).astype(F)
            nodes.append(node("Add", [last, f"c{i}"], [out]))
            shapes[out] = s
        elif kind == "reshape" and rank >= 2:
            k = draw(st.integers(0, rank - 2))
            shapes[out] = (*s[:k], s[k] * s[k + 1], *s[k + 2 :])
            constants[f"c{i}"] = np.array(shapes[out])
            nodes.append(node("Reshape", [last, f"c{i}"], [out]))
        elif kind == "unsqueeze" and rank < 5:
            constants[f"c{i}"] = np.array([axis])
            nodes.append(node("Unsqueeze", [last, f"c{i}"], [out]))
            shapes[out] = (*s[:axis], 1, *s[axis:])
        elif kind == "concat" and rank:
            nodes.append(node("Concat", [last, last], [out], axis=axis))
            shapes[out] = (*s[:axis], 2 * s[axis], *s[axis + 1 :])
        elif kind == "split" and rank and s[axis] % 2 == 0:
            nodes.append(node("Split", [last], [out, f"w{i}"], axis=axis, num_outputs=2))
            shapes[out] = (*s[:axis], s[axis] // 2, *s[axis + 1 :])
        elif kind == "slice" and rank and s[axis] > 1:
            constants[f"c{i}"], constants[f"d{i}"] = np.array([1]), np.array([axis])
            constants[f"e{i}"] = np.array([s[axis]])
            nodes.append(node("Slice", [last, f"c{i}", f"e{i}", f"d{i}"], [out]))
            shapes[out] = (*s[:axis], s[axis] - 1, *s[axis + 1 :])
        elif kind == "pad" and rank:
            constants[f"c{i}"] = np.array([1] + [0] * (2 * rank - 1))
            nodes.append(node("Pad", [last, f"c{i}"], [out]))
            shapes[out] = (s[0] + 1, *s[1:])
        elif kind == "reduce" and rank:
            constants[f"c{i}"] = np.array([axis])
            keep = draw(st.integers(0, 1))
            nodes.append(node("ReduceMean", [last, f"c{i}"], [out], keepdims=keep))
            shapes[out] = (*s[:axis], *((1,) if keep else ()), *s[axis + 1 :])
        elif kind == "softmax" and rank:
            nodes.append(node("Softmax", [last], [out], axis=axis))
            shapes[out] = s
        elif kind == "flatten":
            nodes.append(node("Flatten", [last], [out], axis=axis))
            shapes[out] = (int(np.prod(s[:axis])), int(np.prod(s[axis:])))
        else:
            nodes.append(node("Relu", [last], [out]))
            shapes[out] = s
        before, last = last, out
    return [*nodes, node("Identity", [last], ["y"])], x, constants


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_random_programs(program: tuple[list, np.ndarray, dict[str, np.ndarray]]) -> None:
    nodes, x, constants = program
    proto = model(nodes, {"x": x}, ["y"], constants)
    assert_close(session(proto, 2).run(None, {"x": x})[0], reference(proto, {"x": x})[0], 1e-5)


def test_concat_is_written_in_place(rng: np.random.Generator) -> None:
    nodes = [
        node("Conv", ["x", "w1"], ["a"]),
        node("Conv", ["a", "w3"], ["b"], pads=[1, 1, 1, 1]),
        node("Conv", ["a", "wd"], ["c"], pads=[1, 1, 1, 1], group=33),
        node("MaxPool", ["a"], ["d"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Conv", ["a", "wg"], ["e"], pads=[1, 1, 1, 1], group=3),
        node("Conv", ["a", "w1b"], ["f"]),
        node("Concat", ["b", "c", "d", "e", "f"], ["g"], axis=1),
        node("MaxPool", ["g"], ["y"], kernel_shape=[1, 1]),
    ]
    constants = {
        "w1": weights(rng, 33, 3, 1, 1), "w3": weights(rng, 35, 33, 3, 3), "wd": weights(rng, 33, 1, 3, 3), "wg": weights(rng, 6, 11, 3, 3),
        "w1b": weights(rng, 7, 33, 1, 1),
    }  # fmt: skip
    check(nodes, weights(rng, 2, 3, 13, 15), constants, 2)  # in and out


def test_what_others_read_is_copied_into_a_concat(rng: np.random.Generator) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Reshape", ["a", "flat"], ["alias"]),
        node("ReduceMax", ["alias", "axis"], ["m"]),
        node("Concat", ["a", "x", "a"], ["g"], axis=1),
        node("Add", ["g", "m"], ["y"]),
    ]
    constants = {"w": weights(rng, 5, 3, 1, 1), "flat": np.array([1, -1]), "axis": np.array([1])}
    check(nodes, weights(rng, 1, 3, 4, 6), constants, 99)
