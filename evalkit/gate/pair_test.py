"""The candidate against a baseline that is run at the same time, pair by pair on the same cases.

Three tests: group-sequential with an interval, sequential with a yes or no for the fewest pairs, and a strict one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.anchored import Cases, Finding, Limits, Seed, State, remaining_bets
from evalkit.gate.draws import Bank, turns
from evalkit.stats.anchor import random_schedule, schedule
from evalkit.stats.betting import confidence_bound, log_e_above, log_e_below
from evalkit.stats.group_sequential import SpendingTest, maximal_information, pocock_spending, stopped_interval
from evalkit.stats.sprt import drop_llr, expected_information, wald_bounds

__all__ = ["PairDesign", "group_sequential_pairs", "pairs_wanted", "sequential_pairs", "strict_pairs"]

Floats = NDArray[np.float64]
_FIRST_PAIRS = 20
"""Fewest pairs at the first look: below, a variance says little."""
_FIRST_SEQUENTIAL = 40
"""The same where looks follow one another; they come every half of it at most."""
_ADDED, _ADDED_SEQUENTIAL = 4, 1
"""Discordant pairs of average weight that are added to a variance: none seen is not none to come. With the few flips of
a group-sequential test's looks, luck that raises the estimate lowers the variance too: one added lets 13% of drops by
the margin pass, three 10%, five 8% (benchmarks/gate_figures.py). Looks far apart need one only."""


@dataclass(frozen=True)
class PairDesign:
    """What is compared and how trials are shared out."""

    cases: Cases
    """Numbers of the cases in the golden set."""
    share: Floats
    """Share of the pairs that goes to each; they sum to one."""
    n_all: int
    """Cases of the whole set, affected or not."""
    guess: float
    """Variance of one weighted difference, until there are data."""
    looks: int = 8
    """Looks of a group-sequential test; one for a fixed sample, whose size is corrected when the variance is known."""

    @property
    def scale(self) -> Floats:
        """Weight of a case's difference, for its mean to estimate the change of the whole set."""
        return np.asarray(1 / (self.n_all * self.share))


def group_sequential_pairs(design: PairDesign, bank: Bank, limits: Limits, seed: Seed) -> Finding:
    """Group-sequential paired test, Pocock-type spending of both errors, information monitored from the data.

    Args:
        design: What is compared.
        bank: Pairs of outcomes, the candidate's first.
        limits: Errors and sizes.
        seed: Of the order.
    """
    spend = pocock_spending if design.looks > 1 else _all_at_once
    maximal = maximal_information(limits.margin, limits.alpha, limits.beta, design.looks, spend)
    test = SpendingTest(limits.margin, limits.alpha, limits.beta, maximal, spend)
    order = schedule(design.share, limits.cap * len(design.cases), seed, limits.cap)
    ranks = turns(order)
    differences, variance = np.empty(0), design.guess
    state: State = "open"
    information = 0.0
    while state == "open":
        aim = maximal * min(1.0, (math.floor(information / maximal * design.looks + 1e-6) + 1) / design.looks)
        wanted = max(len(differences) + 1, _FIRST_PAIRS, math.ceil(aim * variance))
        differences = np.append(differences, _more(design, bank, order, ranks, len(differences), wanted))
        if len(differences) < wanted:
            break
        variance = _variance(differences, design, _ADDED)
        information = max(len(differences) / variance, information * (1 + 1e-6))
        fail, fine = test.look(information)
        estimate = float(differences.mean())
        if information >= maximal:
            # the boundaries meet here but for the unequal steps of information; what is not a fail is a pass
            fine = fail
        state = "fail" if estimate <= fail else "pass" if estimate >= fine else "open"
    if not len(differences):
        return Finding("open", 0, more=maximal * variance)
    estimate, low, high = _interval(test, differences, variance, limits)
    more = 0.0 if state != "open" else max(1.0, maximal * variance - len(differences))
    if len(differences) + more > len(order):
        more = math.inf
    return Finding(state, len(differences), estimate, low, high, None, more)


def sequential_pairs(design: PairDesign, bank: Bank, limits: Limits, seed: Seed) -> Finding:
    """Wald's test on the differences, with their variance from the data. Arguments as above; no interval.

    With looks far apart and one discordant pair added to the variance, its errors are well below the nominal ones.
    """
    lower, upper = wald_bounds(limits.alpha, limits.beta)
    order = schedule(design.share, limits.cap * len(design.cases), seed, limits.cap)
    ranks = turns(order)
    differences, llr = np.empty(0), 0.0
    information, estimate = 0.0, -limits.margin / 2
    state: State = "open"
    while state == "open" and not bank.exhausted and len(differences) < len(order):
        wanted = max(_FIRST_SEQUENTIAL, len(differences) + max(limits.look, _FIRST_SEQUENTIAL // 2))
        differences = np.append(differences, _more(design, bank, order, ranks, len(differences), wanted))
        if len(differences) < min(_FIRST_SEQUENTIAL, wanted):
            break
        information = len(differences) / _variance(differences, design, _ADDED_SEQUENTIAL)
        estimate = float(differences.mean())
        llr = float(drop_llr(limits.margin, estimate, information))
        state = "fail" if llr >= upper else "pass" if llr <= lower else "open"
    more = expected_information(llr, estimate, limits.margin, lower, upper)
    pairs = max(1.0, more / information * len(differences)) if information else more * design.guess
    if state == "open" and len(differences) + pairs > len(order):
        pairs = math.inf
    return Finding(state, len(differences), estimate, llr=llr, more=pairs if state == "open" else 0.0)


def pairs_wanted(finding: Finding, limits: Limits) -> int:
    """Pairs in all to make before an open sequential test is looked at again: a look, or half of what it may take."""
    ahead = math.ceil(finding.more / 2) if math.isfinite(finding.more) else finding.used // 2
    step = max(limits.look, _FIRST_SEQUENTIAL // 2, ahead if finding.used else 0)
    return max(_FIRST_SEQUENTIAL, finding.used + step)


def strict_pairs(design: PairDesign, bank: Bank, limits: Limits, seed: Seed) -> Finding:
    """Betting on the differences of pairs, each drawn on its own: no approximation at all. Arguments as above."""
    order = random_schedule(design.share, limits.cap * len(design.cases), seed)
    ranks = turns(order)
    reach = float(design.scale.max())
    differences = np.empty(0)
    state: State = "open"
    worse = better = 0.0
    while len(differences) < len(order) and state == "open" and not bank.exhausted:
        wanted = len(differences) + limits.look
        differences = np.append(differences, _more(design, bank, order, ranks, len(differences), wanted))
        if len(differences):
            worse = float(log_e_below(differences, 0.0, reach)[-1])
            better = float(log_e_above(differences, -limits.margin, -reach)[-1])
        failed, passed = worse >= -math.log(limits.alpha), better >= -math.log(limits.beta)
        state = "fail" if failed else "pass" if passed else "open"
    if not len(differences):
        return Finding("open", 0)
    low = confidence_bound(differences, (-reach, reach), limits.beta, upper=False)
    high = confidence_bound(differences, (-reach, reach), limits.alpha, upper=True)
    more = 0.0 if state != "open" else remaining_bets(worse, better, limits.alpha, limits.beta, len(differences))
    return Finding(state, len(differences), float(differences.mean()), low, high, worse, more)


def _all_at_once(fraction: float) -> float:
    """Nothing is spent before the end."""
    return 1.0 if fraction >= 1 else 0.0


def _more(design: PairDesign, bank: Bank, order: Cases, ranks: Cases, start: int, end: int) -> Floats:
    rows = bank.take(design.cases[order[start:end]], ranks[start:end])
    return np.asarray((rows[:, 0] - rows[:, 1]) * design.scale[order[start : start + len(rows)]])


def _variance(differences: Floats, design: PairDesign, added: int) -> float:
    """Variance of a difference, so many discordant pairs of average weight added."""
    weight = len(design.cases) / design.n_all
    squares = float(((differences - differences.mean()) ** 2).sum())
    return (squares + added * weight**2) / len(differences)


def _interval(test: SpendingTest, differences: Floats, variance: float, limits: Limits) -> tuple[float, float, float]:
    """Estimate and interval at the last look; where drawing ended between looks, at that place."""
    count = len(differences)
    information = list(test.information)
    now = count / variance
    if not information or now > information[-1] * (1 + 1e-5):
        information.append(now)
    low, high = list(test.low), list(test.high)
    score = float(differences.mean()) * information[-1]
    return stopped_interval(information, low, high, score, limits.tails)
