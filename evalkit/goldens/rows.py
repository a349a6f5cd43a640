"""The rows of a golden set in canonical order: in memory, or left in their file and read in pieces."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evalkit.errors import GoldenSetError
from evalkit.goldens.digest import WIDTH, Digests, row_digests
from evalkit.goldens.parquet import PIECE, Stamp, read_groups, read_table, row_groups, stamp_of

__all__ = ["FileRows", "Look", "Rows", "TableRows", "check_ids", "open_rows", "position_of", "read_positions"]

Look: TypeAlias = Callable[[pa.RecordBatch], None]
"""Who looks at rows while they are read for something else."""


class Rows(Protocol):
    """The rows of a golden set, sorted by id; ids are unique."""

    @property
    def ids(self) -> pa.Array:
        """The ids as Arrow text."""

    @property
    def digests(self) -> Digests:
        """The case digests, 32 bytes each."""

    @property
    def groups(self) -> Sequence[int]:
        """The number of rows in each part that can be read by itself."""

    def read(self, groups: Sequence[int], columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of some parts, in order, in pieces."""

    def table(self) -> pa.Table:
        """All rows in one chunk."""


@dataclass(frozen=True)
class TableRows:
    """Rows in memory."""

    rows: pa.Table

    @cached_property
    def ids(self) -> pa.Array:
        """The ids as Arrow text."""
        return self.rows.column("id").combine_chunks()

    @cached_property
    def digests(self) -> bytes:
        """The case digests, 32 bytes each."""
        return row_digests(self.rows)

    @property
    def groups(self) -> Sequence[int]:
        """The whole table."""
        return (self.rows.num_rows,)

    def read(self, groups: Sequence[int], columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in pieces."""
        if groups:
            yield from (self.rows.select(columns) if columns else self.rows).to_batches(max_chunksize=PIECE)

    def table(self) -> pa.Table:
        """All rows."""
        return self.rows


@dataclass(frozen=True)
class FileRows:
    """Rows of a Parquet file that are in canonical order there: only ids and digests are held.

    The digests were taken when the file was opened. One that has changed since is refused, so that
    no case is taken for one it is not.
    """

    path: Path
    ids: pa.Array
    digests: memoryview = field(repr=False)
    groups: Sequence[int]
    stamp: Stamp

    def read(self, groups: Sequence[int], columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of some parts, in order, in pieces.

        Raises:
            GoldenSetError: when the file cannot be read, or is not the one that was opened.
        """
        self.check_stamp()
        for batch in read_groups(self.path, groups, columns):
            self.check_stamp()
            yield batch

    def table(self) -> pa.Table:
        """All rows, read now.

        Raises:
            GoldenSetError: when the file cannot be read, or is not the one that was opened.
        """
        self.check_stamp()
        table = read_table(self.path)
        self.check_stamp()
        return table

    def check_stamp(self) -> None:
        """Refuse a file that is not the one that was opened.

        Raises:
            GoldenSetError: then.
        """
        if stamp_of(self.path) != self.stamp:
            raise GoldenSetError(
                "the file was changed while it was in use",
                file=self.path,
                fix="run again, and leave the file alone meanwhile",
            )


def open_rows(path: Path, look: Look | None = None) -> Rows:
    """Read a Parquet file once from end to end: check it, take the digests, see whether it is in canonical order.

    A file that another program wrote in another order is held in memory, sorted.

    Args:
        path: The file.
        look: Is shown the rows as they come, in pieces; those of a file in another order only up to where that shows.

    Raises:
        GoldenSetError: when it is not readable, no golden set, without cases, or has ids that are missing or
            occur twice.
    """
    stamp = stamp_of(path)
    groups = tuple(row_groups(path))
    ids: list[pa.Array] = []
    digests = np.empty(sum(groups) * WIDTH, np.uint8)
    done = 0
    last = ""
    for batch in read_groups(path):
        found = batch.column("id")
        if not _ascending(last, found):
            return _sorted_rows(path)
        last = found[-1].as_py()
        ids.append(found)
        digests[done : done + WIDTH * len(found)] = np.frombuffer(row_digests(batch), np.uint8)
        done += WIDTH * len(found)
        if look is not None:
            look(batch)
    if not ids:
        check_ids([], path)
    rows = FileRows(path, pa.concat_arrays(ids), digests.data.toreadonly(), groups, stamp)
    rows.check_stamp()
    return rows


def _ascending(last: str, ids: pa.Array) -> bool:
    """Whether ids go on in canonical order, which is that of their UTF-8 bytes; no id is missing or empty then."""
    before = pa.concat_arrays([pa.array([last], pa.string()), ids.slice(0, len(ids) - 1)])
    return ids.null_count == 0 and bool(pc.all(pc.less(before, ids)).as_py())


def _sorted_rows(path: Path) -> TableRows:
    table = read_table(path)
    check_ids(table.column("id").to_pylist(), path)
    return TableRows(table.sort_by("id").combine_chunks())


def check_ids(ids: Sequence[str | None], path: Path | None) -> None:
    """Refuse ids that are missing, empty or occur twice, and a set without any.

    Raises:
        GoldenSetError: naming the first.
    """
    if not ids:
        raise GoldenSetError(
            "the golden set has no cases: nothing would be tested", file=path, fix="add cases before running"
        )
    seen: set[str] = set()
    for case_id in ids:
        if not case_id:
            raise GoldenSetError("a case has no id", file=path, key="id")
        if case_id in seen:
            raise GoldenSetError("the case id occurs twice", file=path, key="id", value=case_id, fix="rename one")
        seen.add(case_id)


def position_of(ids: pa.Array, case_id: str) -> int | None:
    """Where an id stands among ids in canonical order; None where it does not."""
    position = bisect_left(range(len(ids)), case_id, key=lambda index: ids[index].as_py())
    return position if position < len(ids) and ids[position].as_py() == case_id else None


def read_positions(
    rows: Rows, positions: Any, columns: list[str] | None = None
) -> Iterator[tuple[Any, pa.RecordBatch]]:
    """Some rows in pieces, each with the positions it holds; parts without any of them are not read.

    Args:
        rows: The rows.
        positions: Wanted positions, ascending, as an array of int64.
        columns: Names of the columns; None means all.
    """
    bounds = np.array([0, *accumulate(rows.groups)])
    edges = np.searchsorted(positions, bounds)
    groups = [number for number in range(len(bounds) - 1) if edges[number] < edges[number + 1]]
    if not groups:
        return
    there = np.concatenate([np.arange(bounds[number], bounds[number + 1]) for number in groups])
    first = 0
    for batch in rows.read(groups, columns):
        here = there[first : first + batch.num_rows]
        first += batch.num_rows
        start, end = np.searchsorted(positions, (here[0], here[-1] + 1))
        wanted = positions[start:end]
        if len(wanted) == len(here):
            yield wanted, batch
        elif len(wanted):
            yield wanted, batch.take(pa.array(np.searchsorted(here, wanted)))
        if end == len(positions):
            return
