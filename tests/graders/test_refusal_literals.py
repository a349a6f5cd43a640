"""What every match of an expression holds: against texts drawn from the expressions themselves."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit_graders.refusal.cues import LANGUAGES, Cue, Reader, _expressions
from evalkit_graders.refusal.literals import alternatives, needed


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("abc", ("abc",)),
        ("ab?c", ()),
        ("abcd?e", ("abc",)),
        ("(?:cat|dog)s", ("cat", "dog")),
        ("(?:cat|dog)? stays", (" stays",)),
        ("(?:cat|d)", ()),
        (r"\bcat\b", ("cat",)),
        (r"[abc]{2}", ()),
        (r"x[a(]yz", ("yz",)),
        (r"(?!not )sure", ("sure",)),
        (r"(?:a|(?:bc|de)f){1,3}xy", ("xy",)),
        (r"(?:cat){0,2}", ()),
        ("cat|dog", ("cat", "dog")),
        ("cat|.", ()),
    ],
)
def test_what_an_expression_needs(pattern: str, found: tuple[str, ...]) -> None:
    assert needed(pattern) == found


def test_alternatives_on_the_outermost_level() -> None:
    assert list(alternatives(r"a|(?:b|c)|[|]|\|d")) == ["a", "(?:b|c)", "[|]", r"\|d"]


@pytest.mark.parametrize("cue", get_args(Cue))
@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_cue_is_found_in_every_text_that_it_describes(cue: Cue, data: st.DataObject) -> None:
    expression = data.draw(st.sampled_from(_expressions(cue, LANGUAGES)))
    text = data.draw(st.from_regex(expression.pattern))
    assert Reader(LANGUAGES).says(cue, text)
