"""Tests that may be looked at after every request: e-processes and an asymptotic confidence sequence.

An e-process is a non-negative running product whose mean is at most one while nothing is
wrong; by Ville's inequality it exceeds ``1/alpha`` at any time with probability at most
``alpha``. The event-conditional form asks of each failure only in which arm it happened, so
that an incident which hits both arms alike moves nothing (Lindon and Malek, NeurIPS 2022,
arXiv 2011.03567).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

__all__ = [
    "RATIOS",
    "asymptotic_radius",
    "log_e_rate_higher",
    "log_e_rate_lower",
    "log_e_share_differs",
]

RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Alternatives that the mixtures bet on, equally."""


def _log_mixture(canary: int, control: int, theta0: float, thetas: Sequence[float]) -> float:
    terms = [canary * math.log(theta / theta0) + control * math.log((1 - theta) / (1 - theta0)) for theta in thetas]
    return float(special.logsumexp(terms) - math.log(len(terms)))


def _theta(share: float, ratio: float) -> float:
    """Chance that an event is the canary's, when its rate is ``ratio`` times the control's."""
    return share * ratio / (share * ratio + 1 - share)


def log_e_rate_higher(
    canary: int, control: int, share: float, allowed: float = 1.0, ratios: Sequence[float] = RATIOS
) -> float:
    """Log e-value against "the canary's event rate is at most ``allowed`` times the control's".

    Args:
        canary: Events in the canary.
        control: Events in the control.
        share: Share of requests that are assigned to the canary, fixed and at random.
        allowed: Ratio of rates that is allowed.
        ratios: How much worse than allowed the alternatives are.
    """
    return _log_mixture(canary, control, _theta(share, allowed), [_theta(share, allowed * r) for r in ratios])


def log_e_rate_lower(canary: int, control: int, share: float, margin: float, ratios: Sequence[float] = RATIOS) -> float:
    """Log e-value against "the canary's event rate is at least ``margin`` times the control's": grounds to promote."""
    return _log_mixture(canary, control, _theta(share, margin), [_theta(share, margin / r) for r in ratios])


def log_e_share_differs(canary: int, control: int, share: float) -> float:
    """Log e-value against "requests are assigned with probability ``share``": a uniform mixture of all shares.

    Large values mean a sample-ratio mismatch: assignment is broken and nothing can be concluded.
    """
    marginal = float(special.betaln(canary + 1, control + 1))
    return marginal - canary * math.log(share) - control * math.log(1 - share)


def asymptotic_radius(n: int, standard_error: float, alpha: float, tuned_for: int = 500) -> float:
    """Half-width of a one-sided asymptotic confidence sequence (Waudby-Smith et al., arXiv 2103.06476).

    Args:
        n: Observations so far.
        standard_error: Estimated standard error of the estimate now.
        alpha: Error over all times.
        tuned_for: Sample size at which the sequence is tightest.
    """
    if n < 2:
        return math.inf
    rho2 = (2 * math.log(1 / (2 * alpha)) + math.log(1 + 2 * math.log(1 / (2 * alpha)))) / tuned_for
    scale = 2 * (n * rho2 + 1) / (n * rho2) * math.log(1 + math.sqrt(n * rho2 + 1) / (2 * alpha))
    return standard_error * float(np.sqrt(scale))
