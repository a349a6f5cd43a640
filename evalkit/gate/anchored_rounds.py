"""The candidate against recorded history, round by round: every case that must be run first, then more where it helps.

All trials that there are count, each case with its mean. A round is judged as a whole by the boundaries of
:mod:`evalkit.stats.sprt`; where it settles nothing, the next one is as large as the test is expected to need, shared
out between the cases by Neyman (1934, JRSS 97:558) and by what they have had.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.anchored import Cases, Finding, Limits, Seed, State
from evalkit.gate.draws import Bank
from evalkit.stats.anchor import Anchor
from evalkit.stats.group_sequential import stopped_interval
from evalkit.stats.sprt import boundary, drop_llr, expected_information, wald_bounds

__all__ = ["anchored_rounds"]

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]
_LEAST = 10
"""Trials of a further round, at least."""
_MOST_ROUNDS = 20


@dataclass(frozen=True)
class _Look:
    """The evidence after a round."""

    estimate: float
    information: float
    unchanged: float
    """Information about an unchanged candidate, by which a fail is judged."""
    as_dropped: float
    """Information if outcomes vary as they do after a drop by the estimate."""


def anchored_rounds(
    anchor: Anchor, cases: Cases, need: Cases, bank: Bank, limits: Limits, seed: Seed
) -> tuple[Finding, Cases]:
    """Test in rounds.

    Args:
        anchor: Of the cases compared.
        cases: Their numbers in the golden set.
        need: Trials of each before anything is judged; every case is run at least once.
        bank: Outcomes.
        limits: Errors and sizes; ``look`` is not used.
        seed: Of the rounding of trials to whole ones.

    Returns:
        What was found; the cases of the trials that would be made next, where it is open.
    """
    generator = np.random.default_rng(seed)
    lower, upper = wald_bounds(limits.alpha, limits.beta)
    wanted = np.maximum(need, 1)
    looks: list[_Look] = []
    state: State = "open"
    missing, more = np.empty(0, np.intp), math.inf
    for _ in range(_MOST_ROUNDS):
        missing = np.repeat(cases, np.maximum(wanted - bank.counts(cases), 0))
        if len(missing):
            more = float(len(missing))
            if len(bank.take(missing, bank.following(missing))) < len(missing):
                break
        counts = bank.counts(cases)
        look = _look(anchor, cases, counts, bank, limits.margin)
        looks.append(look)
        fail = boundary(upper, limits.margin, look.unchanged)
        fine = boundary(lower, limits.margin, look.information)
        state = "fail" if look.estimate <= fail else "pass" if look.estimate >= fine else "open"
        missing, more = np.empty(0, np.intp), math.inf
        if state != "open":
            break
        llr = float(drop_llr(limits.margin, look.estimate, look.information))
        target = look.information + expected_information(llr, look.estimate, limits.margin, lower, upper)
        following = _allotted(anchor, counts, target, limits.cap, generator)
        if following is None:
            break
        wanted = following
    if not looks:
        return Finding("open", 0, more=more), missing
    last = looks[-1]
    middle, low, high = _interval(looks, (lower, upper), limits)
    used = int(bank.counts(cases).sum())
    llr = float(drop_llr(limits.margin, last.estimate, last.information))
    return Finding(state, used, middle, low, high, llr, 0.0 if state != "open" else more), missing


def _look(anchor: Anchor, cases: Cases, counts: Counts, bank: Bank, margin: float) -> _Look:
    means = np.asarray([np.mean([outcome for outcome, *_ in bank.drawn(case)]) for case in cases.tolist()])
    estimate = float((means - anchor.mean).sum()) / anchor.n_all

    def information(variance: Floats) -> float:
        return 1.0 / (float((variance / counts).sum()) / anchor.n_all**2 + anchor.tau**2)

    dropped = min(2.0, max(0.0, -estimate / margin))
    return _Look(
        estimate,
        information(anchor.variance),
        information(anchor.unchanged),
        information(anchor.unchanged + dropped * (anchor.dropped - anchor.unchanged)),
    )


def _allotted(
    anchor: Anchor, counts: Counts, information: float, cap: int, generator: np.random.Generator
) -> Counts | None:
    """Trials of each case in all, for this information; None where no number of them gives it."""
    room = (1.0 / information - anchor.tau**2) * anchor.n_all**2
    most = np.maximum(counts, cap)
    if room <= 0 or not bool((counts < most).any()) or float((anchor.variance / most).sum()) > room:
        return None
    weight = np.maximum(np.sqrt(anchor.variance), 1e-6)

    def trials(scale: float) -> Floats:
        return np.asarray(np.clip(scale * weight, counts, most))

    low, high = 0.0, float((most / weight).max())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if float((anchor.variance / trials(middle)).sum()) > room else (low, middle)
    found = np.floor(trials(high) + generator.random(len(counts))).astype(np.intp)
    found = np.clip(found, counts, most)
    short = _LEAST - int((found - counts).sum())
    if short > 0:
        # the cases that vary most, as far as they may be run again
        order = np.argsort(-weight * (found < most), kind="stable")[: min(short, int((found < most).sum()))]
        found[order] += 1
    return found


def _interval(looks: list[_Look], bounds: tuple[float, float], limits: Limits) -> tuple[float, float, float]:
    """Median-unbiased estimate and interval after stopping at the last round."""
    information = [look.as_dropped for look in looks]
    for place in range(1, len(information)):
        information[place] = max(information[place], information[place - 1] * (1 + 1e-6))
    lower, upper = bounds
    fail = [look.as_dropped * float(boundary(upper, limits.margin, look.unchanged)) for look in looks]
    fine = [look.as_dropped * float(boundary(lower, limits.margin, look.information)) for look in looks]
    return stopped_interval(information, fail, fine, looks[-1].estimate * information[-1], limits.tails)
