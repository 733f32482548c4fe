"""Instructions of one inference on aarch64, beside other runtimes' aarch64 wheels: python -m benchmarks.instructions [MODEL...]

One thread, fp32, CPU cortex-a76, under qemu-user with the plugin count.c; the third run of a session is counted, between marks. Counts
repeat to the instruction and say nothing of cycles. ONNX Runtime's and ncnn's wheels come from the package index into an arm64 tree in
.cache; Asymo is cross-compiled. Models for ncnn are converted on this machine (docs/asymmetry.md lists what that takes).

Without MODEL: the benchmark set (python -m benchmarks.models.fetch).
Needs Debian, gcc-aarch64-linux-gnu and qemu-user (QEMU 7.2 to 9: plugins of version 1, dynamically linked).
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from asymo.bench.peers import file_for
from benchmarks import models

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "instructions"
HERE = Path(__file__).parent
WHEELS = ("numpy", "cffi", "psutil", "onnx", "onnxruntime", "ncnn")
PEERS = ("asymo", "onnxruntime", "ncnn")
CROSS = "aarch64-linux-gnu-gcc"
CPU = "cortex-a76"

Counts = dict[str, int]


def build() -> None:
    """The plugin, the marks, the arm64 tree, and Asymo for it, all in CACHE."""
    CACHE.mkdir(parents=True, exist_ok=True)
    flags = ["-O2", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, HERE / "count.c", "-o", CACHE / "libcount.so"], check=True)
    subprocess.run([CROSS, *flags, HERE / "marks.c", "-o", CACHE / "libmarks.so"], check=True)
    subprocess.run([HERE / "tree.sh", CACHE / "tree", *WHEELS], env=os.environ | {"PYTHON": sys.executable}, check=True)
    cross = {"CC": CROSS, "LDSHARED": f"{CROSS} -shared", "_PYTHON_HOST_PLATFORM": "linux-aarch64"}
    command = [sys.executable, "setup.py", "-q", "build", "--build-lib", CACHE / "asymo"]
    subprocess.run(command, cwd=ROOT, env=os.environ | cross, check=True)


def count(peer: str, model: Path, file: Path) -> Counts | None:
    """What one inference executes, by class; None where the peer does not run the model."""
    tree, out = CACHE / "tree", CACHE / "counts.txt"
    out.unlink(missing_ok=True)
    qemu = ["qemu-aarch64", "-L", tree, "-cpu", CPU, "-plugin", f"{CACHE / 'libcount.so'},out={out}"]
    guest = [tree / "usr/bin/python3", HERE / "guest.py", CACHE / "libmarks.so", peer, model, file, model.with_suffix(".npz")]
    env = os.environ | {
        "PYTHONHOME": str(tree / "usr"),
        "PYTHONPATH": f"{tree / 'site'}:{CACHE / 'asymo'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(CACHE / "none"),  # no calibration of another machine
    }
    done = subprocess.run([*qemu, *guest], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    counts = {name: int(value) for name, value in (word.split("=") for word in out.read_text().split())} if out.exists() else {}
    if done.returncode or not counts.get("instructions"):
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        print(f"{model.stem}: {peer} does not run: {last}", file=sys.stderr)
        return None
    return counts


def converted(peer: str, model: Path) -> Path | None:
    """The model as the peer reads it; None where it cannot be converted."""
    with np.load(model.with_suffix(".npz")) as arrays:
        try:
            return file_for(peer, model, dict(arrays), CACHE / "converted")
        except RuntimeError as error:
            print(f"{model.stem}: {peer}: {error}", file=sys.stderr)
            return None


def row(model: str, counts: Mapping[str, Counts]) -> str:
    """Millions of instructions of each peer, its vector FMAs in brackets, and the ratio of the leanest peer's to Asymo's."""
    cells = [f"{c['instructions'] / 1e6:,.1f} ({c['vector_fma'] / 1e6:,.1f})" if (c := counts.get(peer)) else "-" for peer in PEERS]
    ratio = leanest(counts)
    return f"| {model} | {' | '.join(cells)} | {ratio:.2f} |" if ratio else f"| {model} | {' | '.join(cells)} | - |"


def leanest(counts: Mapping[str, Counts]) -> float | None:
    """The fewest instructions of any other runtime over Asymo's."""
    others = [c["instructions"] for peer, c in counts.items() if peer != "asymo"]
    return min(others) / counts["asymo"]["instructions"] if others and "asymo" in counts else None


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("models", type=Path, nargs="*", metavar="MODEL", help="MODEL.npz beside it holds its inputs")
    args = parser.parse_args(arguments)
    build()
    ratios = []
    print(f"| model | {' | '.join(PEERS)} | leanest peer / asymo |\n| --- |{' --: |' * (len(PEERS) + 1)}")
    for model in args.models or sorted(models.FOLDER.glob("*.onnx")):
        files = {peer: converted(peer, model) for peer in PEERS}
        found = {peer: count(peer, model.resolve(), file.resolve()) for peer, file in files.items() if file is not None}
        counts = {peer: c for peer, c in found.items() if c is not None}
        print(row(model.stem, counts), flush=True)
        ratios += [ratio] if (ratio := leanest(counts)) else []
    print(f"geometric mean over {len(ratios)} models: {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}, lowest {min(ratios):.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
