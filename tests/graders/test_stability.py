"""Agreement of the trials of a case, against counting the pairs."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import GraderError
from evalkit.grading import grader_ref, make_graders
from evalkit.grading.over_run import grade_run
from evalkit.records import Case, Score, ToolEvent, Trace

from .made import case

ASKED = case(facts=(("30 days", "a month"), ("unused",)))


def graded(traces: list[Trace], asked: Case = ASKED, **params: Any) -> list[Score]:
    (grader,) = make_graders([("stability", params)])
    ((rows),) = grade_run(grader, grader_ref(grader), [(asked, traces)])  # type: ignore[arg-type]
    return rows


def said(*answers: str, events: tuple[tuple[ToolEvent, ...], ...] = ()) -> list[Trace]:
    return [
        Trace("support", "case-1", trial, "ok", answer, tool_events=events[trial] if events else ())
        for trial, answer in enumerate(answers)
    ]


def value(traces: list[Trace], **params: Any) -> float | None:
    return graded(traces, **params)[0].value


def test_one_trial_agrees_with_nobody() -> None:
    assert [row.status for row in graded(said("30 days"))] == ["not_applicable"]


def test_other_words_with_the_same_facts_and_numbers_agree() -> None:
    answers = said("Within 30 days, unused.", "You have 30 days; it must be unused.", "UNUSED, 30 DAYS!")
    assert value(answers) == 1.0
    assert value(answers, compare=["text"]) == 0.0
    assert value(said("30 days, unused.", " 30 Days unused"), compare=["text"]) == 1.0


@pytest.mark.parametrize(
    ("answers", "by"),
    [(("30 days, unused", "a month, unused"), ["facts"]), (("30 days", "it is 30.0 days"), ["numbers"])],
)
def test_what_is_not_compared_may_differ(answers: tuple[str, ...], by: list[str]) -> None:
    assert value(said(*answers), compare=by) == 1.0
    assert value(said(*answers), compare=["text"]) == 0.0


def test_another_number_fact_or_call_is_another_answer() -> None:
    assert value(said("30 days, unused", "30 days, unused", "14 days, unused")) == pytest.approx(1 / 3)
    assert value(said("unused, 30 days", "30 days")) == 0.0
    look, send = ToolEvent("look", {"id": 1, "b": 2}), ToolEvent("send")
    same = said("ok", "ok", events=((look, send), (send, ToolEvent("look", {"b": 2, "id": 1}))))
    assert value(same) == 1.0
    assert value(said("ok", "ok", events=((look,), (ToolEvent("look", {"id": 2, "b": 2}),)))) == 0.0
    odd = ToolEvent("look", {"id": float("nan")})
    assert value(said("ok", "ok", events=((odd,), (odd,)))) == 1.0


@given(st.lists(st.sampled_from(["1 day", "2 days", "3 days", "1 unused day"]), min_size=2, max_size=12))
def test_the_value_is_the_share_of_pairs(answers: list[str]) -> None:
    pairs = list(combinations(answers, 2))
    rows = graded(said(*answers))
    assert rows[0].value == pytest.approx(sum(one == other for one, other in pairs) / len(pairs))
    assert {(row.value, row.label) for row in rows} == {(rows[0].value, "" if len(set(answers)) == 1 else "unstable")}
    counts = {item["answer"]: item["trials"] for item in rows[0].evidence["answers"]}
    assert counts == {answer: answers.count(answer) for answer in set(answers)}
    assert rows[0].evidence["distinct"] == len(set(answers))


def test_it_measures_and_fails_only_with_a_limit() -> None:
    answers = said("1", "2", "2")
    assert [row.passed for row in graded(answers)] == [None] * 3
    assert [(row.passed, row.severity) for row in graded(answers, min_agreement=0.5)] == [(False, "minor")] * 3
    assert [row.passed for row in graded(answers, min_agreement=0.3)] == [True] * 3


@pytest.mark.parametrize(
    ("params", "message"),
    [({"compare": []}, "at least one"), ({"compare": ["words"]}, "facts"), ({"min_agreement": 2}, "between 0 and 1")],
)
def test_wrong_parameters_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(GraderError, match=message):
        make_graders([("stability", params)])


def test_long_and_many_answers_are_shown_in_short() -> None:
    rows = graded(said(*(f"{number} " + "word " * 9_000 for number in range(12))))
    answers = rows[0].evidence["answers"]
    assert (len(answers), rows[0].evidence["distinct"]) == (5, 12)
    assert all(len(item["answer"]) <= 320 for item in answers)
