"""Outcomes of trials as a decision asks for them, and those that earlier runs of the same candidate have drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Bank", "Evidence", "Outcomes", "turns"]

Floats = NDArray[np.float64]
Cases = NDArray[np.intp]


class Outcomes(Protocol):
    """Runs trials of the candidate, or of a fresh baseline."""

    def __call__(self, cases: Cases, /) -> ArrayLike:
        """Run one trial of each case named (numbers into the history; one may be named twice).

        Returns:
            Scores in [0, 1] in the order asked for; NaN for a trial without a score; fewer where the budget has ended.
        """


def _no_cases() -> Cases:
    return np.empty(0, np.intp)


@dataclass(frozen=True)
class Evidence:
    """What has been drawn of a candidate so far, each in the order drawn. Keep it under the candidate's fingerprint."""

    cases: Cases = field(default_factory=_no_cases)
    outcomes: Floats = field(default_factory=lambda: np.empty(0))
    """Trials of the candidate alone, shape (n,)."""
    pair_cases: Cases = field(default_factory=_no_cases)
    pair_candidate: Floats = field(default_factory=lambda: np.empty(0))
    pair_baseline: Floats = field(default_factory=lambda: np.empty(0))
    """Trials of the candidate and of a baseline run at the same time, shape (m,)."""


def turns(order: Cases) -> Cases:
    """How many earlier entries of the order name the same case, shape (n,)."""
    by_case = np.argsort(order, kind="stable")
    ordered = order[by_case]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(order) else np.empty(0, np.intp)
    ranks = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    found = np.empty(len(order), np.intp)
    found[by_case] = ranks
    return found


class Bank:
    """Outcomes by case: what is there is not drawn again, what is missing is asked for.

    Several sources are asked for the same cases at the same time, and their outcomes stay together.
    """

    def __init__(self, sources: Sequence[Outcomes], cases: Cases, outcomes: Sequence[Floats]):
        self._sources = sources
        self._drawn: dict[int, list[tuple[float, ...]]] = {}
        self.cases: list[int] = []
        self.outcomes: list[tuple[float, ...]] = []
        for case, *values in zip(cases.tolist(), *(part.tolist() for part in outcomes), strict=True):
            self._keep(case, tuple(values))
        self.calls = 0
        """Trials asked for and answered now, of each source."""
        self.exhausted = False
        self.unscored = 0
        """Trials that came back without a score."""

    def _keep(self, case: int, values: tuple[float, ...]) -> None:
        self._drawn.setdefault(case, []).append(values)
        self.cases.append(case)
        self.outcomes.append(values)

    def count(self, case: int) -> int:
        """Trials of a case that are there."""
        return len(self._drawn.get(case, ()))

    def counts(self, cases: Cases) -> Cases:
        """Trials of each of these cases that are there."""
        return np.asarray([self.count(case) for case in cases.tolist()], np.intp)

    def following(self, cases: Cases) -> Cases:
        """Numbers of the next outcomes of these cases, each of which may be named several times."""
        return self.counts(cases) + turns(cases)

    def drawn(self, case: int) -> Sequence[tuple[float, ...]]:
        """The outcomes of a case that are there, in the order in which they were drawn."""
        return self._drawn.get(case, ())

    def take(self, cases: Cases, ranks: Cases) -> Floats:
        """The ``ranks[i]``-th outcome of ``cases[i]``, as many as there are before the first that cannot be had.

        Returns:
            Shape (at most len(cases), sources).
        """
        wanted = [(c, r) for c, r in zip(cases.tolist(), ranks.tolist(), strict=True) if r >= self.count(c)]
        if wanted and not self.exhausted:
            self._draw(np.asarray([case for case, _ in wanted], np.intp))
        found = []
        for case, rank in zip(cases.tolist(), ranks.tolist(), strict=True):
            if rank >= self.count(case):
                break
            found.append(self._drawn[case][rank])
        return np.asarray(found, np.float64).reshape(len(found), len(self._sources))

    def _draw(self, cases: Cases) -> None:
        replies = [np.asarray(source(cases), np.float64).ravel() for source in self._sources]
        for reply in replies:
            if len(reply) > len(cases) or bool(((reply < 0) | (reply > 1)).any()):
                raise ValueError(f"asked for {len(cases)} scores in [0, 1], got {reply.tolist()[:20]}")
        length = min(len(reply) for reply in replies)
        self.calls += length
        rows = np.stack([reply[:length] for reply in replies], axis=1)
        blank = np.isnan(rows).any(axis=1)
        self.unscored += int(blank.sum())
        self.exhausted = length < len(cases) or bool(blank.any())
        for place in np.flatnonzero(~blank).tolist():
            self._keep(int(cases[place]), tuple(rows[place].tolist()))
