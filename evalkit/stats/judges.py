"""Votes of judges: put together, and measured for what they follow beside quality.

A pairwise judge is asked twice, the second time with the two answers in the other order, because the order alone
changes what many judges say (Wang et al. 2023, arXiv 2305.17926; Zeng et al. 2023, arXiv 2310.07641). A vote is stated
of the two *answers*, whatever their order was: the votes of one pair can be compared as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CHOICES", "Choice", "PairVotes", "PointVotes", "Preference", "combine_orders", "combine_points", "credit",
    "first_shown", "longer",
]  # fmt: skip

Choice: TypeAlias = Literal["a", "b", "tie"]
"""Which of two answers is better."""
CHOICES: tuple[Choice, ...] = ("a", "b", "tie")
"""All of them."""


@dataclass(frozen=True, slots=True)
class PairVotes:
    """The two votes on a pair; None where a vote could not be read."""

    a_first: Choice | None
    """When answer a was shown first."""
    b_first: Choice | None
    """When answer b was shown first."""


@dataclass(frozen=True, slots=True)
class Preference:
    """What the votes on a pair come to."""

    choice: Choice
    """The answer that wins in both orders; a tie where they disagree."""
    order_flip: bool
    """Whether the two orders disagree: then the judge has not said which is better."""
    strength: float
    """-1 where all votes are for b, 1 where all are for a."""


def combine_orders(votes: Sequence[PairVotes]) -> Preference:
    """Put the votes on a pair together: who wins wins in both orders, by most of the votes of each.

    A vote that could not be read is for neither, and no agreement with anything.

    Raises:
        ValueError: where there are none.
    """
    if not votes:
        raise ValueError("no votes")
    one, other = _majority([pair.a_first for pair in votes]), _majority([pair.b_first for pair in votes])
    strength = fmean(_sign(vote) for pair in votes for vote in (pair.a_first, pair.b_first))
    if one is None or one != other:
        return Preference("tie", True, strength)
    return Preference(one, False, strength)


def _majority(votes: Sequence[Choice | None]) -> Choice | None:
    """What more than half of the votes say; a tie where no answer has more than half; None where most say nothing."""
    if sum(vote is None for vote in votes) * 2 >= len(votes):
        return None
    for choice in CHOICES[:2]:
        if sum(vote == choice for vote in votes) * 2 > len(votes):
            return choice
    return "tie"


def _sign(vote: Choice | None) -> int:
    return {"a": 1, "b": -1}.get(vote or "", 0)


def credit(votes: PairVotes, truth: Choice) -> float:
    """Share of the two votes that say what people say: 0, 0.5 or 1. Its mean is the accuracy of LLMBar's tables."""
    return fmean((votes.a_first == truth, votes.b_first == truth))


def first_shown(votes: Sequence[PairVotes]) -> NDArray[np.float64]:
    """For each vote for one of the answers, whether that one was shown first. A judge without position bias: 0.5.

    Both orders of each pair are asked, so a better answer is first as often as it is second.
    """
    shown = [
        float(vote == first)
        for pair in votes
        for vote, first in ((pair.a_first, "a"), (pair.b_first, "b"))
        if vote in ("a", "b")
    ]
    return np.asarray(shown, np.float64)


def longer(a: str, b: str) -> Choice:
    """Which of two answers has more characters."""
    return "tie" if len(a) == len(b) else "a" if len(a) > len(b) else "b"


@dataclass(frozen=True, slots=True)
class PointVotes:
    """What several votes on one answer come to."""

    mean: float
    spread: float
    """The highest vote less the lowest one."""
    split: bool
    """Whether some votes are above the threshold and some below it."""


def combine_points(votes: Sequence[float], threshold: float | None = None) -> PointVotes:
    """Put votes on one answer together: their mean, and whether they disagree.

    Args:
        votes: Between 0 and 1.
        threshold: What a vote must reach to be for the answer; None where none is asked for.

    Raises:
        ValueError: where there are none.
    """
    if not votes:
        raise ValueError("no votes")
    sides = set() if threshold is None else {vote >= threshold for vote in votes}
    # the mean of equal votes is that vote, whatever rounding makes of their sum
    mean = votes[0] if min(votes) == max(votes) else fmean(votes)
    return PointVotes(mean, max(votes) - min(votes), len(sides) > 1)
