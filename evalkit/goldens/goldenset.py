"""Golden sets on disk: a folder with one Parquet file a version and a ``card.yaml``."""

from __future__ import annotations

import datetime as dt
import difflib
import json
from collections.abc import Container, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evalkit.errors import ConfigError, GoldenSetError
from evalkit.goldens.card import CARD_NAME, Card, Change, check_version, read_card, write_card
from evalkit.goldens.digest import WIDTH, set_digest
from evalkit.goldens.jsonl import load_jsonl
from evalkit.goldens.parquet import read_table, write_parquet
from evalkit.goldens.rows import Look, Rows, TableRows, check_ids, open_rows, position_of, read_positions
from evalkit.goldens.schema import cases_to_table, table_to_cases
from evalkit.records import Case, GoldenSetRef

__all__ = ["GoldenSet", "build", "from_cases", "load", "read_table", "write_parquet"]

_FEW = 100
"""So many times as many cases as are wanted: then these are looked up one by one instead of passing all."""


@dataclass(frozen=True)
class GoldenSet:
    """A version of a golden set. Its rows are sorted by id; ids are unique.

    A set from a Parquet file stays there: ids and digests are held, cases are read when they are asked for.
    """

    name: str
    version: str
    rows: Rows
    card: Card | None = None
    path: Path | None = None

    @cached_property
    def digest(self) -> str:
        """The canonical content digest: what identifies this version."""
        return set_digest(self.rows.digests)

    @property
    def ref(self) -> GoldenSetRef:
        """Name, version, digest and size."""
        return GoldenSetRef(self.name, self.version, self.digest, self.count)

    @property
    def count(self) -> int:
        """Number of cases."""
        return len(self.rows.ids)

    @property
    def ids(self) -> pa.Array:
        """The case ids in canonical order, which is that of their code points, as Arrow text."""
        return self.rows.ids

    @cached_property
    def digests(self) -> dict[str, str]:
        """Case id to case digest, in id order."""
        return {case_id: self._digest_at(index) for index, case_id in enumerate(self.ids.to_pylist())}

    def _digest_at(self, position: int) -> str:
        return self.rows.digests[position * WIDTH : (position + 1) * WIDTH].hex()

    @property
    def table(self) -> pa.Table:
        """All rows as one table; of a set that stays in its file, read for each caller."""
        return self.rows.table()

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """The cases in id order, all at once: for sets of moderate size. See :meth:`iter_cases`.

        Raises:
            GoldenSetError: for a row that is no case, such as one without message.
        """
        return tuple(case for case, _ in self.iter_cases())

    def iter_cases(
        self, ids: Container[str] | None = None, start: int = 0, stop: int | None = None, batch: int = 512
    ) -> Iterator[tuple[Case, str]]:
        """The cases from position ``start`` to before ``stop`` in id order, each with its digest; none is kept.

        Args:
            ids: Only these; None means all.
            start: Position of the first.
            stop: Position after the last; None is the end.
            batch: At most so many are decoded at a time.

        Raises:
            GoldenSetError: for a row that is no case, or a file that changed since it was loaded.
        """
        for positions, rows in read_positions(self.rows, self._positions(ids, start, stop)):
            for first in range(0, rows.num_rows, batch):
                cases = table_to_cases(rows.slice(first, batch), self.path)
                for position, case in zip(positions[first : first + batch].tolist(), cases, strict=True):
                    yield case, self._digest_at(position)

    def _positions(self, ids: Container[str] | None, start: int, stop: int | None) -> Any:
        positions = range(self.count)[start:stop]
        if ids is None:
            return np.arange(positions.start, positions.stop)
        if isinstance(ids, AbstractSet) and len(ids) * _FEW < len(positions):
            places = (position_of(self.ids, name) for name in ids)
            return np.array(sorted(place for place in places if place is not None and place in positions), np.int64)
        there = self.ids.slice(positions.start, len(positions)).to_pylist()
        return np.array([position for position, name in zip(positions, there, strict=True) if name in ids], np.int64)

    def case(self, case_id: str) -> Case:
        """One case by id.

        Raises:
            GoldenSetError: when there is none.
        """
        position = position_of(self.ids, case_id)
        if position is not None:
            return next(self.iter_cases(start=position, stop=position + 1))[0]
        close = difflib.get_close_matches(case_id, self.ids.to_pylist(), n=1)
        raise GoldenSetError(
            f"no case `{case_id}` in {self.name}@{self.version}",
            file=self.path,
            fix=f"did you mean `{close[0]}`?" if close else None,
        )

    def common_variables(self) -> frozenset[str]:
        """The variables that every case has.

        Raises:
            GoldenSetError: for a row that is no case.
        """
        common: frozenset[str] | None = None
        for rows in self.rows.read(range(len(self.rows.groups)), ["variables_json"]):
            for text in pc.unique(rows.column("variables_json")).to_pylist():
                try:
                    names = frozenset(dict(json.loads(text)))
                except (TypeError, ValueError, RecursionError):
                    return self._common_variables()
                common = names if common is None else common & names
            if not common:
                break
        return common or frozenset()

    def _common_variables(self) -> frozenset[str]:
        """The same by the cases, which says which row is no case."""
        names = (frozenset(case.variables) for case, _ in self.iter_cases())
        return frozenset.intersection(*names)


def from_cases(name: str, version: str, cases: Iterable[Case], *, path: Path | None = None) -> GoldenSet:
    """A golden set from cases in memory.

    Raises:
        GoldenSetError: when there are none, an id is empty or occurs twice, or a case cannot be stored.
    """
    members = list(cases)
    check_ids([case.id for case in members], path)
    return GoldenSet(name, version, TableRows(cases_to_table(members, path)), path=path)


def _where_instead(location: Path) -> str:
    """What to do about a set that is not there: the path may be misspelt, or the set not built yet."""
    beside = [path.name for path in location.parent.glob("*")]
    close = difflib.get_close_matches(location.name, beside, n=1, cutoff=0.8)
    build = "build one: evalkit goldens build CASES.jsonl --to FOLDER --version VERSION"
    return f"did you mean `{close[0]}`? if not, {build}" if close else build


def load(location: Path, version: str | None = None, look: Look | None = None) -> GoldenSet:
    """Read a golden set: a folder with a card, a single ``.parquet`` file, or a ``.jsonl`` file.

    In a folder the version is the one asked for, or the newest of the card's changelog; its
    content must have the digest that the changelog states.

    Args:
        location: Where it is.
        version: Which version; names a set without a card.
        look: Is shown the rows of a Parquet file as :func:`evalkit.goldens.rows.open_rows` reads them.

    Raises:
        GoldenSetError: when it is missing, damaged, foreign, empty, or not what the card says.
    """
    if location.is_dir():
        return _load_folder(location, version, look)
    if not location.exists():
        raise GoldenSetError("no golden set here", file=location, fix=_where_instead(location))
    if location.suffix == ".jsonl":
        return from_cases(location.stem, version or "working", load_jsonl(location), path=location)
    return GoldenSet(location.stem, version or location.stem, open_rows(location, look), path=location)


def _load_folder(folder: Path, version: str | None, look: Look | None) -> GoldenSet:
    try:
        card = read_card(folder)
    except ConfigError as error:
        raise GoldenSetError(
            error.message, file=error.file, line=error.line, key=error.key, value=error.value, fix=error.fix
        ) from None
    wanted = version or card.latest
    if wanted is None:
        raise GoldenSetError(
            "the changelog names no version",
            file=folder / CARD_NAME,
            key="changelog",
            fix="build one: evalkit goldens build CASES.jsonl --to FOLDER --version VERSION",
        )
    path = folder / f"{wanted}.parquet"
    stated = next((change.digest for change in card.changelog if change.version == wanted), None)
    if stated is None or not path.exists():
        known = ", ".join(change.version for change in card.changelog) or "none"
        raise GoldenSetError(f"no version `{wanted}`", file=path, fix=f"versions in the card: {known}")
    golden = GoldenSet(card.name, wanted, open_rows(path, look), card, path)
    if stated != golden.digest:
        raise GoldenSetError(
            "the content is not what the card states: the file was changed after it was built",
            file=path,
            key="changelog.digest",
            value=f"card {stated[:12]}, file {golden.digest[:12]}",
            fix="restore the file, or build a new version: evalkit goldens build",
        )
    return golden


def build(
    cases: Iterable[Case], folder: Path, version: str, *, card: Card, note: str = "", today: dt.date | None = None
) -> GoldenSet:
    """Write a version of a golden set: its Parquet file, then the card that names its digest.

    Args:
        cases: The cases, in any order.
        folder: The golden set's folder.
        version: Becomes the file's name.
        card: The card before this version; its changelog gains an entry.
        note: What changed and why.
        today: The date of the entry.

    Raises:
        GoldenSetError: for bad ids, a version that is no file name, or one that exists with other content.
    """
    check_version(version)
    path = folder / f"{version}.parquet"
    golden = from_cases(card.name, version, cases, path=path)
    stated = next((change.digest for change in card.changelog if change.version == version), None)
    there = load(path).digest if stated is None and path.exists() else stated
    if there not in (None, golden.digest):
        raise GoldenSetError(
            f"version {version} exists with other content", file=path, fix="versions never change: choose a new one"
        )
    write_parquet(golden.table, path)
    if stated is None:
        entry = Change(
            version=version, date=today or dt.date.today(), digest=golden.digest, cases=golden.count, note=note
        )
        card = card.model_copy(update={"changelog": (entry, *card.changelog)})
        write_card(folder, card)
    return GoldenSet(golden.name, version, golden.rows, card, path)
