r"""What ONNX asks of the inputs, outputs and attributes of the operators that asymo knows itself, without the package `onnx`.

`schemas.txt` is made of onnx's own schemas by

    python -c "from asymo.onnx import schemas; print(*schemas.rows(), sep='\n')" > asymo/onnx/schemas.txt

and a test compares. Its first line has the newest opset and IR version; then one line for each version of an operator:

    name since least..most inputs least..most outputs required inputs (position:name,...) attributes (name=type, "!" when required)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import Any

from asymo import ops
from asymo.onnx.host import CONTROL
from asymo.record import NamedTuple

FIRST_OPSET = 7
"""Versions that end before this opset are left out: the reader never sees them."""


class Schema(NamedTuple):
    """One version of an operator. inputs, outputs: (least, most). required: (position, name). attributes: name -> (type, is required)."""

    since: int
    deprecated: bool
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    required: tuple[tuple[int, str], ...]
    attributes: dict[str, tuple[int, bool]]


@cache
def _lines() -> list[str]:
    with open(os.path.join(os.path.dirname(__file__), "schemas.txt"), encoding="utf-8") as file:
        return file.read().splitlines()


def newest() -> tuple[int, int]:
    """The newest opset of ai.onnx and the newest IR version."""
    opset, ir_version = _lines()[0].split()
    return int(opset), int(ir_version)


@cache
def _by_operator() -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for line in _lines()[1:]:
        rows.setdefault(line[: line.index(" ")], []).append(line)
    return rows


@cache
def find(op: str, opset: int) -> Schema | None:
    """The schema of an operator of ai.onnx in an opset; None where it has none there."""
    fits = [s for s in map(_parse_row, _by_operator().get(op, ())) if s.since <= opset]
    return max(fits, key=lambda s: s.since, default=None)


@cache
def _parse_row(line: str) -> Schema:
    _, since, inputs, outputs, required, attributes = line.split(" ")

    def bounds(text: str) -> tuple[int, int]:
        low, high = text.split("..")
        return int(low), int(high)

    named = [entry.split(":") for entry in required.split(",") if entry]
    typed = [entry.split("=") for entry in attributes.split(",") if entry]
    return Schema(
        abs(int(since)),
        int(since) < 0,
        bounds(inputs),
        bounds(outputs),
        tuple((int(i), name) for i, name in named),
        {name: (int(type.rstrip("!")), type.endswith("!")) for name, type in typed},
    )


def covers(domain: str, op: str) -> bool:
    """Whether the operator stands in the table: it has an Operator class, or is control flow."""
    return not domain and (op in CONTROL or ops.find(domain, op) is not None)


def of_onnx(schema: Any) -> Schema:
    """The same of an onnx.defs.OpSchema."""
    single = type(schema).FormalParameterOption.Single
    return Schema(
        schema.since_version,
        schema.deprecated,
        (schema.min_input, schema.max_input),
        (schema.min_output, schema.max_output),
        tuple((i, formal.name) for i, formal in enumerate(schema.inputs) if formal.option == single),
        {name: (int(a.type.value), a.required) for name, a in sorted(schema.attributes.items())},
    )


def _row(op: str, s: Schema) -> str:
    required = ",".join(f"{i}:{name}" for i, name in s.required)
    attributes = ",".join(f"{name}={type}{'!' if needed else ''}" for name, (type, needed) in s.attributes.items())
    since = -s.since if s.deprecated else s.since
    return f"{op} {since} {s.inputs[0]}..{s.inputs[1]} {s.outputs[0]}..{s.outputs[1]} {required} {attributes}"


def rows() -> Iterator[str]:
    """The lines of schemas.txt, from the package `onnx`."""
    import onnx

    yield f"{onnx.defs.onnx_opset_version()} {onnx.IR_VERSION}"
    versions: dict[str, list[Schema]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if covers(schema.domain, schema.name):
            versions.setdefault(schema.name, []).append(of_onnx(schema))
    for op, history in sorted(versions.items()):
        first = max((s.since for s in history if s.since <= FIRST_OPSET), default=0)
        yield from (_row(op, s) for s in sorted(history, key=lambda s: s.since) if s.since >= first)
