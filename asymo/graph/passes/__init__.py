"""The passes over a graph, one a file, in the order they run.

LOAD passes run once when a model is read and need no shapes. PLAN passes run for every set of concrete input shapes, after inference: every
value has a concrete type. A pass module's docstring says what it requires, does and ensures; it has

    run(graph, cache) -> bool      True when it changed something
    ensures(graph) -> None         asserts its postcondition; tests call it (optional)

A weight that a pass computes comes from `cache.derive`, so that all plans of a session share it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from asymo.graph.ir import Graph

if TYPE_CHECKING:
    from asymo.plan.lower import Cache


class Pass:
    """A file of this folder, imported when a graph holds what the pass is about: a pass costs more to import than to run.

    needs: sets of operators (of any domain). Without one of each set the pass would find nothing."""

    def __init__(self, name: str, *needs: set[str]) -> None:
        self.name, self._needs = name, needs

    @property
    def module(self) -> Any:
        return import_module(f"{__name__}.{self.name}")

    def run(self, graph: Graph, cache: Cache) -> bool:
        """Whether it changed something."""
        there = {node.op for node in graph.nodes} if self._needs else set()
        if not all(there & need for need in self._needs):
            return False
        return bool(self.module.run(graph, cache))


LOAD = (
    Pass("fold_constants"),
    Pass("eliminate_identity"),
    Pass("fold_affine"),
    Pass("eliminate_dead"),
)

PLAN = (
    Pass("eliminate_identity"),
    Pass("fold_affine"),
    Pass("fuse_layernorm", {"Sqrt"}, {"ReduceMean"}),
    Pass("fuse_gelu", {"Erf", "Tanh"}),
    Pass("fuse_hardswish", {"Clip", "HardSigmoid"}, {"Mul", "Div"}),
    Pass("fuse_silu", {"Sigmoid"}),
    Pass("channel_shuffle", {"Transpose"}),
    Pass("fuse_attention", {"Softmax"}, {"MatMul"}),
    Pass("fuse_one_hot", {"Equal"}),
    Pass("join_splits", {"Split"}, {"Concat"}),
    Pass("specialise"),
    Pass("fuse_epilogue"),
    Pass("layout"),
    Pass("absorb_transposes", {"Transpose"}, {"MatMul"}),
    Pass("slice_batch"),
    Pass("fuse_scale", {"Mul"}, {"Conv"}),
    Pass("fuse_separable", {"Conv"}),
    Pass("merge_eltwise"),
    Pass("eliminate_dead"),
)
