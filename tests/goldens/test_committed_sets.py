"""The golden sets of this repository: whole, valid with their workflows, and covering what they promise."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from evalkit.codec import plain
from evalkit.goldens import GoldenSet, dump_jsonl, from_cases, load, load_jsonl, validate
from evalkit.records import Case, ExpectedCall
from evalkit.redaction import Redactor
from evalkit.workflow import Workflow, load_project, load_workflow

ROOT = Path(__file__).parents[2]
NAMES = ("finance", "hr", "legal", "support")
BEHAVIOURS = {"answer", "refuse", "clarify", "abstain", "escalate"}

pytestmark = pytest.mark.parametrize("name", NAMES)


@cache
def workflow(name: str) -> Workflow:
    return load_workflow(load_project(ROOT), name)


@cache
def golden(name: str) -> GoldenSet:
    return load(workflow(name).golden_path)


def tagged(name: str, tag: str) -> list[Case]:
    return [case for case in golden(name).cases if tag in case.tags]


def expected_calls(case: Case) -> list[ExpectedCall]:
    return [call for path in case.expect.tools.alternatives for call in path] if case.expect.tools else []


def sources(case: Case) -> str:
    """All that the workflow reads in a case."""
    texts = [turn.content for turn in case.input] + [f"{item.title} {item.text}" for item in case.context]
    return " ".join([*texts, json.dumps(plain(case)["recorded_tools"], ensure_ascii=False)]).casefold()


def test_the_newest_version_is_what_the_card_states(name: str) -> None:
    found = golden(name)
    assert found.card is not None
    newest = found.card.changelog[0]
    assert (found.name, found.version) == (name, newest.version)
    assert (found.ref.digest, found.ref.cases) == (newest.digest, newest.cases)
    assert found.card.refresh_due > newest.date
    assert found.card.contact.endswith("@example.com")
    assert (found.card.owner, found.card.licence) == (found.card.owner.strip() or None, "Apache-2.0")


def test_nothing_is_wrong_with_the_set(name: str) -> None:
    found, owner = golden(name), workflow(name)
    assert found.card is not None
    corpus = frozenset(document.id for document in owner.corpus.documents) if owner.corpus else frozenset[str]()
    findings = validate(found, tools=owner.tools, corpus_ids=corpus, today=found.card.changelog[0].date)
    assert [finding for finding in findings if finding.level != "note"] == []


def test_the_set_survives_editing_as_json_lines(name: str, tmp_path: Path) -> None:
    lines = tmp_path / "cases.jsonl"
    lines.write_text(dump_jsonl(golden(name).cases), encoding="utf-8")
    again = from_cases(name, golden(name).version, load_jsonl(lines))
    assert again.cases == golden(name).cases
    assert again.ref == golden(name).ref


def test_there_are_enough_cases_of_every_kind(name: str) -> None:
    cases = golden(name).cases
    assert len(cases) >= 120
    behaviours = Counter(case.expect.behaviour for case in cases)
    assert behaviours.keys() == BEHAVIOURS
    assert min(behaviours.values()) >= 10
    assert behaviours["refuse"] >= 25
    assert Counter(case.risk for case in cases).keys() == {"low", "medium", "high", "critical"}
    assert len({case.tenant for case in cases}) >= 2
    assert len({case.role for case in cases}) >= 3
    assert sum(bool(expected_calls(case)) for case in cases) >= 30
    assert all(case.id.startswith(f"{name}-") for case in cases)


def test_the_languages_of_the_card_are_covered(name: str) -> None:
    card = golden(name).card
    assert card is not None
    counts = Counter(case.locale for case in golden(name).cases)
    assert counts.keys() == set(card.languages)
    assert len(counts) >= 3
    assert min(counts.values()) >= 0.15 * counts.total()


def test_critical_cases_are_many_and_rated_so(name: str) -> None:
    critical = [case for case in golden(name).cases if case.critical]
    assert len(critical) >= 15
    assert {case.risk for case in critical} <= {"high", "critical"}
    assert len({case.locale for case in critical}) >= 3


def test_what_was_planted_is_there_and_its_success_would_be_seen(name: str) -> None:
    injections = tagged(name, "injection")
    assert len(injections) >= 10
    assert len({case.locale for case in injections}) >= 3
    for case in injections:
        open_to_others = [document for document in case.context if not document.trusted]
        assert open_to_others or case.recorded_tools, case.id
        assert any(text.casefold() in sources(case) for text in case.expect.forbidden), case.id


def test_conversations_take_turns_and_end_with_the_user(name: str) -> None:
    conversations = [case for case in golden(name).cases if len(case.input) > 1]
    assert len(conversations) >= 12
    assert conversations == tagged(name, "multi-turn")
    for case in conversations:
        roles = [turn.role for turn in case.input]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"], case.id


def test_no_case_asks_for_what_it_forbids(name: str) -> None:
    for case in golden(name).cases:
        bad = [text.casefold() for text in case.expect.forbidden]
        for wordings in case.expect.facts:
            assert any(not any(text in wording.casefold() for text in bad) for wording in wordings), case.id


def test_tools_and_arguments_named_anywhere_exist(name: str) -> None:
    for case in golden(name).cases:
        tools = {tool.name: tool.parameters.get("properties", {}) for tool in case.tools or workflow(name).tools}
        recorded = {tool.name for tool in case.recorded_tools}
        forbidden = set(case.expect.tools.forbidden) if case.expect.tools else set()
        assert recorded | forbidden <= tools.keys(), case.id
        for call in expected_calls(case):
            assert {*call.arguments, *call.optional, *call.free} <= tools[call.name].keys(), case.id


def test_every_call_that_is_needed_has_a_recorded_answer(name: str) -> None:
    """A call without one is answered with "not found": fit only for a call that may as well be left out."""
    for case in golden(name).cases:
        recorded = {tool.name for tool in case.recorded_tools}
        if case.expect.tools and not {call.name for call in expected_calls(case)} <= recorded:
            assert () in case.expect.tools.alternatives, case.id


def test_twins_differ_in_what_is_right(name: str) -> None:
    card = golden(name).card
    assert card is not None
    assert card.allow_similar
    for first, second in card.allow_similar:
        assert golden(name).case(first).expect != golden(name).case(second).expect, (first, second)


def test_the_cases_hold_no_key_and_no_real_account(name: str) -> None:
    redactor, counts = Redactor(keep=("email", "phone", "card")), Counter[str]()
    texts: Any = [plain(dataclasses.replace(case, id="x")) for case in golden(name).cases]
    redactor.value(texts, counts)
    assert counts == {}


def test_all_of_the_prompts_variables_are_given_in_every_case(name: str) -> None:
    keys = [set(case.variables) for case in golden(name).cases]
    assert {"today"} <= set.intersection(*keys)
