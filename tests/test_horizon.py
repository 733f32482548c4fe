"""Horizons: by hand, and by late workers that repeat their step at any time the horizon allows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from _machines import machine
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from asymo import _core
from asymo.plan.access import Access, Region
from asymo.plan.arena import Lifetime, lengthen, place
from asymo.plan.horizon import AHEAD, columns, horizons, targets
from asymo.runtime.planning import plan_for


def r(begin: int, end: int, slot: int = 0) -> Region:
    return Region(slot, begin, end)


def test_by_hand() -> None:
    """a -> b -> c -> d in two buffers that take turns: every step overwrites what the one before it read."""
    first, second = r(0, 10), r(10, 20)
    chain = [Access((), (first,)), Access((first,), (second,)), Access((second,), (first,)), Access((first,), (second,))]
    assert horizons(chain) == [2, 2, 3, 4]
    third = r(20, 30)
    chain = [Access((), (first,)), Access((first,), (second,)), Access((second,), (third,)), Access((third,), (first,))]
    assert horizons(chain) == [3, 3, 4, 4]


def test_in_place_and_touching() -> None:
    assert horizons([Access((r(0, 10),), (r(5, 15),))]) == [0]
    assert horizons([Access((), (r(0, 10),)), Access((), (r(10, 20),)), Access((), (r(0, 10, slot=7),))]) == [3, 3, 3]
    assert horizons([Access((), ())] * 100)[0] == AHEAD


def test_parts_of_a_concatenation_lie_side_by_side() -> None:
    left, right = Region(0, 0, 400, pitch=40, column=0, width=16), Region(0, 0, 400, pitch=40, column=16, width=24)
    assert not left.meets(right)
    assert left.meets(left)
    assert left.meets(r(0, 400))
    assert left.meets(right._replace(column=12))
    assert left.meets(right._replace(pitch=80))
    assert left.meets(right._replace(begin=8, end=408))
    assert horizons([Access((), (left,)), Access((), (right,)), Access((r(0, 400),), ())]) == [3, 3, 3]


def test_columns() -> None:
    copy = {"size_bytes": 2, "shape": (3, 5, 7), "src_stride": (35, 7, 1), "dst_stride": (100, 20, 1)}
    assert columns("copy", copy, 1) == (14, 40)
    assert columns("copy", {**copy, "dst_stride": (100, 1, 20)}, 1) is None
    assert columns("copy", {**copy, "dst_stride": (35, 7, 1)}, 1) is None
    conv = {"n": 8, "groups": 2, "y_stride": (9600, 960, 40), "y_batch": 96000}
    assert columns("conv", conv, 5) == (64, 160)
    assert columns("conv", {**conv, "y_batch": 96001}, 5) is None
    assert columns("gemm", {"n": 8, "ldc": 24, "c_stride": (0, 0, 0), "batch": (1, 1, 1)}, 5) == (32, 96)
    assert columns("fill", {"size_bytes": 4}, 1) is None


@given(st.data())
def test_side_by_side_means_no_common_byte(data: st.DataObject) -> None:
    """Against sets of bytes."""

    def region() -> Region:
        pitch, begin = data.draw(st.sampled_from([0, 4, 8])), data.draw(st.sampled_from([0, 8, 16]))
        column = data.draw(st.integers(0, max(pitch - 1, 0)))
        return Region(0, begin, begin + 16, pitch, column, data.draw(st.integers(1, pitch - column)) if pitch else 0)

    def bytes_of(one: Region) -> set[int]:
        every = range(one.begin, one.end)
        return {b for b in every if not one.pitch or one.column <= (b - one.begin) % one.pitch < one.column + one.width}

    a, b = region(), region()
    if bytes_of(a) & bytes_of(b):
        assert a.meets(b)
    if not a.meets(b):
        assert not bytes_of(a) & bytes_of(b)


graphs = st.lists(st.tuples(st.lists(st.integers(0, 5), max_size=3), st.integers(1, 4)), min_size=1, max_size=12)


@given(graphs, st.booleans(), st.data())
def test_late_workers_do_no_harm(graph: list[tuple[list[int], int]], is_lengthened: bool, data: st.DataObject) -> None:
    """Step i makes value i out of earlier ones (`back` steps ago); buffers share an arena. Memory holds, byte by byte, which step wrote."""
    reads = [sorted({i - 1 - back for back in backs if back < i}) for i, (backs, _) in enumerate(graph)]
    lives = [Lifetime(64 * size, i, max([j for j in range(len(graph)) if i in reads[j]], default=i)) for i, (_, size) in enumerate(graph)]
    if is_lengthened:
        lives = lengthen(lives, [1.0] * len(graph), 512, 2.0)
    total, offsets = place(lives)
    regions = [r(offset, offset + life.nbytes) for offset, life in zip(offsets, lives, strict=True)]
    steps = [Access(tuple(regions[j] for j in reads[i]), (regions[i],)) for i in range(len(graph))]
    found = horizons(steps)
    memory = np.full(total, -1)

    def run(i: int) -> None:
        for j in reads[i]:
            assert (memory[regions[j].begin : regions[j].end] == j).all(), f"step {i} reads something else than value {j}"
        memory[regions[i].begin : regions[i].end] = i

    for now in range(len(graph)):
        run(now)
        for late in range(now):
            if found[late] > now and data.draw(st.booleans()):
                run(late)


def test_lengthen_by_hand() -> None:
    """Steps of 100: a life that ends with step 1 lasts until 150 later, within step 3."""
    lives = [Lifetime(8, 0, 1), Lifetime(8, 0, 4), Lifetime(8, 5, 5)]
    assert [life.last for life in lengthen(lives, [100.0] * 6, 1 << 20, 150.0)] == [3, 5, 5]
    assert [life.last for life in lengthen(lives, [100.0] * 6, 1 << 20, 0.0)] == [1, 4, 5]
    assert [life.last for life in lengthen(lives, [100.0] * 6, 32, 150.0)] == [3, 5, 5]
    assert [life.last for life in lengthen(lives, [100.0] * 6, 31, 150.0)] == [1, 4, 5]


@pytest.mark.parametrize("kind", _core.step_kinds())
def test_every_kind_has_targets(kind: str) -> None:
    found = targets(kind, {"n_out": 1}, 12)
    assert len(found) >= 1
    assert max(found) < 12


def chain_model(steps: int, width: int) -> bytes:
    nodes = [helper.make_node("MatMul", [f"v{i}", f"w{i}"], [f"v{i + 1}"]) for i in range(steps)]
    eye = [helper.make_tensor(f"w{i}", TensorProto.FLOAT, [width, width], np.eye(width, dtype=np.float32).ravel()) for i in range(steps)]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [width, width]) for n in ("v0", f"v{steps}")]
    model = helper.make_model(helper.make_graph(nodes, "chain", ends[:1], ends[1:], eye), opset_imports=[helper.make_opsetid("", 20)])
    return bytes(model.SerializeToString())


def test_plans_have_horizons() -> None:
    """With several cores nobody overtakes memory within 150 us; one core needs no more memory than before."""
    blob = chain_model(12, 64)
    several, one = plan_for(blob, machine((4, 20e9))), plan_for(blob, machine((1, 20e9)))
    assert one.arena_bytes == 2 * 64 * 64 * 4
    assert several.arena_bytes > one.arena_bytes
    ends = np.cumsum([s.ns for s in several.steps])
    for i, step in enumerate(several.steps):
        assert step.horizon > i
        if step.horizon < len(several.steps):
            assert ends[step.horizon - 1] - ends[i] >= 0.9 * 150_000
    assert Counter(s.kind for s in several.steps) == {"gemm": 12}
