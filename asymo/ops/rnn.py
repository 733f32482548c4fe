"""LSTM, GRU and RNN: per direction one gemm step for the input part of all time steps at once, then one rnn step for the recurrence.

Both layouts and both directions are a matter of strides: gates of the input are [seq, batch, gates * hidden] in the order of X, Y is
written where it belongs. The states Y_h and Y_c of layout 1 with two directions are copied into place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Node, TensorType, Value
from asymo.ops import Example, Operator, given, need_shape, operator
from asymo.ops.epilogue import ACTS
from asymo.ops.matmul import F32
from asymo.ops.window import text
from asymo.plan import layout
from asymo.plan.lower import Lowering
from asymo.plan.move import copy, fill
from asymo.plan.plan import Args
from asymo.plan.tensor import Tensor

CELLS = {"RNN": 0, "LSTM": 1, "GRU": 2}
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
DEFAULT_ACTS = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}

ACTIVATIONS: dict[str, tuple[str, float, float]] = {
    # ONNX name        (asymo_act, default alpha, default beta); alpha and beta are p and q
    "Relu": ("clip", 0.0, float("inf")),
    "Tanh": ("tanh", 0.0, 0.0),
    "Sigmoid": ("sigmoid", 0.0, 0.0),
    "Affine": ("linear", 1.0, 0.0),
    "LeakyRelu": ("leaky_relu", 0.01, 0.0),
    "ThresholdedRelu": ("thresholded", 1.0, 0.0),
    "ScaledTanh": ("affine", 1.0, 1.0),
    "HardSigmoid": ("hard_sigmoid", 0.2, 0.5),
    "Elu": ("elu", 1.0, 0.0),
    "Softsign": ("softsign", 0.0, 0.0),
    "Softplus": ("softplus", 0.0, 0.0),
}
TAKES = {"Affine": 2, "LeakyRelu": 1, "ThresholdedRelu": 1, "ScaledTanh": 2, "HardSigmoid": 2, "Elu": 1}
"""How many of activation_alpha and activation_beta an activation consumes: 1 alpha, 2 both."""


def activations(node: Node, directions: int) -> list[list[tuple[int, float, float]]]:
    """(asymo_act, p, q) of each activation function of each direction."""
    default = DEFAULT_ACTS[node.op]
    names = [text(n) for n in node.attrs.get("activations") or default * directions]
    if len(names) != len(default) * directions:
        raise ModelError(f"{node.where}: {len(names)} activations, expected {len(default)} for each of {directions} directions")
    alphas, betas = list(node.attrs.get("activation_alpha") or ()), list(node.attrs.get("activation_beta") or ())
    found = []
    table = {name.lower(): name for name in ACTIVATIONS}
    for name in names:
        if name.lower() not in table:
            raise ModelError(f"{node.where}: unknown activation {name!r}; there are {', '.join(ACTIVATIONS)}")
        name = table[name.lower()]
        act, p, q = ACTIVATIONS[name]
        p = float(alphas.pop(0)) if TAKES.get(name, 0) >= 1 and alphas else p
        q = float(betas.pop(0)) if TAKES.get(name, 0) == 2 and betas else q
        found.append((ACTS.index(act), p, q))
    each = len(default)
    return [found[i * each : (i + 1) * each] for i in range(directions)]


def directions_of(node: Node) -> int:
    direction = text(node.attrs.get("direction", "forward"))
    if direction not in ("forward", "reverse", "bidirectional"):
        raise ModelError(f"{node.where}: unknown direction {direction!r}")
    return 2 if direction == "bidirectional" else 1


@operator("LSTM", "GRU", "RNN")
class Recurrent(Operator):
    """inputs X, W, R, B, sequence_lens, initial_h, (LSTM) initial_c, P; outputs Y, Y_h, (LSTM) Y_c."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x, w, r = given(inputs), given(inputs, 1), given(inputs, 2)
        directions, gates = directions_of(node), GATES[self.name]
        if x.rank != 3 or w.rank != 3 or r.rank != 3:
            raise ModelError(f"{node.where}: X, W and R must have 3 axes, not shapes {x.dims}, {w.dims}, {r.dims}")
        hidden = r.dims[2]
        if w.dims != (directions, gates * hidden, x.dims[2]) or r.dims != (directions, gates * hidden, hidden):
            raise ModelError(
                f"{node.where}: W of shape {w.dims} and R of shape {r.dims} do not fit {directions} direction(s), X of shape {x.dims} "
                f"and hidden size {hidden}"
            )
        if node.attrs.get("hidden_size", hidden) != hidden:
            raise ModelError(f"{node.where}: attribute 'hidden_size' is {node.attrs['hidden_size']}, R has shape {r.dims}")
        need_shape(node, inputs, 3, (directions, 2 * gates * hidden))
        need_shape(node, inputs, 4, (x.dims[0 if node.attrs.get("layout", 0) else 1],))
        need_shape(node, inputs, 7, (directions, 3 * hidden))
        if node.attrs.get("layout", 0):
            batch, seq = x.dims[:2]
            y, state = TensorType(x.dtype, (batch, seq, directions, hidden)), TensorType(x.dtype, (batch, directions, hidden))
        else:
            seq, batch = x.dims[:2]
            y, state = TensorType(x.dtype, (seq, directions, batch, hidden)), TensorType(x.dtype, (directions, batch, hidden))
        need_shape(node, inputs, 5, state.dims)
        need_shape(node, inputs, 6, state.dims)
        types: list[TensorType | None] = [y, state, state]
        return types[: max(len(node.outputs), 1)]

    def is_native(self, node: Node) -> bool:
        floats = [v for i, v in enumerate(node.inputs) if v is not None and i != 4]
        lengths = node.input(4)
        return all(v.dtype == F32 for v in floats) and (lengths is None or lengths.dtype == np.int32)

    def lower(self, node: Node, lo: Lowering) -> None:
        x, w, b, lens = (lo.input(node.input(i)) for i in (0, 1, 3, 4))
        h0, c0, peephole = lo.input(node.input(5)), lo.input(node.input(6)), lo.input(node.input(7))
        r_value = given(node.inputs, 2)
        assert x is not None
        assert w is not None
        batch_first, directions = bool(node.attrs.get("layout", 0)), directions_of(node)
        cell, gates = CELLS[self.name], GATES[self.name]
        seq, batch = x.shape[1::-1] if batch_first else x.shape[:2]
        depth, hidden = x.shape[2], r_value.shape[2]
        width = gates * hidden
        y, y_h, y_c = (lo.output(node.output(i)) for i in range(3))
        if batch == 0 or hidden == 0:
            return
        together = directions == 2 and batch_first  # the states of both directions lie side by side in a batch entry
        state_args = {"batch": batch, "directions": directions, "hidden": hidden}
        kinds = activations(node, directions)
        for d in range(directions):
            gate_in = lo.temp((seq * batch, width))
            gemm: Args = {
                "m": seq * batch, "n": width, "k": depth, "lda": depth, "ldc": width, "ldr": width, "batch": (1, 1, 1),
                "a_stride": (0, 0, 0), "b_stride": (0, 0, 0), "c_stride": (0, 0, 0), "r_stride": (0, 0, 0),
                "act": 0, "p": 0.0, "q": 0.0,
            }  # fmt: skip
            if seq:
                lo.emit("gemm", gemm, [x, self._input_weights(lo, node, d), b and b.at(2 * width * d), None, None, gate_in])
            h = self._state(lo, h0, d, together, **state_args)
            c = self._state(lo, c0, d, together, **state_args) if self.name == "LSTM" else None
            h_out = lo.temp((batch, hidden)) if together or y_h is None else y_h.at(d * batch * hidden)
            c_out = None
            if self.name == "LSTM":
                c_out = lo.temp((batch, hidden)) if together or y_c is None else y_c.at(d * batch * hidden)
            acts = kinds[d] + [(0, 0.0, 0.0)] * (3 - len(kinds[d]))
            args: Args = {
                "cell": cell, "seq": seq, "batch": batch, "hidden": hidden,
                "reverse": int(d == 1 or text(node.attrs.get("direction", "forward")) == "reverse"),
                "linear_before_reset": int(node.attrs.get("linear_before_reset", 0)),
                "input_forget": int(node.attrs.get("input_forget", 0)),
                "x_seq": width if batch_first else batch * width, "x_batch": seq * width if batch_first else width,
                "y_seq": directions * hidden if batch_first else directions * batch * hidden,
                "y_batch": seq * directions * hidden if batch_first else hidden,
                "act": tuple(a for a, _, _ in acts), "p": tuple(p for _, p, _ in acts), "q": tuple(q for _, _, q in acts),
                "clip": float(node.attrs.get("clip", 0.0) or 0.0),
            }  # fmt: skip
            state = lo.temp((layout.rnn_state_bytes(cell, batch, hidden),), np.uint8)
            y_at = None if y is None else y.at(d * hidden if batch_first else d * batch * hidden)
            bias = b and b.at(2 * width * d + width)
            p_at = peephole and peephole.at(3 * hidden * d)
            r = self._recurrent_weights(lo, r_value, cell, d)
            lo.emit("rnn", args, [gate_in, r, bias, p_at, lens, h, c, y_at, h_out, c_out, state])
            if together:
                for value, out in ((y_h, h_out), (y_c, c_out)):
                    if value is not None and out is not None:
                        copy(lo, out, value.at(d * hidden), (batch, hidden), (hidden, 1), (directions * hidden, 1))

    @staticmethod
    def _input_weights(lo: Lowering, node: Node, d: int) -> Tensor:
        """W[d] transposed and packed."""
        value = given(node.inputs, 1)
        if value.const is not None:
            return lo.derive(("rnn input", d), [value.const], lambda w: layout.pack_gemm_transposed(w[d]))
        source = lo.input(value)
        _, width, depth = value.shape
        packed = lo.temp((lo.packed_size(depth, width),))
        args: Args = {"k": depth, "n": width, "k_stride": 1, "n_stride": depth, "batch": (1, 1, 1), "b_stride": (0, 0, 0)}
        lo.emit("gemm_pack", args, [source.at(d * width * depth), packed])
        return packed

    @staticmethod
    def _recurrent_weights(lo: Lowering, value: Value, cell: int, d: int) -> Tensor:
        """R[d] packed; by copies when it is no constant."""
        if value.const is not None:
            return lo.derive(("rnn", cell, d), [value.const], layout.pack_rnn(cell, d))
        source = lo.input(value)
        _, width, hidden = value.shape
        groups, block = layout.rnn_gate_groups(cell), layout.RNN_BLOCK
        gates, whole, rest = width // hidden, hidden // block, hidden % block
        packed = lo.temp((-(-hidden // block) * gates * hidden * block,))
        if rest:
            fill(lo, packed, np.zeros(1, np.float32))
        first = 0
        for size in groups:
            for at, blocks, columns in ((0, whole, block), (whole, 1, rest)):
                copy(
                    lo,
                    source.at((d * width + first * hidden + at * block) * hidden),
                    packed.at((at * gates + first) * hidden * block),
                    (blocks, hidden, size, columns),
                    (block * hidden, 1, hidden * hidden, hidden),
                    (gates * hidden * block, size * block, block, 1),
                )
            first += size
        return packed

    @staticmethod
    def _state(lo: Lowering, tensor: Tensor | None, d: int, together: bool, batch: int, directions: int, hidden: int) -> Tensor | None:
        """The initial state of a direction as [batch, hidden]."""
        if tensor is None:
            return None
        if not together:
            return tensor.at(d * batch * hidden)
        own = lo.temp((batch, hidden))
        copy(lo, tensor.at(d * hidden), own, (batch, hidden), (directions * hidden, 1), (hidden, 1))
        return own

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(17)
        gates, lstm = GATES[self.name], self.name == "LSTM"

        def f(*shape: int) -> np.ndarray:
            return (0.5 * rng.standard_normal(shape)).astype(np.float32)

        def case(
            seq: int, batch: int, depth: int, hidden: int, given: Sequence[str] = (), outputs: int = 2,
            constant: tuple[int, ...] = (1, 2, 3), **attrs: object,
        ) -> Example:  # fmt: skip
            directions = 2 if attrs.get("direction") == "bidirectional" else 1
            state = (batch, directions, hidden) if attrs.get("layout") else (directions, batch, hidden)
            inputs: list[np.ndarray | None] = [
                f(batch, seq, depth) if attrs.get("layout") else f(seq, batch, depth),
                f(directions, gates * hidden, depth),
                f(directions, gates * hidden, hidden),
                f(directions, 2 * gates * hidden) if "bias" in given else None,
                None,
                f(*state) if "state" in given else None,
            ]
            if lstm:
                inputs += [f(*state) if "state" in given else None, f(directions, 3 * hidden) if "peephole" in given else None]
            while inputs[-1] is None:
                inputs.pop()
            names = {"hidden_size": hidden, **attrs}
            return Example(inputs, names, outputs, constant=tuple(i for i in constant if i < len(inputs)), opset=14)

        yield case(3, 2, 5, 7)
        yield case(1, 1, 1, 1, ["bias"])
        yield case(5, 1, 17, 33, ["bias", "state"], outputs=3 if lstm else 2)
        yield case(4, 3, 5, 19, ["bias"], constant=(2,))
        yield case(3, 2, 5, 37, ["bias"], constant=())
        yield case(3, 2, 5, 32, direction="bidirectional", constant=())
        yield case(4, 2, 3, 5, ["bias", "state"], layout=1)
        yield case(4, 3, 3, 5, ["bias", "state"], direction="reverse")
        yield case(4, 3, 3, 17, ["bias", "state"], direction="bidirectional", outputs=3 if lstm else 2)
        yield case(4, 3, 3, 5, ["bias", "state"], direction="bidirectional", layout=1, outputs=3 if lstm else 2)
        if lstm:
            yield case(4, 2, 3, 5, ["bias", "state", "peephole"], outputs=3)
        if self.name == "GRU":
            yield case(4, 2, 3, 5, ["bias", "state"], linear_before_reset=1)
