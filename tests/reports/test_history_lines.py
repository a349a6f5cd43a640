"""A verdict by history: what the columns hold, how many trials it stands on, and what to do where it is open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from evalkit.gate import RuleResult, Verdict
from evalkit_reports.common import next_steps

from .hostile import rendered
from .test_html import Page

LINE = (
    "answer: baseline is the recorded history, 12 trials of a case (median); 150 trials of the candidate were looked at"
)


def by_history(verdict: Verdict, **changes: object) -> Verdict:
    """A verdict with one open margin that was judged by history."""
    rule = next(rule for rule in verdict.rules if rule.kind == "drop")
    judged: RuleResult = replace(rule, id="answer", status="inconclusive", history=12.0, trials=150, **changes)  # type: ignore[arg-type]
    return replace(verdict, verdict="INCONCLUSIVE", rules=(judged,), cases=(), notes=())


def test_every_form_says_what_the_numbers_stand_on(stored: Mapping[str, Verdict]) -> None:
    verdict = by_history(stored["INCONCLUSIVE"], sql="SELECT 1;", n=24)
    assert f"history: {LINE}" in " ".join(rendered("terminal", verdict).split()), "wrapped where the terminal ends"
    assert LINE in rendered("markdown", verdict)
    assert "n = 24, 150 trials, history 12 of a case, recompute" in Page(rendered("html", verdict)).text
    assert "recorded history" not in rendered("terminal", stored["INCONCLUSIVE"])


def test_rounds_that_go_on_by_themselves_need_no_number_of_trials(stored: Mapping[str, Verdict]) -> None:
    verdict = by_history(stored["INCONCLUSIVE"], next_trials={"case-001": 2, "case-002": 5})
    first = next_steps(verdict)[0]
    assert first.command == "evalkit run shop"
    assert "7 more trials" in first.what


def test_what_trials_will_not_settle_is_not_said_to_be_settled_by_them(stored: Mapping[str, Verdict]) -> None:
    first = next_steps(by_history(stored["INCONCLUSIVE"]))[0]
    assert (first.what, first.command) == (
        "get more evidence: more cases in the golden set, or more runs of the baseline", "",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["terminal", "markdown", "html"])
def test_no_form_proposes_trials_where_rounds_go_on(stored: Mapping[str, Verdict], kind: str) -> None:
    text = rendered(kind, by_history(stored["INCONCLUSIVE"], next_trials={"case-001": 2}))
    assert "--trials" not in text
