"""Two-sided sequential test of a candidate against an anchored history (Wald 1945, Ann. Math. Stat. 16:117).

With estimate ``D``, information ``I`` and margin ``delta``, the log likelihood ratio of a drop by the margin over no
change is ``-delta * D * I - delta**2 * I / 2``. Errors of the history are shared by all looks and keep the canonical
form: the covariance of two estimates is the variance of the later one.

Each error is reckoned under the hypothesis in which it is made: to fail, with the information of a candidate that has
not dropped; to pass, with that of one that has, which varies more. Both are normal approximations, on the safe side
because the smoothed variances are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.stats.anchor import Anchor
from evalkit.stats.group_sequential import stopped_interval

__all__ = ["AnchoredSprt", "boundary", "drop_llr", "expected_information", "wald_bounds"]

Floats = NDArray[np.float64]
_LEAST_MARGIN_IN_TAU = 3.0
_MOST_LOOKS = 120
"""Looks that the interval reckons with; of more, evenly spaced ones."""


@dataclass(frozen=True)
class AnchoredSprt:
    """The test for one anchor; errors as chances, the margin in points of the whole set's mean (0.05: five points)."""

    anchor: Anchor
    margin: float
    alpha: float = 0.05
    """Chance to fail an unchanged candidate."""
    beta: float = 0.10
    """Chance to pass a drop by the margin."""

    @property
    def sufficient(self) -> bool:
        """Whether the history is long enough for the margin: at least three of its standard errors."""
        return self.margin >= _LEAST_MARGIN_IN_TAU * self.anchor.tau

    @property
    def upper(self) -> float:
        """Log likelihood ratio at or above which the candidate fails."""
        return wald_bounds(self.alpha, self.beta)[1]

    @property
    def lower(self) -> float:
        """Log likelihood ratio at or below which it passes."""
        return wald_bounds(self.alpha, self.beta)[0]

    def llr(self, estimate: ArrayLike, trials: ArrayLike, *, unchanged: bool = False) -> Floats:
        """Log likelihood ratio of a drop by the margin over none.

        Args:
            estimate: Mean of the increments so far.
            trials: How many there are.
            unchanged: With the information of an unchanged candidate, which is what a fail is judged by.
        """
        return drop_llr(self.margin, estimate, self.anchor.information(trials, unchanged=unchanged))

    def bounds(self, trials: ArrayLike) -> tuple[Floats, Floats]:
        """Estimates at or below which to fail, and at or above which to pass, after so many trials."""
        fail = boundary(self.upper, self.margin, self.anchor.information(trials, unchanged=True))
        return fail, boundary(self.lower, self.margin, self.anchor.information(trials))

    def more_trials(self, estimate: float, trials: int) -> float:
        """Trials expected until the test settles, if the estimate is right; infinite where history is too short."""
        now = float(self.anchor.information(max(trials, 1))) if trials else 0.0
        llr = float(self.llr(estimate, trials)) if trials else 0.0
        more = expected_information(llr, estimate, self.margin, self.lower, self.upper)
        return max(0.0, self.anchor.trials_for(now + more) - trials) if more else 0.0

    def interval(
        self, looks: NDArray[np.intp], estimate: float, tails: tuple[float, float], may_pass_from: int = 0
    ) -> tuple[float, float, float]:
        """Median-unbiased estimate and interval after stopping at the last look, which early stopping does not bias.

        Args:
            looks: Trials at each look, the last one where the test stopped, increasing.
            estimate: Mean of the increments there.
            tails: Chances that the truth lies below and above the interval.
            may_pass_from: Trials from which the test may pass.
        """
        if len(looks) > _MOST_LOOKS:
            looks = looks[np.unique(np.linspace(0, len(looks) - 1, _MOST_LOOKS).round().astype(np.intp))]
        # outcomes vary as they do after a drop of this size, whatever the boundaries reckoned with
        dropped = min(2.0, max(0.0, -estimate / self.margin))
        information = looks / (self.anchor.variance_after(dropped) + looks * self.anchor.tau**2)
        fail, fine = self.bounds(looks)
        fine = np.where(looks >= may_pass_from, fine, np.inf)
        return stopped_interval(
            information.tolist(),
            (fail * information).tolist(),
            (fine * information).tolist(),
            estimate * float(information[-1]),
            tails,
        )


def wald_bounds(alpha: float, beta: float) -> tuple[float, float]:
    """Log likelihood ratios at or below which to pass, and at or above which to fail."""
    return math.log(beta / (1 - alpha)), math.log((1 - beta) / alpha)


def drop_llr(margin: float, estimate: ArrayLike, information: ArrayLike) -> Floats:
    """Log likelihood ratio of a drop by the margin over no change, at an estimate with this information."""
    return np.asarray(-margin * np.asarray(information) * (np.asarray(estimate) + margin / 2))


def boundary(llr: float, margin: float, information: ArrayLike) -> Floats:
    """The estimate at which the log likelihood ratio has this value."""
    return np.asarray(-llr / (margin * np.asarray(information)) - margin / 2)


def expected_information(llr: float, estimate: float, margin: float, lower: float, upper: float) -> float:
    """Information expected until the log likelihood ratio leaves the bounds, if the true change is the estimate.

    Wald's identities for the Brownian motion with drift ``-margin * (estimate + margin / 2)`` and variance
    ``margin**2`` per unit of information.
    """
    if not lower < llr < upper:
        return 0.0
    up, down, drift = upper - llr, llr - lower, -margin * (estimate + margin / 2)
    rate = 2 * drift / margin**2
    if abs(rate) * (up + down) < 1e-6:
        return up * down / margin**2
    # chance to leave above, written so that no exponential overflows
    if rate > 0:
        chance = -math.expm1(-rate * down) / -math.expm1(-rate * (up + down))
    else:
        chance = math.exp(rate * up) * math.expm1(rate * down) / math.expm1(rate * (up + down))
    return (chance * up - (1 - chance) * down) / drift
