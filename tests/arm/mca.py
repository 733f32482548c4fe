"""How busy the innermost loops of the NEON GEMM micro-kernels keep the FMA units, by static analysis: no phone, no clock.

    python tests/arm/mca.py

Out-of-order cores: cycles of a turn by llvm-mca's models of Neoverse-N1 (its pipeline is Cortex-A76's) and Cortex-A57 (used for A72 and
A73), which assume L1 hits and right predictions; the kernels for such cores must reach FLOOR. In-order cores: advice, by `inorder_cycles`,
because LLVM's A55 issues two 128-bit multiply-adds a cycle (the hardware one) and its A53 makes every load wait behind a multiply-add. That
simulation was never held against hardware.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cross
from cross import BUILD, COMPILERS, Cross

FLOOR = 0.95
"""Of the FMA throughput, for kernels for out-of-order cores on those."""

LLVM = range(17, 24)
"""Versions that know the pipeline of Neoverse-N1 (older ones take A57's for it)."""

REMEDY = "apt install llvm-19"

TURNS = 200

FMLA = re.compile(r"fmla\s+v\d+\.4s")


@dataclass(frozen=True)
class Core:
    """fmas: 128-bit multiply-adds a cycle. latencies, for an in-order core: multiply-add to its own accumulator, to other operands, vector
    load, integer load, other vector instruction."""

    name: str
    fmas: int
    note: str
    latencies: tuple[int, int, int, int, int] | None = None


CORES = (
    Core("neoverse-n1", 2, "Cortex-A76"),
    Core("cortex-a57", 1, "Cortex-A72, A73"),
    Core("cortex-a55", 1, "advice", (4, 4, 4, 3, 2)),
    Core("cortex-a53", 1, "advice", (4, 8, 4, 3, 3)),
)

KERNELS = {"csrc/kernels/gemm/f32_neon.c": False, "csrc/kernels/gemm/f32_inorder_neon.c": True}
"""Source -> whether it is for in-order cores. The loop looked at is that of a whole tile, the function TILE."""

TILE = "tile_8"


def llvm_mca() -> str | None:
    """The newest llvm-mca that knows the cores."""
    return next((f"llvm-mca-{v}" for v in reversed(LLVM) if shutil.which(f"llvm-mca-{v}")), None)


def innermost_loop(instructions: Sequence[tuple[int, str]]) -> list[str]:
    """The loop with the largest share of multiply-adds of those that hold no other loop. Instructions are (address, text), as objdump has
    them."""
    loops = []
    for i, (address, text) in enumerate(instructions):
        branch = re.match(r"(?:b|b\.\w+|cbn?z|tbn?z)\s.*?\b([0-9a-f]+)\s*<", text)
        if branch and int(branch[1], 16) <= address:
            first = next(j for j, (a, _) in enumerate(instructions) if a == int(branch[1], 16))
            loops.append((first, i))
    inner = [(a, b) for a, b in loops if not any((c, d) != (a, b) and a <= c and d <= b for c, d in loops)]
    bodies = [[text for _, text in instructions[a : b + 1]] for a, b in inner]
    return max(bodies, key=lambda body: sum(map(is_fma, body)) / len(body))


def is_fma(text: str) -> bool:
    return FMLA.match(text) is not None


def loop_of(compiler: Cross, source: str) -> list[str]:
    """The innermost loop of TILE as this compiler makes it."""
    flags = next(info["cflags"] for _, info in BUILD["libraries"]("aarch64") if source in info["sources"])
    cross.compile_all(compiler, {(source, tuple(flags))})
    command = ["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", str(cross.object_of(compiler, source))]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if f"<{TILE}>:" in line)
    found = []
    for line in lines[start + 1 :]:
        parts = re.match(r"\s+([0-9a-f]+):\s+([^/]*)", line)
        if parts is None:
            break
        found.append((int(parts[1], 16), parts[2].strip()))
    return innermost_loop(found)


def mca_cycles(tool: str, core: Core, loop: Sequence[str]) -> float:
    """Cycles of a turn on an out-of-order core."""
    body = [re.sub(r"\b[0-9a-f]+\s*<.*>", "loop", text) for text in loop]
    command = [tool, "-mtriple=aarch64-linux-gnu", f"-mcpu={core.name}", f"-iterations={TURNS}", "-json", "-"]
    done = subprocess.run(command, input="\n".join(["loop:", *body, ""]), stdout=subprocess.PIPE, text=True, check=True)
    view = json.loads(done.stdout)["CodeRegions"][0]["SummaryView"]
    return float(view["TotalCycles"] / view["Iterations"])


@dataclass(frozen=True)
class Operation:
    """What the simulation sees of an instruction. kind: fma, wide (a 128-bit load), narrow (a vector load of at most 64 bits), load, store,
    branch, vector, integer."""

    kind: str
    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    steps: tuple[str, ...]
    """Base registers that are moved on, and flags: ready in the next cycle."""


def registers(text: str) -> tuple[str, ...]:
    return tuple(("v" if letter in "vqds" else "x") + number for letter, number in re.findall(r"\b([vqdsxw])(\d+)\b", text))


def operation(text: str) -> Operation:
    name, _, arguments = text.partition("\t") if "\t" in text else text.partition(" ")
    target, _, rest = arguments.partition(",")
    address = arguments[arguments.find("[") :] if "[" in arguments else ""
    moved = registers(address)[:1] if "]!" in arguments or re.search(r"\],\s*\S", arguments) else ()
    if name.startswith("ld"):
        written = registers(arguments[: len(arguments) - len(address)])
        wide = bool(re.match(r"\s*(q\d|\{)", arguments))
        kind = "wide" if wide else "narrow" if written[0].startswith("v") else "load"
        return Operation(kind, name, registers(address), written, moved)
    if name.startswith("st"):
        return Operation("store", name, registers(arguments), (), moved)
    if re.match(r"b(\.|$)|cbn?z|tbn?z", name):
        return Operation("branch", name, (*registers(arguments), "flags"), (), ())
    if name in ("cmp", "tst", "subs", "adds"):
        return Operation("integer", name, registers(arguments if name in ("cmp", "tst") else rest), registers(target), ("flags",))
    kept = registers(target) if is_fma(text) or re.match(r"\s*v\d+\.[sd]\[", target) else ()
    kind = "fma" if is_fma(text) else "vector" if "v" in {r[0] for r in registers(arguments)} else "integer"
    return Operation(kind, name, (*registers(rest), *kept), registers(target), ())


def fits(core: Core, operation: Operation, issued: Sequence[str]) -> bool:
    """Whether it can be issued in the cycle in which `issued` were."""
    memory, kind = {"narrow", "load", "store"}, operation.kind
    if len(issued) >= 2 or (kind == "wide" and issued):
        return False
    if kind in memory and memory & set(issued):
        return False
    if kind == "fma" and {"fma", "vector"} & set(issued):
        return False
    if kind == "vector":
        inserts = core.name == "cortex-a55" and operation.name in ("ins", "mov", "fmov")
        return "vector" not in issued and ("fma" not in issued or inserts)
    if core.name == "cortex-a53" and {kind, *issued} >= {"fma", "narrow"}:
        return False
    return kind != "branch" or "branch" not in issued


def inorder_cycles(core: Core, loop: Sequence[str], turns: int = 60) -> float:
    """Cycles of a turn on a core that issues two instructions a cycle in order, while their operands are ready and `fits` says so. A
    128-bit load takes both slots for two cycles."""
    assert core.latencies is not None
    to_accumulator, to_other, vector_load, load, vector = core.latencies
    latency = {"fma": to_other, "wide": vector_load, "narrow": vector_load, "load": load, "vector": vector}
    operations = [operation(text) for text in loop]
    ready: dict[str, int] = {}
    accumulator: dict[str, int] = {}
    cycle, issued, ends = 0, list[str](), []
    for _ in range(turns):
        for o in operations:
            own = set(o.writes) if o.kind == "fma" else set()
            start = max([cycle, *(accumulator.get(r, 0) if r in own else ready.get(r, 0) for r in o.reads)])
            if start > cycle:
                cycle, issued = start, []
            while not fits(core, o, issued):
                cycle, issued = cycle + 1, []
            done = cycle + latency.get(o.kind, 1)
            if o.kind == "wide":
                cycle, issued = cycle + 2 * len(o.writes), []
                done = cycle + vector_load - 2
            else:
                issued.append(o.kind)
            for r in o.writes:
                ready[r] = done
                accumulator[r] = cycle + to_accumulator if o.kind == "fma" else done
            for r in o.steps:
                ready[r] = accumulator[r] = cycle + 1
        ends.append(cycle)
    return (ends[-1] - ends[turns // 2 - 1]) / (turns - turns // 2)


def rows(tool: str, compiler: Cross) -> Iterator[tuple[str, Core, int, float, float, bool]]:
    """kernel, core, multiply-adds of a turn, cycles, share of the FMA throughput, whether that must reach FLOOR."""
    for source, inorder in KERNELS.items():
        loop = loop_of(compiler, source)
        fmas = sum(map(is_fma, loop))
        for core in CORES:
            cycles = inorder_cycles(core, loop) if core.latencies else mca_cycles(tool, core, loop)
            yield Path(source).stem, core, fmas, cycles, fmas / cycles / core.fmas, not inorder and core.latencies is None


def report() -> bool:
    """Prints a table for each compiler that is here; returns whether every share that must reach FLOOR does."""
    tool = llvm_mca()
    if tool is None:
        print(f"left out: FMA throughput of the NEON kernels, without llvm-mca {LLVM.start} or newer: {REMEDY}")
        return True
    passed = True
    print(f"{'innermost loop, by static analysis':40} {'core':12} {'FMAs':>4} {'cycles':>7}  of the FMA throughput")
    for compiler in (c for c in COMPILERS if c.arch == "aarch64" and c.name in ("gcc", "clang") and c.is_here()):
        for kernel, core, fmas, cycles, share, must in rows(tool, compiler):
            fails = must and share < FLOOR
            passed = passed and not fails
            verdict = f"  FAILED: below {FLOOR:.0%}" if fails else ""
            print(f"{compiler.name + ', ' + kernel:40} {core.name:12} {fmas:4} {cycles:7.1f}  {share:6.1%}  ({core.note}){verdict}")
    return passed


if __name__ == "__main__":
    sys.exit(0 if report() else 1)
