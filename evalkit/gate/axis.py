"""The cases that a comparison is about, in one order that all its arrays share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.errors import StoreError
from evalkit.store.arrays import GrowingArray, bits, take, texts

__all__ = ["CaseAxis", "IdCollector", "case_starts", "rising"]

Positions = NDArray[np.intp]
Numbers = TypeVar("Numbers", bound=np.generic)
_MOST_BYTES = 2**31 - 1
"""Text in one Arrow array of strings."""


def case_starts(case_ids: Any) -> Positions:
    """Where a case begins in rows that are in the order of their cases."""
    if not len(case_ids):
        return np.empty(0, np.intp)
    changes = pc.not_equal(case_ids.slice(1), case_ids.slice(0, len(case_ids) - 1))
    return np.concatenate([[0], np.flatnonzero(bits(changes)) + 1])


def rising(ids: Any) -> bool:
    """Whether each id is greater than the one before it: they are sorted and distinct."""
    return len(ids) < 2 or bool(np.all(bits(pc.less(ids.slice(0, len(ids) - 1), ids.slice(1)))))


class IdCollector:
    """Ids that come in piece by piece. As long as they are those that are expected, none is kept a second time.

    Args:
        expected: An Arrow array of strings that begins as the ids will, where there is one.
    """

    def __init__(self, expected: Any | None = None) -> None:
        self._expected = expected
        self._count = 0
        self._content = bytearray()
        """The ids, one after the other; it grows in its place, so that they are never there twice."""
        self._offsets = GrowingArray(np.int32)
        self._offsets.extend(np.zeros(1, np.int32))

    def add(self, piece: Any) -> None:
        """Take the next ids: an Arrow array of strings without nulls."""
        if self._expected is not None and not self._expected.slice(self._count, len(piece)).equals(piece):
            known, self._expected = self._expected.slice(0, self._count), None
            self._append(known)
        self._count += len(piece)
        if self._expected is None:
            self._append(piece)

    def _append(self, piece: Any) -> None:
        if not len(piece):
            return
        _, offsets, content = piece.buffers()
        ends = np.frombuffer(offsets, np.int32, count=piece.offset + len(piece) + 1)[piece.offset :]
        if len(self._content) + int(ends[-1] - ends[0]) > _MOST_BYTES:
            raise StoreError("the ids of the cases come to more than two gigabytes", fix="give the cases shorter ids")
        self._offsets.extend(ends[1:] + np.int32(len(self._content) - int(ends[0])))
        if content is not None:
            self._content += memoryview(content)[int(ends[0]) : int(ends[-1])]

    def expect(self, count: int) -> None:
        """Take as many of the expected ids as the next ones."""
        if self._expected is None or self._count + count > len(self._expected):
            raise ValueError("so many ids are not expected")
        self._count += count

    def joined(self) -> Any:
        """All of them, in the order in which they came; the array that was expected itself where they are all of it."""
        if self._expected is not None:
            whole = self._count == len(self._expected)
            return self._expected if whole else self._expected.slice(0, self._count)
        buffers = [None, pa.py_buffer(self._offsets.array), pa.py_buffer(self._content)]
        return pa.Array.from_buffers(pa.string(), self._count, buffers)


@dataclass(frozen=True)
class CaseAxis:
    """Case ids without repetition, in the order of their code points. Arrays of a comparison have one entry for each.

    Args:
        ids: Arrow array of strings, sorted, distinct.
    """

    ids: Any

    @classmethod
    def of(cls, *parts: Any) -> CaseAxis:
        """All ids of several sorted arrays; nothing is made anew where they are the same."""
        distinct: list[Any] = []
        for part in parts:
            if not any(part is known or part.equals(known) for known in distinct):
                distinct.append(part)
        if len(distinct) == 1:
            return cls(distinct[0])
        every = pc.unique(pa.concat_arrays(distinct)) if distinct else texts([])
        return cls(every.take(pc.array_sort_indices(every)))

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def everything(self) -> NDArray[np.bool_]:
        """A mask of all cases."""
        return np.ones(len(self), bool)

    def place(self, ids: Any, values: NDArray[Numbers], missing: Any) -> NDArray[Numbers]:
        """Values of some cases as an array over all; ``missing`` where there is none."""
        if ids is self.ids or ids.equals(self.ids):
            return values
        placed = np.full(len(self), missing, values.dtype)
        placed[self.positions(ids)] = values
        return placed

    def positions(self, ids: Any) -> Positions:
        """Where these cases are, all of which are there."""
        if ids is self.ids or ids.equals(self.ids):
            return np.arange(len(self))
        found = pc.index_in(ids, value_set=self.ids)
        return np.frombuffer(found.buffers()[1], np.int32, count=len(found)).astype(np.intp)

    def mask(self, ids: Any) -> NDArray[np.bool_]:
        """Which cases are among these."""
        return self.place(ids, np.ones(len(ids), bool), missing=False)

    def names(self, chosen: NDArray[np.bool_] | Positions, most: int | None = None) -> tuple[str, ...]:
        """Ids of the cases at these positions, in the order given, or of those that a mask picks out."""
        where = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return tuple(take(self.ids, where[:most]).to_pylist())
