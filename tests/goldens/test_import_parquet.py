"""Parquet tables and golden sets become cases, or an error that says where."""

from __future__ import annotations

import csv
import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.goldens import from_cases
from evalkit.goldens.goldenset import write_parquet
from evalkit.goldens.importers import import_cases
from evalkit.records import Document, Expectation, ExpectedCall, ToolExpectation
from tests.goldens.importing import CASE, problem, table, write


def test_parquet_holds_lists_structs_and_numbers(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        {
            "id": [7.0, None],
            "input": ["a", "b"],
            "context": [[{"id": "x", "text": "t", "title": None, "score": 0.5}], None],
            "facts": [["one", "two"], []],
            "expected": [4.5, None],
            "tool_calls": [[{"name": "f", "arguments": {"n": 1}}], [{"name": "f", "arguments": {"m": 2}}]],
            "critical": [True, False],
            "tags": [["p", "q"], None],
            "risk": ["critical", None],
            "blob": [b"x", None],
            "created": [dt.date(2026, 3, 1), None],
        },
    )
    cases, notes = import_cases(path)
    first, second = cases
    assert (first.id, first.expect.answer, first.tags) == ("7", "4.5", ("p", "q"))
    assert first.context == (Document("x", "t"),)
    assert first.expect.facts == (("one",), ("two",))
    assert first.expect.tools == ToolExpectation(((ExpectedCall("f", {"n": (1,)}),),))
    assert second.id.startswith("imported-")
    assert second.expect == Expectation(tools=ToolExpectation(((ExpectedCall("f", {"m": (2,)}),),)))
    assert (first.critical, second.critical) == (True, False)
    for name in ("score", "created", "blob"):
        assert any(f"`{name}`" in note for note in notes)


def test_an_index_of_pandas_counts_only_with_a_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"input": ["a", "b", "c"]}, index=[5, 6, 7])
    frame.to_parquet(tmp_path / "plain.parquet")
    frame.rename_axis("id").to_parquet(tmp_path / "named.parquet")
    plain, notes = import_cases(tmp_path / "plain.parquet")
    assert plain[0].id.startswith("imported-")
    assert not any("index" in note for note in notes)
    assert [case.id for case in import_cases(tmp_path / "named.parquet")[0]] == ["5", "6", "7"]


@pytest.mark.parametrize(
    ("columns", "message", "key"),
    [
        ({"input": ["a", "b"], "expected": pa.array([1.5, float("nan")])}, "NaN and infinity", "row 2: expected"),
        ({"input": ["a"], "team": pa.array([float("inf")])}, "NaN and infinity", "row 1: team"),
        ({"input": [b"a"]}, "type bytes", "row 1: input"),
        ({"input": [["a"]]}, "this must be a text", "row 1: input"),
        ({"input": ["a"], "facts": [[None]]}, "this must be a text", "row 1: facts[0][0]"),
        ({"input": [None]}, "the row has no input", "row 1: input"),
        ({"input": pa.array([], pa.string())}, "holds no cases", None),
        ({"input": ["a", "b"], "id": [1, 1]}, "occurs twice, first in row 1", "row 2: id"),
        ({"input": pa.array([b"a", b"\xed\xa0\x80"]).view(pa.string())}, "cannot be read", "row 2: input"),
    ],
)
def test_a_bad_parquet_table_is_refused(tmp_path: Path, columns: Any, message: str, key: str | None) -> None:
    error = problem(table(tmp_path, columns))
    assert message in error.message
    assert error.key == key


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    data = table(tmp_path, {"input": ["a"] * 100}).read_bytes()
    for broken in (data[:40], data[:-9], b"PAR1", b"PAR1" + bytes(50)):
        assert "not a readable Parquet file" in problem(write(tmp_path, "b.parquet", broken)).message


def test_a_golden_set_comes_back_as_it_was(tmp_path: Path) -> None:
    golden = from_cases("set", "1", [CASE, replace(CASE, id="c-0")])
    write_parquet(golden.table, tmp_path / "set.parquet")
    assert import_cases(tmp_path / "set.parquet") == (list(golden.cases), [])
    pq.write_table(golden.table.replace_schema_metadata(None), tmp_path / "bare.parquet")
    assert import_cases(tmp_path / "bare.parquet")[0] == list(golden.cases)


def test_a_damaged_golden_set_is_refused(tmp_path: Path) -> None:
    rows = from_cases("set", "1", [CASE]).table
    broken = rows.set_column(rows.column_names.index("variables_json"), "variables_json", pa.array(["{"]))
    pq.write_table(broken, tmp_path / "set.parquet")
    assert "the row is no case" in problem(tmp_path / "set.parquet").message
    pq.write_table(pa.concat_tables([rows, rows]), tmp_path / "set.parquet")
    assert "occurs twice" in problem(tmp_path / "set.parquet").message
    newer = rows.replace_schema_metadata({b"evalkit.golden.schema": b"99"})
    pq.write_table(newer, tmp_path / "set.parquet")
    assert "schema 99" in problem(tmp_path / "set.parquet").message


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(lambda text: text.strip())
_ROWS = st.lists(
    st.tuples(_TEXT, _TEXT, st.lists(st.lists(_TEXT, min_size=1, max_size=3), min_size=1, max_size=3)),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row[0],
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=_ROWS)
def test_what_pandas_writes_comes_back(tmp_path: Path, rows: list[tuple[str, str, list[list[str]]]]) -> None:
    frame = pd.DataFrame(rows, columns=["id", "input", "facts"])
    frame.to_parquet(tmp_path / "cases.parquet", index=False)
    frame.assign(facts=frame["facts"].map(json.dumps)).to_csv(
        tmp_path / "cases.csv", index=False, quoting=csv.QUOTE_ALL
    )
    for name in ("cases.parquet", "cases.csv"):
        cases, _ = import_cases(tmp_path / name)
        found = [(case.id, case.input[0].content, [list(fact) for fact in case.expect.facts]) for case in cases]
        assert found == rows, name


def test_a_damaged_column_name_is_refused(tmp_path: Path) -> None:
    data = table(tmp_path, {"input": ["a"], "intent": ["b"]}).read_bytes().replace(b"intent", b"\xe9ntent")
    assert "not a readable Parquet file" in problem(write(tmp_path, "b.parquet", data)).message
