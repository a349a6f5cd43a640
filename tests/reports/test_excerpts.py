"""Excerpts fit their width, and two of a pair show where the texts part."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from evalkit_reports.excerpts import cut, cut_pair

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=400)


@given(TEXTS, st.integers(2, 200))
def test_an_excerpt_fits(text: str, width: int) -> None:
    shown = cut(text, width)
    assert cell_len(shown) <= width
    line = " ".join(text.split())
    assert shown == line or (shown.endswith("…") and line.startswith(shown[:-1].rstrip()[:1]))


@given(TEXTS, TEXTS, TEXTS, st.integers(30, 150))
def test_a_pair_fits(prefix: str, before: str, after: str, width: int) -> None:
    assert all(cell_len(line) <= width for line in cut_pair(f"{prefix} {before}", f"{prefix} {after}", width))


@given(st.integers(0, 200), st.integers(30, 150), st.integers(0, 100))
def test_the_first_difference_is_seen(alike: int, width: int, rest: int) -> None:
    same, more = "word " * alike, "word " * rest
    before, after = cut_pair(f"{same}old {more}", f"{same}new {more}", width)
    assert "old" in before
    assert "new" in after


def test_wide_signs_count_for_two() -> None:
    assert cut("漢字" * 10, 9) == "漢字漢字…"


def test_a_huge_pair_is_cut_before_it_is_compared() -> None:
    before, after = cut_pair("x" * 2_000_000, "y" * 2_000_000, 60)
    assert (before, after) == ("x" * 59 + "…", "y" * 59 + "…")
