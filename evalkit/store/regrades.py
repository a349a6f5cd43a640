"""What graders said when they were asked again about the same output: a segment beside the scores of a run.

A row names the output by the key of its trial and the run that executed it. So what was said once holds wherever the
trial is taken over, and judging again never asks anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.atomic import atomic_path
from evalkit.records import Score
from evalkit.store.runs import RunFolder, Runs
from evalkit.store.schema import REGRADE_SCHEMA, score_row, scores_from_rows, table_scores
from evalkit.store.segments import read_segment

__all__ = ["Regrade", "known_regrades", "read_regrades", "write_regrades"]

_FURTHER = ("trial_key", "source_run", "attempt")


@dataclass(frozen=True, slots=True)
class Regrade:
    """One more opinion of a grader on an output."""

    score: Score
    trial_key: str
    source_run: str
    """The run that executed the trial."""
    attempt: int
    """From 0."""

    @property
    def output(self) -> tuple[str, str, str]:
        """Which output, and whose opinion: key of the trial, run that executed it, fingerprint of the grader."""
        return self.trial_key, self.source_run, self.score.fingerprint


def read_regrades(folder: RunFolder, grading: str) -> list[Regrade]:
    """All of a run for a set of graders, in order; none where no grader was asked again.

    Raises:
        StoreError: when the segment cannot be read.
    """
    path = folder.regrades_path(grading)
    return _read(path) if path.exists() else []


def known_regrades(runs: Runs) -> dict[tuple[str, str, str], list[Regrade]]:
    """By output what was said of it in any run, where it was said most often.

    Raises:
        StoreError: when a segment cannot be read.
    """
    known: dict[tuple[str, str, str], list[Regrade]] = {}
    for path in sorted(runs.root.glob("runs/*/regrades-*.parquet")):
        mine: dict[tuple[str, str, str], list[Regrade]] = {}
        for item in _read(path):
            mine.setdefault(item.output, []).append(item)
        for output, items in mine.items():
            if len(items) > len(known.get(output, ())):
                known[output] = items
    return known


def _read(path: Path) -> list[Regrade]:
    table = read_segment(path)
    further = zip(*(table.column(name).to_pylist() for name in _FURTHER), strict=True)
    return [Regrade(score, *row) for score, row in zip(table_scores(table), further, strict=True)]


def write_regrades(folder: RunFolder, grading: str, regrades: Iterable[Regrade]) -> None:
    """Keep them beside the scores; they take the place of those that were there.

    Raises:
        StorageError: when the disk does not take it.
    """
    ordered = sorted(regrades, key=lambda item: (item.output, item.attempt))
    table = scores_from_rows(folder.run.run_id, [score_row(item.score) for item in ordered])
    for name in _FURTHER:
        field = REGRADE_SCHEMA.field(name)
        table = table.append_column(field, pa.array([getattr(item, name) for item in ordered], field.type))
    with atomic_path(folder.regrades_path(grading)) as partial:
        pq.write_table(table, partial, compression="zstd")
