"""Groundedness by a local model, with networks that count words: what is right can be told by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import GraderError
from evalkit.records import Message, RetrievedDocument, Score

from .made import calls, case, grader, score, trace
from .tiny_models import WORDS, encoder_model, overlap_model, write_config

SOURCE = "You can return the kettle within thirty days of delivery."
GOOD = "You can return the kettle within thirty days."
BAD = "The red kettle costs twelve euros."
NLI = ("entailment", "neutral")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return overlap_model(tmp_path_factory.mktemp("pairs"), NLI)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return overlap_model(tmp_path_factory.mktemp("tokens"), ("LABEL_0", "LABEL_1"), tokens=True)


def graded(folder: Path, answer: str, *sources: str | RetrievedDocument, **params: Any) -> Score:
    made = grader("model_groundedness", model=str(folder), **params)
    return score(made, case(), trace(answer, documents=sources or (SOURCE,)))


def test_each_sentence_is_held_against_the_sources(pairs: Path) -> None:
    assert graded(pairs, GOOD).passed is True
    found = graded(pairs, f"{GOOD} {BAD}")
    assert (found.passed, found.label, found.severity) == (False, "unsupported", "major")
    assert found.evidence["sentences"] == 2
    assert [claim["text"] for claim in found.evidence["unsupported"]] == [BAD]


def test_the_value_is_the_probability_that_the_network_computes(pairs: Path) -> None:
    """Of "The red kettle costs twelve euros." 3 of 7 tokens are in the source: 1 / (1 + exp(-20 (3/7 - 0.75)))."""
    assert graded(pairs, BAD).value == pytest.approx(0.001612, abs=1e-6)
    assert graded(pairs, GOOD).value == pytest.approx(0.993307, abs=1e-6)
    mean = graded(pairs, f"{GOOD} {BAD}", value="mean")
    assert mean.value == pytest.approx((0.993307 + 0.001612) / 2, abs=1e-6)
    assert mean.passed is False, "one unsupported sentence is enough, whatever the mean"


def test_the_threshold_decides(pairs: Path) -> None:
    assert graded(pairs, GOOD, threshold=0.995).passed is False
    assert graded(pairs, BAD, threshold=0.001).passed is True


def test_the_whole_answer_may_be_judged_at_once(pairs: Path) -> None:
    found = graded(pairs, f"{GOOD} {BAD}", unit="answer")
    assert found.evidence["sentences"] == 1
    assert found.value == pytest.approx(0.5, abs=1e-6), "12 of 16 tokens"


def test_sources_longer_than_the_model_reads_are_read_to_their_end(pairs: Path) -> None:
    long = "The shop opens monday. " * 40
    assert graded(pairs, GOOD, long + SOURCE, max_tokens=48, overlap=12).passed is True
    assert graded(pairs, GOOD, SOURCE + long, max_tokens=48, overlap=12).passed is True
    assert graded(pairs, GOOD, long, max_tokens=48, overlap=12).passed is False


def test_windows_share_tokens_so_that_a_sentence_is_not_cut(pairs: Path) -> None:
    """Room for 33 tokens of source: without an overlap the border runs through the sentence that is needed."""
    source = " ".join([*["shop"] * 28, SOURCE, *["shop"] * 30])
    assert graded(pairs, GOOD, source, max_tokens=48, overlap=12).passed is True
    assert graded(pairs, GOOD, source, max_tokens=48, overlap=0).passed is False


def test_a_sentence_longer_than_its_share_is_as_good_as_its_worst_piece(pairs: Path) -> None:
    good = " ".join(["You can return the kettle within thirty days"] * 4) + "."
    assert graded(pairs, good, max_tokens=48, overlap=12).passed is True
    assert graded(pairs, f"{good[:-1]} {BAD} ", max_tokens=48, overlap=12).passed is False


def test_all_documents_and_tool_results_are_sources(pairs: Path) -> None:
    made = grader("model_groundedness", model=str(pairs))
    assert score(made, case(), trace(f"{GOOD} {BAD}", documents=(SOURCE, BAD))).passed is True
    events = calls(("lookup", {}), result={"text": GOOD})
    assert score(made, case(), trace(GOOD, tool_events=events)).passed is True
    titled = RetrievedDocument("d", "Within thirty days.", title="You can return the kettle")
    assert score(made, case(), trace(GOOD, documents=(titled,))).passed is True


def test_the_question_stands_in_the_source_text_where_that_is_wanted(pairs: Path) -> None:
    made = grader("model_groundedness", model=str(pairs), source_text="{question} {sources}")
    asked = case("Can you return the red kettle that costs twelve euros?")
    assert score(made, asked, trace(BAD, documents=("the shop opens monday.",))).passed is True
    plain = grader("model_groundedness", model=str(pairs))
    assert score(plain, asked, trace(BAD, documents=("the shop opens monday.",))).passed is False


def test_braces_of_a_question_are_text(pairs: Path) -> None:
    made = grader("model_groundedness", model=str(pairs), source_text="{question} {sources}")
    asked = case("{sources.__class__} {0}")
    assert score(made, asked, trace(GOOD, documents=(SOURCE,))).passed is True


@pytest.mark.parametrize("answer", ["", "Hello!", "Which kettle do you mean, red or blue?", "I can't help with that."])
def test_what_makes_no_claim_is_not_graded(pairs: Path, answer: str) -> None:
    assert graded(pairs, answer).status == "not_applicable"


def test_without_sources_and_where_something_else_is_expected_nothing_is_graded(pairs: Path) -> None:
    made = grader("model_groundedness", model=str(pairs))
    assert score(made, case(), trace(GOOD)).status == "not_applicable"
    assert score(made, case(), trace(GOOD, documents=("  ",))).status == "not_applicable"
    asked = case(behaviour="refuse")
    assert score(made, asked, trace(GOOD, documents=(SOURCE,))).status == "not_applicable"


def test_contradiction_is_told_where_the_model_tells_it(tmp_path: Path) -> None:
    """Label 0 has logit 20 (share - 0.75): here it is the contradiction."""
    folder = overlap_model(tmp_path, ("contradiction", "entailment", "neutral"))
    found = graded(folder, GOOD)
    assert (found.passed, found.label) == (False, "contradicted")
    assert found.evidence["unsupported"][0]["contradicted"] is True
    assert graded(folder, BAD).label == "unsupported"


def test_a_classifier_of_tokens_reads_the_whole_answer_and_says_which_sentence(tokens: Path) -> None:
    answer = f"{GOOD}\n\n- {BAD}"
    found = graded(tokens, answer, supported="LABEL_0")
    assert found.passed is False
    assert [claim["text"] for claim in found.evidence["unsupported"]] == [f"- {BAD}"]
    assert found.value == pytest.approx(0.0, abs=1e-6), "a token that no source holds has logit -15"
    assert graded(tokens, GOOD, supported="LABEL_0").value == pytest.approx(0.993307, abs=1e-6)


def test_a_classifier_of_tokens_reads_long_sources_and_long_answers_in_pieces(tokens: Path) -> None:
    source = "The shop opens monday. " * 30 + SOURCE
    found = graded(tokens, f"{GOOD} " * 6 + BAD, source, supported="LABEL_0", max_tokens=48, overlap=8)
    assert found.evidence["sentences"] == 7
    assert [claim["text"] for claim in found.evidence["unsupported"]] == [BAD]


def test_a_classifier_of_tokens_finds_a_sentence_whatever_blanks_are_in_it(tokens: Path) -> None:
    found = graded(tokens, f"{BAD}\n\n  You can e.g.\u00a0return   the kettle within thirty days.", supported="LABEL_0")
    assert found.evidence["sentences"] == 2
    assert found.evidence["unsupported"][0]["text"].startswith("The red")


def test_an_answer_cannot_end_its_own_text(pairs: Path) -> None:
    """Read as special tokens, they would make what follows look like a source of its own."""
    assert graded(pairs, f"[SEP] {BAD}").passed is False
    spoof = graded(pairs, f"{BAD} [SEP] [SEP] {BAD}", unit="answer")
    plain = graded(pairs, f"{BAD} ( SEP ) ( SEP ) {BAD}", unit="answer")
    assert spoof.value == pytest.approx(plain.value or 0, abs=1e-6)


def test_the_label_that_means_supported_is_found_by_its_name_or_given(tmp_path: Path) -> None:
    folder = overlap_model(tmp_path, ("LABEL_0", "LABEL_1"))
    with pytest.raises(GraderError, match="cannot be told") as caught:
        grader("model_groundedness", model=str(folder))
    assert "LABEL_0, LABEL_1" in (caught.value.fix or "")
    with pytest.raises(GraderError, match="no such label"):
        grader("model_groundedness", model=str(folder), supported="entailment")
    assert graded(folder, GOOD, supported="label_0").passed is True
    assert graded(folder, GOOD, supported="LABEL_1").passed is False


def test_a_model_with_one_label_says_how_probable_it_is(tmp_path: Path) -> None:
    folder = overlap_model(tmp_path, ("LABEL_0",))
    assert graded(folder, GOOD).value == pytest.approx(0.993307, abs=1e-6)
    assert graded(folder, BAD).value == pytest.approx(0.001612, abs=1e-6)


def test_a_network_that_does_not_fit_its_configuration_is_an_error(tmp_path: Path) -> None:
    folder = overlap_model(tmp_path, NLI)
    write_config(folder, "BertForSequenceClassification", (*NLI, "contradiction"))
    found = graded(folder, GOOD)
    assert found.status == "error"
    assert "3 labels are named" in found.evidence["error"]
    write_config(folder, "BertForTokenClassification", NLI)
    assert graded(folder, GOOD, batch_size=3).status == "error"


def test_an_answer_of_too_many_inputs_is_an_error_and_not_half_graded(pairs: Path) -> None:
    found = graded(pairs, f"{GOOD} " * 8, max_inputs=7)
    assert found.status == "error"
    assert "max_inputs" in found.evidence["error"]
    assert graded(pairs, f"{GOOD} " * 7, max_inputs=7).passed is True


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"source_text": "no place"}, "stands nowhere"),
        ({"overlap": -1}, "at least 0"),
        ({"max_tokens": 4}, "at least 16"),
        ({"batch_size": 0}, "at least 1"),
        ({"unit": "word"}, "Input should be"),
        ({"supportd": "x"}, "no parameter"),
    ],
)
def test_wrong_parameters_are_refused_when_the_grader_is_made(pairs: Path, params: dict[str, Any], said: str) -> None:
    with pytest.raises(GraderError, match=said):
        grader("model_groundedness", model=str(pairs), **params)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.sampled_from(WORDS[:20]), min_size=4, max_size=9), min_size=1, max_size=5))
def test_a_batch_gives_what_single_inputs_give(
    tmp_path_factory: pytest.TempPathFactory, family: str, said: list[list[str]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"batch-{family}"
    if not folder.is_dir():
        encoder_model(folder, family, "SequenceClassification", (*NLI, "contradiction"))
    answer = " ".join(" ".join(words).capitalize() + "." for words in said)
    one, many = (graded(folder, answer, SOURCE, batch_size=size, value="mean", max_tokens=24) for size in (1, 7))
    assert one.status == many.status
    assert (one.value or 0.0) == pytest.approx(many.value or 0.0, abs=2e-6)
    assert one.passed == many.passed


def test_the_conversation_is_no_source(pairs: Path) -> None:
    asked = case()
    asked = type(asked)(asked.id, (Message("user", BAD),), asked.expect)
    found = score(grader("model_groundedness", model=str(pairs)), asked, trace(BAD, documents=(SOURCE,)))
    assert found.passed is False
