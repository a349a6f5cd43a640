"""Cases to Arrow, Parquet and JSON lines and back."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from evalkit.errors import GoldenSetError
from evalkit.goldens import CASE_SCHEMA, build, dump_jsonl, from_cases, load, load_jsonl
from evalkit.goldens.goldenset import write_parquet
from evalkit.goldens.schema import SCHEMA_VERSION, cases_to_table, table_to_cases
from evalkit.records import Case, RecordedTool, ToolCall
from tests.goldens.strategies import RICH, SETS, card, case, exact


def by_id(cases: list[Case]) -> list[Case]:
    return sorted(cases, key=lambda item: item.id)


@settings(deadline=None, max_examples=40)
@given(SETS)
def test_any_valid_cases_survive_arrow(cases: list[Case]) -> None:
    table = cases_to_table(cases)
    assert table.schema.equals(CASE_SCHEMA)
    again = table_to_cases(table)
    assert again == by_id(cases)
    assert exact(again) == exact(by_id(cases))


@settings(deadline=None, max_examples=20)
@given(SETS)
def test_any_valid_cases_survive_parquet(tmp_path_factory: pytest.TempPathFactory, cases: list[Case]) -> None:
    folder = tmp_path_factory.mktemp("set")
    built = build(cases, folder, "1", card=card())
    loaded = load(folder)
    assert exact(loaded.cases) == exact(by_id(cases))
    assert loaded.ref == built.ref == from_cases("shop", "1", cases).ref


@settings(deadline=None, max_examples=25)
@given(SETS)
def test_any_valid_cases_survive_json_lines(tmp_path_factory: pytest.TempPathFactory, cases: list[Case]) -> None:
    path = tmp_path_factory.mktemp("lines") / "cases.jsonl"
    text = dump_jsonl(cases)
    path.write_bytes(text.encode())
    assert text.count("\n") == len(cases)
    assert exact(load_jsonl(path)) == exact(by_id(cases))
    assert load(path).digest == from_cases("cases", "working", cases).digest


@settings(deadline=None, max_examples=12)
@given(SETS)
def test_parquet_and_json_lines_lead_into_each_other(
    tmp_path_factory: pytest.TempPathFactory, cases: list[Case]
) -> None:
    folder = tmp_path_factory.mktemp("both")
    lines, parquet = folder / "cases.jsonl", folder / "cases.parquet"
    lines.write_bytes(dump_jsonl(cases).encode())
    write_parquet(load(lines).table, parquet)
    canonical = dump_jsonl(load(parquet).cases)
    lines.write_bytes(canonical.encode())
    assert dump_jsonl(from_cases("x", "1", load_jsonl(lines)).cases) == canonical
    assert load(parquet).digest == load(lines).digest == from_cases("x", "1", cases).digest


def arrow_names(kind: Any) -> Any:
    """The nested names of an Arrow type, without lists."""
    while pa.types.is_list(kind):
        kind = kind.value_type
    if not pa.types.is_struct(kind):
        return None
    return [(field.name, arrow_names(field.type)) for field in kind]


def record_names(kind: Any) -> Any:
    """The nested names of a record type as the schema must have them."""
    for inner in typing.get_args(kind) if typing.get_origin(kind) in {tuple, types.UnionType} else ():
        if inner is not types.NoneType:
            return record_names(inner)
    if not dataclasses.is_dataclass(kind):
        return None
    hints = typing.get_type_hints(kind)
    free = {"arguments", "parameters", "result", "variables", "schema", "fields", "tolerances"}
    return [
        (f"{field.name}_json", None)
        if field.name in free
        else (
            field.name,
            [("key", None), ("value", None)] if field.name == "slices" else record_names(hints[field.name]),
        )
        for field in dataclasses.fields(kind)
    ]


def test_the_columns_are_the_fields_of_a_case_at_every_level() -> None:
    columns = [(field.name, arrow_names(field.type)) for field in CASE_SCHEMA]
    assert dict(columns).keys() == dict(record_names(Case)).keys()
    assert sorted(map(normal, columns)) == sorted(map(normal, record_names(Case)))


def normal(entry: tuple[str, Any]) -> str:
    name, inner = entry
    return f"{name}({','.join(sorted(map(normal, inner or ())))})"


def test_the_file_is_compressed_and_carries_no_schema_of_its_writer(tmp_path: Path) -> None:
    build([RICH], tmp_path, "1", card=card())
    file = pq.ParquetFile(tmp_path / "1.parquet")
    assert b"ARROW:schema" not in (file.metadata.metadata or {})
    group = file.metadata.row_group(0)
    assert {group.column(index).compression for index in range(group.num_columns)} == {"ZSTD"}


def test_the_file_says_which_schema_it_has(tmp_path: Path) -> None:
    build([RICH], tmp_path, "1", card=card())
    metadata = pq.ParquetFile(tmp_path / "1.parquet").metadata.metadata
    assert metadata == {b"evalkit.golden.schema": SCHEMA_VERSION.encode()}


def test_the_same_cases_make_the_same_bytes_in_whatever_order_they_come(tmp_path: Path) -> None:
    cases = [RICH, case("b"), case("ä"), case("\U0001f600"), case("\uffff")]
    for number, members in enumerate((cases, cases[::-1])):
        build(members, tmp_path / str(number), "1", card=card())
    assert (tmp_path / "0" / "1.parquet").read_bytes() == (tmp_path / "1" / "1.parquet").read_bytes()


def test_duckdb_reads_the_nested_columns(tmp_path: Path) -> None:
    build([RICH, case("b")], tmp_path, "1", card=card())
    rows = duckdb.execute(
        """
        SELECT id, input[2].tool_calls[1].arguments_json::JSON ->> 'order', expect.facts[1][2],
               expect.tools.alternatives[1][2].name, variables_json::JSON ->> 'today', slices[1].key, critical
        FROM read_parquet(?) ORDER BY id DESC
        """,
        [str(tmp_path / "1.parquet")],
    ).fetchall()
    assert rows == [
        ("rich", "K-1", "thirty days", "refund", "2026-10-05", "channel", True),
        ("b", None, None, None, None, None, False),
    ]


def test_pandas_reads_the_columns(tmp_path: Path) -> None:
    build([RICH, case("b", risk="critical")], tmp_path, "1", card=card())
    frame = pd.read_parquet(tmp_path / "1.parquet")
    assert list(frame.columns) == CASE_SCHEMA.names
    assert dict(zip(frame["id"], frame["risk"], strict=True)) == {"b": "critical", "rich": "high"}


def test_free_values_are_canonical_json() -> None:
    table = cases_to_table([case(variables={"b": 1.0, "a": ["ü", None]})])
    assert table.column("variables_json").to_pylist() == ['{"a":["ü",null],"b":1.0}']


def test_arguments_that_fit_any_call_are_told_from_none_given() -> None:
    tools = (RecordedTool("t"), RecordedTool("t", arguments={}), RecordedTool("t", result={"x": None}))
    (again,) = table_to_cases(cases_to_table([case(recorded_tools=tools)]))
    assert [(tool.arguments, tool.result) for tool in again.recorded_tools] == [
        (None, None),
        ({}, None),
        (None, {"x": None}),
    ]


def test_rows_are_sorted_by_code_point_in_one_chunk() -> None:
    ids = ["b", "a", "Z", "é", "z", "\U00010000", "\uffff", "10", "9"]
    table = cases_to_table(case(case_id) for case_id in ids)
    assert table.column("id").to_pylist() == sorted(ids)
    assert table.column("id").num_chunks == 1


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["variables", "recorded_tools", "input"])
def test_a_number_that_json_does_not_have_is_refused(field: str, number: float) -> None:
    values: dict[str, Any] = {
        "variables": {"x": number},
        "recorded_tools": (RecordedTool("t", result=[number]),),
        "input": (dataclasses.replace(RICH.input[1], tool_calls=(ToolCall("t", {"x": number}),)),),
    }
    with pytest.raises(GoldenSetError, match=r"cannot be stored: .* not JSON compliant") as caught:
        cases_to_table([case("a"), dataclasses.replace(RICH, **{field: values[field]})])
    assert caught.value.key == "rich"
