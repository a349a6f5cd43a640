"""What became of each case: which regressed, which improved, and what a reviewer needs to see of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from evalkit.gate.evidence import Evidence
from evalkit.gate.verdict import CaseChange, CaseResult, CaseStatus, GraderResult
from evalkit.records import Score, Severity, Trace
from evalkit.store.runs import RunFolder

__all__ = ["CaseTable", "case_results"]

_SHOWN: frozenset[CaseStatus] = frozenset({"regressed", "improved", "error", "flaky", "new"})
_SEVERITIES: tuple[Severity, ...] = ("none", "minor", "major", "critical")


@dataclass(frozen=True)
class CaseTable:
    """Counts of all cases, and the ones worth showing, worst first."""

    counts: CaseChange
    results: tuple[CaseResult, ...]


@dataclass
class _Rates:
    """Pass rates of a case by quality grader, before and now; what else is known of it."""

    before: dict[str, float]
    now: dict[str, float]
    known_before: bool = False
    """Some grader, if only one that measures, has a score of the baseline."""
    known_now: bool = False
    error: bool = False


def case_results(candidate: RunFolder, baseline: RunFolder, evidence: Evidence) -> CaseTable:
    """Compare case by case."""
    rates = _rates(evidence)
    statuses = {case_id: _status(item, case_id in evidence.cases) for case_id, item in rates.items()}
    counts = Counter(statuses.values())
    shown = [
        case_id for case_id, status in statuses.items() if status in _SHOWN or _fails_critical(case_id, rates, evidence)
    ]
    now = _first_traces(candidate, shown)
    before = _first_traces(baseline, shown)
    scores = _worst_scores(candidate.scores(evidence.grading), set(shown))
    results = [
        _result(case_id, statuses[case_id], rates[case_id], evidence, scores.get(case_id, {})) for case_id in shown
    ]
    results = [_with_traces(result, before.get(result.case_id), now.get(result.case_id)) for result in results]
    results.sort(key=_worst_first)
    return CaseTable(CaseChange(**{str(status): count for status, count in counts.items()}), tuple(results))


def _rates(evidence: Evidence) -> dict[str, _Rates]:
    rates: dict[str, _Rates] = {}
    for name, pairs in evidence.pairs.items():
        for index, case_id in enumerate(pairs.case_ids):
            item = rates.setdefault(case_id, _Rates({}, {}))
            item.error = item.error or bool(pairs.errors[index])
            before, now = pairs.baseline_rate[index], pairs.candidate_rate[index]
            item.known_before |= not (np.isnan(before) and np.isnan(pairs.baseline_value[index]))
            item.known_now |= not (np.isnan(now) and np.isnan(pairs.candidate_value[index]))
            if name not in evidence.quality:
                continue
            if _says_something(before, pairs.baseline_errors[index], pairs.baseline_failures[index]):
                item.before[name] = float(before)
            if _says_something(now, pairs.errors[index], pairs.failures[index]):
                item.now[name] = float(now)
    return rates


def _says_something(rate: float, errors: int, failures: int) -> bool:
    """A rate that is nought because of errors alone is no result."""
    return not np.isnan(rate) and (rate > 0 or not errors or failures > 0)


def _status(rates: _Rates, known: bool) -> CaseStatus:
    if rates.error:
        return "error"
    if not rates.known_before:
        return "new"
    if not rates.known_now or not known:
        return "removed"
    changes = [rates.now[name] - rates.before[name] for name in rates.now if name in rates.before]
    if any(change < 0 for change in changes):
        return "regressed"
    if any(change > 0 for change in changes):
        return "improved"
    if any(0 < rate < 1 for rate in rates.now.values()):
        return "flaky"
    return "unchanged"


def _fails_critical(case_id: str, rates: Mapping[str, _Rates], evidence: Evidence) -> bool:
    case = evidence.cases.get(case_id)
    return case is not None and case.critical and any(rate < 1 for rate in rates[case_id].now.values())


def _first_traces(folder: RunFolder, case_ids: list[str]) -> dict[str, Trace]:
    """The first trial of each case."""
    found: dict[str, Trace] = {}
    for trace in folder.traces(case_ids):
        found.setdefault(trace.case_id, trace)
    return found


def _worst_scores(scores: Iterable[Score], wanted: set[str]) -> dict[str, dict[str, Score]]:
    """Of each case and grader the score that explains most: an error, else a failure, else any."""
    rank = {"error": 2, "ok": 1, "not_applicable": 0}
    found: dict[str, dict[str, Score]] = {}
    for score in scores:
        if score.case_id not in wanted:
            continue
        mine = found.setdefault(score.case_id, {})
        other = mine.get(score.grader)
        if other is None or (rank[score.status], score.passed is False) > (rank[other.status], other.passed is False):
            mine[score.grader] = score
    return found


def _result(
    case_id: str, status: CaseStatus, rates: _Rates, evidence: Evidence, scores: Mapping[str, Score]
) -> CaseResult:
    case = evidence.cases.get(case_id)
    failed = {name for name, score in scores.items() if score.status == "error"}
    graders = tuple(
        GraderResult(
            grader=name,
            baseline=rates.before.get(name),
            candidate=rates.now.get(name),
            label=scores[name].label if name in scores else "",
            evidence=scores[name].evidence if name in scores else {},
        )
        for name in sorted(rates.before.keys() | rates.now.keys() | failed)
    )
    bad = [_SEVERITIES.index(score.severity) for score in scores.values() if score.passed is False]
    return CaseResult(
        case_id=case_id,
        status=status,
        critical=bool(case and case.critical),
        severity=_SEVERITIES[max(bad, default=0)],
        touched=case_id in evidence.touched,
        graders=graders,
        slices=case.slice_keys if case else {},
        question=next((turn.content for turn in reversed(case.input) if turn.role == "user"), "") if case else "",
    )


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
    order: dict[CaseStatus, int] = {
        "error": 0, "regressed": 1, "unchanged": 2, "flaky": 3, "new": 4, "improved": 5, "removed": 6,
    }  # fmt: skip
    drop = sum((item.candidate or 0) - (item.baseline or 0) for item in result.graders)
    return order[result.status], not result.critical, -_SEVERITIES.index(result.severity), drop, result.case_id
