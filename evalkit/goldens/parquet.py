"""Golden sets as Parquet files: checked when they are read; written, the same content makes the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.atomic import atomic_path
from evalkit.errors import GoldenSetError
from evalkit.goldens.schema import CASE_SCHEMA, LATER, SCHEMA_VERSION

__all__ = [
    "PIECE",
    "ROW_GROUP",
    "Stamp",
    "read_groups",
    "read_table",
    "row_groups",
    "stamp_of",
    "write_parquet",
    "write_tables",
]

ROW_GROUP = 4_096
"""Rows of a row group: what a reader that keeps nothing holds at a time. No part of the content digest."""

PIECE = 16_384
"""Rows of the largest piece that is handed on."""
_SMALLEST, _PIECES = 2_048, 64
_SCHEMA_KEY = b"evalkit.golden.schema"

Stamp: TypeAlias = tuple[int, int, int]
"""What changes with a file's content: its inode, size and time of change in nanoseconds."""


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file.

    Raises:
        GoldenSetError: when it is not there any more.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise GoldenSetError(f"cannot read the file: {error.strerror}", file=path) from None
    return found.st_ino, found.st_size, found.st_mtime_ns


def read_groups(
    path: Path, groups: Iterable[int] | None = None, columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a golden set's file in pieces, in this version's schema; keeps none.

    Pieces of a large file are larger, up to a bound: their number costs time, their size memory.

    Args:
        path: The file.
        groups: Numbers of the row groups; None means all.
        columns: Names of the columns; None means all.

    Raises:
        GoldenSetError: for a truncated or foreign file, or one of a newer schema.
    """
    try:
        yield from _read_groups(path, groups, columns or CASE_SCHEMA.names)
    finally:
        # the allocator keeps for the next reader what is several times the size of the pieces
        pa.default_memory_pool().release_unused()


def _read_groups(path: Path, groups: Iterable[int] | None, names: list[str]) -> Iterator[pa.RecordBatch]:
    with _opened(path) as file:
        batches = file.iter_batches(
            batch_size=min(PIECE, max(_SMALLEST, file.metadata.num_rows // _PIECES)),
            row_groups=None if groups is None else list(groups),
            columns=names,
            use_threads=False,
        )
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise _unreadable(path, error) from None
            if batch is None:
                return
            yield from _checked(pa.Table.from_batches([batch]), names, path).to_batches()


def read_table(path: Path) -> pa.Table:
    """Read and check a golden set's Parquet file; columns come back in this version's schema, in one chunk.

    Raises:
        GoldenSetError: for a truncated or foreign file, or one of a newer schema.
    """
    with _opened(path) as file:
        try:
            table = file.read()
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _unreadable(path, error) from None
    return _checked(table, CASE_SCHEMA.names, path).combine_chunks()


def row_groups(path: Path) -> list[int]:
    """The number of rows in each row group of a golden set's file.

    Raises:
        GoldenSetError: as :func:`read_table` does.
    """
    with _opened(path) as file:
        return [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A file with the columns of a golden set."""
    try:
        # read as it comes: reading ahead would hold the whole file
        with pq.ParquetFile(path, pre_buffer=False) as file:
            _check_columns(file, path)
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None


def _check_columns(file: Any, path: Path) -> None:
    names = file.schema_arrow.names
    written = (file.metadata.metadata or {}).get(_SCHEMA_KEY, SCHEMA_VERSION.encode())
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
    _checked(pa.Table.from_batches([], file.schema_arrow), CASE_SCHEMA.names, path)


def _column_problems(missing: list[str], extra: list[str]) -> list[str]:
    problems = []
    if missing:
        problems.append(f"columns missing: {', '.join(missing[:6])}")
    if extra:
        problems.append(f"columns unknown: {', '.join(extra[:6])}")
    return problems


def _checked(table: pa.Table, names: list[str], path: Path) -> pa.Table:
    """Columns in this version's types, their buffers and texts checked."""
    schema = pa.schema([CASE_SCHEMA.field(name) for name in names])
    try:
        table = _with_later(table.select(names)).cast(schema)
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise GoldenSetError(f"a column has the wrong type: {str(error).splitlines()[0]}", file=path) from None
    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        raise _unreadable(path, error) from None
    return table


def _with_later(table: pa.Table) -> pa.Table:
    """The rows with the fields that the layout has got since they were written, without values."""
    place = table.schema.get_field_index("expect")
    if place < 0 or not pa.types.is_struct(table.schema.field(place).type):
        return table
    kind = table.schema.field(place).type
    known = {field.name for field in kind}
    added = [field for field in CASE_SCHEMA.field("expect").type if field.name in LATER and field.name not in known]
    if not added:
        return table
    fields = [*kind, *added]
    chunks = [
        pa.StructArray.from_arrays(
            [*(chunk.field(index) for index in range(len(known))), *(pa.nulls(len(chunk), new.type) for new in added)],
            fields=fields,
            mask=chunk.is_null(),
        )
        for chunk in table.column(place).chunks
    ]
    return table.set_column(place, "expect", pa.chunked_array(chunks, pa.struct(fields)))


def _unreadable(path: Path, error: Exception) -> GoldenSetError:
    return GoldenSetError(
        f"not a readable Parquet file: {str(error).splitlines()[0]}",
        file=path,
        fix="the file is truncated or of another kind: restore it from version control, or build it again",
    )


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a golden set table atomically (zstd, fixed row groups, only the schema version as metadata)."""
    write_tables([table], path)


def write_tables(tables: Iterable[pa.Table], path: Path) -> None:
    """The same for a table that comes in pieces, of which a row group is held at a time."""
    schema = CASE_SCHEMA
    with (
        atomic_path(path) as partial,
        pq.ParquetWriter(partial, schema, compression="zstd", store_schema=False) as writer,
    ):
        for group in _regrouped(tables):
            writer.write_table(group, row_group_size=ROW_GROUP)
        writer.add_key_value_metadata({_SCHEMA_KEY.decode(): SCHEMA_VERSION})


def _regrouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows in tables of a row group each, in one chunk: how they are cut would show in the file."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        for start in range(0, table.num_rows, ROW_GROUP):
            piece = table.slice(start, ROW_GROUP)
            waiting.append(piece)
            rows += piece.num_rows
            if rows >= ROW_GROUP:
                whole = pa.concat_tables(waiting)
                yield _one_chunk(whole.slice(0, ROW_GROUP))
                waiting, rows = [whole.slice(ROW_GROUP)], rows - ROW_GROUP
    if rows:
        yield _one_chunk(pa.concat_tables(waiting))


def _one_chunk(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata(None).combine_chunks()
