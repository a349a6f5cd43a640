"""How well two raters agree, and how well a value tells two classes apart: figures with intervals.

Arrays of one length, an entry an item. Intervals hold 95% where ``tail`` is not given: each end is wrong with
probability ``tail``. Items that stand together (answers to one prompt) are given as ``clusters`` and drawn together.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.stats.clusters import numbered
from evalkit.stats.intervals import wilson

__all__ = ["Estimate", "auroc", "average_precision", "bootstrap", "confusion", "kappa", "share", "spearman"]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval."""

    value: float
    low: float
    high: float
    n: int
    """Items that it was measured on."""


def share(successes: int, n: int, tail: float = 0.025) -> Estimate:
    """A share with Wilson's interval.

    Raises:
        ValueError: where there is nothing to count.
    """
    if n <= 0:
        raise ValueError("no items")
    return Estimate(successes / n, *wilson(successes, n, tail), n)


def confusion(truth: Sequence[Hashable], said: Sequence[Hashable], labels: Sequence[Hashable]) -> NDArray[np.int64]:
    """Counts by true label (row) and said label (column), shape (labels, labels).

    Raises:
        ValueError: when lengths differ or a label is not among ``labels``.
    """
    place = {label: index for index, label in enumerate(labels)}
    table = np.zeros((len(labels), len(labels)), np.int64)
    for true, found in zip(truth, said, strict=True):
        if true not in place or found not in place:
            raise ValueError(f"{true!r} or {found!r} is not among the labels")
        table[place[true], place[found]] += 1
    return table


def kappa(table: ArrayLike) -> float:
    """Cohen's kappa of a square table of counts (Cohen 1960): agreement beyond what chance gives.

    NaN where both raters use one label only: then chance explains all of it and nothing is known.
    """
    counts = np.asarray(table, np.float64)
    n = counts.sum()
    if not n:
        raise ValueError("no items")
    expected = float(counts.sum(axis=0) @ counts.sum(axis=1)) / n**2
    observed = float(np.trace(counts)) / n
    return float("nan") if expected == 1.0 else (observed - expected) / (1.0 - expected)


def auroc(truth: ArrayLike, value: ArrayLike) -> float:
    """Chance that a positive item has a higher value than a negative one; ties count half (Hanley and McNeil 1982).

    Args:
        truth: True for positive items.
        value: Higher speaks for positive.

    Raises:
        ValueError: where one of the classes is empty or a value is NaN.
    """
    positive, values = np.asarray(truth, bool), np.asarray(value, np.float64)
    many = int(positive.sum())
    if not 0 < many < positive.size or np.isnan(values).any():
        raise ValueError("both classes and numbers are needed")
    from scipy import stats  # costs a second at start

    ranks = stats.rankdata(values)
    return float((ranks[positive].sum() - many * (many + 1) / 2) / (many * (positive.size - many)))


def average_precision(truth: ArrayLike, value: ArrayLike) -> float:
    """Area under precision over recall, as scikit-learn's ``average_precision_score``.

    Raises:
        ValueError: where no item is positive.
    """
    positive, values = np.asarray(truth, bool), np.asarray(value, np.float64)
    if not positive.any():
        raise ValueError("no positive item")
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(positive[order])
    last = np.append(np.flatnonzero(np.diff(values[order])), positive.size - 1)
    gained = np.diff(np.append(0, hits[last]))
    return float((gained * (hits[last] / (last + 1))).sum() / hits[-1])


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's rank correlation."""
    from scipy import stats  # as above

    return float(stats.spearmanr(np.asarray(first, np.float64), np.asarray(second, np.float64)).statistic)


def bootstrap(
    figure: Callable[[Indices], float],
    n: int,
    *,
    clusters: Sequence[Hashable] | None = None,
    draws: int = 1000,
    seed: int = 0,
    tail: float = 0.025,
) -> Estimate:
    """A figure with its percentile interval, whole clusters drawn with replacement (Field and Welsh 2007).

    Draws on which the figure is not defined (one class only) are left out.

    Args:
        figure: The figure of the items at these positions.
        n: Number of items.
        clusters: Key of each item's cluster; None where each stands for itself.
        draws: Number of draws.
        seed: Equal seeds give equal intervals.
        tail: Probability left out at each end.

    Raises:
        ValueError: when the figure is not defined on all items, or on most draws.
    """
    value = figure(np.arange(n))
    of_item = np.arange(n) if clusters is None else numbered(clusters)
    members = np.split(np.argsort(of_item, kind="stable"), np.cumsum(np.bincount(of_item))[:-1])
    rng = np.random.default_rng(seed)
    found: list[float] = []
    for _ in range(draws):
        drawn = rng.integers(len(members), size=len(members))
        try:
            found.append(figure(np.concatenate([members[index] for index in drawn])))
        except ValueError:
            continue
    found = [item for item in found if np.isfinite(item)]
    if len(found) < draws / 2:
        raise ValueError("the figure is not defined on most draws")
    low, high = np.quantile(found, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high), n)
