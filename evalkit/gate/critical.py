"""Critical cases: every confirmed failure counts, whatever the statistics.

The rule itself is :func:`evalkit.stats.critical.judge_critical`; here it is given the trials of a run, and what it says
is put into words. A failure by a grader that says the same each time is confirmed as it is; one by a grader that may
not is judged by what it said when it was asked again (:mod:`evalkit.gate.regrading`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.evidence import Evidence
from evalkit.gate.pairs import Side
from evalkit.gate.regrading import Doubt, read_doubts, varying_graders
from evalkit.gate.sql import critical_sql, critical_trials_sql
from evalkit.gate.verdict import MOST_CASES, RuleResult, RuleStatus
from evalkit.gate.words import count_of
from evalkit.stats import zero_failures_bound
from evalkit.stats.critical import REGRADES, CriticalCases, judge_critical, plan_trials
from evalkit.store.arrays import texts
from evalkit.store.runs import RunFolder
from evalkit.workflow.gates import GateSpec

__all__ = ["critical_results"]

Places = NDArray[np.intp]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class _Critical:
    """The critical cases of a run that a quality grader judged, and what became of them."""

    places: Places
    """Where they are on the axis."""
    found: CriticalCases
    failed_before: NDArray[np.bool_]
    """Of these cases, those that fail in the baseline."""
    missing: Counts
    """Trials of each that the gate asks for and the run lacks."""
    units: int
    """Cases, or clusters of them, that are independent of each other."""
    ungraded: Places
    """Critical cases of the run of which no quality grader said anything."""
    doubts: Sequence[Doubt]
    earlier: NDArray[np.bool_]
    """Of these cases, those that failed for certain in trials of an earlier run of the candidate alone."""

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Those with a confirmed failure."""
        return self.found.confirmed > 0


def critical_results(candidate: RunFolder, evidence: Evidence, spec: GateSpec, *, compared: bool) -> list[RuleResult]:
    """The rules on critical cases; none where they are switched off or the run holds no critical case.

    Args:
        candidate: The run to judge.
        evidence: It and what it is compared with.
        spec: The gate.
        compared: Whether there is a baseline to tell new failures and touched cases by.

    Raises:
        StoreError: when a segment cannot be read.
    """
    if spec.critical is None:
        return []
    cases = _sort_out(candidate, evidence, spec, compared=compared)
    if not len(cases.places) and not len(cases.ungraded):
        return []
    return [
        _failures(cases, evidence, spec.critical, compared=compared),
        *_too_few(cases, evidence, spec),
        *_disputed(cases, evidence),
    ]


def _sort_out(candidate: RunFolder, evidence: Evidence, spec: GateSpec, *, compared: bool) -> _Critical:
    every = np.flatnonzero(evidence.columns.critical & evidence.known)
    varying = {ref.name for ref in varying_graders(evidence.graders)}
    present, before = np.zeros((2, len(every)), bool)
    judged, failing = np.zeros((2, len(every)), np.int64)
    for item in evidence.pairs.values():
        present |= item.now.table.known[item.now.codes[every]]
    for name, item in evidence.quality_pairs.items():
        passes, failures = _counted(item.now, every)
        judged = np.maximum(judged, passes + failures)
        if name not in varying:
            failing = np.maximum(failing, failures)
        present |= item.before.table.decided[item.before.codes[every]]
        before |= item.before.table.failures[item.before.codes[every]]
    own = failing > 0
    judged, failing = _with_earlier(evidence, every, varying, judged, failing)
    graded = (judged > 0) | _decided(evidence, every)
    places = every[graded]
    doubts = read_doubts(candidate, evidence.axis.names(places)) if varying else []
    found = _judged(evidence, places, judged[graded], failing[graded], doubts)
    asked = evidence.touched[places] if compared else np.zeros(len(places), bool)
    clusters = evidence.columns.clusters
    return _Critical(
        places=places,
        found=found,
        failed_before=before[graded],
        missing=np.where(asked, plan_trials(judged[graded], trials=spec.critical_trials), 0),
        units=len(places) if clusters is None else len(np.unique(clusters[places])),
        ungraded=every[present & ~graded],
        doubts=doubts,
        earlier=(~own & (failing > 0))[graded],
    )


def _counted(side: Side, places: Places) -> tuple[Counts, Counts]:
    """Trials of these cases that passed, and that failed."""
    codes = side.codes[places]
    passes = np.asarray([item.passes for item in side.table.outcomes], np.int64)
    failures = np.asarray([item.failures for item in side.table.outcomes], np.int64)
    return passes[codes], failures[codes]


def _decided(evidence: Evidence, places: Places) -> NDArray[np.bool_]:
    """Cases that a quality grader decided on, if only by an error: that is told elsewhere."""
    found = np.zeros(len(places), bool)
    for item in evidence.quality_pairs.values():
        found |= item.now.table.decided[item.now.codes[places]]
    return found


def _with_earlier(
    evidence: Evidence, places: Places, varying: set[str], judged: Counts, failing: Counts
) -> tuple[Counts, Counts]:
    """The same with what earlier runs of the candidate recorded: a trial that is made again takes nothing back."""
    recorded = evidence.recorded
    if recorded is None:
        return judged, failing
    number = np.full(len(evidence.axis), -1)
    number[places] = np.arange(len(places))
    rows = np.flatnonzero(recorded.candidate & (number[recorded.cases] >= 0))
    columns = [place for place, name in enumerate(recorded.graders) if name in evidence.quality]
    firm = [place for place in columns if recorded.graders[place] not in varying]
    told = ~np.isnan(recorded.scores[rows]) & ~recorded.errors[rows]
    bad = told & (recorded.scores[rows] == 0)

    def count(chosen: NDArray[np.bool_]) -> Counts:
        return np.bincount(number[recorded.cases[rows[chosen]]], minlength=len(places)).astype(np.int64)

    earlier, broken = (count(np.asarray(mask.any(axis=1))) for mask in (told[:, columns], bad[:, firm]))
    return np.maximum(judged, earlier), np.maximum(failing, broken)


def _judged(evidence: Evidence, places: Places, judged: Counts, failing: Counts, doubts: Sequence[Doubt]) -> Any:
    """The rule on all trials: those that failed for certain, those in doubt, and the others."""
    number = np.full(len(evidence.axis), -1)
    number[places] = np.arange(len(places))
    worst = _worst_of_trials(doubts)
    ids = [item.case_id for item in worst]
    open_cases = number[evidence.axis.positions(texts(ids))] if ids else np.empty(0, np.int64)
    in_doubt = np.bincount(open_cases, minlength=len(places)).astype(np.int64)
    clean = np.maximum(judged - failing - in_doubt, 0)
    counts = [np.repeat(np.arange(len(places)), failing), open_cases, np.repeat(np.arange(len(places)), clean)]
    again, refailed = ([getattr(item, name) for item in worst] for name in ("regraded", "refailed"))
    sure, fine = np.full(len(counts[0]), REGRADES), np.zeros(len(counts[2]), np.int64)
    return judge_critical(
        len(places),
        np.concatenate(counts).astype(np.int64),
        np.arange(sum(map(len, counts))) < len(counts[0]) + len(counts[1]),
        np.concatenate([sure, again, fine]).astype(np.int64),
        np.concatenate([sure, refailed, fine]).astype(np.int64),
        trials=1,
    )


def _worst_of_trials(doubts: Sequence[Doubt]) -> list[Doubt]:
    """Of each trial in doubt the grader whose answer weighs most: confirmed, else not known yet, else disputed."""
    worst: dict[tuple[str, int, str], Doubt] = {}
    for item in doubts:
        trial = item.case_id, item.trial, item.source_run
        if trial not in worst or _weight(item) > _weight(worst[trial]):
            worst[trial] = item
    return list(worst.values())


def _weight(item: Doubt) -> int:
    most = max(item.regraded, REGRADES)
    return 2 if 2 * item.refailed > most else 0 if 2 * (item.regraded - item.refailed) > most else 1


def _failures(cases: _Critical, evidence: Evidence, allowed: int, *, compared: bool) -> RuleResult:
    """The rule on failures, which blocks."""
    failed = cases.failed
    waiting = (cases.found.pending > 0) & ~failed
    status, sentence = _status(cases, waiting, allowed, compared=compared)
    shown = cases.ungraded
    for mask in (waiting, failed):
        shown = cases.places[mask][np.argsort(cases.failed_before[mask], kind="stable")] if mask.any() else shown
    return RuleResult(
        id="critical cases",
        status=status,
        sentence=sentence,
        metric="failures",
        unit="count",
        n=len(cases.places),
        trials=int(cases.found.trials.sum()),
        baseline=float(cases.failed_before.sum()) if compared else None,
        candidate=float(failed.sum()),
        limit=float(allowed),
        cases=evidence.axis.names(shown, MOST_CASES),
        sql=critical_sql(
            evidence.subject, asked_again=any(item.regraded for item in cases.doubts), earlier=bool(cases.earlier.any())
        ),
    )


def _status(cases: _Critical, waiting: NDArray[np.bool_], allowed: int, *, compared: bool) -> tuple[RuleStatus, str]:
    failures, ungraded = int(cases.failed.sum()), len(cases.ungraded)
    failed = count_of(failures, "critical case")
    if failures > allowed:
        fresh = int((cases.failed & ~cases.failed_before).sum())
        new = f", {fresh} of them new" if compared and fresh != failures else ""
        before = int(cases.earlier.sum())
        again = f", {before} of them in an earlier run of the same candidate" if before else ""
        return "block", f"{failed} failed{new}{again}; {allowed} allowed."
    if waiting.any() and failures + int(waiting.sum()) > allowed:
        unsure = count_of(int(waiting.sum()), "critical case")
        return "inconclusive", (
            f"{unsure} failed by a grader that has not said so a second time and could not be asked: "
            "the graders have changed since, or have failed. Grade the run again: evalkit regrade."
        )
    if ungraded:
        unknown = count_of(ungraded, "critical case")
        return "inconclusive", f"No quality grader says anything about {unknown}: nothing is known of them."
    if failures:
        return "pass", f"{failed} failed, {allowed} allowed."
    return "pass", _clean(cases)


def _clean(cases: _Critical) -> str:
    """What no failure rules out: for these cases by their trials, for requests like them by cases alone."""
    count, trials = len(cases.places), int(cases.found.trials.sum())
    none = f"None of {count_of(count, 'critical case')} failed"
    if int((cases.found.disputed > 0).sum()):
        none = f"No failure of {count_of(count, 'critical case')} is confirmed"
    alike = zero_failures_bound(cases.units)
    if trials == cases.units and not cases.found.disputed.any():
        return f"{none}: at 95% confidence fewer than {alike:.1%} of such requests would."
    groups = "" if cases.units == count else f" in {count_of(cases.units, 'independent group')}"
    return (
        f"{none} in {count_of(trials, 'trial')}: at 95% confidence these cases fail in fewer than "
        f"{cases.found.bound:.1%} of trials; for other requests like them {count_of(count, 'case')}{groups} "
        f"rule out no rate below {alike:.1%}."
    )


def _too_few(cases: _Critical, evidence: Evidence, spec: GateSpec) -> list[RuleResult]:
    """Touched critical cases that have had too few trials: no pass, and which to make."""
    short = cases.missing > 0
    if not short.any():
        return []
    places, missing = cases.places[short], cases.missing[short]
    made = evidence.trials[places]
    # where graders did not judge a trial that was made, another one is no remedy
    next_trials = {
        name: int(count)
        for name, count, done in zip(evidence.axis.names(places), missing, made, strict=True)
        if done < spec.critical_trials
    }
    least, total = int((spec.critical_trials - missing).min()), int(missing.sum())
    fewest = "none" if least == 0 else "1" if least == 1 else f"only {least}"
    sentence = (
        f"{count_of(len(places), 'touched critical case')} had fewer than the {spec.critical_trials} trials that the "
        f"gate asks for ({fewest} at the least): a failure in one trial of {spec.critical_trials} would go unseen; "
        f"`evalkit run` makes the {total:,} that are missing."
    )
    return [
        RuleResult(
            id="trials of critical cases",
            status="inconclusive",
            sentence=sentence,
            kind="floor",
            metric="trials",
            unit="count",
            n=len(places),
            candidate=float(least),
            limit=float(spec.critical_trials),
            cases=evidence.axis.names(places, MOST_CASES),
            sql=critical_trials_sql(evidence.subject, spec.critical_trials),
            more_trials=total,
            next_trials=next_trials,
        )
    ]


def _disputed(cases: _Critical, evidence: Evidence) -> list[RuleResult]:
    """Failures that were not confirmed: for a person to look at."""
    open_cases = (cases.found.disputed > 0) & ~cases.failed
    if not open_cases.any():
        return []
    names = evidence.axis.names(cases.places[open_cases], MOST_CASES)
    chosen = frozenset(names)
    graders = Counter(item.grader for item in cases.doubts if item.case_id in chosen and _weight(item) == 0)
    count = int(cases.found.disputed[open_cases].sum())
    sentence = (
        f"{count_of(count, 'failure')} of {count_of(int(open_cases.sum()), 'critical case')} "
        f"{'is' if count == 1 else 'are'} disputed: asked again about the same answer, "
        f"{', '.join(sorted(graders))} mostly passed it. A person must decide: {', '.join(names[:3])}"
        f"{f' and {len(names) - 3} more' if len(names) > 3 else ''}."
    )
    return [
        RuleResult(
            id="disputed critical cases",
            status="note",
            sentence=sentence,
            unit="count",
            n=len(cases.places),
            candidate=float(open_cases.sum()),
            limit=0.0,
            cases=names,
        )
    ]
