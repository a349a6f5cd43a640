"""Each rule of `validate` with cases that break it and cases that come close but do not."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.errors import GoldenSetError
from evalkit.goldens import Finding, GoldenSet, build, dump_jsonl, from_cases, load, load_and_validate, validate
from evalkit.goldens.rows import FileRows, TableRows
from evalkit.goldens.validate import validate_case
from evalkit.records import (
    AnswerMatch,
    Case,
    Document,
    Expectation,
    ExpectedCall,
    Message,
    RecordedTool,
    ToolCall,
    ToolExpectation,
    ToolSpec,
)
from tests.goldens.strategies import card, case

GOOD = case("a", intent="returns", expect=Expectation(facts=(("30 days",),)))
"""A case without findings."""
DOCUMENT = Document("returns", "You have 30 days.", "Returns", "2026-02-28")
LOOKUP = ToolSpec(
    "lookup",
    parameters={
        "type": "object",
        "properties": {"order": {"type": "string", "pattern": "^K-"}, "n": {"type": "integer"}},
        "required": ["order"],
    },
)
REFUND = ToolSpec("refund", parameters={"type": "object", "properties": {"amount": {"type": "number"}}})


def good(**fields: Any) -> Case:
    return replace(GOOD, **fields)


def expecting(**fields: Any) -> Case:
    return good(expect=Expectation(**fields))


def calling(*calls: ExpectedCall, forbidden: tuple[str, ...] = (), **fields: Any) -> Case:
    tools = ToolExpectation(alternatives=(calls,), forbidden=forbidden)
    return good(expect=Expectation(tools=tools), **fields)


def found(member: Case, rule: str, tools: tuple[ToolSpec, ...] = ()) -> list[Finding]:
    findings = list(validate_case(member, {tool.name: tool for tool in tools}, frozenset({"corpus-1"})))
    return [finding for finding in findings if finding.rule == rule]


def said(*turns: Message) -> Case:
    return good(input=turns)


def test_a_good_case_has_no_findings() -> None:
    assert list(validate_case(GOOD)) == []
    assert list(validate_case(replace(GOOD, context=(DOCUMENT,)))) == []


USER, ANSWER = Message("user", "Hello"), Message("assistant", "Yes?")
CALL = ToolCall("lookup", {"order": "K-1"})
BREAKING: list[tuple[str, str, str, Case]] = [
    ("no-input", "error", "input", said()),
    ("last-turn", "error", "input", said(USER, ANSWER)),
    ("last-turn", "error", "input", said(Message("system", "Be short."))),
    ("empty-turn", "error", "input[0]", said(Message("user", " \n\t"))),
    ("empty-turn", "error", "input[1]", said(USER, Message("assistant"), USER)),
    ("locale", "error", "locale", good(locale="")),
    ("locale", "error", "locale", good(locale="german")),
    ("locale", "error", "locale", good(locale="de_DE")),
    ("locale", "error", "locale", good(locale="DE-de")),
    ("locale", "error", "locale", good(locale="de-DE\n")),
    ("no-intent", "warning", "intent", good(intent="")),
    ("critical-risk", "warning", "risk", good(critical=True, risk="low")),
    ("critical-risk", "warning", "risk", good(critical=True, risk="medium")),
    ("document-id", "error", "context", good(context=(DOCUMENT, replace(DOCUMENT, text="Another. 30 days.")))),
    ("empty-document", "error", "context[1]", good(context=(DOCUMENT, Document("d", " \n")))),
    ("document-date", "error", "context[0].date", good(context=(replace(DOCUMENT, date="2026-02-29"),))),
    ("document-date", "error", "context[0].date", good(context=(replace(DOCUMENT, date="2026-2-1"),))),
    ("document-date", "error", "context[0].date", good(context=(replace(DOCUMENT, date="20260201"),))),
    ("document-date", "error", "context[0].date", good(context=(replace(DOCUMENT, date=""),))),
    ("citation", "error", "expect.citations", expecting(facts=(("30 days",),), citations=("elsewhere",))),
    ("empty-fact", "error", "expect.facts[1]", expecting(facts=(("30 days",), ()))),
    ("empty-fact", "error", "expect.facts[0]", expecting(facts=(("30 days", " "),))),
    ("contradiction", "error", "expect.facts", expecting(facts=(("a", "30 Days"),), forbidden=("30 dAYS",))),
    ("contradiction", "error", "expect.tools", calling(ExpectedCall("refund"), forbidden=("refund",))),
    ("match", "error", "expect.match.texts", expecting(match=AnswerMatch("set"))),
    ("nothing-expected", "warning", "expect", expecting()),
    ("nothing-expected", "warning", "expect", expecting(citations=("corpus-1",))),
    ("fact-source", "note", "expect.facts[0]", good(context=(replace(DOCUMENT, text="None."),))),
    ("fact-source", "note", "expect.facts[0]", good(recorded_tools=(RecordedTool("lookup", {"days": 14}),))),
    ("tool-schema", "error", "tools[1].parameters", good(tools=(LOOKUP, ToolSpec("t", parameters={"type": "objekt"})))),
    ("tool-schema", "error", "tools[0].parameters", good(tools=(ToolSpec("t", parameters={"type": "array"}),))),
    ("no-alternatives", "error", "expect.tools", expecting(tools=ToolExpectation())),
    ("unknown-tool", "error", "expect.tools", calling(ExpectedCall("find"))),
    ("unknown-tool", "error", "expect.tools", calling(ExpectedCall("lookup"), recorded_tools=(RecordedTool("find"),))),
    ("unknown-tool", "error", "expect.tools", calling(ExpectedCall("lookup"), tools=(REFUND,))),
    ("unknown-argument", "error", "expect.tools.lookup.id", calling(ExpectedCall("lookup", {"id": ("1",)}))),
    ("argument-schema", "error", "expect.tools.lookup.order", calling(ExpectedCall("lookup", {"order": ("K-1", "1")}))),
    ("argument-schema", "error", "expect.tools.lookup.n", calling(ExpectedCall("lookup", {"n": ("5",)}))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "level", "key", "member"), BREAKING, ids=lambda item: item if isinstance(item, str) else ""
)
def test_a_broken_rule_is_found_with_level_case_and_key(rule: str, level: str, key: str, member: Case) -> None:
    (finding,) = found(member, rule, (LOOKUP, REFUND))
    assert (finding.level, finding.case_id, finding.key) == (level, "a", key)
    assert finding.message


KEEPING: list[tuple[str, Case]] = [
    ("nothing-expected", expecting(match=AnswerMatch("number", value=30.0))),
    ("match", expecting(match=AnswerMatch("number", value=30.0))),
    ("no-input", said(USER)),
    ("last-turn", said(USER, ANSWER, USER)),
    ("last-turn", said(USER, Message("assistant", tool_calls=(CALL,)), Message("tool", "found"))),
    ("empty-turn", said(USER, Message("assistant", tool_calls=(CALL,)), Message("tool", "found"))),
    *(("locale", good(locale=locale)) for locale in ("en", "de-DE", "es-419", "zh-Hant-TW", "sr-Latn", "gsw-CH")),
    ("critical-risk", good(critical=True, risk="high")),
    ("critical-risk", good(critical=True, risk="critical")),
    ("critical-risk", good(critical=False, risk="low")),
    ("document-id", good(context=(DOCUMENT, replace(DOCUMENT, id="other")))),
    ("document-date", good(context=(replace(DOCUMENT, date=None), replace(DOCUMENT, id="b", date="2024-02-29")))),
    ("citation", good(context=(DOCUMENT,), expect=Expectation(citations=("returns", "corpus-1")))),
    ("contradiction", expecting(facts=(("30 days",),), forbidden=("14 days", "30"))),
    ("contradiction", calling(ExpectedCall("refund"), forbidden=("lookup",))),
    *(
        ("nothing-expected", expecting(**fields))
        for fields in (
            {"facts": (("x",),)}, {"answer": "x"}, {"forbidden": ("x",)},
            {"tools": ToolExpectation(((),))}, {"behaviour": "refuse"},
        )
    ),
    ("fact-source", good(context=(replace(DOCUMENT, text="It is 30 (days)!"),))),
    ("fact-source", good(context=(replace(DOCUMENT, text="None.", title="30 Days"),))),
    ("fact-source", good(context=(replace(DOCUMENT, text="None."),), input=(Message("user", "Is it 30 days?"),))),
    ("fact-source", good(recorded_tools=(RecordedTool("lookup", {"term": "30 days"}),))),
    ("fact-source", good(context=(DOCUMENT,), expect=Expectation(facts=(("a month", "30 days"),)))),
    ("fact-source", good()),
    ("tool-schema", good(tools=(LOOKUP, ToolSpec("t")))),
    ("no-alternatives", expecting(tools=ToolExpectation(alternatives=((),)))),
    ("no-alternatives", expecting(tools=ToolExpectation(forbidden=("refund",)))),
    ("unknown-tool", calling(ExpectedCall("lookup"), recorded_tools=(RecordedTool("refund"),))),
    ("unknown-tool", calling(ExpectedCall("find"), tools=(ToolSpec("find"),))),
    ("unknown-argument", calling(ExpectedCall("lookup", {"order": ("K-1",), "n": (1,)}))),
    ("argument-schema", calling(ExpectedCall("lookup", {"order": ("K-1", "K-2"), "n": (5, 5.0)}))),
    ("argument-schema", calling(ExpectedCall("find", {"order": (5,)}))),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "member"), KEEPING, ids=lambda item: item if isinstance(item, str) else "")
def test_a_rule_that_is_kept_is_not_found(rule: str, member: Case) -> None:
    assert found(member, rule, (LOOKUP, REFUND)) == []


@pytest.mark.parametrize(
    ("paths", "recorded", "warned"),
    [
        ([["lookup"]], [], True),
        ([["lookup"]], ["lookup"], False),
        ([["lookup", "refund"]], ["lookup"], True),
        ([["refund"], ["lookup"]], ["lookup"], False),
        ([["lookup"], []], [], False),
        ([], [], False),
    ],
)
def test_an_expected_call_that_nothing_answers_is_warned_of(
    paths: list[list[str]], recorded: list[str], warned: bool
) -> None:
    alternatives = tuple(tuple(ExpectedCall(name, {}) for name in path) for path in paths)
    member = good(
        expect=Expectation(tools=ToolExpectation(alternatives, forbidden=("delete",))),
        recorded_tools=tuple(RecordedTool(name, {}) for name in recorded),
    )
    levels = [finding.level for finding in found(member, "unrecorded-tool", (LOOKUP, REFUND))]
    assert levels == (["warning"] if warned else [])


def test_without_known_tools_expected_calls_are_not_checked_against_any() -> None:
    assert found(calling(ExpectedCall("find", {"x": (1,)})), "unknown-tool") == []


def test_every_wording_document_and_argument_is_checked() -> None:
    member = good(
        context=(Document("a", ""), Document("b", "x", date="1"), Document("c", "", date="2")),
        expect=Expectation(facts=((), ("",)), citations=("x", "y")),
    )
    rules = [finding.rule for finding in validate_case(member) if finding.level == "error"]
    assert sorted(rules) == ["citation"] * 2 + ["document-date"] * 2 + ["empty-document"] * 2 + ["empty-fact"] * 2


REF = ToolSpec(
    "pay",
    parameters={
        "type": "object",
        "properties": {"currency": {"$ref": "#/$defs/currency"}},
        "$defs": {"currency": {"enum": ["EUR", "GBP"]}},
    },
)


@pytest.mark.parametrize(("value", "findings"), [("EUR", 0), ("USD", 1)])
def test_arguments_may_refer_to_definitions_of_their_tool(value: str, findings: int) -> None:
    assert len(found(calling(ExpectedCall("pay", {"currency": (value,)})), "argument-schema", (REF,))) == findings


@pytest.mark.parametrize("name", ["a/b", "a~1b", "50%", "größe", "a b"])
def test_arguments_may_have_any_name(name: str) -> None:
    tool = ToolSpec("t", parameters={"type": "object", "properties": {name: {"type": "integer"}}})
    assert len(found(calling(ExpectedCall("t", {name: (1, "x")})), "argument-schema", (tool,))) == 1


@pytest.mark.parametrize("properties", [{"a": {"type": "strng"}}, {"a": 5}, 5, {"a": {"pattern": "("}}])
def test_a_tool_without_valid_schema_is_a_finding_even_where_its_arguments_are_expected(properties: object) -> None:
    tool = ToolSpec("t", parameters={"type": "object", "properties": properties})
    member = calling(ExpectedCall("t", {"a": ("x",)}), tools=(tool,))
    assert len(found(member, "tool-schema")) == 1


def golden(*cases: Case, **fields: Any) -> GoldenSet:
    return replace(from_cases("shop", "1", cases), card=card(**fields) if fields else None)


def many(count: int, **fields: Any) -> list[Case]:
    """Cases with inputs that have nothing in common."""
    words = [
        f"{'abcdefghijklmnopqrstuvwxyz'[number % 26] * 3}{'zyxwvutsrq'[number // 26] * 4}" for number in range(count)
    ]
    return [good(id=f"c{number:03d}", input=(Message("user", word),), **fields) for number, word in enumerate(words)]


def test_findings_come_worst_first_and_the_order_is_stable() -> None:
    bad = [good(id="b", locale="x y", intent=""), good(id="a", locale="x y", critical=True)]
    findings = validate(golden(*bad, *many(9)))
    levels = [finding.level for finding in findings]
    assert levels == sorted(levels, key=["error", "warning", "note"].index)
    errors = [(finding.rule, finding.case_id) for finding in findings if finding.level == "error"]
    assert errors == sorted(errors)
    assert findings == validate(golden(*reversed(many(9)), *reversed(bad)))


def test_a_healthy_set_has_no_findings() -> None:
    assert validate(golden(*many(9), min_slice=1), today=dt.date(2026, 1, 1)) == []


@pytest.mark.parametrize("text", ["", "   "])
def test_a_set_of_empty_messages_gets_its_findings(text: str) -> None:
    rules = {finding.rule for finding in validate(golden(case("a", text), case("b", text)))}
    assert {"empty-turn", "duplicate"} <= rules


def test_a_set_of_one_case_is_checked_too() -> None:
    assert [finding.rule for finding in validate(golden(good(locale="x y")))] == ["locale"]


def thin(*cases: Case, **fields: Any) -> list[str]:
    return [
        finding.message
        for finding in validate(golden(*cases, **fields), today=dt.date(2026, 1, 1))
        if finding.rule == "thin-slice"
    ]


def test_slices_with_too_few_cases_are_noted() -> None:
    cases = [replace(member, intent="refund" if number < 3 else "returns") for number, member in enumerate(many(11))]
    assert thin(*cases) == ["intent=refund has 3 of at least 8 cases"]
    assert thin(*cases, min_slice=3) == []
    assert thin(*cases, min_slice=4) == ["intent=refund has 3 of at least 4 cases"]


def test_exactly_the_least_number_is_enough() -> None:
    cases = [
        replace(member, slices={"channel": "mail" if number < 8 else "chat"}) for number, member in enumerate(many(16))
    ]
    assert thin(*cases) == []
    assert thin(*cases[:-1]) == ["channel=chat has 7 of at least 8 cases"]


def test_a_key_with_another_value_in_every_case_is_no_slice() -> None:
    cases = [replace(member, slices={"ticket": member.id}) for member in many(9)]
    assert thin(*cases) == []


@pytest.mark.parametrize(("today", "due"), [("2026-12-31", False), ("2027-01-01", True), ("2020-01-01", False)])
def test_a_refresh_is_due_after_the_day_of_the_card(today: str, due: bool) -> None:
    findings = validate(golden(*many(9), min_slice=1), today=dt.date.fromisoformat(today))
    assert [finding.message for finding in findings] == (["a refresh was due on 2026-12-31; ask team"] if due else [])


def test_twins_of_the_card_that_are_not_in_the_set_are_warned_of() -> None:
    findings = validate(golden(*many(9), min_slice=1, allow_similar=(("c001", "gone"),)), today=dt.date(2026, 1, 1))
    assert [(finding.level, finding.rule, finding.message) for finding in findings] == [
        ("warning", "allow-similar", "names `gone`, which is not in the set")
    ]


def test_tools_and_documents_of_the_workflow_count() -> None:
    member = good(
        expect=Expectation(citations=("corpus-1",), tools=ToolExpectation(((ExpectedCall("lookup", {"n": ("x",)}),),)))
    )
    alone = {finding.rule for finding in validate(golden(member))}
    together = {
        finding.rule for finding in validate(golden(member), tools=[LOOKUP], corpus_ids=frozenset({"corpus-1"}))
    }
    assert (alone, together) == ({"citation"}, {"argument-schema", "unrecorded-tool"})


def test_a_very_large_set_is_checked_without_looking_for_near_duplicates() -> None:
    row = from_cases("shop", "1", [good(locale="x y")]).table
    table = pa.concat_tables([row] * 20_001).combine_chunks()
    ids = pa.array([f"c{number:05d}" for number in range(20_001)])
    findings = validate(GoldenSet("shop", "1", TableRows(table.set_column(0, "id", ids))))
    assert sum(finding.rule == "locale" for finding in findings) == 20_001
    assert [finding.message for finding in findings if finding.rule == "near-duplicates"] == [
        "not looked for among more than 20,000 cases"
    ]


FLAWED = [
    *many(9),
    good(id="a", locale="x y"),
    good(id="b", locale="x y"),
    good(id="z", expect=Expectation(citations=("corpus-1",))),
]


def places(folder: Path, cases: list[Case]) -> list[Path]:
    """A set in each form that it can have: a folder, files in order and not, lines."""
    table = from_cases("shop", "1", cases).table
    build(cases, folder / "set", "1", card=card())
    pq.write_table(table, folder / "groups.parquet", row_group_size=5)
    pq.write_table(table.take(pa.array(range(len(table) - 1, -1, -1))), folder / "backwards.parquet", row_group_size=5)
    late = [*range(6), *range(len(table) - 1, 5, -1)]
    pq.write_table(table.take(pa.array(late)), folder / "late.parquet", row_group_size=3)
    (folder / "lines.jsonl").write_text(dump_jsonl(cases), encoding="utf-8")
    return [folder / "set", *sorted(folder.glob("*.*"))]


def test_read_and_checked_at_once_it_has_the_same_findings(tmp_path: Path) -> None:
    options: dict[str, Any] = {"tools": [LOOKUP], "corpus_ids": frozenset({"corpus-1"}), "today": dt.date(2027, 1, 1)}
    for place in places(tmp_path, FLAWED):
        for near in (None, True, False):
            together, findings = load_and_validate(place, near_duplicates=near, **options)
            alone = load(place)
            assert (together.ref, together.path) == (alone.ref, alone.path)
            assert findings == validate(alone, near_duplicates=near, **options)
            assert {"locale", "duplicate"} <= {finding.rule for finding in findings}


def test_a_file_in_order_is_read_once_for_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(many(20), tmp_path, "1", card=card())
    monkeypatch.setattr(FileRows, "read", None)
    assert load_and_validate(tmp_path, today=dt.date(2026, 1, 1))[0].count == 20


def test_more_cases_than_near_duplicates_are_looked_for_among_are_not_looked_at_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [case(f"c{number:04d}", "How long may I keep it?") for number in range(2_500)]
    build(cases, tmp_path, "1", card=card())
    monkeypatch.setattr(sys.modules[validate.__module__], "NEAR_LIMIT", 2_100)
    _, findings = load_and_validate(tmp_path)
    assert findings == validate(load(tmp_path))
    assert "not looked for among more than 2,100 cases" in {finding.message for finding in findings}


def test_what_is_wrong_with_a_file_is_said_as_when_it_is_only_read(tmp_path: Path) -> None:
    table = from_cases("shop", "1", FLAWED).table
    worded = pa.array(["{}"] * 7 + ["no JSON"] + ["{}"] * 4)
    odd = table.set_column(table.schema.get_field_index("variables_json"), "variables_json", worded)
    pq.write_table(odd, tmp_path / "odd.parquet")
    with pytest.raises(GoldenSetError) as alone:
        validate(load(tmp_path / "odd.parquet"))
    with pytest.raises(GoldenSetError) as together:
        load_and_validate(tmp_path / "odd.parquet")
    assert str(together.value) == str(alone.value)
    assert together.value.file == str(tmp_path / "odd.parquet")
    build(FLAWED, tmp_path / "set", "1", card=card())
    pq.write_table(odd, tmp_path / "set" / "1.parquet")
    with pytest.raises(GoldenSetError, match="the content is not what the card states"):
        load_and_validate(tmp_path / "set")


def test_a_fact_that_runs_over_a_line_of_a_tools_answer_has_a_source() -> None:
    assert found(good(recorded_tools=(RecordedTool("lookup", {"text": "within 30\ndays"}),)), "fact-source") == []
