"""The graph: values and the nodes between them.

A `Graph` is what the reader makes of a model and what the passes rewrite. It knows nothing of protobuf, sessions or C. Start reading at
`Graph`. Uses are tracked: change a node's inputs only through `Node.set_input`, `Graph.replace` and friends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from math import prod
from typing import Any

import numpy as np

from asymo.record import NamedTuple

_fresh = count(1)

Dim = int | str | None
"""A dimension: known, symbolic (its name), or unknown."""

_KNOWN = {int}


class TensorType(NamedTuple):
    """Element type and shape of a tensor. `shape` is None when not even the rank is known."""

    dtype: np.dtype
    shape: tuple[Dim, ...] | None

    @property
    def is_concrete(self) -> bool:
        return self.shape is not None and _KNOWN.issuperset(map(type, self.shape))

    @property
    def dims(self) -> tuple[int, ...]:
        """The shape of a concrete type."""
        shape = self.shape
        assert shape is not None and _KNOWN.issuperset(map(type, shape)), f"{self} is not concrete"
        return shape  # type: ignore[return-value]

    @property
    def rank(self) -> int:
        assert self.shape is not None
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements; the shape must be concrete."""
        return prod(self.dims)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize


class Value:
    """What flows along one edge: a graph input, a constant, or an output of a node.

    `type` is None until inferred, and for what is no tensor (sequences, optionals, maps: host steps only).
    `const` holds the elements of a constant: an initialiser or what folding computed; treat the array as read-only.
    """

    __slots__ = ("name", "type", "const", "producer", "users")

    def __init__(self, name: str, type: TensorType | None = None, const: np.ndarray | None = None) -> None:
        self.name = name
        self.type = type
        self.const = const
        self.producer: Node | None = None
        self.users: dict[Node, int] = {}  # node -> how many of its inputs this is; insertion-ordered
        if const is not None and type is None:
            self.type = TensorType(const.dtype, const.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """The concrete shape; planning passes see nothing else."""
        assert self.type is not None, f"{self.name!r} has no type"
        return self.type.dims

    @property
    def dtype(self) -> np.dtype:
        assert self.type is not None, f"{self.name!r} has no type"
        return self.type.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the elements; the shape must be concrete."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def is_const(self) -> bool:
        return self.const is not None

    @property
    def parts(self) -> list[np.ndarray]:
        """What packing makes a constant's packed form of: its elements; of a `ScaledValue` weights and factor."""
        assert self.const is not None, f"{self.name!r} is no constant"
        return [self.const]

    def twin(self) -> Value:
        """The same value without producer and users."""
        return Value(self.name, self.type, self.const)

    def __repr__(self) -> str:
        return f"Value({self.name!r}, {self.type}{', const' if self.is_const else ''})"


class Node:
    """One operation. `domain` is "" for ONNX's own operators and "asymo" for the fused ones that passes make.

    Attributes are plain Python: int, float, str, bytes, lists of them, np.ndarray (tensors), Graph (subgraphs), dtype numbers as ONNX
    gives them. `opset` is the version of the operator that the attributes and inputs follow.
    An absent optional input or output is None; trailing ones are dropped.
    """

    __slots__ = ("op", "domain", "name", "inputs", "outputs", "attrs", "opset")

    def __init__(
        self,
        op: str,
        inputs: Sequence[Value | None],
        outputs: Sequence[Value | None],
        attrs: dict[str, Any] | None = None,
        *,
        name: str = "",
        domain: str = "",
        opset: int = 0,
    ) -> None:
        self.op = op
        self.domain = domain
        self.name = name
        self.opset = opset
        self.attrs: dict[str, Any] = dict(attrs or {})
        self.inputs: list[Value | None] = []
        self.outputs: list[Value | None] = list(outputs)
        self.set_inputs(inputs)
        for value in self.outputs:
            if value is not None:
                value.producer = self

    def input(self, index: int) -> Value | None:
        """The input, None when absent or not given."""
        return self.inputs[index] if index < len(self.inputs) else None

    def output(self, index: int = 0) -> Value | None:
        return self.outputs[index] if index < len(self.outputs) else None

    def set_input(self, index: int, value: Value | None) -> None:
        self.inputs.extend([None] * (index + 1 - len(self.inputs)))
        old = self.inputs[index]
        if old is not None:
            _drop_user(old, self)
        self.inputs[index] = value
        if value is not None:
            value.users[self] = value.users.get(self, 0) + 1

    def set_inputs(self, values: Sequence[Value | None]) -> None:
        for old in self.inputs:
            if old is not None:
                _drop_user(old, self)
        self.inputs = list(values)
        while self.inputs and self.inputs[-1] is None:
            self.inputs.pop()
        for value in self.inputs:
            if value is not None:
                value.users[self] = value.users.get(self, 0) + 1

    @property
    def where(self) -> str:
        """How an error message names this node."""
        name = f" {self.name!r}" if self.name else ""
        first = next((v.name for v in self.outputs if v is not None), "")
        return f"node{name} ({self.domain + '::' if self.domain else ''}{self.op}, output {first!r})"

    def __repr__(self) -> str:
        ins = ", ".join(v.name if v else "-" for v in self.inputs)
        outs = ", ".join(v.name if v else "-" for v in self.outputs)
        return f"{outs} = {self.op}({ins})"


def _drop_user(value: Value, node: Node) -> None:
    value.users[node] -= 1
    if value.users[node] == 0:
        del value.users[node]


class Graph:
    """Nodes in topological order between inputs and outputs.

    `inputs` are the values a caller feeds; constants are not among them. A subgraph's nodes may use values of the graphs around it
    (see `captures`); its outputs are its own.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.nodes: list[Node] = []

    # ---- reading

    def constants(self) -> Iterator[Value]:
        """Every constant that some node or output uses."""
        seen: set[Value] = set()
        for value in [v for node in self.nodes for v in node.inputs] + list(self.outputs):
            if value is not None and value.is_const and value not in seen:
                seen.add(value)
                yield value

    def is_output(self, value: Value) -> bool:
        return any(value is v for v in self.outputs)

    def only_user(self, value: Value) -> Node | None:
        """The one node that uses the value once, when nobody else sees it; what a fusion has to ask before it swallows a value."""
        if len(value.users) != 1 or self.is_output(value):
            return None
        node, count = next(iter(value.users.items()))
        return node if count == 1 else None

    @property
    def captures(self) -> list[Value]:
        """The values of the graphs around this one that its nodes, and those of its subgraphs, use; constants are not among them."""
        own = {*self.inputs, *(v for node in self.nodes for v in node.outputs)}
        found: dict[Value, None] = {}
        for node in self.nodes:
            inner = (v for sub in node.attrs.values() if isinstance(sub, Graph) for v in sub.captures)
            found.update(dict.fromkeys(v for v in (*node.inputs, *inner) if v is not None and not v.is_const and v not in own))
        return list(found)

    # ---- writing

    def fresh_name(self, hint: str) -> str:
        """A name that no other value of the process has."""
        return f"{hint}~{next(_fresh)}"

    def constant(self, array: np.ndarray, hint: str = "const") -> Value:
        return Value(self.fresh_name(hint), const=array)

    def insert_before(self, anchor: Node, node: Node) -> Node:
        self.nodes.insert(self.nodes.index(anchor), node)
        return node

    def insert_after(self, anchor: Node, node: Node) -> Node:
        self.nodes.insert(self.nodes.index(anchor) + 1, node)
        return node

    def replace(self, old: Value, new: Value) -> None:
        """Everybody who used `old`, the graph's outputs included, uses `new`. An output keeps its name."""
        for node in list(old.users):
            for i, value in enumerate(node.inputs):
                if value is old:
                    node.set_input(i, new)
        for i, value in enumerate(self.outputs):
            if value is old:
                self.outputs[i] = new

    def remove(self, node: Node) -> None:
        """Takes the node out. Its outputs must have no users left."""
        for value in node.outputs:
            assert value is None or (not value.users and not self.is_output(value)), f"{node} is still used"
        node.set_inputs([])
        self.nodes.remove(node)

    def remove_all(self, nodes: Iterable[Node]) -> None:
        """Removes several nodes that use each other, in one walk over the list."""
        doomed = set(nodes)
        for node in doomed:
            node.set_inputs([])
        for node in doomed:
            for value in node.outputs:
                assert value is None or (not value.users and not self.is_output(value)), f"{node} is still used"
        self.nodes = [n for n in self.nodes if n not in doomed]

    def clone(self, table: dict[Value, Value] | None = None) -> Graph:
        """A copy whose structure is its own; constants' arrays are shared. `table`: twins of the values of the graphs around this one;
        a captured value that is not in it stays what it is."""
        copy = Graph(self.name)
        twins = {} if table is None else table

        def use(value: Value) -> Value:
            return make(value) if value.is_const or value in twins else value

        def make(value: Value) -> Value:
            if value not in twins:
                twins[value] = value.twin()
            return twins[value]

        copy.inputs = [make(v) for v in self.inputs]
        for node in self.nodes:
            inputs = [v and use(v) for v in node.inputs]
            outputs = [v and make(v) for v in node.outputs]
            attrs = {k: v.clone(twins) if isinstance(v, Graph) else v for k, v in node.attrs.items()}
            copy.nodes.append(Node(node.op, inputs, outputs, attrs, name=node.name, domain=node.domain, opset=node.opset))
        copy.outputs = [use(v) for v in self.outputs]
        return copy

    def __str__(self) -> str:
        lines = [f"graph {self.name}({', '.join(f'{v.name}: {v.type}' for v in self.inputs)})"]
        lines += [f"  {node}" for node in self.nodes]
        return "\n".join([*lines, f"  return {', '.join(v.name for v in self.outputs)}"])
