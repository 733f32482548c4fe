"""Builds the C core. asymo/_build.py says what; this file says how setuptools does it."""

import os
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sysconfig import get_platform

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
BUILD = runpy.run_path(str(ROOT / "asymo/_build.py"))


class BuildExt(build_ext):
    """Builds the static libraries first, so that `build_ext --inplace` alone works, and links again when they are newer."""

    def run(self) -> None:
        self.run_command("build_clib")
        self.force = True
        super().run()


class BuildClib(build_clib):
    """Compiles a library's files side by side, and only those that are older than a source or header they may depend on.

    Objects and libraries stay in one folder of the tree, whoever builds (setup.py, pip, an editable install): tests link with them.
    """

    def finalize_options(self) -> None:
        super().finalize_options()
        self.build_temp = self.build_clib = str(ROOT / "build" / f"temp.{get_platform()}-{sys.implementation.cache_tag}")

    def build_libraries(self, libraries) -> None:
        headers = [p for pattern in ("*.h", "*.inc") for p in (ROOT / "csrc").rglob(pattern)]
        newest_header = max(p.stat().st_mtime for p in [*headers, ROOT / "setup.py", ROOT / "asymo/_build.py"])

        def compile_one(source: str, flags: list[str]) -> str:
            target = Path(self.build_temp) / Path(source).with_suffix(".o")
            if not target.exists() or target.stat().st_mtime < max(newest_header, Path(source).stat().st_mtime):
                self.compiler.compile([source], output_dir=self.build_temp, extra_postargs=flags)
            return str(target)

        with ThreadPoolExecutor(os.cpu_count()) as workers:
            for name, info in libraries:
                objects = list(workers.map(lambda source, info=info: compile_one(source, info["cflags"]), info["sources"]))
                (Path(self.build_clib) / f"lib{name}.a").unlink(missing_ok=True)
                self.compiler.create_static_lib(objects, name, output_dir=self.build_clib)


class BdistWheel(bdist_wheel):
    """One wheel for all CPythons from 3.10 on: cffi modules use the stable ABI."""

    def finalize_options(self) -> None:
        self.py_limited_api = "cp310"
        super().finalize_options()


setup(
    version=BUILD["VERSION"],
    libraries=BUILD["libraries"](),
    cffi_modules=["asymo/_build.py:ffibuilder"],
    cmdclass={"build_ext": BuildExt, "build_clib": BuildClib, "bdist_wheel": BdistWheel},
)
