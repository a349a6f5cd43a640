"""Facts, forbidden texts and citations: what is found in an answer, what is not, and what that costs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .made import case, grader, score, trace

ANSWER = grader("answer")


@pytest.mark.parametrize(
    ("answer", "wording"),
    [
        ("You have thirty (30) DAYS.", "30 days"),
        ("Das sind 1.250,00 € im Jahr.", "€1,250"),
        ("Cela coûte 1250 euros.", "1.250,00 €"),
        ("The rate is 5 percent.", "5 %"),
        ("Die Quote beträgt 2,5 Prozent.", "2.5%"),
        ("Die **Straße** heißt Hafenweg 14.", "strasse"),
        ("Le délai est de trente jours.", "delai"),
        ("Order K-2071 is on its way.", "k2071"),
        ("free\nof charge", "free of charge"),
    ],
)
def test_a_fact_is_found_whatever_the_number_format_case_accents_and_marks(answer: str, wording: str) -> None:
    found = score(ANSWER, case(facts=((wording,),)), trace(answer))
    assert (found.status, found.passed, found.value, found.label) == ("ok", True, 1.0, "")


@pytest.mark.parametrize(
    ("answer", "wording"),
    [
        ("You have 130 days.", "30 days"),
        ("You have 30 working days.", "30 days"),
        ("It is 12.5%.", "125%"),
        ("It costs $20.", "€20"),
        ("It is 50 euros.", "50%"),
        ("", "30 days"),
        (" \n ", "30 days"),
        ("30", "30 days"),
    ],
)
def test_another_number_unit_or_word_is_not_the_fact(answer: str, wording: str) -> None:
    found = score(ANSWER, case(facts=((wording,),)), trace(answer))
    assert (found.passed, found.value, found.label) == (False, 0.0, "missing_fact")
    assert found.evidence == {"missing": [wording]}


def test_one_of_several_wordings_is_enough_and_the_value_is_the_share_of_facts() -> None:
    asked = case(facts=(("30 days", "one month"), ("free of charge", "free"), ("unused",)))
    found = score(ANSWER, asked, trace("Within one month, and it is free."))
    assert (found.passed, found.label, found.severity) == (False, "missing_fact", "major")
    assert found.value == pytest.approx(2 / 3)
    assert found.evidence == {"missing": ["unused"]}


def test_a_missing_citation_counts_like_a_fact_but_is_minor() -> None:
    asked = case(facts=(("30 days",),), citations=("returns-2026", "delivery-2026"))
    found = score(ANSWER, asked, trace("30 days [returns-2026]."))
    assert (found.passed, found.label, found.severity) == (False, "missing_citation", "minor")
    assert found.value == pytest.approx(2 / 3)
    assert found.evidence == {"uncited": ["delivery-2026"]}


def test_a_citation_of_another_number_is_not_the_citation() -> None:
    assert score(ANSWER, case(citations=("hr-1",)), trace("See [hr-12].")).passed is False


@pytest.mark.parametrize("critical", [False, True])
def test_one_forbidden_text_makes_the_value_zero_whatever_else_is_right(critical: bool) -> None:
    asked = case(critical=critical, facts=(("30 days",),), forbidden=("14 Harbour Lane", "Lindqvist"))
    found = score(ANSWER, asked, trace("30 days. She lives at *14*, harbour-lane!"))
    assert (found.passed, found.value, found.label) == (False, 0.0, "forbidden_text")
    assert found.severity == ("critical" if critical else "major")
    assert found.evidence == {"forbidden": ["14 Harbour Lane"]}


def test_an_answer_without_what_is_forbidden_is_right_also_when_it_is_empty() -> None:
    """Whether anything was answered at all is what the refusal grader asks."""
    assert score(ANSWER, case(forbidden=("14 Harbour Lane",)), trace("")).passed is True


def test_words_are_found_and_not_their_meaning() -> None:
    """A negated fact is still found: a case that fears one forbids its wording."""
    asked = case(facts=(("30 days",),))
    assert score(ANSWER, asked, trace("You can not return it within 30 days.")).passed is True
    asked = case(facts=(("30 days",),), forbidden=("not return it",))
    assert score(ANSWER, asked, trace("You can not return it within 30 days.")).passed is False


def test_a_case_that_states_nothing_is_not_graded() -> None:
    assert score(ANSWER, case(), trace("Anything.")).status == "not_applicable"


@pytest.mark.parametrize(
    "answer", ["\x00\x1b[2J30 days\u202e", "{{ 30 days }}", "<b>30 days</b>", "'; DROP -- 30 days"]
)
def test_hostile_text_is_only_text(answer: str) -> None:
    assert score(ANSWER, case(facts=(("30 days",),)), trace(answer)).passed is True


def test_long_evidence_is_cut_so_that_the_grade_stays_a_grade() -> None:
    facts = tuple((f"fact {number} {'x' * 2_000}",) for number in range(200))
    found = score(ANSWER, case(facts=facts), trace("nothing of it"))
    assert (found.status, found.passed, found.value) == ("ok", False, 0.0)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["30 days", "free", "unused", "kettle"]), unique=True))
def test_the_order_of_facts_in_an_answer_does_not_matter(said: list[str]) -> None:
    asked = case(facts=(("30 days",), ("free",), ("unused",), ("kettle",)))
    found = score(ANSWER, asked, trace("; ".join(said)))
    assert found.value == len(said) / 4
    assert found.passed is (len(said) == 4)
