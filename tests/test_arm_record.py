"""The runner of `make arm`, natively: plans that are recorded here replay here, and a wrong bit is found."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "arm"))

import cross
import record
import run


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(cross.native_replay(tmp_path_factory.mktemp("replay")))


@pytest.fixture(scope="module")
def cases() -> list[record.Case]:
    recording = record.Recording()
    for operator in ("Conv", "LSTM", "Softmax", "Exp", "ArgMax"):
        record.record_operator(recording, operator)
    record.record_instructions(recording)
    return recording.cases


def replay(program: str, cases: list[record.Case], path: Path) -> tuple[bool, str]:
    record.write(cases, path)
    result = run.execute("native", [program, str(path)])
    return result.passed, result.text


def test_replays(program: str, cases: list[record.Case], tmp_path: Path) -> None:
    passed, text = replay(program, cases, tmp_path / "plans")
    assert passed, text
    assert f"{len(cases)} cases: " in text
    assert text.endswith(" 0 failed")
    kinds = {step.kind for case in cases for step in case.plan.steps}
    assert {"conv", "rnn", "softmax", "eltwise", "argreduce"} <= kinds


@pytest.mark.parametrize("operator", ["Conv", "LSTM", "Exp", "ArgMax"])
def test_finds_one_wrong_bit(operator: str, program: str, cases: list[record.Case], tmp_path: Path) -> None:
    case = next(case for case in cases if case.name.startswith(operator) and case.outputs[0].size > 3)
    wrong = case.outputs[0].copy()
    wrong.reshape(-1).view(np.uint8)[2 * wrong.itemsize] ^= 1
    passed, text = replay(program, [dataclasses.replace(case, outputs=(wrong, *case.outputs[1:]))], tmp_path / "plans")
    assert not passed
    assert f"FAILED {case.name} on " in text
    assert "output 0, element 2: " in text


def test_any_nan_is_equal(program: str, cases: list[record.Case], tmp_path: Path) -> None:
    case = next(case for case in cases if case.name == "exp on bit patterns")
    y = case.outputs[0]
    assert np.isnan(y).any()
    flipped = np.where(np.isnan(y), -y, y)
    assert flipped.tobytes() != y.tobytes()
    passed, text = replay(program, [dataclasses.replace(case, outputs=(flipped,))], tmp_path / "plans")
    assert passed, text


def test_says_which_case_crashes(program: str, cases: list[record.Case], tmp_path: Path) -> None:
    case = next(case for case in cases if case.name == "exp on bit patterns")
    short = dataclasses.replace(case, inputs=(case.inputs[0].reshape(-1)[:1],))
    passed, text = replay(program, [short], tmp_path / "plans")
    assert not passed
    assert f"crashed in {case.name} on " in text


def test_refuses_other_files(program: str, tmp_path: Path) -> None:
    (tmp_path / "plans").write_bytes(b"no plans")
    assert not run.execute("native", [program, str(tmp_path / "plans")]).passed
