"""Is a golden set fit to gate anything? Findings, each with the case, the key and what to do."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evalkit.errors import GoldenSetError
from evalkit.goldens.card import Card
from evalkit.goldens.duplicates import Similar, exact_pairs, near_pairs, ordered
from evalkit.goldens.goldenset import GoldenSet, load
from evalkit.goldens.rows import position_of, read_positions
from evalkit.goldens.rules import Finding, Level, validate_case
from evalkit.goldens.schema import check_cases, table_to_cases
from evalkit.goldens.screen import Screen
from evalkit.records import ToolSpec

__all__ = ["NEAR_LIMIT", "Finding", "Level", "load_and_validate", "validate", "validate_case"]

NEAR_LIMIT = 20_000
"""Cases up to which near duplicates are looked for unless asked otherwise: the work grows with the square of them."""

_BUILT_IN = ("intent", "risk", "locale", "role")


def validate(
    golden: GoldenSet,
    *,
    tools: Iterable[ToolSpec] = (),
    corpus_ids: frozenset[str] = frozenset(),
    today: dt.date | None = None,
    near_duplicates: bool | None = None,
) -> list[Finding]:
    """Check a golden set, worst findings first.

    The set is read once, some rows at a time.

    Args:
        golden: The set.
        tools: Tools of the workflow, so that expected calls can be checked against their schemas.
        corpus_ids: Ids of documents that retrieval may find beside those of the case.
        today: For the refresh date.
        near_duplicates: Whether to look for them; None means in sets of at most ``NEAR_LIMIT`` cases.
            Where they are not looked for, a finding says so.

    Raises:
        GoldenSetError: for a row that is no case, or a file that changed since it was loaded.
    """
    checks = _Checks(tools, corpus_ids, near_duplicates, golden.path)
    for rows in golden.rows.read(range(len(golden.rows.groups))):
        checks.add(rows)
    return checks.findings(golden, today)


def load_and_validate(
    location: Path,
    version: str | None = None,
    *,
    tools: Iterable[ToolSpec] = (),
    corpus_ids: frozenset[str] = frozenset(),
    today: dt.date | None = None,
    near_duplicates: bool | None = None,
) -> tuple[GoldenSet, list[Finding]]:
    """Read a golden set and check it; a Parquet file in canonical order is read once for both.

    Args:
        location: See :func:`evalkit.goldens.goldenset.load`.
        version: See there.
        tools: See :func:`validate`, and for the others.
        corpus_ids: Ids of further documents.
        today: For the refresh date.
        near_duplicates: Whether to look for them.

    Raises:
        GoldenSetError: as the two functions do, those of the first before those of the second.
    """
    tools = tuple(tools)
    checks = _Checks(tools, corpus_ids, near_duplicates)
    unfit = False

    def look(rows: pa.RecordBatch) -> None:
        nonlocal unfit
        try:
            if not unfit:
                checks.add(rows)
        except GoldenSetError:
            unfit = True

    golden = load(location, version, look)
    if unfit or checks.rows != golden.count:  # read again, which says what is wrong and where
        options: Any = {"tools": tools, "corpus_ids": corpus_ids, "near_duplicates": near_duplicates}
        return golden, validate(golden, today=today, **options)
    return golden, checks.findings(golden, today)


class _Checks:
    """What there is to find in rows that come some at a time.

    Args:
        tools: Tools of the workflow.
        corpus_ids: Ids of documents that retrieval may find beside those of the case.
        near_duplicates: Whether to look for them; None means in sets of at most ``NEAR_LIMIT`` cases.
        file: Where the rows come from, for errors.
    """

    def __init__(
        self,
        tools: Iterable[ToolSpec],
        corpus_ids: frozenset[str],
        near_duplicates: bool | None,
        file: Path | None = None,
    ) -> None:
        self.rows = 0
        self._tools = {tool.name: tool for tool in tools}
        self._corpus_ids = corpus_ids
        self._near = near_duplicates
        self._file = file
        self._findings: list[Finding] = []
        self._slices = _Slices()
        self._reach: list[Any] = []
        self._conversations: list[str] = []

    def add(self, rows: pa.RecordBatch) -> None:
        """Take the next rows.

        Raises:
            GoldenSetError: for a row that is no case.
        """
        check_cases(rows, self._file)
        screen = Screen(rows)
        suspects = rows.filter(pa.array(screen.suspects(self._corpus_ids)))
        for case in table_to_cases(suspects, self._file):
            self._findings += validate_case(case, self._tools, self._corpus_ids)
        self._slices.add(rows)
        self._reach.append(screen.reach)
        self.rows += rows.num_rows
        if self._looks:
            self._conversations += [text.replace("\0", " ") for text in screen.conversations]
        else:
            self._conversations.clear()

    @property
    def _looks(self) -> bool:
        """Whether near duplicates are looked for among as many rows as there are so far."""
        return self.rows <= NEAR_LIMIT if self._near is None else self._near

    def findings(self, golden: GoldenSet, today: dt.date | None) -> list[Finding]:
        """All that was found, worst first, once all rows of the set are in."""
        near = near_pairs(golden.ids.to_pylist(), self._conversations) if self._looks else []
        found = [*self._findings, *_duplicates(golden, ordered(_exact(golden, np.concatenate(self._reach)), near))]
        if not self._looks:
            found.append(Finding("note", "near-duplicates", _not_looked(self._near)))
        found += self._slices.findings(golden.card.min_slice if golden.card else 8, golden.count)
        if golden.card is not None:
            found += _card(golden.card, golden.ids, today or dt.date.today())
        order = {"error": 0, "warning": 1, "note": 2}
        return sorted(found, key=lambda finding: (order[finding.level], finding.rule, finding.case_id, finding.key))


def _not_looked(asked: bool | None) -> str:
    return "not looked for" if asked is False else f"not looked for among more than {NEAR_LIMIT:,} cases"


def _exact(golden: GoldenSet, reach: Any) -> list[Similar]:
    """Cases in which all that reaches the model is equal, from hashes of it that may be equal by chance."""
    _, first, counts = np.unique(reach, return_inverse=True, return_counts=True)
    positions = np.flatnonzero(counts[first] > 1)
    pieces = read_positions(golden.rows, positions)
    return exact_pairs(case for _, rows in pieces for case in table_to_cases(rows, golden.path))


def _duplicates(golden: GoldenSet, pairs: Sequence[Similar]) -> Iterator[Finding]:
    allowed = {frozenset(pair) for pair in golden.card.allow_similar} if golden.card else set()
    for pair in pairs:
        if pair.exact:
            yield Finding("error", "duplicate", f"the same as `{pair.second}`", pair.first, "input")
        elif frozenset((pair.first, pair.second)) not in allowed:
            yield Finding(
                "warning",
                "near-duplicate",
                f"nearly the same input as `{pair.second}` ({pair.similarity:.2f}); list wanted twins in the card",
                pair.first,
                "input",
            )


class _Slices:
    """How many cases each slice has, as :attr:`evalkit.records.Case.slice_keys` names them."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, rows: pa.RecordBatch) -> None:
        """Count some rows."""
        named = rows.column("slices")
        keys, values = (pc.struct_field(named.flatten(), name) for name in ("key", "value"))
        owners = np.repeat(np.arange(rows.num_rows), pc.list_value_length(named).to_numpy())
        known = keys.dictionary_encode()
        numbers = known.indices.to_numpy().astype(np.int64)
        different = known.dictionary.to_pylist()
        for name in _BUILT_IN:
            column = rows.column(name)
            if name in different:
                renamed = owners[numbers == different.index(name)]
                column = column.filter(pa.array(~np.isin(np.arange(rows.num_rows), renamed)))
            self._count(name, column)
        last = self._last(owners, numbers)
        for number, name in enumerate(different):
            self._count(name, values.filter(pa.array(last & (numbers == number))))

    @staticmethod
    def _last(owners: Any, numbers: Any) -> Any:
        """For each named slice whether it is the last of its key in its row: that one counts."""
        pairs = owners * (int(numbers.max(initial=0)) + 1) + numbers
        last = np.zeros(len(pairs), np.bool_)
        last[len(pairs) - 1 - np.unique(pairs[::-1], return_index=True)[1]] = True
        return last

    def _count(self, key: str, column: Any) -> None:
        counted = pc.value_counts(column)
        values, numbers = (counted.field(name).to_pylist() for name in ("values", "counts"))
        for value, number in zip(values, numbers, strict=True):
            if value:
                self._counts[key][value] += number

    def findings(self, smallest: int, cases: int) -> Iterator[Finding]:
        """The slices with fewer cases than that; a key with another value in every case is no slice."""
        for key, values in sorted(self._counts.items()):
            if len(values) == cases:
                continue
            for value, count in sorted(values.items()):
                if count < smallest:
                    message = f"{key}={value} has {count} of at least {smallest} cases"
                    yield Finding("note", "thin-slice", message, key=key)


def _card(card: Card, ids: pa.Array, today: dt.date) -> Iterator[Finding]:
    if card.refresh_due < today:
        yield Finding(
            "warning", "refresh-due", f"a refresh was due on {card.refresh_due}; ask {card.owner}", key="refresh_due"
        )
    for pair in card.allow_similar:
        for case_id in pair:
            if position_of(ids, case_id) is None:
                yield Finding(
                    "warning", "allow-similar", f"names `{case_id}`, which is not in the set", key="allow_similar"
                )
