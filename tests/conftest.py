"""Fixtures of all tests."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))

os.environ["XDG_CACHE_HOME"] = "/proc"  # this machine's calibration is not theirs, and none can be written there

from asymo import _core

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
settings.register_profile("desk", PATIENT)
settings.register_profile("ci", PATIENT, derandomize=True)  # CI repeats the same examples; at a desk every run tries new ones
settings.load_profile("ci" if os.environ.get("CI") else "desk")


@pytest.fixture(params=_core.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once with every instruction set of this CPU; the value is its name."""
    before = _core.isa_name()
    _core.select_isa(request.param)
    yield request.param
    _core.select_isa(before)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that depend on the test's name only."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))
