"""What a session runs: a graph behind the LOAD passes, and what its plans share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from asymo.cost.speeds import Machine
from asymo.graph import passes
from asymo.graph.ir import Graph, Node, TensorType
from asymo.onnx import host, reader
from asymo.onnx.files import Files
from asymo.onnx.reader import ModelMeta
from asymo.plan.lower import Cache
from asymo.plan.plan import Plan


class Model:
    """An ONNX model. inputs: names and declared types (None: no tensor). cache: derived weights of all plans. files: what its constants may
    be views of."""

    graph: Graph
    meta: ModelMeta
    cache: Cache
    files: Files
    inputs: tuple[tuple[str, TensorType | None], ...]

    def __init__(self, source: str | bytes | os.PathLike[str], defers: bool = True) -> None:
        """Reads the model and runs the LOAD passes. defers: see `Cache`. Raises as `reader.read` does."""
        self.files = Files()
        self.graph, self.meta = reader.read(source, self.files)
        self.cache = Cache(host.evaluate, self.files, defers)
        for step in passes.LOAD:
            step.run(self.graph, self.cache)
        self.inputs = tuple((v.name, v.type) for v in self.graph.inputs)

    def ready_plan(self, shapes: Sequence[tuple[int, ...]], machine: Machine) -> Plan | None:
        """The plan that came with the model for these input shapes and cores."""
        return None

    def host_step(self, node: Node) -> Callable[[Sequence[Any]], Sequence[Any]]:
        """The callable that runs a node on the host."""
        return host.HostStep(node)
