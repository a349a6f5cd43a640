"""What became of each case: which regressed, which improved, and what a reviewer needs to see of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalkit import codec
from evalkit.gate.evidence import Evidence, Mask
from evalkit.gate.pairs import GraderPairs, Side
from evalkit.gate.verdict import MOST_CASES, CaseChange, CaseResult, CaseStatus, GraderResult
from evalkit.records import Case, Score, Severity, Trace
from evalkit.store.runs import RunFolder
from evalkit.store.schema import table_scores
from evalkit.store.segments import read_rows

__all__ = ["CaseStatuses", "CaseTable", "case_results", "case_statuses"]

_SHOWN: frozenset[CaseStatus] = frozenset({"regressed", "improved", "error", "flaky", "new"})
_ORDER: Mapping[CaseStatus, int] = {
    "error": 0, "regressed": 1, "unchanged": 2, "flaky": 3, "new": 4, "improved": 5, "removed": 6,
}  # fmt: skip
"""In which cases are shown. An unchanged case is shown where it is critical and fails."""
_SEVERITIES: tuple[Severity, ...] = ("none", "minor", "major", "critical")


@dataclass(frozen=True)
class CaseTable:
    """Counts of all cases, and the ones worth showing, worst first."""

    counts: CaseChange
    results: tuple[CaseResult, ...]


_STATUSES: tuple[CaseStatus, ...] = ("error", "new", "removed", "regressed", "improved", "flaky", "unchanged")
"""The first that is true of a case is its status; the last is true of all."""


@dataclass
class _Marks:
    """What the graders' results come to for each case: masks over the axis, and the sum of the changes of rates."""

    error: Mask
    known_before: Mask
    """Some grader, if only one that measures, has a score of the baseline."""
    known_now: Mask
    regressed: Mask
    improved: Mask
    flaky: Mask
    failing: Mask
    """A quality grader says that not every trial is good."""
    drop: NDArray[np.float64]


@dataclass(frozen=True)
class CaseStatuses:
    """What became of every case: arrays over the axis."""

    codes: NDArray[np.int64]
    """Position of each case's status in ``names``."""
    critical: Mask
    failing: Mask
    """A quality grader says that not every trial is good."""
    drop: NDArray[np.float64]
    """Sum over the quality graders of the changes of the case's pass rate."""
    names: Sequence[CaseStatus] = _STATUSES

    def worst_first(self, places: NDArray[np.intp]) -> NDArray[np.intp]:
        """These places in the order in which cases are shown."""
        rank = np.asarray([_ORDER[name] for name in self.names])[self.codes[places]]
        ordered: NDArray[np.intp] = places[np.lexsort((self.drop[places], ~self.critical[places], rank))]
        return ordered


def case_statuses(evidence: Evidence) -> CaseStatuses:
    """Compare case by case, and say of every case what became of it."""
    marks = _marks(evidence)
    critical = evidence.columns.critical & evidence.known
    return CaseStatuses(_codes(marks, evidence), critical, marks.failing, marks.drop)


def case_results(candidate: RunFolder, baseline: RunFolder, evidence: Evidence) -> CaseTable:
    """Compare case by case."""
    found = case_statuses(evidence)
    statuses, critical = found.codes, found.critical
    counts = np.bincount(statuses[evidence.seen], minlength=len(_STATUSES)).tolist()
    shown = evidence.seen & (np.isin(statuses, [_STATUSES.index(name) for name in _SHOWN]) | (critical & found.failing))
    places = np.flatnonzero(shown)
    if len(places) > MOST_CASES:
        places = found.worst_first(places)[:MOST_CASES]
    names = evidence.axis.names(places)
    now, before = _first_traces(candidate, names), _first_traces(baseline, names)
    scores = _worst_scores(candidate, evidence.subject.grading, names)
    cases = evidence.golden.load(names)
    results = []
    for place, name in zip(places.tolist(), names, strict=True):
        status = _STATUSES[statuses[place]]
        result = _result(name, status, place, evidence, cases.get(name), scores.get(name, {}))
        results.append(_with_traces(result, before.get(name), now.get(name)))
    results.sort(key=_worst_first)
    return CaseTable(CaseChange(**dict(zip(_STATUSES, counts, strict=True))), tuple(results))


def _marks(evidence: Evidence) -> _Marks:
    error, known_before, known_now, regressed, improved, flaky, failing = np.zeros((7, len(evidence.axis)), bool)
    drop = np.zeros(len(evidence.axis))
    for item in evidence.pairs.values():
        error |= item.now.where(item.now.table.errors)
        known_before |= item.before.where(item.before.table.known)
        known_now |= item.now.where(item.now.table.known)
    for item in evidence.quality_pairs.values():
        before, now = item.before.table, item.now.table
        tells = item.now.where(now.tells)
        failing |= tells & item.now.where(now.rate < 1)
        flaky |= tells & item.now.where((now.rate > 0) & (now.rate < 1))
        differ = np.flatnonzero(tells & item.before.where(before.tells) & _may_differ(item))
        change = now.rate[item.now.codes[differ]] - before.rate[item.before.codes[differ]]
        regressed[differ[change < 0]] = True
        improved[differ[change > 0]] = True
        drop[differ] += change
    return _Marks(error, known_before, known_now, regressed, improved, flaky, failing, drop)


def _may_differ(item: GraderPairs) -> Mask:
    """Cases whose code is not the same on both sides, where a code means the same."""
    if item.before.table.outcomes == item.now.table.outcomes:
        return np.asarray(item.before.codes != item.now.codes)
    return np.ones(len(item.now.codes), bool)


def _codes(marks: _Marks, evidence: Evidence) -> NDArray[np.int64]:
    """Position of each case's status in ``_STATUSES``."""
    rules = [
        marks.error,
        ~marks.known_before & evidence.known,  # of cases that left the set, nothing of before is compared either
        ~marks.known_now | ~evidence.known,
        marks.regressed,
        marks.improved,
        marks.flaky,
    ]
    statuses = np.full(len(evidence.axis), len(rules))
    for number in range(len(rules) - 1, -1, -1):
        statuses[rules[number]] = number
    return statuses


def _first_traces(folder: RunFolder, case_ids: Sequence[str]) -> dict[str, Trace]:
    """The first trial of each case."""
    rows = read_rows(folder.path / "traces.parquet", case_ids)
    first: dict[str, str] = {}
    for name, text in zip(rows.column("case_id").to_pylist(), rows.column("trace_json").to_pylist(), strict=True):
        first.setdefault(name, text)
    return {name: codec.decode(Trace, text) for name, text in first.items()}


def _worst_scores(folder: RunFolder, grading: str, case_ids: Sequence[str]) -> dict[str, dict[str, Score]]:
    """Of each case and grader the score that explains most: an error, else a failure, else any."""
    rank = {"error": 2, "ok": 1, "not_applicable": 0}
    found: dict[str, dict[str, Score]] = {}
    for score in table_scores(read_rows(folder.scores_path(grading), case_ids)):
        mine = found.setdefault(score.case_id, {})
        other = mine.get(score.grader)
        if other is None or (rank[score.status], score.passed is False) > (rank[other.status], other.passed is False):
            mine[score.grader] = score
    return found


def _result(
    case_id: str,
    status: CaseStatus,
    place: int,
    evidence: Evidence,
    case: Case | None,
    scores: Mapping[str, Score],
) -> CaseResult:
    before = {name: _rate(item.before, place) for name, item in evidence.quality_pairs.items()}
    now = {name: _rate(item.now, place) for name, item in evidence.quality_pairs.items()}
    failed = {name for name, score in scores.items() if score.status == "error"}
    told = {name for name in before if before[name] is not None or now[name] is not None}
    graders = tuple(
        GraderResult(
            grader=name,
            baseline=before.get(name),
            candidate=now.get(name),
            label=scores[name].label if name in scores else "",
            evidence=scores[name].evidence if name in scores else {},
        )
        for name in sorted(told | failed)
    )
    bad = [_SEVERITIES.index(score.severity) for score in scores.values() if score.passed is False]
    return CaseResult(
        case_id=case_id,
        status=status,
        critical=bool(case and case.critical),
        severity=_SEVERITIES[max(bad, default=0)],
        touched=bool(evidence.touched[place]),
        graders=graders,
        slices=case.slice_keys if case else {},
        question=case.question if case else "",
    )


def _rate(side: Side, place: int) -> float | None:
    """Share of the case's trials that passed; None where nothing is known, or it is nought because of errors alone."""
    code = int(side.codes[place])
    return float(side.table.rate[code]) if side.table.tells[code] else None


def _with_traces(result: CaseResult, before: Trace | None, now: Trace | None) -> CaseResult:
    return replace(
        result,
        baseline_answer=_said(before),
        candidate_answer=_said(now),
        baseline_calls=_calls(before),
        candidate_calls=_calls(now),
        baseline_route=_route(before),
        route=_route(now),
    )


def _said(trace: Trace | None) -> str:
    if trace is None:
        return ""
    return f"(did not finish: {trace.error.kind}: {trace.error.message})" if trace.error else trace.answer


def _calls(trace: Trace | None) -> tuple[str, ...]:
    if trace is None:
        return ()
    return tuple(
        f"{event.name}({_arguments(event.arguments)})" + ("" if event.status == "ok" else f" → {event.status}")
        for event in trace.tool_events
    )


def _arguments(arguments: object) -> str:
    if isinstance(arguments, Mapping):
        return ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return repr(arguments)


def _route(trace: Trace | None) -> str:
    return " → ".join(f"{step.route} ({step.rule})" for step in trace.route) if trace else ""


def _worst_first(result: CaseResult) -> tuple[int, bool, int, float, str]:
    drop = sum((item.candidate or 0) - (item.baseline or 0) for item in result.graders)
    return _ORDER[result.status], not result.critical, -_SEVERITIES.index(result.severity), drop, result.case_id
