"""Is the candidate worse than the baseline on the same cases? Paired, clustered, right for small samples.

Cases of one cluster (same source document, template or conversation) stand or fall together:
they are summed before anything is tested (Miller 2024, arXiv 2411.00640, appendix A).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evalkit.stats.intervals import paired_share_difference, zero_failures_bound

__all__ = ["Paired", "holm", "paired_difference", "ratio_of_means", "sign_flip_test"]

Floats = NDArray[np.float64]
_EXACT_STEPS = 10_000_000
_DRAWS = 9_999
_NO_DIFFERENCE = 1e-9
"""Sums of scores in [0, 1] that differ by less are equal but for rounding."""


@dataclass(frozen=True)
class Paired:
    """Result of a paired comparison. Differences are candidate minus baseline; below zero is worse."""

    n: int
    """Pairs compared, untouched ones included."""
    touched: int
    """Pairs that could differ at all."""
    clusters: int
    """Independent groups among the touched pairs."""
    baseline: float
    candidate: float
    delta: float
    low: float
    """Lower end: the truth is below with at most ``tail_low``."""
    high: float
    """Upper end: the truth is above with at most ``tail_high``."""
    p_worse: float
    """Chance of a drop at least this large when nothing has changed."""
    p_better: float
    broke: float
    """Sum of the drops, in pairs."""
    fixed: float
    method: str


def paired_difference(
    baseline: Floats,
    candidate: Floats,
    clusters: NDArray[np.int64] | None = None,
    *,
    touched: NDArray[np.bool_] | None = None,
    tail_low: float = 0.10,
    tail_high: float = 0.05,
    seed: int = 0,
) -> Paired:
    """Compare paired scores, one value a case (the mean of its trials).

    Untouched cases, where nothing that the trial depends on differs, count with a difference
    of exactly zero: they dilute the estimate and carry no uncertainty.

    Args:
        baseline: Scores before, shape (n,).
        candidate: Scores now, shape (n,), same order.
        clusters: Cluster number of each case; default every case is its own.
        touched: Which cases could differ; default all.
        tail_low: Probability left out below the interval.
        tail_high: Probability left out above.
        seed: For the permutation draws where an exact test is too large.
    """
    before, now = np.asarray(baseline, np.float64), np.asarray(candidate, np.float64)
    n = len(before)
    mask = np.ones(n, bool) if touched is None else np.asarray(touched, bool)
    groups = np.arange(n) if clusters is None else np.asarray(clusters)
    differences = (now - before)[mask]
    size = len(differences)
    base_mean = float(before.mean()) if n else math.nan
    cand_mean = float(now.mean()) if n else math.nan
    if size == 0:
        return Paired(n, 0, 0, base_mean, cand_mean, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, "untouched")
    _, index = np.unique(groups[mask], return_inverse=True)
    sums = np.bincount(index, weights=differences).astype(np.float64)
    summed = _Clusters(differences, sums, np.bincount(index).astype(np.float64))
    p_worse, p_better, test = sign_flip_test(sums, seed=seed)
    binary = bool(np.all(np.isin(before[mask], (0.0, 1.0))) and np.all(np.isin(now[mask], (0.0, 1.0))))
    if binary:
        low, high = _binary_interval(summed, tail_low, tail_high)
    else:
        shares = bool(min(before.min(), now.min()) >= 0 and max(before.max(), now.max()) <= 1)
        low, high = _mean_interval(summed, tail_low, tail_high, shares=shares)
    interval = "Tango score interval" if binary else "cluster t interval"
    share = size / n
    return Paired(
        n=n,
        touched=size,
        clusters=len(sums),
        baseline=base_mean,
        candidate=cand_mean,
        delta=float(differences.sum() / n),
        low=low * share,
        high=high * share,
        p_worse=p_worse,
        p_better=p_better,
        broke=float(-differences[differences < 0].sum()),
        fixed=float(differences[differences > 0].sum()),
        method=f"{test}; {interval}",
    )


def sign_flip_test(sums: Floats, *, seed: int = 0) -> tuple[float, float, str]:
    """Exact test that differences are symmetric around zero, by flipping the signs of cluster sums.

    Without clusters and for pass and fail it is the exact McNemar test. Where the sums are whole
    numbers of a common unit the distribution is computed, not drawn.

    Returns:
        P for a drop, P for a gain, and the name of the method.
    """
    values = np.abs(sums[np.abs(sums) > _NO_DIFFERENCE])
    if len(values) == 0:
        return 1.0, 1.0, "no difference"
    observed = float(sums.sum())
    parts = _common_parts(values)
    units = np.round(values * parts).astype(np.int64) if parts else None
    if units is not None and int(units.sum()) * len(units) <= _EXACT_STEPS:
        distribution = np.zeros(2 * int(units.sum()) + 1)
        middle = int(units.sum())
        distribution[middle] = 1.0
        for step in units.tolist():
            moved = np.zeros_like(distribution)
            moved[step:] += 0.5 * distribution[: len(distribution) - step]
            moved[: len(distribution) - step] += 0.5 * distribution[step:]
            distribution = moved
        place = middle + round(observed * parts)
        return (
            float(min(1.0, distribution[: place + 1].sum())),
            float(min(1.0, distribution[place:].sum())),
            "exact sign-flip test",
        )
    generator = np.random.default_rng(seed)
    worse = better = 1
    for start in range(0, _DRAWS, 512):
        count = min(512, _DRAWS - start)
        signs = generator.integers(0, 2, size=(count, len(values))) * 2.0 - 1.0
        drawn = signs @ values
        worse += int((drawn <= observed + 1e-12).sum())
        better += int((drawn >= observed - 1e-12).sum())
    return worse / (_DRAWS + 1), better / (_DRAWS + 1), "drawn sign-flip test"


def _common_parts(values: Floats) -> int:
    """Into how many parts one must be cut for all values to be whole numbers of them (the trials of a case).

    Nought where one to twelve are not enough, or the values too large to count in parts.
    """
    if values.max() > _EXACT_STEPS:
        return 0
    for parts in range(1, 13):
        scaled = values * parts
        if np.all(np.abs(scaled - np.round(scaled)) < _NO_DIFFERENCE):
            return parts
    return 0


@dataclass(frozen=True)
class _Clusters:
    """Sums of differences by cluster, and the sizes of the clusters."""

    differences: Floats
    sums: Floats
    sizes: Floats

    @property
    def square(self) -> float:
        """Squared error of the sum of the differences, clusters moving together (Miller 2024, appendix A)."""
        count = len(self.sums)
        deviations = self.sums - self.sizes * float(self.differences.mean())
        return float(count / (count - 1) * (deviations**2).sum())

    @property
    def design_effect(self) -> float:
        """How much more the mean varies than that of independent cases; at least one.

        Where nothing varies the data do not say: then each cluster counts as one case.
        """
        if len(self.sums) == len(self.differences):
            return 1.0
        independent = float(((self.differences - self.differences.mean()) ** 2).sum())
        if len(self.sums) < 2 or independent < 1e-12:
            return len(self.differences) / len(self.sums)
        return max(1.0, self.square / independent)


def _binary_interval(clusters: _Clusters, tail_low: float, tail_high: float) -> tuple[float, float]:
    """Tango's interval on effective counts: the counts divided by the design effect."""
    design = clusters.design_effect
    broke, fixed = float((clusters.differences < 0).sum()), float((clusters.differences > 0).sum())
    effective = len(clusters.differences) / design
    return paired_share_difference(broke / design, fixed / design, effective, tail_low, tail_high)


def _mean_interval(clusters: _Clusters, tail_low: float, tail_high: float, *, shares: bool) -> tuple[float, float]:
    """Student's interval on cluster sums; where nothing varies, the bound that no change in so many clusters gives.

    On a scale that is not that of shares nothing is known of what was not seen: then the interval is open.
    """
    n, count = len(clusters.differences), len(clusters.sums)
    mean = float(clusters.differences.mean())
    end = 1.0 if shares else math.inf
    if count < 2:
        return -end, end
    error = math.sqrt(clusters.square) / n
    if error < 1e-12 and not shares:
        return -end, end
    if error < 1e-12:
        return mean - zero_failures_bound(count, tail_low), mean + zero_failures_bound(count, tail_high)
    low = mean - _student(tail_low, count - 1) * error
    high = mean + _student(tail_high, count - 1) * error
    return max(-end, low), min(end, high)


def _student(tail: float, freedom: int) -> float:
    """The value that Student's t exceeds with probability ``tail``."""
    return float(special.stdtrit(freedom, 1 - tail))


def ratio_of_means(
    baseline: Floats,
    candidate: Floats,
    clusters: NDArray[np.int64] | None = None,
    *,
    tail_low: float = 0.05,
    tail_high: float = 0.10,
) -> tuple[float, float, float]:
    """Mean of the candidate over mean of the baseline on the same cases, with an interval (delta method, log scale).

    Returns:
        Ratio, lower end, upper end; infinite where the baseline's mean is zero.
    """
    before, now = np.asarray(baseline, np.float64), np.asarray(candidate, np.float64)
    if len(before) == 0 or before.mean() <= 0:
        return math.inf, 0.0, math.inf
    ratio = float(now.mean() / before.mean())
    if ratio <= 0:
        return 0.0, 0.0, 0.0
    groups = np.arange(len(before)) if clusters is None else np.asarray(clusters)
    _, index = np.unique(groups, return_inverse=True)
    influence = np.bincount(index, weights=(now / now.mean() - before / before.mean()) / len(before))
    count = len(influence)
    if count < 2:
        return ratio, 0.0, math.inf
    error = math.sqrt(count / (count - 1) * float(((influence - influence.mean()) ** 2).sum()))
    low = ratio * math.exp(-_student(tail_low, count - 1) * error)
    high = ratio * math.exp(_student(tail_high, count - 1) * error)
    return ratio, low, high


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979): reject where the adjusted value is at most alpha."""
    count = len(p_values)
    adjusted = [0.0] * count
    running = 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
