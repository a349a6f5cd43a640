"""Scores of two runs, case by case: a code a case and side, and measurements where a rule asks for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.gate.axis import CaseAxis
from evalkit.gate.outcomes import Graded, OutcomeTable, Trials
from evalkit.gate.reading import read_graded, read_graded_like
from evalkit.store.runs import RunFolder

__all__ = ["GraderPairs", "Pairs", "Side", "load_pairs"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Side:
    """One grader in one run, on all cases of the axis."""

    codes: NDArray[Any]
    table: OutcomeTable
    trials: Trials | None = None
    """Measurements trial by trial, where they were asked for and there are any."""

    def where(self, flags: Flags) -> Flags:
        """Cases whose outcome has a property, given as a flag for each code."""
        chosen = np.flatnonzero(flags)
        if len(chosen) > 8:
            found: Flags = flags[self.codes]
            return found
        mask = np.zeros(len(self.codes), bool)
        for code in chosen.tolist():
            mask |= self.codes == code
        return mask

    @property
    def rate(self) -> Floats:
        """Share of trials passed, an error counting as not passed; NaN where there is none."""
        rates: Floats = self.table.rate[self.codes]
        return rates

    @property
    def value(self) -> Floats:
        """Mean measurement of each case; NaN where there is none, or none was asked for."""
        return np.full(len(self.codes), np.nan) if self.trials is None else self.trials.means(len(self.codes))

    def only(self, cases: Flags) -> Side:
        """The same, knowing nothing of any other case."""
        trials = None if self.trials is None else self.trials.only(cases)
        return replace(self, codes=np.where(cases, self.codes, self.codes.dtype.type(0)), trials=trials)


@dataclass(frozen=True)
class GraderPairs:
    """One grader on both sides of a comparison."""

    grader: str
    before: Side
    now: Side

    @property
    def baseline_usable(self) -> Flags:
        """Cases that the baseline knows something about: a failed grader there must not excuse a failure here."""
        return ~self.before.where(self.before.table.errors)

    @property
    def told(self) -> Flags:
        """Cases of which both sides say something."""
        both: Flags = self.before.table.tells[self.before.codes] & self.now.table.tells[self.now.codes]
        return both

    @property
    def worse(self) -> Flags:
        """Cases that pass in fewer of their trials than before."""
        fell: Flags = self.told & (np.nan_to_num(self.now.rate) < np.nan_to_num(self.before.rate))
        return fell


@dataclass(frozen=True)
class Pairs:
    """Two runs, grader by grader."""

    axis: CaseAxis
    graders: Mapping[str, GraderPairs]
    rows: tuple[Mapping[str, int], Mapping[str, int]]
    """Scores of each grader, of the baseline and of the candidate."""

    @property
    def seen(self) -> Flags:
        """Cases that either run has a score of."""
        mask = np.zeros(len(self.axis), bool)
        for item in self.graders.values():
            mask |= (item.before.codes != 0) | (item.now.codes != 0)
        return mask


def load_pairs(
    baseline: RunFolder, candidate: RunFolder, grading: str, ids: Collection[Any] = (), measured: Collection[str] = ()
) -> Pairs:
    """Read two runs that were graded by the same set of graders, side by side.

    Both are read once, each into a code a case and grader. Where both hold the same cases in the same order, which
    is checked id by id, the sides are parallel as they are; else the ids are looked up.

    Args:
        baseline: The run to compare with; may be the candidate itself.
        candidate: The run to judge.
        grading: Fingerprint of the graders.
        ids: Sorted Arrow arrays of further cases that are to be on the axis; the run probably has those of the first.
        measured: Graders whose measurements are wanted.

    Raises:
        StoreError: when a segment cannot be read.
    """
    path, other = candidate.scores_path(grading), baseline.scores_path(grading)
    now = read_graded(path, measured, expected=next(iter(ids), None))
    before = now if other == path else read_graded_like(now, path, other, measured)
    pa.default_memory_pool().release_unused()
    axis = CaseAxis.of(*ids, before.ids, now.ids)
    graders = {
        name: GraderPairs(name, _side(before, name, axis), _side(now, name, axis))
        for name in sorted(before.codes.keys() | now.codes.keys())
    }
    return Pairs(axis, graders, (before.rows, now.rows))


def _side(graded: Graded, name: str, axis: CaseAxis) -> Side:
    codes = graded.codes.get(name)
    if codes is None:
        return Side(np.zeros(len(axis), np.uint8), graded.table)
    trials = graded.trials.get(name)
    if trials is not None and not graded.ids.equals(axis.ids):
        trials = trials.moved(axis.positions(graded.ids))
    return Side(axis.place(graded.ids, codes, 0), graded.table, trials)
