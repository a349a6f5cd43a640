"""The golden set as a comparison needs it: columns of all cases, and whole cases only for those that are shown."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.errors import StoreError
from evalkit.gate.axis import CaseAxis
from evalkit.records import Case, GoldenSetRef
from evalkit.store.arrays import bits, codes_in, codes_of, one_array, take, texts, whole_numbers

__all__ = ["CaseColumns", "GoldenCases", "ListedCases", "Slicing", "StoredCases"]

_BUILT_IN = ("intent", "risk", "locale", "role")
"""As :attr:`evalkit.records.Case.slice_keys` has them."""
_COLUMNS = ("id", "critical", "cluster", *_BUILT_IN, "slices")
_OWN_VALUES = 0.9
"""A key with more values than so many in a case tells cases apart and groups none."""
_FEW = 50_000
"""Cases whose columns are read together: opening the file takes longer than reading it."""


@dataclass(frozen=True)
class Slicing:
    """The values of one slice key: for each case the position of its value, -1 where it has none."""

    codes: NDArray[np.int32]
    values: Sequence[str]

    @property
    def names_cases(self) -> bool:
        """Whether nearly every case has a value of its own, as with an order number: such a key makes no slices."""
        cases = int((self.codes >= 0).sum())
        return cases > 1 and len(np.unique(self.codes[self.codes >= 0])) > _OWN_VALUES * cases

    @cached_property
    def order(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Positions of the cases by value, those without one first; and where each value's end, theirs first."""
        ends = np.cumsum(np.bincount(self.codes + 1, minlength=len(self.values) + 1))
        return np.argsort(self.codes, kind="stable"), ends


@dataclass(frozen=True)
class CaseColumns:
    """What the statistics need of all cases, in the order of their ids."""

    ids: Any
    """Arrow array of strings, sorted."""
    critical: NDArray[np.bool_]
    clusters: NDArray[np.int32] | None
    """Number of the cluster of each case, in the order of their keys; None where every case is its own."""
    slices: Mapping[str, Slicing] = field(default_factory=dict)

    def over(self, axis: CaseAxis) -> CaseColumns:
        """The same for all cases of an axis; those that the golden set does not have are clusters of their own."""
        if self.ids is axis.ids or self.ids.equals(axis.ids):
            return self
        clusters = self.clusters
        if clusters is not None:
            fresh = int(clusters.max(initial=-1)) + 1
            clusters = axis.place(self.ids, clusters, -1)
            unknown = clusters < 0
            clusters[unknown] = np.arange(fresh, fresh + int(unknown.sum()), dtype=np.int32)
        slices = {key: Slicing(axis.place(self.ids, item.codes, -1), item.values) for key, item in self.slices.items()}
        return CaseColumns(axis.ids, axis.place(self.ids, self.critical, missing=False), clusters, slices)


class GoldenCases(Protocol):
    """Where the cases of a golden set come from."""

    def columns(self) -> CaseColumns:
        """What the statistics need of all cases.

        Raises:
            StoreError: when they cannot be read.
        """
        ...

    def load(self, case_ids: Collection[str]) -> dict[str, Case]:
        """Some cases as they are; those that are not there are left out.

        Raises:
            StoreError: when they cannot be read.
        """
        ...


@dataclass(frozen=True)
class ListedCases:
    """Cases in memory."""

    cases: Sequence[Case]

    def columns(self) -> CaseColumns:
        """See :class:`GoldenCases`."""
        ordered = sorted(self.cases, key=lambda case: case.id)
        keys: dict[str, dict[str, int]] = {}
        codes: dict[str, list[int]] = {key: [] for case in ordered for key in case.slice_keys}
        for case in ordered:
            mine = case.slice_keys
            for key, column in codes.items():
                values = keys.setdefault(key, {})
                column.append(values.setdefault(mine[key], len(values)) if key in mine else -1)
        clusters = None
        if any(case.cluster for case in ordered):
            _, numbers = np.unique(np.asarray([case.cluster_key for case in ordered]), return_inverse=True)
            clusters = numbers.astype(np.int32)
        return CaseColumns(
            ids=texts(case.id for case in ordered),
            critical=np.asarray([case.critical for case in ordered], bool),
            clusters=clusters,
            slices={key: Slicing(np.asarray(codes[key], np.int32), list(values)) for key, values in keys.items()},
        )

    def load(self, case_ids: Collection[str]) -> dict[str, Case]:
        """See :class:`GoldenCases`."""
        wanted = set(case_ids)
        return {case.id: case for case in self.cases if case.id in wanted}


@dataclass(frozen=True)
class StoredCases:
    """The masked cases that a run was made on, in its store.

    Args:
        root: The store's folder.
        golden: The golden set.
        redaction: Fingerprint of the redaction rules.
    """

    root: Path
    golden: GoldenSetRef
    redaction: str

    def columns(self) -> CaseColumns:
        """See :class:`GoldenCases`. Of many cases one column is read at a time, to hold no more than one."""
        from evalkit.store.cases import cases_path, load_case_columns  # with all that reads golden sets

        read = self._column
        if self.golden.cases <= _FEW:
            together = load_case_columns(self.root, self.golden, self.redaction, _COLUMNS)
            read = together.column
        ids = one_array(read("id"), pa.string())
        if len(ids) > 1 and not np.all(bits(pc.less(ids.slice(0, len(ids) - 1), ids.slice(1)))):
            path = cases_path(self.root, self.golden.digest, self.redaction)
            raise StoreError("the cases are not in the order of their ids", file=path, fix="run the workflow again")
        slices = {key: Slicing(*_numbered(read(key))) for key in _BUILT_IN}
        for key, places, (codes, values) in _named_slices(read("slices")):
            built_in = slices.get(key, Slicing(np.full(len(ids), -1, np.int32), []))
            mine = built_in.codes.copy()
            mine[places] = np.where(codes < 0, -1, codes + len(built_in.values))
            slices[key] = Slicing(mine, [*built_in.values, *values])
        return CaseColumns(
            ids=ids,
            critical=bits(one_array(read("critical"), pa.bool_())),
            clusters=_cluster_numbers(ids, one_array(read("cluster"), pa.string())),
            slices={key: _tidy(item) for key, item in slices.items() if bool((item.codes >= 0).any())},
        )

    def _column(self, name: str) -> Any:
        from evalkit.store.cases import load_case_columns

        return load_case_columns(self.root, self.golden, self.redaction, [name]).column(0)

    def load(self, case_ids: Collection[str]) -> dict[str, Case]:
        """See :class:`GoldenCases`."""
        from evalkit.store.cases import iter_cases_of

        if not case_ids:
            return {}
        return {case.id: case for case in iter_cases_of(self.root, self.golden, self.redaction, frozenset(case_ids))}


def _numbered(column: Any) -> tuple[NDArray[np.int32], list[str]]:
    """Position of the value of each row, -1 for empty text, which is no slice; and the values."""
    codes, values = codes_of(one_array(column, column.type))
    names = [str(value) for value in values]
    if "" in names:
        codes = np.where(codes == names.index(""), np.int32(-1), codes)
    return codes, names


def _named_slices(column: Any) -> Iterator[tuple[str, NDArray[np.int64], tuple[NDArray[np.int32], list[str]]]]:
    """Each key of a column of pairs, with the rows that have it and their values."""
    lists = one_array(column, column.type)
    pairs = lists.flatten()
    parents = whole_numbers(pc.list_parent_indices(lists).cast(pa.int64()))
    keys, names = codes_of(pairs.field("key"))
    for code, key in enumerate(names):
        rows = np.flatnonzero(keys == code)
        codes, values = _numbered(take(pairs.field("value"), rows))
        yield str(key), parents[rows], (codes, values)


def _tidy(item: Slicing) -> Slicing:
    """Only values that occur, each once: a named slice can repeat those of a built-in one."""
    distinct = {value: place for place, value in enumerate(dict.fromkeys(item.values))}
    places = np.asarray([*(distinct[value] for value in item.values), -1], np.int32)
    return Slicing(places[item.codes], list(distinct))


def _cluster_numbers(ids: Any, clusters: Any) -> NDArray[np.int32] | None:
    """Number of each case's cluster in the order of the keys; a case without one is its own."""
    codes, names = codes_of(clusters)
    if not any(names):
        return None
    own = (
        pa.Array.from_buffers(
            pa.bool_(), len(ids), [None, pa.py_buffer(np.packbits(codes == names.index(""), bitorder="little"))]
        )
        if "" in names
        else None
    )
    codes, keys = codes_in(clusters if own is None else pc.if_else(own, ids, clusters))
    order = pc.array_sort_indices(keys)
    ranks = np.empty(len(order), np.int32)
    ranks[np.frombuffer(order.buffers()[1], np.uint64, count=len(order))] = np.arange(len(order), dtype=np.int32)
    return ranks[codes]
