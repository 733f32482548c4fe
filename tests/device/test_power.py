"""Meters, on sysfs trees of machines that have them. The trees follow the kernel's documentation of hwmon, powercap and power_supply; every
expected figure is worked out by hand from the numbers in them."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymo.bench import energy
from asymo.device import power
from asymo.device.power import Channel, Meter, Sample, Sampler

HWMON, RAPL, SUPPLY = "class/hwmon", "class/powercap", "class/power_supply"


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text + "\n")
    return root


def odroid_xu3(root: Path) -> Path:
    """Four INA231 at addresses 0x40 (A15), 0x41 (memory), 0x44 (GPU) and 0x45 (A7), without labels; and a fan, which is no meter."""
    files = {}
    for number, (address, mv, ma, uw) in enumerate(
        [(40, 1000, 1500, 1500000), (41, 1200, 50, 60000), (44, 900, 100, 90000), (45, 1000, 350, 350000)]
    ):
        folder, device = f"{HWMON}/hwmon{number}", f"devices/platform/i2c-0/0-00{address}"
        files |= {f"{folder}/name": "ina231", f"{folder}/in0_input": "15", f"{folder}/in1_input": str(mv), f"{folder}/curr1_input": str(ma)}
        files |= {f"{folder}/power1_input": str(uw), f"{folder}/shunt_resistor": "10000", f"{folder}/update_interval": "35"}
        files[f"{device}/modalias"] = "i2c:ina231"
    files |= {f"{HWMON}/hwmon4/name": "pwmfan", f"{HWMON}/hwmon4/pwm1": "120"}
    write(root, files)
    for number, address in enumerate((40, 41, 44, 45)):
        (root / f"{HWMON}/hwmon{number}/device").symlink_to(root / f"devices/platform/i2c-0/0-00{address}")
    return root


def jetson(root: Path) -> Path:
    """An INA3221: VDD_IN feeds the two others; shunt voltages, and the sum of the currents, which is no rail."""
    folder = f"{HWMON}/hwmon1"
    files = {
        f"{folder}/name": "ina3221",
        f"{folder}/curr4_input": "2500",
        f"{folder}/in7_input": "12500",
        f"{folder}/in7_label": "sum of shunt",
    }
    for n, (label, mv, ma) in enumerate([("VDD_IN", 5000, 1500), ("VDD_CPU_GPU_CV", 4900, 600), ("VDD_SOC", 4950, 400)], 1):
        files |= {f"{folder}/in{n}_label": label, f"{folder}/in{n}_enable": "1", f"{folder}/in{n}_input": str(mv)}
        files |= {f"{folder}/curr{n}_input": str(ma), f"{folder}/in{n + 3}_input": str(5 * ma)}
    return write(root, files)


def phone(root: Path, current: int, voltage: int = 3850000, status: str = "Discharging") -> Path:
    folder = f"{SUPPLY}/battery"
    files = {
        f"{folder}/type": "Battery",
        f"{folder}/status": status,
        f"{folder}/current_now": str(current),
        f"{folder}/voltage_now": str(voltage),
    }
    return write(root, {**files, f"{SUPPLY}/usb/type": "USB", f"{SUPPLY}/usb/current_now": "500000", f"{SUPPLY}/usb/online": "0"})


RANGE = 262143328850


def rapl(root: Path, package: int = 0, dram: int = 0, psys: int | None = None) -> Path:
    """A package with core, uncore and DRAM zones inside it; two interfaces to the same counters; a zone of another control type."""
    zones = {"intel-rapl:0": ("package-0", package), "intel-rapl:0:0": ("core", package // 2), "intel-rapl:0:1": ("uncore", 7)}
    zones |= {"intel-rapl:0:2": ("dram", dram), "intel-rapl-mmio:0": ("package-0", package), "dtpm:0": ("package", 5)}
    if psys is not None:
        zones["intel-rapl:1"] = ("psys", psys)
    files = {f"{RAPL}/intel-rapl/enabled": "1"}
    for zone, (name, energy_uj) in zones.items():
        files |= {f"{RAPL}/{zone}/name": name, f"{RAPL}/{zone}/energy_uj": str(energy_uj), f"{RAPL}/{zone}/max_energy_range_uj": str(RANGE)}
    return write(root, files)


def test_odroid_xu3(tmp_path: Path) -> None:
    (meter,) = power.meters(odroid_xu3(tmp_path)).meters
    assert meter.method == "hwmon"
    assert [c.label for c in meter.channels] == ["ina231@0-0040", "ina231@0-0041", "ina231@0-0044", "ina231@0-0045"]
    assert power.read(meter, tmp_path).values == pytest.approx((1.5, 0.06, 0.09, 0.35))
    assert meter.period_s == pytest.approx(0.035)
    assert meter.window_s == pytest.approx(0.7)
    two_seconds = [power.read(meter, tmp_path, at) for at in (0.0, 1.0, 2.0)]
    assert power.joules(meter.channels, two_seconds) == pytest.approx(4.0)


def test_jetson_rails_are_not_counted_twice(tmp_path: Path) -> None:
    board, rails = power.meters(jetson(tmp_path)).meters
    assert power.read(board, tmp_path).values == pytest.approx((7.5,))
    assert [c.label for c in rails.channels] == ["VDD_CPU_GPU_CV", "VDD_SOC"]
    assert sum(power.read(rails, tmp_path).values) == pytest.approx(4.9 * 0.6 + 4.95 * 0.4)


def test_a_rail_that_is_switched_off(tmp_path: Path) -> None:
    write(jetson(tmp_path), {f"{HWMON}/hwmon1/in3_enable": "0"})
    assert [c.label for m in power.meters(tmp_path).meters for c in m.channels] == ["VDD_IN", "VDD_CPU_GPU_CV"]


def test_hwmon_energy_counters_and_averages(tmp_path: Path) -> None:
    """Juno's SCPI counters count microjoules, and are better than the power beside them; an ACPI power meter averages."""
    files = {"hwmon0/name": "scpi_sensors", "hwmon0/energy1_input": "5000000", "hwmon0/energy1_label": "a53", "hwmon0/power1_input": "123"}
    files |= {"hwmon1/name": "power_meter", "hwmon1/power1_average": "42000000", "hwmon1/power1_average_interval": "1000"}
    files |= {"hwmon2/name": "amdgpu", "hwmon2/power1_average": "99000000", "hwmon3/name": "BAT0", "hwmon3/power1_input": "88000000"}
    write(tmp_path, {f"{HWMON}/{path}": text for path, text in files.items()} | {f"{HWMON}/hwmon3/device/type": "Battery"})
    (meter,) = power.meters(tmp_path).meters
    assert [(c.label, c.is_counter) for c in meter.channels] == [("a53", True), ("power_meter.1", False)]
    assert power.read(meter, tmp_path).values == pytest.approx((5.0, 42.0))
    assert meter.window_s == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("current", "voltage"),
    [(-512000, 3850000), (512000, 3850000), (-512, 3850000), (512, 3850000), (-512, 3850), (512000, 3850)],
    ids=["uA-", "uA+", "mA-", "mA+", "mA- mV", "uA+ mV"],
)
def test_phone_batteries_agree_whatever_their_units_and_signs(current: int, voltage: int, tmp_path: Path) -> None:
    (meter,) = power.meters(phone(tmp_path, current, voltage)).meters
    assert meter.scope == "whole device"
    assert power.read(meter, tmp_path).values == pytest.approx((0.512 * 3.85,))


@pytest.mark.parametrize("status", ["Charging", "Full", "Not charging", "Unknown"])
def test_a_battery_on_a_charger_measures_nothing(status: str, tmp_path: Path) -> None:
    found = power.meters(phone(tmp_path, 512000, status=status))
    assert found.meters == ()
    assert "unplug" in found.reasons[0]


def test_a_charger_that_is_plugged_in_meanwhile_ends_the_measurement(tmp_path: Path) -> None:
    (meter,) = power.meters(phone(tmp_path, 512000)).meters
    with Sampler(meter, tmp_path) as sampler, sampler.window() as window:
        phone(tmp_path, 900000, status="Charging")
    assert math.isnan(window.joules)
    assert "Charging" in window.problem


def test_laptop_batteries_tell_power(tmp_path: Path) -> None:
    files = {
        f"{SUPPLY}/BAT{n}/{name}": text
        for n in (0, 1)
        for name, text in {"type": "Battery", "status": "Discharging", "power_now": "6500000"}.items()
    }
    files |= {f"{SUPPLY}/mouse/type": "Battery", f"{SUPPLY}/mouse/scope": "Device", f"{SUPPLY}/mouse/status": "Discharging"}
    (meter,) = power.meters(write(tmp_path, files)).meters
    assert power.read(meter, tmp_path).values == pytest.approx((6.5, 6.5))


def test_rapl_counts_packages_and_memory_once(tmp_path: Path) -> None:
    packages, platform = power.meters(rapl(tmp_path, 3000000, 500000, psys=9000000)).meters
    assert [c.label for c in packages.channels] == ["package-0", "dram"]
    assert power.read(packages, tmp_path).values == pytest.approx((3.0, 0.5))
    assert power.read(platform, tmp_path).values == pytest.approx((9.0,))


def test_rapl_wraps(tmp_path: Path) -> None:
    """The package's counter goes around twice, the memory's not at all: 5 + 7 J and 3 J."""
    (meter,) = power.meters(rapl(tmp_path)).meters
    readings = [(RANGE - 2000000, 0), (3000000, 1000000), (RANGE - 1000000, 2000000), (6000000, 3000000)]
    samples = [power.read(meter, rapl(tmp_path, *uj), at) for at, uj in enumerate(readings)]
    around = (RANGE - 4000000) * 1e-6
    assert power.joules(meter.channels, samples) == pytest.approx(5 + around + 7 + 3)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=12), st.integers(0, 10**9))
def test_unwrapping_gives_back_what_was_spent(steps: list[int], start: int) -> None:
    wraps = 10**9 + 1
    channels = (Channel("c", (), 1.0, True, wraps),)
    totals = [start + sum(steps[:n]) for n in range(len(steps) + 1)]
    samples = [Sample(n, (total % wraps,)) for n, total in enumerate(totals)]
    assert power.joules(channels, samples) == sum(steps)


def test_a_counter_that_was_reset_says_nothing() -> None:
    assert math.isnan(power.joules((Channel("c", (), 1.0, True),), [Sample(0, (5.0,)), Sample(1, (1.0,))]))


def test_a_meter_that_nobody_may_read_is_named(tmp_path: Path) -> None:
    """A link to itself: not even root reads it."""
    rapl(tmp_path, 1, 1)
    counter = tmp_path / RAPL / "intel-rapl:0/energy_uj"
    counter.unlink()
    counter.symlink_to(counter.name)
    found = power.meters(tmp_path)
    assert found.meters == ()
    assert "energy_uj" in found.reasons[0]
    assert energy.unavailable(found).row() == {
        "J": None,
        "J_ci95": None,
        "W": None,
        "idle_W": None,
        "EDP_Js": None,
        "energy": "unavailable",
    }


def test_a_sampler_follows_the_rail(tmp_path: Path) -> None:
    (meter,) = power.meters(odroid_xu3(tmp_path)).meters
    with Sampler(meter, tmp_path) as sampler:
        with sampler.window() as window:
            time.sleep(0.2)
        assert not sampler._open
    assert len(window.samples) >= 3
    assert window.watts == pytest.approx(2.0)
    assert window.joules == pytest.approx(2.0 * window.seconds)


def test_a_meter_that_goes_away_is_no_zero(tmp_path: Path) -> None:
    (meter,) = power.meters(odroid_xu3(tmp_path)).meters
    with Sampler(meter, tmp_path) as sampler, sampler.window() as window:
        (tmp_path / HWMON / "hwmon0/power1_input").unlink()
    assert math.isnan(window.joules)
    assert "power1_input" in window.problem


METER = Meter("hwmon", "ina231 (cores)", "rails", (), 0.1)


def test_energy_per_inference_by_hand() -> None:
    """2 W idle; windows of 2 s with 10 inferences and 14, 15 and 16 J: 1.0, 1.1 and 1.2 J above idle each."""
    spans = [energy.Span(j, 2.0, 10) for j in (14.0, 15.0, 16.0)]
    found = energy.judge(METER, spans, [energy.Span(4.0, 2.0), energy.Span(2.0, 1.0)])
    assert (found.method, found.joules, found.idle_watts) == ("hwmon", pytest.approx(1.1), pytest.approx(2.0))
    assert found.watts == pytest.approx(7.5)
    assert found.seconds == pytest.approx(0.2)
    assert found.uncertainty == pytest.approx(4.30 * 0.1 / math.sqrt(3))
    assert found.row()["EDP_Js"] == pytest.approx(0.22)


def test_idle_power_that_moved_widens_the_interval() -> None:
    spans = [energy.Span(14.0, 2.0, 10)] * 3
    found = energy.judge(METER, spans, [energy.Span(1.9, 1.0), energy.Span(2.1, 1.0)])
    assert found.uncertainty == pytest.approx(0.1 * 0.2)


def test_a_window_that_failed_makes_the_figure_unavailable() -> None:
    found = energy.judge(METER, [energy.Span(math.nan, 2.0, 10)] * 2, [energy.Span(1.0, 1.0)])
    assert found.row()["energy"] == "unavailable"
    assert found.row()["J"] is None


def test_windows_are_as_long_as_the_meter_needs(tmp_path: Path) -> None:
    (meter,) = power.meters(rapl(tmp_path, 10, 10)).meters
    calls = []
    with Sampler(meter, tmp_path) as sampler:
        span = energy.busy(sampler, lambda: calls.append(time.sleep(0.05)))
    assert span.seconds >= meter.window_s == 0.5
    assert span.runs == len(calls) >= 2
