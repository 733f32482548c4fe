"""Boots a real arm64 Linux with two core types in qemu and runs guest.py on it: python tests/arm/biglittle/boot.py [--fail].

Debian's kernel; machine `virt` with 4 + 4 cores whose device tree says capacity-dmips-mhz 379 and 1024; blcpufreq.c for clocks, a driver
that remembers what it is told and changes no speed (--fail: that is told and changes nothing); python3 from Debian; an initramfs of it all.
Nothing here tells of time: qemu's cores are equally fast.

Needs: apt-get install -y --no-install-recommends qemu-system-arm device-tree-compiler gcc-aarch64-linux-gnu make. Downloads 90 MB once.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
CACHE = ROOT / ".cache" / "biglittle"
SUITE = "bookworm"
CORES, LITTLE, BIG = 4, 379, 1024
PYTHON = ("python3-minimal", "libpython3-stdlib")
QEMU = ("qemu-system-aarch64", "-cpu", "cortex-a76", "-smp", f"{2 * CORES},sockets=1,clusters=2,cores={CORES},threads=1", "-m", "1024")
QUIET = ("-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot")
LIMIT_S = 300


def run(*command: str | Path, cwd: Path | None = None) -> str:
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, cwd=cwd).stdout


class Debian:
    """Packages of another architecture, by this system's mirror, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        state = folder / "apt"
        for name in ("lists/partial", "cache/archives/partial", "preferences"):
            (state / name).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        mirror = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages").splitlines()
        uri = next(line for line in mirror if "security" not in line)
        signed = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
        (state / "sources").write_text(f"deb [arch=arm64,amd64 {signed}] {uri} {SUITE} main\n")
        settings = {
            "APT::Architecture": "arm64", "APT::Sandbox::User": "", "APT::Install-Recommends": "0", "Debug::NoLocking": "1",
            "Dir::State": state, "Dir::State::lists": state / "lists", "Dir::State::status": state / "status",
            "Dir::Cache": state / "cache", "Dir::Etc::sourcelist": state / "sources", "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferencesparts": state / "preferences",
        }  # fmt: skip
        self._options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
        self._options += ["-o", "APT::Architectures::=arm64", "-o", "APT::Architectures::=amd64"]
        self._archives = state / "cache" / "archives"
        run("apt-get", *self._options, "-qq", "update")

    def needed_by(self, package: str, pattern: str) -> str:
        """The dependency of a package whose name matches."""
        depends = re.search(r"^Depends: (.*)$", run("apt-cache", *self._options, "show", package), re.M)
        assert depends, package
        return next(name for name in re.split(r"[ ,|]+", depends[1]) if re.match(pattern, name))

    def unpack(self, folder: Path, *packages: str) -> None:
        """These packages, nothing else."""
        with tempfile.TemporaryDirectory() as place:
            run("apt-get", *self._options, "-qq", "download", *packages, cwd=Path(place))
            for package in Path(place).iterdir():
                run("dpkg-deb", "-x", package, folder)

    def unpack_all(self, folder: Path, *packages: str) -> None:
        """These packages and what they depend on."""
        run("apt-get", *self._options, "-qq", "-y", "--download-only", "install", *packages)
        for package in self._archives.glob("*.deb"):
            run("dpkg-deb", "-x", package, folder)


def prepare() -> str:
    """Fills the cache: kernel/ with image, modules and blcpufreq.ko; system/ with python3. Returns the kernel's release."""
    done = CACHE / "release"
    if not done.exists():
        shutil.rmtree(CACHE, ignore_errors=True)
        debian = Debian(CACHE)
        kernel, system = CACHE / "kernel", CACHE / "system"
        image = debian.needed_by("linux-image-arm64", "linux-image-")
        release = image.removeprefix("linux-image-")
        headers = f"linux-headers-{release}"
        common, tools = debian.needed_by(headers, ".*headers.*common"), debian.needed_by(headers, "linux-kbuild")
        debian.unpack(kernel, image, headers, common, f"{tools}:{run('dpkg', '--print-architecture').strip()}")
        debian.unpack_all(system, *PYTHON)
        build_module(kernel, release)
        done.write_text(release)
    return done.read_text()


def build_module(kernel: Path, release: str) -> None:
    tree = kernel / "usr/src" / f"linux-headers-{release}"
    makefile = tree / "Makefile"
    makefile.write_text(makefile.read_text().replace("include /usr/src", f"include {kernel}/usr/src"))
    source = CACHE / "module"
    source.mkdir()
    for name in ("blcpufreq.c", "Makefile"):
        shutil.copy(HERE / name, source)
    run("make", "-s", "-C", tree, "ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-", f"M={source}", "modules")
    run("aarch64-linux-gnu-strip", "-g", source / "blcpufreq.ko")


def device_tree(folder: Path) -> Path:
    """qemu's own, with capacities: cores below CORES are little."""

    def capacity(node: re.Match[str]) -> str:
        return f"{node[0]}\n{node[1]}\tcapacity-dmips-mhz = <{LITTLE if int(node[2], 16) < CORES else BIG}>;"

    run(QEMU[0], "-M", f"virt,dumpdtb={folder}/qemu.dtb", *QEMU[1:], *QUIET)
    text = run("dtc", "-q", "-I", "dtb", "-O", "dts", folder / "qemu.dtb")
    (folder / "unequal.dts").write_text(re.sub(r"(?m)^(\t*)cpu@([0-9a-f]+) \{", capacity, text))
    run("dtc", "-q", "-I", "dts", "-O", "dtb", "-o", folder / "unequal.dtb", folder / "unequal.dts")
    return folder / "unequal.dtb"


def contents(release: str) -> Iterator[tuple[str, int, bytes]]:
    """(path, mode, data) of what is in the initramfs."""
    system = CACHE / "system"
    for path in sorted(system.rglob("*")):
        name = str(path.relative_to(system))
        if path.is_symlink():
            yield name, stat.S_IFLNK | 0o777, os.fsencode(os.readlink(path))
        elif path.is_dir():
            yield name, stat.S_IFDIR | 0o755, b""
        elif path.is_file():
            yield name, stat.S_IFREG | 0o755, path.read_bytes()
    for name in ("proc", "dev", "tmp", "run", "sys", "modules", "asymo", "asymo/asymo", "asymo/asymo/device"):
        yield name, stat.S_IFDIR | 0o755, b""
    package = ROOT / "asymo"
    for path in (package / "errors.py", package / "knobs.py", *sorted((package / "device").glob("*.py"))):
        yield f"asymo/asymo/{path.relative_to(package)}", stat.S_IFREG | 0o644, path.read_bytes()
    yield "asymo/guest.py", stat.S_IFREG | 0o644, (HERE / "guest.py").read_bytes()
    yield "init", stat.S_IFREG | 0o755, (HERE / "init.py").read_bytes()
    drivers = CACHE / "kernel/lib/modules" / release / "kernel/drivers/cpufreq"
    for path in (drivers / "cpufreq_userspace.ko", drivers / "cpufreq_powersave.ko", CACHE / "module" / "blcpufreq.ko"):
        yield f"modules/{path.name}", stat.S_IFREG | 0o644, path.read_bytes()


def archive(entries: Iterator[tuple[str, int, bytes]], to: Path) -> Path:
    """A cpio archive in the kernel's format ("newc")."""
    with to.open("wb") as out:
        for inode, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
            raw = name.encode() + b"\0"
            fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
            out.write(b"070701" + "".join(f"{field:08X}" for field in fields).encode() + raw)
            out.write(bytes(-(110 + len(raw)) % 4) + data + bytes(-len(data) % 4))
    return to


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--fail", action="store_true", help="a driver whose every write succeeds and changes nothing")
    fail = int(options.parse_args().fail)
    release = prepare()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree, initrd = device_tree(folder), archive(contents(release), folder / "initrd")
        boot = ("-dtb", tree, "-kernel", CACHE / "kernel/boot" / f"vmlinuz-{release}", "-initrd", initrd)
        line = f"console=ttyAMA0 quiet loglevel=1 panic=-1 rcupdate.rcu_cpu_stall_suppress=1 fail={fail}"
        command = [QEMU[0], "-M", "virt", *QEMU[1:], *QUIET, "-serial", "stdio", *map(str, boot), "-append", line]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S)
    print(done.stdout.replace("\r", ""), end="")
    print(done.stderr, end="", file=sys.stderr)
    return 0 if "guest: 0\n" in done.stdout.replace("\r", "") else 1


if __name__ == "__main__":
    sys.exit(main())
