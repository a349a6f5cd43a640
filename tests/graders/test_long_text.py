"""Very long answers of the worst kind: a grader takes time in proportion to them, and not to their square.

No duration is asserted: with a pattern that backtracks, a test would run for minutes and into its time limit.
"""

from __future__ import annotations

import pytest

from evalkit.records import ExpectedCall

from .made import case, grader, score, trace, wants

SIZE = 50_000
PIECES = (
    "7", "7,", "1.1.", "0'", "€ ", "1 ", "\n", " ", ". ", "A. B. ", "1. ", "- 1. a\n", "[", "(", "?", "e\u0301",
    "\u202e", "which one ", "pouvez-vous ", "konnen sie ", "ich kann ", "i cannot ", "documents ", "it is not not ",
    "there is no ", "it is not fair or ", "the idea ", "everyone ", "not able to answer ", '"', "“", "> a\n", "```",
    "You can return it within 30 days. ",
)  # fmt: skip
SOURCE = "You can return an unused kettle within 30 days of delivery."


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["answer", "refusal", "groundedness"])
@pytest.mark.parametrize("piece", PIECES)
def test_a_long_answer_is_graded_in_bounded_time(piece: str, name: str) -> None:
    asked = case(facts=(("30 days",),), forbidden=("14 Harbour Lane",))
    answer = (piece * (SIZE // len(piece) + 1))[:SIZE]
    assert score(grader(name), asked, trace(answer, documents=(SOURCE,))).status in ("ok", "not_applicable")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", [*PIECES, "{", "f(a=", "```\n", '{"name": "f", "arguments": {}}\n'])
def test_calls_are_looked_for_in_a_long_answer_in_bounded_time(piece: str) -> None:
    answer = (piece * (SIZE // len(piece) + 1))[:SIZE]
    found = score(grader("tool_call", read_text=True), case(tools=wants(ExpectedCall("f"))), trace(answer))
    assert (found.status, found.passed) == ("ok", False)


@pytest.mark.timeout(30)
def test_a_long_answer_from_long_sources_is_graded_in_bounded_time() -> None:
    words = [f"{first}{second}{third}" for first in "bdfgklm" for second in "aeiou" for third in "nrst"]
    text = " ".join(" ".join(words[start % 120 : start % 120 + 12]).capitalize() + "." for start in range(2_000))
    found = score(grader("groundedness"), case(), trace(text, documents=(text,)))
    assert found.value == pytest.approx(1.0)
