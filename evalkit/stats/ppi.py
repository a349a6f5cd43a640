"""Prediction-powered inference: a few labels of people correct a grader that has judged thousands of cases.

PPI++ of Angelopoulos, Duchi and Zrnic (2023, arXiv 2311.01453), for means: the grader's mean over all cases plus what
the labelled ones say it is wrong by, weighted so that a bad grader costs nothing against the labels alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from evalkit.stats.clusters import numbered

__all__ = ["PoweredMean", "powered_mean"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PoweredMean:
    """An estimated mean with its interval, and what it stands on."""

    value: float
    low: float
    high: float
    weight: float
    """How far the grader is trusted: 0 leaves the labels alone, 1 takes it at its word but for its bias."""
    labelled: int
    unlabelled: int
    labels_alone: tuple[float, float, float]
    """Mean of the labels with its interval."""

    @property
    def worth(self) -> float:
        """As many labels as the interval is worth, for each label that there is."""
        width, alone = self.high - self.low, self.labels_alone[2] - self.labels_alone[1]
        return float("inf") if width == 0 else (alone / width) ** 2


def powered_mean(
    truth: ArrayLike,
    said: ArrayLike,
    said_of_others: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    other_clusters: Sequence[Hashable] | None = None,
    tail: float = 0.025,
) -> PoweredMean:
    """The mean of what people would say of all cases.

    The labelled cases must be a random part of all: what was labelled because it looked wrong says nothing of the
    others.

    Args:
        truth: Labels of people, shape (labelled,).
        said: What the grader said of the same cases.
        said_of_others: What it said of all other cases, shape (unlabelled,).
        clusters: Key of each labelled case's cluster: variances are those of cluster sums. None: each for itself.
        other_clusters: The same of the others.
        tail: Probability left out at each end of the intervals.

    Raises:
        ValueError: with fewer than two labels, or where lengths differ.
    """
    y, f, others = (np.asarray(item, np.float64) for item in (truth, said, said_of_others))
    if y.size < 2 or y.shape != f.shape:
        raise ValueError("two or more labels are needed, and a prediction for each")
    n, many = y.size, others.size
    weight = _weight(y, f, others)
    rectifier = y - weight * f
    value = float(rectifier.mean() + (weight * others.mean() if many else 0.0))
    variance = _variance_of_mean(rectifier, clusters)
    if many:
        variance += weight**2 * _variance_of_mean(others, other_clusters)
    z = -float(special.ndtri(tail))
    half, alone = z * variance**0.5, z * _variance_of_mean(y, clusters) ** 0.5
    centre = float(y.mean())
    return PoweredMean(value, value - half, value + half, weight, n, many, (centre, centre - alone, centre + alone))


def _weight(y: Floats, f: Floats, others: Floats) -> float:
    """The weight with the smallest variance (their equation 5), within 0 and 1; 0 where the grader never differs."""
    if not others.size:
        return 0.0
    variance = float(np.concatenate([f, others]).var(ddof=1))
    if variance == 0.0:
        return 0.0
    covariance = float(np.cov(y, f)[0, 1])
    return float(np.clip(covariance / ((1 + y.size / others.size) * variance), 0.0, 1.0))


def _variance_of_mean(values: Floats, clusters: Sequence[Hashable] | None) -> float:
    """Of the mean; that of cluster sums around it where items stand together."""
    if values.size < 2:
        return 0.0
    if clusters is None:
        return float(values.var(ddof=1) / values.size)
    sums = np.bincount(numbered(clusters), values - values.mean())
    return float((sums**2).sum() / values.size**2 * sums.size / max(1, sums.size - 1))
