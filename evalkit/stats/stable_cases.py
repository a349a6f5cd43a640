"""Cases that always passed and fail now: a list for the reviewer, with how long chance alone would make it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BrokenCases", "broken_stable_cases"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_ROUNDING = 1e-9
"""Sums that differ by less are equal but for the order of addition."""


@dataclass(frozen=True)
class BrokenCases:
    """Stable cases that fail now: a list to look at, not a verdict. Arrays are in order, the clearest first."""

    cases: Ints
    """Numbers of the cases."""
    p: Floats
    """Chance of so few passes of the candidate, given the passes of both sides together (Fisher's exact test)."""
    adjusted: Floats
    """The same after Benjamini and Hochberg (1995) over all stable cases: the share of wrong names up to here."""
    stable: int
    """Cases that were stable in history."""
    expected: float
    """How many would stand on the list if nothing had changed, given the pooled outcomes."""
    p_count: float
    """Chance of a list at least this long if nothing had changed (exact: Poisson binomial)."""


def broken_stable_cases(
    passed: NDArray[np.integer[Any]],
    trials: NDArray[np.integer[Any]],
    history_passed: NDArray[np.integer[Any]],
    history_trials: NDArray[np.integer[Any]],
    *,
    stable: float = 0.95,
    min_history: int = 10,
) -> BrokenCases:
    """List the cases that passed (nearly) always in history and now fail in more than half of their trials.

    One trial against H runs of history has a p of ``1 / (H + 1)`` at best, so that a single case is hardly ever
    certain after adjustment; how long the list is, against the length expected of chance, says more. Clusters are
    not considered.

    Args:
        passed: Passes of the candidate, shape (cases,).
        trials: Trials of the candidate.
        history_passed: Passes in history.
        history_trials: Trials in history.
        stable: Least share of passes in history.
        min_history: Least number of trials in history.
    """
    rows = np.stack([passed, trials, history_passed, history_trials], axis=1).astype(np.int64)
    if (rows < 0).any() or (rows[:, 0] > rows[:, 1]).any() or (rows[:, 2] > rows[:, 3]).any():
        raise ValueError("passes must lie between nought and the number of trials")
    rules = [_Pooled(c + s, k, k + h, stable, min_history) for c, k, s, h in rows.tolist()]
    eligible = np.asarray([r.is_stable(c) and r.k > 0 for r, c in zip(rules, rows[:, 0].tolist(), strict=True)], bool)
    listed = eligible & (2 * rows[:, 0] < rows[:, 1])
    p = np.asarray([_at_most(c, r) for r, c in zip(rules, rows[:, 0].tolist(), strict=True)], np.float64)
    found = np.flatnonzero(listed)
    adjusted = np.ones(len(rows))
    adjusted[eligible] = _benjamini_hochberg(p[eligible])
    found = found[np.lexsort((found, p[found]))]
    chances = np.asarray([_listed(rule) for rule in rules], np.float64)
    return BrokenCases(
        cases=found,
        p=p[found],
        adjusted=adjusted[found],
        stable=int(eligible.sum()),
        expected=float(chances.sum()),
        p_count=_at_least(len(found), chances[chances > 0]),
    )


@dataclass(frozen=True)
class _Pooled:
    """What is known of a case when it is not said which trials are the candidate's."""

    passed: int
    k: int
    total: int
    stable: float
    min_history: int

    def is_stable(self, c: int) -> bool:
        """Whether history is stable when the candidate has ``c`` of the passes."""
        history = self.total - self.k
        return history >= self.min_history and self.passed - c >= self.stable * history - _ROUNDING

    def chance(self, c: int) -> float:
        """Chance that the candidate has just ``c`` of the passes: hypergeometric."""
        if not 0 <= c <= self.passed or not 0 <= self.k - c <= self.total - self.passed:
            return 0.0
        return comb(self.passed, c) * comb(self.total - self.passed, self.k - c) / comb(self.total, self.k)


@lru_cache(maxsize=65_536)
def _at_most(c: int, pooled: _Pooled) -> float:
    return min(1.0, sum(pooled.chance(j) for j in range(c + 1)))


@lru_cache(maxsize=65_536)
def _listed(pooled: _Pooled) -> float:
    """Chance that the case is on the list."""
    return sum(pooled.chance(c) for c in range(pooled.k) if 2 * c < pooled.k and pooled.is_stable(c))


def _at_least(count: int, chances: Floats) -> float:
    """Chance that at least ``count`` of independent events happen."""
    fewer = np.zeros(count + 1)
    fewer[0] = 1.0
    for chance in chances.tolist():
        fewer[1:] = fewer[1:] * (1 - chance) + fewer[:-1] * chance
        fewer[0] *= 1 - chance
    return float(min(1.0, max(0.0, 1.0 - fewer[:count].sum())))


def _benjamini_hochberg(p: Floats) -> Floats:
    """Adjusted p-values of Benjamini and Hochberg (1995)."""
    order = np.argsort(p)
    raised = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(raised[::-1])[::-1])
    return adjusted
