"""What a successful answer took: of each case the mean of a measurement, and the share of trials that succeeded."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.gate.axis import CaseAxis
from evalkit.store.arrays import one_array
from evalkit.store.runs import RunFolder
from evalkit.store.segments import query_table

__all__ = ["Successes", "read_successes"]

Floats = NDArray[np.float64]

_SUCCESSES = """
WITH judged AS (
    SELECT case_id, trial,
        max(value) FILTER (grader = $measure AND status = 'ok' AND isfinite(value)) AS cost,
        min(CASE WHEN status = 'error' OR NOT passed THEN 0.0 WHEN passed THEN 1.0 END)
            FILTER (list_contains($quality, grader)) AS good
    FROM read_parquet($scores) WHERE status <> 'not_applicable' GROUP BY ALL
)
SELECT case_id, coalesce(avg(cost), 'nan'::DOUBLE) AS cost,
    coalesce(avg(good) FILTER (cost IS NOT NULL), 'nan'::DOUBLE) AS share,
    count(*) FILTER (cost IS NULL) AS unmeasured
FROM judged WHERE good IS NOT NULL GROUP BY case_id ORDER BY case_id
"""


@dataclass(frozen=True)
class Successes:
    """One run, on all cases of the axis. Trials that no quality grader judges are not in it."""

    cost: Floats
    """Mean measurement of the trials of each case, successful or not; NaN where there is none."""
    share: Floats
    """Share of these trials that every quality grader passed; a failed grader is no pass."""
    unmeasured: NDArray[np.int64]
    """Trials that were judged and not measured."""

    def only(self, cases: NDArray[np.bool_] | None) -> Successes:
        """The same, knowing nothing of any other case; all where there is no mask."""
        if cases is None:
            return self
        blank = np.where(cases, self.cost, np.nan), np.where(cases, self.share, np.nan)
        return Successes(*blank, np.where(cases, self.unmeasured, 0))


def read_successes(
    folder: RunFolder, grading: str, measure: str, quality: Collection[str], axis: CaseAxis
) -> Successes:
    """Read what the successes of a run took.

    Args:
        folder: The run.
        grading: Fingerprint of the graders.
        measure: Grader that measures.
        quality: Graders that say whether an answer is good.
        axis: The cases.

    Raises:
        StoreError: when the segment cannot be read.
    """
    path = folder.scores_path(grading)
    given = {"scores": str(path), "measure": measure, "quality": sorted(quality)}
    table = query_table(_SUCCESSES, [path], given)
    ids = one_array(table.column("case_id"), pa.string())
    return Successes(
        axis.place(ids, np.asarray(table.column("cost"), np.float64), np.nan),
        axis.place(ids, np.asarray(table.column("share"), np.float64), np.nan),
        axis.place(ids, np.asarray(table.column("unmeasured"), np.int64), 0),
    )
