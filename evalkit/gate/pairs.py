"""Scores of two runs, case by case, computed by DuckDB over the Parquet segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from evalkit.records import Case
from evalkit.store.runs import RunFolder

__all__ = ["GraderPairs", "cluster_numbers", "load_pairs", "touched_cases"]

Floats = NDArray[np.float64]

_RATES = """
    SELECT grader, case_id,
           count(*) AS trials,
           avg(CASE WHEN status = 'error' OR NOT passed THEN 0.0 WHEN passed THEN 1.0 END) AS rate,
           avg(value) FILTER (status = 'ok') AS value,
           count(*) FILTER (status = 'error') AS errors
    FROM read_parquet(?)
    WHERE status <> 'not_applicable'
    GROUP BY grader, case_id
"""


@dataclass(frozen=True)
class GraderPairs:
    """One grader on all cases that either run has: arrays in case order, NaN where a side has no score.

    ``rate`` is the share of trials passed, an error counting as not passed; NaN where the grader
    only measures. ``value`` is the mean measurement.
    """

    grader: str
    case_ids: tuple[str, ...]
    baseline_rate: Floats
    candidate_rate: Floats
    baseline_value: Floats
    candidate_value: Floats
    errors: NDArray[np.int64]
    """Error rows of the candidate, by case."""
    baseline_errors: NDArray[np.int64]

    def paired(self, keep: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Cases with a pass rate on both sides."""
        both = ~np.isnan(self.baseline_rate) & ~np.isnan(self.candidate_rate)
        return both if keep is None else both & keep


def load_pairs(baseline: RunFolder, candidate: RunFolder, grading: str) -> dict[str, GraderPairs]:
    """Join two runs that were graded by the same set of graders, by case and grader."""
    connection = duckdb.connect()
    try:
        rows = connection.execute(
            f"""
            SELECT coalesce(b.grader, c.grader) AS grader, coalesce(b.case_id, c.case_id) AS case_id,
                   b.rate AS base_rate, c.rate AS cand_rate, b.value AS base_value, c.value AS cand_value,
                   coalesce(c.errors, 0) AS errors, coalesce(b.errors, 0) AS base_errors
            FROM ({_RATES}) AS b FULL JOIN ({_RATES}) AS c ON b.grader = c.grader AND b.case_id = c.case_id
            ORDER BY 1, 2
            """,  # noqa: S608 - the text is a constant of this module
            [str(baseline.scores_path(grading)), str(candidate.scores_path(grading))],
        ).fetchnumpy()
    finally:
        connection.close()
    return _split(rows)


def _split(rows: Mapping[str, Any]) -> dict[str, GraderPairs]:
    names = np.asarray(rows["grader"], dtype=object)
    found = {}
    for name in dict.fromkeys(names.tolist()):
        mask = names == name
        found[str(name)] = GraderPairs(
            grader=str(name),
            case_ids=tuple(np.asarray(rows["case_id"], dtype=object)[mask].tolist()),
            baseline_rate=_floats(rows["base_rate"], mask),
            candidate_rate=_floats(rows["cand_rate"], mask),
            baseline_value=_floats(rows["base_value"], mask),
            candidate_value=_floats(rows["cand_value"], mask),
            errors=np.asarray(rows["errors"])[mask].astype(np.int64),
            baseline_errors=np.asarray(rows["base_errors"])[mask].astype(np.int64),
        )
    return found


def _floats(column: Any, mask: NDArray[np.bool_]) -> Floats:
    filled = np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan)
    return np.asarray(filled, dtype=np.float64)[mask]


def touched_cases(baseline: RunFolder, candidate: RunFolder) -> set[str]:
    """Cases of the candidate with a trial whose key the baseline does not have: something it depends on differs."""
    return _touched(baseline.path / "trials.parquet", candidate.path / "trials.parquet")


def _touched(baseline: Path, candidate: Path) -> set[str]:
    connection = duckdb.connect()
    try:
        rows = connection.execute(
            "SELECT DISTINCT case_id FROM read_parquet(?) "
            "WHERE trial_key NOT IN (SELECT trial_key FROM read_parquet(?))",
            [str(candidate), str(baseline)],
        ).fetchall()
    finally:
        connection.close()
    return {row[0] for row in rows}


def cluster_numbers(case_ids: tuple[str, ...], cases: Mapping[str, Case]) -> NDArray[np.int64]:
    """A number for the cluster of each case."""
    keys = [cases[case_id].cluster_key if case_id in cases else case_id for case_id in case_ids]
    _, numbers = np.unique(np.asarray(keys, dtype=str), return_inverse=True)
    return np.asarray(numbers, dtype=np.int64)
