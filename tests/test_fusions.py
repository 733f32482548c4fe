"""Fusion passes: the patterns that exporters write become the steps they should, and the numbers stay those of onnx.reference."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np
import pytest
from _plans import check, make_model, node, run

from asymo.ops.epilogue import ACTS
from asymo.plan.plan import Step


def f(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def kinds(steps: tuple[Step, ...]) -> list[str]:
    return [s.kind for s in steps if s.kind != "copy"]


def act(step: Step) -> str:
    return ACTS[int(step.args["act"])]  # type: ignore[arg-type]


# ---- Gelu, SiLU, HardSwish: in the epilogue of a product, so that one step is left

GELU = {
    "div, half first": [node("Div", "m r2", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"), node("Mul", "m half", "d"),
                        node("Mul", "d c", "y")],
    "div, half last": [node("Div", "m r2", "a"), node("Erf", "a", "b"), node("Add", "one b", "c"), node("Mul", "m c", "d"),
                       node("Mul", "d half", "y")],
    "mul, half on the gate": [node("Mul", "ir2 m", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"), node("Mul", "half c", "d"),
                              node("Mul", "d m", "y")],
    "div by two": [node("Mul", "m ir2", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"), node("Mul", "c m", "d"),
                   node("Div", "d two", "y")],
}  # fmt: skip
TANH = {
    "power": [node("Pow", "m three", "p"), node("Mul", "p k", "q"), node("Add", "m q", "s"), node("Mul", "s root", "t"),
              node("Tanh", "t", "u"),
              node("Add", "u one", "v"), node("Mul", "m half", "h"), node("Mul", "h v", "y")],
    "products": [node("Mul", "m m", "p"), node("Mul", "p m", "q"), node("Mul", "k q", "r"), node("Add", "r m", "s"),
                 node("Mul", "root s", "t"),
                 node("Tanh", "t", "u"), node("Add", "one u", "v"), node("Mul", "m v", "h"), node("Mul", "half h", "y")],
    "bracket": [node("Mul", "m m", "p"), node("Mul", "p k", "q"), node("Add", "q one", "s"), node("Mul", "m root", "r"),
                node("Mul", "r s", "t"),
                node("Tanh", "t", "u"), node("Add", "one u", "v"), node("Mul", "m v", "h"), node("Mul", "half h", "y")],
}  # fmt: skip
SILU = {"": [node("Sigmoid", "m", "a"), node("Mul", "m a", "y")], "swapped": [node("Sigmoid", "m", "a"), node("Mul", "a m", "y")]}
HARD_SWISH = {
    "clip, mul, div": [node("Add", "m three", "a"), node("Clip", "a zero six", "b"), node("Mul", "m b", "c"), node("Div", "c six", "y")],
    "clip, div, mul": [node("Add", "three m", "a"), node("Clip", "a zero six", "b"), node("Div", "b six", "c"), node("Mul", "c m", "y")],
    "times a sixth": [node("Add", "m three", "a"), node("Clip", "a zero six", "b"), node("Mul", "b sixth", "c"), node("Mul", "m c", "y")],
    "hard sigmoid": [node("HardSigmoid", "m", "a", alpha=1 / 6, beta=0.5), node("Mul", "m a", "y")],
}
HARD_SIGMOID = {"": [node("Add", "m three", "a"), node("Clip", "a zero six", "b"), node("Div", "b six", "y")]}
NUMBERS = {
    "r2": sqrt(2), "ir2": sqrt(0.5), "one": 1.0, "half": 0.5, "two": 2.0, "three": 3.0, "six": 6.0, "zero": 0.0, "sixth": 1 / 6,
    "k": 0.044715, "root": sqrt(2 / pi),
}  # fmt: skip
PATTERNS = [
    pytest.param(nodes, expected, id=f"{expected} {name}")
    for expected, group in [
        ("gelu_erf", GELU),
        ("gelu_tanh", TANH),
        ("silu", SILU),
        ("hard_swish", HARD_SWISH),
        ("hard_sigmoid", HARD_SIGMOID),
    ]
    for name, nodes in group.items()
]


def used(nodes: list[Any], **more: Any) -> dict[str, Any]:
    names = {name for n in nodes for name in n.input}
    return {**{k: v for k, v in NUMBERS.items() if k in names}, **more}


@pytest.mark.parametrize(("nodes", "expected"), PATTERNS)
def test_activation_patterns(nodes: list[Any], expected: str, rng: np.random.Generator) -> None:
    x, w = 3 * f(rng, 5, 17), f(rng, 17, 33)
    steps = check([node("MatMul", "x w", "m"), *nodes], {"x": x}, used(nodes, w=w), {"y": (5, 33)})
    assert kinds(steps) == ["gemm"]
    assert act(steps[0]) == expected


@pytest.mark.parametrize("number", ["half", "two", "three"])
def test_a_gelu_with_wrong_numbers_is_none(number: str, rng: np.random.Generator) -> None:
    nodes = [node("MatMul", "x w", "m"), node("Div", "m r2", "a"), node("Erf", "a", "b"), node("Add", f"b {number}", "c"),
             node("Mul", "m c", "d"), node("Mul", "d half", "y")]  # fmt: skip
    steps = check(nodes, {"x": f(rng, 3, 5)}, used(nodes, w=f(rng, 5, 7)), {"y": (3, 7)})
    assert kinds(steps)[0] == "gemm"
    assert act(steps[0]) == "none"


def test_a_pattern_somebody_else_looks_into_stays(rng: np.random.Generator) -> None:
    nodes = [*GELU["div, half first"], node("Mul", "c three", "z")]
    steps = check([node("MatMul", "x w", "m"), *nodes], {"x": f(rng, 3, 5)}, used(nodes, w=f(rng, 5, 7)), {"y": (3, 7), "z": (3, 7)})
    assert act(steps[0]) == "none"


# ---- LayerNormalization

CENTRE = [node("ReduceMean", "x axes", "mean"), node("Sub", "x mean", "d")]
LAYERNORM = {
    "pow": [*CENTRE, node("Pow", "d two", "q"), node("ReduceMean", "q axes", "v"), node("Add", "v eps", "e"), node("Sqrt", "e", "s"),
            node("Div", "d s", "n"), node("Mul", "n gamma", "g"), node("Add", "g beta", "y")],
    "mul, two subs": [*CENTRE, node("Sub", "x mean", "d2"), node("Mul", "d d", "q"), node("ReduceMean", "q axes", "v"),
                      node("Add", "eps v", "e"),
                      node("Sqrt", "e", "s"), node("Div", "d2 s", "n"), node("Mul", "gamma n", "g"), node("Add", "beta g", "y")],
    "no beta": [*CENTRE, node("Mul", "d d", "q"), node("ReduceMean", "q axes", "v"), node("Add", "v eps", "e"), node("Sqrt", "e", "s"),
                node("Div", "d s", "n"), node("Mul", "n gamma", "y")],
    "bare": [*CENTRE, node("Mul", "d d", "q"), node("ReduceMean", "q axes", "v"), node("Add", "v eps", "e"), node("Sqrt", "e", "s"),
             node("Div", "d s", "y")],
}  # fmt: skip


@pytest.mark.parametrize("axes", [[-1], [1, 2]], ids=str)
@pytest.mark.parametrize("name", LAYERNORM)
def test_layernorm_patterns(name: str, axes: list[int], rng: np.random.Generator) -> None:
    x = 2 * f(rng, 3, 5, 17) + 1
    constants = {"axes": np.array(axes, np.int64), "two": 2.0, "eps": 1e-5, "gamma": f(rng, *x.shape[-len(axes) :]),
                 "beta": f(rng, *x.shape[-len(axes) :])}  # fmt: skip
    names = {i for n in LAYERNORM[name] for i in n.input}
    steps = check(LAYERNORM[name], {"x": x}, {k: v for k, v in constants.items() if k in names}, {"y": x.shape})
    assert kinds(steps) == ["norm"]


def test_a_mean_over_the_first_axis_is_no_layernorm(rng: np.random.Generator) -> None:
    constants = {"axes": np.array([0], np.int64), "eps": 1e-5}
    steps = check(LAYERNORM["bare"], {"x": f(rng, 7, 5)}, constants, {"y": (7, 5)})
    assert "norm" not in kinds(steps)


# ---- epilogues

ACTIVATIONS = {
    "clip": [node("Relu", "m", "y")],
    "leaky_relu": [node("LeakyRelu", "m", "y", alpha=0.2)],
    "sigmoid": [node("Sigmoid", "m", "y")],
    "tanh": [node("Tanh", "m", "y")],
    "hard_sigmoid": [node("HardSigmoid", "m", "y", alpha=0.3, beta=0.4)],
    "hard_swish": [node("HardSwish", "m", "y")],
    "gelu_erf": [node("Gelu", "m", "y")],
    "elu": [node("Elu", "m", "y", alpha=0.7)],
    "softplus": [node("Softplus", "m", "y")],
    "softsign": [node("Softsign", "m", "y")],
    "thresholded": [node("ThresholdedRelu", "m", "y", alpha=0.3)],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_matmul_bias_residual_activation(name: str, rng: np.random.Generator) -> None:
    nodes = [node("MatMul", "x w", "a"), node("Add", "b a", "c"), node("Add", "c r", "m"), *ACTIVATIONS[name]]
    steps = check(nodes, {"x": f(rng, 2, 5, 19), "r": f(rng, 2, 5, 33)}, {"w": f(rng, 19, 33), "b": f(rng, 33)}, {"y": (2, 5, 33)})
    assert kinds(steps) == ["gemm"]
    assert act(steps[0]) == name


CONVS = {
    "gemm": {"w": (33, 19, 1, 1), "attrs": {}},
    "conv": {"w": (33, 19, 3, 3), "attrs": {"strides": [1, 1], "dilations": [2, 2], "pads": [2, 2, 2, 2]}},
    "dwconv": {"w": (19, 1, 3, 3), "attrs": {"pads": [1, 1, 1, 1], "group": 19}},
    "winograd": {"w": (40, 48, 3, 3), "attrs": {"pads": [1, 1, 1, 1]}},
    "winograd of 5x5": {"w": (40, 48, 5, 5), "attrs": {"pads": [2, 2, 2, 2]}},
}


@pytest.mark.parametrize("name", ["clip", "hard_swish", "gelu_erf"])
@pytest.mark.parametrize("kind", CONVS)
def test_conv_batchnorm_residual_activation(kind: str, name: str, rng: np.random.Generator) -> None:
    shape = CONVS[kind]["w"]
    is_winograd = kind.startswith("winograd")
    c, m = (48 if is_winograd else 19), shape[0]  # type: ignore[index]
    nodes = [
        node("Conv", "x w b", "a", **CONVS[kind]["attrs"]),  # type: ignore[arg-type]
        node("BatchNormalization", "a scale shift mean var", "n"),
        node("Add", "r n", "m"),
        *ACTIVATIONS[name],
    ]
    constants = {"w": f(rng, *shape), "b": f(rng, m), "scale": f(rng, m), "shift": f(rng, m), "mean": f(rng, m),
                 "var": (0.5 + rng.random(m)).astype(np.float32)}  # fmt: skip
    feeds = {"x": f(rng, 2, c, 9, 11), "r": f(rng, 2, m, 9, 11)}
    steps = check(nodes, feeds, constants, {"y": (2, m, 9, 11)}, tolerance=1e-4 if is_winograd else 1e-5)
    assert kinds(steps) == ["winograd" if is_winograd else kind]
    assert act(steps[-2]) == name


@pytest.mark.parametrize("kind", ["gemm", "conv", "dwconv"])
def test_numbers_behind_hard_swish(kind: str, rng: np.random.Generator) -> None:
    shape = CONVS[kind]["w"]
    m = shape[0]  # type: ignore[index]
    nodes = [
        node("Conv", "x w", "m", **CONVS[kind]["attrs"]),  # type: ignore[arg-type]
        node("HardSwish", "m", "h"),
        node("Mul", "scale h", "s"),
        node("Add", "s shift", "t"),
        node("Mul", "t scale", "y"),
    ]
    numbers = {"scale": np.array([-1.3], np.float32), "shift": np.array([0.7], np.float32)}
    steps = check(nodes, {"x": f(rng, 2, 19, 9, 11)}, {"w": f(rng, *shape), **numbers}, {"y": (2, m, 9, 11)})
    assert kinds(steps) == [kind]


def test_a_channel_behind_hard_swish_stays(rng: np.random.Generator) -> None:
    nodes = [node("Conv", "x w", "m"), node("HardSwish", "m", "h"), node("Mul", "h scale", "y")]
    steps = check(nodes, {"x": f(rng, 1, 19, 5, 7)}, {"w": f(rng, 33, 19, 1, 1), "scale": f(rng, 33, 1, 1)}, {"y": (1, 33, 5, 7)})
    assert kinds(steps) == ["gemm", "eltwise"]


@pytest.mark.parametrize(
    ("size", "stride", "pad", "kind"), [(300, 2, 0, "dwconv"), (4000, 1, 0, "dwconv"), (300, 2, 3, "conv"), (300, 5, 0, "conv")]
)
def test_a_single_channel_is_a_line_or_a_gemm(size: int, stride: int, pad: int, kind: str, rng: np.random.Generator) -> None:
    """4000: 3937 = 31 * 127 pixels, which are cut into rows."""
    w, b = {"w": f(rng, 1, 1, 64), "b": f(rng, 1)}, node("Conv", "x w b", "y", strides=[stride], pads=[pad, pad])
    steps = check([b], {"x": f(rng, 2, 1, size)}, w, {"y": (2, 1, (size + 2 * pad - 64) // stride + 1)})
    assert kinds(steps) == [kind]
    out = next(s.args["out"] for s in steps if s.kind == kind)
    assert out == (31, 127) if size == 4000 else out[-2] == 1


@pytest.mark.parametrize("shape", [(33, 1, 1), (1,)], ids=str)
def test_prelu(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    nodes = [node("Conv", "x w", "a"), node("PRelu", "a s", "y")]
    steps = check(nodes, {"x": f(rng, 1, 5, 4, 3)}, {"w": f(rng, 33, 5, 1, 1), "s": f(rng, *shape)}, {"y": (1, 33, 4, 3)})
    assert kinds(steps) == ["gemm"]
    assert act(steps[-2]) == ("prelu" if len(shape) == 3 else "leaky_relu")


def test_two_products_meet_in_one_add(rng: np.random.Generator) -> None:
    """The later one takes the other as its residual."""
    nodes = [node("Conv", "x w", "a"), node("Conv", "x v", "b"), node("Add", "a b", "m"), node("Relu", "m", "y")]
    steps = check(nodes, {"x": f(rng, 1, 5, 4, 3)}, {"w": f(rng, 7, 5, 1, 1), "v": f(rng, 7, 5, 1, 1)}, {"y": (1, 7, 4, 3)})
    assert kinds(steps) == ["gemm", "gemm"]


def test_residual_made_after_the_product(rng: np.random.Generator) -> None:
    nodes = [node("MatMul", "x w", "a"), node("Sin", "x", "s"), node("Mul", "s s", "r"), node("Add", "a r", "y")]
    steps = check(nodes, {"x": f(rng, 5, 7)}, {"w": f(rng, 7, 7)}, {"y": (5, 7)})
    assert kinds(steps) == ["eltwise", "gemm"]


def test_what_is_an_output_is_not_swallowed(rng: np.random.Generator) -> None:
    nodes = [node("MatMul", "x w", "m"), node("Relu", "m", "y")]
    steps = check(nodes, {"x": f(rng, 5, 7)}, {"w": f(rng, 7, 3)}, {"m": (5, 3), "y": (5, 3)})
    assert kinds(steps) == ["gemm", "eltwise"]


def test_no_residual_behind_an_activation(rng: np.random.Generator) -> None:
    nodes = [node("MatMul", "x w", "m"), node("Relu", "m", "a"), node("Add", "a r", "y")]
    steps = check(nodes, {"x": f(rng, 5, 7), "r": f(rng, 5, 3)}, {"w": f(rng, 7, 3)}, {"y": (5, 3)})
    assert kinds(steps) == ["gemm", "eltwise"]


def test_broadcast_add_is_no_residual(rng: np.random.Generator) -> None:
    nodes = [node("MatMul", "x w", "m"), node("Add", "m r", "y")]
    steps = check(nodes, {"x": f(rng, 5, 7), "r": f(rng, 2, 5, 3)}, {"w": f(rng, 7, 3)}, {"y": (2, 5, 3)})
    assert kinds(steps) == ["gemm", "eltwise"]


# ---- attention: transposes become strides


def test_attention_moves_nothing(rng: np.random.Generator) -> None:
    batch, seq, heads, size = 2, 7, 3, 5
    width = heads * size
    split = {"split": np.array([batch, seq, heads, size], np.int64), "join": np.array([batch, seq, width], np.int64)}
    nodes = [
        node("MatMul", "x wq", "q0"), node("Reshape", "q0 split", "q1"), node("Transpose", "q1", "q", perm=[0, 2, 1, 3]),
        node("MatMul", "x wk", "k0"), node("Reshape", "k0 split", "k1"), node("Transpose", "k1", "k", perm=[0, 2, 3, 1]),
        node("MatMul", "x wv", "v0"), node("Reshape", "v0 split", "v1"), node("Transpose", "v1", "v", perm=[0, 2, 1, 3]),
        node("MatMul", "q k", "s0"), node("Div", "s0 root", "s"), node("Softmax", "s", "p"),
        node("MatMul", "p v", "c0"), node("Transpose", "c0", "c1", perm=[0, 2, 1, 3]), node("Reshape", "c1 join", "y"),
    ]  # fmt: skip
    constants = {"wq": f(rng, width, width), "wk": f(rng, width, width), "wv": f(rng, width, width), "root": sqrt(size), **split}
    steps = check(nodes, {"x": f(rng, batch, seq, width)}, constants, {"y": (batch, seq, width)})
    assert sorted(s.kind for s in steps) == ["attention"] + ["gemm"] * 3


SCORES = {
    "bare": [node("Identity", "s0", "s")],
    "times a number": [node("Mul", "number s0", "s")],
    "mask of keys": [node("Div", "s0 number", "s1"), node("Add", "s1 keys", "s")],
    "mask of heads first": [node("Add", "heads s0", "s1"), node("Identity", "s1", "s")],
    "whole mask": [node("Add", "s0 all", "s")],
}
BATCH, SEQ, HEADS, SIZE = 2, 7, 3, 5
SHAPES = {"split": [BATCH, SEQ, HEADS, SIZE], "join": [BATCH, SEQ, HEADS * SIZE], "three": [BATCH, SEQ, 3, HEADS, SIZE], "thirds": [5] * 3}
FROM = {
    "projections": [node("Reshape", f"{x} split", f"{x}1") for x in ("xq", "xk", "xv")] + [
        node("Transpose", "xq1", "q", perm=[0, 2, 1, 3]), node("Transpose", "xk1", "k", perm=[0, 2, 3, 1]),
        node("Transpose", "xv1", "v", perm=[0, 2, 1, 3]),
    ],
    "one projection, sliced": [
        node("Reshape", "x3 three", "x4"), node("Transpose", "x4", "x5", perm=[2, 0, 3, 1, 4]),
        *(node("Slice", f"x5 i{i} i{i + 1} i0", f"{x}1") for i, x in enumerate("qkv")),
        *(node("Squeeze", f"{x}1 i0", f"{x}2") for x in "qkv"),
        node("Mul", "q2 number", "q"), node("Transpose", "k2", "k", perm=[0, 1, 3, 2]), node("Identity", "v2", "v"),
    ],
    "one projection, split": [
        node("Reshape", "x3 three", "x4"), node("Split", "x4", "q1 k1 v1", axis=2, num_outputs=3),
        *(node("Squeeze", f"{x}1 i2", f"{x}2") for x in "qkv"),
        node("Transpose", "q2", "q3", perm=[0, 2, 1, 3]), node("Transpose", "k2", "k3", perm=[0, 2, 3, 1]),
        node("Mul", "q3 number", "q"), node("Mul", "k3 number", "k"), node("Transpose", "v2", "v", perm=[0, 2, 1, 3]),
    ],
    "one projection, gathered": [
        node("Reshape", "x3 three", "x4"), node("Transpose", "x4", "x5", perm=[2, 0, 3, 1, 4]),
        *(node("Gather", f"x5 n{i}", f"{x}1", axis=0) for i, x in enumerate("qkv")),
        node("Identity", "q1", "q"), node("Transpose", "k1", "k", perm=[0, 1, 3, 2]), node("Identity", "v1", "v"),
    ],
}  # fmt: skip


def attention_constants(rng: np.random.Generator, nodes: list[Any]) -> dict[str, Any]:
    constants = {name: np.array(shape, np.int64) for name, shape in SHAPES.items()}
    constants |= {f"i{i}": np.array([i], np.int64) for i in range(4)} | {f"n{i}": np.array(i, np.int64) for i in range(3)}
    constants |= {"number": np.float32(0.4), "keys": f(rng, BATCH, 1, 1, SEQ), "heads": f(rng, 1, HEADS, SEQ, SEQ),
                  "all": f(rng, BATCH, HEADS, SEQ, SEQ)}  # fmt: skip
    names = {i for n in nodes for i in n.input}
    return {k: v for k, v in constants.items() if k in names}


@pytest.mark.parametrize("scores", SCORES)
@pytest.mark.parametrize("source", FROM)
def test_attention_patterns(source: str, scores: str, rng: np.random.Generator) -> None:
    nodes = [
        *FROM[source], node("MatMul", "q k", "s0"), *SCORES[scores], node("Softmax", "s", "p"), node("MatMul", "p v", "c0"),
        node("Transpose", "c0", "c1", perm=[0, 2, 1, 3]), node("Reshape", "c1 join", "y"),
    ]  # fmt: skip
    width = HEADS * SIZE
    names = ("xq", "xk", "xv") if source == "projections" else ("x3",)
    feeds = {name: f(rng, BATCH, SEQ, width * (3 // len(names))) for name in names}
    steps = check(nodes, feeds, attention_constants(rng, nodes), {"y": (BATCH, SEQ, width)})
    assert [s.kind for s in steps] == ["attention"]


NO_ATTENTION = {
    "scores seen": [node("MatMul", "q k", "s"), node("Softmax", "s", "p"), node("MatMul", "p v", "y"), node("Relu", "s", "z")],
    "weights seen": [node("MatMul", "q k", "s"), node("Softmax", "s", "p"), node("MatMul", "p v", "y"), node("Relu", "p", "z")],
    "another axis": [node("MatMul", "q k", "s"), node("Softmax", "s", "p", axis=-2), node("MatMul", "p v", "y"), node("Relu", "y", "z")],
    "weights on the right": [node("MatMul", "q k", "s"), node("Softmax", "s", "p"), node("MatMul", "v p", "y"), node("Relu", "y", "z")],
    "keys in columns": [node("MatMul", "q c", "s"), node("Softmax", "s", "p"), node("MatMul", "p v", "y"), node("Relu", "y", "z")],
}


@pytest.mark.parametrize("name", NO_ATTENTION)
def test_what_is_no_attention(name: str, rng: np.random.Generator) -> None:
    turned = [node("Transpose", "c", "k", perm=[0, 2, 1])]
    feeds = {"q": f(rng, 2, 7, 7), "c": f(rng, 2, 7, 7), "v": f(rng, 2, 7, 7)}
    steps = check([*turned, *NO_ATTENTION[name]], feeds, {}, {"y": (2, 7, 7), "z": (2, 7, 7)})
    assert "attention" not in kinds(steps)


def test_heads_that_share_keys(rng: np.random.Generator) -> None:
    """Two queries for each key and value, by broadcasting."""
    nodes = [node("MatMul", "q k", "s"), node("Softmax", "s", "p"), node("MatMul", "p v", "y")]
    turned = [node("Transpose", "c", "k", perm=[0, 1, 2, 4, 3])]
    feeds = {"q": f(rng, 2, 3, 2, 7, 16), "c": f(rng, 2, 3, 1, 9, 16), "v": f(rng, 2, 3, 1, 9, 8)}
    steps = check([*turned, *nodes], feeds, {}, {"y": (2, 3, 2, 7, 8)})
    assert [s.kind for s in steps] == ["attention"]


# ---- one-hot encodings

ONE_HOT = [node("Unsqueeze", "x last", "a"), node("Equal", "a numbers", "b"), node("Cast", "b", "c", to=1), node("MatMul", "c w", "y")]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_a_one_hot_product_is_a_gather(dtype: Any, rng: np.random.Generator) -> None:
    """Numbers that are not encoded have rows of zeros."""
    x = np.array([[0, 8, 3, 9], [-1, -9, 1 << 30, 2]], dtype)
    w = f(rng, 9, 5)
    model = make_model(
        ONE_HOT, {"x": x}, {"w": w, "last": np.array([-1], np.int64), "numbers": np.arange(9, dtype=dtype)}, {"y": (2, 4, 5)}
    )
    (y,), steps = run(model, {"x": x})
    inside = (x >= 0) & (x < 9)
    np.testing.assert_array_equal(y, np.where(inside[..., None], w[np.where(inside, x, 0)], 0))
    assert "gemm" not in kinds(steps)
    assert "gather" in kinds(steps)


@pytest.mark.parametrize("numbers", [[0, 1, 3, 2], [1, 2, 3, 4]], ids=str)
def test_other_numbers_stay_a_product(numbers: list[int], rng: np.random.Generator) -> None:
    x = np.array([3, 0, 2], np.int64)
    constants = {"w": f(rng, 4, 5), "last": np.array([-1], np.int64), "numbers": np.array(numbers)}
    assert "gemm" in kinds(check(ONE_HOT, {"x": x}, constants, {"y": (3, 5)}))


def test_infinity_in_a_table_stays_a_product(rng: np.random.Generator) -> None:
    w = f(rng, 4, 5)
    w[2, 3] = np.inf
    x = np.array([3, 0, 2], np.int64)
    model = make_model(ONE_HOT, {"x": x}, {"w": w, "last": np.array([-1], np.int64), "numbers": np.arange(4)}, {"y": (3, 5)})
    assert "gemm" in kinds(run(model, {"x": x})[1])


# ---- channel shuffle, pools, old opsets


@pytest.mark.parametrize("groups", [2, 3])
def test_channel_shuffle(groups: int, rng: np.random.Generator) -> None:
    x = f(rng, 2, 5, 4, 3)
    shapes = {"split": np.array([2, groups, 2, 4, 3], np.int64), "join": np.array([2, 2 * groups, 4, 3], np.int64)}
    nodes = [
        node("Conv", "x w", "a"), node("Reshape", "a split", "b"), node("Transpose", "b", "c", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "c join", "d"), node("Conv", "d v", "y"),
    ]  # fmt: skip
    constants = {"w": f(rng, 2 * groups, 5, 1, 1), "v": f(rng, 7, 2 * groups, 1, 1), **shapes}
    steps = check(nodes, {"x": x}, constants, {"y": (2, 7, 4, 3)})
    assert [s.kind for s in steps].count("copy") == 3  # in, shuffle, out


def test_squeeze_and_excite(rng: np.random.Generator) -> None:
    nodes = [
        node("Conv", "x w", "a"), node("GlobalAveragePool", "a", "p"), node("Conv", "p w1 b1", "q"), node("Relu", "q", "r"),
        node("Conv", "r w2 b2", "s"), node("HardSigmoid", "s", "g"), node("Mul", "a g", "m"), node("Conv", "m v", "y"),
    ]  # fmt: skip
    constants = {"w": f(rng, 20, 5, 1, 1), "w1": f(rng, 6, 20, 1, 1), "b1": f(rng, 6), "w2": f(rng, 20, 6, 1, 1), "b2": f(rng, 20),
                 "v": f(rng, 7, 20, 1, 1)}  # fmt: skip
    steps = check(nodes, {"x": f(rng, 2, 5, 4, 3)}, constants, {"y": (2, 7, 4, 3)})
    assert kinds(steps) == ["gemm", "reduce", "gemm", "gemm", "eltwise", "gemm"]


@pytest.mark.parametrize(("p", "kind"), [(1, "reduce"), (2, "reduce"), (3, "pool")])
def test_global_lp_pool(p: int, kind: str, rng: np.random.Generator) -> None:
    x = f(rng, 2, 3, 4, 5)
    model = make_model([node("GlobalLpPool", "x", "y", p=p)], {"x": x}, {}, {"y": (2, 3, 1, 1)})
    (y,), steps = run(model, {"x": x})
    want = (np.abs(x.astype(np.float64)) ** p).sum(axis=(2, 3), keepdims=True) ** (1 / p)
    np.testing.assert_allclose(y, want, rtol=1e-5)
    assert kinds(steps) == [kind]


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_softmax_before_opset_13_flattens(op: str, rng: np.random.Generator) -> None:
    x = f(rng, 2, 3, 5)
    (y,), _ = run(make_model([node(op, "x", "y", axis=1)], {"x": x}, {}, {"y": x.shape}, opset=11), {"x": x})
    e = np.exp(x.astype(np.float64))
    want = e / e.sum(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(y, want if op == "Softmax" else np.log(want), rtol=1e-5)


def test_linear_upsample_of_opset_9(rng: np.random.Generator) -> None:
    x = f(rng, 1, 2, 3, 4)
    scales = np.array([1, 1, 2, 1], np.float32)
    model = make_model([node("Upsample", "x s", "y", mode="linear")], {"x": x}, {"s": scales}, {"y": (1, 2, 6, 4)}, 9)
    (y,), _ = run(model, {"x": x})
    last = np.concatenate([x[:, :, 1:], x[:, :, -1:]], axis=2)
    want = np.stack([x, (x + last) / 2], axis=3).reshape(1, 2, 6, 4)
    np.testing.assert_allclose(y, want, rtol=1e-6)
