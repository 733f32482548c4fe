"""How long ago a step's memory was used: small plans worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from asymo import _core
from asymo.cost import speeds
from asymo.cost.features import BY_SIZE
from asymo.device import topology
from asymo.plan.access import Access, Region
from asymo.plan.touch import GRAIN, of_plan, touched
from asymo.runtime.planning import plan_for

A, B, C = (Region(0, i * GRAIN, (i + 1) * GRAIN) for i in range(3))


def test_gaps_are_the_bytes_of_the_steps_in_between() -> None:
    """A -> B -> C -> A with 100 bytes of constants in the second step. Each step touches two grains.

    The first writes B when the second has read it, all but one step ago: C's step has touched 2 grains since. A, its input, was written by
    the step before it. The second writes C, which the third has just read; the third writes A, which the second has not touched."""
    chain = [Access((A,), (B,)), Access((B,), (C,)), Access((C,), (A,))]
    first, second, third = touched(chain, [0, 100, 0], 10 * GRAIN)
    assert first.inputs == ((1.0, 0.0),)
    assert first.outputs == ((1.0, 2.0 * GRAIN),)
    assert second.inputs == ((1.0, 0.0),)
    assert second.outputs == ((1.0, 2.0 * GRAIN),)
    assert third.inputs == ((1.0, 0.0),)
    assert third.outputs == ((1.0, 2.0 * GRAIN + 100),)
    assert not first.residual


def test_parts_and_residuals_and_what_a_run_touches() -> None:
    """A tensor over two older ones has two gaps; nothing is longer ago than a run."""
    both = Region(0, 0, 2 * GRAIN)
    steps = [Access((), (A,)), Access((), (B,)), Access((both, A), (C,))]
    first, _, last = touched(steps, [0, 0, 10 * GRAIN], 3 * GRAIN)
    assert last.inputs == ((0.5, 0.0), (0.5, 1.0 * GRAIN))
    assert last.residual == ((1.0, 1.0 * GRAIN),)
    assert first.outputs == ((1.0, 0.0),)
    assert last.outputs == ((1.0, 2.0 * GRAIN),)


def test_workers_memory_is_as_old_as_the_last_step_that_used_so_much() -> None:
    """Steps that need one, no and two grains of it, and write one grain each: of the third's, the first was used one written grain ago, the
    second in the run before, two written grains and that first one ago."""
    steps = [Access((), (A,)), Access((), (B,)), Access((), (C,))]
    first, second, third = touched(steps, [0, 0, 0], 100 * GRAIN, [GRAIN, 0, 2 * GRAIN])
    assert first.scratch == ((1.0, 0.0),)
    assert second.scratch == ()
    assert third.scratch == ((0.5, 1.0 * GRAIN), (0.5, 3.0 * GRAIN))


def test_rows_apart_touch_what_they_are_wide() -> None:
    narrow = Region(0, 0, 4 * GRAIN, pitch=64, column=16, width=16)
    steps = [Access((), (narrow,)), Access((), (Region(1, 0, GRAIN),))]
    assert touched(steps, [0, 0], 100 * GRAIN)[1].outputs == ((1.0, 1.0 * GRAIN),)


@pytest.fixture(scope="module")
def chain() -> bytes:
    """Three products with a matrix, 16 kB each."""
    rng = np.random.default_rng(0)
    weights = [helper.make_tensor(f"w{i}", TensorProto.FLOAT, (64, 64), rng.standard_normal(4096, np.float32)) for i in range(3)]
    nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(3)]
    port = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (64, 64)) for name in ("x0", "x3")]
    graph = helper.make_graph(nodes, "chain", port[:1], port[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def test_a_plan_knows_and_a_stored_one_does_not(chain: bytes) -> None:
    """Inputs of the second and third product were just written; of the caller's arrays nothing is known."""
    machine = speeds.from_topology(topology.read(), _core.isa_name(), _core.gemm_geometry()[:2])
    plan = plan_for(chain, machine.restrict({machine.types[0].name: 1}))
    found = of_plan(plan)
    assert [bool(t.inputs) for t in found] == [False, True, True]
    assert found[1].inputs == found[2].inputs == ((1.0, 0.0),)
    assert of_plan(plan._replace(accesses=())) == [BY_SIZE] * 3
