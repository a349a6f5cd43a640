"""From which value on is an answer good? The threshold that agrees best with labels, and how sure it is."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.stats.agreement import Estimate, bootstrap
from evalkit.stats.clusters import numbered

__all__ = ["Threshold", "best_threshold"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Threshold:
    """The value from which on an item counts as good."""

    value: float
    low: float
    high: float
    accuracy: Estimate
    """Balanced accuracy on items that the threshold was not chosen on: the mean of the shares right of either class."""


def best_threshold(
    good: ArrayLike,
    value: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    folds: int = 5,
    draws: int = 500,
    seed: int = 0,
) -> Threshold:
    """The threshold with the highest balanced accuracy (Youden 1950), halfway between two values that occur.

    Args:
        good: True where people call the item good, shape (items,).
        value: The grader's value; higher speaks for good.
        clusters: Items of one cluster are never in both parts of a fold.
        folds: Parts for the accuracy on items not chosen on.
        draws: Of the bootstrap of the threshold.
        seed: Equal seeds give equal results.

    Raises:
        ValueError: where fewer than two items of a class are there.
    """
    truth, values = np.asarray(good, bool), np.asarray(value, np.float64)
    if min(int(truth.sum()), int((~truth).sum())) < 2:
        raise ValueError("two or more items of each class are needed")
    keys = list(clusters) if clusters is not None else list(range(truth.size))
    interval = bootstrap(
        lambda items: _best(truth[items], values[items]), truth.size, clusters=keys, draws=draws, seed=seed
    )
    said = _cross_fitted(truth, values, keys, folds, seed)
    accuracy = bootstrap(
        lambda items: _balanced(truth[items], said[items]), truth.size, clusters=keys, draws=draws, seed=seed
    )
    return Threshold(interval.value, interval.low, interval.high, accuracy)


def _best(truth: Bools, values: Floats) -> float:
    """The middle of the best stretch; the widest of those that are equally good."""
    good, bad = int(truth.sum()), int((~truth).sum())
    if not good or not bad:
        raise ValueError("both classes are needed")
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), ordered.size - 1)
    below_good = np.append(0, np.cumsum(truth[order])[ends])
    below_bad = np.append(0, np.cumsum(~truth[order])[ends])
    youden = below_bad / bad - below_good / good
    levels = np.append(ordered[ends], ordered[-1])
    edges = np.concatenate([[ordered[0]], (levels[:-2] + levels[1:-1]) / 2, [np.nextafter(ordered[-1], np.inf)]])
    widths = np.concatenate([[0.0], np.diff(levels[:-1]), [0.0]])
    best = np.flatnonzero(youden >= youden.max() - 1e-12)
    return float(edges[best[np.argmax(widths[best])]])


def _cross_fitted(truth: Bools, values: Floats, keys: Sequence[Hashable], folds: int, seed: int) -> Bools:
    """What is said of each item by a threshold that was chosen without it."""
    number = numbered(keys)
    of_cluster = np.random.default_rng(seed).permutation(int(number.max()) + 1) % folds
    fold = of_cluster[number]
    said = np.zeros(truth.size, bool)
    whole = _best(truth, values)
    for part in range(folds):
        out = fold == part
        try:
            threshold = _best(truth[~out], values[~out])
        except ValueError:
            threshold = whole
        said[out] = values[out] >= threshold
    return said


def _balanced(truth: Bools, said: Bools) -> float:
    if truth.all() or not truth.any():
        raise ValueError("both classes are needed")
    return float((said[truth].mean() + (~said[~truth]).mean()) / 2)
