"""Machines: text form, restriction, generic figures; every step kind has a class, a counter and a time."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asymo import _core
from asymo.cost import features, probes, products, speeds, steps
from asymo.cost.text import dump, parse
from asymo.device import profile, tree
from asymo.errors import InvalidArgumentError

GEOMETRY = (8, 8)
BIG = speeds.generic("big", 4, 2.4e9, 8, l3_bytes=2 << 20)
LITTLE = speeds.generic("little", 4, 1.8e9, 4, in_order=True)
PHONE = speeds.Machine((BIG, LITTLE), 5e-6, 1e-6, 12e9, "made up", "neon", GEOMETRY)

GEMM = {
    "m": 100, "n": 60, "k": 70, "lda": 70, "ldc": 60, "ldr": 60, "batch": (1, 2, 3), "a_stride": (0, 1, 1), "b_stride": (0, 0, 0),
    "c_stride": (0, 1, 1), "r_stride": (0, 0, 0), "unit_m": 24, "unit_n": 16, "n_fastest": 1, "act": 1, "p": 0.0, "q": 6.0,
}  # fmt: skip
IMAGE = {"x_batch": 0, "y_batch": 0, "r_batch": 0, "act": 0, "p": 0.0, "q": 0.0}
FIRST_CONV = {
    **IMAGE, "batch": 2, "groups": 1, "c": 3, "n": 32, "in": (1, 33, 31), "out": (1, 17, 16), "kernel": (1, 3, 3), "stride": (1, 2, 2),
    "dilation": (1, 1, 1), "pad": (0, 1, 1), "x_stride": (0, 93, 3), "y_stride": (0, 512, 32), "r_stride": (0, 0, 0), "unit_m": 40,
    "unit_n": 32, "n_fastest": 0,
}  # fmt: skip
PLANE = {"x_stride": (64, 8), "y_stride": (64, 8), "r_stride": (64, 8)}
EXAMPLES: dict[str, dict[str, Any]] = {
    "gemm": GEMM,
    "gemm_pack": {"k": 70, "n": 60, "k_stride": 60, "n_stride": 1, "batch": (1, 2, 3), "b_stride": (0, 1, 1)},
    "conv": FIRST_CONV,
    "dwconv": {
        **IMAGE, **PLANE, "batch": 2, "channels": 40, "in": (19, 17), "out": (19, 17), "kernel": (3, 3), "stride": (1, 1),
        "dilation": (1, 1), "pad": (1, 1), "unit_rows": 4, "unit_c": 16,
    },
    "separable": {
        "batch": 2, "c": 12, "e": 40, "n": 20, "in": (19, 17), "out": (10, 9), "kernel": (3, 3), "stride": (2, 2), "dilation": (1, 1),
        "pad": (1, 1), "expands": 1, "projects": 1, "adds": 1, "unit_rows": 4, "act": (1, 1, 0), "p": (0.0, 0.0, 0.0), "q": (6.0, 6.0, 0.0),
    },
    "winograd": {
        **IMAGE, **PLANE, "tile": 4, "kernel": (3, 3), "batch": 2, "c": 40, "n": 130, "in": (19, 17), "out": (19, 17),
        "pad": (1, 1), "unit_tiles": 9, "unit_n": 64,
    },
    "pool": {
        "mode": 0, "batch": 2, "channels": 40, "in": (1, 19, 17), "out": (1, 9, 8), "kernel": (1, 3, 3), "stride": (1, 2, 2),
        "dilation": (1, 1, 1), "pad": (0, 0, 0), "pad_end": (0, 0, 0), "x_batch": 0, "y_batch": 0, "x_stride": (0, 0, 0),
        "y_stride": (0, 0, 0), "include_pad": 0, "column_major": 0, "p": 0.0,
    },
    "eltwise": {"rank": 2, "shape": (30, 70, 0, 0, 0, 0, 0, 0), "n_in": 2, "n_out": 1, "n_code": 4, "in_type": 0, "out_type": 0,
                "unit_size": 512},
    "typed": {"op": 0, "rank": 2, "shape": (30, 70, 0, 0, 0, 0, 0, 0), "n_in": 2, "in_type": 8, "out_type": 8, "unit_size": 512},
    "copy": {"size_bytes": 4, "rank": 3, "shape": (3, 30, 70, 0, 0, 0, 0, 0), "src_stride": (2100, 70, 1, 0, 0, 0, 0, 0),
             "dst_stride": (2100, 1, 30, 0, 0, 0, 0, 0), "unit_rows": 8},
    "fill": {"size_bytes": 4, "count": 1000, "unit_size": 300},
    "gather": {"outer": 3, "axis": 50, "count": 7, "inner_bytes": 400, "index_type": 8},
    "reduce": {"mode": 0, "outer": 3, "reduce": 50, "inner": 40, "outer_stride": 2000, "reduce_stride": 40, "unit_inner": 16},
    "argreduce": {"largest": 1, "select_last": 0, "outer": 5, "reduce": 50, "inner": 4},
    "softmax": {"log": 0, "outer": 5, "reduce": 50, "inner": 40, "unit_inner": 16},
    "attention": {
        "batch": (1, 2, 3), "rows": 33, "keys": 40, "depth": 32, "width": 24, "q_stride": (0, 1, 1), "k_stride": (0, 1, 1),
        "v_stride": (0, 1, 1), "mask_stride": (0, 0, 0), "y_stride": (0, 1, 1), "q_row": 96, "k_row": 96, "v_row": 96, "mask_row": 0,
        "y_row": 72, "unit_rows": 14, "idle": 0, "scale": 0.2,
    },
    "norm": {"rms": 0, "outer": 5, "groups": 1, "reduce": 1, "inner": 64, "inner_reduced": 1, "param": 0, "eps": 1e-5},
    "lrn": {"rows": 50, "channels": 64, "size": 5, "unit_rows": 8, "alpha": 1.0, "beta": 0.75, "bias": 1.0},
    "resample": {"outer": 3, "axis": 50, "count": 100, "inner": 40, "taps": 2},
    "rnn": {"cell": 2, "seq": 7, "batch": 2, "hidden": 100, "reverse": 0, "linear_before_reset": 0, "input_forget": 0, "x_seq": 0,
            "x_batch": 0, "y_seq": 0, "y_batch": 0, "unit_n": 32, "act": (4, 5, 0), "p": (0.0, 0.0, 0.0), "q": (0.0, 0.0, 0.0),
            "clip": 0.0},
}  # fmt: skip
"""Step kind -> arguments as the lowering makes them."""


def test_every_step_kind_is_counted() -> None:
    assert _core.step_kinds() == list(features.KINDS) == list(EXAMPLES)


@pytest.mark.parametrize("kind", features.KINDS)
def test_units_and_phases_are_those_of_the_core(kind: str) -> None:
    here = speeds.Machine((BIG,), 0.0, 0.0, 1e9, "made up", _core.isa_name(), _core.gemm_geometry()[:2])
    assert steps.units(kind, EXAMPLES[kind], here) == _core.step_units(kind, EXAMPLES[kind]) > 1
    assert steps.phases(kind, EXAMPLES[kind]) == _core.step_phases(kind, EXAMPLES[kind])


@pytest.mark.parametrize("kind", features.KINDS)
def test_every_step_takes_time(kind: str) -> None:
    args = EXAMPLES[kind]
    name = steps.classify(kind, args, GEOMETRY[0])
    counts = features.count(kind, args, steps.place(BIG, 1, PHONE, 0))
    assert set(counts) <= set(features.CLASSES[name])
    assert min(counts.values()) >= 0
    big, little = (steps.step_seconds(kind, args, t, 1, PHONE) for t in PHONE.types)
    assert 0 < big < little
    assert steps.units(kind, args, PHONE) * steps.phases(kind, args) > 0
    assert steps.step_seconds(kind, args, BIG, 4, PHONE) > 0
    assert products.as_work(kind, args, PHONE).units >= 1
    assert [t.name for t in products.core_types(kind, args, PHONE)] == ["big", "little"]


def test_gemm_counts_worked_by_hand() -> None:
    """6 entries of 100 x 60 x 70 on 8 x 8 tiles in units of 24 x 16: 5 blocks of rows, the last has 4, which is half a tile."""
    counts = features.count("gemm", GEMM, features.Place(8, 8, 32 << 10, 256 << 10, 0, 1, 0))
    assert counts["macs"] == 6 * 70 * 100 * 60
    assert counts["tile"] == 6 * 13 * 8
    assert counts["unit"] == 6 * 5 * 4
    assert counts["output"] == 6 * 100 * 60
    assert counts["row"] == 6 * 100
    assert counts["act"] == counts["near"] == 0


@pytest.mark.parametrize(("gap", "level"), [(0, None), (512 << 10, "store"), (64 << 20, "allocate")])
def test_outputs_cost_by_when_their_memory_was_used(gap: int, level: str | None) -> None:
    """24 kB of outputs in caches of 256 kB and 2 MB: in the first, beyond it, in memory."""
    args = {**GEMM, "batch": (1, 1, 1), "ldr": 0}
    touched = features.Touched(inputs=((1.0, 0),), outputs=((0.5, gap), (0.5, gap)))
    counts = features.count("gemm", args, features.Place(8, 8, 32 << 10, 256 << 10, 2 << 20, 1, 0, touched))
    assert {name: counts[name] for name in ("store", "allocate") if counts[name]} == ({level: 4 * 100 * 60} if level else {})


def test_a_cold_start_is_as_long_as_its_stream_at_most() -> None:
    """Weights in memory: a panel of 64 rows is half of START_BYTES, 1000 rows are a whole start; a depthwise 3 x 3 begins nine streams."""
    cold = features.Place(8, 32, 32 << 10, 256 << 10, 2 << 20, 1, 64 << 20)
    args = {**GEMM, "batch": (1, 1, 1), "ldr": 0, "m": 1, "n": 32}
    assert [features.count("gemm", {**args, "k": k}, cold)["start"] for k in (64, 1000)] == [0.5, 1.0]
    assert features.count("dwconv", probes.dwconv(14, 64, 3, 1, 0, 14).args, cold)["start"] == 9.0


def test_transformed_tiles_cost_when_their_memory_is_cold() -> None:
    """Two cores' 36 x 14 tiles of 64 + 16 channels in and out."""
    args = probes.winograd(4, 56, 64, 64, 1, 14, 32).args
    assert features.winograd_scratch(args) == 4 * 36 * 14 * (80 + 80)
    place = features.Place(14, 32, 32 << 10, 1 << 20, 8 << 20, 2, 0)
    hot, cold = (features.count("winograd", args, place._replace(touched=t)) for t in (
        features.Touched(outputs=((1.0, 0.0),)), features.Touched(outputs=((1.0, 0.0),), scratch=((1.0, 64 << 20),)),
    ))  # fmt: skip
    assert cold["allocate"] - hot["allocate"] == 2 * features.winograd_scratch(args)


def test_conv_of_few_channels_points_once_a_row_of_its_window() -> None:
    assert features._taps(FIRST_CONV) == (3, 27)
    assert features._taps({**FIRST_CONV, "c": 17}) == (9, 153)


def test_classes_of_gemms() -> None:
    assert steps.classify("gemm", {**GEMM, "m": 8}, 8) == "gemv"
    assert steps.classify("gemm", {**GEMM, "m": 9}, 8) == "gemm"
    assert steps.classify("winograd", EXAMPLES["winograd"]) == "winograd4"


def test_text_form_round_trip() -> None:
    text = dump(PHONE)
    again = parse(text, "here")
    assert dump(again) == text
    assert again.types[1].in_order
    assert again.geometry == GEOMETRY
    assert again.types[0].classes["gemm"].alone == pytest.approx(BIG.classes["gemm"].alone, rel=1e-3)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{", "["),
        ('"format": 2', '"format": 99'),
        ('"wake_s": 5e-06', '"wake_s": -1'),
        ('"wake_s": 5e-06', '"wake_s": NaN'),
        ('"wake_s": 5e-06', '"wake_s": "fast"'),
        ('"geometry": [8, 8]', '"geometry": [8]'),
        ('"macs"', '"mac"'),
        ('"cores": 4', '"cores": 0'),
        ('"rnn"', '"nnr"'),
    ],
)
def test_damaged_text_is_refused_with_the_remedy(old: str, new: str) -> None:
    text = dump(PHONE)
    assert old in text
    with pytest.raises(InvalidArgumentError, match=r"profile\.txt is not a calibration .* run `asymo-bench calibrate`"):
        parse(text.replace(old, new), "profile.txt")


def test_restricting_keeps_the_speeds() -> None:
    less = PHONE.restrict({"big": 2})
    assert [(t.name, t.cores, t.of) for t in less.types] == [("big", 2, 4)]
    assert PHONE.restrict({"big": 9, "little": 1}).cores == 5


def test_rates_lie_on_the_line_between_alone_and_busy() -> None:
    rates = speeds.Rates((1.0, 2.0), (4.0, 2.0))
    assert [rates.at(n, 4) for n in (1, 2, 4, 9)] == [(1.0, 2.0), (2.0, 2.0), (4.0, 2.0), (4.0, 2.0)]


def test_more_cores_keep_more_of_a_cache_that_others_use_too() -> None:
    """One core has 8 of 32 MB, as one byte of four that cross it is its own; with two it is two of five, with four four of seven."""
    shared = BIG._replace(l3_bytes=8 << 20, l3_whole_bytes=32 << 20)
    assert [round(shared.l3_at(n) / (32 << 20), 3) for n in (0, 1, 2, 4)] == [0.25, 0.25, 0.4, 0.571]
    assert BIG.l3_at(4) == BIG.l3_bytes


@pytest.mark.parametrize("name", profile.names())
def test_generic_figures_of_every_profile_order_the_types_as_the_topology_does(name: str) -> None:
    topology = tree.machine(profile.load(name))
    machine = speeds.from_topology(topology, "neon", GEOMETRY)
    assert machine.cores == len(topology.cores)
    assert machine.basis
    flops = [2 * 256**3 / steps.step_seconds("gemm", square(256), t, t.cores, machine) for t in machine.types]
    assert all(1e8 < f < 3e11 for f in flops)


def square(n: int) -> dict[str, Any]:
    return {**GEMM, "m": n, "n": n, "k": n, "batch": (1, 1, 1), "unit_m": 64, "unit_n": 64, "act": 0}


def test_a_step_of_no_work_takes_no_time() -> None:
    empty = {**GEMM, "m": 0}
    assert steps.units("gemm", empty, PHONE) == 0
    assert steps.step_seconds("gemm", empty, BIG, 1, PHONE) == 0
    assert prod(GEMM["batch"]) == 6


SHARED = [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1)]
"""(taps, stride) of rows whose pixels share the columns they load."""


@given(width=st.integers(1, 30), columns=st.integers(1, 60), pad=st.integers(0, 3), shape=st.sampled_from(SHARED))
def test_columns_of_a_depthwise_row_are_counted(width: int, columns: int, pad: int, shape: tuple[int, int]) -> None:
    """As csrc/kernels/dwconv/dwconv_body.h takes them: column by column, 8 pixels a pass."""
    kernel, stride = shape
    pad = min(pad, kernel // 2)
    width = min(width, max((columns + 2 * pad - kernel) // stride + 1, 0))
    assume(width > 0)
    taps = loads = 0
    for first in range(0, width, 8):
        loads += kernel
        for j in range(7 * stride + kernel):
            if 0 <= first * stride - pad + j < columns:
                loads += 1
                taps += sum((j - k) % stride == 0 and 0 <= (j - k) // stride < 8 for k in range(kernel))
    args = {
        "batch": 1, "channels": 32, "in": (1, columns), "out": (1, width), "kernel": (1, kernel), "stride": (1, stride), "dilation": (1, 1),
        "pad": (0, pad), "x_stride": (32 * columns, 32), "unit_rows": 1, "unit_c": 32, "act": 0,
    }  # fmt: skip
    counts = features.count("dwconv", args, features.Place(14, 32, 32 << 10, 1 << 20, 0, 1, 0))
    assert (counts["tap"], counts["lane"]) == (32 * taps, 32 * loads)
