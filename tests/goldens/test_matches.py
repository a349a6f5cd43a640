"""What an answer must be, as golden sets hold it: stored, read from older files, told apart, refused with a place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.errors import GoldenSetError
from evalkit.goldens import build, dump_jsonl, from_cases, load, load_jsonl
from evalkit.goldens.digest import canonical_value
from evalkit.goldens.matches import match_problems
from evalkit.goldens.parquet import read_table
from evalkit.records import AnswerMatch, Case, Expectation
from tests.goldens.strategies import MATCHES, RICH, card, case, exact


def expecting(match: AnswerMatch | None, case_id: str = "a") -> Case:
    return case(case_id, expect=Expectation(match=match))


def older(path: Path, to: Path, **options: Any) -> None:
    """The file as it was written before the layout had the field."""
    table = pq.read_table(path)
    place = table.schema.get_field_index("expect")
    fields = [field for field in table.schema.field(place).type if field.name != "match"]
    column = table.column(place).combine_chunks()
    kept = pa.StructArray.from_arrays([column.field(field.name) for field in fields], fields=fields)
    pq.write_table(table.set_column(place, "expect", kept), to, **options)


@pytest.mark.parametrize("options", [{}, {"row_group_size": 1}, {"compression": "gzip"}])
def test_a_file_from_before_has_the_digest_of_the_same_cases_today(tmp_path: Path, options: dict[str, Any]) -> None:
    golden = build([RICH, case("b"), case("c")], tmp_path, "1", card=card())
    older(tmp_path / "1.parquet", tmp_path / "older.parquet", **options)
    assert "match" not in [item.name for item in pq.read_schema(tmp_path / "older.parquet").field("expect").type]
    again = load(tmp_path / "older.parquet")
    assert (again.digest, again.digests) == (golden.digest, golden.digests)
    assert exact(again.cases) == exact(golden.cases)
    assert read_table(tmp_path / "older.parquet").schema == read_table(tmp_path / "1.parquet").schema


def test_a_match_that_is_absent_is_no_content_and_one_that_is_there_is() -> None:
    row = from_cases("x", "1", [case("a")]).table.to_pylist()[0]
    without = {**row, "expect": {key: item for key, item in row["expect"].items() if key != "match"}}
    assert canonical_value(row) == canonical_value(without)
    assert len({from_cases("x", "1", [expecting(match)]).digest for match in (None, *MATCHES)}) == len(MATCHES) + 1


def test_cases_beside_one_with_a_match_keep_their_digests() -> None:
    alone = from_cases("x", "1", [case("b"), RICH]).digests
    beside = from_cases("x", "1", [case("b"), RICH, expecting(MATCHES[0])]).digests
    assert {case_id: beside[case_id] for case_id in alone} == alone


CHANGED: list[dict[str, Any]] = [
    {"kind": "set"}, {"texts": ("x",)}, {"fold": "none"}, {"value": 2.0}, {"value": None}, {"tolerance": 1.0},
    {"relative": 0.5}, {"unit": "km"}, {"ordered": True}, {"schema": {"a": 1}}, {"fields": {"a": 1.0}},
    {"tolerances": {"a": 1}}, {"ignored": ("a",)}, {"pattern": "x"}, {"whole": True},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGED, ids=str)
def test_the_digest_notices_each_key(change: dict[str, Any]) -> None:
    match = AnswerMatch("number", value=1.0, fields={"a": 1})
    digests = {from_cases("x", "1", [expecting(item)]).digest for item in (match, replace(match, **change))}
    assert len(digests) == 2


@pytest.mark.parametrize("match", MATCHES, ids=lambda match: match.kind)
def test_a_match_survives_json_lines_and_parquet(tmp_path: Path, match: AnswerMatch) -> None:
    lines = tmp_path / "cases.jsonl"
    lines.write_text(dump_jsonl([expecting(match)]))
    assert load_jsonl(lines) == [expecting(match)]
    build(load_jsonl(lines), tmp_path / "set", "1", card=card())
    found = load(tmp_path / "set" / "1.parquet")
    assert exact(found.cases) == exact([expecting(match)])
    assert found.digest == from_cases("x", "1", [expecting(match)]).digest


def test_duckdb_reads_what_the_answer_must_be(tmp_path: Path) -> None:
    build([expecting(MATCHES[2]), expecting(MATCHES[5], "b"), case("c")], tmp_path, "1", card=card())
    rows = duckdb.execute(
        "SELECT expect.match.kind, expect.match.value, expect.match.unit, expect.match.fields_json::JSON ->> 'c'"
        " FROM read_parquet(?) ORDER BY id",
        [str(tmp_path / "1.parquet")],
    ).fetchall()
    assert rows == [("number", 30.0, "days", None), ("json", None, "", "1"), (None, None, None, None)]


@pytest.mark.parametrize("match", [None, *MATCHES], ids=lambda match: match.kind if match else "none")
def test_a_good_match_has_no_problem(match: AnswerMatch | None) -> None:
    assert list(match_problems(match)) == []


PROBLEMS: list[tuple[AnswerMatch, str, str]] = [
    (AnswerMatch("exact"), "texts", "no accepted answer"),
    (AnswerMatch("exact", ("a", " ")), "texts", "an empty accepted answer"),
    (AnswerMatch("exact", ("a",), value=1.0), "value", "kind `exact` does not read it"),
    (AnswerMatch("choice", ("b",)), "texts", "one capital letter"),
    (AnswerMatch("choice", ("AB",)), "texts", "one capital letter"),
    (AnswerMatch("choice", ("A",), fold="none"), "fold", "does not read it"),
    (AnswerMatch("number"), "value", "missing"),
    (AnswerMatch("number", value=float("nan")), "value", "missing"),
    (AnswerMatch("number", value=1.0, tolerance=-1.0), "tolerance", "0 or more"),
    (AnswerMatch("number", value=1.0, relative=1.0), "relative", "accepts zero"),
    (AnswerMatch("number", value=1.0, unit="boots"), "unit", "not a unit"),
    (AnswerMatch("number", value=1.0, unit="M"), "unit", "not a unit"),
    (AnswerMatch("set"), "texts", "no member"),
    (AnswerMatch("json"), "fields", "nothing is expected"),
    (AnswerMatch("json", schema={"type": "objekt"}), "schema", "not JSON Schema"),
    (AnswerMatch("json", schema={"$ref": "https://example.com/x"}), "schema", "leads to nothing"),
    (AnswerMatch("json", fields={"a": 1}, tolerances={"b": 1}), "tolerances", "no such way"),
    (AnswerMatch("json", fields={"a": [1]}, ignored=("a.0",)), "ignored", "no such way"),
    (AnswerMatch("json", fields={"a": 1}, tolerances={"a": "x%"}), "tolerances", "not a tolerance"),
    (AnswerMatch("json", fields={"a": 1}, tolerances={"a": True}), "tolerances", "not a tolerance"),
    (AnswerMatch("regex"), "pattern", "missing"),
    (AnswerMatch("regex", pattern="("), "pattern", "not a regular expression"),
    (AnswerMatch("regex", pattern=r"(a)\1"), "pattern", "reference to a group"),
    (AnswerMatch("regex", pattern=r"(?=a)"), "pattern", "lookaround"),
]


@pytest.mark.parametrize(("match", "key", "message"), PROBLEMS, ids=lambda item: item if isinstance(item, str) else "")
def test_what_is_wrong_is_named_by_its_key_with_what_to_do(match: AnswerMatch, key: str, message: str) -> None:
    (problem,) = match_problems(match)
    assert problem.key == key
    assert message in problem.message
    assert problem.fix


def test_the_error_of_a_file_names_file_line_key_value_and_fix(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    good = '{"id": "a", "input": "x", "expect": {"match": {"kind": "number", "value": 1}}}'
    path.write_text(good + "\n" + good.replace('"a"', '"b"').replace("1}", '1, "unit": "boots"}') + "\n")
    with pytest.raises(GoldenSetError) as caught:
        load_jsonl(path)
    error = caught.value
    assert (error.file, error.line, error.key, error.value) == (str(path), 2, "b: expect.match.unit", "boots")
    assert error.fix is not None
    assert "EUR" in error.fix


@pytest.mark.parametrize("text", ['{"kind": "fuzzy"}', '{"kind": "set", "text": ["a"]}', '{"value": 1}', '"exact"'])
def test_a_match_of_another_shape_is_refused_at_its_place(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text('{"id": "a", "input": "x", "expect": {"match": ' + text + "}}")
    with pytest.raises(GoldenSetError) as caught:
        load_jsonl(path)
    assert caught.value.line == 1
    assert str(caught.value.key).startswith("a: expect.match")
