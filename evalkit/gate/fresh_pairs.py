"""Pairs of fresh trials as a decision reads them: candidate and baseline, run at the same time on the same cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.gate.axis import CaseAxis
from evalkit.store.arrays import one_array
from evalkit.store.runs import RunFolder
from evalkit.store.segments import query_table

__all__ = ["FreshPairs", "read_pairs"]

Floats = NDArray[np.float64]
Cases = NDArray[np.intp]
Mask = NDArray[np.bool_]

_DAY_US = 24 * 3600 * 1_000_000
_PAIRS = """
SELECT n.case_id, n.trial, sn.grader, sn.passed::DOUBLE AS now, sb.passed::DOUBLE AS before
FROM read_parquet($now) AS n
JOIN read_parquet($base) AS b USING (case_id, trial)
JOIN read_parquet($now_scores) AS sn USING (case_id, trial)
JOIN read_parquet($base_scores) AS sb ON sb.case_id = n.case_id AND sb.trial = n.trial AND sb.grader = sn.grader
WHERE n.status = 'ok' AND b.status = 'ok' AND sn.status <> 'error' AND sb.status <> 'error'
    AND sn.passed IS NOT NULL AND sb.passed IS NOT NULL
    AND abs(n.started_us - b.started_us) <= $apart AND abs(n.started_us - $made) <= $age
ORDER BY n.case_id, n.trial
"""


@dataclass(frozen=True)
class FreshPairs:
    """What is known from running both sides at the same time: one row a pair and grader that judged both its trials."""

    graders: tuple[str, ...] = ()
    grader: Cases = field(default_factory=lambda: np.empty(0, np.intp))
    """Number of the grader of each row."""
    cases: Cases = field(default_factory=lambda: np.empty(0, np.intp))
    """Its case on the axis; the pairs of a case in the order of their making."""
    now: Floats = field(default_factory=lambda: np.empty(0))
    """Whether the candidate passed."""
    before: Floats = field(default_factory=lambda: np.empty(0))
    """Whether the baseline did."""
    calls: int = 0
    """Model calls that all pairs took."""
    cost_microusd: int = 0
    why: str = ""
    """Why there are no more of them, where somebody asked and did not get them."""
    possible: bool = True
    """Whether more could say anything; not where nothing differs but the target itself."""

    def without(self, cases: Mapping[str, Mask]) -> FreshPairs:
        """The same without some cases of some graders."""
        keep = np.ones(len(self.cases), bool)
        for name, mask in cases.items():
            if name in self.graders:
                keep &= ~((self.grader == self.graders.index(name)) & mask[self.cases])
        return self._taken(keep)

    def of(self, grader: str) -> FreshPairs:
        """The rows of one grader."""
        number = self.graders.index(grader) if grader in self.graders else -1
        return self._taken(self.grader == number)

    def _taken(self, keep: Mask) -> FreshPairs:
        return replace(
            self, grader=self.grader[keep], cases=self.cases[keep], now=self.now[keep], before=self.before[keep]
        )


def read_pairs(
    now: RunFolder, before: RunFolder, grading: str, axis: CaseAxis, *, created_us: int, days: int
) -> FreshPairs:
    """Read the pairs of two runs whose trials have the same numbers.

    A trial that failed or could not be graded makes no pair. Trials that were made more than a day apart are not of
    one time, and those of long ago not of now.

    Args:
        now: Fresh trials of the candidate.
        before: Fresh trials of the baseline.
        grading: Graders, that both runs were graded with.
        axis: The cases.
        created_us: When the candidate that is judged was made.
        days: Trials made longer before or after do not count.

    Raises:
        StoreError: when a segment cannot be read.
    """
    paths = {
        "now": now.trials_path,
        "base": before.trials_path,
        "now_scores": now.scores_path(grading),
        "base_scores": before.scores_path(grading),
    }
    given = {"apart": _DAY_US, "made": created_us, "age": days * _DAY_US}
    table = query_table(_PAIRS, list(paths.values()), {**{k: str(path) for k, path in paths.items()}, **given})
    table = table.filter(pc.is_in(table.column("case_id"), value_set=axis.ids))
    names = sorted(pc.unique(table.column("grader")).to_pylist())
    numbers = pc.index_in(table.column("grader"), value_set=pa.array(names, pa.string()))
    return FreshPairs(
        graders=tuple(names),
        grader=numbers.to_numpy().astype(np.intp),
        cases=axis.positions(one_array(table.column("case_id"), pa.string())),
        now=table.column("now").to_numpy(),
        before=table.column("before").to_numpy(),
    )
