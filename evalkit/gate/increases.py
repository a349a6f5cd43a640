"""Cost, latency and tokens against the baseline: no dearer, slower or longer than by so much, with evidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.evidence import Evidence, Mask
from evalkit.gate.increase_sql import increase_sql
from evalkit.gate.limits import QUANTILES
from evalkit.gate.outcomes import Trials
from evalkit.gate.verdict import RuleResult, RuleStatus, finite
from evalkit.gate.words import UNITS, change, count_of
from evalkit.stats import percentile
from evalkit.stats.noninferiority import LogRatio, cost_per_success, cost_per_success_ratio, log_ratio, percentile_ratio
from evalkit.workflow.gates import GateRule, GateSpec

__all__ = ["judge_increase", "status_of_mean"]

Floats = NDArray[np.float64]
Ends = tuple[float, float, float]
"""A ratio with its lower and upper end."""

_BEYOND: Mapping[str, str] = {"dollars": "Dearer than allowed", "seconds": "Slower than allowed"}
_MOST_FURTHER = 1_000_000
"""More cases than this are no advice."""


def _repriced(models: Sequence[str]) -> str:
    named = ", ".join(f"`{model}`" for model in models[:3])
    more = f" and {len(models) - 3} more" if len(models) > 3 else ""
    return f"Prices differ: {named}{more} {'has' if len(models) == 1 else 'have'}"


@dataclass(frozen=True)
class _Rows:
    """Trials of one side, in the order of their cases."""

    cases: NDArray[np.intp]
    """Numbers among the cases compared."""
    values: Floats

    @classmethod
    def of(cls, trials: Trials | None, keep: Mask) -> _Rows:
        if trials is None:
            return cls(np.empty(0, np.intp), np.empty(0))
        places = np.arange(len(keep)) if trials.places is None else trials.places
        chosen = keep[places]
        return cls((np.cumsum(keep) - 1)[places[chosen]], trials.values[chosen])

    def first_of(self, units: NDArray[np.int32] | None) -> Floats:
        """The first trial of each unit: of each case, or of each cluster."""
        return self.values[np.unique(self.cases if units is None else units[self.cases], return_index=True)[1]]


@dataclass(frozen=True)
class _Compared:
    """What a rule compares: the cases that both sides have a measurement of."""

    rule: GateRule
    evidence: Evidence
    spec: GateSpec
    before: Floats
    """Of each case of the axis."""
    now: Floats
    unknown: str = ""
    """What of the measurement is missing beside whole cases."""

    @cached_property
    def asked(self) -> Mask:
        """Cases that the baseline has a measurement of."""
        return self.evidence.in_slice(self.rule.slice) & ~np.isnan(self.before)

    @cached_property
    def keep(self) -> Mask:
        """Those of them that the candidate has one of too."""
        return np.asarray(self.asked & ~np.isnan(self.now))

    @property
    def clusters(self) -> NDArray[np.int32] | None:
        return self.evidence.clusters_of(self.keep)

    def rows(self) -> tuple[_Rows, _Rows]:
        """Trials of both sides."""
        pairs = self.evidence.pairs[self.rule.grader]
        return _Rows.of(pairs.before.trials, self.keep), _Rows.of(pairs.now.trials, self.keep)

    def missing(self) -> str:
        """What was measured before and is not now; empty where nothing is."""
        lost = int((self.asked & ~self.keep).sum())
        if lost:
            return f"{count_of(lost, 'case')} had a {self.rule.grader} before and {_HAS[lost == 1]} none now."
        return self.unknown


_HAS = {True: "has", False: "have"}


def judge_increase(rule: GateRule, evidence: Evidence, spec: GateSpec) -> RuleResult:
    """A measurement must not grow by more than a ratio, with evidence.

    PASS only where an increase by the limit is ruled out, BLOCK only where more than the limit is shown. A mean is
    judged by the paired log ratio (:func:`evalkit.stats.noninferiority.log_ratio`), which is that of a typical case,
    and by the ratio of the means, which is that of the bill: PASS needs both below the limit, and either above it
    blocks, the two sharing the false alarms.

    Args:
        rule: With ``max_increase``.
        evidence: The two runs.
        spec: The gate.
    """
    compared = _compared(rule, evidence, spec)
    cases = int(compared.keep.sum())
    result = RuleResult(
        id=rule.name,
        status="inconclusive",
        sentence=f"No case has a {rule.grader} on both sides.",
        kind="increase",
        grader=rule.grader,
        metric=rule.metric,
        slice=rule.slice or "",
        unit=UNITS.get(rule.grader, "count"),
        n=cases,
        touched=int((evidence.touched & compared.keep).sum()),
        limit=1 + (rule.max_increase or 0.0),
        sql=increase_sql(rule, evidence.subject),
    )
    if cases == 0:
        return result
    if rule.grader == "cost" and evidence.repriced:
        return replace(
            result,
            status="not_comparable",
            sentence=f"{_repriced(evidence.repriced)} another price than in the baseline: costs cannot be compared.",
        )
    if any(bool((rows.values < 0).any()) for rows in compared.rows()):
        return replace(
            result,
            status="error",
            sentence=f"{rule.grader} measures numbers below nought, which have no ratio: give `max` instead.",
        )
    judged = _JUDGES[rule.metric](result, compared)
    missing = compared.missing()
    return replace(judged, status="inconclusive", sentence=missing) if missing and judged.status == "pass" else judged


def _compared(rule: GateRule, evidence: Evidence, spec: GateSpec) -> _Compared:
    pairs = evidence.pairs[rule.grader]
    if rule.metric != "per_success":
        return _Compared(rule, evidence, spec, pairs.before.value, pairs.now.value)
    before, now = evidence.successes[rule.grader]
    unpriced = int(now.unmeasured[evidence.in_slice(rule.slice)].sum())
    unknown = f"{count_of(unpriced, 'trial')} that a grader judged {_HAS[unpriced == 1]} no {rule.grader}."
    return _Compared(rule, evidence, spec, before.cost, now.cost, unknown if unpriced else "")


# ── means: the typical case, and the bill ───────────────────────────────────────────────


def _judge_mean(result: RuleResult, compared: _Compared) -> RuleResult:
    keep, spec = compared.keep, compared.spec
    before, now = compared.before[keep], compared.now[keep]
    result = replace(
        result,
        baseline=float(before.mean()),
        candidate=float(now.mean()),
        method="paired log ratio (geometric mean) and ratio of means, by cluster",
    )
    if not bool((before != now).any()):
        return _same(result)
    rows = compared.rows()
    found = log_ratio(
        np.concatenate([side.values for side in rows]),
        np.concatenate([side.cases for side in rows]),
        np.repeat([False, True], [len(side.values) for side in rows]),
        margin=(result.limit or 1.0) - 1,
        clusters=compared.clusters,
        tail_low=spec.alpha / 2,  # either of the two blocks
        tail_high=spec.beta,  # a pass needs both
    )
    limit, typical = found.limit, (found.ratio, found.low, found.high)
    result = _with_ends(result, typical)
    ratio, low, high = found.means
    result = replace(result, mean_ratio=finite(ratio), mean_low=finite(low), mean_high=finite(high))
    aside = found.zeros_up + found.zeros_down
    text = _typical_and_mean(result.grader, typical if found.units else None, found.means, limit)
    if aside:
        text += f"; {count_of(aside, 'case')} with a zero on one side {_HAS[aside == 1]} no ratio and count in the mean"
    status = status_of_mean(found)
    if status != "inconclusive":
        return _decided(result, status, text, spec)
    further = max(_further(item, limit, found.n) for item in (typical, found.means))
    return _open(result, max(ratio, found.ratio if found.units else ratio), limit, text, further)


def status_of_mean(found: LogRatio) -> Literal["pass", "block", "inconclusive"]:
    """What a typical case and the mean together come to: both below the limit pass, either above it blocks."""
    _, low, high = found.means
    if found.exceeds or low > found.limit:
        return "block"
    return "pass" if found.noninferior and high < found.limit else "inconclusive"


def _typical_and_mean(grader: str, typical: Ends | None, means: Ends, limit: float) -> str:
    mean = f"mean {grader} {_ends(means)}"
    of_case = f", of a typical case {_ends(typical)}" if typical else ""
    return f"{mean}{of_case}, limit {change(limit)}"


# ── percentiles ─────────────────────────────────────────────────────────────────────────


def _judge_percentile(result: RuleResult, compared: _Compared) -> RuleResult:
    spec, quantile = compared.spec, QUANTILES[compared.rule.metric]
    before, now = (side.first_of(compared.clusters) for side in compared.rows())
    result = replace(
        result,
        n=len(now),
        baseline=percentile(before, quantile),
        candidate=percentile(now, quantile),
        method="order statistics of one trial of each case or cluster",
    )
    if np.array_equal(before, now):
        return _same(result)
    found = percentile_ratio(before, now, quantile, tail_low=spec.alpha, tail_high=spec.beta)
    ends, limit = (found.ratio, found.ratio_low, found.ratio_high), result.limit or 1.0
    result = _with_ends(result, ends)
    text = f"{result.metric} of {result.grader} {_ends(ends)}, limit {change(limit)}"
    if found.ratio_low > limit:
        return _decided(result, "block", text, spec)
    if found.ratio_high < limit:
        return _decided(result, "pass", text, spec)
    # a pass needs an upper end of the candidate, a block one of the baseline
    lacking = _least_values(quantile, (spec.beta if found.ratio <= limit else spec.alpha) / 2) - len(now)
    return _open(result, found.ratio, limit, text, lacking if lacking > 0 else _further(ends, limit, len(now)))


def _least_values(quantile: float, tail: float) -> int:
    """Values that a percentile needs for an upper end."""
    return math.ceil(math.log(tail) / math.log(quantile))


# ── what a success costs ────────────────────────────────────────────────────────────────


def _judge_per_success(result: RuleResult, compared: _Compared) -> RuleResult:
    keep, spec = compared.keep, compared.spec
    before, now = ((side.cost[keep], side.share[keep]) for side in compared.evidence.successes[result.grader])
    result = replace(
        result,
        baseline=finite(cost_per_success(*before)[0]),
        candidate=finite(cost_per_success(*now)[0]),
        method="ratio of total cost to successes; delta method on the log scale, by cluster",
    )
    if result.candidate is None:
        return replace(result, sentence="No trial succeeds now: no success has a cost.")
    if all(np.array_equal(*both) for both in zip(before, now, strict=True)):
        return _same(result)
    ends = cost_per_success_ratio(before, now, compared.clusters, tail_low=spec.alpha, tail_high=spec.beta)
    result, limit = _with_ends(result, ends), result.limit or 1.0
    text = (
        f"{result.grader} of a successful answer {_ends(ends)}, limit {change(limit)} "
        f"({before[1].mean():.1%} succeeded before, {now[1].mean():.1%} now)"
    )
    if ends[1] > limit:
        return _decided(result, "block", text, spec)
    if ends[2] < limit:
        return _decided(result, "pass", text, spec)
    return _open(result, ends[0], limit, text, _further(ends, limit, result.n))


_JUDGES: Mapping[str, Callable[[RuleResult, _Compared], RuleResult]] = {
    "mean": _judge_mean,
    "p50": _judge_percentile,
    "p95": _judge_percentile,
    "per_success": _judge_per_success,
}


# ── words ───────────────────────────────────────────────────────────────────────────────


def _what(result: RuleResult) -> str:
    if result.metric == "per_success":
        return f"{result.grader} of a successful answer"
    return f"{result.metric} {result.grader}" if result.metric == "mean" else f"{result.metric} of {result.grader}"


def _same(result: RuleResult) -> RuleResult:
    what = _what(result)
    return replace(
        _with_ends(result, (1.0, 1.0, 1.0)), status="pass", sentence=f"{what[0].upper()}{what[1:]} is the same."
    )


def _with_ends(result: RuleResult, ends: Ends) -> RuleResult:
    ratio, low, high = ends
    return replace(result, delta=finite(ratio), low=finite(low), high=finite(high))


def _ends(ends: Ends) -> str:
    ratio, low, high = ends
    return f"{change(ratio)} [{change(low)}, {change(high)}]"


def _decided(result: RuleResult, status: RuleStatus, text: str, spec: GateSpec) -> RuleResult:
    if status == "pass":
        return replace(result, status=status, sentence=f"Within the limit at {1 - spec.beta:.0%} confidence: {text}.")
    beyond = _BEYOND.get(result.unit, "More than allowed")
    return replace(result, status=status, sentence=f"{beyond} at {1 - spec.alpha:.0%} confidence: {text}.")


def _open(result: RuleResult, ratio: float, limit: float, text: str, further: float) -> RuleResult:
    """Neither shown nor ruled out, with what would settle it."""
    said = "Over the limit, but that could be chance" if ratio > limit else "Not proven to be within the limit"
    if not 0 < further <= _MOST_FURTHER:
        return replace(result, sentence=f"{said}: {text}; it is too close to the limit for more trials to settle it.")
    more = math.ceil(further)
    sentence = f"{said}: {text}; about {count_of(more, 'more case')} (or trials, where it varies) would settle it."
    return replace(result, sentence=sentence, more_trials=more)


def _further(ends: Ends, limit: float, n: int) -> float:
    """Further cases for an end within the limit, or beyond it: widths of log ratios fall with the root of their number.

    Infinite where the estimate is at the limit; ten times what there is where an end is open, as no width is known.
    """
    ratio, low, high = ends
    if not 0 < ratio < math.inf:
        return 9.0 * n
    end = high if ratio <= limit else low
    room = abs(math.log(limit / ratio))
    if not 0 < end < math.inf:
        return max(9.0 * n, 20.0 - n)
    width = abs(math.log(end / ratio))
    if room == 0:
        return math.inf if width else 0.0
    return max(0.0 if width < room else 1.0, n * ((width / room) ** 2 - 1))
