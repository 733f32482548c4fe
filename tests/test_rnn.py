"""The step rnn against numpy in float64, written from the ONNX specification of LSTM, GRU and RNN, and against onnx.reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from _everywhere import run_everywhere, same_bits
from onnx.reference import ReferenceEvaluator

from asymo import _core

CELLS = {"RNN": (0, 1, ["tanh"]), "LSTM": (1, 4, ["sigmoid", "tanh", "tanh"]), "GRU": (2, 3, ["sigmoid", "tanh"])}

# name: (asymo_act, p, q, function)
ACTIVATIONS = {
    "sigmoid": (4, 0.0, 0.0, lambda x: 1 / (1 + np.exp(-x))),
    "tanh": (5, 0.0, 0.0, np.tanh),
    "relu": (1, 0.0, np.inf, lambda x: np.maximum(x, 0)),
    "leaky relu": (2, 0.2, 0.0, lambda x: np.where(x < 0, 0.2 * x, x)),
    "hard sigmoid": (7, 0.3, 0.4, lambda x: np.clip(0.3 * x + 0.4, 0, 1)),
    "elu": (11, 0.7, 0.0, lambda x: np.where(x < 0, 0.7 * np.expm1(x), x)),
    "scaled tanh": (12, 0.9, 0.6, lambda x: 0.9 * np.tanh(0.6 * x)),
    "softsign": (13, 0.0, 0.0, lambda x: x / (1 + np.abs(x))),
    "softplus": (14, 0.0, 0.0, lambda x: np.log1p(np.exp(x))),
    "affine": (15, 0.8, 0.1, lambda x: 0.8 * x + 0.1),
    "thresholded relu": (16, 0.1, 0.0, lambda x: np.where(x > 0.1, x, 0)),
}


@dataclass
class Case:
    """One direction of an operator. w: [gates*hidden, inputs], r: [gates*hidden, hidden], wb, rb: [gates*hidden], peephole: [3*hidden]."""

    op: str
    x: np.ndarray
    w: np.ndarray
    r: np.ndarray
    wb: np.ndarray
    rb: np.ndarray
    h: np.ndarray | None = None
    c: np.ndarray | None = None
    peephole: np.ndarray | None = None
    lengths: np.ndarray | None = None
    reverse: bool = False
    linear_before_reset: bool = False
    input_forget: bool = False
    clip: float = 0.0
    activations: list[str] = field(default_factory=list)

    @property
    def hidden(self) -> int:
        return self.r.shape[1]


def case(rng: np.random.Generator, op: str, seq: int, batch: int, hidden: int, optional: str = "", **more: Any) -> Case:
    _, gates, activations = CELLS[op]

    def numbers(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    c = Case(
        op,
        numbers(seq, batch, 5),
        numbers(gates * hidden, 5),
        numbers(gates * hidden, hidden),
        numbers(gates * hidden),
        numbers(gates * hidden),
    )
    c.r /= np.float32(np.sqrt(hidden))
    c.activations = activations
    if "h" in optional:
        c.h = numbers(batch, hidden)
    if "c" in optional and op == "LSTM":
        c.c = numbers(batch, hidden)
    if "p" in optional and op == "LSTM":
        c.peephole = numbers(3 * hidden)
    if "l" in optional:
        c.lengths = rng.integers(0, seq + 1, batch).astype(np.int32)
    for name, value in more.items():
        setattr(c, name, value)
    return c


def oracle(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Y, Y_h, Y_c of the operator, row by row and step by step, in float64."""
    seq, batch, _ = case.x.shape
    n = case.hidden
    y, y_h, y_c = np.zeros((seq, batch, n)), np.zeros((batch, n)), np.zeros((batch, n))
    plain = [ACTIVATIONS[name][3] for name in case.activations]
    act = [lambda v, a=a: a(np.clip(v, -case.clip, case.clip) if case.clip else v) for a in plain]
    w, r, wb, rb = (a.astype(np.float64) for a in (case.w, case.r, case.wb, case.rb))
    p_i, p_o, p_f = (np.zeros(3 * n) if case.peephole is None else case.peephole.astype(np.float64)).reshape(3, n)
    for b in range(batch):
        length = seq if case.lengths is None else case.lengths[b]
        h = np.zeros(n) if case.h is None else case.h[b].astype(np.float64)
        c = np.zeros(n) if case.c is None else case.c[b].astype(np.float64)
        for t in reversed(range(length)) if case.reverse else range(length):
            x = w @ case.x[t, b].astype(np.float64)
            if case.op == "RNN":
                h = act[0](x + wb + r @ h + rb)
            elif case.op == "LSTM":
                i, o, f, g = (x + wb + r @ h + rb).reshape(4, n)
                i, before = act[0](i + p_i * c), c
                f = 1 - i if case.input_forget else act[0](f + p_f * before)
                c = f * before + i * act[1](g)
                h = act[0](o + p_o * c) * plain[2](c)  # not clipped, as in ONNX Runtime
            else:
                (xz, xr, xh), (rz, rr, rh), (bz, br, bh) = ((a.reshape(3, -1, *a.shape[1:])) for a in (x + wb, r, rb))
                z, reset = act[0](xz + rz @ h + bz), act[0](xr + rr @ h + br)
                if case.linear_before_reset:
                    candidate = act[1](xh + reset * (rh @ h + bh))
                else:
                    candidate = act[1](xh + rh @ (reset * h) + bh)
                h = (1 - z) * candidate + z * h
            y[t, b] = h
        y_h[b], y_c[b] = h, c
    return y, y_h, y_c


def run(case: Case, unit_n: int = 16, fold_bias: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Y, Y_h, Y_c of the step. fold_bias: the recurrent bias is added to the input part."""
    cell, gates, _ = CELLS[case.op]
    seq, batch, _ = case.x.shape
    n = case.hidden
    x = (case.x.astype(np.float64) @ case.w.T + case.wb + (case.rb if fold_bias else 0)).astype(np.float32)
    acts = [ACTIVATIONS[name] for name in case.activations] + [(0, 0.0, 0.0)] * 3
    args = {
        "cell": cell,
        "seq": seq,
        "batch": batch,
        "hidden": n,
        "reverse": int(case.reverse),
        "linear_before_reset": int(case.linear_before_reset),
        "input_forget": int(case.input_forget),
        "x_seq": batch * gates * n,
        "x_batch": gates * n,
        "y_seq": batch * n,
        "y_batch": n,
        "unit_n": unit_n,
        "act": [a[0] for a in acts[:3]],
        "p": [a[1] for a in acts[:3]],
        "q": [a[2] for a in acts[:3]],
        "clip": case.clip,
    }
    state = ((batch, n), np.float32)
    operands = [x, _core.rnn_pack(cell, case.r), None if fold_bias else case.rb, case.peephole, case.lengths, case.h, case.c]
    operands += [((seq, batch, n), np.float32), state, state if case.op == "LSTM" else None, _core.rnn_state_bytes(cell, batch, n)]
    y, y_h, *y_c = run_everywhere("rnn", args, operands)
    return y, y_h, y_c[0] if y_c else np.zeros((batch, n))


def check(case: Case, **more: Any) -> None:
    for actual, expected in zip(run(case, **more), oracle(case), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=5e-6 * max(1, np.abs(expected).max(initial=0)))


@pytest.mark.parametrize("op", CELLS)
@pytest.mark.parametrize("hidden", [1, 15, 16, 17, 50])
@pytest.mark.parametrize("batch", [1, 2, 4, 7])
@pytest.mark.parametrize("optional", ["", "hcp"])
def test_sizes(op: str, hidden: int, batch: int, optional: str, rng: np.random.Generator) -> None:
    check(case(rng, op, 4, batch, hidden, optional))
    if op == "GRU":
        check(case(rng, op, 4, batch, hidden, optional, linear_before_reset=True))


@pytest.mark.parametrize("op", CELLS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("linear_before_reset", [False, True])
@pytest.mark.parametrize("seq", [1, 6])
@pytest.mark.parametrize("optional", ["l", "lhcp"])
def test_sequence_lengths(op: str, reverse: bool, linear_before_reset: bool, seq: int, optional: str, rng: np.random.Generator) -> None:
    c = case(rng, op, seq, 9, 21, optional, reverse=reverse, linear_before_reset=linear_before_reset)
    c.lengths[:2] = 0, seq
    check(c)


@pytest.mark.parametrize("op", CELLS)
def test_reverse(op: str, rng: np.random.Generator) -> None:
    check(case(rng, op, 5, 3, 20, "hcp", reverse=True))


@pytest.mark.parametrize("op", CELLS)
@pytest.mark.parametrize("optional", ["", "hc"])
def test_empty_sequence_hands_the_state_on(op: str, optional: str, rng: np.random.Generator) -> None:
    check(case(rng, op, 0, 3, 20, optional))


@pytest.mark.parametrize("peephole", ["", "p"])
def test_input_forget(peephole: str, rng: np.random.Generator) -> None:
    check(case(rng, "LSTM", 4, 3, 19, "hc" + peephole, input_forget=True))


@pytest.mark.parametrize("op", CELLS)
@pytest.mark.parametrize("linear_before_reset", [False, True])
def test_clip(op: str, linear_before_reset: bool, rng: np.random.Generator) -> None:
    check(case(rng, op, 4, 3, 19, "hcp", clip=0.6, linear_before_reset=linear_before_reset))


@pytest.mark.parametrize("op", CELLS)
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_activations(op: str, act: str, rng: np.random.Generator) -> None:
    check(case(rng, op, 3, 2, 17, "hc", activations=[act, act, "tanh"][: len(CELLS[op][2])]))


@pytest.mark.parametrize("op", CELLS)
@pytest.mark.parametrize("linear_before_reset", [False, True])
def test_units_do_not_change_the_bits(op: str, linear_before_reset: bool, rng: np.random.Generator) -> None:
    c = case(rng, op, 5, 6, 70, "hcpl", linear_before_reset=linear_before_reset)
    for a, b in zip(run(c, unit_n=16), run(c, unit_n=40), strict=True):
        assert same_bits(a, b)


@pytest.mark.parametrize("op", ["RNN", "LSTM", "GRU"])
def test_bias_in_the_input_part(op: str, rng: np.random.Generator) -> None:
    check(case(rng, op, 3, 2, 18), fold_bias=True)


@pytest.mark.parametrize("op", CELLS)
def test_batch_rows_do_not_depend_on_each_other(op: str, rng: np.random.Generator) -> None:
    """A row has the same bits alone and among six others."""
    many = case(rng, op, 3, 7, 33, "hc")
    for b in (0, 6):
        one = Case(**{**vars(many), "x": many.x[:, b : b + 1]})
        one.h, one.c = (v if v is None else v[b : b + 1] for v in (many.h, many.c))
        assert same_bits(np.ascontiguousarray(run(many)[0][:, b : b + 1]), run(one)[0])


@pytest.mark.parametrize("op", CELLS)
def test_onnx_reference(op: str, rng: np.random.Generator) -> None:
    """onnx.reference has one forward direction, default activations and no sequence_lens."""
    c = case(rng, op, 4, 3, 18, "hcp", linear_before_reset=op == "GRU")
    inputs = {"X": c.x, "W": c.w[None], "R": c.r[None], "B": np.concatenate([c.wb, c.rb])[None], "": None, "initial_h": c.h[None]}
    if op == "LSTM":
        inputs |= {"initial_c": c.c[None], "P": c.peephole[None]}
    attributes = {"linear_before_reset": 1} if op == "GRU" else {}
    node = onnx.helper.make_node(op, list(inputs), ["Y", "Y_h"], hidden_size=18, **attributes)
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [onnx.helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, v.shape) for k, v in inputs.items() if k],
        [onnx.helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, None) for k in ("Y", "Y_h")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)])
    y, y_h = ReferenceEvaluator(model).run(None, {k: v for k, v in inputs.items() if k})
    actual = run(c)
    np.testing.assert_allclose(actual[0], y[:, 0], rtol=1e-5, atol=5e-6)
    np.testing.assert_allclose(actual[1], y_h[0], rtol=1e-5, atol=5e-6)
