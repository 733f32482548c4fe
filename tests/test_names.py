"""Names cannot lie: what stands in the tables of the C core has its file and its tests.

The names of the GEMM micro-kernels are compared with their rows in test_gemm.py.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import asymo

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
KINDS = re.findall(r"^ASYMO_STEP(?:_[A-Z]+)?\((\w+)\)", (CSRC / "exec/steps.inc").read_text(), re.M)
KERNEL_FILES = sorted(p for p in (CSRC / "kernels").rglob("*_*.c"))
ISAS = re.findall(r"^ASYMO_ISA\(\w+,\s*(\w+),", (CSRC / "common/isa.inc").read_text(), re.M)


@cache
def code(path: Path) -> str:
    """A C file without comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.S)


@cache
def step_tests() -> str:
    """The test modules that run steps one by one."""
    texts = [p.read_text() for p in sorted((ROOT / "tests").glob("test_*.py"))]
    return "".join(t for t in texts if re.search(r"import .*(run_step|run_everywhere|_core)", t))


def test_the_tables_were_read() -> None:
    assert len(KINDS) == len(set(KINDS)) >= 18
    assert {"portable", "neon", "avx2", "avx512"} <= set(ISAS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_has_its_file_its_arguments_and_its_tests(kind: str) -> None:
    path = CSRC / f"exec/{kind}.c"
    assert path.exists(), f"steps.inc has {kind}: write {path}"
    for function in ("units", "scratch", "run"):
        assert re.search(rf"^\w+ asymo_{kind}_{function}\(", code(path), re.M), f"{path} defines no asymo_{kind}_{function}"
    assert f"}} asymo_{kind}_args;" in code(CSRC / "asymo.h"), f"asymo.h has no asymo_{kind}_args"
    assert f'"{kind}"' in step_tests(), f"no tests/test_*.py runs the step {kind!r} by itself"


def test_public_names_begin_with_asymo() -> None:
    header = code(CSRC / "asymo.h")
    functions = re.findall(r"^(?!typedef)\w[\w *]*?\b\**(\w+)\([^;{]*\);", header, re.M)
    types = re.findall(r"^\} (\w+);|^typedef [^{;]*?(\w+);", header, re.M)
    constants = re.findall(r"^ {4}([A-Z]\w*)\b", header, re.M)
    assert len(functions) > 30
    assert len(types) > 18
    assert len(constants) > 20
    for name in [*functions, *(a or b for a, b in types)]:
        assert name.startswith("asymo_"), name
    for name in constants:
        assert name.startswith("ASYMO_"), name


@pytest.mark.parametrize("path", KERNEL_FILES, ids=lambda p: p.name)
def test_a_suffix_of_an_instruction_set_is_one(path: Path) -> None:
    suffix = path.stem.rpartition("_")[2]
    assert suffix in ISAS or suffix == "pack", f"{path}: {suffix!r} is no row of isa.inc, so the file would be compiled without its flags"


def test_public_names() -> None:
    """Type checkers read the imports of asymo/__init__.py, Python its table: they name the same, and all of it is there."""
    tree = ast.parse((ROOT / "asymo/__init__.py").read_text())
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: statement.module for statement in checked.body if isinstance(statement, ast.ImportFrom) for alias in statement.names
    }
    assert seen == asymo._HOMES
    assert all(getattr(asymo, name).__name__ == name for name in asymo.__all__)
    with pytest.raises(AttributeError, match="'asymo' has no attribute 'lood'"):
        asymo.lood
