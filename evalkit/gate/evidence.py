"""What the rules of a gate are judged on: two runs, joined case by case, and what is known about the cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.pairs import GraderPairs, Measurements, cluster_numbers, load_measurements, load_pairs, touched_cases
from evalkit.records import Case, GraderRef
from evalkit.store.runs import RunFolder

__all__ = ["Evidence", "load_evidence"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Evidence:
    """Two runs, case by case."""

    pairs: Mapping[str, GraderPairs]
    cases: Mapping[str, Case]
    """The candidate's golden set."""
    touched: frozenset[str]
    """Cases whose trials are not the very ones of the baseline."""
    graders: Sequence[GraderRef]
    candidate_run: str
    baseline_run: str
    grading: str
    golden_digest: str
    """Of the candidate's golden set."""
    measurements: Mapping[str, Measurements] = field(default_factory=dict)
    """The candidate's, trial by trial."""
    baseline_measurements: Mapping[str, Measurements] = field(default_factory=dict)
    common: frozenset[str] | None = None
    """Cases that are equal in two different golden sets; None where the sets are the same."""
    same_prices: bool = True
    """Whether each model that both configurations name has one price."""

    @property
    def quality(self) -> frozenset[str]:
        """Names of the graders that say whether an answer is good."""
        return frozenset(ref.name for ref in self.graders if ref.quality)

    def mask(self, pairs: GraderPairs, slice_name: str | None) -> Mask:
        """Cases of a slice; all where none is named."""
        return self.in_slice(np.asarray(pairs.case_ids, dtype=object), slice_name)

    def in_slice(self, case_ids: NDArray[np.object_], slice_name: str | None) -> Mask:
        """Which of the cases are in a slice; all where none is named."""
        if slice_name is None:
            return np.ones(len(case_ids), bool)
        key, _, value = slice_name.partition("=")
        inside = {case_id for case_id, case in self.cases.items() if case.slice_keys.get(key) == value}
        return np.asarray([case_id in inside for case_id in case_ids], bool)

    def touched_mask(self, pairs: GraderPairs) -> Mask:
        """Cases that could differ at all."""
        return np.asarray([case_id in self.touched for case_id in pairs.case_ids], bool)

    def clusters(self, pairs: GraderPairs) -> NDArray[np.int64]:
        """A number for the cluster of each case."""
        return cluster_numbers(pairs.case_ids, self.cases)

    def is_critical(self, case_id: str) -> bool:
        """Whether the case is one that must never fail."""
        return case_id in self.cases and self.cases[case_id].critical


def load_evidence(
    candidate: RunFolder, baseline: RunFolder, cases: Sequence[Case], *, trial_by_trial: bool
) -> Evidence:
    """Read two runs that were graded by the same set of graders.

    Args:
        candidate: The run to judge.
        baseline: The run to compare with; the candidate itself where there is none.
        cases: The candidate's golden set.
        trial_by_trial: Whether measurements of single trials are needed too.

    Raises:
        StoreError: when a segment cannot be read.
    """
    run, base = candidate.run, baseline.run
    same_set = run.golden_set.digest == base.golden_set.digest
    common = None if same_set else _common_cases(baseline, candidate)
    pairs = {name: _restrict(item, common) for name, item in load_pairs(baseline, candidate, run.grading).items()}
    return Evidence(
        pairs=pairs,
        cases={case.id: case for case in cases},
        touched=frozenset(touched_cases(baseline, candidate)),
        graders=run.graders,
        candidate_run=run.run_id,
        baseline_run=base.run_id,
        grading=run.grading,
        golden_digest=run.golden_set.digest,
        measurements=load_measurements(candidate, run.grading) if trial_by_trial else {},
        baseline_measurements=load_measurements(baseline, run.grading) if trial_by_trial else {},
        common=common,
        same_prices=all(base.model_prices.get(model, price) == price for model, price in run.model_prices.items()),
    )


def _common_cases(baseline: RunFolder, candidate: RunFolder) -> frozenset[str]:
    """Cases whose content is equal in both runs."""

    def digests(folder: RunFolder) -> set[tuple[str, str]]:
        table = folder.trials()
        return set(zip(table["case_id"].to_pylist(), table["case_digest"].to_pylist(), strict=True))

    return frozenset(case_id for case_id, _ in digests(baseline) & digests(candidate))


def _restrict(pairs: GraderPairs, common: frozenset[str] | None) -> GraderPairs:
    """Blank the baseline of cases that are not equal in both runs."""
    if common is None:
        return pairs
    equal = np.asarray([case_id in common for case_id in pairs.case_ids], bool)
    return replace(
        pairs,
        baseline_rate=np.where(equal, pairs.baseline_rate, np.nan),
        baseline_value=np.where(equal, pairs.baseline_value, np.nan),
        baseline_errors=np.where(equal, pairs.baseline_errors, 0),
        baseline_failures=np.where(equal, pairs.baseline_failures, 0),
    )
