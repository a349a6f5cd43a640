"""Pass rates of one grader before and now, as the sums that the statistics need: of all cases, some, or every slice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.gate.evidence import Evidence, Mask
from evalkit.gate.golden import Slicing
from evalkit.gate.pairs import GraderPairs
from evalkit.stats import PairedSums, cluster_sizes

__all__ = ["RateComparison"]

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]
Codes = NDArray[Any]


_PIECE = 65_536
"""Cases counted at a time: counting makes eight bytes of each code."""


def _counted(codes: Codes, size: int) -> NDArray[np.int64]:
    """How often each code below a size occurs."""
    counts = np.zeros(size, np.int64)
    for start in range(0, len(codes), _PIECE):
        counts += np.bincount(codes[start : start + _PIECE], minlength=size)
    return counts


class RateComparison:
    """The outcomes of a grader's cases on both sides as one code a case.

    What is counted is counted by code; single cases are looked at only where the rate moved, and for
    the sizes of clusters.

    Args:
        pairs: The grader.
        evidence: What it belongs to.
        clean: Leave out the cases that have error rows now.
    """

    def __init__(self, pairs: GraderPairs, evidence: Evidence, *, clean: bool = False) -> None:
        before, now = pairs.before, pairs.now
        width = len(now.table.outcomes)
        self._size = 2 * width * len(before.table.outcomes)
        kind = np.uint8 if self._size < 256 else np.uint32  # 2 * width must fit too
        joint: Codes = before.codes.astype(kind)
        joint *= 2 * width
        joint += now.codes.astype(kind) * 2
        joint += evidence.touched
        self._joint = joint
        self._counts = _counted(joint, self._size)
        codes, touched = np.divmod(np.arange(self._size), 2)
        old, new = np.divmod(codes, width)
        self._before, self._now = before.table.rate[old], now.table.rate[new]
        self._kept = before.table.decided[old] & ~before.table.errors[old] & now.table.decided[new]
        if clean:
            self._kept &= ~now.table.errors[new]
        self._touched = self._kept & (touched == 1)
        self._difference = np.where(self._touched, self._now - self._before, 0.0)
        self._clusters = evidence.columns.clusters
        self._moved: Positions = np.flatnonzero(self._where(self._difference != 0, joint))

    def _where(self, flags: Mask, joint: Codes) -> Mask:
        """Cases, of all or some, whose code has a flag."""
        used = np.flatnonzero(flags & (self._counts > 0))
        if len(used) > 8:
            picked: Mask = flags[joint]
            return picked
        mask = np.zeros(len(joint), bool)
        for code in used.tolist():
            mask |= joint == code
        return mask

    def worse(self) -> tuple[Positions, Floats]:
        """Cases whose rate is lower now, touched or not, and by how much."""
        change = np.where(self._kept, self._now - self._before, 0.0)
        places: Positions = np.flatnonzero(self._where(change < 0, self._joint))
        return places, change[self._joint[places]]

    def within(self, cases: Mask | None = None) -> PairedSums:
        """Sums of the cases of a mask; of all where there is none."""
        if cases is None:
            return self._sums(self._counts, self._moved, None)
        counts = _counted(self._joint[cases], self._size)
        return self._sums(counts, self._moved[cases[self._moved]], np.flatnonzero(cases))

    def by_slice(self, slicing: Slicing) -> Iterator[tuple[str, PairedSums]]:
        """Sums of each slice of a key."""
        values = len(slicing.values)
        counts = np.zeros((values + 1) * self._size, np.int64)
        piece = max(_PIECE, len(counts))
        for start in range(0, len(self._joint), piece):
            place = slicing.codes[start : start + piece].astype(np.int64)
            place += 1
            place *= self._size
            place += self._joint[start : start + piece]
            counts += np.bincount(place, minlength=len(counts))
        counts = counts.reshape(values + 1, self._size)[1:]
        if self._clusters is not None:
            order, ends = slicing.order
        codes = slicing.codes[self._moved]
        grouped = self._moved[np.argsort(codes, kind="stable")]
        limits = np.cumsum(np.bincount(codes + 1, minlength=values + 1))
        for number, value in enumerate(slicing.values):
            members = order[ends[number] : ends[number + 1]] if self._clusters is not None else None
            yield value, self._sums(counts[number], grouped[limits[number] : limits[number + 1]], members)

    def _sums(self, counts: NDArray[np.int64], moved: Positions, members: Positions | None) -> PairedSums:
        """Sums from the number of cases of each code, the cases that moved, and all cases where clusters need them."""
        kept = counts * self._kept
        n = int(kept.sum())
        touched = int(counts[self._touched].sum())
        used = np.flatnonzero(kept)
        rates = np.concatenate([self._before[used], self._now[used]])
        changing = np.flatnonzero(kept * self._touched)
        moving = np.concatenate([self._before[changing], self._now[changing]])
        sizes, clusters, squares, numbers = np.ones(len(moved)), touched, float(touched), moved
        if self._clusters is not None and touched:
            numbers, sizes, clusters, squares = self._cluster_sizes(self._clusters, moved, members)
        return PairedSums(
            n=n,
            touched=touched,
            baseline=float(np.dot(kept[used], self._before[used]) / n) if n else np.nan,
            candidate=float(np.dot(kept[used], self._now[used]) / n) if n else np.nan,
            moved=self._difference[self._joint[moved]],
            moved_clusters=numbers,
            moved_sizes=sizes,
            clusters=clusters,
            square_sizes=squares,
            binary=bool(np.all((moving == 0) | (moving == 1))),
            shares=bool(np.all((rates >= 0) & (rates <= 1))),
        )

    def _cluster_sizes(
        self, clusters: NDArray[np.int32], moved: Positions, members: Positions | None
    ) -> tuple[NDArray[np.int64], Floats, int, float]:
        joint = self._joint if members is None else self._joint[members]
        touched = self._where(self._touched, joint)
        mine = (clusters if members is None else clusters[members])[touched]
        where = np.flatnonzero(touched) if members is None else members[touched]
        return cluster_sizes(mine, np.searchsorted(where, moved))
