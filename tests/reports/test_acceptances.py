"""Accepted regressions and groups of broken cases, in every form that people read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest

from evalkit.gate import Verdict
from evalkit.gate.verdict import AcceptedRegression, FailureGroup
from evalkit_reports.common import next_steps

from .hostile import rendered
from .test_html import Page

USED = AcceptedRegression(
    "case answer-001", "used", "jane", "2026-12-22", "the tariff is gone", ("answer",), ("answer-001",), "", "a.yaml:3"
)
EXPIRED = replace(USED, subject="slice locale=de-DE", state="expired", owner="joe", cases=("a", "b"))
FENCED = "The answer is wrapped in a code fence now: 9 of 10 broken cases."
GROUPS = (
    FailureGroup("change", FENCED, 9, 10, matching=9, others=1, of_others=40, lift=36.0, example="answer-001"),
    FailureGroup("rest", "The others share nothing that sets them apart: 1 of 10 broken cases.", 1, 10, example="b"),
)


@pytest.fixture
def verdict(stored: Mapping[str, Verdict]) -> Verdict:
    return replace(stored["BLOCKED"], acceptances=(USED, EXPIRED), groups=GROUPS)


def shown(verdict: Verdict, form: str) -> str:
    text = rendered(form, verdict)
    return Page(text).text if form == "html" else text.replace("\\", "")


@pytest.mark.parametrize("form", ["terminal", "markdown", "html"])
def test_owner_date_reason_and_place_are_shown(verdict: Verdict, form: str) -> None:
    text = shown(verdict, form)
    assert "case answer-001, answer: accepted until 2026-12-22; jane: the tariff is gone (a.yaml:3)" in text
    assert "slice locale=de-DE (2 cases), answer: ✖ accepted until 2026-12-22, which is over; joe" in text


@pytest.mark.parametrize("form", ["terminal", "markdown", "html"])
def test_groups_are_shown_with_size_and_example(verdict: Verdict, form: str) -> None:
    text = shown(verdict, form)
    assert "what broken cases share" in text.lower()
    assert "The answer is wrapped in a code fence now: 9 of 10 broken cases." in text
    assert "answer-001" in text
    if form == "html":
        assert "36.0 ×" in text


@pytest.mark.parametrize("form", ["terminal", "markdown"])
def test_where_broken_cases_share_nothing_there_is_nothing_to_read(verdict: Verdict, form: str) -> None:
    assert "what broken cases share" not in shown(replace(verdict, groups=GROUPS[1:]), form).lower()


HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[2J\n::error::x **b** @team"


@pytest.mark.parametrize("form", ["terminal", "markdown", "html"])
def test_hostile_text_in_them_is_text(verdict: Verdict, form: str) -> None:
    bad = replace(USED, subject=f"slice a={HOSTILE}", owner=HOSTILE, reason=HOSTILE, graders=(HOSTILE,))
    group = replace(GROUPS[0], sentence=HOSTILE, example=HOSTILE)
    text = rendered(form, replace(verdict, acceptances=(bad,), groups=(group,)))
    assert "\x1b" not in text
    if form == "html":
        assert "<img" not in text
        assert "onerror=alert(1)" in Page(text).text
        return
    assert not any(line.lstrip().startswith("::error") for line in text.splitlines())
    if form == "markdown":
        outside_code = re.sub(r"`[^`\n]*`", "", text)
        assert not re.search(r"(?<!\\)<img|(?<!\\)\*\*b|@team", outside_code)


def test_a_comment_stays_short_with_many_acceptances(verdict: Verdict) -> None:
    many = replace(verdict, acceptances=tuple(replace(USED, subject=f"case c-{n}") for n in range(5_000)))
    text = rendered("markdown", many)
    assert len(text) <= 60_000
    assert "(5000)" in text
    assert "4980 more in the report" in text
    assert rendered("terminal", many).count("accepted: case") == 5


def test_a_block_by_margins_alone_can_be_accepted(stored: Mapping[str, Verdict]) -> None:
    blocked = stored["BLOCKED"]
    steps = [step.command for step in next_steps(blocked)]
    assert not any("accept" in step for step in steps), "critical cases failed"
    margins = tuple(rule for rule in blocked.rules if rule.kind == "drop" or rule.status != "block")
    cases = tuple(replace(case, critical=False) for case in blocked.cases)
    steps = [step.command for step in next_steps(replace(blocked, rules=margins, cases=cases))]
    assert steps[-1].startswith(f"evalkit accept {blocked.candidate_run} --case ")
    assert not any("blame" in step for step in steps), "one change is to blame, whoever asks"
    two = replace(blocked, changes=blocked.changes * 2)
    assert f"evalkit blame {blocked.candidate_run}" in [step.command for step in next_steps(two)]
