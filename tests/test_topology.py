"""Core sets from fake sysfs trees."""

from pathlib import Path

import pytest

from asymo.device.topology import format_cpu_list, parse_cpu_list, read
from asymo.errors import InvalidArgumentError


def tree(root: Path, cores: dict[int, tuple[int, int]]) -> Path:
    """A sysfs tree with (capacity, kHz) per CPU; 0 leaves the file out."""
    for cpu, (capacity, khz) in cores.items():
        base = root / f"sys/devices/system/cpu/cpu{cpu}"
        (base / "cpufreq").mkdir(parents=True)
        if capacity:
            (base / "cpu_capacity").write_text(f"{capacity}\n")
        if khz:
            (base / "cpufreq/cpuinfo_max_freq").write_text(f"{khz}\n")
    return root


def test_three_types(tmp_path: Path) -> None:
    tree(tmp_path, {0: (161, 1803000), 1: (161, 1803000), 2: (499, 2253000), 3: (1024, 2802000)})
    machine = read(tmp_path, allowed=[0, 1, 2, 3])
    assert [[c.cpu for c in kind] for kind in machine.types] == [[3], [2], [0, 1]]
    assert machine.select("big") == (3,)
    assert machine.select("little") == (0, 1)
    assert machine.select("all") == (0, 1, 2, 3)
    assert machine.select("2,0") == (2, 0)


def test_forbidden_cores_are_not_there(tmp_path: Path) -> None:
    tree(tmp_path, {0: (1024, 0), 5: (1024, 0)})
    machine = read(tmp_path, allowed=[5])
    assert machine.select("all") == (5,)
    with pytest.raises(InvalidArgumentError, match="this process may use"):
        machine.select("0")


def test_no_sysfs(tmp_path: Path) -> None:
    machine = read(tmp_path, allowed=[0, 1])
    assert machine.select("big") == machine.select("little") == machine.select("all") == (0, 1)


def test_garbage_is_unknown(tmp_path: Path) -> None:
    tree(tmp_path, {0: (1024, 0), 1: (1024, 0)})
    (tmp_path / "sys/devices/system/cpu/cpu1/cpu_capacity").write_bytes(b"\xff\xfe nonsense")
    assert read(tmp_path, allowed=[0, 1]).cores[1].capacity == 0


@pytest.mark.parametrize(("text", "cpus"), [("0", (0,)), ("0-3,6", (0, 1, 2, 3, 6)), (" 1 , 2", (1, 2))])
def test_cpu_lists(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpu_list(text) == cpus
    assert parse_cpu_list(format_cpu_list(cpus)) == cpus


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "0-99999999999"])
def test_bad_cpu_lists(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_cpu_list(text)
