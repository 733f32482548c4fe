"""make wheels: the sdist, and from it a wheel for each row of TARGETS, into dist/. Then checks what a package index would.

zig (the `ziglang` wheel) is the compiler: it brings glibc's symbols of any version and musl, for both architectures, and needs no
container. Each wheel serves every CPython from 3.10 on (stable ABI). pyproject.toml's [tool.cibuildwheel] builds the same set natively.

Checked: `twine check`; `auditwheel show` grants the tag (musl: nothing of glibc is asked for); `abi3audit` finds nothing outside the
stable ABI; no file is larger than LIMIT_MB; the wheel for this machine runs the demo in an environment of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path

import ziglang

ROOT = Path(__file__).resolve().parent.parent.parent
DIST = ROOT / "dist"

TARGETS = {
    "manylinux_2_17_x86_64": "x86_64-linux-gnu.2.17",
    "manylinux_2_17_aarch64": "aarch64-linux-gnu.2.17",
    "musllinux_1_2_x86_64": "x86_64-linux-musl",
    "musllinux_1_2_aarch64": "aarch64-linux-musl",
}
"""Platform tag -> zig's target."""

LIMIT_MB = 3.0


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path = ROOT) -> str:
    """The command's output; its failure is shown and ends everything."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=os.environ | (env or {}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\nFAILED: {' '.join(map(str, command))}")
    return done.stdout


def sdist() -> Path:
    run(sys.executable, "-m", "build", "--sdist", "--outdir", DIST)
    (result,) = DIST.glob("*.tar.gz")
    return result


def wheel(source: Path, tag: str, target: str) -> Path:
    """Built in a fresh tree of the sdist, as pip would."""
    arch = target.partition("-")[0]
    zig = Path(ziglang.__file__).parent / "zig"
    compiler = f"{zig} cc -target {target}"
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(source) as archive:
            archive.extractall(folder)
        (tree,) = Path(folder).iterdir()
        env = {
            "CC": compiler,
            "LDSHARED": f"{compiler} -shared -s",
            "AR": f"{zig} ar",
            "_PYTHON_HOST_PLATFORM": f"linux-{arch}",  # what sysconfig.get_platform() answers
        }
        run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-cache-dir", "-w", tree / "out", tree, env=env)
        (built,) = (tree / "out").glob("*.whl")
        name = run(sys.executable, "-m", "wheel", "tags", "--remove", "--platform-tag", tag, built).split()[-1]
        return Path(shutil.move(built.parent / name, DIST / name))


def is_granted(path: Path, tag: str) -> bool:
    """Whether the symbols that the wheel asks for are in every system of this tag. auditwheel cannot look at musl's wheels under glibc."""
    if tag.startswith("musl"):
        with zipfile.ZipFile(path) as archive:
            return not any(b"GLIBC_" in archive.read(name) for name in archive.namelist() if name.endswith(".so"))
    return f'"{tag}"' in run(sys.executable, "-m", "auditwheel", "show", path).replace("\n", " ")


def demo(path: Path) -> None:
    """Installs the wheel where nothing of this tree can be seen, and runs the demo there."""
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "venv", folder)
        run(Path(folder) / "bin/pip", "install", "-q", path)
        run(Path(folder) / "bin/asymo-bench", cwd=Path(folder))


def main() -> int:
    shutil.rmtree(DIST, ignore_errors=True)
    source = sdist()
    failures = []
    files = [source]
    for tag, target in TARGETS.items():
        path = wheel(source, tag, target)
        files.append(path)
        if not is_granted(path, tag):
            failures.append(f"{path.name} asks for more than {tag} gives: auditwheel show {path}")
        run(sys.executable, "-m", "abi3audit", "--strict", path)
    run(sys.executable, "-m", "twine", "check", "--strict", *files)
    for path in files:
        print(f"{path.stat().st_size / 1e6:5.2f} MB  {path.name}")
        if path.stat().st_size > LIMIT_MB * 1e6:
            failures.append(f"{path.name} is larger than {LIMIT_MB} MB")
    demo(next(path for path in files if path.name.endswith(f"manylinux_2_17_{sysconfig.get_platform().partition('-')[2]}.whl")))
    print("\n".join(failures) or "all wheels hold")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
