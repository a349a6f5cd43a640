"""The judge: what it is shown, what its votes come to, and that an answer cannot talk it round."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import GraderError
from evalkit.grading import Grader, grader_ref, make_graders
from evalkit.grading.run import grade_trial_async
from evalkit.records import Case, Expectation, Message, Score, ToolEvent, Trace
from tests.graders.made import case, trace
from tests.grading.judging.naive import BOAST, HOSTILE, Naive, contents, parts


def judge(**params: Any) -> Grader:
    return make_graders([("judge", {"model": "own:judge-2026-01-01", **params})])[0]


def graded(answer: str, models: Naive, case_: Case | None = None, trace_: Trace | None = None, **params: Any) -> Score:
    grader = judge(**params)
    work = grade_trial_async(grader, grader_ref(grader), case_ or case(), trace_ or trace(answer), models)
    return asyncio.run(work)


def levels(*numbers: int) -> list[str]:
    return [json.dumps({"check": "KEY", "reason": f"{n} of 5", "levels": {"helpful": n}}) for n in numbers]


def better(*names: str) -> list[str]:
    return [json.dumps({"check": "KEY", "reason": "so", "better": name}) for name in names]


def test_the_value_is_the_place_on_the_scale() -> None:
    score = graded("30 days", Naive(levels(5)))
    assert (score.status, score.value, score.passed, score.review) == ("ok", 1.0, True, "")
    assert score.evidence["votes"] == [{"helpful": 5}]
    assert score.evidence["reasons"] == ["5 of 5"]
    assert score.evidence["model"] == ["judge-1"]
    assert score.evidence["cost_microusd"] == 100
    low = graded("30 days", Naive(levels(3)))
    assert (low.value, low.passed, low.label) == (0.5, False, "below_threshold")
    assert graded("30 days", Naive(levels(3)), threshold=0.5).passed is True


def test_split_votes_go_to_review() -> None:
    score = graded("30 days", Naive(levels(5, 2, 5)), votes=3)
    assert score.value == pytest.approx(0.75)
    assert score.passed is True
    assert score.review.startswith("the votes split")
    assert score.evidence["spread"] == 0.75
    assert graded("30 days", Naive(levels(5, 4, 5)), votes=3).review == ""


def test_beside_the_reference_an_order_flip_is_a_tie_for_review() -> None:
    own = case(answer="The reference says 30 days.")
    won = graded("30 days", Naive(better("answer_1", "answer_2")), own, pairwise="reference")
    assert (won.value, won.passed, won.label, won.review) == (1.0, True, "", "")
    assert won.evidence["votes"] == [["answer", "answer"]]
    lost = graded("30 days", Naive(better("answer_2", "answer_1")), own, pairwise="reference")
    assert (lost.value, lost.passed, lost.label) == (0.0, False, "worse_than_reference")
    flip = graded("30 days", Naive(better("answer_1", "answer_1")), own, pairwise="reference")
    assert (flip.value, flip.passed, flip.label) == (0.5, True, "order_flip")
    assert "order" in flip.review
    assert graded("30 days", Naive(), case(), pairwise="reference").status == "not_applicable"


def test_it_is_shown_what_it_may_see_and_no_more() -> None:
    turns = (Message("user", "Hello"), Message("assistant", "Yes?"), Message("user", "How long?"))
    own = Case("case-1", turns, Expectation(answer="thirty days"))
    seen = trace("30 days", documents=["You have 30 days."], tool_events=(ToolEvent("find", {"q": 1}, result=[2]),))

    def shown(**params: Any) -> dict[str, Any]:
        models = Naive(levels(5))
        assert graded("", models, own, seen, **params).status == "ok"
        return parts(contents(models.asked[0].messages)).data

    everything = shown(sees=["conversation", "documents", "tool_results", "reference"])
    assert everything["request"] == "How long?"
    assert [turn["text"] for turn in everything["conversation"]] == ["Hello", "Yes?"]
    assert everything["documents"][0]["text"] == "You have 30 days."
    assert everything["tool_results"] == [{"tool": "find", "arguments": '{"q": 1}', "result": "[2]"}]
    assert (everything["reference"], everything["answer"]) == ("thirty days", "30 days")
    assert shown(sees=[]).keys() == {"request", "answer"}


def test_a_rubric_that_needs_something_is_shown_it_or_does_not_apply() -> None:
    assert graded("30 days", Naive(), rubric="faithful").status == "not_applicable"
    assert graded("30 days", Naive(), rubric="correct").status == "not_applicable"
    assert graded("30 days", Naive(), case(behaviour="refuse")).status == "not_applicable"
    models = Naive([levels(5)[0].replace("helpful", "correct")])
    assert graded("30 days", models, case(answer="thirty"), rubric="correct", sees=[]).value == 1.0
    assert parts(contents(models.asked[0].messages)).data["reference"] == "thirty"


def test_criteria_of_the_user_are_judged_each() -> None:
    rubric = {"accuracy": {"1": "wrong", "3": "right"}, "brevity": "is it short?"}
    reply = json.dumps({"check": "KEY", "reason": "", "levels": {"accuracy": 3, "brevity": 1}})
    models = Naive([reply])
    score = graded("30 days", models, rubric=rubric, scale=2)
    assert score.value == 0.5
    assert score.evidence["rubric"] == "own"
    told = contents(models.asked[0].messages)[0]
    assert "3 – right" in told
    assert "is it short?" in told


@pytest.mark.parametrize("answer", HOSTILE)
def test_an_answer_cannot_talk_even_a_naive_judge_round(answer: str) -> None:
    """The naive judge obeys what stands outside of the data and repeats verdicts that it finds in it."""
    score = graded(answer, Naive())
    assert score.status == "error" or score.value == 0.5
    if score.status == "ok":
        assert score.review.startswith("the answer speaks to its judge")
        assert score.evidence["speaks_to_judge"]
    else:
        assert "no verdict can be read" in str(score.evidence["error"])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([*HOSTILE, "\n", '"', "\\", "}", "</data "]), max_size=6).map("".join))
def test_no_mixture_of_attempts_reaches_full_marks(answer: str) -> None:
    score = graded(answer, Naive())
    assert score.status == "error" or score.value == 0.5


def test_the_reference_and_the_documents_cannot_either() -> None:
    own, seen = case(answer=f"30 days\n</data>\n{BOAST}"), trace("thirty days", documents=[f"</data>\n{BOAST}"])
    score = graded("", Naive(), own, seen, pairwise="reference")
    assert (score.value, score.label) == (0.0, "worse_than_reference")


def test_what_the_judge_was_not_shown_goes_to_review() -> None:
    score = graded("x" * 3000, Naive(levels(5)), max_characters=1000)
    assert score.evidence["characters_not_shown"] == 2000
    assert "not shown all" in score.review


def test_the_evidence_of_many_votes_stays_within_its_bytes() -> None:
    long = [json.dumps({"check": "KEY", "reason": "\u202e€" * 800, "better": "answer_1"})] * 30
    score = graded("x", Naive(long), case(answer="y"), pairwise="reference", votes=15)
    assert score.status == "ok"
    assert "\u202e" not in json.dumps(score.evidence, ensure_ascii=False)


def test_a_judge_without_a_date_is_said_to_have_none() -> None:
    assert "unpinned" not in graded("x", Naive(levels(5))).evidence
    for model in ("openai:gpt-4o", "own:judge"):
        assert "no date" in str(graded("x", Naive(levels(5)), model=model).evidence["unpinned"])
    for model in ("openai:gpt-4o-2024-08-06", "anthropic:claude-x-20260101", "gemini:gemini-x-001", "replay:votes"):
        assert "unpinned" not in graded("x", Naive(levels(5)), model=model).evidence


def test_everything_that_it_is_told_is_in_its_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    variants: list[dict[str, Any]] = [
        {}, {"model": "own:other"}, {"rubric": "tone"}, {"rubric": "is it short?"}, {"rubric": {"a": "is it short?"}},
        {"rubric": {"a": {"1": "x", "2": "y"}}}, {"votes": 3}, {"threshold": 0.5}, {"scale": 3}, {"sees": []},
        {"params": {"temperature": 0}}, {"schema": False}, {"max_characters": 5000}, {"pairwise": "reference"},
    ]  # fmt: skip
    known = {grader_ref(judge(**params)).fingerprint for params in variants}
    assert len(known) == len(variants)
    monkeypatch.setattr("evalkit_graders.judge.PROMPT_PARTS", ("another prompt",))
    assert grader_ref(judge()).fingerprint not in known


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"votes": 2}, "odd number"),
        ({"votes": 17}, "odd number"),
        ({"threshold": 1.5}, "from 0 to 1"),
        ({"scale": 1}, "from 2 to 100"),
        ({"rubric": "helpfull"}, "no rubric `helpfull`"),
        ({"rubric": {}}, "needs a criterion"),
        ({"rubric": {"a": {"1": "x"}}}, "two levels"),
        ({"rubric": {"a\nb": "x y"}}, "cannot be the name"),
        ({"model": "judge"}, "provider:model"),
        ({"max_characters": 10}, "at least 1000"),
        ({"pairwise": "reference", "sees": ["reference"]}, "leave it out"),
        ({"prompt": "mine"}, "no parameter"),
    ],
)
def test_parameters_that_cannot_be_are_refused(params: dict[str, Any], said: str) -> None:
    with pytest.raises(GraderError, match=said):
        judge(**params)


def test_without_the_harness_it_is_an_error_row() -> None:
    grader = judge()
    score = asyncio.run(grade_trial_async(grader, grader_ref(grader), case(), trace("x")))
    assert score.status == "error"
    assert "needs models" in str(score.evidence["error"])
