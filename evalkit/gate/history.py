"""What earlier runs recorded of each case: of the baseline as it is, and of the candidate before now.

A trial belongs to the baseline where the first trial of its case in its run has the key that it has in the baseline:
nothing it depends on differs. So runs of any configuration add to the history of the cases that they left untouched.
Each executed trial counts once, however many runs have reused it. Where nothing differs and the candidate was made
anew, its own trials are the candidate's and all others are history.

History begins after the newest change point: what was recorded before the results changed (a vendor's new build) says
nothing about a trial of now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.gate.axis import CaseAxis
from evalkit.gate.fresh_pairs import FreshPairs
from evalkit.gate.words import count_of
from evalkit.stats.anchor import History
from evalkit.stats.changepoint import newest_change
from evalkit.store.arrays import one_array
from evalkit.store.runs import RunFolder, Runs
from evalkit.store.segments import query_table
from evalkit.workflow.gates import HistorySpec

__all__ = ["Drawn", "RecordedTrials", "executed_sql", "history_runs", "history_words", "read_history"]

Floats = NDArray[np.float64]
Cases = NDArray[np.intp]
Mask = NDArray[np.bool_]

_DAY_US = 24 * 3600 * 1_000_000
_CHANGE_LEVEL = 0.001
"""Chance that a history without a change is cut, over all graders."""

_EXECUTED = """\
WITH family AS (
  SELECT run_id, case_id, arg_min(trial_key, trial) AS family FROM {trials} GROUP BY run_id, case_id
), base AS (
  SELECT case_id, family FROM family WHERE run_id = {base}
), mine AS (
  SELECT case_id, family FROM family WHERE run_id = {mine}
), executed AS (
  SELECT t.run_id, t.case_id, t.trial, t.source_run,
         f.family IS NOT DISTINCT FROM m.family AND (
           f.family IS DISTINCT FROM b.family
           OR (bool_or(t.run_id = {mine}) OVER same AND NOT bool_or(t.run_id = {base}) OVER same)
         ) AS candidate
  FROM {trials} AS t JOIN family AS f USING (run_id, case_id)
  LEFT JOIN base AS b USING (case_id) LEFT JOIN mine AS m USING (case_id)
  WHERE (f.family = b.family OR f.family = m.family) AND t.status = 'ok'
  WINDOW same AS (PARTITION BY t.trial_key, t.source_run)
  QUALIFY row_number() OVER (PARTITION BY t.trial_key, t.source_run ORDER BY t.run_id) = 1
)"""
_ROWS = """\
{executed}, scored AS (
  SELECT e.*, s.grader, s.status, CASE WHEN s.status = 'error' THEN 0 ELSE s.passed::DOUBLE END AS score
  FROM executed AS e
  JOIN read_parquet($scores) AS s ON s.run_id = e.run_id AND s.case_id = e.case_id AND s.trial = e.trial
  WHERE s.status = 'error' OR s.passed IS NOT NULL
)
SELECT case_id, source_run, trial, candidate, grader, score, status = 'error' AS error
FROM scored WHERE candidate OR status <> 'error'
"""


def executed_sql(*, trials: str, base: str, mine: str) -> str:
    """Common table expressions up to ``executed``: each trial on record that was really made, once, and on which side.

    Args:
        trials: Where the trials of the runs that are looked at are read from.
        base: The baseline's run, as SQL writes it.
        mine: The candidate's.
    """
    return _EXECUTED.format(trials=trials, base=base, mine=mine)


@dataclass(frozen=True)
class Drawn:
    """Trials of the candidate that a grader judged, each case's in the order in which they were made."""

    cases: Cases
    """Their cases on the axis."""
    scores: Floats
    """One where the trial passed; an error counts as not passed."""
    errors: Mask


@dataclass(frozen=True)
class RecordedTrials:
    """All trials on record that bear on a comparison: one row each, in the order of their cases and of their making."""

    graders: tuple[str, ...]
    cases: Cases
    """Their cases on the axis, shape (trials,)."""
    rounds: Cases
    """Number of the run that made a trial, and of the trial in it: equal for trials that were made together."""
    candidate: Mask
    """Those of the candidate; the others are history."""
    scores: Floats
    """One where a trial passed, shape (trials, graders); NaN where the grader does not apply to it."""
    errors: Mask
    """Where a grader failed, same shape; counted as not passed, and never in history."""
    size: int
    """Cases of the axis."""
    made_by: Cases
    """Number of the run that made each trial, rising with time, shape (trials,)."""
    sources: tuple[str, ...] = ()
    """Those runs."""
    days: int = 0
    """Age of the oldest run looked at, when the candidate was made."""
    begins: str = ""
    """The run with which the history begins, where the results changed there."""
    fresh: FreshPairs | None = None
    """Candidate and baseline run side by side to confirm a block; None where no block is to be confirmed."""
    run_ids: tuple[str, ...] = ()
    """The runs that were looked at and have been graded alike, the two that are compared included."""

    @property
    def history_runs(self) -> int:
        """Runs that made the trials of the history."""
        return len(np.unique(self.made_by[~self.candidate]))

    def history(self, grader: str) -> History:
        """What is recorded of every case of the axis.

        Raises:
            ValueError: when the grader judged nothing at all.
        """
        scores = self.scores[:, self.graders.index(grader)]
        mine = ~self.candidate & ~np.isnan(scores)
        trials = np.bincount(self.cases[mine], minlength=self.size)
        return History.of(trials, np.bincount(self.cases[mine], scores[mine], minlength=self.size))

    def without(self, cases: Mapping[str, Mask]) -> RecordedTrials:
        """The same, blank for some cases of some graders."""
        scores = self.scores.copy()
        for grader, mask in cases.items():
            if grader in self.graders:
                scores[mask[self.cases], self.graders.index(grader)] = np.nan
        return replace(self, scores=scores, fresh=self.fresh and self.fresh.without(cases))

    def since_change(self, least: int) -> RecordedTrials:
        """The same without what was recorded before the results last changed, by any grader.

        Where most of the candidate's trials are older than that, they and the history are of one time, and all stays.

        Args:
            least: Fewest runs before and after a change.
        """
        cut = 0
        for column in range(len(self.graders)):
            rows = np.flatnonzero(~self.candidate & ~np.isnan(self.scores[:, column]))
            level = _CHANGE_LEVEL / len(self.graders)
            found = newest_change(
                self.cases[rows], self.made_by[rows], self.scores[rows, column], level=level, least=least
            )
            cut = max(cut, found.run if found else 0)
        old = self.made_by < cut
        if not cut or 2 * int((old & self.candidate).sum()) > int(self.candidate.sum()):
            return self
        # an old trial of the candidate stays where there is no newer one: a case without any could not be judged
        newer = np.bincount(self.cases[self.candidate & ~old], minlength=self.size) > 0
        keep = ~old | (self.candidate & ~newer[self.cases])
        return self._taken(keep, self.sources[cut])

    def _taken(self, keep: Mask, begins: str) -> RecordedTrials:
        return replace(
            self, cases=self.cases[keep], rounds=self.rounds[keep], candidate=self.candidate[keep],
            scores=self.scores[keep], errors=self.errors[keep], made_by=self.made_by[keep], begins=begins,
        )  # fmt: skip

    def drawn(self, grader: str) -> Drawn:
        """The candidate's trials that a grader judged.

        Raises:
            ValueError: when it judged none at all.
        """
        column = self.graders.index(grader)
        mine = self.candidate & ~np.isnan(self.scores[:, column])
        return Drawn(self.cases[mine], self.scores[mine, column], self.errors[mine, column])


def read_history(
    used: Sequence[RunFolder], candidate: RunFolder, baseline: RunFolder, axis: CaseAxis, min_trials: int
) -> RecordedTrials | None:
    """Read what runs recorded of the cases; None where there are no runs to read.

    Args:
        used: The runs, those of :func:`history_runs`; what is not graded by the candidate's graders tells nothing.
        candidate: The run to judge.
        baseline: The run it is compared with.
        axis: The cases.
        min_trials: Fewest runs before and after a change of the results, where the history is cut.

    Raises:
        StoreError: when a segment cannot be read.
    """
    if not used:
        return None
    grading = candidate.run.grading
    folders = [folder for folder in used if folder.scores_path(grading).exists()]
    trials = [folder.trials_path for folder in folders]
    scores = [folder.scores_path(grading) for folder in folders]
    given = {
        "trials": list(map(str, trials)),
        "scores": list(map(str, scores)),
        "base": baseline.run.run_id,
        "mine": candidate.run.run_id,
    }
    executed = executed_sql(trials="read_parquet($trials)", base="$base", mine="$mine")
    table = query_table(_ROWS.format(executed=executed), [*trials, *scores], given)
    oldest = min(folder.run.created_us for folder in folders)
    days = max(1, -(-(candidate.run.created_us - oldest) // _DAY_US))
    found = replace(_recorded(table, axis), days=days, run_ids=tuple(folder.run.run_id for folder in folders))
    return found.since_change(min_trials)


def history_words(recorded: RecordedTrials, touched: Mask) -> str:
    """How much history there is of the touched cases, and how old it is; empty where there is none."""
    trials = np.max([recorded.history(name).trials for name in recorded.graders], axis=0, initial=0)[touched]
    if not len(trials) or not trials.any():
        return ""
    known = int((trials > 0).sum())
    of_all = "each" if known == len(trials) else f"{known:,} of {len(trials):,}"
    days = "day" if recorded.days == 1 else f"{recorded.days} days"
    said = (
        f"History: {count_of(recorded.history_runs, 'run')} of the last {days}, "
        f"{np.median(trials):g} recorded trials of the middle case; {of_all} of the touched cases has some."
    )
    return f"{said} It begins at run {recorded.begins}: results changed there." if recorded.begins else said


def _recorded(table: pa.Table, axis: CaseAxis) -> RecordedTrials:
    """Rows of trials and graders as one row a trial."""
    known = pc.is_in(table.column("case_id"), value_set=axis.ids)
    table = table.filter(known)
    cases = axis.positions(one_array(table.column("case_id"), pa.string()))
    graders, column = _coded(table.column("grader"))
    sources, source = _coded(table.column("source_run"))
    trial = table.column("trial").to_numpy().astype(np.int64)
    rounds = source * (int(trial.max(initial=0)) + 1) + trial
    # case by case, in the order of their making: run ids rise with time
    keys, rows = np.unique(cases * ((len(sources) + 1) * (int(trial.max(initial=0)) + 1)) + rounds, return_inverse=True)
    shape = len(keys), len(graders)
    scores, errors = np.full(shape, np.nan), np.zeros(shape, bool)
    scores[rows, column] = table.column("score").to_numpy()
    errors[rows, column] = np.asarray(table.column("error"))
    of_case, of_round, mine = np.zeros(shape[0], np.intp), np.zeros(shape[0], np.intp), np.zeros(shape[0], bool)
    made_by = np.zeros(shape[0], np.intp)
    of_case[rows], of_round[rows], mine[rows] = cases, rounds, np.asarray(table.column("candidate"))
    made_by[rows] = source
    return RecordedTrials(graders, of_case, of_round, mine, scores, errors, len(axis), made_by, sources)


def _coded(column: Any) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Distinct texts in order, and the number of each row's."""
    names = sorted(pc.unique(column).to_pylist())
    codes = pc.index_in(column, value_set=pa.array(names, pa.string()))
    return tuple(names), codes.to_numpy().astype(np.int64)


def history_runs(
    runs: Runs, candidate: RunFolder, baseline: RunFolder, axis: CaseAxis, spec: HistorySpec
) -> list[RunFolder]:
    """The two runs, and the newest before the candidate that are not too old; none where history is not read.

    It is not where it is switched off, or the golden set is too large.

    Args:
        runs: The store.
        candidate: The run to judge; runs after it tell nothing.
        baseline: The run it is compared with.
        axis: The cases.
        spec: How many runs, and of what age.
    """
    if not spec.runs or len(axis) > spec.most_cases:
        return []
    run = candidate.run
    found = {candidate.path: candidate, baseline.path: baseline}
    for folder in runs.newest_first(run.workflow):
        then = folder.run
        if len(found) >= spec.runs + 2 or run.created_us - then.created_us > spec.days * _DAY_US:
            break
        if then.created_us <= run.created_us:
            found.setdefault(folder.path, folder)
    return list(found.values())
