"""Where the results of a golden set changed: the newest change in a row of runs, found in hindsight.

Each run's trials are held against the means of their cases, so that runs of different cases can be put in one row. A
weighted t statistic compares the runs before and after every split; the best one counts after Bonferroni over the
splits. The spread between runs is taken from the runs themselves, and is never smaller than that of their trials, so
that a vendor whose days differ is no change and neither are a few coins that fell alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.stats.anchor import History

__all__ = ["ChangePoint", "newest_change"]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

_SHARED = 0.2
"""How much of a case's variance is that of the others."""


@dataclass(frozen=True)
class ChangePoint:
    """A change between two runs that follow one another."""

    run: int
    """Number of the first run after it."""
    shift: float
    """Mean score of a case after it, less that before."""
    p: float
    """Chance of such a split where nothing changed, all splits looked at together."""


def newest_change(
    cases: ArrayLike, runs: ArrayLike, scores: ArrayLike, *, level: float = 0.001, least: int = 5
) -> ChangePoint | None:
    """Find the newest change; None where the runs are alike.

    Args:
        cases: Number of the case of each trial, shape (trials,).
        runs: Number of its run, rising with time, same shape.
        scores: Its score in [0, 1], same shape.
        level: Chance of a false alarm in a row of runs without a change.
        least: Fewest runs before and after a change.

    Raises:
        ValueError: When shapes differ, or ``least`` is below two.
    """
    case, run, score = np.asarray(cases, np.intp), np.asarray(runs, np.intp), np.asarray(scores, np.float64)
    if not case.shape == run.shape == score.shape or case.ndim != 1:
        raise ValueError(f"arrays differ in shape: {case.shape}, {run.shape}, {score.shape}")
    if least < 2:
        raise ValueError(f"least = {least}: at least two runs before and after a change")
    found: ChangePoint | None = None
    while (split := _best_split(case, run, score, least)) is not None and split.p <= level:
        # what came before is another world: the rest is looked at by itself, for a newer change
        found, later = split, run >= split.run
        case, run, score = case[later], run[later], score[later]
    return found


def _best_split(cases: Places, runs: Places, scores: Floats, least: int) -> ChangePoint | None:
    """The split that chance explains least; None where there are too few runs."""
    size = int(cases.max(initial=-1)) + 1
    often = np.bincount(cases, minlength=size)[cases] > 1
    cases, runs, scores = cases[often], runs[often], scores[often]
    names, runs = np.unique(runs, return_inverse=True)
    if len(names) < 2 * least:
        return None
    trials, total, squares = (np.bincount(cases, scores**power, minlength=size) for power in (0, 1, 2))
    history = History.of(trials, total, squares)
    variance = _trial_variance(history)
    if not variance.any():
        return None
    made = np.bincount(runs).astype(np.float64)
    mean = np.bincount(runs, scores - history.mean[cases]) / made
    weight = made**2 / np.bincount(runs, variance[cases])
    weights, sums, spreads = (np.cumsum(weight * mean**power) for power in (0, 1, 2))
    split = np.arange(least, len(names) - least + 1)
    w_before, s_before = weights[split - 1], sums[split - 1]
    w_after, s_after = weights[-1] - w_before, sums[-1] - s_before
    shift = s_after / w_after - s_before / w_before
    freedom = len(names) - 2
    spread = (spreads[-1] - s_before**2 / w_before - s_after**2 / w_after) / freedom
    t = np.abs(shift) / np.sqrt(np.maximum(spread, 1.0) * (1 / w_before + 1 / w_after))
    best = int(np.argmax(t))
    from scipy import stats  # costs a second at start

    p = min(1.0, 2 * float(stats.t.sf(t[best], freedom)) * len(split))
    return ChangePoint(int(names[split[best]]), float(shift[best]), p)


def _trial_variance(history: History) -> Floats:
    """Variance of one trial of each case, drawn a little to the mean of all: a case that never varied may yet."""
    seen = history.trials > 1
    own = history.take(np.flatnonzero(seen))
    found = np.zeros(len(history))
    found[seen] = own.variance_of_mean() * own.trials
    return np.where(seen, (1 - _SHARED) * found + _SHARED * found[seen].mean(), 0.0)
