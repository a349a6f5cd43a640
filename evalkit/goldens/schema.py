"""The published Parquet schema of a golden set, and cases to and from Arrow.

Nested parts are Arrow structs and lists, so that DuckDB and pandas can query them; values
of free form (tool arguments, tool results, variables, JSON Schemas) are canonical JSON in
string columns whose names end in ``_json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from evalkit import codec
from evalkit.errors import GoldenSetError
from evalkit.fingerprint import canonical_json
from evalkit.goldens.columns import Unfit, check_records, decode_records, encode_records
from evalkit.goldens.source import Place, parse_json
from evalkit.records import Case, Json

__all__ = ["CASE_SCHEMA", "LATER", "SCHEMA_VERSION", "cases_to_table", "check_cases", "table_to_cases"]

SCHEMA_VERSION = "1"
"""Of the Parquet layout. Readers refuse a newer one."""

LATER = ("match",)
"""Fields of ``expect`` that files of the same layout may lack. One that is null is no content: no digest has it."""

_SUSPECT = re.compile(r"\\u|NaN|Infinity|[eE][+-]?\d{3}")
"""What JSON text must have to hold a lone surrogate or a number that is not finite."""
_BATCH = 2_048
"""Rows decoded at a time."""
_read_json = json.JSONDecoder().raw_decode
_UNREADABLE = (Unfit, GoldenSetError, ValueError, TypeError, RecursionError)
"""What reading by columns ends in where a row is no case, or may not be one."""
_UNFIT = (AttributeError, ValueError, TypeError, RecursionError, pa.ArrowException)
_REBUILD = "restore the file from version control, or build it again: evalkit goldens build"

_TEXT = pa.string()
_TEXTS = pa.list_(pa.string())
_CALL = pa.struct([("name", _TEXT), ("arguments_json", _TEXT), ("id", _TEXT)])
_NUMBER = pa.float64()
_EXPECTED_CALL = pa.struct([("name", _TEXT), ("arguments_json", _TEXT), ("optional", _TEXTS), ("free", _TEXTS)])
_MATCH = pa.struct(
    [
        ("kind", _TEXT),
        ("texts", _TEXTS),
        ("fold", _TEXT),
        ("value", _NUMBER),
        ("tolerance", _NUMBER),
        ("relative", _NUMBER),
        ("unit", _TEXT),
        ("ordered", pa.bool_()),
        ("schema_json", _TEXT),
        ("fields_json", _TEXT),
        ("tolerances_json", _TEXT),
        ("ignored", _TEXTS),
        ("pattern", _TEXT),
        ("whole", pa.bool_()),
    ]
)

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
                    ("match", _MATCH),
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


def cases_to_table(cases: Iterable[Case], file: Path | None = None) -> pa.Table:
    """Build the canonical table: fixed schema, sorted by id, one chunk.

    Args:
        cases: The cases, in any order.
        file: Where they come from or go to, for errors.

    Raises:
        GoldenSetError: for a case with values that JSON does not have, or text without UTF-8 form.
    """
    members = sorted(cases, key=lambda case: case.id)
    try:
        return _table(members)
    except _UNFIT:
        raise _unfit(members, file) from None


def _table(cases: Sequence[Case]) -> pa.Table:
    return pa.Table.from_arrays(encode_records(cases, list(CASE_SCHEMA), _dump), schema=CASE_SCHEMA)


def _unfit(cases: Sequence[Case], file: Path | None) -> GoldenSetError:
    for case in cases:
        try:
            _table([case])
        except _UNFIT as error:
            return GoldenSetError(
                f"the case cannot be stored: {error}", file=file, key=case.id, fix="write the value as plain JSON"
            )
    return GoldenSetError("the cases cannot be stored together", file=file, fix="build several smaller golden sets")


def table_to_cases(table: pa.Table | pa.RecordBatch, file: Path | None = None) -> list[Case]:
    """The cases of a table in this module's schema.

    Args:
        table: One row a case.
        file: Where it comes from, for errors.

    Raises:
        GoldenSetError: naming the first row that is no case, and the value that does not fit.
    """
    return [case for start in range(0, table.num_rows, _BATCH) for case in _decode(table.slice(start, _BATCH), file)]


def check_cases(rows: pa.RecordBatch, file: Path | None = None) -> None:
    """Make sure that every row is a case, without making cases.

    Raises:
        GoldenSetError: as :func:`table_to_cases` does.
    """
    try:
        check_records(Case, dict(zip(rows.schema.names, rows.columns, strict=True)), _load_all)
    except _UNREADABLE:
        table_to_cases(rows, file)


def _decode(table: pa.Table | pa.RecordBatch, file: Path | None) -> list[Case]:
    columns = {
        name: column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        for name, column in zip(table.schema.names, table.columns, strict=True)
    }
    try:
        return decode_records(Case, columns, table.num_rows, _load_all)
    except _UNREADABLE:
        return [_to_case(row, Place(file, key=f"{row['id']}: ")) for row in table.to_pylist()]


def _to_case(row: Mapping[str, Any], place: Place) -> Case:
    absent = next((name for name, value in row.items() if value is None), None)
    if absent is not None:
        raise place.at(absent).error("the column has no value in this row", fix=_REBUILD)
    try:
        return codec.decode(Case, _from_row(row))
    except codec.ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise place.at(*problem["loc"]).error(problem["msg"], problem["input"], fix=_REBUILD) from None
    except (GoldenSetError, ValueError, TypeError, RecursionError) as error:
        reason = error.message if isinstance(error, GoldenSetError) else error
        raise place.error(f"the row is no case: {reason}", fix=_REBUILD) from None


def _dump(value: Json) -> str:
    return "{}" if value == {} else canonical_json(value).decode("utf-8", "surrogatepass")


def _load(text: str) -> Json:
    return parse_json(text, Place(None)) if _SUSPECT.search(text) else json.loads(text)


def _load_all(texts: Sequence[str]) -> list[Json]:
    """Many JSON texts. One that comes again is read once where a shallow copy of it is a whole one."""
    if _SUSPECT.search("\0".join(texts)):
        return [_load(text) for text in texts]
    values: list[Json] = []
    flat: dict[str, dict[str, Json]] = {"{}": {}}
    for text in texts:
        known = flat.get(text)
        if known is not None:
            values.append(known.copy())
            continue
        value, end = _read_json(text)
        if end != len(text):
            value = json.loads(text)
        values.append(value)
        if isinstance(value, dict) and not any(isinstance(item, (dict, list)) for item in value.values()):
            flat[text] = value.copy()
    return values


def _from_row(row: Mapping[str, Any]) -> dict[str, Any]:
    expect = dict(row["expect"])
    if expect["tools"] is not None:
        expect["tools"] = {
            **expect["tools"],
            "alternatives": [
                [_from_json(call, "arguments") for call in path] for path in expect["tools"]["alternatives"]
            ],
        }
    if expect["match"] is not None:
        expect["match"] = _from_json(expect["match"], "schema", "fields", "tolerances")
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
        "variables": _load(row["variables_json"]),
        "slices": {pair["key"]: pair["value"] for pair in row["slices"]},
    }


def _from_json(item: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    rest = {key: value for key, value in item.items() if not key.endswith("_json")}
    for key in keys:
        text = item[f"{key}_json"]
        rest[key] = None if text is None else _load(text)
    return rest
