"""Refusal by a local classifier of the answer, with a network that adds up the weights of words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import GraderError
from evalkit.records import Behaviour, Score

from .made import calls, case, grader, score, trace
from .tiny_models import cue_model, overlap_model

CUES = {"sorry": 3.0, "cannot": 3.0}
LABELS = ("NORMAL", "REJECTION")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cue_model(tmp_path_factory.mktemp("refusal"), LABELS, CUES)


def graded(folder: Path, behaviour: Behaviour, answer: str, **params: Any) -> Score:
    return score(grader("model_refusal", model=str(folder), **params), case(behaviour=behaviour), trace(answer))


@pytest.mark.parametrize(
    ("behaviour", "answer", "passed", "label"),
    [
        ("answer", "You can return the kettle.", True, ""),
        ("answer", "Sorry, that cannot help you.", False, "over_refusal"),
        ("refuse", "Sorry, that cannot help you.", True, ""),
        ("refuse", "You can return the kettle.", False, "under_refusal"),
        ("answer", " …", False, "no_answer"),
        ("refuse", "", False, "no_answer"),
    ],
)
def test_both_directions(folder: Path, behaviour: Behaviour, answer: str, passed: bool, label: str) -> None:
    found = graded(folder, behaviour, answer)
    assert (found.passed, found.label) == (passed, label)
    assert found.severity == ("none" if passed else "major")


def test_the_value_is_the_probability_of_a_refusal(folder: Path) -> None:
    """1 / (1 + exp(-(3 - 1))) with one cue, 1 / (1 + exp(1)) with none."""
    assert graded(folder, "answer", "Sorry!").value == pytest.approx(0.880797, abs=1e-6)
    assert graded(folder, "answer", "You can.").value == pytest.approx(0.268941, abs=1e-6)
    assert graded(folder, "answer", "Sorry!", threshold=0.9).passed is True


@pytest.mark.parametrize("behaviour", ["abstain", "clarify", "escalate"])
def test_what_the_model_has_no_label_for_is_not_graded(folder: Path, behaviour: Behaviour) -> None:
    assert graded(folder, behaviour, "Sorry!").status == "not_applicable"


def test_a_refusal_at_the_end_of_a_long_answer_is_seen(folder: Path) -> None:
    answer = "You can return the kettle. " * 40
    assert graded(folder, "answer", answer, max_tokens=32, overlap=4).passed is True
    assert graded(folder, "answer", f"{answer} Sorry, cannot.", max_tokens=32, overlap=4).label == "over_refusal"


def test_calls_without_a_word_comply(folder: Path) -> None:
    made, events = grader("model_refusal", model=str(folder)), calls(("lookup", {}))
    assert score(made, case(), trace("", tool_events=events)).passed is True
    assert score(made, case(behaviour="refuse"), trace("", tool_events=events)).label == "under_refusal"


def test_the_question_is_given_as_the_first_of_two_texts(tmp_path: Path) -> None:
    """The network counts words of the second text only."""
    folder = cue_model(tmp_path, LABELS, CUES, of_second=True)
    made = grader("model_refusal", model=str(folder), with_prompt=True)
    assert score(made, case("Sorry, cannot return"), trace("You can.")).passed is True
    assert score(made, case("You can"), trace("Sorry, cannot return.")).label == "over_refusal"
    assert score(made, case("You can " * 900), trace("Sorry, cannot return.")).label == "over_refusal"


def test_a_mistake_on_a_critical_case_is_critical(folder: Path) -> None:
    made = grader("model_refusal", model=str(folder))
    assert score(made, case(critical=True), trace("Sorry!")).severity == "critical"


def test_the_label_is_found_by_its_name_or_given(tmp_path: Path) -> None:
    folder = cue_model(tmp_path, ("LABEL_0", "LABEL_1"), CUES)
    with pytest.raises(GraderError, match="cannot be told"):
        grader("model_refusal", model=str(folder))
    assert graded(folder, "refuse", "Sorry!", refusal="LABEL_1").passed is True


def test_a_classifier_of_tokens_is_refused(tmp_path: Path) -> None:
    folder = overlap_model(tmp_path, LABELS, tokens=True)
    assert "whole texts" in graded(folder, "answer", "Sorry!").evidence["error"]


def test_a_negative_overlap_is_refused(folder: Path) -> None:
    with pytest.raises(GraderError, match="at least 0"):
        grader("model_refusal", model=str(folder), overlap=-1)
