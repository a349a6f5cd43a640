"""Limits: ratios to the baseline, floors and ceilings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.evidence import Evidence
from evalkit.gate.sql import limit_sql, ratio_sql
from evalkit.gate.verdict import RuleResult, RuleStatus, finite
from evalkit.gate.words import UNITS, amount, change, count_of, grader_in_slice
from evalkit.stats import percentile, percentile_interval, ratio_of_means
from evalkit.workflow.gates import GateRule, GateSpec

__all__ = ["judge_increase", "judge_limit"]

Floats = NDArray[np.float64]
_QUANTILES = {"p50": 0.5, "p95": 0.95}


def judge_increase(rule: GateRule, evidence: Evidence, spec: GateSpec) -> RuleResult:
    """The mean of a measurement must not grow by more than a ratio, with evidence."""
    pairs = evidence.pairs[rule.grader]
    allowed = rule.max_increase or 0.0
    before, now = pairs.before.value, pairs.now.value
    asked = evidence.in_slice(rule.slice) & ~np.isnan(before)
    keep = asked & ~np.isnan(now)
    if not keep.all():
        before, now = before[keep], now[keep]
    result = RuleResult(
        id=rule.name,
        status="inconclusive",
        sentence=f"No case has a {rule.grader} on both sides.",
        kind="increase",
        grader=rule.grader,
        metric=rule.metric,
        slice=rule.slice or "",
        unit=UNITS.get(rule.grader, "share"),
        n=int(keep.sum()),
        limit=1 + allowed,
        sql=ratio_sql(rule, evidence.subject),
    )
    if len(before) == 0:
        return result
    if rule.grader == "cost" and evidence.repriced:
        return replace(
            result,
            status="not_comparable",
            sentence=f"{_repriced(evidence.repriced)} another price than in the baseline: costs cannot be compared.",
        )
    if bool((before != now).any()):
        clusters = evidence.clusters_of(keep)
        ratio, low, high = ratio_of_means(before, now, clusters, tail_low=spec.alpha, tail_high=spec.beta)
    else:
        ratio = low = high = 1.0
    status, sentence = _increase_status(rule, 1 + allowed, (ratio, low, high), spec)
    lost = int((asked & ~keep).sum())
    if lost and status == "pass":
        status, sentence = "inconclusive", f"{count_of(lost, 'case')} had a {rule.grader} before and has none now."
    return replace(
        result,
        status=status,
        sentence=sentence,
        baseline=float(before.mean()),
        candidate=float(now.mean()),
        delta=finite(ratio),
        low=finite(low),
        high=finite(high),
        method="ratio of means; delta method on the log scale, by cluster",
    )


def _repriced(models: Sequence[str]) -> str:
    named = ", ".join(f"`{model}`" for model in models[:3])
    more = f" and {len(models) - 3} more" if len(models) > 3 else ""
    return f"Prices differ: {named}{more} {'has' if len(models) == 1 else 'have'}"


def _increase_status(
    rule: GateRule, limit: float, found: tuple[float, float, float], spec: GateSpec
) -> tuple[RuleStatus, str]:
    ratio, low, high = found
    if low == high == 1.0:
        return "pass", f"Mean {rule.grader} is the same."
    text = f"mean {rule.grader} {change(ratio)} [{change(low)}, {change(high)}], limit {change(limit)}"
    if low > limit:
        return "block", f"Dearer than allowed at {1 - spec.alpha:.0%} confidence: {text}."
    if high <= limit:
        return "pass", f"Within the limit at {1 - spec.beta:.0%} confidence: {text}."
    if ratio > limit:
        return "inconclusive", f"Over the limit, but that could be chance: {text}."
    return "inconclusive", f"Not proven to be within the limit: {text}."


@dataclass(frozen=True)
class _Measured:
    """What a floor or ceiling is checked on."""

    values: Floats
    """Of trials for percentiles and the largest value, else of cases."""
    before: Floats
    without_errors: Floats
    """The values of cases whose graders all answered."""


def judge_limit(rule: GateRule, evidence: Evidence) -> RuleResult:
    """A floor or a ceiling: the measured value decides, the interval is shown."""
    measured = _measured(rule, evidence)
    unit = "share" if rule.metric == "pass_rate" else UNITS.get(rule.grader, "share")
    bound = rule.min if rule.min is not None else rule.max
    assert bound is not None, "GateRule has checked that one of the limits is given"  # noqa: S101
    result = RuleResult(
        id=rule.name,
        status="inconclusive",
        sentence=f"No case has a score of {rule.grader}: the limit cannot be checked.",
        kind="floor" if rule.min is not None else "ceiling",
        grader=rule.grader,
        metric=rule.metric,
        slice=rule.slice or "",
        unit=unit,
        n=len(measured.values),
        limit=bound,
        sql=limit_sql(rule, evidence.subject),
    )
    if len(measured.values) == 0:
        return result
    value = _measure(rule.metric, measured.values)
    status, sentence = _limit_status(result, value, measured, bound)
    low = high = None
    if rule.metric in _QUANTILES:
        low, high = map(finite, percentile_interval(measured.values, _QUANTILES[rule.metric]))
    return replace(
        result,
        status=status,
        sentence=sentence,
        baseline=_measure(rule.metric, measured.before) if len(measured.before) else None,
        candidate=value,
        low=low,
        high=high,
        method="order statistics" if rule.metric in _QUANTILES else "",
    )


def _measured(rule: GateRule, evidence: Evidence) -> _Measured:
    pairs = evidence.pairs[rule.grader]
    mask = evidence.in_slice(rule.slice)
    if rule.of_trials:
        before, now = (
            np.empty(0) if side.trials is None else side.trials.inside(mask) for side in (pairs.before, pairs.now)
        )
        return _Measured(now, before, now)
    rates = rule.metric == "pass_rate"
    now = pairs.now.rate if rates else pairs.now.value
    before = pairs.before.rate if rates else pairs.before.value
    known = mask & ~np.isnan(now)
    errors = pairs.now.where(pairs.now.table.errors)
    return _Measured(now[known], before[mask & ~np.isnan(before)], now[known & ~errors])


def _limit_status(result: RuleResult, value: float, measured: _Measured, bound: float) -> tuple[RuleStatus, str]:
    floor = result.kind == "floor"

    def broken(number: float) -> bool:
        return number < bound if floor else number > bound

    what = grader_in_slice(result.grader, result.slice)
    metric = "largest value" if result.metric == "max" else result.metric.replace("_", " ")
    text = f"{metric} of {what} is {amount(value, result.unit)}, {result.kind} {amount(bound, result.unit)}"
    if not broken(value):
        return "pass", f"Within the limit: {text}."
    clean = measured.without_errors
    if len(clean) < len(measured.values) and not (len(clean) and broken(_measure(result.metric, clean))):
        return "error", f"Errors alone break the limit for {what}: without them it holds."
    return "block", f"Beyond the limit: {text}."


def _measure(metric: str, values: Floats) -> float:
    if metric in _QUANTILES:
        return percentile(values, _QUANTILES[metric])
    return float(values.max() if metric == "max" else values.mean())
