"""ONNX model -> Graph. Start reading at `read`.

Local functions are inlined, constants become `Value.const`, and every node that has an Operator class is rewritten to its newest form, so
nobody behind this module sees protobuf or asks for an opset. The model was written by a stranger: whatever is wrong with it ends in a
ModelError that names the node or tensor.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from asymo import ops
from asymo.errors import AsymoError, ModelError, UnsupportedOperatorError
from asymo.graph.dtypes import dtype_of, type_name
from asymo.graph.ir import Dim, Graph, Node, TensorType, Value
from asymo.onnx import require, schemas
from asymo.onnx.attributes import read_attribute
from asymo.onnx.files import Files
from asymo.onnx.host import runs
from asymo.onnx.tensors import MAX_RANK, ExternalData, sparse_to_array, to_array
from asymo.onnx.wire import Message, parse
from asymo.record import NamedTuple

OLDEST_OPSET = 7
"""Older models are converted by onnx.version_converter."""

MAX_NODES = 1 << 20
"""Functions that call functions can grow exponentially; a graph with more nodes than this is refused."""

MAX_DEPTH = 64
"""Subgraphs and function calls inside each other."""


class NodeArg(NamedTuple):
    """A declared input or output: its name, its ONNX type string, e.g. "tensor(float)", and its shape, None when the rank is unknown.
    A dimension is an int, the name of a symbolic one, or None."""

    name: str
    type: str
    shape: list[Dim] | None


class ModelMeta(NamedTuple):
    """What a model says of itself. `overridable`: names of initialisers that are also declared as inputs; they are constants here."""

    inputs: tuple[NodeArg, ...]
    outputs: tuple[NodeArg, ...]
    overridable: tuple[str, ...] = ()
    producer_name: str = ""
    producer_version: str = ""
    domain: str = ""
    graph_name: str = ""
    description: str = ""
    version: int = 0
    ir_version: int = 0
    opsets: Mapping[str, int] = MappingProxyType({})
    custom_metadata_map: Mapping[str, str] = MappingProxyType({})

    def with_sizes(self, sizes: Mapping[str, int]) -> ModelMeta:
        """The same, with sizes in place of the symbolic dimensions of these names."""
        if not sizes:
            return self
        inputs, outputs = (
            tuple(arg._replace(shape=arg.shape and [sizes.get(d, d) if isinstance(d, str) else d for d in arg.shape]) for arg in args)
            for args in (self.inputs, self.outputs)
        )
        return self._replace(inputs=inputs, outputs=outputs)


class Model(NamedTuple):
    """What `read` returns."""

    graph: Graph
    meta: ModelMeta


def read(model: str | os.PathLike[str] | bytes, files: Files | None = None) -> Model:
    """Reads an ONNX model from its path or its bytes. files: gets the files that the graph's large constants are views of.

    Raises ModelError (or its child UnsupportedOperatorError) when the model is broken, OSError when the file cannot be opened,
    UnsupportedError when the package `onnx` is needed (for operators that have no kernel, for models of old opsets) and missing."""
    files = Files() if files is None else files
    path = None if isinstance(model, bytes) else os.fspath(model)
    data = model if isinstance(model, bytes) else _mapped(os.fspath(model), files)
    try:
        proto = _parse(data, path)
        opsets = _opsets(proto)
        if opsets.get("", OLDEST_OPSET) < OLDEST_OPSET:
            proto = _modernise(data, opsets[""])
            opsets = _opsets(proto)
        reader = _Reader(proto, opsets, ExternalData(path, files))
        graph = reader.main_graph(proto.graph)
        return Model(graph, reader.meta(graph))
    except AsymoError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:  # names that are no UTF-8, ...
        raise ModelError(f"the model is malformed ({type(error).__name__}: {error}); export it again") from error


def _mapped(path: str, files: Files) -> Any:
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        is_mappable = stat.S_ISREG(status.st_mode) and status.st_size > 0
        return files.map(file.fileno(), path) if is_mappable else file.read()


def _parse(data: Any, path: str | None) -> Message:
    what = "the model" if path is None else repr(path)
    try:
        proto = parse(data)
    except ModelError as error:
        raise ModelError(f"{what} is not an ONNX model, or it is truncated ({len(data)} bytes): {error}") from None
    if not proto.HasField("graph"):
        raise ModelError(f"{what} holds no graph ({len(data)} bytes): it is not an ONNX model, or it is truncated")
    _, newest = schemas.newest()
    if not 1 <= proto.ir_version <= newest:
        raise ModelError(
            f"{what} has IR version {proto.ir_version}; asymo knows 1 to {newest}: install a newer asymo, or export with a lower ir_version"
        )
    return proto


def _opsets(proto: Message) -> dict[str, int]:
    opsets: dict[str, int] = {}
    for entry in proto.opset_import:
        domain = _domain(entry.domain)
        if opsets.setdefault(domain, entry.version) != entry.version:
            raise ModelError(f"the model imports domain {domain or 'ai.onnx'!r} twice, as opset {opsets[domain]} and {entry.version}")
    newest, _ = schemas.newest()
    if not opsets and proto.ir_version < 3:
        opsets[""] = 1
    if opsets.get("", 1) < 1:
        raise ModelError(f"the model imports opset {opsets['']} of ai.onnx; opsets count from 1")
    if opsets.get("", 1) > newest:
        raise ModelError(
            f"the model imports opset {opsets['']} of ai.onnx; asymo knows up to {newest}: install a newer asymo, or export an older one"
        )
    return opsets


def _modernise(data: Any, opset: int) -> Message:
    """A model older than OLDEST_OPSET, rewritten by onnx itself."""
    onnx = require()
    from onnx import version_converter

    try:
        proto = version_converter.convert_version(onnx.ModelProto.FromString(bytes(data)), OLDEST_OPSET + 1)
    except Exception as error:  # the converter raises what its C++ throws
        raise ModelError(
            f"the model has opset {opset}; converting it to {OLDEST_OPSET + 1} failed ({error}): "
            f"export it with opset {OLDEST_OPSET} or newer"
        ) from None
    return parse(proto.SerializeToString())


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


class _Scope:
    """Names that can be seen, those of the graphs around included. None: an input of a function that the call leaves out."""

    def __init__(self, outer: _Scope | None = None) -> None:
        self.values: dict[str, Value | None] = {}
        self._outer = outer

    def __contains__(self, name: str) -> bool:
        return name in self.values or (self._outer is not None and name in self._outer)

    def find(self, name: str) -> Value | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope._outer
        return None

    def define(self, name: str, value: Value | None, where: str) -> None:
        if name in self.values:
            raise ModelError(f"{where} defines {name!r}, which is defined already: every name must be made once")
        self.values[name] = value


class _Frame(NamedTuple):
    """Where nodes are read: opset imports, name prefix, and inside a function the attributes of the call."""

    opsets: dict[str, int]
    prefix: str = ""
    attributes: dict[str, Any] | None = None
    functions: tuple[str, ...] = ()
    depth: int = 0

    def deeper(self) -> _Frame:
        if self.depth >= MAX_DEPTH:
            raise ModelError(f"subgraphs and functions are nested more than {MAX_DEPTH} deep")
        return _Frame(self.opsets, self.prefix, self.attributes, self.functions, self.depth + 1)


class _Reader:
    def __init__(self, proto: Any, opsets: dict[str, int], external: ExternalData) -> None:
        self._proto = proto
        self._opsets = opsets
        self._external = external
        self._functions = {(_domain(f.domain), f.name): f for f in proto.functions}
        self._names: set[str] = set()
        self._n_nodes = 0
        self._overridable: list[str] = []
        self._newest, _ = schemas.newest()

    # ---- graphs

    def main_graph(self, proto: Any) -> Graph:
        initialisers = self._initialisers(proto)
        self._overridable = [v.name for v in proto.input if v.name in initialisers]
        self._names.update(v.name for v in (*proto.input, *proto.output))
        return self._graph(proto, _Scope(), _Frame(self._opsets), initialisers, keep_names=True)

    def _graph(self, proto: Any, scope: _Scope, frame: _Frame, initialisers: dict[str, np.ndarray], keep_names: bool = False) -> Graph:
        """keep_names: the names of inputs and outputs are the model's interface."""
        graph = Graph(proto.name)
        where = f"graph {proto.name!r}"
        for name, array in initialisers.items():
            scope.define(name, Value(self._unique(frame.prefix + name), const=array), where)
        for declared in proto.input:
            if declared.name in initialisers:
                continue
            if not declared.name:
                raise ModelError(f"{where} declares an input without a name")
            value = Value(declared.name if keep_names else self._unique(frame.prefix + declared.name), _tensor_type(declared))
            scope.define(declared.name, value, where)
            graph.inputs.append(value)
        final = {v.name for v in proto.output} if keep_names else set()
        self._nodes(proto.node, graph, scope, frame, {name: name for name in final})
        own = set(scope.values.values())
        for declared in proto.output:
            found = scope.find(declared.name)
            if found is None:
                raise ModelError(f"{where}: output {declared.name!r} is made by no node")
            if found.const is not None or found not in own or found in graph.inputs:
                found = self._identity(graph, found, declared.name if keep_names else self._unique(frame.prefix + declared.name))
            if found.type is None:
                found.type = _tensor_type(declared)
            graph.outputs.append(found)
        return graph

    def _initialisers(self, proto: Any) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        entries = [(t.name, t, to_array) for t in proto.initializer]
        entries += [(t.values.name, t, sparse_to_array) for t in proto.sparse_initializer]
        for name, tensor, convert in entries:
            if not name:
                raise ModelError(f"graph {proto.name!r} has an initialiser without a name")
            if name in arrays:
                raise ModelError(f"graph {proto.name!r} has two initialisers called {name!r}")
            arrays[name] = convert(tensor, self._external, f"initialiser {name!r}")
        return arrays

    def _identity(self, graph: Graph, value: Value, name: str) -> Value:
        out = Value(name, value.type)
        graph.nodes.append(Node("Identity", [value], [out], opset=self._newest))
        return out

    def _unique(self, name: str) -> str:
        unique, n = name, 0
        while unique in self._names:
            n += 1
            unique = f"{name}~{n}"
        self._names.add(unique)
        return unique

    # ---- nodes

    def _nodes(self, protos: Any, graph: Graph, scope: _Scope, frame: _Frame, final: dict[str, str]) -> None:
        """Reads nodes into `graph`. final: values (by the name that the protos use) whose names in the graph are given."""
        all_outputs: set[str] | None = None
        for proto in protos:
            where = _where(proto)
            inputs: list[Value | None] = []
            for name in proto.input:
                value = scope.find(name) if name else None
                if name and name not in scope:
                    if all_outputs is None:
                        all_outputs = {o for p in protos for o in p.output}
                    reason = (
                        "only made by a later node or in a cycle (nodes must be in topological order)"
                        if name in all_outputs
                        else "made by no node, input or initialiser"
                    )
                    raise ModelError(f"{where}: input {name!r} is {reason}")
                inputs.append(value)
            names = [final[o] if o in final else self._unique(frame.prefix + o) if o else None for o in proto.output]
            self._node(proto, where, inputs, names, graph, scope, frame)

    def _node(
        self, proto: Any, where: str, inputs: list[Value | None], names: list[str | None], graph: Graph, scope: _Scope, frame: _Frame
    ) -> None:
        self._n_nodes += 1
        if self._n_nodes > MAX_NODES:
            raise ModelError(f"{where}: the model has more than {MAX_NODES} nodes once its functions are inlined")
        domain, op = _domain(proto.domain), proto.op_type
        protos = _resolve_references(proto, frame, where)
        if (domain, op) in self._functions:
            self._call(proto, where, inputs, names, protos, graph, scope, frame)
            return
        if domain not in frame.opsets:
            raise ModelError(f"{where}: the model imports no opset of domain {domain or 'ai.onnx'!r}; add it to opset_import")
        opset = frame.opsets[domain]
        _check_schema(proto, where, domain, opset, set(protos))
        attrs: dict[str, Any] = {}
        for name, attribute in protos.items():
            what = f"{where}, attribute {name!r}"
            attrs[name] = read_attribute(attribute, self._external, what, lambda g: self._subgraph(g, scope, frame))
        if domain == "" and op == "Constant" and len(attrs) == 1:
            ((kind, value),) = attrs.items()
            assert names[0] is not None
            scope.define(proto.output[0], Value(names[0], const=_constant(kind, value, where)), where)
            return
        outputs = [Value(name) if name is not None else None for name in names]
        while outputs and outputs[-1] is None:
            outputs.pop()
        node = Node(op, inputs, outputs, attrs, name=frame.prefix + proto.name if proto.name else "", domain=domain, opset=opset)
        first = len(graph.nodes)
        graph.nodes.append(node)
        self._to_newest(node, graph)
        for added in graph.nodes[first:]:
            added.opset = added.opset or self._newest
        for name, value in zip(proto.output, outputs, strict=False):
            if value is not None:
                scope.define(name, value, where)

    def _to_newest(self, node: Node, graph: Graph) -> None:
        operator = ops.find(node.domain, node.op)
        if operator is None:
            if not runs(node.domain, node.op, node.opset):
                raise UnsupportedOperatorError(node.where, node.op, node.domain, node.opset)
            return
        try:
            operator.from_onnx(node, graph)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ModelError(f"{node.where}: attributes or inputs are not those of {node.op} of opset {node.opset} ({error!r})") from error
        if node.domain == "":
            node.opset = self._newest

    def _subgraph(self, proto: Any, scope: _Scope, frame: _Frame) -> Graph:
        return self._graph(proto, _Scope(scope), frame.deeper(), self._initialisers(proto))

    def _call(
        self,
        proto: Any,
        where: str,
        inputs: list[Value | None],
        names: list[str | None],
        attributes: dict[str, Any],
        graph: Graph,
        scope: _Scope,
        frame: _Frame,
    ) -> None:
        """Inlines a model-local function."""
        key = f"{_domain(proto.domain)}::{proto.op_type}"
        function = self._functions[_domain(proto.domain), proto.op_type]
        if key in frame.functions:
            raise ModelError(f"{where}: function {key} calls itself; ONNX functions must not recurse")
        if len(inputs) > len(function.input) or len(names) > len(function.output):
            raise ModelError(
                f"{where}: {len(inputs)} inputs and {len(names)} outputs given to function {key}, which has {len(function.input)} and "
                f"{len(function.output)}"
            )
        given = {a.name: a for a in function.attribute_proto}
        given.update(attributes)
        inside = _Scope()
        for formal, actual in zip(function.input, [*inputs, *[None] * len(function.input)], strict=False):
            inside.define(formal, actual, where)
        call = proto.name or next((o for o in proto.output if o), key)
        opsets = {**frame.opsets, **{_domain(e.domain): e.version for e in function.opset_import}}
        deeper = frame.deeper()
        body = _Frame(opsets, f"{frame.prefix}{call}/", given, (*frame.functions, key), deeper.depth)
        final = {formal: name for formal, name in zip(function.output, names, strict=False) if name and formal not in inside}
        self._nodes(function.node, graph, inside, body, final)
        for formal, outer, name in zip(function.output, proto.output, names, strict=False):
            if name is None:
                continue
            value = inside.find(formal)
            if value is None:
                raise ModelError(f"{where}: output {formal!r} of function {key} is made by no node")
            if value.name != name:  # an input handed through
                value = self._identity(graph, value, name)
            scope.define(outer, value, where)

    # ---- metadata

    def meta(self, graph: Graph) -> ModelMeta:
        proto = self._proto
        declared = {v.name: v for v in proto.graph.input}
        return ModelMeta(
            inputs=tuple(_node_arg(declared[v.name]) for v in graph.inputs),
            outputs=tuple(_node_arg(v) for v in proto.graph.output),
            overridable=tuple(self._overridable),
            producer_name=proto.producer_name,
            producer_version=proto.producer_version,
            domain=proto.domain,
            graph_name=proto.graph.name,
            description=proto.doc_string,
            version=proto.model_version,
            ir_version=proto.ir_version,
            opsets=self._opsets,
            custom_metadata_map={e.key: e.value for e in proto.metadata_props},
        )


# ---- types


def _type_kind(proto: Message) -> str | None:
    return proto.last_of("tensor_type", "sparse_tensor_type", "sequence_type", "optional_type", "map_type")


def _tensor_type(declared: Any) -> TensorType | None:
    """None for sequences, optionals, maps, and where nothing is declared."""
    if _type_kind(declared.type) != "tensor_type":
        return None
    tensor = declared.type.tensor_type
    if tensor.elem_type == 0:
        return None
    where = f"the declaration of {declared.name!r}"
    try:
        dtype = dtype_of(tensor.elem_type)
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from None
    return TensorType(dtype, _shape(tensor, where))


def _shape(tensor: Any, where: str) -> tuple[Dim, ...] | None:
    if not tensor.HasField("shape"):
        return None
    if len(tensor.shape.dim) > MAX_RANK:
        raise ModelError(f"{where} has {len(tensor.shape.dim)} dimensions; at most {MAX_RANK} are supported")
    dims: list[Dim] = []
    for d in tensor.shape.dim:
        kind = d.last_of("dim_value", "dim_param")
        dims.append(d.dim_value if kind == "dim_value" else d.dim_param if kind == "dim_param" and d.dim_param not in ("", "?") else None)
        if kind == "dim_value" and d.dim_value < 0:
            if d.dim_value != -1:  # some exporters write -1 for "unknown"
                raise ModelError(f"{where} has the dimension {d.dim_value}; dimensions are at least 0")
            dims[-1] = None
    return tuple(dims)


def _type_string(type_proto: Any) -> str:
    kind = _type_kind(type_proto)
    if kind in ("tensor_type", "sparse_tensor_type"):
        number = getattr(type_proto, kind).elem_type
        return f"{'sparse_' if kind.startswith('sparse') else ''}tensor({type_name(dtype_of(number)) if number else ''})"
    if kind == "sequence_type":
        return f"seq({_type_string(type_proto.sequence_type.elem_type)})"
    if kind == "optional_type":
        return f"optional({_type_string(type_proto.optional_type.elem_type)})"
    if kind == "map_type":
        return f"map({type_name(dtype_of(type_proto.map_type.key_type))},{_type_string(type_proto.map_type.value_type)})"
    return ""


def _node_arg(declared: Any) -> NodeArg:
    type = declared.type
    shape = _shape(type.tensor_type, f"the declaration of {declared.name!r}") if _type_kind(type) == "tensor_type" else None
    return NodeArg(declared.name, _type_string(type), None if shape is None else list(shape))


# ---- nodes


def _where(proto: Any) -> str:
    name = f" {proto.name!r}" if proto.name else ""
    return f"node{name} ({proto.op_type}, output {next((o for o in proto.output if o), '')!r})"


def _resolve_references(proto: Any, frame: _Frame, where: str) -> dict[str, Any]:
    """The node's attributes by name; in a function, references are replaced by what the call gives, and drop out where it gives nothing."""
    found: dict[str, Any] = {}
    for attribute in proto.attribute:
        if attribute.name in found:
            raise ModelError(f"{where} has the attribute {attribute.name!r} twice")
        if not attribute.ref_attr_name:
            found[attribute.name] = attribute
        elif frame.attributes is None:
            raise ModelError(f"{where}: attribute {attribute.name!r} refers to a function's attribute, but stands in no function")
        elif attribute.ref_attr_name in frame.attributes:
            found[attribute.name] = frame.attributes[attribute.ref_attr_name]
    return found


def _schema(domain: str, op: str, opset: int) -> schemas.Schema | None:
    """The operator's schema, None where ONNX has none. The package `onnx` is asked only for operators that will need it anyway."""
    if schemas.covers(domain, op):
        return schemas.find(op, opset)
    onnx = require()
    try:
        return schemas.of_onnx(onnx.defs.get_schema(op, opset, domain))
    except onnx.defs.SchemaError:
        return None


def _check_schema(proto: Message, where: str, domain: str, opset: int, attributes: set[str]) -> None:
    """Numbers of inputs and outputs, and required attributes, where ONNX has a schema for the operator."""
    schema = _schema(domain, proto.op_type, opset)
    if schema is None:
        return
    if schema.deprecated:
        raise ModelError(f"{where}: ONNX has withdrawn {proto.op_type} as of opset {schema.since}; export with its successor")
    for what, n, (low, high) in (("inputs", len(proto.input), schema.inputs), ("outputs", len(proto.output), schema.outputs)):
        if not low <= n <= high:
            raise ModelError(f"{where} has {n} {what}; {proto.op_type} of opset {opset} takes {low if low == high else f'{low} to {high}'}")
    for i, name in schema.required:
        if i >= len(proto.input) or not proto.input[i]:
            raise ModelError(f"{where}: input {i} ({name}) is required")
    for name, (_, is_required) in schema.attributes.items():
        if is_required and name not in attributes:
            raise ModelError(f"{where}: attribute {name!r} is required")
    for given in proto.attribute:
        kind, _ = schema.attributes.get(given.name, (given.type, False))
        if given.type not in (0, kind):
            raise ModelError(f"{where}: attribute {given.name!r} has type {given.type}, {proto.op_type} wants {kind}")


def _constant(kind: str, value: Any, where: str) -> np.ndarray:
    """The array of a Constant node's one attribute."""
    dtypes: dict[str, Any] = {
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
        "value_string": object,
        "value_strings": object,
    }
    if kind in ("value", "sparse_value") and isinstance(value, np.ndarray):
        return value
    if kind not in dtypes:
        raise ModelError(f"{where}: a Constant has no attribute {kind!r}")
    return np.array(value, dtypes[kind])
