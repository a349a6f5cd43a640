"""Critical cases: every failure counts, whatever the statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evalkit.gate.evidence import Evidence
from evalkit.gate.sql import critical_sql
from evalkit.gate.verdict import RuleResult, RuleStatus
from evalkit.gate.words import count_of
from evalkit.records import Run
from evalkit.stats import zero_failures_bound
from evalkit.workflow.gates import GateSpec

__all__ = ["critical_results"]


@dataclass(frozen=True)
class _Critical:
    """Critical cases that the run holds, by what became of them."""

    graded: frozenset[str]
    failed: frozenset[str]
    failed_before: frozenset[str]
    ungraded: frozenset[str]
    """No quality grader said anything about them."""


def critical_results(run: Run, evidence: Evidence, spec: GateSpec, *, compared: bool) -> list[RuleResult]:
    """The rule on critical cases; none where it is switched off or the run holds no critical case.

    Args:
        run: The candidate.
        evidence: The candidate and what it is compared with.
        spec: The gate.
        compared: Whether there is a baseline to tell new failures by.
    """
    if spec.critical is None:
        return []
    found = _sort_out(evidence)
    if not found.graded and not found.ungraded:
        return []
    status, sentence = _status(run, found, spec.critical, compared=compared)
    shown = found.failed or found.ungraded
    return [
        RuleResult(
            id="critical cases",
            status=status,
            sentence=sentence,
            metric="failures",
            unit="count",
            n=len(found.graded),
            baseline=float(len(found.failed_before)) if compared else None,
            candidate=float(len(found.failed)),
            limit=float(spec.critical),
            cases=tuple(sorted(shown, key=lambda case_id: (case_id in found.failed_before, case_id))),
            sql=critical_sql(evidence),
        )
    ]


def _sort_out(evidence: Evidence) -> _Critical:
    present: set[str] = set()
    graded: set[str] = set()
    failed: set[str] = set()
    before: set[str] = set()
    for name, item in evidence.pairs.items():
        for index, case_id in enumerate(item.case_ids):
            if not evidence.is_critical(case_id):
                continue
            if not (np.isnan(item.candidate_rate[index]) and np.isnan(item.candidate_value[index])):
                present.add(case_id)
            if name not in evidence.quality:
                continue
            if not np.isnan(item.candidate_rate[index]):
                graded.add(case_id)
            elif not np.isnan(item.baseline_rate[index]):
                present.add(case_id)
            if item.failures[index]:
                failed.add(case_id)
            if item.baseline_failures[index]:
                before.add(case_id)
    return _Critical(frozenset(graded), frozenset(failed), frozenset(before), frozenset(present - graded))


def _status(run: Run, found: _Critical, allowed: int, *, compared: bool) -> tuple[RuleStatus, str]:
    failed = count_of(len(found.failed), "critical case")
    if len(found.failed) > allowed:
        fresh = len(found.failed - found.failed_before)
        new = f", {fresh} of them new" if compared and fresh != len(found.failed) else ""
        return "block", f"{failed} failed{new}; {allowed} allowed."
    if found.ungraded:
        ungraded = count_of(len(found.ungraded), "critical case")
        return "inconclusive", f"No quality grader says anything about {ungraded}: nothing is known of them."
    if found.failed:
        return "pass", f"{failed} failed, {allowed} allowed."
    bound = zero_failures_bound(len(found.graded) * run.trials_per_case)
    return "pass", (
        f"None of {count_of(len(found.graded), 'critical case')} failed: at 95% confidence fewer than "
        f"{bound:.1%} of such requests would."
    )
