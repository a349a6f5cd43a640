"""Overlap with the reference answer: each measure by its paper's definition, computed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import GraderError
from evalkit.grading import grader_ref
from evalkit_graders.similarity import Similarity
from evalkit_graders.similarity.measures import chrf, lcs_length, rouge_l, token_f1

from .made import case, score, trace

MEASURES = (token_f1, rouge_l, chrf)


@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [
        ("The Broncos won.", "Denver Broncos", 2 * (1 / 2) * (1 / 2) / (1 / 2 + 1 / 2)),
        ("a cat sat", "the cat", 2 * (1 / 2) * 1 / (1 / 2 + 1)),
        ("red red blue", "red blue blue", 2 / 3),
        ("退货需要三十天", "三十天", 2 * (3 / 7) * 1 / (3 / 7 + 1)),
        ("Straße", "STRASSE", 1.0),
        ("", "", 1.0),
        ("the", "", 1.0),
        ("x", "", 0.0),
        ("", "x", 0.0),
    ],
)
def test_token_f1_is_that_of_squad(answer: str, reference: str, value: float) -> None:
    assert token_f1(answer, reference) == pytest.approx(value)


@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [
        # Lin 2004, section 3.1: R = LCS/m, P = LCS/n, F with beta 1
        ("police kill the gunman", "police killed the gunman", 3 / 4),
        ("the gunman kill police", "police killed the gunman", 2 / 4),
        ("a b c d e", "a c e", 2 * (3 / 5) * 1 / (3 / 5 + 1)),
        ("三天内退货", "三天", 2 * (2 / 5) * 1 / (2 / 5 + 1)),
        ("x y", "a b", 0.0),
    ],
)
def test_rouge_l_is_that_of_its_paper(answer: str, reference: str, value: float) -> None:
    assert rouge_l(answer, reference) == pytest.approx(value)


def test_chrf_is_that_of_its_paper() -> None:
    # "abcd" against "abce": orders 1 to 4 share 3 of 4, 2 of 3, 1 of 2 and 0 of 1
    mean = (3 / 4 + 2 / 3 + 1 / 2 + 0) / 4
    assert chrf("abcd", "abce") == pytest.approx(mean)
    # "abc" against "abcde": precision 1 in each of three orders, recall 3/5, 2/4, 1/3
    recall = (3 / 5 + 2 / 4 + 1 / 3) / 3
    assert chrf("ab c", "abc de") == pytest.approx(5 * recall / (4 + recall))
    assert chrf("aaaa", "aa") == pytest.approx(5 * ((2 / 4 + 1 / 3) / 2) * 1 / (4 * ((2 / 4 + 1 / 3) / 2) + 1))
    assert chrf("x", "y") == 0.0


WORDS = st.lists(st.sampled_from(["red", "blue", "30", "Tage", "日"]), max_size=8).map(" ".join)


@settings(deadline=None, max_examples=60)
@given(WORDS, WORDS)
def test_every_measure_is_a_share_and_whole_for_the_same_text(first: str, second: str) -> None:
    for measure in MEASURES:
        assert 0.0 <= measure(first, second) <= 1.0
        assert measure(first, first) == pytest.approx(1.0)
    assert rouge_l(first, second) <= token_f1(first, second) + 1e-12


@settings(deadline=None, max_examples=60)
@given(st.text("abc", max_size=9), st.text("abc", max_size=9))
def test_the_longest_common_subsequence_is_that_of_the_textbook(first: str, second: str) -> None:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, left in enumerate(first):
        for j, right in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if left == right else max(table[i][j + 1], table[i + 1][j])
    assert lcs_length(first, second) == table[-1][-1]


def test_without_a_threshold_it_measures_and_with_one_it_checks() -> None:
    asked = case(answer="You have 30 days.")
    plain = Similarity()
    found = score(plain, asked, trace("You have 30 days."))
    assert (found.value, found.passed, grader_ref(plain).quality) == (1.0, None, False)
    strict = Similarity(measure="rouge_l", threshold=0.75)
    assert grader_ref(strict).quality
    assert score(strict, asked, trace("You have 30 hours.")).passed is True
    found = score(strict, asked, trace("No."))
    assert (found.value, found.passed, found.label, found.severity) == (0.0, False, "unlike", "minor")
    assert found.evidence == {"measure": "rouge_l"}


def test_a_case_without_a_reference_is_not_graded() -> None:
    assert score(Similarity(threshold=0.5), case(), trace("x")).status == "not_applicable"
    assert score(Similarity(), case(answer=""), trace("x")).status == "not_applicable"


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01, float("nan")])
def test_a_threshold_that_is_no_share_is_refused(threshold: float) -> None:
    with pytest.raises(GraderError, match="a share above 0"):
        Similarity(threshold=threshold)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("measure", ["token_f1", "rouge_l", "chrf"])
@pytest.mark.parametrize("piece", ["a", "a ", "日", "ab cd ", "\u0301"])
def test_long_texts_take_bounded_time(measure: str, piece: str) -> None:
    text = (piece * 50_000)[:50_000]
    kind = Similarity(measure=measure)  # type: ignore[arg-type]
    assert score(kind, case(answer=text), trace(text + " b")).status == "ok"
