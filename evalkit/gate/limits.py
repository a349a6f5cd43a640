"""Floors and ceilings of the candidate, whatever the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.evidence import Evidence
from evalkit.gate.sql import limit_sql
from evalkit.gate.verdict import RuleResult, RuleStatus, finite
from evalkit.gate.words import UNITS, amount, grader_in_slice
from evalkit.stats import percentile, percentile_interval
from evalkit.workflow.gates import GateRule

__all__ = ["QUANTILES", "judge_limit"]

Floats = NDArray[np.float64]
QUANTILES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95}
"""Metrics that are percentiles of the trials."""


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
    if rule.metric in QUANTILES:
        low, high = map(finite, percentile_interval(measured.values, QUANTILES[rule.metric]))
    return replace(
        result,
        status=status,
        sentence=sentence,
        baseline=_measure(rule.metric, measured.before) if len(measured.before) else None,
        candidate=value,
        low=low,
        high=high,
        method="order statistics" if rule.metric in QUANTILES else "",
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
    if metric in QUANTILES:
        return percentile(values, QUANTILES[metric])
    return float(values.max() if metric == "max" else values.mean())
