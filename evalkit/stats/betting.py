"""E-processes for bounded means by betting: valid at every moment, without a normal approximation.

A bettor stakes shares of a capital on increments falling on one side of a mean; if the mean is not there, the capital
is a supermartingale and exceeds ``1/alpha`` at any time with probability at most ``alpha`` (Ville). The capital is
spread over a grid of stakes (Waudby-Smith and Ramdas 2024, JRSS B 86:1, arXiv 2010.09686, section 4).

It asks that each increment have the tested mean given those before it: trials drawn on their own, with replacement
(:func:`evalkit.stats.anchor.random_schedule`), not in an order that is more even than chance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["confidence_bound", "log_e_above", "log_e_below"]

Floats = NDArray[np.float64]
_STAKES = np.geomspace(0.01, 0.98, 20)
"""Shares of the largest stake that cannot ruin the bettor."""


def log_e_below(increments: Floats, mean: float, highest: float) -> Floats:
    """Log e-values against "the mean is at least this", after each increment: evidence that it is below.

    Args:
        increments: In the order in which they were drawn, shape (n,).
        mean: The mean that is doubted.
        highest: An upper bound of all increments, known beforehand.

    Returns:
        Shape (n,).
    """
    return _log_capital(mean - np.asarray(increments, np.float64), highest - mean)


def log_e_above(increments: Floats, mean: float, lowest: float) -> Floats:
    """The mirror image: log e-values against "the mean is at most this".

    Args:
        increments: In the order in which they were drawn, shape (n,).
        mean: The mean that is doubted.
        lowest: A lower bound of all increments, known beforehand.
    """
    return _log_capital(np.asarray(increments, np.float64) - mean, mean - lowest)


def _log_capital(gains: Floats, worst: float) -> Floats:
    """Logarithm of the mean capital over the stakes; ``gains`` have a mean of at most nought if nothing is found."""
    if len(gains) == 0:
        return np.zeros(0)
    if worst <= 0:
        # the mean is at or beyond the bound: no increment can speak against it at a risk
        return np.zeros(len(gains))
    if float(gains.min()) < -worst * (1 + 1e-9) - 1e-12:
        raise ValueError("an increment lies beyond its bound")
    capital = np.cumsum(np.log1p(np.outer(np.maximum(gains, -worst), _STAKES / worst)), axis=0)
    most = capital.max(axis=1)
    return np.asarray(most + np.log(np.exp(capital - most[:, None]).mean(axis=1)))


def confidence_bound(increments: Floats, bounds: tuple[float, float], error: float, *, upper: bool) -> float:
    """One end of a confidence sequence for the mean, valid at any stopping time.

    Args:
        increments: In the order in which they were drawn.
        bounds: Lower and upper bound of all increments, known beforehand.
        error: Chance that the mean is ever beyond this end.
        upper: The upper end, else the lower one.
    """
    lowest, highest = bounds
    limit = float(np.log(1 / error))

    def refuted(mean: float) -> bool:
        log_e = log_e_below(increments, mean, highest) if upper else log_e_above(increments, mean, lowest)
        return len(log_e) > 0 and float(log_e[-1]) >= limit

    start = float(np.mean(increments)) if len(increments) else (lowest + highest) / 2
    return _last_unrefuted(refuted, start, highest if upper else lowest)


def _last_unrefuted(refuted: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where means begin to be refuted on the way from the sample's mean to the bound."""
    if not refuted(outside - (outside - inside) * 1e-9):
        return outside
    for _ in range(40):
        middle = (inside + outside) / 2
        if refuted(middle):
            outside = middle
        else:
            inside = middle
    return outside
