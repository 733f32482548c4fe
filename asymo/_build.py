"""What to compile: one static library per instruction set, and the cffi module (out-of-line, API mode) that links them.

Run by setup.py only, never imported by the package. The declarations are csrc/asymo.h as it stands; the instruction sets and their
compiler flags are the rows of csrc/common/isa.inc. A C file whose name ends in _<isa>.c goes into that instruction set's library with
its flags; every other one into the base library, which is compiled for the lowest machine of the architecture.
"""

import os
import re
import sysconfig
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
(VERSION,) = re.findall(r'__version__ = "(.+)"', (ROOT / "asymo/__init__.py").read_text())
PLATFORM = sysconfig.get_platform().rpartition("-")[2]  # of what is built, also when that is for another machine; Android says arm64_v8a
ARCH = {"amd64": "x86_64", "arm64": "aarch64", "arm64_v8a": "aarch64"}.get(PLATFORM, PLATFORM)

CFLAGS = [
    "-std=gnu11",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wall",
    "-Wextra",
    "-Werror=implicit-function-declaration",
    f'-DASYMO_VERSION="{VERSION}"',
    *os.environ.get("ASYMO_CFLAGS", "").split(),
]


def isas() -> dict[str, tuple[str, list[str]]]:
    """name -> (architecture or "any", compiler flags): the rows of isa.inc."""
    rows = re.findall(r'^ASYMO_ISA\((\w+),\s*(\w+),\s*(\w+),.*?"(.*)"\)', (ROOT / "csrc/common/isa.inc").read_text(), re.M)
    return {name: (arch, flags.split()) for _, name, arch, flags in rows}


def libraries(machine: str = ARCH) -> list[tuple[str, dict[str, list[str]]]]:
    """(name, {"sources", "cflags"}) of every static library that an architecture can hold, for setuptools' build_clib."""
    table = isas()
    sources: dict[str, list[str]] = {"base": [], **{name: [] for name in table}}
    for path in sorted((ROOT / "csrc").rglob("*.c")):
        suffix = path.stem.rpartition("_")[2]
        sources[suffix if suffix in table else "base"].append(str(path.relative_to(ROOT)))
    result = []
    for name, files in sources.items():
        arch, flags = table.get(name, ("any", []))
        if files and arch in ("any", machine):
            result.append((f"asymo_{name}", {"sources": files, "cflags": CFLAGS + flags}))
    return result


ffibuilder = FFI()
ffibuilder.cdef((ROOT / "csrc/asymo.h").read_text().replace("#pragma once", ""))
ffibuilder.set_source(
    "asymo._asymo",
    '#include "csrc/common/base.h"',
    include_dirs=[str(ROOT)],
    # Twice: the libraries refer to each other, and a linker reads a static library once.
    libraries=[name for name, _ in libraries()] * 2 + ["m", "pthread"],
    extra_link_args=os.environ.get("ASYMO_LDFLAGS", "").split(),
    py_limited_api=True,
)
