"""What the rules of a gate are judged on: two runs, joined case by case, and what is known about the cases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.axis import CaseAxis
from evalkit.gate.golden import CaseColumns, GoldenCases
from evalkit.gate.history import RecordedTrials
from evalkit.gate.pairs import GraderPairs, load_pairs
from evalkit.gate.successes import Successes, read_successes
from evalkit.gate.trials import (
    CaseTrials,
    Lags,
    common_cases,
    count_trials,
    count_trials_like,
    read_lags,
    touched_cases,
)
from evalkit.records import GraderRef
from evalkit.store.runs import RunFolder

__all__ = ["Evidence", "Recorder", "Subject", "load_evidence"]

Mask = NDArray[np.bool_]
Recorder = Callable[[CaseAxis], RecordedTrials | None]


@dataclass(frozen=True)
class Subject:
    """What is compared with what, as the SQL of a rule names it."""

    candidate_run: str
    baseline_run: str
    grading: str
    golden_digest: str
    """Of the candidate's golden set."""
    common_only: bool = False
    """The golden sets differ, and only the cases that are equal in both are compared."""


@dataclass(frozen=True)
class Evidence:
    """Two runs, case by case. Arrays and masks have one entry for each case of the axis."""

    subject: Subject
    axis: CaseAxis
    pairs: Mapping[str, GraderPairs]
    golden: GoldenCases
    columns: CaseColumns
    """The candidate's golden set on the axis."""
    known: Mask
    """Cases of the candidate's golden set."""
    seen: Mask
    """Cases that either run has a score of."""
    touched: Mask
    """Cases whose trials are not the very ones of the baseline."""
    graders: Sequence[GraderRef]
    trials: NDArray[np.int32]
    """Trials of the candidate."""
    baseline_trials: NDArray[np.int32]
    rows: tuple[Mapping[str, int], Mapping[str, int]]
    """Scores of each grader, of the baseline and of the candidate."""
    common: Mask | None = None
    """Cases that are equal in two different golden sets; None where the sets are the same."""
    repriced: Sequence[str] = ()
    """Models that both configurations name and whose price is another one now."""
    configuration: str = ""
    """Fingerprint of the candidate's configuration."""
    recorded: RecordedTrials | None = None
    """What earlier runs tell of the cases."""
    lags: tuple[Lags, Lags] | None = None
    """How far the client lagged in the baseline and the candidate, where a rule on latency asks for it."""
    successes: Mapping[str, tuple[Successes, Successes]] = field(default_factory=dict)
    """By grader what successes took, before and now, where a rule asks for it."""

    @property
    def quality(self) -> frozenset[str]:
        """Names of the graders that say whether an answer is good."""
        return frozenset(ref.name for ref in self.graders if ref.quality)

    @cached_property
    def quality_pairs(self) -> Mapping[str, GraderPairs]:
        """Both sides of these graders."""
        return {name: item for name, item in self.pairs.items() if name in self.quality}

    def in_slice(self, slice_name: str | None) -> Mask:
        """Cases of a slice; all where none is named."""
        if slice_name is None:
            return self.axis.everything
        key, _, value = slice_name.partition("=")
        slicing = self.columns.slices.get(key)
        if slicing is None or value not in slicing.values:
            return np.zeros(len(self.axis), bool)
        return np.asarray(slicing.codes == list(slicing.values).index(value))

    def clusters_of(self, cases: Mask) -> NDArray[np.int32] | None:
        """A number for the cluster of each of these cases; None where every case is its own."""
        return None if self.columns.clusters is None else self.columns.clusters[cases]


def load_evidence(
    candidate: RunFolder,
    baseline: RunFolder,
    golden: GoldenCases,
    *,
    measured: Collection[str] = (),
    lags: bool = False,
    per_success: Collection[str] = (),
    history: Recorder | None = None,
) -> Evidence:
    """Read two runs that were graded by the same set of graders.

    Args:
        candidate: The run to judge.
        baseline: The run to compare with; the candidate itself where there is none.
        golden: The candidate's golden set.
        measured: Graders whose measurements a rule looks at; of the others only what they decided is kept.
        lags: Whether a rule looks at latency.
        per_success: Graders whose measurements a rule sets against the successes.
        history: Reads what earlier runs tell of the cases of an axis.

    Raises:
        StoreError: when a segment cannot be read.
    """
    run, base = candidate.run, baseline.run
    same_set = run.golden_set.digest == base.golden_set.digest
    columns = golden.columns()
    made = count_trials(candidate, columns.ids)
    known = count_trials_like(made, candidate, baseline)
    pairs = load_pairs(baseline, candidate, run.grading, [columns.ids, made.ids, known.ids], measured)
    axis = pairs.axis
    quality = [ref.name for ref in run.graders if ref.quality]
    common = None if same_set else axis.mask(common_cases(baseline, candidate))
    touched = touched_cases(baseline, candidate, axis)
    return Evidence(
        subject=Subject(run.run_id, base.run_id, run.grading, run.golden_set.digest, common is not None),
        axis=axis,
        pairs={name: _restrict(item, common) for name, item in pairs.graders.items()},
        golden=golden,
        columns=columns.over(axis),
        known=axis.mask(columns.ids),
        seen=pairs.seen,
        touched=touched,
        graders=run.graders,
        trials=_placed(made, axis),
        baseline_trials=_placed(known, axis),
        rows=pairs.rows,
        common=common,
        repriced=sorted(
            model for model, price in run.model_prices.items() if base.model_prices.get(model, price) != price
        ),
        lags=(read_lags(baseline, axis), read_lags(candidate, axis)) if lags else None,
        configuration=run.configuration.fingerprint,
        successes={
            name: (
                read_successes(baseline, run.grading, name, quality, axis).only(common),
                read_successes(candidate, run.grading, name, quality, axis),
            )
            for name in per_success
        },
        recorded=history(axis) if history is not None and touched.any() else None,
    )


def _placed(trials: CaseTrials, axis: CaseAxis) -> NDArray[np.int32]:
    return axis.place(trials.ids, trials.counts, 0)


def _restrict(pairs: GraderPairs, common: Mask | None) -> GraderPairs:
    """Blank the baseline of cases that are not equal in both runs."""
    return pairs if common is None else replace(pairs, before=pairs.before.only(common))
