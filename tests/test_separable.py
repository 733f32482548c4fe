"""Depthwise and pointwise convolutions in one step: against numpy in float64, and bit for bit against the three steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pytest
from _everywhere import same_bits
from _guard import guarded, guarded_copy
from _plans import make_model, node
from _steps import run_step
from hypothesis import given, settings
from hypothesis import strategies as st

from asymo.graph.passes import fuse_separable
from asymo.plan import layout
from asymo.plan.tiles import Target, separable_candidates
from asymo.runtime.session import InferenceSession, SessionOptions

Array = np.ndarray


@dataclass(frozen=True)
class Case:
    size: tuple[int, int]
    c: int
    e: int
    n: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (1, 1)
    batch: int = 1
    expands: bool = True
    projects: bool = True
    adds: bool = False
    act: tuple[int, int, int] = (0, 0, 0)
    unit_rows: int = 2

    @property
    def out(self) -> tuple[int, int]:
        axes = zip(self.size, self.kernel, self.stride, self.dilation, self.pad, strict=True)
        h, w = ((size + 2 * pad - (k - 1) * d - 1) // s + 1 for size, k, s, d, pad in axes)
        return h, w

    @property
    def args(self) -> dict[str, Any]:
        return {
            "batch": self.batch, "c": self.c, "e": self.e, "n": self.n, "in": self.size, "out": self.out, "kernel": self.kernel,
            "stride": self.stride, "dilation": self.dilation, "pad": self.pad, "expands": int(self.expands),
            "projects": int(self.projects), "adds": int(self.adds), "unit_rows": self.unit_rows, "act": self.act,
            "p": (0.0, 1.5 if self.act[1] == 8 else 0.0, 0.5), "q": (6.0, 6.0, 0.0),
        }  # fmt: skip


CASES = {
    "all three": Case((9, 11), 5, 19, 7),
    "stride 2": Case((10, 9), 5, 33, 7, stride=(2, 2), act=(1, 1, 0)),
    "residual": Case((7, 6), 16, 40, 16, adds=True, act=(1, 6, 0), batch=2),
    "no expansion": Case((9, 30), 17, 17, 40, expands=False, act=(0, 1, 1), unit_rows=4),
    "no projection": Case((9, 8), 3, 35, 35, projects=False, kernel=(5, 5), pad=(2, 2), act=(6, 8, 0)),
    "one unit": Case((5, 4), 4, 16, 8, unit_rows=5),
    "rows that nobody sees": Case((13, 7), 4, 16, 8, kernel=(2, 3), stride=(3, 1), pad=(0, 1), unit_rows=1),
    "far apart": Case((9, 9), 4, 16, 8, dilation=(3, 2), pad=(3, 2), unit_rows=1),
    "all padding": Case((2, 3), 4, 16, 8, pad=(4, 1), unit_rows=3),
    "rows that alias": Case((3, 20), 1024, 8, 4),
}


def tensors(case: Case, seed: int = 0) -> list[Array | None]:
    """X, A, a, W, d, B, b, R; A and B as matrices."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Array:
        return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    e, n = case.e, case.n
    x = draw(case.batch, *case.size, case.c)
    expand = [draw(case.c, e), draw(e)] if case.expands else [None, None]
    project = [draw(e, n), draw(n)] if case.projects else [None, None]
    return [x, *expand, draw(*case.kernel, e), draw(e), *project, draw(case.batch, *case.out, n) if case.adds else None]


def act(y: Array, kind: int, p: float, q: float) -> Array:
    match kind:
        case 1:
            return np.clip(y, p, q)
        case 6:
            return y / (1 + np.exp(-p * y))
        case 8:
            return p * y * np.clip(y / 6 + 0.5, 0, 1) + q
    return y


def expected(case: Case, t: list[Array | None]) -> Array:
    x, a, a_bias, w, w_bias, b, b_bias, r = (None if v is None else v.astype(np.float64) for v in t)
    p, q = case.args["p"], case.args["q"]
    assert x is not None
    assert w is not None
    assert w_bias is not None
    y = x if a is None else act(x @ a + a_bias, case.act[0], p[0], q[0])
    h, width = case.out
    reach = [(o - 1) * s + (k - 1) * d + 1 for o, s, k, d in zip(case.out, case.stride, case.kernel, case.dilation, strict=True)]
    room = [max(r - size - pad, 0) for r, size, pad in zip(reach, case.size, case.pad, strict=True)]
    padded = np.pad(y, [(0, 0), (case.pad[0], room[0]), (case.pad[1], room[1]), (0, 0)])
    total = np.zeros((case.batch, h, width, case.e)) + w_bias
    for i in range(case.kernel[0]):
        for j in range(case.kernel[1]):
            top, left = i * case.dilation[0], j * case.dilation[1]
            rows = padded[:, top : top + (h - 1) * case.stride[0] + 1 : case.stride[0]]
            total += rows[:, :, left : left + (width - 1) * case.stride[1] + 1 : case.stride[1]] * w[i, j]
    y = act(total, case.act[1], p[1], q[1])
    return y if b is None else act(y @ b + b_bias + (0 if r is None else r), case.act[2], p[2], q[2])


def operands(t: list[Array | None]) -> list[Array | None]:
    """The same with the matrices packed for the current instruction set."""
    return [layout.pack_gemm(v[None]).reshape(-1) if v is not None and i in (1, 5) else v for i, v in enumerate(t)]


def apart(case: Case, t: list[Array | None]) -> Array:
    """The three steps one after the other."""
    x, a, a_bias, w, w_bias, b, b_bias, r = operands(t)
    args = case.args

    def pointwise(part: int, v: Array, k: int, n: int, packed: Array | None, bias: Array | None, add: Array | None) -> Array:
        m = v.size // k
        y = np.zeros((*v.shape[:-1], n), np.float32)
        gemm = {"m": m, "n": n, "k": k, "lda": k, "ldc": n, "ldr": n if add is not None else 0, "batch": (1, 1, 1), "n_fastest": 1}
        gemm |= {"act": args["act"][part], "p": args["p"][part], "q": args["q"][part]}
        run_step("gemm", gemm, [v, packed, bias, add, None, y])
        return y

    assert x is not None
    if case.expands:
        x = pointwise(0, x, case.c, case.e, a, a_bias, None)
    (height, width), e = case.out, case.e
    y = np.zeros((case.batch, height, width, e), np.float32)
    depthwise = {name: args[name] for name in ("batch", "in", "out", "kernel", "stride", "dilation", "pad")} | {
        "channels": e, "x_batch": x[0].size, "y_batch": y[0].size, "x_stride": (case.size[1] * e, e), "y_stride": (width * e, e),
        "unit_rows": 1, "unit_c": e, "act": args["act"][1], "p": args["p"][1], "q": args["q"][1],
    }  # fmt: skip
    run_step("dwconv", depthwise, [x, w, w_bias, None, None, y])
    return pointwise(2, y, e, case.n, b, b_bias, r) if case.projects else y


@pytest.mark.parametrize("name", CASES)
def test_against_numpy(name: str, isa: str) -> None:
    case = CASES[name]
    t = tensors(case)
    y = np.full((case.batch, *case.out, case.n), np.nan, np.float32)
    run_step("separable", case.args, [*operands(t), y])
    right = expected(case, t)
    assert np.abs(y - right).max() <= 2e-6 * max(np.abs(right).max(), 1)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("unit_rows", [1, 3, 100])
def test_bits_are_those_of_three_steps(name: str, unit_rows: int, isa: str) -> None:
    case = replace(CASES[name], unit_rows=unit_rows)
    t = tensors(case)
    right = apart(case, t)
    for workers, min_chunk in ((1, 1), (3, 1), (2, 3)):
        y = np.full_like(right, np.nan)
        run_step("separable", case.args, [*operands(t), y], workers=workers, min_chunk=min_chunk)
        assert same_bits(y, right)


@pytest.mark.parametrize("at", ["begin", "end"])
@pytest.mark.parametrize("name", CASES)
def test_touches_nothing_else(name: str, at: Literal["begin", "end"], isa: str) -> None:
    """Everything lies beside unmapped memory."""
    case = CASES[name]
    t = [None if v is None else guarded_copy(v, at) for v in operands(tensors(case))]
    y = guarded((case.batch, *case.out, case.n), np.float32, at)
    y[...] = np.nan
    run_step("separable", case.args, [*t, y], workers=2)
    assert same_bits(y, apart(case, tensors(case)))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_shape(data: st.DataObject) -> None:
    small = st.integers(1, 3)
    pairs = {name: (data.draw(small), data.draw(small)) for name in ("kernel", "stride", "dilation")}
    size = (data.draw(st.integers(1, 12)), data.draw(st.integers(1, 9)))
    reach = [(k - 1) * d + 1 for k, d in zip(pairs["kernel"], pairs["dilation"], strict=True)]
    pad = tuple(max(data.draw(st.integers(0, 2)), -(-(r - s) // 2), 0) for r, s in zip(reach, size, strict=True))
    expands, projects = data.draw(st.booleans()), data.draw(st.booleans())
    c, e, n = (data.draw(st.integers(1, 20)) for _ in range(3))
    case = Case(size, c if expands else e, e, n if projects else e, pad=pad, expands=expands, projects=projects,
                unit_rows=data.draw(st.integers(1, 5)), batch=data.draw(small), **pairs)  # type: ignore[arg-type]  # fmt: skip
    t = tensors(case, 1)
    right = apart(case, t)
    y = np.full_like(right, np.nan)
    run_step("separable", case.args, [*operands(t), y], workers=data.draw(small), min_chunk=data.draw(small))
    assert same_bits(y, right)


@given(st.integers(1, 4), st.integers(1, 300), st.integers(1, 300), st.integers(1, 3), st.integers(1, 7), st.integers(0, 1 << 22))
def test_units(batch: int, rows: int, width: int, stride: int, reach: int, row_bytes: int) -> None:
    for c in separable_candidates(batch, rows, width, stride, reach, row_bytes, Target(14, 32, 1 << 20, (1, 4))):
        assert 1 <= c["unit_rows"] <= rows  # type: ignore[operator]
        held = row_bytes * ((c["unit_rows"] - 1) * stride + reach)  # type: ignore[operator]
        assert c["unit_rows"] == 1 or held <= 1 << 19


# ---- the pass

NODES = {
    "all three": ([node("Conv", "x a", "e"), node("Relu", "e", "f"), node("Conv", "f w", "d", group=24, pads=[1] * 4),
                   node("Relu", "d", "g"), node("Conv", "g b", "p"), node("Add", "p x", "y")], ["separable"]),
    "stem": ([node("Conv", "x v", "s", pads=[1] * 4), node("Conv", "s w", "d", group=24, pads=[1] * 4), node("Conv", "d b", "y")],
             ["conv", "separable"]),
    "gate behind": ([node("Conv", "x a", "e"), node("Conv", "e w", "d", group=24, strides=[2, 2]),
                     node("GlobalAveragePool", "d", "s"), node("Mul", "d s", "y")], ["separable", "reduce", "eltwise"]),
    "seen by another": ([node("Conv", "x a", "e"), node("Conv", "e w", "d", group=24, pads=[1] * 4), node("Add", "d e", "g"),
                         node("Sin", "g", "y")], ["gemm", "dwconv", "eltwise"]),
    "chain": ([node("Conv", "x a", "e"), node("Conv", "e w", "d", group=24), node("Conv", "d b", "p"), node("Conv", "p a", "f"),
               node("Conv", "f w", "g", group=24), node("Conv", "g b", "y")], ["separable", "separable"]),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_joins(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps that are joined, and the bits of the plan without joining."""
    rng = np.random.default_rng(3)
    nodes, kinds = NODES[name]
    constants = {"a": (24, 6, 1, 1), "w": (24, 1, 3, 3), "b": (6, 24, 1, 1), "v": (24, 6, 3, 3)}
    used = {i for n in nodes for i in n.input}
    weights = {k: rng.standard_normal(s).astype(np.float32) for k, s in constants.items() if k in used}
    x = rng.standard_normal((2, 6, 9, 7)).astype(np.float32)
    blob = make_model(nodes, {"x": x}, weights, {"y": None}).SerializeToString()
    results = []
    for limit in (0, 1 << 40):
        monkeypatch.setattr(fuse_separable, "LEAST_BYTES", limit)
        monkeypatch.setattr(fuse_separable, "MOST_FLOPS", np.inf)
        session = InferenceSession(blob, SessionOptions(intra_op_num_threads=2))
        results.append(session.run(None, {"x": x})[0])
        (plan,) = session.plans()
        found = [s.kind for s in plan.steps if s.kind not in ("copy", "winograd")]
        assert found == kinds if limit == 0 else "separable" not in found
    assert same_bits(*results)


def test_pays_where_memory_is_waited_for() -> None:
    """MobileNetV2's second block, and MobileNetV1's third."""
    rng = np.random.default_rng(4)

    def kinds(c: int, e: int, n: int, side: int) -> set[str]:
        a, w, b = ((e, c, 1, 1), (e, 1, 3, 3), (n, e, 1, 1))
        weights = {k: rng.standard_normal(s).astype(np.float32) for k, s in zip("awb", (a, w, b), strict=True)}
        nodes = [node("Conv", "x a", "e"), node("Conv", "e w", "d", group=e, pads=[1] * 4, strides=[2, 2]), node("Conv", "d b", "y")]
        x = np.zeros((1, c, side, side), np.float32)
        session = InferenceSession(make_model(nodes, {"x": x}, weights, {"y": None}).SerializeToString())
        session.run(None, {"x": x})
        return {s.kind for s in session.plans()[0].steps}

    assert "separable" in kinds(16, 96, 24, 112)
    assert "separable" not in kinds(128, 128, 128, 56)
    assert "separable" not in kinds(16, 96, 24, 28)
