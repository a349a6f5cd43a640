"""Is the candidate worse than the baseline on the same cases? Paired, clustered, right for small samples.

Cases of one cluster (same source document, template or conversation) stand or fall together:
they are summed before anything is tested (Miller 2024, arXiv 2411.00640, appendix A).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evalkit.stats.intervals import paired_share_difference, zero_failures_bound

__all__ = [
    "Paired",
    "PairedSums",
    "cluster_sizes",
    "compare_sums",
    "holm",
    "paired_difference",
    "ratio_of_means",
    "sign_flip_test",
]

Floats = NDArray[np.float64]
_EXACT_STEPS = 10_000_000
_DRAWS = 9_999
_PIECE = 65_536
"""Values worked on at a time, where a second array of all of them is not needed."""
_ONE_BY_ONE = 8_192
"""Values whose signs are drawn one by one."""
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


@dataclass(frozen=True)
class PairedSums:
    """All that a paired comparison needs to know: its size is that of what moved, not of what was compared."""

    n: int
    """Pairs compared."""
    touched: int
    """Those that could differ at all."""
    baseline: float
    """Mean over all pairs before."""
    candidate: float
    """Mean over all pairs now."""
    moved: Floats
    """Differences of the touched pairs that are not zero, in order."""
    moved_clusters: NDArray[np.int64]
    """Cluster numbers of these."""
    moved_sizes: Floats
    """Touched pairs in the cluster of each of these."""
    clusters: int
    """Clusters with touched pairs."""
    square_sizes: float
    """Sum of the squared sizes of these clusters, counting touched pairs."""
    binary: bool
    """All touched values are nought or one."""
    shares: bool
    """All values lie between nought and one."""


def paired_difference(
    baseline: Floats,
    candidate: Floats,
    clusters: NDArray[np.integer[Any]] | None = None,
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
    differences = (now - before)[mask]
    moving = differences != 0
    size = len(differences)
    if clusters is None:
        numbers, sizes, count, squares = np.flatnonzero(moving), np.ones(int(moving.sum())), size, float(size)
    else:
        numbers, sizes, count, squares = cluster_sizes(np.asarray(clusters)[mask], moving)
    sums = PairedSums(
        n=n,
        touched=size,
        baseline=float(before.mean()) if n else math.nan,
        candidate=float(now.mean()) if n else math.nan,
        moved=differences[moving],
        moved_clusters=numbers,
        moved_sizes=sizes,
        clusters=count,
        square_sizes=squares,
        binary=_is_binary(before[mask]) and _is_binary(now[mask]),
        shares=_within(_ends(before, now)),
    )
    return compare_sums(sums, tail_low=tail_low, tail_high=tail_high, seed=seed)


def cluster_sizes(
    clusters: NDArray[np.integer[Any]], moving: NDArray[np.bool_] | NDArray[np.intp]
) -> tuple[NDArray[np.int64], Floats, int, float]:
    """What a comparison needs to know of clusters.

    Args:
        clusters: Cluster number of each touched pair.
        moving: Which of the pairs moved: a mask or their positions.

    Returns:
        Cluster numbers of the moved pairs, sizes of their clusters, number of clusters, sum of all squared sizes.
    """
    if not len(clusters):
        return np.empty(0, np.int64), np.empty(0), 0, 0.0
    moved = clusters[moving].astype(np.int64)
    if int(clusters.max()) < 8 * len(clusters):
        sizes = np.bincount(clusters)
        return moved, sizes[moved].astype(np.float64), int(np.count_nonzero(sizes)), _square(sizes)
    numbers, sizes = np.unique(clusters, return_counts=True)
    return moved, sizes[np.searchsorted(numbers, moved)].astype(np.float64), len(numbers), _square(sizes)


def _square(sizes: NDArray[np.int64]) -> float:
    return float(np.dot(sizes, sizes))


def _ends(before: Floats, now: Floats) -> tuple[float, float]:
    if not len(before):
        return 0.0, 0.0
    return float(min(before.min(), now.min())), float(max(before.max(), now.max()))


def _within(ends: tuple[float, float]) -> bool:
    return ends[0] >= 0 and ends[1] <= 1


def _is_binary(values: Floats) -> bool:
    return bool(np.all((values == 0.0) | (values == 1.0)))


def compare_sums(sums: PairedSums, *, tail_low: float = 0.10, tail_high: float = 0.05, seed: int = 0) -> Paired:
    """The comparison of :func:`paired_difference` from what is known of the pairs together.

    Args:
        sums: What is known.
        tail_low: Probability left out below the interval.
        tail_high: Probability left out above.
        seed: For the permutation draws where an exact test is too large.
    """
    n, size = sums.n, sums.touched
    if size == 0:
        return Paired(n, 0, 0, sums.baseline, sums.candidate, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, "untouched")
    moved = _Clusters.of(sums)
    p_worse, p_better, test = sign_flip_test(moved.sums, seed=seed)
    if sums.binary:
        low, high = _binary_interval(moved, tail_low, tail_high)
    else:
        low, high = _mean_interval(moved, tail_low, tail_high, shares=sums.shares)
    interval = "Tango score interval" if sums.binary else "cluster t interval"
    share = size / n
    return Paired(
        n=n,
        touched=size,
        clusters=sums.clusters,
        baseline=sums.baseline,
        candidate=sums.candidate,
        delta=float(sums.moved.sum() / n),
        low=low * share,
        high=high * share,
        p_worse=p_worse,
        p_better=p_better,
        broke=float(abs(sums.moved[sums.moved < 0].sum())),
        fixed=float(sums.moved[sums.moved > 0].sum()),
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
    if units is not None and bool((units == units[0]).all()):
        return *_equal_steps(len(units), round(observed * parts / int(units[0]))), "exact sign-flip test"
    if units is not None and int(units.sum()) * len(units) <= _EXACT_STEPS:
        return *_unequal_steps(units, round(observed * parts)), "exact sign-flip test"
    drawn = _draw_sums(values, np.random.default_rng(seed))
    worse, better = 1 + int((drawn <= observed + 1e-12).sum()), 1 + int((drawn >= observed - 1e-12).sum())
    return worse / (_DRAWS + 1), better / (_DRAWS + 1), "drawn sign-flip test"


def _equal_steps(count: int, observed: int) -> tuple[float, float]:
    """Chances that so many steps of one, up or down, end at most and at least there: binomial."""
    up = (observed + count) // 2
    return float(special.bdtr(up, count, 0.5)), float(special.bdtrc(up - 1, count, 0.5)) if up > 0 else 1.0


def _unequal_steps(units: NDArray[np.int64], observed: int) -> tuple[float, float]:
    """The same for steps of different sizes, by convolution."""
    middle = int(units.sum())
    distribution = np.zeros(2 * middle + 1)
    distribution[middle] = 1.0
    for step in units.tolist():
        moved = np.zeros_like(distribution)
        moved[step:] += 0.5 * distribution[: len(distribution) - step]
        moved[: len(distribution) - step] += 0.5 * distribution[step:]
        distribution = moved
    place = middle + observed
    return float(min(1.0, distribution[: place + 1].sum())), float(min(1.0, distribution[place:].sum()))


def _draw_sums(values: Floats, generator: np.random.Generator) -> Floats:
    """Sums of the values with signs drawn at random.

    Of very many values those that are equal are drawn together: how many of them go up is binomial. Where
    very many are all different too, their sum is normal (Lindeberg), and is drawn as one number.
    """
    if len(values) <= _ONE_BY_ONE:
        parts = []
        for start in range(0, _DRAWS, 512):
            count = min(512, _DRAWS - start)
            signs = generator.integers(0, 2, size=(count, len(values))) * 2.0 - 1.0
            parts.append(signs @ values)
        return np.concatenate(parts)
    sizes, counts = np.unique(np.round(values, 12), return_counts=True)
    if len(sizes) > _ONE_BY_ONE and float(sizes[-1] ** 2) < 1e-3 * float((values**2).sum()):
        return generator.normal(0.0, math.sqrt(float((values**2).sum())), _DRAWS)
    total = np.zeros(_DRAWS)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        total += size * (2.0 * generator.binomial(count, 0.5, _DRAWS) - count)
    return total


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
    """Sums of differences by cluster. Only clusters in which something moved are listed; the others sum to nought."""

    differences: Floats
    """Of pairs that moved."""
    sums: Floats
    sizes: Floats
    pairs: int
    """All touched pairs."""
    count: int
    """All clusters of these."""
    square_sizes: float

    @classmethod
    def of(cls, known: PairedSums) -> _Clusters:
        """Add up the pairs of each cluster."""
        numbers, first, index = np.unique(known.moved_clusters, return_index=True, return_inverse=True)
        sums = np.bincount(index, weights=known.moved, minlength=len(numbers)).astype(np.float64)
        sizes = known.moved_sizes[first]
        return cls(known.moved, sums, sizes, known.touched, known.clusters, known.square_sizes)

    @property
    def mean(self) -> float:
        """Mean difference of the touched pairs."""
        return float(self.differences.sum() / self.pairs)

    @property
    def square(self) -> float:
        """Squared error of the sum of the differences, clusters moving together (Miller 2024, appendix A)."""
        deviations = float(((self.sums - self.sizes * self.mean) ** 2).sum())
        still = self.mean**2 * max(0.0, self.square_sizes - float((self.sizes**2).sum()))
        return self.count / (self.count - 1) * (deviations + still)

    @property
    def design_effect(self) -> float:
        """How much more the mean varies than that of independent cases; at least one.

        Where nothing varies the data do not say: then each cluster counts as one case.
        """
        if self.count == self.pairs:
            return 1.0
        moved = float(((self.differences - self.mean) ** 2).sum())
        independent = moved + self.mean**2 * (self.pairs - len(self.differences))
        if self.count < 2 or independent < 1e-12:
            return self.pairs / self.count
        return max(1.0, self.square / independent)


def _binary_interval(clusters: _Clusters, tail_low: float, tail_high: float) -> tuple[float, float]:
    """Tango's interval on effective counts: the counts divided by the design effect."""
    design = clusters.design_effect
    broke, fixed = float((clusters.differences < 0).sum()), float((clusters.differences > 0).sum())
    return paired_share_difference(broke / design, fixed / design, clusters.pairs / design, tail_low, tail_high)


def _mean_interval(clusters: _Clusters, tail_low: float, tail_high: float, *, shares: bool) -> tuple[float, float]:
    """Student's interval on cluster sums; where nothing varies, the bound that no change in so many clusters gives.

    On a scale that is not that of shares nothing is known of what was not seen: then the interval is open.
    """
    n, count, mean = clusters.pairs, clusters.count, clusters.mean
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
    clusters: NDArray[np.integer[Any]] | None = None,
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
    influence, mean = now / now.mean(), before.mean()
    for start in range(0, len(before), _PIECE):
        influence[start : start + _PIECE] -= before[start : start + _PIECE] / mean
    influence /= len(before)
    if clusters is not None:
        groups = np.asarray(clusters)
        if int(groups.max()) >= 8 * len(groups):
            _, groups = np.unique(groups, return_inverse=True)
        influence = np.bincount(groups, weights=influence)[np.bincount(groups) > 0]
    count = len(influence)
    if count < 2:
        return ratio, 0.0, math.inf
    influence -= influence.mean()
    influence *= influence
    error = math.sqrt(count / (count - 1) * float(influence.sum()))
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
