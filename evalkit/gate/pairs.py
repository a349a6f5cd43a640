"""Scores of two runs, case by case, computed by DuckDB over the Parquet segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.records import Case
from evalkit.store.runs import RunFolder
from evalkit.store.segments import query_segments

__all__ = ["GraderPairs", "Measurements", "cluster_numbers", "load_measurements", "load_pairs", "touched_cases"]

Floats = NDArray[np.float64]

_RATES = """
    SELECT grader, case_id,
           avg(CASE WHEN status = 'error' OR NOT passed THEN 0.0 WHEN passed THEN 1.0 END) AS rate,
           avg(value) FILTER (status = 'ok' AND isfinite(value)) AS value,
           count(*) FILTER (status = 'ok' AND NOT passed) AS failures,
           count(*) FILTER (status = 'error' OR NOT isfinite(value)) AS errors,
           count(*) FILTER (status = 'ok' AND passed IS NULL) AS undecided
    FROM read_parquet(?)
    WHERE status <> 'not_applicable'
    GROUP BY grader, case_id
"""
_PAIRS = f"""
    SELECT coalesce(b.grader, c.grader) AS grader, coalesce(b.case_id, c.case_id) AS case_id,
           b.rate AS baseline_rate, c.rate AS candidate_rate,
           b.value AS baseline_value, c.value AS candidate_value,
           coalesce(b.failures, 0) AS baseline_failures, coalesce(c.failures, 0) AS failures,
           coalesce(b.errors, 0) AS baseline_errors, coalesce(c.errors, 0) AS errors,
           coalesce(c.undecided, 0) AS undecided
    FROM ({_RATES}) AS b FULL JOIN ({_RATES}) AS c ON b.grader = c.grader AND b.case_id = c.case_id
    ORDER BY 1, 2
"""  # noqa: S608 - the text is a constant of this module
_TOUCHED = """
    SELECT DISTINCT coalesce(b.case_id, c.case_id) AS case_id
    FROM read_parquet(?) AS b FULL JOIN read_parquet(?) AS c
      ON b.case_id = c.case_id AND b.trial_key = c.trial_key AND b.source_run = c.source_run
    WHERE (b.case_id IS NULL OR c.case_id IS NULL)
      AND coalesce(b.case_id, c.case_id) IN (SELECT case_id FROM read_parquet(?))
"""


@dataclass(frozen=True)
class GraderPairs:
    """One grader on all cases that either run has a score of: arrays in case order.

    ``rate`` is the share of trials passed, an error counting as not passed; NaN where a side has no score,
    or the grader only measures. ``value`` is the mean measurement, NaN where there is none.
    """

    grader: str
    case_ids: tuple[str, ...]
    baseline_rate: Floats
    candidate_rate: Floats
    baseline_value: Floats
    candidate_value: Floats
    failures: NDArray[np.int64]
    """Trials of the candidate that were graded and did not pass, by case."""
    baseline_failures: NDArray[np.int64]
    errors: NDArray[np.int64]
    """Rows of the candidate that say nothing, by case: the trial or the grader failed, or the value is no number."""
    baseline_errors: NDArray[np.int64]
    undecided: NDArray[np.int64]
    """Trials of the candidate that were measured but neither passed nor failed, by case."""

    @property
    def baseline_usable(self) -> NDArray[np.bool_]:
        """Cases that the baseline knows something about: a failed grader there must not excuse a failure here."""
        return np.asarray(self.baseline_errors == 0)


def load_pairs(baseline: RunFolder, candidate: RunFolder, grading: str) -> dict[str, GraderPairs]:
    """Join two runs that were graded by the same set of graders, by case and grader.

    Raises:
        StoreError: when a segment cannot be read.
    """
    rows = query_segments(_PAIRS, [baseline.scores_path(grading), candidate.scores_path(grading)])
    names = np.asarray(rows["grader"], dtype=object)
    found = {}
    for name in dict.fromkeys(names.tolist()):
        mask = names == name
        found[str(name)] = GraderPairs(
            grader=str(name),
            case_ids=tuple(np.asarray(rows["case_id"], dtype=object)[mask].tolist()),
            baseline_rate=_floats(rows["baseline_rate"], mask),
            candidate_rate=_floats(rows["candidate_rate"], mask),
            baseline_value=_floats(rows["baseline_value"], mask),
            candidate_value=_floats(rows["candidate_value"], mask),
            failures=_whole(rows["failures"], mask),
            baseline_failures=_whole(rows["baseline_failures"], mask),
            errors=_whole(rows["errors"], mask),
            baseline_errors=_whole(rows["baseline_errors"], mask),
            undecided=_whole(rows["undecided"], mask),
        )
    return found


def _floats(column: Any, mask: NDArray[np.bool_]) -> Floats:
    filled = np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan)
    return np.asarray(filled, dtype=np.float64)[mask]


def _whole(column: Any, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.asarray(column)[mask].astype(np.int64)


@dataclass(frozen=True)
class Measurements:
    """What a grader measured in each trial of a run: two arrays of the same length."""

    case_ids: NDArray[np.object_]
    values: Floats


def load_measurements(run: RunFolder, grading: str) -> dict[str, Measurements]:
    """The measurements of a run trial by trial, by grader; trials without one are left out.

    Raises:
        StoreError: when the segment cannot be read.
    """
    rows = query_segments(
        "SELECT grader, case_id, value FROM read_parquet(?) "
        "WHERE status = 'ok' AND isfinite(value) ORDER BY grader, case_id, trial",
        [run.scores_path(grading)],
    )
    names = np.asarray(rows["grader"], dtype=object)
    return {
        str(name): Measurements(np.asarray(rows["case_id"], dtype=object)[mask], _floats(rows["value"], mask))
        for name in dict.fromkeys(names.tolist())
        for mask in [names == name]
    }


def touched_cases(baseline: RunFolder, candidate: RunFolder) -> set[str]:
    """Cases of the candidate whose trials are not the same ones in both runs.

    A trial is the same where its key is equal, so that nothing it depends on differs, and it was executed
    once for both. Trials made again under an equal key are new evidence: a vendor may have changed.

    Raises:
        StoreError: when a segment cannot be read.
    """
    rows = query_segments(_TOUCHED, [baseline.trials_path, candidate.trials_path, candidate.trials_path])
    return {str(case_id) for case_id in rows["case_id"].tolist()}


def cluster_numbers(case_ids: tuple[str, ...], cases: Mapping[str, Case]) -> NDArray[np.int64]:
    """A number for the cluster of each case."""
    keys = [cases[case_id].cluster_key if case_id in cases else case_id for case_id in case_ids]
    _, numbers = np.unique(np.asarray(keys, dtype=str), return_inverse=True)
    return np.asarray(numbers, dtype=np.int64)
