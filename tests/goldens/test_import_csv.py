"""Tables as CSV become cases, or an error that says where: never something in between."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evalkit.goldens.importers import import_cases
from evalkit.records import Document, Expectation, ExpectedCall, Message, Provenance, ToolExpectation
from tests.goldens.importing import one, problem, write

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
        ('input,context\na,"[{""text"": ""x"", ""roles"": 3}]"\n', "a list", "row 2: context[0].roles", "schema"),
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
