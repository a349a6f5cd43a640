"""SummEdits: groundedness on data of another kind, against the verdicts of people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evalkit.grading.verification import Figure, Verification
from evalkit_graders.verification.grounded import agreement, cross_fitted, graded, read_rows

__all__ = ["VERIFICATION"]

FILE = "summedits.parquet"
DATA = ("summedits", "SummEdits")


def measure(folder: Path) -> Iterator[Figure]:
    """AUROC without training, and of calibrations that are cross-fitted by source."""
    answers = graded(read_rows(folder / FILE))
    yield from agreement(answers, answers.value, "without training", data=DATA, goals={}, each=False)
    held = cross_fitted(answers, by_model=False)
    note = "a calibration for each domain, ten folds by source"
    yield from agreement(answers, held, "calibrated, source held out", data=DATA, goals={}, note=note, each=False)


VERIFICATION = Verification(
    name="summedits",
    graders=("groundedness",),
    files=(FILE,),
    about="Summaries and edits of them that keep or break their truth, judged by people (SummEdits, Apache-2.0).",
    measure=measure,
)
