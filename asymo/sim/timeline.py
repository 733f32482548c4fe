"""A simulated inference to look at: Chrome trace events, and a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asymo.errors import InvalidArgumentError, UnsupportedError
from asymo.sim.run import Result
from asymo.sim.task import Task


def events(result: Result, tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Trace events (chrome://tracing, ui.perfetto.dev): a thread for each core, a slice for each chunk; microseconds."""
    made: list[dict[str, Any]] = [
        {"name": "thread_name", "ph": "M", "pid": 0, "tid": core, "args": {"name": result.hardware.name(core)}} for core in result.cores
    ]
    made.insert(0, {"name": "process_name", "ph": "M", "pid": 0, "args": {"name": f"simulated, policy {result.policy}"}})
    for step, span in result.events:
        what = {"step": step, "node": tasks[step].name, "units": [span.chunk.begin, span.chunk.end], "of": tasks[step].units}
        if span.chunk.stolen_from >= 0:
            what["stolen_from"] = result.hardware.kinds[span.chunk.stolen_from].name
        if span.chunk.repeated:
            what["rescue"] = True
        begin, duration = span.begin * 1e6, (span.end - span.begin) * 1e6
        made.append({"name": tasks[step].kind, "ph": "X", "pid": 0, "tid": span.core, "ts": begin, "dur": duration, "args": what})
    return made


def draw(result: Result, tasks: Sequence[Task], path: Path, title: str) -> None:
    """Draws the timeline into a .svg or .png file. Raises UnsupportedError without matplotlib (the extra `plot`)."""
    if path.suffix not in (".svg", ".png"):
        raise InvalidArgumentError(f"{path}: a drawing's name ends in .svg or .png")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UnsupportedError("drawing a timeline needs matplotlib: pip install 'asymo[plot]', or use --trace") from None
    figure = Figure(figsize=(12, 0.6 + 0.4 * len(result.cores)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    colours = {kind: f"C{i % 10}" for i, kind in enumerate(dict.fromkeys(task.kind for task in tasks))}
    rows = {core: i for i, core in enumerate(result.cores)}
    for kind, colour in colours.items():
        found = [span for step, span in result.events if tasks[step].kind == kind]
        axes.barh(
            [rows[s.core] for s in found], [1e3 * (s.end - s.begin) for s in found], left=[1e3 * s.begin for s in found],
            color=colour, edgecolor="white", linewidth=0.2, label=kind,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [f"{result.hardware.name(c)}  {result.utilisation[c]:.0%}" for c in result.cores])
    axes.invert_yaxis()
    axes.set_xlabel("ms (simulated)")
    axes.set_title(title)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    figure.savefig(path)
