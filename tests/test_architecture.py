"""Who may import whom: walks the imports of the package and the includes of the C core, and fails on an edge that is not listed here.

docs/architecture.md draws the same table.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PYTHON: dict[str, set[str]] = {
    "errors": set(),
    "knobs": {"errors"},
    "log": {"knobs"},
    "record": set(),
    "collector": set(),
    "_core": {"errors", "knobs", "record", ""},
    "graph": {"errors", "record", "ops", "plan"},
    "ops": {"errors", "record", "graph", "plan"},
    "device": {"errors", "knobs", "log", "record"},
    "cost": {"errors", "knobs", "log", "record", "device", "_core", ""},
    "plan": {"errors", "record", "graph", "ops", "device", "cost", "_core"},
    "onnx": {"errors", "record", "graph", "ops", "runtime"},
    "sim": {"errors", "record", "device", "cost", "plan", "_core"},
    "runtime": {"errors", "knobs", "log", "collector", "record", "_core", "graph", "ops", "device", "cost", "plan", "onnx"},
    "bench": {"errors", "knobs", "_core", "graph", "device", "cost", "plan", "onnx", "sim", "runtime", ""},
    "": {"errors", "collector", "plan", "onnx", "runtime"},
    "_build": set(),
}
"""Room (a file or folder of asymo/, "" is the package's own __init__) -> rooms it may import. Every room may import itself."""

ONLY: dict[str, tuple[str, ...]] = {
    "onnx": ("asymo/onnx/",),
    "asymo._asymo": ("asymo/_core.py",),
    "cffi": ("asymo/_build.py",),
    "setuptools": (),
}
"""Package -> the only places of asymo/ that import it."""

CORE_IN_PLAN = {"layout.py", "opcodes.py"}
"""The files of asymo/plan that ask the C core for packing, geometry and names; the others decide without it."""

DOERS_IN_COST = {"calibrate.py", "calibration.py", "pace.py"}
"""The files of asymo/cost that measure through the C core and read knobs; the others are arithmetic."""

C: dict[str, set[str]] = {
    "common": set(),
    "kernels": {"common", "exec/step.h"},
    "sched": {"common"},
    "exec": {"common", "kernels", "sched"},
    "api.c": {"common", "exec", "sched", "kernels"},
}
"""Folder of csrc/ -> folders it may include. Every folder may include itself and asymo.h."""

FORBIDDEN_IN_KERNELS = ("malloc", "calloc", "realloc", "free", "printf", "pthread_", "getenv")


def imports(path: Path) -> set[str]:
    """Dotted names the file imports when it runs; what only the type checker sees does not count."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.update([f"{node.module}.{alias.name}" for alias in node.names])
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def room_of(path: Path) -> str:
    part = path.relative_to(ROOT / "asymo").parts[0]
    return "" if part == "__init__.py" else part.removesuffix(".py")


def python_files() -> list[Path]:
    return sorted((ROOT / "asymo").rglob("*.py"))


@pytest.mark.parametrize("path", python_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports(path: Path) -> None:
    room = room_of(path)
    assert room in PYTHON, f"asymo/{room} is a new room: say in {Path(__file__).name} what it may import"
    for name in imports(path):
        for package, places in ONLY.items():
            if name == package or name.startswith(package + "."):
                assert str(path.relative_to(ROOT)).startswith(places or "/"), f"{path}: only {places} may import {package}"
        if name == "asymo" or name.startswith("asymo."):
            if name.startswith("asymo._asymo"):
                continue
            target = [*name.split("."), ""][1]
            target = target if target in PYTHON else ""
            assert target == room or target in PYTHON[room], f"{path}: {room or '__init__'} may not import {target or 'asymo'} ({name})"
            if room == "plan" and target == "_core":
                assert path.name in CORE_IN_PLAN, f"{path}: only {CORE_IN_PLAN} of asymo/plan ask the core"
            if room == "cost" and target in ("_core", "knobs", ""):
                assert path.name in DOERS_IN_COST, f"{path}: only {DOERS_IN_COST} of asymo/cost measure"


def c_files() -> list[Path]:
    return sorted(p for p in (ROOT / "csrc").rglob("*.[ch]"))


@pytest.mark.parametrize("path", c_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_includes(path: Path) -> None:
    place = path.relative_to(ROOT / "csrc").parts[0]
    text = path.read_text()
    for include in re.findall(r'#include "(.+)"', text):
        target = (path.parent / include).resolve().relative_to(ROOT / "csrc")
        folder = target.parts[0]
        allowed = folder in (place, "asymo.h") or folder in C.get(place, set()) or str(target) in C.get(place, set())
        assert allowed, f"{path}: {place} may not include {target}"
    if place == "kernels":
        code = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S)
        for word in FORBIDDEN_IN_KERNELS:
            assert not re.search(rf"\b{word}", code), f"{path}: a kernel only computes, and this one calls {word}"


def test_every_knob_is_read_by_somebody() -> None:
    text = "".join(p.read_text() for p in python_files() if p.name != "knobs.py")
    names = re.findall(r"^([A-Z_]+) = Knob\(", (ROOT / "asymo/knobs.py").read_text(), re.M)
    assert names
    for name in names:
        assert f"knobs.{name}.get()" in text, f"{name} does nothing"


def test_only_pin_touches_affinity() -> None:
    for path in c_files():
        if "affinity" in re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S):
            assert path.parent.name == "sched", f"{path}: affinity belongs to csrc/sched"


def test_only_knobs_reads_the_environment() -> None:
    for path in python_files():
        if path.name not in ("knobs.py", "_build.py"):
            assert "os.environ" not in path.read_text(), f"{path}: environment variables are rows of asymo/knobs.py"
    for path in c_files():
        assert "getenv" not in path.read_text(), f"{path}: environment variables are rows of asymo/knobs.py"


SLOW = {"base64", "dataclasses", "hashlib", "inspect", "onnx", "pathlib", "psutil"}
"""Modules that take 2 ms and more to import."""


def test_a_session_imports_nothing_slow() -> None:
    model = ROOT / "asymo/bench/data/basic_pitch.onnx"
    script = (
        "import sys, numpy; before = set(sys.modules)\n"
        f"import asymo; session = asymo.InferenceSession({str(model)!r})\n"
        "print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "asymo.runtime.session" in done.stdout.split()
    assert not SLOW & set(done.stdout.split())
