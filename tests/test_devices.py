"""Machines of device profiles: every profile gives one, and its figures are the table's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asymo.cost import speeds
from asymo.cost.devices import DESIGNS, NEON_GEOMETRY, from_profile
from asymo.cost.features import CLASSES
from asymo.cost.text import dump, parse
from asymo.device import profile, tree

ROOT = Path(__file__).parents[1]


def macs(of: speeds.TypeSpeeds) -> float:
    """Multiply-adds per second of a GEMM on one core."""
    return 1 / of.classes["gemm"].alone[CLASSES["gemm"].index("macs")]


@pytest.mark.parametrize("name", profile.names())
def test_every_profile_is_a_machine(name: str) -> None:
    device = profile.load(name)
    machine = from_profile(device)
    assert machine.cores == device.n_cpus
    assert len({t.name for t in machine.types}) == len(machine.types) <= 4
    assert machine.basis == f"profile {name}"
    for kind in machine.types:
        assert 0.5e9 < macs(kind) < 60e9
        assert 1e9 < 1 / kind.classes["gemm"].alone[CLASSES["gemm"].index("memory")] <= machine.memory_B <= 200e9
    assert parse(dump(machine), name).types[0].cores == machine.types[0].cores


@pytest.mark.parametrize("name", profile.names())
def test_types_are_the_topologys(name: str) -> None:
    device = profile.load(name)
    kinds = tree.machine(device).types
    assert [t.cores for t in from_profile(device).types] == [len(kind) for kind in kinds]


@pytest.mark.parametrize("name", profile.names())
def test_every_core_design_is_in_the_table(name: str) -> None:
    for cluster in profile.load(name).clusters:
        assert cluster.core in DESIGNS
        assert 0.5 <= DESIGNS[cluster.core].gemm / (cluster.fp32_fma_per_cycle or 0) <= 1


def test_rk3588() -> None:
    """Clocks as measured, ACL's figures, the bandwidth of one thread twice its memcpy."""
    machine = from_profile(profile.load("rk3588"))
    big, little = machine.types
    assert (big.cores, little.cores) == (4, 4)
    assert macs(big) == pytest.approx(7.2307 * 2.348e9)
    assert macs(big) / macs(little) == pytest.approx(7.2307 * 2.348 / (3.954 * 1.828))
    assert big.classes["gemv"].alone[CLASSES["gemv"].index("memory")] == pytest.approx(1 / (2 * 10814e6))
    assert machine.memory_B == pytest.approx(0.7 * 33.8e9)


def test_a_shared_vector_unit_halves_nobody_alone() -> None:
    little = from_profile(profile.load("cix-p1")).types[-1]
    at = CLASSES["gemm"].index("macs")
    rates = little.classes["gemm"]
    assert rates.busy[at] / rates.alone[at] == pytest.approx(57.4 / 50.36)


def test_the_register_tile_is_that_of_the_neon_kernels() -> None:
    rows = re.findall(r"ASYMO_GEMM_UKR\(NEON,.*?(\d+),\s*(\d+),\s*\d+\)", (ROOT / "csrc/kernels/gemm/gemm.inc").read_text())
    assert rows
    assert {(int(mr), int(nr)) for mr, nr in rows} == {NEON_GEOMETRY}
