"""Which steps are worth waking other cores for."""

from __future__ import annotations

from math import prod

from asymo.plan.opcodes import units
from asymo.plan.plan import SERIAL, Args, Sharing

SERIAL_BELOW_NS = 3000.0
"""A barrier with two spinning workers costs about 1 us and a step's share of it must stay small."""

FLOPS_PER_NS, BYTES_PER_NS = 50.0, 8.0
"""Conservative speed of one core; only the order of magnitude matters here. The cost model replaces this."""


def work_ns(kind: str, args: Args) -> float:
    """Rough time of a step on one core."""

    def a(name: str) -> float:
        value = args[name]
        assert not isinstance(value, tuple)
        return value

    def size(name: str) -> float:
        """The product of a tuple; of a shape that is padded to the largest rank, of its first entries."""
        value = args[name]
        assert isinstance(value, tuple)
        return prod(value[: int(a("rank"))] if name == "shape" else value)

    match kind:
        case "gemm":
            return size("batch") * 2.0 * a("m") * a("n") * a("k") / FLOPS_PER_NS
        case "gemm_pack":
            return size("batch") * a("k") * a("n") * 8.0 / BYTES_PER_NS
        case "conv":
            return 2.0 * a("batch") * a("groups") * a("c") * a("n") * size("out") * size("kernel") / FLOPS_PER_NS
        case "dwconv":
            return 2.0 * a("batch") * a("channels") * size("out") * size("kernel") / (FLOPS_PER_NS / 2)
        case "winograd":
            return 9.0 * a("batch") * a("c") * a("n") * size("out") / FLOPS_PER_NS
        case "pool":
            return a("batch") * a("channels") * size("out") * size("kernel") / BYTES_PER_NS
        case "eltwise":
            return size("shape") * (1.0 + 0.5 * a("n_code")) / BYTES_PER_NS
        case "typed":
            return size("shape") * 2.0
        case "copy":
            return size("shape") * 2.0 * a("size_bytes") / BYTES_PER_NS
        case "fill":
            return a("count") * a("size_bytes") / BYTES_PER_NS
        case "gather":
            return a("outer") * a("count") * (2.0 * a("inner_bytes") / BYTES_PER_NS + 2.0)
        case "reduce" | "argreduce":
            return a("outer") * a("reduce") * a("inner") * 4.0 / BYTES_PER_NS
        case "softmax":
            return a("outer") * a("reduce") * a("inner") * 1.0
        case "norm":
            return a("outer") * a("groups") * a("reduce") * a("inner") * 12.0 / BYTES_PER_NS
        case "lrn":
            return a("rows") * a("channels") * 4.0
        case "resample":
            return a("outer") * a("count") * a("inner") * a("taps") * 4.0 / BYTES_PER_NS
        case "rnn":
            gates = {0: 1, 1: 4, 2: 3}[int(a("cell"))]
            return 2.0 * gates * a("batch") * a("hidden") ** 2 / 16.0
    raise AssertionError(f"no estimate for step kind {kind!r}")


def share(kind: str, args: Args, work: float | None, workers: int) -> Sharing:
    """Serial when one core alone finishes the step (a phase of it) before others could help."""
    ns = work_ns(kind, args) if work is None else work
    if workers == 1 or ns < SERIAL_BELOW_NS:
        return SERIAL
    return Sharing((workers,), (1,), (ns / max(units(kind, args), 1),))
