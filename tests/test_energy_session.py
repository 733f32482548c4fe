"""A session's policy: the cores and clocks it takes, what it says where it may not, and that everything comes back."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import numpy as np
import onnx
import pytest

import asymo
from asymo.cost import energy, power
from asymo.cost.energy import Setting
from asymo.device import topology, tree
from asymo.device.frequency import Levers
from asymo.runtime import clocks
from asymo.runtime.clocks import confined
from asymo.runtime.crew import Wish, muster
from asymo.runtime.metered import Cost, Metered
from tests._machines import recorded
from tests._models import model, node

CPU = "sys/devices/system/cpu"
MIN, MAX = "scaling_min_freq", "scaling_max_freq"


@pytest.fixture(scope="module")
def proto() -> bytes:
    rng = np.random.default_rng(5)
    weights = {f"w{i}": rng.standard_normal((256, 256)).astype(np.float32) for i in range(3)}
    nodes = [node("MatMul", ["x" if i == 0 else f"h{i}", f"w{i}"], [f"h{i + 1}"], name=f"m{i}") for i in range(3)]
    built = model(nodes, {"x": np.zeros((128, 256), np.float32)}, ["h3"], weights)
    return built.SerializeToString()


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CPU 0 an A73, CPU 1 an A53, a policy each, with all the files that the kernel lets root write."""
    made = {f"{CPU}/{name}": "0-1" for name in ("online", "possible", "present")}
    for cpu, midr, capacity, khz in ((0, 0x410FD092, 1024, (682000, 1364000, 2362000)), (1, 0x410FD034, 400, (509000, 1018000, 1844000))):
        made |= {f"{CPU}/cpu{cpu}/cpu_capacity": str(capacity), f"{CPU}/cpu{cpu}/regs/identification/midr_el1": f"0x{midr:016x}"}
        made |= {
            f"{CPU}/cpufreq/policy{cpu}/{name}": text
            for name, text in {
                "related_cpus": str(cpu), "affected_cpus": str(cpu), "cpuinfo_min_freq": str(khz[0]), "cpuinfo_max_freq": str(khz[-1]),
                "scaling_available_frequencies": " ".join(map(str, khz)), MIN: str(khz[0]), MAX: str(khz[-1]),
                "scaling_cur_freq": str(khz[-1]), "scaling_governor": "schedutil", "scaling_available_governors": "performance schedutil",
                "scaling_driver": "intel_pstate", "cpuinfo_transition_latency": "300000",
            }.items()
        }  # fmt: skip
    tree.write(made, tmp_path)
    monkeypatch.setenv("ASYMO_ROOT", str(tmp_path))
    monkeypatch.setattr(clocks, "levers", lambda: Levers(tmp_path / "sys", tmp_path / "state.json"))
    return tmp_path


def limits(board: Path) -> dict[int, tuple[str, str]]:
    folder = board / CPU / "cpufreq"
    return {
        i: (folder.joinpath(f"policy{i}", MIN).read_text().strip(), folder.joinpath(f"policy{i}", MAX).read_text().strip()) for i in (0, 1)
    }


def forbid(board: Path) -> None:
    for path in (board / CPU / "cpufreq").glob("policy*/scaling_m*_freq"):
        path.unlink()


def test_the_chosen_clocks_hold_until_the_session_ends(board: Path, proto: bytes) -> None:
    before = limits(board)
    session = asymo.load(proto, policy="energy")
    choice = session.choice
    assert choice is not None
    wanted = {i: khz for i, (n, khz) in enumerate(zip(choice.setting.cores, choice.setting.khz, strict=True)) if n}
    assert wanted
    assert limits(board) == {i: (str(wanted[i]),) * 2 if i in wanted else before[i] for i in before}
    assert {o.policy: o.khz for o in session.clocks} == wanted
    assert len(session.placement) == sum(choice.setting.cores)
    session.close()
    assert limits(board) == before
    assert session.clocks == ()


def test_a_session_that_is_no_more_leaves_nothing_behind(board: Path, proto: bytes) -> None:
    before = limits(board)
    session = asymo.load(proto, policy=asymo.Power(0.2))
    assert limits(board) != before
    del session
    gc.collect()
    assert limits(board) == before


@pytest.mark.parametrize("policy", ["latency", "energy", "balanced", asymo.Deadline(1e4), asymo.Power(0.05)])
def test_no_policy_changes_a_result(board: Path, proto: bytes, policy: object) -> None:
    x = np.random.default_rng(1).standard_normal((128, 256)).astype(np.float32)
    weights = [onnx.numpy_helper.to_array(w).astype(np.float64) for w in onnx.load_from_string(proto).graph.initializer]
    want = x.astype(np.float64)
    for w in weights:
        want = want @ w
    got = asymo.load(proto, policy=policy)(x)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * np.abs(want).max())
    np.testing.assert_array_equal(got, asymo.load(proto)(x))


def test_without_permission_it_says_once_what_it_would_set(board: Path, proto: bytes, caplog: pytest.LogCaptureFixture) -> None:
    forbid(board)
    with caplog.at_level(logging.WARNING, "asymo"):
        session = asymo.load(proto, policy="energy")
        session(np.zeros((128, 256), np.float32))
    (message,) = [r.getMessage() for r in caplog.records if "policy energy" in r.getMessage()]
    assert "MHz" in message
    assert "| sudo tee" in message
    assert session.choice is not None
    assert all(khz in (0, 2362000, 1844000) for khz in session.choice.setting.khz)
    assert len(session.placement) == sum(session.choice.setting.cores)


def test_two_sessions_want_two_clocks(board: Path, proto: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The second is told who holds them, and chooses cores."""
    first = asymo.load(proto, policy="energy")
    held = limits(board)
    with caplog.at_level(logging.WARNING, "asymo"):
        second = asymo.load(proto, policy=asymo.Power(0.1))
    assert limits(board) == held
    assert second.clocks == ()
    assert "held by another session" in caplog.text
    first.close()


def test_latency_leaves_everything_as_it_is(board: Path, proto: bytes) -> None:
    before = limits(board)
    session = asymo.load(proto)
    assert limits(board) == before
    assert session.choice is None
    assert session.clocks == ()
    assert len(session.placement) == 2


def test_no_such_policy(proto: bytes) -> None:
    with pytest.raises(asymo.InvalidArgumentError, match="balanced"):
        asymo.load(proto, policy="fast")


# ---- crews


def test_a_confined_crew(tmp_path: Path) -> None:
    from asymo.device import profile

    kirin = profile.load("hikey970")
    found = topology.read(tree.write(tree.files(kirin), tmp_path), range(8))
    crew = muster(found, Wish(), lambda _: recorded("hikey970"))
    draw = power.from_profile(kirin)
    few = confined(crew, draw, {"big": (1, 1364000), "little": (3, 1018000)})
    assert [w.type for w in few.workers] == [0, 1, 1, 1]
    assert set(few.cpus) <= set(crew.cpus)
    assert len(few.designs) == 4
    assert few.machine.types == energy.clocked(crew.machine, draw, Setting((1, 3), (1364000, 1018000))).types
    little = confined(crew, draw, {"little": (9, 1844000)})
    assert [w.type for w in little.workers] == [0, 0, 0, 0]
    assert [t.name for t in little.machine.types] == ["little"]
    assert confined(crew, draw, {"mid": (2, 1)}) is crew


# ---- by measurement


def rapl(board: Path) -> Path:
    folder = board / "sys/class/powercap/intel-rapl:0"
    folder.mkdir(parents=True)
    for name, text in {"name": "package-0", "energy_uj": "0", "max_energy_range_uj": "262143328850"}.items():
        (folder / name).write_text(text + "\n")
    return folder / "energy_uj"


def test_windows_over_runs() -> None:
    """A window is full after its length; one that runs do not fill tells nothing."""
    clock, joules = [0.0], [0.0]

    class Window:
        def __init__(self) -> None:
            self.began = joules[0]

        @property
        def joules(self) -> float:
            return joules[0] - self.began

    def runs(n: int, gap: float) -> list[Cost | None]:
        found = []
        for _ in range(n):
            clock[0] += 0.25 + gap
            joules[0] += 2.0
            found.append(counted.ran(0.25))
        return found

    counted = Metered(lambda _: Window(), 1.0, lambda: clock[0])  # type: ignore[arg-type, return-value]
    assert runs(8, 0.0) == [None, None, None, Cost(2.0, 0.25)] * 2
    assert runs(4, 0.25) == [None] * 4


def test_a_meter_corrects_the_choice(board: Path, proto: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose lowest clocks are the cheapest, against the model: the session finds them, step by step, and the clocks follow."""
    monkeypatch.setattr(clocks, "metered", lambda *_: Metered(lambda _: Meter(), 0.03))

    class Meter:
        @property
        def joules(self) -> float:
            assert session.choice is not None
            return 1e-9 * sum(session.choice.setting.khz)

    session = asymo.load(proto, policy="energy")
    assert session.choice is not None
    before = session.choice.setting
    assert max(before.khz) > 682000
    x = np.ones((128, 256), np.float32)
    want = session(x)
    assert session._clocks is not None
    assert session._clocks._climber is not None
    for _ in range(20_000):
        got = session(x)
        if session._clocks._climber.is_done:
            break
    np.testing.assert_array_equal(got, want)
    found = session.choice.setting
    assert found.cores == before.cores
    assert [k for k in found.khz if k] == [low for low, n in zip((682000, 509000), found.cores, strict=True) if n]
    assert {o.policy: o.khz for o in session.clocks} == {i: khz for i, khz in enumerate(found.khz) if khz}
    session.close()


def test_a_meter_takes_a_core_away(board: Path, proto: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A big core that draws far more than the model thinks: the session goes on without it, to the same bits."""
    monkeypatch.setattr(clocks, "metered", lambda *_: Metered(lambda _: Meter(), 0.03))

    class Meter:
        @property
        def joules(self) -> float:
            assert session.choice is not None
            return 1e3 if session.choice.setting.cores[0] else 1e-3

    session = asymo.load(proto, policy="balanced")
    assert session.choice is not None
    assert session.choice.setting.cores == (1, 1)
    x = np.ones((128, 256), np.float32)
    want = session(x)
    for _ in range(20_000):
        got = session(x)
        if session.choice.setting.cores == (0, 1):
            break
    np.testing.assert_array_equal(got, want)
    assert len(session.placement) == 1
    np.testing.assert_array_equal(session(x), want)
    session.close()


def test_a_recorded_meter_is_read(board: Path, proto: bytes) -> None:
    rapl(board)
    session = asymo.load(proto, policy="balanced")
    assert session._clocks is not None
    assert session._clocks._metered is not None
    session.close()
    assert session._clocks._metered is None
