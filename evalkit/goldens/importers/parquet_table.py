"""Parquet: a table of any origin, or a golden set of evalkit's own. Rows are counted from 1."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from evalkit.errors import GoldenSetError
from evalkit.goldens.importers.assemble import Draft
from evalkit.goldens.importers.notes import Notes
from evalkit.goldens.importers.table import Table, rows_to_drafts
from evalkit.goldens.source import read_bytes
from evalkit.records import Case

__all__ = ["read", "read_golden_set"]

_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
_OWN_SCHEMA = b"evalkit.golden.schema"


def read_golden_set(path: Path) -> list[Case] | None:
    """The cases of a file in the golden set schema; None where it has another.

    Raises:
        GoldenSetError: when the file is damaged, of a newer schema, or breaks a rule of golden sets.
    """
    from evalkit.goldens.goldenset import from_cases, read_table
    from evalkit.goldens.schema import CASE_SCHEMA, table_to_cases

    file = _open(path)
    if _OWN_SCHEMA not in (file.metadata.metadata or {}) and not set(CASE_SCHEMA.names) <= set(file.schema_arrow.names):
        return None
    cases = table_to_cases(read_table(path), path)
    from_cases(path.stem, "imported", cases, path=path)
    return cases


def read(path: Path, notes: Notes) -> list[Draft]:
    """Cases from a Parquet table.

    Raises:
        GoldenSetError: when the file is damaged, or a row is not a case.
    """
    import pyarrow as pa

    file = _open(path)
    try:
        table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from None
    wanted = [index for index, name in enumerate(table.column_names) if not _UNNAMED_INDEX.fullmatch(name)]
    columns = [_values(table.column(index), table.column_names[index], path) for index in wanted]
    rows = [(number, list(row)) for number, row in enumerate(zip(*columns, strict=True), start=1)]
    return rows_to_drafts(Table(path, [table.column_names[index] for index in wanted], rows), notes)


def _open(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(read_bytes(path)))
        _ = file.schema_arrow.names  # decodes them
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from None
    return file


def _damaged(path: Path, error: Exception) -> GoldenSetError:
    return GoldenSetError(
        f"not a readable Parquet file: {str(error).splitlines()[0]}",
        file=path,
        fix="the file is truncated or of another kind: export it again",
    )


def _values(column: Any, name: str, path: Path) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError) as error:
        number = next(index for index in range(len(column)) if not _readable(column, index)) + 1
        raise GoldenSetError(
            f"a cell cannot be read: {error}",
            file=path,
            key=f"row {number}: {name}",
            fix="write texts as UTF-8, and dates as text",
        ) from None
    return values


def _readable(column: Any, index: int) -> bool:
    try:
        column[index].as_py()
    except (ValueError, OverflowError):
        return False
    return True
