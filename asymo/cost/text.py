"""The text form of a machine's speeds: what a calibration is kept in, and what an `.asymo` file says it was planned for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from asymo.cost.features import CLASSES
from asymo.cost.speeds import Machine, Rates, TypeSpeeds
from asymo.errors import InvalidArgumentError

FORMAT = 2
"""Its version."""


def dump(machine: Machine) -> str:
    """The text form: JSON, one line a kernel class."""
    document = {"format": FORMAT, **machine._asdict()}
    del document["types"]
    document["fingerprint"] = dict(machine.fingerprint)
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items()]
    blocks = []
    for each in machine.types:
        head = [f"      {json.dumps(key)}: {json.dumps(value)}" for key, value in each._asdict().items() if key != "classes"]
        rows = [f"        {json.dumps(name)}: {json.dumps(_row(CLASSES[name], rates))}" for name, rates in each.classes.items()]
        blocks.append("    {\n" + ",\n".join(head) + ',\n      "classes": {\n' + ",\n".join(rows) + "\n      }\n    }")
    return "{\n" + ",\n".join(lines) + ',\n  "types": [\n' + ",\n".join(blocks) + "\n  ]\n}\n"


def _row(names: Sequence[str], rates: Rates) -> dict[str, list[float]]:
    return {name: [_short(a), _short(b)] for name, a, b in zip(names, rates.alone, rates.busy, strict=True)}


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def parse(text: str, where: str) -> Machine:
    """The machine of a text form. InvalidArgumentError names `where` and what is wrong."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _unreadable(where, str(error)) from None
    return from_document(document, where)


def from_document(document: Any, where: str) -> Machine:
    """The machine of a text form that was read as JSON. InvalidArgumentError names `where` and what is wrong."""
    try:
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}, this version reads {FORMAT}")
        types = tuple(_parse_type(each) for each in document["types"])
        if not types:
            raise ValueError("no core types")
        mr, nr = (int(v) for v in document["geometry"])
        figures = {key: _number(document[key]) for key in ("wake_s", "barrier_s", "memory_B", "spread")}
        texts = {key: str(document[key]) for key in ("basis", "isa", "date", "method")}
        return Machine(types=types, geometry=(mr, nr), fingerprint=dict(document["fingerprint"]), **figures, **texts)  # type: ignore[arg-type]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(where, f"no {error}" if isinstance(error, KeyError) else str(error)) from None


def _unreadable(where: str, what: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{where} is not a calibration of this version ({what}): run `asymo-bench calibrate`")


def _parse_type(each: Mapping[str, Any]) -> TypeSpeeds:
    classes = {}
    for name, names in CLASSES.items():
        row = each["classes"][name]
        if set(row) != set(names):
            raise ValueError(f"class {name} has {', '.join(row)} instead of {', '.join(names)}")
        pairs = [(_number(row[f][0]), _number(row[f][1])) for f in names]
        classes[name] = Rates(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
    counts = {key: int(_number(each[key])) for key in ("cores", "of", "l1_bytes", "l2_bytes", "l2_sharers", "l3_bytes", "l3_whole_bytes")}
    if min(counts["cores"], counts["of"], counts["l2_sharers"]) < 1:
        raise ValueError(f"core type {each['name']!r} has no cores")
    alone, busy = (_number(value) for value in each["pace"])
    claim = _number(each["claim_s"])
    return TypeSpeeds(name=str(each["name"]), in_order=bool(each["in_order"]), claim_s=claim, classes=classes, pace=(alone, busy), **counts)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is not a number >= 0")
    return float(value)
