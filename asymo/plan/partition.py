"""Which steps are worth waking other cores for."""

from __future__ import annotations

from math import prod

from asymo.plan.plan import Args

SERIAL_BELOW_NS = 3000.0
"""A barrier with two spinning workers costs about 1 us and a step's share of it must stay small."""

FLOPS_PER_NS, BYTES_PER_NS = 50.0, 8.0
"""Conservative speed of one core; only the order of magnitude matters here. The cost model replaces this."""


def work_ns(kind: str, args: Args) -> float:
    """Rough time of a step on one core."""
    a = args
    match kind:
        case "gemm":
            return prod(a["batch"]) * 2.0 * a["m"] * a["n"] * a["k"] / FLOPS_PER_NS  # type: ignore[operator,arg-type]
        case "gemm_pack":
            return prod(a["batch"]) * a["k"] * a["n"] * 8.0 / BYTES_PER_NS  # type: ignore[operator,arg-type]
        case "conv":
            return 2.0 * a["batch"] * a["groups"] * a["c"] * a["n"] * prod(a["out"]) * prod(a["kernel"]) / FLOPS_PER_NS  # type: ignore[operator,arg-type]
        case "dwconv":
            return 2.0 * a["batch"] * a["channels"] * prod(a["out"]) * prod(a["kernel"]) / (FLOPS_PER_NS / 2)  # type: ignore[operator,arg-type]
        case "winograd":
            return 9.0 * a["batch"] * a["c"] * a["n"] * prod(a["out"]) / FLOPS_PER_NS  # type: ignore[operator,arg-type]
        case "pool":
            return a["batch"] * a["channels"] * prod(a["out"]) * prod(a["kernel"]) / BYTES_PER_NS  # type: ignore[operator,arg-type]
        case "eltwise":
            return prod(a["shape"][: a["rank"]]) * (1.0 + 0.5 * a["n_code"]) / BYTES_PER_NS  # type: ignore[operator,arg-type,index,misc]
        case "typed":
            return prod(a["shape"][: a["rank"]]) * 2.0  # type: ignore[arg-type,index,misc]
        case "copy":
            return prod(a["shape"][: a["rank"]]) * 2.0 * a["size_bytes"] / BYTES_PER_NS  # type: ignore[operator,arg-type,index,misc]
        case "fill":
            return a["count"] * a["size_bytes"] / BYTES_PER_NS  # type: ignore[operator,return-value]
        case "gather":
            return a["outer"] * a["count"] * (2.0 * a["inner_bytes"] / BYTES_PER_NS + 2.0)  # type: ignore[operator]
        case "reduce" | "argreduce":
            return a["outer"] * a["reduce"] * a["inner"] * 4.0 / BYTES_PER_NS  # type: ignore[operator]
        case "softmax":
            return a["outer"] * a["reduce"] * a["inner"] * 1.0  # type: ignore[operator]
        case "norm":
            return a["outer"] * a["groups"] * a["reduce"] * a["inner"] * 12.0 / BYTES_PER_NS  # type: ignore[operator]
        case "lrn":
            return a["rows"] * a["channels"] * 4.0  # type: ignore[operator]
        case "resample":
            return a["outer"] * a["count"] * a["inner"] * a["taps"] * 4.0 / BYTES_PER_NS  # type: ignore[operator]
        case "rnn":
            gates = {0: 1, 1: 4, 2: 3}[a["cell"]]  # type: ignore[index]
            return 2.0 * gates * a["batch"] * a["hidden"] ** 2 / 16.0  # type: ignore[operator]
    raise AssertionError(f"no estimate for step kind {kind!r}")


def is_serial(kind: str, args: Args, work: float | None) -> bool:
    """Whether one core alone finishes the step (a phase of it) before others could help."""
    return (work_ns(kind, args) if work is None else work) < SERIAL_BELOW_NS
