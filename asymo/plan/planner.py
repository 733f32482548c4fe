"""From a graph whose shapes are known to its plan."""

from __future__ import annotations

from asymo import ops
from asymo.cost.speeds import Machine
from asymo.graph import passes
from asymo.graph.ir import Graph
from asymo.plan.lower import Cache, Lowering
from asymo.plan.plan import Plan


def plan(graph: Graph, cache: Cache, machine: Machine, packs: bool = True) -> Plan:
    """The plan of a graph with concrete shapes, all of it native, for these cores. The graph is rewritten. packs: see `Lowering`."""
    for step in passes.PLAN:
        step.run(graph, cache)
    lowering = Lowering(graph, cache, machine, packs)
    for node in graph.nodes:
        lowering.begin(node)
        operator = ops.find(node.domain, node.op)
        assert operator is not None, f"{node.where} has no operator"
        operator.lower(node, lowering)
    return lowering.finish()
