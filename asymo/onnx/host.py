"""Host steps: nodes that have no kernel, run by onnx.reference one at a time.

Control flow (If, Loop, Scan, SequenceMap) is interpreted here, because the nodes of a subgraph may follow different opsets once some of
them have been rewritten to their newest form; everything else goes to one ReferenceEvaluator per node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from asymo.errors import AsymoError, ModelError, UnsupportedOperatorError
from asymo.graph.dtypes import number_of
from asymo.graph.ir import Graph, Node, Value
from asymo.onnx import require
from asymo.onnx.attributes import tensor_proto, write_attribute

Call = Callable[[Sequence[Any], list["Body"]], Sequence[Any]]
"""Runs a node: its inputs and its subgraphs (captured values filled in) -> its outputs."""


class HostStep:
    """One node, ready to run. `reads`: the node's inputs (None: absent), then the values that each of its subgraphs captures."""

    def __init__(self, node: Node) -> None:
        """Raises UnsupportedOperatorError when onnx.reference has no implementation either."""
        self.node = node
        self._bodies = [Body(v) for v in node.attrs.values() if isinstance(v, Graph)]
        self.reads: list[Value | None] = [*node.inputs, *(v for body in self._bodies for v in body.captures)]
        control = CONTROL.get(node.op) if node.domain == "" else None
        self._call: Call = control(node) if control is not None else _reference(node)

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        """values: those of `reads`; arrays, lists for sequences, None for what is absent. Returns the outputs, None where not asked for."""
        count = len(self.node.inputs)
        inputs = list(values[:count])
        bodies, first = [], count
        for body in self._bodies:
            last = first + len(body.captures)
            bodies.append(body.bind(values[first:last]))
            first = last
        try:
            results = self._call(inputs, bodies)
        except AsymoError:
            raise
        except Exception as error:  # whatever onnx.reference and numpy raise on inputs that do not fit
            reason = f"{type(error).__name__}: {error}"
            raise ModelError(f"{self.node.where} failed on the host ({reason}); check its inputs: {_brief(inputs)}") from error
        return [_settled(r) for r in results]


def _settled(result: Any) -> Any:
    """Numbers as arrays, and arrays C-contiguous, as native segments take them."""
    if isinstance(result, (np.generic, int, float, bool)):
        return np.asarray(result)
    if isinstance(result, np.ndarray) and not result.flags.c_contiguous:
        return result.copy(order="C")
    return result


def evaluate(node: Node, arrays: Sequence[np.ndarray | None]) -> list[Any]:
    """Computes one node on the host, for constant folding."""
    return HostStep(node)(arrays)


class Body:
    """A subgraph, interpreted node by node."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.captures = graph.captures
        self._steps = [(step, step.reads, node.outputs) for node in graph.nodes for step in (HostStep(node),)]
        self._outer: dict[Value, Any] = {}

    def bind(self, captured: Sequence[Any]) -> Body:
        """The same body with its captured values."""
        bound = object.__new__(Body)
        bound.graph, bound.captures, bound._steps = self.graph, self.captures, self._steps
        bound._outer = dict(zip(self.captures, captured, strict=True))
        return bound

    @property
    def captured(self) -> list[Any]:
        """The captured values' elements, in the order of `captures`."""
        return [self._outer[v] for v in self.captures]

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        env = dict(self._outer)
        if len(inputs) != len(self.graph.inputs):
            raise ModelError(f"subgraph {self.graph.name!r} takes {len(self.graph.inputs)} inputs, {len(inputs)} are given")
        env.update(zip(self.graph.inputs, inputs, strict=True))
        for step, reads, writes in self._steps:
            results = step([None if v is None else v.const if v.const is not None else env[v] for v in reads])
            env.update((v, r) for v, r in zip(writes, results, strict=False) if v is not None)
        return [v.const if v.const is not None else env[v] for v in self.graph.outputs]


# ---- control flow


def _if(node: Node) -> Call:
    """Section If: then_branch when the condition is true, else else_branch."""
    order = [name for name, v in node.attrs.items() if isinstance(v, Graph)]

    def call(inputs: Sequence[Any], bodies: list[Body]) -> Sequence[Any]:
        return bodies[order.index("then_branch" if _truth(inputs[0]) else "else_branch")]([])

    return call


def _loop(node: Node) -> Call:
    """Section Loop: inputs (trip count, condition, state...),
    body (iteration, condition, state...) -> (condition, state..., scan outputs...)."""
    n_scans = len(node.attrs["body"].outputs) - 1 - max(len(node.inputs) - 2, 0)

    def call(inputs: Sequence[Any], bodies: list[Body]) -> Sequence[Any]:
        (body,) = bodies
        inputs = [*inputs, *[None] * (2 - len(inputs))]
        limit = None if inputs[0] is None else int(np.asarray(inputs[0]).reshape(-1)[0])
        going = True if inputs[1] is None else _truth(inputs[1])
        state = list(inputs[2:])
        rows: list[list[np.ndarray]] = [[] for _ in range(n_scans)]
        i = 0
        while going and (limit is None or i < limit):
            condition, *results = body([np.array(i, np.int64), np.array(going), *state])
            state = results[: len(state)]
            for row, result in zip(rows, results[len(state) :], strict=True):
                row.append(result)
            going = _truth(condition)
            i += 1
        scans = body.graph.outputs[1 + len(state) :]
        return [*state, *(_stack(row, 0, value) for row, value in zip(rows, scans, strict=True))]

    return call


def _scan(node: Node) -> Call:
    """Section Scan. Opset 8 has a batch axis in front of everything and an input for sequence lengths."""
    attrs = node.attrs
    n_scans = attrs["num_scan_inputs"]

    def iterate(
        body: Body, state: list[Any], scans: list[np.ndarray], in_axes: list[int], in_back: list[int], n: int
    ) -> tuple[list[Any], list[list[Any]]]:
        n_rows = len(body.graph.outputs) - len(state)
        rows: list[list[Any]] = [[] for _ in range(n_rows)]
        for t in range(n):
            picks = [np.take(x, n - 1 - t if back else t, axis=a) for x, a, back in zip(scans, in_axes, in_back, strict=True)]
            results = body([*state, *picks])
            state = results[: len(state)]
            for row, result in zip(rows, results[len(state) :], strict=True):
                row.append(result)
        return state, rows

    def finish(body: Body, n_state: int, rows: list[list[Any]], axes: list[int], backs: list[int]) -> list[np.ndarray]:
        values = body.graph.outputs[n_state:]
        ordered = [row[::-1] if back else row for row, back in zip(rows, backs, strict=True)]
        return [_stack(row, axis, value) for row, axis, value in zip(ordered, axes, values, strict=True)]

    def call(inputs: Sequence[Any], bodies: list[Body]) -> Sequence[Any]:
        (body,) = bodies
        n_state = len(inputs) - n_scans
        n_rows = len(body.graph.outputs) - n_state
        state, scans = list(inputs[:n_state]), list(inputs[n_state:])
        in_axes = list(attrs.get("scan_input_axes", [0] * n_scans))
        out_axes = list(attrs.get("scan_output_axes", [0] * n_rows))
        lengths = {x.shape[a] for x, a in zip(scans, in_axes, strict=True)}
        if len(lengths) != 1:
            raise ModelError(f"{node.where}: scan inputs have different lengths {sorted(lengths)}")
        in_back = list(attrs.get("scan_input_directions", [0] * n_scans))
        state, rows = iterate(body, state, scans, in_axes, in_back, lengths.pop())
        return [*state, *finish(body, n_state, rows, out_axes, list(attrs.get("scan_output_directions", [0] * n_rows)))]

    def call_8(inputs: Sequence[Any], bodies: list[Body]) -> Sequence[Any]:
        (body,) = bodies
        lengths, rest = inputs[0], inputs[1:]
        n_state = len(rest) - n_scans
        n_rows = len(body.graph.outputs) - n_state
        back = list(attrs.get("directions", [0] * n_scans))
        batches = []
        for b in range(rest[-1].shape[0]):
            state, scans = [x[b] for x in rest[:n_state]], [x[b] for x in rest[n_state:]]
            longest = scans[0].shape[0]
            n = longest if lengths is None else int(lengths[b])
            state, rows = iterate(body, state, [x[:n] for x in scans], [0] * n_scans, back, n)
            stacked = finish(body, n_state, rows, [0] * n_rows, [0] * n_rows)
            batches.append([*state, *(np.pad(y, [(0, longest - n)] + [(0, 0)] * (y.ndim - 1)) for y in stacked)])
        return [np.stack(column) for column in zip(*batches, strict=True)]

    return call_8 if node.opset == 8 else call


def _sequence_map(node: Node) -> Call:
    """Section SequenceMap: the body over the elements of the first sequence; further sequences go along, tensors are repeated."""

    def call(inputs: Sequence[Any], bodies: list[Body]) -> Sequence[Any]:
        (body,) = bodies
        results = [body([x[i] if isinstance(x, list) else x for x in inputs]) for i in range(len(inputs[0]))]
        return [[result[k] for result in results] for k in range(len(body.graph.outputs))]

    return call


CONTROL: dict[str, Callable[[Node], Call]] = {"If": _if, "Loop": _loop, "Scan": _scan, "SequenceMap": _sequence_map}


def _truth(value: Any) -> bool:
    return bool(np.asarray(value).reshape(-1)[0])


def _stack(rows: list[np.ndarray], axis: int, value: Value) -> np.ndarray:
    """One array of the results of all iterations; without any, of the declared type, unknown dimensions being 0."""
    if rows:
        return np.stack(rows, axis=axis)
    if value.type is None:
        return np.zeros((0,), np.float32)
    shape = [d if isinstance(d, int) else 0 for d in value.type.shape or ()]
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, 0)
    return np.zeros(shape, value.type.dtype)


# ---- everything else

_SUCCESSORS = {"Scatter": "ScatterElements"}
"""Withdrawn operators that onnx.reference lacks, and the same operator's later name."""


def runs(domain: str, op: str, opset: int) -> bool:
    """Whether a host step can run the operator."""
    return (domain == "" and op in CONTROL) or _support(domain, op, opset) != "none"


@cache
def _support(domain: str, op: str, opset: int) -> str:
    """What onnx.reference has for an operator: "none", "plain", or "typed", a function whose body depends on the types of the inputs."""
    require()
    import importlib

    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import RuntimeContextError

    modules = {
        "": "onnx.reference.ops",
        "ai.onnx.ml": "onnx.reference.ops.aionnxml",
        "ai.onnx.preview": "onnx.reference.ops.aionnx_preview",
        "ai.onnx.preview.training": "onnx.reference.ops.aionnx_preview_training",
    }
    arguments = {"evaluator_cls": ReferenceEvaluator} if domain == "" else {}
    try:
        importlib.import_module(modules[domain]).load_op(domain, _SUCCESSORS.get(op, op), opset, **arguments)
    except RuntimeContextError:
        return "typed"
    except Exception:  # load_op raises various classes for what it does not know
        return "none"
    return "plain"


def _reference(node: Node) -> Call:
    if not runs(node.domain, node.op, node.opset):
        raise UnsupportedOperatorError(node.where, node.op, node.domain, node.opset)
    from onnx.reference import ReferenceEvaluator

    names = [None if v is None else f"x{i}" for i, v in enumerate(node.inputs)]
    captured = [v.name for sub in node.attrs.values() if isinstance(sub, Graph) for v in sub.captures]
    sessions: dict[tuple[Any, ...], Any] = {}
    is_typed = _support(node.domain, node.op, node.opset) == "typed"
    if not is_typed:
        sessions[()] = ReferenceEvaluator(_model_proto(node))

    def session(inputs: Sequence[Any]) -> Any:
        types = tuple(None if x is None else (x.dtype, x.shape) for x in inputs) if is_typed else ()
        if types not in sessions:
            sessions[types] = ReferenceEvaluator(_model_proto(node, types))
        return sessions[types]

    def call(inputs: Sequence[Any], bodies: list[Body]) -> Sequence[Any]:
        feeds = {name: x for name, x in zip(names, inputs, strict=True) if name is not None}
        feeds.update(zip(captured, (x for body in bodies for x in body.captured), strict=True))
        results = iter(session(inputs).run(None, feeds))
        return [None if v is None else _plain(next(results)) for v in node.outputs]

    return call


def _plain(result: Any) -> Any:
    """onnx.reference gives some strings as fixed-width numpy strings; ONNX strings are objects here."""
    return result.astype(object) if isinstance(result, np.ndarray) and result.dtype.kind in "US" else result


def _model_proto(node: Node, types: Sequence[tuple[np.dtype, tuple[int, ...]] | None] = ()) -> Any:
    """A model of this one node, inputs x0, x1, ... and outputs y0, y1, ...; what its subgraphs capture is input too, by its own name."""
    onnx = require()
    ins = ["" if v is None else f"x{i}" for i, v in enumerate(node.inputs)]
    outs = ["" if v is None else f"y{i}" for i, v in enumerate(node.outputs)]
    captured = [v.name for sub in node.attrs.values() if isinstance(sub, Graph) for v in sub.captures]
    infos = [[onnx.ValueInfoProto(name=n) for n in dict.fromkeys(names) if n] for names in ([*ins, *captured], outs)]
    graph = onnx.helper.make_graph([_node_proto(node, ins, outs)], "host", *infos)
    for name, type in zip(ins, types, strict=False):
        if name and type is not None:
            graph.value_info.append(onnx.helper.make_tensor_value_info(name, number_of(type[0]), type[1]))
    opsets = [onnx.helper.make_opsetid(node.domain, node.opset)]
    if node.domain:  # functions of other domains are written in operators of the default one
        opsets.append(onnx.helper.make_opsetid("", onnx.defs.onnx_opset_version()))
    return onnx.helper.make_model(graph, opset_imports=opsets)


def _node_proto(node: Node, ins: Sequence[str], outs: Sequence[str]) -> Any:
    onnx = require()
    proto = onnx.helper.make_node(_SUCCESSORS.get(node.op, node.op), ins, outs, domain=node.domain)
    try:
        schema = onnx.defs.get_schema(node.op, node.opset, node.domain)
    except onnx.defs.SchemaError:
        schema = None
    for name, value in node.attrs.items():
        if schema is None or name in schema.attributes:
            kind = None if schema is None else int(schema.attributes[name].type.value)
            proto.attribute.append(write_attribute(name, _graph_proto(value) if isinstance(value, Graph) else value, kind))
    return proto


def _graph_proto(graph: Graph) -> Any:
    """A subgraph as it is given to operators that call it themselves (FlexAttention); its nodes follow the caller's opset."""
    onnx = require()
    nodes = [_node_proto(n, [v.name if v else "" for v in n.inputs], [v.name if v else "" for v in n.outputs]) for n in graph.nodes]
    infos = [[onnx.ValueInfoProto(name=v.name) for v in values] for values in (graph.inputs, graph.outputs)]
    proto = onnx.helper.make_graph(nodes, graph.name or "body", *infos)
    for value in graph.constants():
        assert value.const is not None
        tensor = tensor_proto(value.const)
        tensor.name = value.name
        proto.initializer.append(tensor)
    return proto


def _brief(inputs: Sequence[Any]) -> str:
    return ", ".join(f"{x.dtype}{x.shape}" if isinstance(x, np.ndarray) else type(x).__name__ for x in inputs)
