"""The cases that runs were made on, masked, one file a golden set version: stored runs stay readable and gradable.

A file has the layout of a golden set's Parquet file, rows in canonical order, so that nobody has to hold it whole.
"""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evalkit.atomic import atomic_path
from evalkit.errors import GoldenSetError, StoreError
from evalkit.goldens.digest import set_digest
from evalkit.goldens.parquet import read_groups, row_groups, write_tables
from evalkit.goldens.rows import open_rows
from evalkit.goldens.schema import CASE_SCHEMA, cases_to_table, table_to_cases
from evalkit.records import Case, GoldenSetRef
from evalkit.store.arrays import take

__all__ = [
    "adopt_cases",
    "cases_path",
    "iter_cases_of",
    "load_case_columns",
    "load_cases",
    "read_case_schema",
    "same_cases",
    "save_cases",
]

_BATCH = 1_024


def cases_path(root: Path, digest: str, redaction: str) -> Path:
    """Where the cases of a golden set version, masked by these rules, are kept."""
    return root / "cases" / f"{digest[:16]}-{redaction[:8]}.parquet"


def save_cases(root: Path, golden: GoldenSetRef, redaction: str, cases: Iterable[Case]) -> None:
    """Keep the masked cases of a golden set version; a version is written once.

    Cases are taken a thousand at a time and the file appears when it is whole; they are not asked for
    where it is there already.

    Args:
        root: The store.
        golden: The version.
        redaction: Fingerprint of the masking rules.
        cases: All cases of the version in order of their ids, masked.

    Raises:
        ValueError: when they come in another order, or are not as many as the version has.
        StorageError: when the disk is full, read-only or not ours to write.
    """
    path = cases_path(root, golden.digest, redaction)
    if not path.exists():
        write_tables(_tables(cases, golden, path), path)


def _tables(cases: Iterable[Case], golden: GoldenSetRef, path: Path) -> Iterator[pa.Table]:
    remaining = iter(cases)
    last, count = "", 0
    while members := list(islice(remaining, _BATCH)):
        for case in members:
            if case.id <= last:
                raise ValueError(f"the cases of a golden set are stored in order of id: `{case.id}` after `{last}`")
            last = case.id
        count += len(members)
        yield cases_to_table(members, path)
    if count != golden.cases:
        raise ValueError(f"{golden.name}@{golden.version} has {golden.cases} cases: {count} were given to be stored")


def adopt_cases(root: Path, golden: GoldenSetRef, redaction: str, stores: Iterable[Path]) -> None:
    """Bring the masked cases of a golden set version along from other stores, all of which must hold the same ones.

    Args:
        root: The store that they are brought to.
        golden: The version.
        redaction: Fingerprint of the masking rules.
        stores: The others; those that do not hold the version are no matter.

    Raises:
        StoreError: when none holds them, a file cannot be read, or two of them hold different cases.
        StorageError: when the disk is full, read-only or not ours to write.
    """
    places = (cases_path(store, golden.digest, redaction) for store in dict.fromkeys((root, *stores)))
    files = [path for path in places if path.exists()]
    if not files:
        raise StoreError(
            f"the cases of {golden.name}@{golden.version} are in none of the stores",
            file=cases_path(root, golden.digest, redaction),
        )
    first, *others = files
    for other in others:
        if not filecmp.cmp(first, other, shallow=False) and _content(first, golden) != _content(other, golden):
            raise StoreError(
                f"holds other cases of {golden.name}@{golden.version} than {first}: one of them was changed",
                file=other,
                fix="make the runs of that store again",
            )
    target = cases_path(root, golden.digest, redaction)
    if first != target:
        _content(first, golden)
        with atomic_path(target) as partial:
            shutil.copyfile(first, partial)


def same_cases(left: Path, right: Path) -> bool:
    """Whether two files hold the same cases, however they were written; one that cannot be read is not the same."""
    try:
        return set_digest(open_rows(left).digests) == set_digest(open_rows(right).digests)
    except (GoldenSetError, OSError):
        return False


def _content(path: Path, golden: GoldenSetRef) -> str:
    """The digest of the masked cases in a file, which must hold all of the version."""
    with _readable(path, golden):
        rows = open_rows(path)
        if len(rows.ids) != golden.cases:
            raise StoreError(
                f"holds {len(rows.ids):,} of the {golden.cases:,} cases of {golden.name}@{golden.version}", file=path
            )
        return set_digest(rows.digests)


def load_cases(root: Path, golden: GoldenSetRef, redaction: str) -> list[Case]:
    """The masked cases of a golden set version, all at once.

    Raises:
        StoreError: when they are not there or not readable.
    """
    return list(iter_cases_of(root, golden, redaction))


def iter_cases_of(
    root: Path, golden: GoldenSetRef, redaction: str, ids: Container[str] | None = None
) -> Iterator[Case]:
    """The masked cases of a golden set version in order of their ids; none is kept.

    Args:
        root: The store.
        golden: The version.
        redaction: Fingerprint of the masking rules.
        ids: Only these; None means all. Others are read but not decoded.

    Raises:
        StoreError: when they are not there or not readable.
    """
    path = cases_path(root, golden.digest, redaction)
    with _readable(path, golden):
        for batch in read_groups(path):
            if ids is not None:
                wanted = [place for place, name in enumerate(batch.column("id").to_pylist()) if name in ids]
                batch = take(batch, np.array(wanted, np.int64))  # noqa: PLW2901 - the part that is asked for
            for start in range(0, batch.num_rows, _BATCH):
                yield from table_to_cases(batch.slice(start, _BATCH), path)


def load_case_columns(root: Path, golden: GoldenSetRef, redaction: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of the masked cases of a golden set version, in order of their ids, without making cases of them.

    Args:
        root: The store.
        golden: The version.
        redaction: Fingerprint of the masking rules.
        columns: Names of ``CASE_SCHEMA``, such as ``id``, ``critical``, ``cluster``, ``slices``.

    Returns:
        One row a case, the columns in the order asked for and with their types of ``CASE_SCHEMA``.

    Raises:
        StoreError: when they are not there or not readable.
    """
    path = cases_path(root, golden.digest, redaction)
    schema = pa.schema([CASE_SCHEMA.field(name) for name in columns])
    with _readable(path, golden):
        batches = list(read_groups(path, columns=list(columns)))
        if any(pc.any(batch.column(name).is_null()).as_py() for batch in batches for name in columns):
            raise StoreError("a case lacks a value that every case has", file=path)
    return pa.Table.from_batches(batches, schema).combine_chunks()


def read_case_schema(root: Path, golden: GoldenSetRef, redaction: str) -> pa.Schema:
    """The columns of the masked cases of a golden set version; nothing else is read.

    Raises:
        StoreError: when they are not there or not readable.
    """
    path = cases_path(root, golden.digest, redaction)
    with _readable(path, golden):
        row_groups(path)
    return CASE_SCHEMA


@contextmanager
def _readable(path: Path, golden: GoldenSetRef) -> Iterator[None]:
    """Say of what cannot be read that it is the store's."""
    if not path.exists():
        raise StoreError(f"the cases of {golden.name}@{golden.version} are not in the store", file=path)
    try:
        yield
    except GoldenSetError as error:
        raise StoreError(error.message, file=path, key=error.key, value=error.value) from None
