"""Tables: the same rows as text, Markdown, CSV or JSON on stdout; progress on stderr when that is a terminal."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]

FORMATS = ("text", "markdown", "csv", "json")


def table(rows: Sequence[Row], form: str, title: str = "") -> str:
    """The rows in one of FORMATS. Columns are the keys of all rows, in the order they first appear."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if form == "json":
        return json.dumps({"title": title, "rows": list(rows)} if title else list(rows), indent=1)
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().rstrip("\n")
    cells = [[_text(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(c), *(len(line[i]) for line in cells), 3) if cells else max(len(c), 3) for i, c in enumerate(columns)]
    right = [all(isinstance(row.get(c), int | float | None) for row in rows) for c in columns]

    def line(values: Sequence[str], fill: str = " ") -> str:
        padded = [v.rjust(w, fill) if r else v.ljust(w, fill) for v, w, r in zip(values, widths, right, strict=True)]
        return "| " + " | ".join(padded) + " |" if form == "markdown" else "  ".join(padded).rstrip()

    rule = [("-" * (w - 1) + ":" if r and form == "markdown" else "-" * w) for w, r in zip(widths, right, strict=True)]
    lines = [line(columns), line(rule), *(line(row) for row in cells)]
    heading = [f"### {title}" if form == "markdown" else title, ""] if title else []
    return "\n".join([*heading, *lines])


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if value == 0 or 1e-3 <= abs(value) < 1e5:
            return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"
        return f"{value:.1e}"
    return str(value)


class Progress:
    """A progress line on stderr: rich's when it is installed, plain otherwise, nothing when stderr is no terminal."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: Any = None
        self._task: Any = None
        self._shown = -1

    def __enter__(self) -> Callable[[float], None]:
        if not sys.stderr.isatty():
            return lambda fraction: None
        try:
            from rich.console import Console
            from rich.progress import Progress as Bar
        except ImportError:
            return self._plain
        self._bar = Bar(console=Console(stderr=True), transient=True)
        self._bar.start()
        self._task = self._bar.add_task(self._what, total=1.0)
        return lambda fraction: self._bar.update(self._task, completed=fraction)

    def _plain(self, fraction: float) -> None:
        if (percent := int(100 * fraction)) != self._shown:
            self._shown = percent
            print(f"\r{self._what} {percent:3d} %", end="", file=sys.stderr, flush=True)

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._shown >= 0:
            print("\r" + " " * (len(self._what) + 6) + "\r", end="", file=sys.stderr, flush=True)
