"""`.asymo` files: a model whose graph is optimised, whose weights are packed and whose plans are made, for machines without `onnx`.

`compile.py` writes one, `CompiledModel` is what a session runs when it is given one. The container is `archive.py`, the text form of
graphs and plans `encode.py`, read by `decode.py`. Its documents:

    document   {"asymo": version, "model": what the model says of itself, "inputs": [[name, type]],
                "arrays": [[ONNX number of the dtype, shape, number in the archive, null when left out, or the strings]],
                "targets": [{"isa", "geometry": [mr, nr], "types": [[cores, whether in order]], "plans": [plan]}]}
    graph      {"graph": after the LOAD passes, "derived": [[[key, [source arrays], array]] of each target]}

`derived` is the planner's cache (`Cache.derive`): what was computed from which arrays under which key. A session that has to plan anew, for
other shapes or other cores, finds its packed weights there. One that does not never reads the second document.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from asymo import _core
from asymo.cost.speeds import Machine
from asymo.errors import AsymoError, ModelError, UnsupportedError
from asymo.graph.absent import Absent
from asymo.graph.dtypes import dtype_of
from asymo.graph.ir import Graph, Node
from asymo.onnx import host, is_installed
from asymo.onnx.files import Files
from asymo.onnx.reader import ModelMeta, NodeArg
from asymo.plan.lower import Cache
from asymo.plan.plan import Plan
from asymo.runtime import archive, decode
from asymo.runtime.model import Model


class CompiledModel(Model):
    """An opened `.asymo` file. Its graph is read when somebody plans anew."""

    def __init__(self, source: str | bytes | os.PathLike[str], verify: bool = False, isa: str | None = None) -> None:
        """verify: read all of it and compare the weights with their hash. isa: whose plans and weights to take (None: those for the
        instruction set in use; with others the model can be planned, not run).

        Raises ModelError, naming the file, what is wrong and the remedy, for a file that is broken or of another version; UnsupportedError
        for one that was made for other instruction sets."""
        self.files = Files()
        self.archive = archive.Archive(source, self.files)
        if verify:
            self.archive.verify()
        self._document = self.archive.document("document")
        self.cache = self._derived = _Derived()
        with self._reading():
            if self._document["asymo"] != _core.VERSION:
                raise ModelError(
                    f"{self.archive.name} was made by Asymo {self._document['asymo']}, this is {_core.VERSION}, whose plans and packed "
                    "weights may differ: make it again with `asymo compile`"
                )
            self._arrays: list[np.ndarray | None] = [None] * len(self._document["arrays"])
            self._place = self._pick(self._document["targets"], isa or _core.isa_name())
            self._target = self._document["targets"][self._place]
            self.meta = _meta(self._document["model"])
            self.inputs = tuple((str(name), decode.type_from_json(type)) for name, type in self._document["inputs"])
            self._plans = {tuple(tuple(port[2]) for port in p["inputs"]): p for p in self._target["plans"]}

    @property
    def isas(self) -> tuple[str, ...]:
        """Instruction sets that the file was made for."""
        return tuple(str(target["isa"]) for target in self._document["targets"])

    @cached_property
    def graph(self) -> Graph:  # type: ignore[override]
        """The model behind the LOAD passes; fills the cache with what was derived from its weights."""
        self.cache.evaluate = host.evaluate if is_installed() else None  # elsewhere kernels compute what could be folded
        with self._reading():
            document = self.archive.document("graph")
            graph = decode.graph_from_json(document["graph"], self._fetch)
            for key, sources, array in document["derived"][self._place]:
                self._derived.keep(str(key), [self._fetch(i) for i in sources], self._fetch(array))
            return graph

    def ready_plan(self, shapes: Sequence[tuple[int, ...]], machine: Machine) -> Plan | None:
        """The plan for these input shapes that was made for such cores: as many of each type, with the same kernels. Their speeds may be
        others; the scheduler learns what each core really does."""
        found = self._plans.get(tuple(shapes))
        crew = [machine.isa, list(machine.geometry), [[t.cores, t.in_order] for t in machine.types]]
        with self._reading():
            if found is None or crew != [self._target[key] for key in ("isa", "geometry", "types")]:
                return None
            return decode.plan_from_json(found, self._fetch, machine)

    def host_step(self, node: Node) -> Callable[[Sequence[Any]], Sequence[Any]]:
        """As for ONNX models, where the package onnx is there."""
        if not is_installed():
            raise UnsupportedError(
                f"{node.where} has no kernel for these types, and onnx.reference cannot run it here, because the package onnx is missing: "
                "install onnx, or take the operator out of the model and compile it again"
            )
        return host.HostStep(node)

    def _pick(self, targets: Sequence[Any], isa: str) -> int:
        """The number of the target whose weights the kernels of `isa` can read: its own, else one with the same panels."""
        panel = _core.geometry_of(isa)[1]
        for i in sorted(range(len(targets)), key=lambda i: bool(targets[i]["isa"] != isa)):
            if targets[i]["geometry"][1] == panel:
                return i
        made = ", ".join(f"{t['isa']} (panels of {t['geometry'][1]} columns)" for t in targets)
        raise UnsupportedError(
            f"{self.archive.name} was compiled for {made}; this process uses {isa}, whose packed weights have panels of {panel} columns: "
            f"compile the model with --isa {isa}"
        )

    def _fetch(self, number: int) -> np.ndarray:
        if type(number) is not int or not 0 <= number < len(self._arrays):
            raise ValueError(f"{number!r} is no array")
        array = self._arrays[number]
        if array is None:
            array = self._arrays[number] = self._read(number, *self._document["arrays"][number])
        return array

    def _read(self, number: int, type_number: int, shape: Sequence[int], place: Any) -> np.ndarray:
        dtype, dims = dtype_of(type_number), tuple(shape)
        if any(type(d) is not int or d < 0 for d in dims):
            raise ValueError(f"{dims!r} is no shape")
        if place is None:
            return Absent(dims, dtype, f"{self.archive.name}, array {number} {dtype}{dims}")
        if isinstance(place, list):
            if len(place) != prod(dims):
                raise ValueError(f"{len(place)} strings for the shape {dims}")
            texts = np.empty(len(place), object)
            texts[:] = place
            return texts.reshape(dims)
        return self.archive.array(place, dtype, dims)

    def _reading(self) -> _Reading:
        return _Reading(self.archive)


class _Reading:
    """Turns what a malformed document raises into the archive's error."""

    def __init__(self, opened: archive.Archive) -> None:
        self._archive = opened

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, AsymoError) and self._archive.name in str(error):
            return
        if isinstance(error, (AsymoError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)):
            raise self._archive.error(f"its document is malformed ({type(error).__name__}: {error})") from error


class _Derived(Cache):
    """A cache that begins with what a file holds. A key is its text: that is how it was written."""

    def keep(self, key: str, sources: Sequence[np.ndarray], array: np.ndarray) -> None:
        self._arrays[key, tuple(id(a) for a in sources)] = (tuple(sources), array)

    def derive(self, key: Hashable, sources: Sequence[np.ndarray], make: Callable[..., np.ndarray]) -> np.ndarray:
        text = repr(key)
        if (text, tuple(id(a) for a in sources)) not in self._arrays:
            for source in sources:
                if isinstance(source, Absent):
                    raise source.missing()
        return super().derive(text, sources, make)

    def settle(self, array: np.ndarray) -> np.ndarray:
        if isinstance(array, Absent) and (repr("settle"), (id(array),)) not in self._arrays:
            return array  # an operand that no step may read in the end
        return super().settle(array)


def _meta(document: Any) -> ModelMeta:
    args = {key: tuple(NodeArg(**arg) for arg in document[key]) for key in ("inputs", "outputs")}
    return ModelMeta(**{**document, **args, "overridable": tuple(document["overridable"])})
