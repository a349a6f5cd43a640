"""Queries over the Parquet segments of runs, by DuckDB, without the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.errors import StoreError
from evalkit.store.schema import SCORE_SCHEMA, TRACE_SCHEMA, TRIAL_SCHEMA

__all__ = ["query_segments", "read_segment", "read_segment_schema"]

_SCHEMAS = {"trials": TRIAL_SCHEMA, "traces": TRACE_SCHEMA, "scores": SCORE_SCHEMA}


def read_segment(path: Path) -> pa.Table:
    """A whole segment.

    Raises:
        StoreError: when it is not there or cannot be read; names the file.
    """
    with _readable(path):
        table = pq.read_table(path)
    _check_columns(path, table.schema)
    return table


def read_segment_schema(path: Path) -> pa.Schema:
    """The columns and metadata of a segment.

    Raises:
        StoreError: when it is not there or cannot be read; names the file.
    """
    with _readable(path):
        schema = pq.read_schema(path)
    _check_columns(path, schema)
    return schema


def _check_columns(path: Path, schema: pa.Schema) -> None:
    """Further columns are no harm; those that evalkit writes must be there."""
    kind, _, _ = path.stem.partition("-")
    lacking = sorted(set(_SCHEMAS[kind].names) - set(schema.names))
    if lacking:
        raise StoreError(f"not a segment of evalkit: it lacks {', '.join(lacking)}", file=path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise StoreError("no such segment", file=path, fix="re-grade the run: evalkit regrade RUN") from None
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"not a readable segment: {str(error).splitlines()[0]}", file=path) from None


def query_segments(sql: str, paths: Sequence[Path]) -> Mapping[str, Any]:
    """Columns of a query as numpy arrays; each ``?`` of the query is the next segment.

    Raises:
        StoreError: when a segment is not there or cannot be read; names the file.
    """
    connection = duckdb.connect()
    try:
        columns: Mapping[str, Any] = connection.execute(sql, [str(path) for path in paths]).fetchnumpy()
    except duckdb.Error as error:
        for path in paths:
            read_segment(path)  # says which, and why
        raise StoreError(f"not readable segments: {str(error).splitlines()[0]}", file=paths[0]) from None
    finally:
        connection.close()
    return columns
