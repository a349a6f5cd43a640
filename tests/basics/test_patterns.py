"""Patterns in linear time say what ``re`` says, and nothing makes them slow."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evalkit.patterns import LinearPattern, match_start, matches
from evalkit.rules import Condition

PIECES = st.sampled_from(
    ["a", "b", "[ab]", "[^a]", ".", r"\d", r"\w", r"\s", "^", "$", r"\b", r"\A", r"\Z", "[a-c1]", r"[^\d\n]", "é", "-"]
)
REPEATS = st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "+?"])
PATTERNS = st.recursive(
    PIECES,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("(?:{0[0]}|{0[1]})".format),
        st.tuples(inner, REPEATS).map("(?:{0[0]}){0[1]}".format),
        inner.map("({})".format),
        inner.map("(?i:{})".format),
    ),
    max_leaves=6,
)
FLAGS = st.sampled_from(["", "(?i)", "(?m)", "(?s)", "(?a)", "(?im)"])
TEXTS = st.text(alphabet="abAB1 \nEé-_", max_size=8)


@settings(deadline=None, max_examples=400)
@given(FLAGS, PATTERNS, TEXTS)
@example("", r"a$", "a\n")
@example("(?m)", r"^b", "a\nb")
@example("", "(?:a*)*b", "aaab")
@example("", "(?:|a)+$", "aa")
def test_it_says_what_the_standard_library_says(flags: str, pattern: str, text: str) -> None:
    expected = re.compile(flags + pattern)
    found = LinearPattern(flags + pattern)
    assert found.search(text) is (expected.search(text) is not None)
    assert found.fullmatch(text) is (expected.fullmatch(text) is not None)
    match = expected.search(text)
    assert matches(flags + pattern, text) is (match is not None)
    assert match_start(flags + pattern, text) in (None, match and match.start())


EXPONENTIAL = ["(a+)+b", "(a|a)*b", "(a|aa)+$b", r"(\w+\s?)*!", "(?:a?){50}a{50}b", "(?:aa?)*b"]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("pattern", [*EXPONENTIAL, ".*a.*a.*b"])
def test_patterns_that_never_end_by_backtracking_end(pattern: str) -> None:
    assert not LinearPattern(pattern).search("a" * 20_000)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("pattern", EXPONENTIAL)
def test_a_rule_asks_the_automaton_where_backtracking_might_never_end(pattern: str) -> None:
    condition = Condition(field="answer", op="matches", value=pattern)
    assert not condition.holds({"answer": "a" * 20_000})
    assert match_start(pattern, "a" * 20_000) is None


def test_a_place_is_known_where_no_group_is_repeated() -> None:
    assert match_start(r"\bIBAN\s*[A-Z]{2}\d{2}", "the IBAN DE12") == 4
    assert match_start(r"(?<=the )IBAN", "the IBAN DE12") == 4
    assert matches(r"(?:(?<=the )IBAN)+", "the IBAN DE12"), "no automaton looks around"


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "not a regular expression"),
        (r"(a)\1", "a reference to a group"),
        ("(a)?(?(1)b)", "a condition on a group"),
        ("(?<=a)b", "lookaround"),
        ("a(?!b)", "lookaround"),
        ("(?>a)", "an atomic group"),
        ("a++", "a possessive repeat"),
        ("(?:a{100}){100}", "too large"),
    ],
)
def test_what_has_no_linear_time_is_refused_in_words(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        LinearPattern(pattern)
