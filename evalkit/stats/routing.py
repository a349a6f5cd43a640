"""What a choice between models costs against the best one: regret, and whether escalation helps.

Tables of shape (items, models): whether each model is right on each item, and what it costs there. Models are ordered
by the caller, for a cascade from cheap to dear. The oracle takes on each item the cheapest model that is right, and
the cheapest of all where none is: nobody routes better, and nobody can know it beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.stats.intervals import paired_share_difference

__all__ = ["Cascade", "Escalation", "Routed", "cascade", "escalation_helps", "oracle_choice", "routed"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Routed:
    """A policy on all items, beside the oracle."""

    quality: float
    """Share of items on which the policy's model is right."""
    cost: float
    """Mean cost of an item, in the unit of the table."""
    oracle_quality: float
    oracle_cost: float
    missed: float
    """Share of items on which the policy's model is wrong and another one is right."""
    missed_escalations: float
    """Those of them on which a right one is dearer."""
    needless_escalations: float
    """Share of items on which the policy's model is dearer than the oracle's without being right where that is not."""

    @property
    def quality_regret(self) -> float:
        """Quality that the oracle has more, as a share of items; never negative."""
        return self.oracle_quality - self.quality

    @property
    def cost_regret(self) -> float:
        """Cost of an item above the oracle's; negative where a policy saves by being wrong."""
        return self.cost - self.oracle_cost


@dataclass(frozen=True, slots=True)
class Cascade:
    """Models asked one after the other until one is right: a policy with a verifier that never errs."""

    choice: Indices
    """The model whose answer is taken, for each item."""
    spent: Floats
    """What all models cost that were asked, for each item."""
    escalated: Flags
    """Whether more than one was asked, for each item."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """What asking the dearer model instead of the cheaper one brings."""

    gain: float
    """Share right with the dearer model less that with the cheaper one."""
    low: float
    high: float
    """Tango's interval for paired shares."""
    fixed: int
    """Items that only the dearer one gets right."""
    broke: int
    """Items that only the cheaper one gets right."""
    extra_cost: float
    """Mean cost of an item more; negative where the other model is the cheaper one."""

    @property
    def helps(self) -> bool:
        """Whether the gain is above zero by its whole interval."""
        return self.low > 0

    @property
    def cost_per_gain(self) -> float:
        """Extra cost of one more right item; NaN where nothing is gained."""
        return self.extra_cost / self.gain if self.gain > 0 else float("nan")


def _tables(right: ArrayLike, cost: ArrayLike) -> tuple[Flags, Floats]:
    shares, costs = np.asarray(right, np.float64), np.asarray(cost, np.float64)
    if shares.ndim != 2 or shares.shape != costs.shape or not shares.size:
        raise ValueError("two tables of one shape (items, models) are needed")
    if not (np.isin(shares, (0.0, 1.0)).all() and np.isfinite(costs).all() and (costs >= 0).all()):
        raise ValueError("right is 0 or 1, costs are finite and not negative")
    return shares.astype(bool), costs


def oracle_choice(right: ArrayLike, cost: ArrayLike) -> Indices:
    """The cheapest right model of each item, the cheapest of all where none is right; the first of equal ones.

    Raises:
        ValueError: for tables of other shapes or values.
    """
    flags, costs = _tables(right, cost)
    usable = flags | ~flags.any(axis=1, keepdims=True)
    best: Indices = np.argmin(np.where(usable, costs, np.inf), axis=1)
    return best


def routed(right: ArrayLike, cost: ArrayLike, choice: ArrayLike, spent: ArrayLike | None = None) -> Routed:
    """Hold a policy against the oracle.

    Args:
        right: Whether each model is right, shape (items, models).
        cost: What each model costs, same shape.
        choice: The model whose answer the policy takes, shape (items,).
        spent: What the policy paid, shape (items,), where that is more than the price of its choice.

    Raises:
        ValueError: for tables of other shapes or values, or a choice that is no model.
    """
    flags, costs = _tables(right, cost)
    chosen = np.asarray(choice, np.intp)
    rows = np.arange(len(flags))
    if chosen.shape != rows.shape or not ((chosen >= 0) & (chosen < flags.shape[1])).all():
        raise ValueError("a choice is the number of a model for each item")
    best = oracle_choice(flags, costs)
    paid = costs[rows, chosen]
    good = flags[rows, chosen]
    dearer = (flags & (costs > paid[:, None])).any(axis=1)
    return Routed(
        quality=float(good.mean()),
        cost=float(np.mean(paid if spent is None else np.broadcast_to(np.asarray(spent, np.float64), paid.shape))),
        oracle_quality=float(flags[rows, best].mean()),
        oracle_cost=float(costs[rows, best].mean()),
        missed=float((~good & flags.any(axis=1)).mean()),
        missed_escalations=float((~good & dearer).mean()),
        needless_escalations=float(((paid > costs[rows, best]) & (good <= flags[rows, best])).mean()),
    )


def cascade(right: ArrayLike, cost: ArrayLike, order: Sequence[int] | None = None) -> Cascade:
    """Ask the models in an order until one is right; all are paid, and the last one's answer stands where none is.

    Args:
        right: Whether each model is right, shape (items, models).
        cost: What each model costs, same shape.
        order: Numbers of the models; None means that of the table.

    Raises:
        ValueError: for tables of other shapes or values.
    """
    flags, costs = _tables(right, cost)
    sequence = list(range(flags.shape[1]) if order is None else order)
    ordered = flags[:, sequence]
    last = np.where(ordered.any(axis=1), ordered.argmax(axis=1), len(sequence) - 1)
    sums = np.cumsum(costs[:, sequence], axis=1)
    return Cascade(np.asarray(sequence, np.intp)[last], sums[np.arange(len(flags)), last], last > 0)


def escalation_helps(right: ArrayLike, cost: ArrayLike, cheap: int, dear: int, tail: float = 0.025) -> Escalation:
    """Whether one model is right more often than another on the same items, and at what price.

    Args:
        right: Whether each model is right, shape (items, models).
        cost: What each model costs, same shape.
        cheap: Number of the model that is asked first.
        dear: Number of the one that is escalated to.
        tail: Probability left out at each end of the interval.

    Raises:
        ValueError: for tables of other shapes or values.
    """
    flags, costs = _tables(right, cost)
    fixed = int((flags[:, dear] & ~flags[:, cheap]).sum())
    broke = int((flags[:, cheap] & ~flags[:, dear]).sum())
    low, high = paired_share_difference(broke, fixed, len(flags), tail, tail)
    extra = float((costs[:, dear] - costs[:, cheap]).mean())
    return Escalation((fixed - broke) / len(flags), low, high, fixed, broke, extra)
