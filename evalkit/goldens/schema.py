"""The published Parquet schema of a golden set, and cases to and from Arrow.

Nested parts are Arrow structs and lists, so that DuckDB and pandas can query them; values
of free form (tool arguments, tool results, variables, JSON Schemas) are canonical JSON in
string columns whose names end in ``_json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from evalkit import codec
from evalkit.fingerprint import canonical_json
from evalkit.records import Case, Json

__all__ = ["CASE_SCHEMA", "SCHEMA_VERSION", "cases_to_table", "table_to_cases"]

SCHEMA_VERSION = "1"
"""Of the Parquet layout. Readers refuse a newer one."""

_TEXT = pa.string()
_TEXTS = pa.list_(pa.string())
_CALL = pa.struct([("name", _TEXT), ("arguments_json", _TEXT), ("id", _TEXT)])
_EXPECTED_CALL = pa.struct([("name", _TEXT), ("arguments_json", _TEXT), ("optional", _TEXTS), ("free", _TEXTS)])

CASE_SCHEMA = pa.schema(
    [
        ("id", _TEXT),
        (
            "input",
            pa.list_(
                pa.struct(
                    [("role", _TEXT), ("content", _TEXT), ("tool_calls", pa.list_(_CALL)), ("tool_call_id", _TEXT)]
                )
            ),
        ),
        (
            "expect",
            pa.struct(
                [
                    ("behaviour", _TEXT),
                    ("facts", pa.list_(_TEXTS)),
                    ("forbidden", _TEXTS),
                    ("answer", _TEXT),
                    ("citations", _TEXTS),
                    (
                        "tools",
                        pa.struct(
                            [
                                ("alternatives", pa.list_(pa.list_(_EXPECTED_CALL))),
                                ("order", _TEXT),
                                ("forbidden", _TEXTS),
                            ]
                        ),
                    ),
                ]
            ),
        ),
        (
            "context",
            pa.list_(
                pa.struct(
                    [
                        ("id", _TEXT),
                        ("text", _TEXT),
                        ("title", _TEXT),
                        ("date", _TEXT),
                        ("kind", _TEXT),
                        ("tenant", _TEXT),
                        ("roles", _TEXTS),
                        ("trusted", pa.bool_()),
                    ]
                )
            ),
        ),
        (
            "tools",
            pa.list_(
                pa.struct([("name", _TEXT), ("description", _TEXT), ("parameters_json", _TEXT), ("side_effect", _TEXT)])
            ),
        ),
        (
            "recorded_tools",
            pa.list_(pa.struct([("name", _TEXT), ("result_json", _TEXT), ("arguments_json", _TEXT), ("error", _TEXT)])),
        ),
        ("variables_json", _TEXT),
        ("tenant", _TEXT),
        ("role", _TEXT),
        ("locale", _TEXT),
        ("intent", _TEXT),
        ("risk", _TEXT),
        ("critical", pa.bool_()),
        ("cluster", _TEXT),
        ("slices", pa.list_(pa.struct([("key", _TEXT), ("value", _TEXT)]))),
        ("tags", _TEXTS),
        (
            "provenance",
            pa.struct([("source", _TEXT), ("author", _TEXT), ("created", _TEXT), ("reference", _TEXT)]),
        ),
        ("notes", _TEXT),
    ]
)
"""One row a case, sorted by id. The columns are the fields of :class:`evalkit.records.Case`."""


def cases_to_table(cases: Iterable[Case]) -> pa.Table:
    """Build the canonical table: fixed schema, sorted by id, one chunk.

    Raises:
        ValueError: for NaN or infinities in free-form values.
    """
    rows = [_to_row(codec.plain(case)) for case in sorted(cases, key=lambda case: case.id)]
    return pa.Table.from_pylist(rows, schema=CASE_SCHEMA).combine_chunks()


def table_to_cases(table: pa.Table) -> list[Case]:
    """The cases of a table in this module's schema."""
    return [codec.decode(Case, _from_row(row)) for row in table.to_pylist()]


def _dump(value: Json) -> str:
    return canonical_json(value).decode("utf-8", "surrogatepass")


def _to_row(case: dict[str, Any]) -> dict[str, Any]:
    expect = dict(case["expect"])
    if expect["tools"] is not None:
        expect["tools"] = {
            **expect["tools"],
            "alternatives": [
                [_to_json(call, "arguments") for call in path] for path in expect["tools"]["alternatives"]
            ],
        }
    row = {key: value for key, value in case.items() if key != "variables"}
    return {
        **row,
        "input": [
            {**turn, "tool_calls": [_to_json(call, "arguments") for call in turn["tool_calls"]]}
            for turn in case["input"]
        ],
        "expect": expect,
        "tools": [_to_json(tool, "parameters") for tool in case["tools"]],
        "recorded_tools": [_to_json(tool, "arguments", "result") for tool in case["recorded_tools"]],
        "variables_json": _dump(case["variables"]),
        "slices": [{"key": key, "value": value} for key, value in sorted(case["slices"].items())],
    }


def _from_row(row: Mapping[str, Any]) -> dict[str, Any]:
    expect = dict(row["expect"])
    if expect["tools"] is not None:
        expect["tools"] = {
            **expect["tools"],
            "alternatives": [
                [_from_json(call, "arguments") for call in path] for path in expect["tools"]["alternatives"]
            ],
        }
    case = {key: value for key, value in row.items() if key != "variables_json"}
    return {
        **case,
        "input": [
            {**turn, "tool_calls": [_from_json(call, "arguments") for call in turn["tool_calls"]]}
            for turn in row["input"]
        ],
        "expect": expect,
        "tools": [_from_json(tool, "parameters") for tool in row["tools"]],
        "recorded_tools": [_from_json(tool, "arguments", "result") for tool in row["recorded_tools"]],
        "variables": json.loads(row["variables_json"]),
        "slices": {pair["key"]: pair["value"] for pair in row["slices"]},
    }


def _to_json(item: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Replace each free-form value by its canonical JSON; ``None`` arguments ("any") stay null."""
    rest = {key: value for key, value in item.items() if key not in keys}
    for key in keys:
        absent = item[key] is None and key == "arguments"
        rest[f"{key}_json"] = None if absent else _dump(item[key])
    return rest


def _from_json(item: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    rest = {key: value for key, value in item.items() if not key.endswith("_json")}
    for key in keys:
        text = item[f"{key}_json"]
        rest[key] = None if text is None else json.loads(text)
    return rest
