"""The scores that say that an answer is not good, and the kind of failure that they name."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from evalkit.records import Score
from evalkit.store.runs import RunFolder
from evalkit.store.schema import table_scores
from evalkit.store.segments import read_rows

__all__ = ["failing_scores", "kind_of"]


def failing_scores(folder: RunFolder, grading: str, case_ids: Sequence[str], graders: Collection[str]) -> list[Score]:
    """Failing scores of some cases by some graders, in canonical order; an error says nothing of the answer.

    Raises:
        StoreError: when the segment cannot be read.
    """
    if not len(case_ids):
        return []
    return [
        score
        for score in table_scores(read_rows(folder.scores_path(grading), case_ids))
        if score.status == "ok" and score.passed is False and score.grader in graders
    ]


def kind_of(score: Score) -> str:
    """The kind of a failure: the label of the grader."""
    return score.label or "failed"
