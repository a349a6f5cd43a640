"""Cost, latency and tokens: no dearer and no slower than the baseline by more than a margin?

Such measurements are positive and skewed, and what changes them multiplies. So cases are paired and the logarithms
compared: the estimate is the geometric mean over the cases of the candidate's value over the baseline's, for a typical
case. The bill is the arithmetic mean, which a few dear cases decide; :func:`evalkit.stats.ratio_of_means` speaks of
it, and both are in the result.

**Zeros** have no logarithm. Nothing is added to them, because what is added would decide the result. A case with only
zeros on both sides has not changed: its log ratio is nought. A case with a zero on one side only, or among positive
values, is set aside and counted; then the geometric mean does not tell the whole story, and the verdict needs the
ratio of means, in which zeros count, to stay below the limit too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evalkit.stats.intervals import percentile, percentile_interval
from evalkit.stats.paired import ratio_of_means
from evalkit.stats.sprt import wald_bounds

__all__ = [
    "LogRatio",
    "RatioOfPercentiles",
    "SequentialRatio",
    "Step",
    "cost_per_success",
    "cost_per_success_ratio",
    "log_ratio",
    "log_ratio_sprt",
    "percentile_ratio",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_NO_SPREAD = 1e-12
"""A standard error below this is that of ratios which are all the same."""


# ── fixed sample ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class LogRatio:
    """Candidate over baseline of a positive measurement. Above one is dearer, slower, longer."""

    n: int
    """Cases compared, zeros included."""
    units: int
    """Independent clusters in the geometric mean."""
    unchanged_zeros: int
    """Cases that are nought throughout, before and now: counted as unchanged."""
    zeros_up: int
    """Cases set aside for a zero whose mean rose."""
    zeros_down: int
    """Cases set aside for a zero whose mean did not rise."""
    ratio: float
    """Geometric mean of the ratios; NaN without cases."""
    low: float
    """Lower end: the truth is below with at most ``tail_low``."""
    high: float
    """Upper end: the truth is above with at most ``tail_high``."""
    log_error: float
    """Standard error of the logarithm of the ratio; infinite where there are fewer than two units."""
    limit: float
    """The ratio that is still allowed: 1 + margin."""
    p_noninferior: float
    """Chance of a ratio this low if the true one were the limit: small speaks for the candidate."""
    p_exceeds: float
    """Chance of a ratio this high if the true one were the limit: small speaks against it."""
    means: tuple[float, float, float]
    """Ratio of the means of all cases, zeros included, with its lower and upper end."""

    @property
    def noninferior(self) -> bool:
        """A ratio of the limit or more is ruled out; where cases were set aside, for the ratio of means too."""
        aside = self.zeros_up + self.zeros_down
        return self.high < self.limit and (aside == 0 or self.means[2] < self.limit)

    @property
    def exceeds(self) -> bool:
        """A ratio of the limit or less is ruled out; where cases were set aside, for the ratio of means."""
        aside = self.zeros_up + self.zeros_down
        return self.means[1] > self.limit if aside else self.low > self.limit


def log_ratio(
    values: Floats,
    cases: NDArray[np.integer[Any]],
    candidate: NDArray[np.bool_],
    *,
    margin: float,
    clusters: NDArray[np.integer[Any]] | None = None,
    tail_low: float = 0.05,
    tail_high: float = 0.10,
) -> LogRatio:
    """Paired log ratio with Student's interval on cluster means (Miller 2024, arXiv 2411.00640, appendix A).

    One row is one trial. Logarithms are taken trial by trial and then averaged: the logarithm of a mean of many history
    runs lies above that of a single trial, and would make every candidate look cheap. Cases without trials on both
    sides are not compared.

    Args:
        values: Cost, latency or tokens of each trial, in any unit, not negative, shape (trials,).
        cases: Case number of each trial, from nought.
        candidate: Whether a trial is the candidate's; the others are the baseline's.
        margin: Allowed increase: 0.1 for +10%.
        clusters: Cluster number of each case, shape (cases,); default every case is its own.
        tail_low: Probability left out below the interval: of a false alarm.
        tail_high: Probability left out above: of passing a candidate at the limit.

    Raises:
        ValueError: For values that are negative, infinite or missing, or numbers that do not fit.
    """
    measured, which, now = np.asarray(values, np.float64), np.asarray(cases, np.int64), np.asarray(candidate, bool)
    if not len(measured) == len(which) == len(now):
        raise ValueError("values, case numbers and sides must have one entry a trial")
    if not np.isfinite(measured).all() or (measured < 0).any():
        raise ValueError("a measurement is negative, infinite or missing; leave out trials without one")
    if margin <= -1:
        raise ValueError("the margin must be above -100%")
    by_case = _CaseMeans.of(measured, which, now, 0 if clusters is None else len(clusters))
    units = None if clusters is None else np.asarray(clusters)[by_case.numbers]
    means = ratio_of_means(by_case.before, by_case.now, units, tail_low=tail_low, tail_high=tail_high)
    estimate, error, count = _clustered_mean(by_case.logs, None if units is None else units[by_case.usable])
    limit = math.log1p(margin)
    freedom = max(1, count - 1)
    aside = ~by_case.usable
    up = int((aside & (by_case.now > by_case.before)).sum())
    statistic = _standardised(estimate - limit, error)
    return LogRatio(
        n=len(by_case.numbers),
        units=count,
        unchanged_zeros=by_case.unchanged_zeros,
        zeros_up=up,
        zeros_down=int(aside.sum()) - up,
        ratio=math.exp(estimate) if count else math.nan,
        low=_end(estimate, -_student(tail_low, freedom), error),
        high=_end(estimate, _student(tail_high, freedom), error),
        log_error=error,
        limit=1.0 + margin,
        p_noninferior=float(special.stdtr(freedom, statistic)),
        p_exceeds=float(special.stdtr(freedom, -statistic)),
        means=means,
    )


@dataclass(frozen=True)
class _CaseMeans:
    """Cases with trials on both sides."""

    numbers: Ints
    before: Floats
    """Arithmetic means of the baseline's trials."""
    now: Floats
    usable: NDArray[np.bool_]
    """Cases that have a log ratio."""
    logs: Floats
    """Log ratios of these."""
    unchanged_zeros: int

    @classmethod
    def of(cls, values: Floats, cases: Ints, candidate: NDArray[np.bool_], count: int) -> _CaseMeans:
        size = max(count, int(cases.max(initial=-1)) + 1)
        if len(cases) and int(cases.min()) < 0:
            raise ValueError("case numbers must not be negative")
        if 0 < count < size:
            raise ValueError(f"case number {size - 1} has no cluster: there are {count}")
        zero = values == 0
        logs = np.log(np.where(zero, 1.0, values))

        def side(rows: NDArray[np.bool_]) -> tuple[Ints, Ints, Floats, Floats]:
            trials = np.bincount(cases[rows], minlength=size)
            zeros = np.bincount(cases[rows & zero], minlength=size)
            share = np.maximum(trials, 1)
            mean = np.bincount(cases[rows], weights=values[rows], minlength=size) / share
            return trials, zeros, mean, np.bincount(cases[rows], weights=logs[rows], minlength=size) / share

        before, now = side(~candidate), side(candidate)
        both = np.flatnonzero((before[0] > 0) & (now[0] > 0))
        still = ((before[2] == 0) & (now[2] == 0))[both]
        usable = still | ((before[1] == 0) & (now[1] == 0))[both]
        return cls(
            numbers=both,
            before=before[2][both],
            now=now[2][both],
            usable=usable,
            logs=(now[3] - before[3])[both][usable],
            unchanged_zeros=int(still.sum()),
        )


def _clustered_mean(values: Floats, clusters: NDArray[Any] | None) -> tuple[float, float, int]:
    """Mean, its standard error with clusters moving together, and their number."""
    if not len(values):
        return math.nan, math.inf, 0
    mean = float(values.mean())
    deviations = values - mean
    if clusters is not None:
        _, groups = np.unique(clusters, return_inverse=True)
        deviations = np.bincount(groups, weights=deviations).astype(np.float64)
    count = len(deviations)
    if count < 2:
        return mean, math.inf, count
    return mean, math.sqrt(count / (count - 1) * float(deviations @ deviations)) / len(values), count


def _student(tail: float, freedom: int) -> float:
    """The value that Student's t exceeds with probability ``tail``."""
    return float(special.stdtrit(freedom, 1 - tail))


def _standardised(distance: float, error: float) -> float:
    """Distance over error: nought where nothing is known, infinite where there is no doubt."""
    if math.isinf(error):
        return 0.0
    return distance / error if error > _NO_SPREAD else math.copysign(math.inf, distance) if distance else 0.0


def _end(estimate: float, quantile: float, error: float) -> float:
    """End of an interval of a ratio from its logarithm."""
    if math.isinf(error):
        return 0.0 if quantile < 0 else math.inf
    exponent = estimate + quantile * error
    return math.exp(exponent) if exponent < 700 else math.inf


# ── sequential ──────────────────────────────────────────────────────────────────────────


class Step(Enum):
    """What a sequential test says after a look."""

    CONTINUE = "continue"
    PASS = "pass"  # noqa: S105 -- a decision, not a secret
    FAIL = "fail"


@dataclass(frozen=True)
class SequentialRatio:
    """State of the sequential test of a log ratio."""

    step: Step
    llr: float
    """Log likelihood ratio of "the limit" against "unchanged"."""
    lower: float
    """PASS at or below."""
    upper: float
    """FAIL at or above."""


def log_ratio_sprt(
    result: LogRatio, *, alpha: float = 0.05, beta: float = 0.10, min_units: int = 20
) -> SequentialRatio:
    """Wald's sequential probability ratio test of "unchanged" against "at the limit", on the log scale.

    With ``D`` the mean log ratio, ``I`` one over its squared standard error and ``d`` the logarithm of the limit:
    ``LLR = d D I - d^2 I / 2``, with FAIL and PASS at the boundaries of :func:`evalkit.stats.sprt.wald_bounds`. The
    standard error is estimated, so that the first look waits for some clusters; looks may follow after any case. Cases
    have to arrive in an order that does not depend on their values.

    A case that was set aside for a zero is not in the geometric mean: PASS then needs ``result.noninferior`` as well.

    Args:
        result: The comparison so far; its limit is the alternative.
        alpha: Chance of FAIL for an unchanged candidate.
        beta: Chance of PASS for one at the limit.
        min_units: Clusters before the first look.
    """
    lower, upper = wald_bounds(alpha, beta)
    if result.limit <= 1:
        raise ValueError("the sequential test needs a margin above nought")
    if result.units < max(2, min_units):
        return SequentialRatio(Step.CONTINUE, 0.0, lower, upper)
    margin, estimate = math.log(result.limit), math.log(result.ratio)
    # where all ratios are the same there is no doubt: the sign of the distance to the middle decides
    information = 1.0 / max(result.log_error, _NO_SPREAD) ** 2
    llr = margin * information * (estimate - margin / 2)
    step = Step.FAIL if llr >= upper else Step.PASS if llr <= lower else Step.CONTINUE
    if step is Step.PASS and result.zeros_up + result.zeros_down and not result.noninferior:
        step = Step.CONTINUE
    return SequentialRatio(step, llr, lower, upper)


# ── cost of a success ───────────────────────────────────────────────────────────────────


def cost_per_success(
    costs: Floats,
    successes: Floats,
    clusters: NDArray[np.integer[Any]] | None = None,
    *,
    tail_low: float = 0.05,
    tail_high: float = 0.05,
) -> tuple[float, float, float]:
    """Total cost over successful completions, with Fieller's interval (Fieller 1954, J. Royal Stat. Soc. B 16:175).

    Failures cost too: their cost is in the total. Fieller's interval holds where successes are few, and is then open.

    Args:
        costs: Mean cost of each case, shape (cases,).
        successes: Share of each case's trials that succeeded.
        clusters: Cluster number of each case; default every case is its own.
        tail_low: Probability left out below.
        tail_high: Probability left out above.

    Returns:
        Cost of a success, lower end, upper end. Infinite without a success; an end is nought or infinite where the
        data do not bound it.
    """
    cost, success = np.asarray(costs, np.float64), np.asarray(successes, np.float64)
    _check_arm(cost, success)
    if not len(cost) or success.sum() <= 0:
        return math.inf, 0.0, math.inf
    of_cost, of_success = _influence(cost, clusters), _influence(success, clusters)
    count = len(of_cost)
    ratio = float(cost.mean() / success.mean())
    if count < 2:
        return ratio, 0.0, math.inf
    factor = count / (count - 1)
    spread = (factor * float(a @ b) for a, b in ((of_cost, of_cost), (of_cost, of_success), (of_success, of_success)))
    variances, means = tuple(spread), (float(cost.mean()), float(success.mean()))
    low, _ = _fieller(means, variances, _student(tail_low, count - 1))
    _, high = _fieller(means, variances, _student(tail_high, count - 1))
    return ratio, low, high


def _check_arm(cost: Floats, success: Floats) -> None:
    if len(cost) != len(success):
        raise ValueError("costs and successes must have one entry a case")
    if not np.isfinite(cost).all() or not np.isfinite(success).all() or (cost < 0).any() or (success < 0).any():
        raise ValueError("a cost or a success is negative, infinite or missing")


def _influence(values: Floats, clusters: NDArray[Any] | None) -> Floats:
    """What each cluster adds to the error of the mean."""
    parts = (values - values.mean()) / len(values)
    if clusters is None:
        return np.asarray(parts)
    _, groups = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(groups, weights=parts).astype(np.float64)


def _fieller(means: tuple[float, float], variances: tuple[float, ...], t: float) -> tuple[float, float]:
    """Ratios ``r`` for which ``(top - r bottom)^2`` is at most ``t^2`` times its variance; nothing below nought."""
    top, bottom = means
    of_top, of_both, of_bottom = variances
    a = bottom**2 - t**2 * of_bottom
    b = top * bottom - t**2 * of_both
    c = top**2 - t**2 * of_top
    if a <= 0:
        # the mean below the line may be nought: no upper end; the lower end is the root that is left, if any
        root = math.sqrt(max(0.0, b * b - a * c))
        return (max(0.0, c / (b + root)) if b + root > 0 else 0.0), math.inf
    root = math.sqrt(max(0.0, b * b - a * c))
    return max(0.0, (b - root) / a), (b + root) / a


def cost_per_success_ratio(
    baseline: tuple[Floats, Floats],
    candidate: tuple[Floats, Floats],
    clusters: NDArray[np.integer[Any]] | None = None,
    *,
    tail_low: float = 0.05,
    tail_high: float = 0.10,
) -> tuple[float, float, float]:
    """Cost of a success now over the cost of a success before, on the same cases (delta method, log scale).

    What costs and successes of a case have in common, on both sides, is taken into account.

    Args:
        baseline: Mean cost and share of successes of each case, shape (cases,) each.
        candidate: The same now, in the same order.
        clusters: Cluster number of each case; default every case is its own.
        tail_low: Probability left out below.
        tail_high: Probability left out above.

    Returns:
        Ratio, lower end, upper end. Infinite where nothing succeeds now or nothing was paid before; nought where
        nothing is paid now or nothing succeeded before; NaN where both. Without a positive number in all four places
        the ends are nought and infinity.
    """
    arrays = [np.asarray(array, np.float64) for array in (*candidate, *baseline)]
    _check_arm(arrays[0], arrays[1])
    _check_arm(arrays[2], arrays[3])
    if len(arrays[0]) != len(arrays[2]):
        raise ValueError("both sides must have the same cases")
    cost, success, cost_before, success_before = (float(array.mean()) if len(array) else 0.0 for array in arrays)
    above, below = cost * success_before, cost_before * success
    if above <= 0 or below <= 0:
        return (math.nan if above <= 0 and below <= 0 else 0.0 if above <= 0 else math.inf), 0.0, math.inf
    influence = sum(
        sign * _influence(array, clusters) / float(array.mean())
        for sign, array in zip((1, -1, -1, 1), arrays, strict=True)
    )
    moved = np.asarray(influence)
    if len(moved) < 2:
        return above / below, 0.0, math.inf
    error, freedom = math.sqrt(len(moved) / (len(moved) - 1) * float(moved @ moved)), len(moved) - 1
    estimate = math.log(above / below)
    low, high = (
        _end(estimate, sign * _student(tail, freedom), error) for sign, tail in ((-1, tail_low), (1, tail_high))
    )
    return above / below, low, high


# ── percentiles of two samples ──────────────────────────────────────────────────────────


@dataclass(frozen=True)
class RatioOfPercentiles:
    """A percentile of two samples, compared without an assumption on their distributions."""

    baseline: float
    candidate: float
    difference: float
    difference_low: float
    difference_high: float
    ratio: float
    ratio_low: float
    ratio_high: float


def percentile_ratio(
    baseline: Floats, candidate: Floats, q: float = 0.95, *, tail_low: float = 0.05, tail_high: float = 0.05
) -> RatioOfPercentiles:
    """Difference and ratio of a percentile of two samples, from order statistics.

    Each end joins one end of each sample's own interval (Conover 1999, section 3.2), each wrong with half the tail. By
    Bonferroni the ends are then wrong with at most ``tail_low`` and ``tail_high``, for samples of any size from any
    distributions, paired or not. That is more than the error that happens, often several times: a margin that the
    interval keeps is kept, one that it reaches may be kept all the same. Guaranteed only where the values of a sample
    are independent draws of its distribution: several trials of a case, or cases of a cluster, are not; take one of
    each then. An end is infinite, or nought, where a sample is too small to have one: below 72 values for a 95th
    percentile with 5% at each end, no upper end of the candidate.

    Args:
        baseline: Measurements before, not negative, shape (n,).
        candidate: Measurements now, shape (m,).
        q: Which percentile.
        tail_low: Probability left out below.
        tail_high: Probability left out above.
    """
    before, now = np.asarray(baseline, np.float64), np.asarray(candidate, np.float64)
    if not len(before) or not len(now):
        raise ValueError("a percentile needs at least one value on either side")
    both = np.concatenate([before, now])
    if not np.isfinite(both).all() or (both < 0).any():
        raise ValueError("a measurement is negative, infinite or missing")
    at_low = percentile_interval(now, q, tail_low / 2)[0], percentile_interval(before, q, tail_low / 2)[1]
    at_high = percentile_interval(now, q, tail_high / 2)[1], percentile_interval(before, q, tail_high / 2)[0]
    # a measurement cannot be below nought
    low, high = (max(0.0, at_low[0]), at_low[1]), (at_high[0], max(0.0, at_high[1]))
    return RatioOfPercentiles(
        baseline=percentile(before, q),
        candidate=percentile(now, q),
        difference=percentile(now, q) - percentile(before, q),
        difference_low=low[0] - low[1],
        difference_high=high[0] - high[1],
        ratio=_quotient(percentile(now, q), percentile(before, q)),
        ratio_low=low[0] / low[1] if low[1] > 0 else 0.0,
        ratio_high=high[0] / high[1] if high[1] > 0 else math.inf,
    )


def _quotient(top: float, bottom: float) -> float:
    if bottom > 0:
        return top / bottom
    return math.inf if top > 0 else math.nan
