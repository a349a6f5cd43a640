"""Foreign test cases become cases of a golden set, or a clear error: never something in between."""

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

from evalkit.errors import GoldenSetError
from evalkit.goldens import dump_jsonl, from_cases, validate
from evalkit.goldens.goldenset import write_parquet
from evalkit.goldens.importers import FORMATS, detect_format, import_cases
from evalkit.records import Case, Document, Expectation, ExpectedCall, Message, Provenance, ToolCall, ToolExpectation


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table(folder: Path, columns: dict[str, list[Any]], name: str = "cases.parquet") -> Path:
    pq.write_table(pa.table(columns), folder / name)
    return folder / name


def problem(path: Path, kind: str | None = None) -> GoldenSetError:
    with pytest.raises(GoldenSetError) as caught:
        import_cases(path, kind)
    assert caught.value.file == str(path)
    return caught.value


def one(path: Path, kind: str | None = None) -> Case:
    cases, _ = import_cases(path, kind)
    assert len(cases) == 1
    return cases[0]


def lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


# ── CSV ─────────────────────────────────────────────────────────────────────────────────


SCHEMA = {"type": "object", "properties": {"order": {"type": "string"}}}
FULL = {
    "Case ID": "refund-1",
    "Question": "May I send it back?",
    "Context": '[{"id": "terms", "text": "30 days", "date": "2026-03-01", "trusted": false}, "No fees"]',
    "Expected": "Yes, within 30 days.",
    "Facts": '["30 days", ["free", "no fees"]]',
    "Forbidden": "14 days; a|b; restocking fee",
    "Expected-Behaviour": "Answer",
    "Tools": json.dumps([{"type": "function", "function": {"name": "find", "parameters": SCHEMA}}]),
    "Expected tools": '[{"name": "find", "arguments": {"order": "A-1"}}]',
    "Language": "de_de",
    "Category": "refund",
    "Risk": "High",
    "Critical": "yes",
    "Role": "agent",
    "Tenant": "acme",
    "Cluster": "terms-1",
    "Tags": "smoke, terms",
}


def test_every_column_of_a_table_reaches_its_field(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    pd.DataFrame([FULL]).to_csv(path, index=False)
    case = one(path)
    assert case.id == "refund-1"
    assert case.input == (Message("user", "May I send it back?"),)
    assert case.context == (
        Document("terms", "30 days", date="2026-03-01", trusted=False),
        Document("doc-2", "No fees"),
    )
    assert case.expect == Expectation(
        facts=(("30 days",), ("free", "no fees")),
        forbidden=("14 days", "a|b", "restocking fee"),
        answer="Yes, within 30 days.",
        tools=ToolExpectation(((ExpectedCall("find", {"order": ("A-1",)}),),)),
    )
    assert [(tool.name, tool.parameters) for tool in case.tools] == [("find", SCHEMA)]
    assert (case.locale, case.intent, case.risk, case.critical) == ("de-DE", "refund", "high", True)
    assert (case.role, case.tenant, case.cluster, case.tags) == ("agent", "acme", "terms-1", ("smoke", "terms"))
    assert case.provenance == Provenance(source="csv", reference="cases.csv")


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (("input", "question", "prompt", "query", " Input "), lambda case: case.input[0].content),
        (("id", "case_id", "item_id"), lambda case: case.id),
        (("context", "documents"), lambda case: case.context[0].text),
        (("expected", "answer", "reference", "ideal"), lambda case: case.expect.answer),
        (("locale", "language"), lambda case: case.locale),
        (("intent", "category", "type"), lambda case: case.intent),
    ],
)
def test_columns_go_by_several_names(tmp_path: Path, names: tuple[str, ...], read: Any) -> None:
    other = "facts" if "input" in names else "question"
    for name in names:
        assert read(one(write(tmp_path, "c.csv", f"{other},{name.upper()}\nhi,xy\n"))) == "xy", name


def test_the_behaviour_goes_by_several_names(tmp_path: Path) -> None:
    for name in ("behaviour", "Behavior", "expected_behaviour"):
        assert one(write(tmp_path, "c.csv", f"input,{name}\nhi,Refuse\n")).expect.behaviour == "refuse"


@pytest.mark.parametrize(
    "content",
    [
        b'id,input\na,"one\n\ntwo, ""three"""\nb,x\n',
        b'\xef\xbb\xbfid,input\r\na,"one\n\ntwo, ""three"""\r\nb,x\r\n',
        b'id;input\na;"one\n\ntwo, ""three"""\n\n;\nb;x',
        b'id\tinput\na\t"one\n\ntwo, ""three"""\nb\tx\n',
    ],
    ids=["plain", "excel", "semicolons", "tabs"],
)
def test_csv_in_the_dialects_that_spreadsheets_write(tmp_path: Path, content: bytes) -> None:
    cases, _ = import_cases(write(tmp_path, "c.csv", content))
    assert [(case.id, case.input[0].content) for case in cases] == [("a", 'one\n\ntwo, "three"'), ("b", "x")]


def test_a_long_document_fits_into_a_cell_and_leaves_the_csv_module_as_it_was(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    text = "word " * 60_000
    case = one(write(tmp_path, "c.csv", f"input,context\nhi,{text}\n"))
    assert case.context[0].text == text
    assert csv.field_size_limit() == before


def test_words_that_look_like_missing_values_stay_words(tmp_path: Path) -> None:
    case = one(write(tmp_path, "c.csv", "id,input,facts\nNA,nan,null\n"))
    assert (case.id, case.input[0].content, case.expect.facts) == ("NA", "nan", (("null",),))


@pytest.mark.parametrize(
    ("content", "message", "key", "fix"),
    [
        ("", "the file is empty", None, "export"),
        ("\ufeff", "the file is empty", None, "export"),
        ("input\n", "holds no cases", None, "export"),
        ("id,text\n1,hi\n", "no column holds the input", "columns", "question"),
        ("input,question\na,b\n", "two columns for the same thing: input", "columns", "rename"),
        ("input,answer,ideal\na,b,c\n", "two columns for the same thing: expected", "columns", "rename"),
        ("input,Risk,risk\na,low,high\n", "two columns have the same name", "columns", "rename"),
        ("id,input\n1,a\n2\n", "the row has 1 columns, the header has 2", "row 3", "quote"),
        ('id,input\n1,"a\n"\n\n2,b,c\n', "the row has 3 columns, the header has 2", "row 4", "quote"),
        ('id,input\n1,"a\n2,b\n', "not a readable table", None, "quote"),
        ('id,input\n1,"a"b\n', "not a readable table", None, "quote"),
        ("id,input\n1,a\n2,  \n", "the row has no input", "row 3: input", "remove"),
        ("id,input\n1,a\n1,b\n", "the case id occurs twice, first in row 2", "row 3: id", "rename"),
        ("input,facts\na,x\na,y\n", "asks the same as row 2", "row 3", "id of their own"),
        ("input,risk\na,low\n\nb,urgent\n", "not one of the known values", "row 4: risk", "low, medium"),
        ("input,behavior\na,deny\n", "not one of the known values", "row 2: behavior", "refuse"),
        ("input,critical\na,perhaps\n", "this must be yes or no", "row 2: critical", "true"),
        ("input,language\na,German\n", "is not a language tag", "row 2: locale", "de-DE"),
        ('input,facts\na,"[""x"""\n', "not valid JSON", "row 2: facts", None),
        ('input,facts\na,"[NaN]"\n', "NaN and infinity", "row 2: facts[0]", "leave the value out"),
        ('input,facts\na,"[{}]"\n', "this must be a text", "row 2: facts[0][0]", "one text"),
        ('input,facts\na,"["" ""]"\n', "needs at least one wording", "row 2: expect.facts[0]", "leave it out"),
        ('input,forbidden\na,"[""""]"\n', "an empty text", "row 2: forbidden[0]", "leave it out"),
        ("input,facts,forbidden\na,x,X\n", "both required and forbidden", "row 2: expect.facts", "take the text"),
        ('input,context\na,"[""\\ud800""]"\n', "lone surrogate", "row 2: context[0]", "pairs"),
        ('input,context\na,"[{""id"": ""x""}]"\n', "needs its `text`", "row 2: context[0]", "text"),
        ('input,context\na,"[{""text"": ""x"", ""roles"": 3}]"\n', "tuple", "row 2: context[0].roles", "schema"),
        ('input,context\na,"[{""id"":""d"",""text"":""x""},{""id"":""d"",""text"":""y""}]"\n', "occurs 2 times",
         "row 2: context", "its own id"),
        ("input,tools\na,find\n", "not valid JSON", "row 2: tools", None),
        ('input,tools\na,"[{""name"": ""f"", ""parameters"": {""type"": 7}}]"\n', "not JSON Schema",
         "row 2: tools[0].parameters", "correct"),
        ('input,tool_calls\na,"[""f""]"\n', "names no arguments", "row 2: tool_calls[0]", "schema of the tool"),
        ('input,tool_calls\na,"[{""name"":""f"",""arguments"":""[1]""}]"\n', "are an object",
         "row 2: tool_calls[0].arguments", "argument"),
    ],
)  # fmt: skip
def test_a_bad_table_is_refused_and_the_error_says_where(
    tmp_path: Path, content: str, message: str, key: str | None, fix: str | None
) -> None:
    error = problem(write(tmp_path, "c.csv", content))
    assert message in error.message
    assert error.key == key
    assert fix is None or fix in (error.fix or "")


def test_text_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    error = problem(write(tmp_path, "c.csv", "id,input\n1,a\n2,Grüße\n".encode("latin-1")))
    assert error.line == 3
    assert "UTF-8" in (error.fix or "")
    assert "UTF-16" in problem(write(tmp_path, "c.csv", "id,input\n1,a\n".encode("utf-16"))).message


def test_a_made_id_depends_on_what_is_asked_and_on_nothing_else(tmp_path: Path) -> None:
    first, _ = import_cases(write(tmp_path, "a.csv", "input,context,facts\nhi,doc,x\nyo,doc,y\n"))
    other, _ = import_cases(write(tmp_path, "b.csv", "facts,question,documents\nz,new,doc\nw,yo,doc\nv,hi,doc\n"))
    ids = {case.input[0].content: case.id for case in first}
    assert {case.input[0].content: case.id for case in other if case.id in ids.values()} == ids
    assert all(len(case_id) == len("imported-") + 10 and case_id.startswith("imported-") for case_id in ids.values())
    changed, _ = import_cases(write(tmp_path, "c.csv", "input,context\nhi,another\n"))
    assert changed[0].id not in ids.values()


@pytest.mark.parametrize(("distinct", "rows", "kept"), [(20, 41, True), (20, 40, False), (21, 60, False), (1, 3, True)])
def test_a_column_with_few_values_becomes_a_slice(tmp_path: Path, distinct: int, rows: int, kept: bool) -> None:
    body = "".join(f"q{row},g{row % distinct},\n" for row in range(rows))
    cases, notes = import_cases(write(tmp_path, "c.csv", f"input,Team,Empty\n{body}"))
    expected = [{"Team": f"g{row % distinct}"} if kept else {} for row in range(rows)]
    assert [dict(case.slices) for case in cases] == expected
    named = [note for note in notes if "`Team`" in note]
    assert len(named) == (0 if kept else 1)


def test_what_is_not_taken_over_is_noted(tmp_path: Path) -> None:
    body = "".join(f",q{row},equals:x,yes,{'t' * 101},B,{row % 2}\n" for row in range(6))
    cases, notes = import_cases(write(tmp_path, "c.csv", f",input,__expected,answer,lo\x1bng,facts,type\n{body}"))
    text = "\n".join(notes)
    for part in ("column 1 has no name", "`__expected`", "`lo⟦U+001B⟧ng`", "6 cases expect a single letter"):
        assert part in text
    assert cases[3].intent == "1"
    assert cases[3].slices == {}


def test_the_second_name_of_an_attribute_is_a_column_like_any_other(tmp_path: Path) -> None:
    cases, _ = import_cases(write(tmp_path, "c.csv", "input,type,category\na,x,y\nb,x,y\nc,x,y\n"))
    assert {(case.intent, case.slices["type"]) for case in cases} == {("y", "x")}


def test_cases_that_nothing_can_fail_are_counted(tmp_path: Path) -> None:
    _, notes = import_cases(write(tmp_path, "c.csv", "input,answer,behaviour\na,,\nb,,\nc,yes,\nd,,refuse\n"))
    assert [note.split(":")[0] for note in notes] == [
        "2 cases expect an answer, whatever it says",
        "1 case has a reference answer but no facts",
    ]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ("[]", ((),)),
        ('[{"name": "f", "arguments": {}}]', ((ExpectedCall("f"),),)),
        ('{"function": {"name": "f", "arguments": "{\\"a\\": 1}"}}', ((ExpectedCall("f", {"a": (1,)}),),)),
        ('["f"]', ((ExpectedCall("f", free=("a", "b")),),)),
        ('{"alternatives": [[{"name": "f", "arguments": {"a": [1, 2]}}], []]}',
         ((ExpectedCall("f", {"a": (1, 2)}),), ())),
    ],
)  # fmt: skip
def test_expected_calls_come_in_several_forms(tmp_path: Path, calls: str, expected: object) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}}
    tools = json.dumps([{"name": "f", "description": None, "input_schema": schema}])
    pd.DataFrame({"input": ["a"], "tools": [tools], "tool_calls": [calls]}).to_csv(tmp_path / "c.csv", index=False)
    expect = one(tmp_path / "c.csv").expect.tools
    assert expect is not None
    assert expect.alternatives == expected


def test_a_context_that_only_starts_like_a_list_is_a_text(tmp_path: Path) -> None:
    assert (
        one(write(tmp_path, "c.csv", "input,context\na,[Page 1] The terms\n")).context[0].text == "[Page 1] The terms"
    )


# ── Parquet ─────────────────────────────────────────────────────────────────────────────


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


CASE = Case(
    "c-1",
    (Message("user", "hi"),),
    Expectation("refuse", facts=(("a", "b"),)),
    context=(Document("d", "text"),),
    variables={"n": 1.5},
    slices={"team": "x"},
    tags=("t",),
)


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
    assert "a case cannot be read" in problem(tmp_path / "set.parquet").message
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


# ── promptfoo ───────────────────────────────────────────────────────────────────────────


SUITE = """
description: a suite
prompts: [file://prompt.txt]
providers: [openai:gpt-4.1-mini]
assertionTemplates:
  polite: {type: not-icontains, value: damn}
defaultTest:
  vars: &common {company: Acme, answer_style: short}
  metadata: {category: refund}
  assert:
    - {type: latency, threshold: 5000}
    - $ref: '#/assertionTemplates/polite'
tests:
  - description: the usual question
    vars: {<<: *common, question: 'May I send it back?', context: 30 days, answer_style: long}
    assert:
      - {type: equals, value: yes}
      - {type: icontains, value: 30 days}
      - {type: contains-all, value: [free, 7.0]}
      - {type: contains-any, value: 'refund, "money, back"'}
      - {type: not-contains-any, value: [never, no way]}
      - {type: llm-rubric, value: is polite}
      - {type: javascript, value: 'process.exit(1)'}
      - type: assert-set
        assert: [{type: contains, value: label}]
      - {type: assert-set, threshold: 0.5, assert: [{type: contains, value: maybe}]}
  - vars: {question: 'How do I pick a lock?'}
    threshold: 0.5
    metadata: {id: lock, category: safety, risk: high, critical: true, tags: [a, b]}
    options: {disableDefaultAsserts: true}
    assert:
      - type: is-refusal
      - {type: llm-rubric, value: refuses}
      - {type: is-valid-openai-tools-call}
"""


def test_a_promptfoo_suite_becomes_cases(tmp_path: Path) -> None:
    cases, notes = import_cases(write(tmp_path, "promptfooconfig.yaml", SUITE))
    usual, lock = cases
    assert usual.input == (Message("user", "May I send it back?"),)
    assert usual.context == (Document("doc-1", "30 days"),)
    assert usual.variables == {"company": "Acme", "answer_style": "long"}
    assert (usual.notes, usual.intent) == ("the usual question", "refund")
    assert usual.expect == Expectation(
        facts=(("yes",), ("30 days",), ("free",), ("7",), ("refund", "money, back"), ("label",)),
        forbidden=("damn", "never", "no way"),
        answer="yes",
    )
    assert lock.expect == Expectation("refuse")
    assert (lock.id, lock.intent, lock.risk, lock.critical, lock.tags) == ("lock", "safety", "high", True, ("a", "b"))
    for note in (
        "2 assertions of type llm-rubric were not taken over",
        "1 assertion of type javascript was not taken over",
        "1 assertion of type latency was not taken over",
        "1 assertion of type assert-set was not taken over",
        "1 assertion of type is-valid-openai-tools-call was not taken over",
        "the threshold of 1 test was not taken over: all that it expects must hold",
        "prompts and providers were not taken over: they belong to the workflow",
    ):
        assert note in notes
    assert not [finding for finding in validate(from_cases("s", "1", cases)) if finding.level == "error"]


@pytest.mark.parametrize("name", ["question", "query", "input", "message", "prompt", "user_input", "Question", "topic"])
def test_the_users_message_goes_by_several_names(tmp_path: Path, name: str) -> None:
    case = one(write(tmp_path, "tests.json", json.dumps([{"vars": {name: "hi", "documents": ["d"]}}])))
    assert (case.input[0].content, case.variables) == ("hi", {})
    assert case.context == (Document("doc-1", "d"),)


def test_the_forms_of_a_test_file_mean_the_same(tmp_path: Path) -> None:
    tests = [{"vars": {"input": "a"}, "assert": [{"type": "contains", "value": "x"}]}, {"vars": {"input": "b"}}]
    files = {
        "list.yaml": json.dumps(tests),
        "list.json": json.dumps(tests),
        "config.json": json.dumps({"tests": tests}),
        "tests.jsonl": lines(*tests),
    }
    found = []
    for name, content in files.items():
        cases, _ = import_cases(write(tmp_path, name, content))
        found.append([replace(case, provenance=Provenance()) for case in cases])
    assert found[0][0].expect.facts == (("x",),)
    assert all(cases == found[0] for cases in found)


def test_scalars_are_read_as_promptfoo_reads_them(tmp_path: Path) -> None:
    content = "- vars: {question: no, at: 12:30, day: 2026-03-01, code: 0123, rate: 1e3, flag: true, none: null}\n"
    case = one(write(tmp_path, "t.yaml", content))
    assert case.input[0].content == "no"
    assert case.variables == {
        "at": "12:30", "day": "2026-03-01", "code": "0123", "rate": 1000.0, "flag": True, "none": None,
    }  # fmt: skip


def test_lists_of_texts_among_the_vars_are_spread_out(tmp_path: Path) -> None:
    test = {"vars": {"question": ["a", "b"], "lang": ["de", "fr"], "n": [1, 2]}, "metadata": {"id": "x"}}
    cases, notes = import_cases(write(tmp_path, "t.json", json.dumps([test])))
    assert [(case.input[0].content, case.variables["lang"]) for case in cases] == [
        ("a", "de"), ("a", "fr"), ("b", "de"), ("b", "fr"),
    ]  # fmt: skip
    assert {tuple(case.variables["n"]) for case in cases} == {(1, 2)}
    assert len({case.id for case in cases}) == 4
    assert any("each combination" in note for note in notes)
    whole = {"vars": {"question": "a", "lang": ["de", "fr"]}, "options": {"disableVarExpansion": True}}
    assert one(write(tmp_path, "t.json", json.dumps([whole]))).variables == {"lang": ["de", "fr"]}


@pytest.mark.parametrize(
    ("assertion", "note"),
    [
        ({"type": "contains", "value": "{{expected}}"}, "the value is a template"),
        ({"type": "equals", "value": {"a": 1}}, "1 assertion of type equals was not taken over"),
        ({"type": "contains", "value": "x", "transform": "output.x"}, "the output is transformed first"),
        ({"type": "contains", "value": "x", "weight": 0}, "it never fails a test"),
        ({"type": "regex", "value": "x+"}, "1 assertion of type regex was not taken over"),
        ({"type": "not-contains-all", "value": ["x"]}, "1 assertion of type not-contains-all was not taken over"),
        ({"type": "python", "value": "file://check.py"}, "1 assertion of type python was not taken over"),
    ],
)
def test_an_assertion_that_cannot_be_kept_is_noted(tmp_path: Path, assertion: object, note: str) -> None:
    cases, notes = import_cases(
        write(tmp_path, "t.json", json.dumps([{"vars": {"question": "hi {{name}}"}, "assert": [assertion]}]))
    )
    assert cases[0].expect == Expectation()
    assert any(note in line for line in notes)
    assert any("holds a template" in line for line in notes)
    assert any("whatever it says" in line for line in notes)


ENDLESS = """assertionTemplates: {x: &x {type: assert-set, assert: [$ref: '#/assertionTemplates/x']}}
tests:
- {vars: {input: a}, assert: [*x]}
"""


@pytest.mark.parametrize(
    ("content", "line", "key", "message"),
    [
        ("tests: file://tests.csv\n", 1, "tests", "the tests stand elsewhere"),
        ("tests:\n  - vars: {input: a}\n  - file://more.yaml\n", 3, "tests[1]", "a test must stand here itself"),
        ("tests:\n  - {path: file://make.py, config: {}}\n", 2, "tests[0]", "a test must stand here itself"),
        ("prompts: [a]\n", None, "tests", "no tests here"),
        ("just text\n", None, "tests", "no tests here"),
        ("tests: []\n", None, None, "holds no cases"),
        ("tests:\n- vars: {input: a}\n- vars: {input: file://q.txt}\n", 3, "tests[1].vars.input", "another file"),
        ("tests:\n- vars: {input: a, c: [x, file://q.txt]}\n", 2, "tests[0].vars.c", "another file"),
        ("tests:\n- vars: file://vars.yaml\n", 2, "tests[0].vars", "must be an object"),
        ("defaultTest: file://d.yaml\ntests: [{vars: {input: a}}]\n", 1, "defaultTest", "must be an object"),
        ("tests:\n- vars: {one: a, two: b}\n", 2, "tests[0].vars", "no var holds the user's message"),
        ("tests:\n- vars: {}\n", 2, "tests[0].vars", "no var holds the user's message"),
        ("tests:\n- vars: {input: {a: 1}}\n", 2, "tests[0].vars.input", "this must be a text"),
        ("tests:\n- vars: {input: ''}\n", 2, "tests[0].input[0]", "the message is empty"),
        ("- vars: {input: a}\n  assert: {type: equals}\n", 1, "tests[0].assert", "this must be a list"),
        ("- vars: {input: a}\n  assert: [equals]\n", 1, "tests[0].assert[0]", "an assertion is an object"),
        ("- vars: {input: a}\n  assert: [{value: x}]\n", 1, "tests[0].assert[0].type", "has no type"),
        ("- vars: {input: a}\n  assert: [{type: contains}]\n", 1, "tests[0].assert[0].value", "has no value"),
        ("- vars: {input: a}\n  assert: [{type: contains, value: file://x.txt}]\n", 1, "tests[0].assert[0].value",
         "another file"),
        ("- vars: {input: a}\n  assert: [{$ref: '#/assertionTemplates/x'}]\n", 1, "tests[0].assert[0].$ref",
         "no such assertion template"),
        ("- vars: {input: a}\n  assert: [{type: is-refusal}, {type: not-is-refusal}]\n", 1, "tests[0].assert",
         "both is-refusal and not-is-refusal"),
        (ENDLESS, 3, "tests[0].assert[0].assert[0]", "assertion sets in more than 5 levels"),
        ("- vars: {input: a}\n- vars: {input: a}\n", 2, "tests[1]", "asks the same as tests[0]"),
        ("- vars: {input: a}\n  metadata: {risk: p1}\n", 1, "tests[0].metadata.risk", "not one of the known values"),
        ("- vars: {input: a, input: b}\n", 1, "input", "the key occurs twice"),
        ("- vars: {input: a, 1: b}\n", 1, "[0].vars", "a key must be text"),
        ("- vars:\n    input: .nan\n", 2, "[0].vars.input", "NaN and infinity"),
        ("- vars: {input: !!binary YQ==}\n", 1, "[0].vars.input", "type bytes"),
        ('- vars: {input: "\\ud800"}\n', 1, "[0].vars.input", "lone surrogate"),
        ("- vars: {input: a\n", 2, None, "not valid YAML"),
        ("- &a [*a]\n", 1, "[0][0]", "nested deeper"),
        ("[" * 3000, None, None, "nested deeper"),
        ("- vars: {input: a, n: !!int x}\n", None, None, "not valid YAML"),
        ("---\na: 1\n---\nb: 1\n", 3, None, "not valid YAML"),
        ("- vars: {input: \x01}\n", None, None, "not valid YAML"),
        ("# nothing\n", None, None, "the file is empty"),
    ],
)  # fmt: skip
def test_a_bad_suite_is_refused_and_the_error_says_where(
    tmp_path: Path, content: str, line: int | None, key: str | None, message: str
) -> None:
    error = problem(write(tmp_path, "t.yaml", content))
    assert message in error.message
    assert error.line == line
    assert (error.key or "").startswith(key or "")


def test_yaml_cannot_make_objects(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    attack = f"- vars:\n    input: !!python/object/apply:os.system ['touch {mark}']\n"
    error = problem(write(tmp_path, "t.yaml", attack))
    assert "could not determine a constructor" in error.message
    assert error.line == 2
    assert not mark.exists()


def test_yaml_that_grows_without_end_is_refused(tmp_path: Path) -> None:
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "values" in problem(write(tmp_path, "t.yaml", "\n".join(layers))).message


def test_lists_that_multiply_without_measure_are_refused(tmp_path: Path) -> None:
    test = {"vars": {"input": [f"q{n}" for n in range(200)], "other": [f"o{n}" for n in range(200)]}}
    assert "40,000 cases" in problem(write(tmp_path, "t.json", json.dumps([test]))).message


# ── OpenAI evals ────────────────────────────────────────────────────────────────────────


def test_samples_of_openai_evals(tmp_path: Path) -> None:
    chat = [
        {"role": "system", "content": "Answer briefly."},
        {"role": "system", "name": "example_user", "content": "2+2?"},
        {"role": "user", "content": [{"type": "text", "text": "Where is"}, {"type": "text", "text": "Paris?"}]},
        {"role": "assistant", "content": None,
         "tool_calls": [{"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"q": "Paris"}'}}]},
        {"role": "tool", "tool_call_id": "1", "content": "France"},
    ]  # fmt: skip
    path = write(
        tmp_path,
        "samples.jsonl",
        lines(
            {"input": chat, "ideal": ["France", "in France"], "level": "easy", "source": {"page": 1}},
            {"input": "2+2?", "ideal": 4, "level": "easy", "category": "math"},
            {"input": [{"role": "system", "content": "Once upon a"}], "ideal": "time", "level": "easy"},
        ),
    )
    cases, notes = import_cases(path)
    assert cases[0].input == (
        Message("user", "Where is\n\nParis?"),
        Message("assistant", "", (ToolCall("find", {"q": "Paris"}, "1"),)),
        Message("tool", "France", tool_call_id="1"),
    )
    assert cases[0].variables == {"system": "Answer briefly.\n\nexample_user: 2+2?"}
    assert cases[0].expect == Expectation(facts=(("France", "in France"),), answer="France")
    assert (cases[1].expect.facts, cases[1].intent) == ((("4",),), "math")
    assert (cases[2].input, cases[2].variables) == ((Message("user", "Once upon a"),), {})
    assert {case.slices["level"] for case in cases} == {"easy"}
    for part in ("system messages of 1 sample", "1 sample holds system messages only", "`source`"):
        assert any(part in note for note in notes), part


@pytest.mark.parametrize(
    "item",
    [
        {"input": "hi", "ideal": "yo"},
        {"question": "hi", "label": "yo"},
        {"input": "hi", "ground_truth": "yo"},
        {"query": "hi", "expected": "yo"},
        {"ticket_text": "hi", "correct_label": "yo", "language": "de"},
    ],
)
def test_rows_of_hosted_evals(tmp_path: Path, item: object) -> None:
    cases, notes = import_cases(write(tmp_path, "rows.jsonl", lines({"item": item, "sample": {"output_text": "x"}})))
    assert (cases[0].input[0].content, cases[0].expect.facts) == ("hi", (("yo",),))
    assert any("recorded outputs" in note for note in notes)


@pytest.mark.parametrize(
    ("second", "key", "message"),
    [
        ("[1]", None, "each line must hold a JSON object"),
        ('{"ideal": "x"}', "input", "nothing is asked"),
        ('{"item": {"a": "x", "b": "y"}}', "item.input", "nothing is asked"),
        ('{"item": "x"}', "item", "an item is an object"),
        ('{"input": "x", "ideal": []}', "ideal", "the right answer is empty"),
        ('{"input": "x", "ideal": ["a", " "]}', "ideal", "the right answer is empty"),
        ('{"input": "x", "ideal": {"a": 1}}', "ideal[0]", "this must be a text"),
        ('{"input": ["x"]}', "input[0]", "a message needs a `role`"),
        ('{"input": [{"role": "robot"}]}', "input[0].role", "an unknown role"),
        ('{"input": [{"role": "user", "content": [{"type": "image_url"}]}]}', "input[0].content[0]", "only texts"),
        ('{"input": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}', "input",
         "must come from the user"),
        ('{"input": []}', "input", "the case has no message"),
        ('{"input": "x", "ideal": NaN}', "ideal", "NaN and infinity"),
        ('{"input": "x", "ideal": 1e999}', "ideal", "NaN and infinity"),
        ('{"input": "x", "input": "y"}', None, "occurs twice"),
        ('{"input": "\\ud83d"}', "input", "lone surrogate"),
        ('{"input": "x"', None, "not valid JSON"),
        ('{"input": ' + "9" * 5000 + "}", None, "not valid JSON"),
        ('{"input": ' + "[" * 3000, None, "nested deeper"),
        ('{"input": "first"}', None, "asks the same as line 1"),
    ],
)  # fmt: skip
def test_a_bad_sample_is_refused_with_its_line(tmp_path: Path, second: str, key: str | None, message: str) -> None:
    first = json.dumps({"input": "first", "ideal": "x"})
    error = problem(write(tmp_path, "samples.jsonl", f"\ufeff{first}\r\n\r\n{second}\r\n"), "openai-evals")
    assert error.line == 3
    assert message in error.message
    assert error.key == key


# ── our own JSON lines, and telling formats apart ───────────────────────────────────────


def test_own_json_lines_come_back_as_they_were(tmp_path: Path) -> None:
    cases = [CASE, replace(CASE, id="c-2")]
    assert import_cases(write(tmp_path, "cases.jsonl", dump_jsonl(cases))) == (cases, [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        (" \n\n", "the file is empty"),
        ('{"id": "a", "input": "x"}\n{"id": "a", "input": "y"}\n', "the case id occurs twice"),
        ('\ufeff{"id": "a", "input": "x"}\n', "byte order mark"),
        ('{"id": "a", "input": "x", "colour": "red"}\n', "unknown key `colour`"),
        ('{"id": "a", "input": "x", "variables": ' + "[" * 3000 + "}\n", "not readable"),
        ('{"id": "a", "input": "x", "variables": {"n": ' + "9" * 5000 + "}}\n", "not readable"),
    ],
)
def test_bad_json_lines_are_refused(tmp_path: Path, content: str, message: str) -> None:
    assert message in problem(write(tmp_path, "cases.jsonl", content), "jsonl").message


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", "input\nx\n", "csv"),
        ("a.TSV", "input\nx\n", "csv"),
        ("a.yml", "tests: []", "promptfoo"),
        ("a.json", "[]", "promptfoo"),
        ("a.bin", b"PAR1....", "parquet"),
        ("a.jsonl", '\n{"id": "a", "input": "x"}\n', "jsonl"),
        ("a.jsonl", '{"id": "a", "input": "x", "expect": {}}\n', "jsonl"),
        ("a.jsonl", '{"vars": {}}\n', "promptfoo"),
        ("a.jsonl", '{"item": {}}\n', "openai-evals"),
        ("a.jsonl", '\ufeff{"input": [], "ideal": "x"}\n', "openai-evals"),
        ("a.txt", '{"input": "x"}\n', "openai-evals"),
    ],
)
def test_the_format_is_told_from_the_file(tmp_path: Path, name: str, content: str | bytes, kind: str) -> None:
    assert detect_format(write(tmp_path, name, content)) == kind
    assert kind in FORMATS


@pytest.mark.parametrize("content", ["hello\n", "[1]\n", '{"a": 1}\n', "\ufeff", "[" * 5000])
def test_a_file_that_could_be_anything_is_refused(tmp_path: Path, content: str) -> None:
    error = problem(write(tmp_path, "a.txt", content))
    assert "cannot be told" in error.message
    assert all(kind in (error.fix or "") for kind in FORMATS)


def test_an_unknown_format_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    assert "no such format" in problem(write(tmp_path, "a.csv", "input\nx\n"), "xlsx").message
    assert "cannot read the file" in problem(tmp_path / "none.csv").message
    assert "cannot read the file" in problem(tmp_path, "csv").message
