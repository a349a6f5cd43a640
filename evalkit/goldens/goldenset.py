"""Golden sets on disk: a folder with one Parquet file a version and a ``card.yaml``."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.atomic import atomic_path
from evalkit.errors import ConfigError, GoldenSetError
from evalkit.goldens.card import CARD_NAME, Card, Change, check_version, read_card, write_card
from evalkit.goldens.digest import case_digests, set_digest
from evalkit.goldens.jsonl import load_jsonl
from evalkit.goldens.schema import CASE_SCHEMA, SCHEMA_VERSION, cases_to_table, table_to_cases
from evalkit.records import Case, GoldenSetRef

__all__ = ["GoldenSet", "build", "from_cases", "load", "read_table"]

_SCHEMA_KEY = b"evalkit.golden.schema"
_ROW_GROUP = 50_000


@dataclass(frozen=True)
class GoldenSet:
    """A version of a golden set in memory. Rows are sorted by id; ids are unique."""

    name: str
    version: str
    table: pa.Table
    card: Card | None = None
    path: Path | None = None

    @cached_property
    def digests(self) -> dict[str, str]:
        """Case id to case digest, in id order."""
        return dict(zip(self.table.column("id").to_pylist(), case_digests(self.table), strict=True))

    @cached_property
    def digest(self) -> str:
        """The canonical content digest: what identifies this version."""
        return set_digest(list(self.digests.values()))

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """The cases in id order.

        Raises:
            GoldenSetError: for a row that is no case, such as one without message.
        """
        return tuple(table_to_cases(self.table, self.path))

    @property
    def ref(self) -> GoldenSetRef:
        """Name, version, digest and size."""
        return GoldenSetRef(self.name, self.version, self.digest, self.table.num_rows)

    def case(self, case_id: str) -> Case:
        """One case by id.

        Raises:
            GoldenSetError: when there is none.
        """
        for case in self.cases:
            if case.id == case_id:
                return case
        close = difflib.get_close_matches(case_id, self.digests, n=1)
        raise GoldenSetError(
            f"no case `{case_id}` in {self.name}@{self.version}",
            file=self.path,
            fix=f"did you mean `{close[0]}`?" if close else None,
        )


def from_cases(name: str, version: str, cases: Iterable[Case], *, path: Path | None = None) -> GoldenSet:
    """A golden set from cases in memory.

    Raises:
        GoldenSetError: when there are none, an id is empty or occurs twice, or a case cannot be stored.
    """
    members = list(cases)
    _check_ids([case.id for case in members], path)
    return GoldenSet(name, version, cases_to_table(members, path), path=path)


def _where_instead(location: Path) -> str:
    """What to do about a set that is not there: the path may be misspelt, or the set not built yet."""
    beside = [path.name for path in location.parent.glob("*")]
    close = difflib.get_close_matches(location.name, beside, n=1, cutoff=0.8)
    build = "build one: evalkit goldens build CASES.jsonl --to FOLDER --version VERSION"
    return f"did you mean `{close[0]}`? if not, {build}" if close else build


def load(location: Path, version: str | None = None) -> GoldenSet:
    """Read a golden set: a folder with a card, a single ``.parquet`` file, or a ``.jsonl`` file.

    In a folder the version is the one asked for, or the newest of the card's changelog; its
    content must have the digest that the changelog states.

    Raises:
        GoldenSetError: when it is missing, damaged, foreign, empty, or not what the card says.
    """
    if location.is_dir():
        return _load_folder(location, version)
    if not location.exists():
        raise GoldenSetError("no golden set here", file=location, fix=_where_instead(location))
    if location.suffix == ".jsonl":
        return from_cases(location.stem, version or "working", load_jsonl(location), path=location)
    return _from_table(location.stem, version or location.stem, read_table(location), location, None)


def _load_folder(folder: Path, version: str | None) -> GoldenSet:
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
    golden = _from_table(card.name, wanted, read_table(path), path, card)
    if stated != golden.digest:
        raise GoldenSetError(
            "the content is not what the card states: the file was changed after it was built",
            file=path,
            key="changelog.digest",
            value=f"card {stated[:12]}, file {golden.digest[:12]}",
            fix="restore the file, or build a new version: evalkit goldens build",
        )
    return golden


def _from_table(name: str, version: str, table: pa.Table, path: Path, card: Card | None) -> GoldenSet:
    ids = table.column("id").to_pylist()
    _check_ids(ids, path)
    if any(left > right for left, right in pairwise(ids)):
        table = table.sort_by("id").combine_chunks()
    return GoldenSet(name, version, table, card, path)


def _check_ids(ids: list[str | None], path: Path | None) -> None:
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


def read_table(path: Path) -> pa.Table:
    """Read and check a golden set's Parquet file; columns come back in this version's schema.

    Raises:
        GoldenSetError: for a truncated or foreign file, or one of a newer schema.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            metadata = file.metadata.metadata or {}
            table = file.read()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    written = metadata.get(_SCHEMA_KEY, SCHEMA_VERSION.encode())
    if written != SCHEMA_VERSION.encode():
        raise GoldenSetError(
            f"the file has golden set schema {written.decode(errors='replace')}, this evalkit reads {SCHEMA_VERSION}",
            file=path,
            fix="upgrade evalkit",
        )
    missing = [name for name in CASE_SCHEMA.names if name not in names]
    extra = [name for name in names if name not in CASE_SCHEMA.names]
    if missing or extra:
        raise GoldenSetError(
            "not a golden set: " + "; ".join(_column_problems(missing, extra)),
            file=path,
            fix="import it: evalkit goldens import FILE --to FOLDER",
        )
    try:
        table = table.select(CASE_SCHEMA.names).cast(CASE_SCHEMA).combine_chunks()
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise GoldenSetError(f"a column has the wrong type: {str(error).splitlines()[0]}", file=path) from None
    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        raise _unreadable(path, error) from None
    return table


def _unreadable(path: Path, error: Exception) -> GoldenSetError:
    return GoldenSetError(
        f"not a readable Parquet file: {str(error).splitlines()[0]}",
        file=path,
        fix="the file is truncated or of another kind: restore it from version control, or build it again",
    )


def _column_problems(missing: list[str], extra: list[str]) -> list[str]:
    problems = []
    if missing:
        problems.append(f"columns missing: {', '.join(missing[:6])}")
    if extra:
        problems.append(f"columns unknown: {', '.join(extra[:6])}")
    return problems


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
            version=version, date=today or dt.date.today(), digest=golden.digest, cases=golden.table.num_rows, note=note
        )
        card = card.model_copy(update={"changelog": (entry, *card.changelog)})
        write_card(folder, card)
    return GoldenSet(golden.name, version, golden.table, card, path)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a golden set table atomically (zstd, fixed row groups, only the schema version as metadata)."""
    plain = table.replace_schema_metadata(None)
    with (
        atomic_path(path) as partial,
        pq.ParquetWriter(partial, plain.schema, compression="zstd", store_schema=False) as writer,
    ):
        writer.write_table(plain, row_group_size=_ROW_GROUP)
        writer.add_key_value_metadata({_SCHEMA_KEY.decode(): SCHEMA_VERSION})
