from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from evalkit.goldens import from_cases, validate
from evalkit.goldens.duplicates import SIMILAR, find_duplicates
from evalkit.records import Case, Document, Message, RecordedTool, ToolSpec
from tests.goldens.strategies import card, case

QUESTION = "How many days do I have to return order 1234?"
OTHER = "Please forward the complaint about the broken lamp to your manager."


def pairs(*cases: Case, threshold: float = SIMILAR) -> list[tuple[str, str, bool]]:
    return [(pair.first, pair.second, pair.exact) for pair in find_duplicates(cases, threshold)]


def test_two_equal_cases_are_exact_duplicates() -> None:
    assert pairs(case("a", QUESTION), case("b", OTHER), case("c", QUESTION)) == [("a", "c", True)]


def test_of_three_equal_cases_each_later_one_is_paired_with_the_first() -> None:
    assert [pair for pair in pairs(*(case(case_id, QUESTION) for case_id in "abc")) if pair[2]] == [
        ("a", "b", True),
        ("a", "c", True),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"context": (Document("d", "30 days"),)},
        {"role": "agent"},
        {"tenant": "other"},
        {"locale": "de-DE"},
        {"variables": {"today": "2026-12-31"}},
        {"tools": (ToolSpec("t"),)},
        {"recorded_tools": (RecordedTool("t", 1),)},
        {"input": (Message("user", QUESTION + "!"),)},
        {"input": (Message("system", "Be short."), Message("user", QUESTION))},
    ],
)
def test_cases_that_differ_in_what_the_model_gets_are_no_exact_duplicates(fields: dict[str, Any]) -> None:
    member = case("a", QUESTION)
    assert not any(exact for *_, exact in pairs(member, replace(member, id="b", **fields)))


@pytest.mark.parametrize(
    "fields", [{"notes": "x"}, {"tags": ("x",)}, {"intent": "x"}, {"risk": "high"}, {"cluster": "x"}]
)
def test_what_is_said_about_a_case_does_not_make_it_another(fields: dict[str, Any]) -> None:
    member = case("a", QUESTION)
    assert pairs(member, replace(member, id="b", **fields)) == [("a", "b", True)]


def test_the_order_of_free_keys_does_not_hide_a_duplicate_in_a_set() -> None:
    tools = [(RecordedTool("t", keys, keys),) for keys in ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
    golden = from_cases(
        "shop", "1", [case("a", QUESTION, recorded_tools=tools[0]), case("b", QUESTION, recorded_tools=tools[1])]
    )
    assert pairs(*golden.cases) == [("a", "b", True)]


def test_a_template_with_other_numbers_is_a_near_duplicate() -> None:
    found = find_duplicates((case("a", QUESTION), case("b", QUESTION.replace("1234", "99").upper()), case("c", OTHER)))
    assert [(pair.first, pair.second, pair.similarity, pair.exact) for pair in found] == [("a", "b", 1.0, False)]


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("How many days do I have to return my order 1234?", True),
        ("HOW  MANY days do I have to return order 77?", True),
        ("Wie viele Tage habe ich, um Bestellung 1234 zurückzugeben?", False),
        (OTHER, False),
        ("", False),
    ],
)
def test_a_small_change_is_near_and_another_question_is_not(text: str, near: bool) -> None:
    assert bool(pairs(case("a", QUESTION), case("b", text))) is near


def test_the_whole_conversation_counts() -> None:
    turns = (Message("user", QUESTION), Message("assistant", OTHER))
    first, second = (Case(case_id, (*turns, Message("user", "And now?"))) for case_id in "ab")
    third = Case("c", (Message("user", "And now?"),))
    assert pairs(first, second, third) == [("a", "b", True)]


def oracle(cases: list[Case], threshold: float) -> set[frozenset[str]]:
    """Every pair by scikit-learn's vectors multiplied in one piece, in double precision."""
    texts = [
        "".join("0" if part.isdigit() else part for part in _parts(member.input[0].content.lower())) for member in cases
    ]
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5)).fit_transform(texts)
    near = np.argwhere(np.triu((vectors @ vectors.T).toarray(), 1) >= threshold)
    return {frozenset((cases[left].id, cases[right].id)) for left, right in near}


def _parts(text: str) -> list[str]:
    parts: list[str] = []
    for character in text:
        if parts and character.isdigit() and parts[-1].isdigit():
            parts[-1] += character
        else:
            parts.append(character)
    return parts


WORDS = ["order", "refund", "lamp", "Tisch", "livre", "17", "2026", "return", "delivery", "damaged", "late"]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4), min_size=2, max_size=8),
    st.sampled_from([0.51, 0.83]),
)
def test_the_pairs_are_those_of_a_plain_computation(texts: list[list[str]], threshold: float) -> None:
    cases = [case(f"c{number}", " ".join(words)) for number, words in enumerate(texts)]
    found = [frozenset(pair[:2]) for pair in pairs(*cases, threshold=threshold)]
    assert len(found) == len(set(found))
    assert set(found) == oracle(cases, threshold)


def test_near_duplicates_far_apart_in_a_large_set_are_found() -> None:
    draw = random.Random(7)
    texts = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz ", k=40)) for _ in range(1100)]
    texts[1099] = texts[3].upper()
    texts[1030] = texts[511]
    cases = [case(f"c{number:04d}", text) for number, text in enumerate(texts)]
    assert pairs(*cases) == [("c0511", "c1030", True), ("c0003", "c1099", False)]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_cases_have_no_duplicates(count: int) -> None:
    assert pairs(*[case("a", QUESTION)] * count) == []


def test_exact_pairs_come_first_then_the_most_alike() -> None:
    cases = [
        case("a", QUESTION), case("b", QUESTION.replace("1234", "5")), case("c", QUESTION + " Thanks"),
        case("d", OTHER), case("e", OTHER),
    ]  # fmt: skip
    found = find_duplicates(tuple(cases), 0.7)
    assert (found[0].first, found[0].second, found[0].exact) == ("d", "e", True)
    similarities = [pair.similarity for pair in found if not pair.exact]
    assert len(similarities) == 3
    assert similarities == sorted(similarities, reverse=True)


def findings(*cases: Case, **fields: Any) -> list[tuple[str, str, str]]:
    golden = replace(from_cases("shop", "1", cases), card=card(min_slice=1, **fields))
    return [(item.level, item.rule, item.case_id) for item in validate(golden) if "duplicate" in item.rule]


def test_an_exact_duplicate_is_an_error_and_a_near_one_a_warning() -> None:
    near = case("b", QUESTION.replace("1234", "77"))
    assert findings(case("a", QUESTION), near) == [("warning", "near-duplicate", "a")]
    assert findings(case("a", QUESTION), case("c", QUESTION)) == [("error", "duplicate", "a")]
    assert findings(case("a", QUESTION), case("d", OTHER)) == []


@pytest.mark.parametrize("twins", [("a", "b"), ("b", "a")])
def test_twins_named_in_the_card_are_wanted(twins: tuple[str, str]) -> None:
    near = case("b", QUESTION.replace("1234", "77"))
    assert findings(case("a", QUESTION), near, allow_similar=(twins,)) == []


def test_an_exact_duplicate_cannot_be_wanted() -> None:
    allowed = findings(case("a", QUESTION), case("b", QUESTION), allow_similar=(("a", "b"),))
    assert allowed == [("error", "duplicate", "a")]
