"""The comment of each shape, character by character.

After a change that is meant: EVALKIT_UPDATE_GOLDEN=1 pytest tests/reports/test_markdown_golden.py, then read the diff.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from evalkit._version import __version__
from evalkit.gate.report import Report, renderer

from .comment_shapes import SHAPES, regressions
from .reviewed import GOLDEN, reviewed

VISIBLE_LINES = 60


def comment(report: Report) -> str:
    return renderer("markdown")(report).replace(f"evalkit {__version__}", "evalkit X")


@pytest.mark.parametrize("name", SHAPES)
def test_the_comment_is_that_of_its_golden_file(name: str) -> None:
    text = comment(SHAPES[name]())
    assert reviewed(f"{name}.md", text) == text


def test_there_is_no_golden_file_of_nothing() -> None:
    assert {file.stem for file in GOLDEN.glob("*.md")} == set(SHAPES)


@pytest.mark.parametrize("name", sorted(SHAPES.keys() - {"hostile"}))
def test_what_is_not_folded_fits_a_screen_or_two(name: str) -> None:
    shown = re.sub(r"(?s)<details>.*?</details>", "", comment(SHAPES[name]()))
    assert len([line for line in shown.splitlines() if line.strip()]) <= VISIBLE_LINES


@pytest.mark.parametrize("limit", [10_000, 30_000, 60_000])
@pytest.mark.parametrize("words", [5, 60, 20_000])
def test_each_stage_keeps_verdict_gate_changes_and_next_step(limit: int, words: int) -> None:
    text = renderer("markdown")(Report((regressions(5_000, words),), limit=limit))
    assert len(text) <= limit
    places = [
        text.index(part)
        for part in (
            "evalkit: BLOCKED",
            "| **critical cases** | 0 | 5000 | +5000 | ✖ blocks: at most 0 |",
            "**What changed**",
            "**Cases behind the block (5000)**",
            "**Do one of**",
        )
    ]
    assert places == sorted(places)
    assert "the report" in text


def test_what_is_dropped_first_is_what_matters_least() -> None:
    """Improvements, caveats, other regressions, then diffs of cases but for the first; the first goes last."""
    kept: list[list[bool]] = []
    report = SHAPES["blocked-critical"]()
    for limit in range(7_000, 1_500, -50):
        text = renderer("markdown")(Report(report.verdicts, limit=limit))
        signs = (
            "**Got better**",
            "Not covered, caveats",
            "**Got worse**",
            "support-0002</code>",
            "support-0001</code>",
        )
        kept.append([sign in text for sign in signs])
    for before, after in pairwise(kept):
        assert all(was or not still for was, still in zip(before, after, strict=True)), "nothing comes back"
    assert all(row == sorted(row) for row in kept)
    assert len({tuple(row) for row in kept}) >= 5


def test_a_difference_at_the_end_of_long_answers_is_seen() -> None:
    report = SHAPES["blocked-critical"]()
    first, *rest = report.verdicts[0].cases
    long = "the same words " * 200
    case = replace(
        first, baseline_calls=(), candidate_calls=(), baseline_answer=f"{long}yes", candidate_answer=f"{long}no"
    )
    text = renderer("markdown")(Report((replace(report.verdicts[0], cases=(case, *rest)),)))
    assert re.search(r"^- … (the same words )+yes$", text, re.MULTILINE) or re.search(r"(?m)^- … .*yes$", text)
    assert re.search(r"(?m)^\+ … .*no$", text)
