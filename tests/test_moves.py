"""Moves that fall away: parts of a concatenation written in place, channels read where they are. Oracles: numpy and onnx.reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest
from _plans import check, make_model, node, run
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from asymo.plan.plan import Step
from asymo.plan.views import apart

Rng = np.random.Generator


def floats(rng: Rng, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def copies(steps: Sequence[Step]) -> list[str]:
    """Operators that still move something; the transposes of input and output are not theirs."""
    return [s.op for s in steps if s.kind == "copy" and s.op != "Transpose"]


# ---- views


@given(st.data())
def test_a_copy_follows_its_rows(data: st.DataObject) -> None:
    """Element e of dense rows becomes element e // row * pitch + e % row; the step must touch exactly these."""
    row, lines = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    pitch = row + data.draw(st.integers(0, 5))
    rank = data.draw(st.integers(1, 3))
    shape = tuple(data.draw(st.integers(1, 4)) for _ in range(rank))
    stride = tuple(data.draw(st.integers(0, 2 * row)) for _ in range(rank))
    touched = [sum(i * s for i, s in zip(index, stride, strict=True)) for index in product(*map(range, shape))]
    first = data.draw(st.integers(0, row - 1))
    if first + max(touched) >= row * lines:
        return
    args = {"shape": shape, "src_stride": stride, "dst_stride": stride}
    followed = apart("copy", args, 0, first, row, pitch)
    if followed is None:
        return
    moved = [first + sum(i * s for i, s in zip(index, followed["src_stride"], strict=True)) for index in product(*map(range, shape))]  # type: ignore[arg-type]
    assert moved == [(first + e) // row * pitch + (first + e) % row for e in touched]
    assert followed["dst_stride"] == stride


def test_steps_follow_whole_rows_only() -> None:
    gemm = {"m": 5, "n": 8, "k": 6, "lda": 6, "ldc": 8, "ldr": 0, "batch": (1, 1, 1), "c_stride": (0, 0, 0), "a_stride": (0, 0, 0)}
    assert apart("gemm", gemm, 5, 0, 8, 24) == {**gemm, "ldc": 24}
    assert apart("gemm", gemm, 0, 0, 6, 10) == {**gemm, "lda": 10}
    assert apart("gemm", gemm, 5, 0, 16, 24) is None  # two rows of the step are one of the tensor
    assert apart("gemm", {**gemm, "ldc": 16}, 5, 8, 16, 24) == {**gemm, "ldc": 24}
    assert apart("gemm", {**gemm, "ldc": 16}, 5, 9, 16, 24) is None  # would run over the end of a row
    assert apart("gemm", {**gemm, "batch": (1, 1, 2)}, 5, 0, 8, 24) is None
    assert apart("softmax", {"outer": 5}, 1, 0, 8, 24) is None
    assert apart("softmax", {"outer": 5}, 1, 0, 8, 8) == {"outer": 5}
    conv = {"groups": 2, "c": 3, "n": 4, "x_stride": (72, 72, 6), "x_batch": 720}
    assert apart("conv", conv, 0, 0, 6, 9) == {**conv, "x_stride": (108, 108, 9), "x_batch": 1080}
    assert apart("conv", conv, 0, 0, 4, 9) is None


# ---- models

Producer = Callable[[str, str], list]


def pointwise(x: str, y: str) -> list:
    return [node("Conv", f"{x} wp", y)]


def square(x: str, y: str) -> list:
    return [node("Conv", f"{x} wq", y, pads=[1] * 4)]


def strided(x: str, y: str) -> list:
    return [node("Conv", f"{x} wd", y, pads=[2] * 4, dilations=[2, 2])]


def depthwise(x: str, y: str) -> list:
    return [node("Conv", f"{x} wc", y, pads=[1] * 4, group=16)]


def pool(x: str, y: str) -> list:
    return [node("MaxPool", x, y, pads=[1] * 4, kernel_shape=[3, 3])]


def sigmoid(x: str, y: str) -> list:
    return [node("Sigmoid", x, y)]


MAKERS = [pointwise, square, strided, depthwise, pool, sigmoid]


def constants(rng: Rng) -> dict[str, np.ndarray]:
    square = floats(rng, 16, 16, 3, 3)
    return {"wp": floats(rng, 16, 16, 1, 1), "wq": square, "wd": square[::-1].copy(), "wc": floats(rng, 16, 1, 3, 3)}


@pytest.mark.parametrize("maker", [m for m in MAKERS if m is not sigmoid])
def test_parts_are_written_in_place_though_others_read_them(maker: Producer, rng: Rng) -> None:
    """a and b join to c; a is read before and after that, by every kind of step that can follow."""
    nodes = [*maker("x", "a"), *square("a", "b"), node("Concat", "a b", "c", axis=1), *strided("a", "e"), *pool("a", "f"),
             *depthwise("a", "g"), *pointwise("a", "h"), node("Relu", "c", "y"), node("Sum", "e f g h", "z")]  # fmt: skip
    steps = check(nodes, {"x": floats(rng, 2, 16, 9, 7)}, constants(rng), {"y": [2, 32, 9, 7], "z": [2, 16, 9, 7]})
    assert copies(steps) == []


def test_a_part_that_a_sigmoid_reads_is_copied(rng: Rng) -> None:
    nodes = [*square("x", "a"), *square("a", "b"), node("Concat", "a b", "c", axis=1), *sigmoid("a", "y"), node("Relu", "c", "z")]
    steps = check(nodes, {"x": floats(rng, 1, 16, 9, 7)}, constants(rng), {"y": [1, 16, 9, 7], "z": [1, 32, 9, 7]})
    assert copies(steps) == ["Concat"]


def test_a_pool_with_indices_stays_dense(rng: Rng) -> None:
    x = floats(rng, 1, 16, 9, 7)
    pooled = node("MaxPool", "x", "a i", kernel_shape=[3, 3])
    nodes = [pooled, node("Cast", "i", "z", to=1), *square("a", "b"), node("Concat", "a b", "c", axis=1), node("Relu", "c", "y")]
    (_, where), _ = run(make_model(nodes, {"x": x}, constants(rng), {"y": [1, 32, 7, 5], "z": [1, 16, 7, 5]}), {"x": x})
    largest = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3)).max((4, 5))
    np.testing.assert_array_equal(x.reshape(-1)[where.astype(int)], largest)


def test_concatenations_in_concatenations_and_the_same_part_twice(rng: Rng) -> None:
    nodes = [*square("x", "a"), *pool("a", "b"), node("Concat", "a b", "c", axis=1), *strided("b", "e"),
             node("Concat", "e c a c", "f", axis=1), node("Relu", "f", "y")]  # fmt: skip
    check(nodes, {"x": floats(rng, 2, 16, 9, 7)}, constants(rng), {"y": [2, 96, 9, 7]})


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("op", ["Split", "Slice"])
def test_channels_are_read_where_they_are(op: str, axis: int, rng: Rng) -> None:
    shape = {1: (2, 32, 9, 7), 2: (2, 16, 18, 7), 3: (2, 16, 9, 14)}[axis]
    size = shape[axis] // 2
    cut = (
        [node("Split", "r", "a b", axis=axis, num_outputs=2)]
        if op == "Split"
        else [node("Slice", f"r i{i} i{i + 1} axis", v) for i, v in enumerate("ab")]
    )
    nodes = [node("Relu", "x", "r"), *cut, *square("a", "e"), *pool("a", "f"), *depthwise("b", "g"), *pointwise("b", "h"),
             *strided("b", "k"), node("Sum", "e f g h k", "y")]  # fmt: skip
    more = {f"i{i}": np.array([i * size]) for i in range(3)} | {"axis": np.array([axis])} if op == "Slice" else {}
    steps = check(nodes, {"x": floats(rng, *shape)}, {**constants(rng), **more}, {"y": [2, 16, 9, 7]})
    assert axis != 1 or copies(steps) == []


def test_pieces_of_a_split_that_are_joined_again_are_not_cut(rng: Rng) -> None:
    """The C2f block of YOLOv8."""
    wide = floats(rng, 32, 16, 1, 1)
    nodes = [node("Conv", "x w", "r"), node("Split", "r", "a b", axis=1, num_outputs=2), *square("b", "e"), *square("e", "f"),
             node("Concat", "a b e f", "c", axis=1), node("Relu", "c", "y")]  # fmt: skip
    steps = check(nodes, {"x": floats(rng, 1, 16, 9, 7)}, {**constants(rng), "w": wide}, {"y": [1, 64, 9, 7]})
    assert copies(steps) == []


def test_pieces_that_are_only_some_or_in_another_order_are_themselves(rng: Rng) -> None:
    for order in ("b a", "a a", "a e b", "b"):
        nodes = [node("Split", "x", "a b", axis=1, num_outputs=2), *square("a", "e"), node("Concat", f"{order} e", "c", axis=1),
                 node("Relu", "c", "y")]  # fmt: skip
        check(nodes, {"x": floats(rng, 1, 32, 9, 7)}, constants(rng), {"y": [1, 16 * (1 + len(order.split())), 9, 7]})


def test_outputs_stay_what_they_are(rng: Rng) -> None:
    """A part of a concatenation, and a piece that is cut out, that the caller wants."""
    nodes = [*square("x", "a"), *square("a", "b"), node("Concat", "a b", "c", axis=1), node("Split", "c", "e f", axis=1, num_outputs=2),
             *pool("f", "g")]  # fmt: skip
    check(nodes, {"x": floats(rng, 1, 16, 9, 7)}, constants(rng), {name: [1, 32 if name == "c" else 16, 9, 7] for name in "abcefg"})


@pytest.mark.parametrize(("mode", "nearest"), [("asymmetric", "floor"), ("half_pixel", "round_prefer_floor")])
def test_repeated_pixels_are_written_into_the_concatenation(mode: str, nearest: str, rng: Rng) -> None:
    resize = helper.make_node("Resize", ["a", "", "s"], ["u"], mode="nearest", coordinate_transformation_mode=mode, nearest_mode=nearest)
    nodes = [*square("x", "a"), resize, *pool("u", "b"), node("Concat", "u b", "c", axis=1), node("Relu", "c", "y")]
    scales = np.array([1, 1, 2, 3], np.float32)
    steps = check(nodes, {"x": floats(rng, 2, 16, 5, 7)}, {**constants(rng), "s": scales}, {"y": [2, 32, 10, 21]})
    assert set(copies(steps)) == {"Resample"}
    assert not any(s.kind == "resample" for s in steps)
