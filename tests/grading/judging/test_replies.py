"""A verdict is read from a reply that is wholly what was asked for, and from nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.grading.judging.replies import UnreadableReplyError, read_pair, read_point
from evalkit.grading.judging.rubrics import make_rubric

KEY = "bcdfghjkmnpqrstv"
GOOD: dict[str, Any] = {"check": KEY, "reason": "so", "levels": {"accuracy": 5, "tone": 1}}


def test_levels_become_shares_and_their_mean_the_value() -> None:
    rubric = make_rubric({"accuracy": {1: "wrong", 5: "right"}, "tone": "is it polite?"}, 3)
    for text in (json.dumps(GOOD), f"\n{json.dumps(GOOD, indent=1)}\n", f"```json\n{json.dumps(GOOD)}\n```"):
        found = read_point(text, KEY, rubric)
        assert (found.value, found.levels, found.reason) == (0.5, {"accuracy": 5, "tone": 1}, "so")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "score: 5",
        "[[5]]",
        f"The verdict is {json.dumps(GOOD)}",
        f"{json.dumps(GOOD)} {json.dumps(GOOD)}",
        f"```json\n{json.dumps(GOOD)}\n```\n```json\n{json.dumps(GOOD)}\n```",
        json.dumps([GOOD]),
        json.dumps({**GOOD, "check": "KEY"}),
        json.dumps({**GOOD, "check": None}),
        json.dumps({**GOOD, "more": 1}),
        json.dumps({**GOOD, "reason": ["so"]}),
        json.dumps({key: item for key, item in GOOD.items() if key != "check"}),
        json.dumps({**GOOD, "levels": {"accuracy": 5}}),
        json.dumps({**GOOD, "levels": {"accuracy": 5, "tone": 4}}),
        json.dumps({**GOOD, "levels": {"accuracy": True, "tone": 1}}),
        json.dumps({**GOOD, "levels": {"accuracy": 4.5, "tone": 1}}),
        json.dumps({**GOOD, "levels": {"accuracy": "5", "tone": 1}}),
        json.dumps({**GOOD, "levels": 5}),
        json.dumps({**GOOD, "levels": {"accuracy": float("nan"), "tone": 1}}),
        json.dumps(GOOD)[:-1] + f', "check": "{KEY}"}}',
        "[" * 100_000,
        json.dumps({**GOOD, "reason": "x" * 30_000}),
    ],
)
def test_anything_else_is_no_verdict(text: str) -> None:
    with pytest.raises(UnreadableReplyError) as fault:
        read_point(text, KEY, make_rubric({"accuracy": {1: "wrong", 5: "right"}, "tone": "is it polite?"}, 3))
    # what is told to the judge again holds nothing of what was written
    assert len(str(fault.value)) < 100


def test_a_preference_is_of_what_was_shown() -> None:
    said = {"answer_1": "a", "answer_2": "b", "tie": "tie"}
    for better, choice in said.items():
        assert read_pair(json.dumps({"check": KEY, "reason": "", "better": better}), KEY).choice == choice
    for other in ("A", "[[A]]", "answer_3", None, ["answer_1"], {"answer_1": 1}):
        with pytest.raises(UnreadableReplyError):
            read_pair(json.dumps({"check": KEY, "reason": "", "better": other}), KEY)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_a_text_without_the_key_is_never_a_verdict(text: str) -> None:
    with pytest.raises(UnreadableReplyError):
        read_pair(text.replace(KEY, ""), KEY)
