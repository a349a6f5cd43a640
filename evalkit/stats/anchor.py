"""Judging a candidate against the recorded history of each case: variances, allocation of trials, order, increments.

Many past runs of the baseline say how each case behaves, so that only the candidate has to be run, and most of all
where outcomes vary. Trials are allotted to cases as Neyman (1934, JRSS 97:558) does, and put in an order in which
every prefix is nearly proportional to the allotment (sequential Poisson sampling, Ohlsson 1998, J. Official
Statistics 14:149). Every trial then yields a Horvitz-Thompson increment whose mean is the change of the golden set.

The question is about the cases of the golden set as they are. Given these, trials are independent whatever the cases
have in common, so clusters change nothing in the errors of the test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Anchor", "History", "allocation", "make_anchor", "random_schedule", "schedule"]

Floats = NDArray[np.float64]
Cases = NDArray[np.intp]

_ROOT_FLOOR = 0.15
"""No case counts as steadier than this (a standard deviation): history that never failed may be luck."""
_CHANGED_WEIGHT = 0.38
"""How much of a case's variance is what it would be after a drop by the margin: between .25 and .4 calls fall with it,
and power too; here 93% of drops by the margin are found (benchmarks/gate_figures.py)."""
_UNCHANGED_WEIGHT = 0.25
"""The same where a false alarm is at stake, which can only happen where nothing has dropped."""


@dataclass(frozen=True)
class History:
    """What earlier runs of the baseline say of each case; all arrays have shape (n,)."""

    trials: Floats
    """Trials recorded of each case; zero where there are none."""
    total: Floats
    """Sum of their scores, each in [0, 1]: the passes, where a score is pass or fail."""
    squares: Floats
    """Sum of their squared scores: the passes again, where a score is pass or fail."""

    @classmethod
    def of(cls, trials: ArrayLike, total: ArrayLike, squares: ArrayLike | None = None) -> History:
        """Check and convert; without ``squares`` scores are pass or fail.

        Raises:
            ValueError: When shapes differ, or the sums cannot be those of scores in [0, 1].
        """
        counts, sums = np.asarray(trials, np.float64), np.asarray(total, np.float64)
        second = sums if squares is None else np.asarray(squares, np.float64)
        if counts.ndim != 1 or counts.shape != sums.shape or counts.shape != second.shape:
            raise ValueError(f"history arrays differ in shape: {counts.shape}, {sums.shape}, {second.shape}")
        slack = 1e-9 * (1 + counts)
        possible = (counts >= 0) & (sums >= -slack) & (sums <= counts + slack)
        possible &= (second <= sums + slack) & (second * counts >= sums * sums - slack * (1 + counts))
        if not bool(possible.all()):
            place = int(np.flatnonzero(~possible)[0])
            raise ValueError(
                f"history of case {place} is not that of scores in [0, 1]: "
                f"{counts[place]:g} trials, sum {sums[place]:g}, sum of squares {second[place]:g}"
            )
        return cls(counts, sums, second)

    def __len__(self) -> int:
        return len(self.trials)

    @property
    def mean(self) -> Floats:
        """Mean score of each case; NaN where there is no trial."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(self.trials > 0, self.total / self.trials, np.nan))

    def take(self, cases: Cases) -> History:
        """The history of these cases."""
        return History(self.trials[cases], self.total[cases], self.squares[cases])

    def smoothed(self) -> tuple[Floats, Floats]:
        """Mean and variance of one trial of each case, half a pass and half a failure added to what was seen.

        For pass and fail the variance is the posterior mean of p(1 - p) under Jeffreys' prior.
        """
        count = self.trials + 1
        mean = (self.total + 0.5) / count
        spread = (self.squares + 0.5) / count - mean * mean
        return mean, np.maximum(spread, 0.0) * count / (count + 1)

    def variance_of_mean(self) -> Floats:
        """Variance of each case's mean, unbiased from two trials on; smoothed for one; infinite for none."""
        _, guess = self.smoothed()
        with np.errstate(invalid="ignore", divide="ignore"):
            sample = (self.squares - self.total**2 / self.trials) / (self.trials - 1)
            found = np.where(self.trials >= 2, np.maximum(sample, 0.0), guess) / self.trials
        return np.asarray(np.where(self.trials > 0, found, np.inf))


@dataclass(frozen=True)
class Anchor:
    """A history made ready for a candidate. Arrays are of the affected cases, shape (n_a,)."""

    mean: Floats
    """Mean score of each case in the history."""
    variance: Floats
    """Variance of one trial that the design reckons with."""
    share: Floats
    """Share of the trials that goes to each case; they sum to one."""
    scale: Floats
    """An outcome's distance from the case's mean, times this, is its increment."""
    unchanged: Floats
    """Variance of one trial of each case of a candidate that has not dropped."""
    dropped: Floats
    """The same of one that has dropped by the margin."""
    step_variance: float
    """Variance of an increment, V: that of the estimate after n trials is V/n beside the history's own."""
    unchanged_variance: float
    """The same for a candidate that has not dropped; at most ``step_variance``."""
    dropped_variance: float
    """The same for one that has dropped by the margin; at least ``step_variance``."""
    tau: float
    """Standard error that the history brings in, which no trial of the candidate takes away."""
    n_all: int
    """Cases of the whole set, affected or not."""

    def increments(self, cases: Cases, outcomes: Floats) -> Floats:
        """Horvitz-Thompson increments of trials: their mean estimates the change of the whole set's mean score."""
        return np.asarray((outcomes - self.mean[cases]) * self.scale[cases])

    def information(self, trials: ArrayLike, *, unchanged: bool = False) -> Floats:
        """Information about the change after so many trials: one over the variance of the estimate."""
        counts = np.asarray(trials, np.float64)
        variance = self.unchanged_variance if unchanged else self.step_variance
        return np.asarray(counts / (variance + counts * self.tau**2))

    def variance_after(self, drop: float) -> float:
        """Variance of an increment after a drop by so many margins; none is 0."""
        slope = (self.dropped_variance - self.unchanged_variance) / (1 - _UNCHANGED_WEIGHT)
        return self.dropped_variance + (drop - 1) * slope

    def trials_for(self, information: float) -> float:
        """Trials that give this information; infinite where the history is too short to ever give it."""
        room = 1.0 / information - self.tau**2
        return self.step_variance / room if room > 0 else math.inf


def allocation(variance: Floats, need: Floats | None = None, stretch: float = 0.0) -> Floats:
    """Share of the trials for each case: in proportion to its standard deviation, at least .15.

    Args:
        variance: Variance of a trial of each case, shape (n,).
        need: Trials that each case must have at last, shape (n,).
        stretch: Standard deviation for which a case counts at least, per needed trial: larger values bring the needed
            trials sooner at the price of a less precise estimate.
    """
    weight = np.maximum(np.sqrt(variance), _ROOT_FLOOR)
    if need is not None and stretch > 0:
        weight = np.maximum(weight, stretch * need)
    return np.asarray(weight / weight.sum())


def make_anchor(
    history: History, margin: float, n_all: int | None = None, *, need: ArrayLike | None = None, settle: float = 5.0
) -> Anchor:
    """Design the comparison of a candidate with a history.

    Where trials are needed of cases that the allocation would seldom draw, it is flattened as far as makes the whole
    shortest: the longer of what the needed trials and what the test take.

    Args:
        history: Of the affected cases, at least one trial each.
        margin: Drop of the whole set's mean that is to be found, positive.
        n_all: Cases of the whole set, the unaffected included; default all are affected.
        need: Trials that each case must have before a pass, shape (n_a,).
        settle: Information at which a test is expected to settle, times the squared margin.

    Raises:
        ValueError: Without a case, or with one that has no history.
    """
    count = len(history)
    whole = count if n_all is None else n_all
    if count == 0 or whole < count:
        raise ValueError(f"{count} affected cases of {whole}: nothing to compare")
    if not bool((history.trials > 0).all()):
        raise ValueError(f"case {int(np.flatnonzero(history.trials <= 0)[0])} has no history to compare with")
    mean, before = history.smoothed()
    dropped = np.maximum(mean - margin * whole / count, 0.0)
    # one for pass and fail; less where scores vary less than these
    spread = before * (history.trials + 2) / (history.trials + 1) / (mean * (1 - mean))
    after = dropped * (1 - dropped) * spread
    more = np.maximum(after - before, 0.0)
    variance, steady = before + _CHANGED_WEIGHT * more, before + _UNCHANGED_WEIGHT * more
    tau = math.sqrt(float(history.variance_of_mean().sum())) / whole
    needed = None if need is None else np.asarray(need, np.float64)
    share = _covering(variance, needed, 1 / max(settle / margin**2, 1e-12) - tau**2, whole)
    return Anchor(
        mean=history.mean,
        variance=variance,
        share=share,
        scale=1 / (whole * share),
        unchanged=steady,
        dropped=before + more,
        step_variance=float((variance / share).sum()) / whole**2,
        unchanged_variance=float((steady / share).sum()) / whole**2,
        dropped_variance=float(((before + more) / share).sum()) / whole**2,
        tau=tau,
        n_all=whole,
    )


def _covering(variance: Floats, need: Floats | None, room: float, whole: int) -> Floats:
    """The allocation with the fewest trials until both the test settles and every needed trial is made."""
    plain = allocation(variance)
    if need is None or not bool((need > 0).any()):
        return plain

    def longest(share: Floats) -> float:
        test = float((variance / share).sum()) / whole**2 / room if room > 0 else math.inf
        return max(test, float((need / share).max()))

    stretches = np.geomspace(0.02, 4.0, 40).tolist()
    return min([plain, *(allocation(variance, need, stretch) for stretch in stretches)], key=longest)


def schedule(share: Floats, count: int, seed: int | Sequence[int], cap: int | None = None) -> Cases:
    """Order of trials: trial j of case i comes at time ``(j + u_i) / share_i``, with ``u_i`` drawn once from the seed.

    Args:
        share: Share of the trials for each case, shape (n,), sums to one.
        count: Trials wanted.
        seed: Same seed, same order; a longer order begins with the shorter one.
        cap: Most trials of any case. The order ends where the next trial would be one too many, for without that
            case what follows would no longer be in proportion.

    Returns:
        Case of each trial in order, shape (at most count,).
    """
    start = np.random.default_rng(seed).random(len(share))
    end = float(count + len(share))
    if cap is not None:
        end = min(end, float(((cap + start) / share).min()))
    rounds = np.clip(np.ceil(end * share - start), 0, cap).astype(np.intp)
    cases = np.repeat(np.arange(len(share)), rounds)
    turn = np.arange(len(cases)) - np.repeat(np.cumsum(rounds) - rounds, rounds)
    times = (turn + start[cases]) / share[cases]
    return np.asarray(cases[np.argsort(times, kind="stable")][:count], np.intp)


def random_schedule(share: Floats, count: int, seed: int | Sequence[int]) -> Cases:
    """Order of trials in which each is drawn on its own, with replacement: what a strict test asks for."""
    ends = np.cumsum(share)
    drawn = np.random.default_rng(seed).random(count) * ends[-1]
    return np.asarray(np.minimum(np.searchsorted(ends, drawn, side="right"), len(share) - 1), np.intp)
