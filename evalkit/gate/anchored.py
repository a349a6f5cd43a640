"""The candidate against recorded history: draws trials in their order and looks until a test settles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evalkit.gate.draws import Bank, turns
from evalkit.stats.anchor import Anchor, random_schedule, schedule
from evalkit.stats.betting import confidence_bound, log_e_above, log_e_below
from evalkit.stats.sprt import AnchoredSprt

__all__ = ["Finding", "Limits", "anchored_fixed", "anchored_sequential", "anchored_strict"]

Cases = NDArray[np.intp]
Floats = NDArray[np.float64]
Seed = int | tuple[int, ...]
State = Literal["fail", "pass", "open"]
_OF_HISTORY = 0.2
"""Share of each error that the strict test sets aside for errors of the history itself."""


@dataclass(frozen=True)
class Limits:
    """Errors and sizes that every test of a decision shares."""

    margin: float
    alpha: float
    beta: float
    look: int
    cap: int

    @property
    def tails(self) -> tuple[float, float]:
        """Chances of the truth below and above the interval: those of a miss and of a false alarm."""
        return self.beta, self.alpha


@dataclass(frozen=True)
class Finding:
    """What a test found, on the scale of the whole set's mean."""

    state: State
    used: int
    """Trials, or pairs, that it rests on."""
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    llr: float | None = None
    more: float = math.inf
    """Further trials expected until it settles; infinite where trials alone will not."""


def anchored_sequential(anchor: Anchor, cases: Cases, need: Cases, bank: Bank, limits: Limits, seed: Seed) -> Finding:
    """The two-sided sequential test of :mod:`evalkit.stats.sprt`, in Neyman's order.

    Args:
        anchor: Of the cases compared.
        cases: Their numbers in the golden set.
        need: Trials of each before a pass.
        bank: Outcomes.
        limits: Errors and sizes.
        seed: Of the order.
    """
    test = AnchoredSprt(anchor, limits.margin, limits.alpha, limits.beta)
    order = schedule(anchor.share, limits.cap * len(cases), seed, limits.cap)
    ranks = turns(order)
    covered = _covered_at(ranks, order, need)
    increments, used, looks = np.empty(0), 0, []
    state: State = "open"
    while used < len(order):
        # a set so small that the floor is reached before the first look is looked at then
        ahead = int(covered) if not used and 0 < covered < limits.look else limits.look
        end = min(used + ahead, len(order))
        wanted = end - used
        drawn = bank.take(cases[order[used:end]], ranks[used:end])[:, 0]
        increments = np.append(increments, anchor.increments(order[used : used + len(drawn)], drawn))
        used += len(drawn)
        if len(drawn):
            looks.append(used)
        if len(drawn) < wanted:
            break
        estimate = float(increments.mean())
        fail, fine = test.bounds(used)
        state = "fail" if estimate <= fail else "pass" if estimate >= fine and used >= covered else "open"
        if state != "open" or bank.exhausted:
            break
    if not used:
        return Finding("open", 0, more=max(test.more_trials(-limits.margin / 2, 0), covered))
    estimate = float(increments.mean())
    middle, low, high = test.interval(np.asarray(looks, np.intp), estimate, limits.tails, int(min(covered, 2**31)))
    more = 0.0 if state != "open" else max(test.more_trials(middle, used), covered - used, 1)
    if used + more > len(order):
        more = math.inf
    llr = float(test.llr(estimate, used, unchanged=state == "fail"))
    return Finding(state, used, middle, low, high, llr, more)


def anchored_fixed(anchor: Anchor, cases: Cases, need: Cases, bank: Bank, limits: Limits, seed: Seed) -> Finding:
    """One look, at the number of trials for which both errors are as designed. Arguments as for the sequential test."""
    alarm, miss = -float(special.ndtri(limits.alpha)), -float(special.ndtri(limits.beta))
    order = schedule(anchor.share, limits.cap * len(cases), seed, limits.cap)
    ranks = turns(order)

    def reach(trials: float) -> float:
        """Smallest drop that so many trials tell from none with the errors asked for."""
        unchanged = math.sqrt(anchor.unchanged_variance / trials + anchor.tau**2)
        return alarm * unchanged + miss * math.sqrt(anchor.dropped_variance / trials + anchor.tau**2)

    covered = _covered_at(ranks, order, need)
    if not len(order) or reach(len(order)) > limits.margin or covered > len(order):
        return Finding("open", 0)
    settled = next(n for n in range(1, len(order) + 1) if reach(n) <= limits.margin)
    count = max(settled, int(covered))
    drawn = bank.take(cases[order[:count]], ranks[:count])[:, 0]
    if not len(drawn):
        return Finding("open", 0, more=count)
    estimate = float(anchor.increments(order[: len(drawn)], drawn).mean())
    unchanged = math.sqrt(anchor.unchanged_variance / len(drawn) + anchor.tau**2)
    error = 1 / math.sqrt(float(anchor.information(len(drawn))))
    state: State = "open"
    if len(drawn) == count:
        state = "fail" if estimate <= -alarm * unchanged else "pass"
    llr = float(AnchoredSprt(anchor, limits.margin).llr(estimate, len(drawn)))
    low, high = estimate - miss * error, estimate + alarm * error
    return Finding(state, len(drawn), estimate, low, high, llr, float(count - len(drawn)))


def anchored_strict(anchor: Anchor, cases: Cases, bank: Bank, limits: Limits, seed: Seed) -> Finding:
    """Betting on the same increments, in an order of independent draws; no normal approximation but of the history.

    The history's own error is allowed for by testing means that are wrong by as much as it may be: a fifth of each
    error is set aside for it. Arguments as for the sequential test.
    """
    order = random_schedule(anchor.share, limits.cap * len(cases), seed)
    ranks = turns(order)
    slack_fail = -float(special.ndtri(_OF_HISTORY * limits.alpha)) * anchor.tau
    slack_pass = -float(special.ndtri(_OF_HISTORY * limits.beta)) * anchor.tau
    alpha, beta = (1 - _OF_HISTORY) * limits.alpha, (1 - _OF_HISTORY) * limits.beta
    bounds = float((-anchor.mean * anchor.scale).min()), float(((1 - anchor.mean) * anchor.scale).max())
    increments, used = np.empty(0), 0
    state: State = "open"
    worse = better = 0.0
    while used < len(order) and state == "open" and not bank.exhausted:
        drawn = bank.take(cases[order[used : used + limits.look]], ranks[used : used + limits.look])[:, 0]
        increments = np.append(increments, anchor.increments(order[used : used + len(drawn)], drawn))
        used += len(drawn)
        if used:
            worse = float(log_e_below(increments, -slack_fail, bounds[1])[-1])
            better = float(log_e_above(increments, slack_pass - limits.margin, bounds[0])[-1])
        state = "fail" if worse >= -math.log(alpha) else "pass" if better >= -math.log(beta) else "open"
    if not used:
        return Finding("open", 0)
    low = confidence_bound(increments, bounds, beta, upper=False) - slack_pass
    high = confidence_bound(increments, bounds, alpha, upper=True) + slack_fail
    more = 0.0 if state != "open" else remaining_bets(worse, better, alpha, beta, used)
    return Finding(state, used, float(increments.mean()), low, high, worse, more)


def remaining_bets(worse: float, better: float, alpha: float, beta: float, used: int) -> float:
    """Trials until the first capital is large enough, if both go on growing as they have."""
    left = [
        (-math.log(error) - capital) / capital * used
        for capital, error in ((worse, alpha), (better, beta))
        if capital > 0
    ]
    return max(1.0, min(left)) if left else math.inf


def _covered_at(ranks: Cases, order: Cases, need: Cases) -> float:
    """Trials of the order after which every case has had its needed ones; infinite where it ends before."""
    wanted = need > 0
    last = ranks == need[order] - 1
    if int(last.sum()) < int(wanted.sum()):
        return math.inf
    return float(np.flatnonzero(last)[-1] + 1) if bool(wanted.any()) else 0.0
