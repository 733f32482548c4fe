"""Layout: carries channels-last activations through the graph and transposes only where somebody insists.

Requires  concrete shapes; fused operators in domain "asymo" with channels_last unset.
Does      One walk forward. Every value has one or more *forms*: a form with permutation p is the value transposed by p. Convolutions and
          pools read and write the channels-last form; operators that know no layout (elementwise, Concat, Reduce, Softmax, ...) run in
          whichever form of their inputs costs the fewest bytes of transposing; Transpose and Reshape only rename forms where they can;
          all others get the plain form. A form that is missing is made once, by a Transpose in front of the node that needs it.
          So pairs of Transposes cancel, chains of them compose, and constants are transposed once per session.
Ensures   channels_last is true wherever an operator has it; outputs keep their plain form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from asymo.graph.ir import Graph, Node, TensorType, Value
from asymo.ops import find, given
from asymo.ops.eltwise import Elementwise
from asymo.ops.transpose import moves_nothing, permutation
from asymo.plan.lower import Cache

Perm = tuple[int, ...]

CHANNELS_LAST: dict[str, tuple[int, ...]] = {"Conv": (0, 3), "ConvTranspose": (0, 3), "Pool": (0,), "GroupNorm": (0,), "LRN": (0,)}
"""asymo:: operators that work channels-last, and which of their inputs are activations."""

RENAMING = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"}


def channels_last(rank: int) -> Perm:
    return (0, *range(2, rank), 1)


def run(graph: Graph, cache: Cache) -> bool:
    """Rewrites the whole graph; False when there was nothing to move."""
    if not any(n.op == "Transpose" or (n.domain == "asymo" and n.op in CHANNELS_LAST) for n in graph.nodes):
        return False
    _Walk(graph, cache).run()
    return True


def ensures(graph: Graph) -> None:
    for node in graph.nodes:
        assert not (node.domain == "asymo" and node.op in CHANNELS_LAST) or node.attrs["channels_last"], node.where


class _Walk:
    def __init__(self, graph: Graph, cache: Cache) -> None:
        self.graph, self.cache = graph, cache
        self.nodes: list[Node] = []
        self.forms: dict[Value, dict[Perm, Value]] = {}  # the first is the one the value was made in

    def run(self) -> None:
        for node in self.graph.nodes:
            self.visit(node)
        self.graph.outputs = [self.plain(v) for v in self.graph.outputs]
        self.graph.nodes = self.nodes

    # ---- forms

    def forms_of(self, value: Value) -> dict[Perm, Value]:
        if value not in self.forms:
            self.forms[value] = {tuple(range(len(value.shape))): value}
        return self.forms[value]

    def cheapest(self, value: Value, perm: Perm) -> tuple[int, Perm]:
        """(bytes that move, form to start from) to see the value in this form."""
        forms = self.forms_of(value)
        if perm in forms:
            return 0, perm
        for have in forms:
            if moves_nothing([have.index(p) for p in perm], [value.shape[h] for h in have]):
                return 0, have
        return (0 if value.const is not None else value.nbytes), next(iter(forms))

    def form(self, value: Value, perm: Perm) -> Value:
        """The value transposed by perm."""
        forms = self.forms_of(value)
        if perm not in forms:
            _, have = self.cheapest(value, perm)
            source, step = forms[have], [have.index(p) for p in perm]
            if source.const is not None:
                array = self.cache.derive(("transpose", tuple(step)), [source.const], lambda a: np.ascontiguousarray(a.transpose(step)))
                forms[perm] = Value(value.name, const=array)
            else:
                plain = perm == tuple(range(len(perm)))
                target = value if plain else self.new_form(value, perm)
                self.nodes.append(Node("Transpose", [source], [target], {"perm": step}, name=f"{value.name}/layout"))
                forms[perm] = target
        return forms[perm]

    def plain(self, value: Value) -> Value:
        return self.form(value, tuple(range(len(value.shape))))

    def new_form(self, value: Value, perm: Perm) -> Value:
        return Value(self.graph.fresh_name(value.name), TensorType(value.dtype, tuple(value.shape[p] for p in perm)))

    def is_wanted_plain(self, value: Value) -> bool:
        """Whether only matrix products and the caller read the value."""
        return all(user.domain == "asymo" and user.op == "MatMul" for user in value.users)

    def emit(self, node: Node, perms: Sequence[Perm]) -> None:
        """Keeps a node whose outputs now come in these forms."""
        for i, value in enumerate(node.outputs):
            if value is not None and perms[i] != tuple(range(len(value.shape))):
                node.outputs[i] = made = self.new_form(value, perms[i])
                made.producer = node
                self.forms[value] = {perms[i]: made}
        self.nodes.append(node)

    # ---- nodes

    def visit(self, node: Node) -> None:
        operator = find(node.domain, node.op)
        x = node.input(0)
        if node.domain == "asymo" and node.op in CHANNELS_LAST:
            self.visit_channels_last(node)
        elif node.op == "Transpose":
            self.visit_transpose(node)
        elif node.op in RENAMING:
            self.visit_reshape(node)
        elif isinstance(operator, Elementwise):
            self.visit_elementwise(node)
        elif node.op in AXES and x is not None:
            perm = self.choose([v for v in node.inputs if v is not None] if node.op == "Concat" else [x], len(x.shape))
            outs = AXES[node.op](self.graph, node, perm)
            for i in range(len(node.inputs) if node.op == "Concat" else 1):
                node.set_input(i, self.form(given(node.inputs, i), perm))
            self.emit(node, [outs] * len(node.outputs))
        else:
            for i, value in enumerate(node.inputs):
                if value is not None:
                    node.set_input(i, self.plain(value))
            self.emit(node, [tuple(range(len(v.shape))) if v is not None else () for v in node.outputs])

    def choose(self, values: Sequence[Value], rank: int) -> Perm:
        """The form of rank `rank` that costs the fewest bytes of transposing; of equals channels-last, then plain."""
        full = [v for v in values if len(v.shape) == rank and v.const is None]
        perms = {p for v in full for p in self.forms_of(v)} | {tuple(range(rank))}
        if len(perms) == 1:
            return next(iter(perms))
        last = channels_last(rank) if rank > 1 else ()
        return min(perms, key=lambda p: (sum(self.cheapest(v, p)[0] for v in full), p != last, p))

    def visit_channels_last(self, node: Node) -> None:
        perm = channels_last(len(given(node.outputs).shape))
        for i in CHANNELS_LAST[node.op]:
            value = node.input(i)
            if value is not None:
                node.set_input(i, self.form(value, perm))
        for i, value in enumerate(node.inputs):
            if value is not None and i not in CHANNELS_LAST[node.op]:
                node.set_input(i, self.plain(value))
        node.attrs["channels_last"] = True
        self.emit(node, [perm] * len(node.outputs))

    def visit_transpose(self, node: Node) -> None:
        x, y = node.inputs[0], node.outputs[0]
        assert x is not None
        assert y is not None
        q = permutation(node, len(x.shape))
        self.forms[y] = {tuple(q.index(a) for a in p): value for p, value in self.forms_of(x).items()}
        node.set_inputs([])

    def visit_elementwise(self, node: Node) -> None:
        y = node.outputs[0]
        assert y is not None
        rank = len(y.shape)
        perm = self.choose([v for v in node.inputs if v is not None], rank)
        plain = tuple(range(rank))
        for i, value in enumerate(node.inputs):
            if value is None:
                continue
            if perm != plain and len(value.shape) < rank and any(d != 1 for d in value.shape):
                value = self.lifted(value, rank)
            node.set_input(i, self.form(value, perm) if len(value.shape) == rank else self.plain(value))
        self.emit(node, [perm])

    def lifted(self, value: Value, rank: int) -> Value:
        """The value with leading axes of length 1."""
        shape = (1,) * (rank - len(value.shape)) + value.shape
        if value.const is not None:
            return Value(value.name, const=self.cache.derive(("reshape", shape), [value.const], lambda a: a.reshape(shape)))
        return self.reshape(self.plain(value), shape)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        result = Value(self.graph.fresh_name(value.name), TensorType(value.dtype, tuple(shape)))
        self.reshape_into(value, result)
        return result

    def reshape_into(self, value: Value, result: Value) -> None:
        target = self.graph.constant(np.array(result.shape, np.int64), "shape")
        self.nodes.append(Node("Reshape", [value, target], [result], name=f"{result.name}/layout", opset=25))

    def visit_reshape(self, node: Node) -> None:
        x, y = node.inputs[0], node.outputs[0]
        assert x is not None
        assert y is not None
        node.set_inputs([])
        if x.shape == y.shape:
            self.forms[y] = dict(self.forms_of(x))
            return
        blocks = reshape_blocks(x.shape, y.shape)
        if blocks is not None:
            for perm in self.forms_of(x):
                order = reshaped_order(perm, blocks)
                if order is not None:
                    break
            else:  # bring together what belongs together: for those who insist plainly, else in the order of what is there
                perm = tuple(range(len(x.shape))) if self.is_wanted_plain(y) else next(iter(self.forms_of(x)))
                kept = sorted(blocks, key=lambda b: perm.index(b[0][0]))
                perm = (*(a for a in perm if x.shape[a] == 1), *(a for b in kept for a in b[0]))
                order = reshaped_order(perm, blocks)
            assert order is not None
            source = self.form(x, perm)
            out = with_ones(order, y.shape)
            if out == tuple(range(len(out))):
                self.reshape_into(source, y)
            else:
                self.forms[y] = {out: self.reshape(source, [y.shape[a] for a in out])}
        else:
            self.reshape_into(self.plain(x), y)


Block = tuple[tuple[int, ...], tuple[int, ...]]


def reshape_blocks(inp: Sequence[int], out: Sequence[int]) -> list[Block] | None:
    """A reshape cut into the smallest independent parts: axes of the input that become axes of the output. Axes of length 1 are left
    out. None for empty tensors."""
    if 0 in inp or 0 in out:
        return None
    a = [i for i, n in enumerate(inp) if n != 1]
    b = [i for i, n in enumerate(out) if n != 1]
    blocks: list[Block] = []
    i = j = 0
    while i < len(a):
        first_i, first_j = i, j
        size, other = inp[a[i]], out[b[j]]
        i, j = i + 1, j + 1
        while size != other:
            if size < other:
                size *= inp[a[i]]
                i += 1
            else:
                other *= out[b[j]]
                j += 1
        blocks.append((tuple(a[first_i:i]), tuple(b[first_j:j])))
    return blocks


def reshaped_order(perm: Perm, blocks: Sequence[Block]) -> tuple[int, ...] | None:
    """Output axes (without those of length 1) in the order in which a form of the input has them; None when the axes of some block are
    not side by side there."""
    long = {a for block in blocks for a in block[0]}
    axes = [a for a in perm if a in long]
    start = {block[0][0]: block for block in blocks}
    order: list[int] = []
    i = 0
    while i < len(axes):
        block = start.get(axes[i])
        if block is None or tuple(axes[i : i + len(block[0])]) != block[0]:
            return None
        order += block[1]
        i += len(block[0])
    return tuple(order)


def with_ones(order: Sequence[int], shape: Sequence[int]) -> Perm:
    """The order with the axes of length 1 put back: where they were when the order is the plain one, else leading ones in front and the
    others at the end."""
    if list(order) == sorted(order):
        return tuple(range(len(shape)))
    ones = [i for i, n in enumerate(shape) if n == 1]
    front = [i for k, i in enumerate(ones) if i == k]
    return (*front, *order, *ones[len(front) :])


# ---- operators that do not care in which order their axes are: how to rename the axes; each returns the form of the outputs


def _axis_attribute(graph: Graph, node: Node, perm: Perm) -> Perm:
    default = 0 if node.op == "Split" else -1
    node.attrs["axis"] = perm.index(node.attrs.get("axis", default) % len(perm))
    return perm


def _arg(graph: Graph, node: Node, perm: Perm) -> Perm:
    axis = node.attrs.get("axis", 0) % len(perm)
    node.attrs["axis"] = perm.index(axis)
    return perm if node.attrs.get("keepdims", 1) else _without(perm, [axis])


def _without(perm: Perm, gone: Sequence[int]) -> Perm:
    """The form that is left when these axes of the value are dropped."""
    kept = sorted(set(perm) - set(gone))
    return tuple(kept.index(p) for p in perm if p not in gone)


def _axes_input(index: int, count_from: int) -> Callable[[Graph, Node, Perm], Perm]:
    """Axes are input `index`; without it they are the first ones, as many as input `count_from` says."""

    def rename(graph: Graph, node: Node, perm: Perm) -> Perm:
        if perm == tuple(range(len(perm))):
            return perm
        given = node.input(index)
        if given is None:
            other = node.inputs[count_from]
            assert other is not None
            axes = np.arange(other.shape[0] // (2 if node.op == "Pad" else 1))
        else:
            assert given.const is not None
            axes = given.const
        node.set_input(index, graph.constant(np.array([perm.index(int(a) % len(perm)) for a in axes], np.int64), "axes"))
        return perm

    return rename


def _reduce(graph: Graph, node: Node, perm: Perm) -> Perm:
    given = node.input(1)
    if given is None or given.const is None or given.const.size == 0:
        axes = [] if node.attrs.get("noop_with_empty_axes") else list(range(len(perm)))
    else:
        axes = [int(a) % len(perm) for a in given.const]
        node.set_input(1, graph.constant(np.array([perm.index(a) for a in axes], np.int64), "axes"))
    return perm if node.attrs.get("keepdims", 1) else _without(perm, axes)


AXES: dict[str, Callable[[Graph, Node, Perm], Perm]] = {
    "Concat": _axis_attribute,
    "Split": _axis_attribute,
    "Softmax": _axis_attribute,
    "LogSoftmax": _axis_attribute,
    "Resample": _axis_attribute,
    "ChannelShuffle": _axis_attribute,
    "ArgMax": _arg,
    "ArgMin": _arg,
    "Slice": _axes_input(3, 1),
    "Pad": _axes_input(3, 1),
    **{
        f"Reduce{kind}": _reduce
        for kind in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")
    },
}  # fmt: skip
