"""Tests with several planned looks: boundaries and error rates by numerical integration.

The estimate is looked at when its information is ``I_1 < I_2 < ...``; its score ``S_k = estimate * I_k`` is a Brownian
motion with drift, observed at these times. Densities between the boundaries are carried from look to look
(Armitage, McPherson and Rowe 1969, JRSS A 132:235; Jennison and Turnbull 1999, *Group Sequential Methods*, ch. 19).
Below zero is worse.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = ["Passage", "SpendingTest", "maximal_information", "pocock_spending", "stopped_interval"]

Floats = NDArray[np.float64]
_REACH = 8.0
"""Standard deviations beyond which nothing is carried on."""
_STEP = 0.2
"""Distance of grid points in standard deviations of one look's increment."""


@dataclass(frozen=True)
class _Alive:
    """Density of the score at a look, on the grid of its continuation region, under the reference drift."""

    information: float
    grid: Floats
    mass: Floats
    """Density times the weight of integration."""


class Passage:
    """First passage of the score through boundaries, looked at one by one.

    One pass under a reference drift answers for every drift: densities differ by a factor that depends on the score
    and the information alone.
    """

    def __init__(self, reference: float = 0.0):
        self._reference = reference
        self._alive = [_Alive(0.0, np.zeros(1), np.ones(1))]
        self._flat: tuple[Floats, Floats, Floats, Floats, Floats] | None = None
        self.low: list[float] = []
        self.high: list[float] = []

    @property
    def looks(self) -> int:
        """Looks so far."""
        return len(self.low)

    def below(self, information: float, score: float, drift: float, look: int | None = None) -> float:
        """Chance of not having stopped before a look and being at or below this score there.

        Args:
            information: That of the look.
            score: Where.
            drift: True change.
            look: Which look, counted from zero; default the next one.
        """
        alive = self._alive[self.looks if look is None else look]
        step = information - alive.information
        tilt = (drift - self._reference) * alive.grid - (drift**2 - self._reference**2) * alive.information / 2
        return float(
            np.dot(alive.mass * np.exp(tilt), special.ndtr((score - alive.grid - drift * step) / math.sqrt(step)))
        )

    def above(self, information: float, score: float, drift: float, look: int | None = None) -> float:
        """The same for at or above the score."""
        alive = self._alive[self.looks if look is None else look]
        step = information - alive.information
        tilt = (drift - self._reference) * alive.grid - (drift**2 - self._reference**2) * alive.information / 2
        return float(
            np.dot(alive.mass * np.exp(tilt), special.ndtr((alive.grid + drift * step - score) / math.sqrt(step)))
        )

    def look(self, information: float, low: float, high: float) -> None:
        """Go on from the next look with what lies between its boundaries (scores; they may be infinite)."""
        before = self._alive[-1]
        step = information - before.information
        if step <= 0:
            raise ValueError("information must grow from look to look")
        deviation = math.sqrt(step)
        middle, reach = self._reference * information, _REACH * math.sqrt(information)
        start, end = max(low, middle - reach), min(high, middle + reach)
        self.low.append(low)
        self.high.append(high)
        self._flat = None
        if end <= start:
            self._alive.append(_Alive(information, np.zeros(1), np.zeros(1)))
            return
        points = 2 * min(400, max(16, math.ceil((end - start) / deviation / _STEP / 2))) + 1
        grid = np.linspace(start, end, points)
        distance = (grid[:, None] - before.grid[None, :] - self._reference * step) / deviation
        density = np.exp(-0.5 * distance**2) @ before.mass / (deviation * math.sqrt(2 * math.pi))
        weights = np.full(points, 2.0)
        weights[1::2], weights[0], weights[-1] = 4.0, 1.0, 1.0
        self._alive.append(_Alive(information, grid, density * weights * (end - start) / (points - 1) / 3))

    def ever_below(self, drift: float) -> float:
        """Chance of having stopped below at any look so far, all looks in one go."""
        if not self.low:
            return 0.0
        if self._flat is None:
            before = self._alive[:-1]
            lengths = [len(alive.grid) for alive in before]
            times = np.repeat([alive.information for alive in before], lengths)
            steps = np.repeat(np.diff([alive.information for alive in self._alive]), lengths)
            grid, mass = np.concatenate([a.grid for a in before]), np.concatenate([a.mass for a in before])
            self._flat = times, steps, grid, mass, np.repeat(self.low, lengths)
        times, steps, grid, mass, low = self._flat
        tilt = (drift - self._reference) * grid - (drift**2 - self._reference**2) * times / 2
        return float(np.dot(mass * np.exp(tilt), special.ndtr((low - grid - drift * steps) / np.sqrt(steps))))

    def stops(self, drift: float) -> tuple[Floats, Floats]:
        """Chances of stopping at each look, below and above, shape (looks,) each."""
        times = [alive.information for alive in self._alive[1:]]
        low = [self.below(time, self.low[k], drift, k) for k, time in enumerate(times)]
        high = [self.above(time, self.high[k], drift, k) for k, time in enumerate(times)]
        return np.asarray(low), np.asarray(high)


def stopped_interval(
    information: Sequence[float], low: Sequence[float], high: Sequence[float], score: float, tails: tuple[float, float]
) -> tuple[float, float, float]:
    """Median-unbiased estimate and interval after stopping at the last of the looks.

    Outcomes are put in stagewise order: stopping early below is lowest, stopping early above highest (Tsiatis, Rosner
    and Mehta 1984, Biometrics 40:797). Exact for the Brownian motion; the last look may also be one where no boundary
    was reached.

    Args:
        information: At each look.
        low: Scores at or below which each look but the last would have stopped; longer ones are cut.
        high: The same above.
        score: Score at the last look.
        tails: Chances that the truth lies below and above the interval.

    Returns:
        Median-unbiased estimate, lower and upper end.
    """
    last = len(information) - 1
    naive, width = score / information[last], 1 / math.sqrt(information[last])
    passage = Passage(naive)
    for k in range(last):
        passage.look(information[k], low[k], high[k])

    def as_low(drift: float) -> float:
        """Chance of an outcome at or below the observed one; falls as the drift grows."""
        chance = passage.below(information[last], score, drift)
        return chance + passage.ever_below(drift)

    def solve(chance: float) -> float:
        ends = [naive, naive]
        for side, sign in ((0, -1.0), (1, 1.0)):
            for reach in (1, 2, 4, 8, 12):
                ends[side] = naive + sign * reach * width
                if sign * (as_low(ends[side]) - chance) < 0:
                    break
            else:
                return ends[side]
        return _brent(lambda drift: as_low(drift) - chance, *ends, xtol=1e-6, rtol=1e-6)

    return solve(0.5), solve(1 - tails[0]), solve(tails[1])


def pocock_spending(fraction: float) -> float:
    """Share of an error spent when this share of the information is in (Lan and DeMets 1983, Biometrika 70:659)."""
    return math.log(1 + (math.e - 1) * min(1.0, max(0.0, fraction)))


class SpendingTest:
    """A two-sided stop for a one-sided question, spending both errors as information comes in.

    Fails where the estimate is lower than no change explains, passes where it is higher than a drop by the margin
    explains. Both stops are binding: errors hold for a test that ends with the first of them.
    """

    def __init__(
        self,
        margin: float,
        alpha: float,
        beta: float,
        maximal: float,
        spend: Callable[[float], float] = pocock_spending,
    ):
        self.margin, self.alpha, self.beta, self.maximal = margin, alpha, beta, maximal
        self._spend = spend
        self._passage = Passage(-margin / 2)
        self._alarms = self._misses = 0.0
        self.information: list[float] = []

    @property
    def low(self) -> list[float]:
        """Scores at or below which each look failed."""
        return self._passage.low

    @property
    def high(self) -> list[float]:
        """Scores at or above which each look passed."""
        return self._passage.high

    def boundaries(self, information: float) -> tuple[float, float]:
        """Scores at or below which the next look would fail, and at or above which it would pass; they may overlap."""
        spent = self._spend(min(1.0, information / self.maximal))
        alarms, misses = self.alpha * spent - self._alarms, self.beta * spent - self._misses
        walk = self._passage
        fail = _root(lambda score: walk.below(information, score, 0.0) - alarms, 0.0, information)
        fine = _root(lambda score: misses - walk.above(information, score, -self.margin), -self.margin, information)
        return fail, fine

    def look(self, information: float) -> tuple[float, float]:
        """Go on to the next look: estimates at or below which to fail, and at or above which to pass."""
        fail, fine = self.boundaries(information)
        fine = max(fine, fail)
        self._alarms += self._passage.below(information, fail, 0.0)
        self._misses += self._passage.above(information, fine, -self.margin)
        self._passage.look(information, fail, fine)
        self.information.append(information)
        return fail / information, fine / information


def _root(rising: Callable[[float], float], drift: float, information: float) -> float:
    """Where a rising function of the score crosses zero; infinite where it does not."""
    middle, reach = drift * information, 10 * math.sqrt(information)
    if rising(middle - reach) >= 0:
        return -math.inf
    if rising(middle + reach) <= 0:
        return math.inf
    return _brent(rising, middle - reach, middle + reach, xtol=1e-9 * reach, rtol=1e-10)


@functools.lru_cache(maxsize=64)
def maximal_information(
    margin: float, alpha: float, beta: float, looks: int, spend: Callable[[float], float] = pocock_spending
) -> float:
    """Information at which the boundaries of so many equally spaced looks meet."""
    fixed = float((special.ndtri(alpha) + special.ndtri(beta)) / margin) ** 2

    def gap(inflation: float) -> float:
        """Positive while the last look still leaves room between its boundaries."""
        maximal = fixed * inflation
        test = SpendingTest(margin, alpha, beta, maximal, spend)
        for k in range(1, looks):
            test.look(maximal * k / looks)
        fail, fine = test.boundaries(maximal)
        return fine - fail

    if looks == 1:
        return fixed
    return fixed * _brent(gap, 1.0, 2.5, xtol=1e-5)


def _brent(function: Callable[[float], float], low: float, high: float, **tolerances: float) -> float:
    from scipy import optimize  # costs a quarter of a second, which most commands need not

    return float(optimize.brentq(function, low, high, **tolerances))
