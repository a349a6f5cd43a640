"""Word differences: the pieces give back both texts, whatever they are, in bounded time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit_reports.worddiff import word_diff

TEXT = st.lists(
    st.sampled_from(["free", "delivery", "50", "euros", ".", " ", "\n", "é", "漢字", "\u202e"]), max_size=30
)


def sides(before: str, now: str) -> tuple[str, str]:
    """Both texts, from the pieces."""
    pieces = word_diff(before, now)
    assert all(piece.text for piece in pieces)
    assert all(left.kind != right.kind for left, right in pairwise(pieces))
    return (
        "".join(piece.text for piece in pieces if piece.kind != "new"),
        "".join(piece.text for piece in pieces if piece.kind != "gone"),
    )


@settings(deadline=None)
@given(TEXT.map(" ".join) | st.text(), TEXT.map(" ".join) | st.text())
def test_the_pieces_give_back_both_texts(before: str, now: str) -> None:
    assert sides(before, now) == (before, now)


def test_one_word_that_changed_is_the_only_difference() -> None:
    changed = [(piece.kind, piece.text.strip()) for piece in word_diff("from 50 euros on", "from 75 euros on")]
    assert [piece for piece in changed if piece[0] != "same"] == [("gone", "50"), ("new", "75")]


@settings(deadline=None)
@given(st.text())
def test_equal_texts_do_not_differ(text: str) -> None:
    assert all(piece.kind == "same" for piece in word_diff(text, text))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("word", ["a ", "a b ", "x", ". ", " ", "\n"])
def test_long_texts_are_compared_in_bounded_time(word: str) -> None:
    before, now = word * 60_000, f"{word * 30_000}changed {word * 29_000}"
    assert sides(before, now) == (before, now)
    assert sides(before, now[::-1]) == (before, now[::-1])
