"""Reading the Parquet segments of runs, as a whole, in batches or by case; without the catalogue."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evalkit.errors import StoreError
from evalkit.store.arrays import texts
from evalkit.store.schema import REGRADE_SCHEMA, SCORE_SCHEMA, TRACE_SCHEMA, TRIAL_SCHEMA

__all__ = [
    "BATCH",
    "count_rows",
    "query_segments",
    "read_rows",
    "read_segment",
    "read_segment_schema",
    "scan_segment",
    "stored_alike",
]

_SCHEMAS = {"trials": TRIAL_SCHEMA, "traces": TRACE_SCHEMA, "scores": SCORE_SCHEMA, "regrades": REGRADE_SCHEMA}
_LATER = frozenset({"lag_us", "review"})
"""Columns that an earlier evalkit did not write; where they lack they are null."""
BATCH = 262_144
"""Rows read at a time."""
_TOGETHER = 131_072
"""Rows of the row groups that one reader reads: making it takes time, and what it has decoded takes memory."""
_TIDY = 4
"""Readers after which memory is given back."""
_REPEATED = (
    "run_id",
    "case_id",
    "grader",
    "version",
    "fingerprint",
    "status",
    "label",
    "severity",
    "review",
    "source_run",
)
"""Columns of few distinct texts: spelling them out for rows that are not wanted would take most of the time."""
_TRACES = 512
"""Traces read at a time: they are long, and of most of them nothing is wanted."""
_PARTS_TO_SKIP = 3
"""Reading single row groups is slower than reading all of few."""


def read_segment(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A whole segment, or some of its columns.

    Raises:
        StoreError: when it is not there or cannot be read; names the file.
    """
    if columns is not None:
        schema = pa.schema([_SCHEMAS[_kind(path)].field(name) for name in columns])
        return pa.Table.from_batches(scan_segment(path, columns), schema)
    with _readable(path), pq.ParquetFile(path, pre_buffer=False) as file:
        table = file.read()
    return _completed(path, table)


def read_segment_schema(path: Path) -> pa.Schema:
    """The columns and metadata of a segment.

    Raises:
        StoreError: when it is not there or cannot be read; names the file.
    """
    with _readable(path):
        schema = pq.read_schema(path)
    _check_columns(path, schema)
    return schema


def count_rows(path: Path) -> int:
    """Rows of a segment.

    Raises:
        StoreError: when it is not there or cannot be read; names the file.
    """
    with _readable(path):
        return int(pq.read_metadata(path).num_rows)


def scan_segment(
    path: Path, columns: Sequence[str], *, encoded: Sequence[str] = (), batch: int = BATCH
) -> Iterator[pa.RecordBatch]:
    """Some columns of a segment, some rows at a time, in their order: memory does not grow with the segment.

    Args:
        path: The segment.
        columns: Their names, in the order wanted.
        encoded: Those of them that are wanted as dictionaries: few distinct texts, many times.
        batch: Rows at a time.

    Raises:
        StoreError: when it is not there or cannot be read; names the file.
    """
    schema = read_segment_schema(path)
    with _readable(path), pq.ParquetFile(path, read_dictionary=list(encoded), pre_buffer=False) as file:
        present = [name for name in columns if name in schema.names]
        for number, groups in enumerate(_together(file.metadata)):
            if number % _TIDY == _TIDY - 1:
                pa.default_memory_pool().release_unused()  # else what was decoded before piles up
            rows = sum(file.metadata.row_group(group).num_rows for group in groups)
            size = max(1, min(batch, rows))  # room is made for so many
            for found in file.iter_batches(batch_size=size, row_groups=groups, columns=present, use_threads=False):
                yield found.select(columns) if len(present) == len(columns) else _with_nulls(found, columns, path)


def _together(metadata: Any) -> Iterator[list[int]]:
    """Row groups that are read with one reader: as many as hold no more than a few rows, or one."""
    groups: list[int] = []
    rows = 0
    for number in range(metadata.num_row_groups):
        size = metadata.row_group(number).num_rows
        if groups and rows + size > _TOGETHER:
            yield groups
            groups, rows = [], 0
        groups.append(number)
        rows += size
    if groups:
        yield groups


def _with_nulls(found: pa.RecordBatch, columns: Sequence[str], path: Path) -> pa.RecordBatch:
    """The batch with these columns; those that an earlier evalkit did not write are null."""
    kinds = _SCHEMAS[_kind(path)]
    arrays = [
        found.column(name) if name in found.schema.names else pa.nulls(len(found), kinds.field(name).type)
        for name in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def stored_alike(left: Path, right: Path, columns: Sequence[str]) -> bool:
    """Whether two segments are the same in these columns, row by row, found out without decoding them.

    Parquet keeps a column of a row group in one piece. Where the pieces of both are equal byte for byte and are to be
    read in the same way, so are the values. Where they are not, the values can still be equal: stored otherwise.

    Raises:
        StoreError: when one is not there or cannot be read; names the file.
    """
    ours, theirs = _pieces(left, columns), _pieces(right, columns)
    if ours is None or theirs is None or [piece.reading for piece in ours] != [piece.reading for piece in theirs]:
        return False
    with _readable(left), open(left, "rb") as mine, _readable(right), open(right, "rb") as other:
        for here, there in zip(ours, theirs, strict=True):
            mine.seek(here.start)
            other.seek(there.start)
            if mine.read(here.size) != other.read(there.size):
                return False
    return True


class _Piece(NamedTuple):
    """A column of a row group in its file."""

    start: int
    size: int
    reading: tuple[Any, ...]
    """What else the values depend on."""


def _pieces(path: Path, columns: Sequence[str]) -> list[_Piece] | None:
    """Where these columns are, row group by row group; None where it is not known for certain."""
    with _readable(path):
        metadata = pq.read_metadata(path)
    names = [metadata.schema.column(place).path for place in range(metadata.num_columns)]
    if not set(columns) <= set(names):
        return None
    found = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for name in columns:
            place = names.index(name)
            kind, chunk = metadata.schema.column(place), group.column(place)
            starts = [chunk.data_page_offset]
            if chunk.has_dictionary_page:
                starts.append(chunk.dictionary_page_offset)
            elif any("DICTIONARY" in encoding for encoding in chunk.encodings):
                return None
            reading = (
                group.num_rows, chunk.num_values, chunk.total_compressed_size, chunk.compression, chunk.physical_type,
                str(kind.logical_type), kind.max_definition_level, kind.max_repetition_level,
            )  # fmt: skip
            found.append(_Piece(min(starts), chunk.total_compressed_size, reading))
    return found


def read_rows(path: Path, case_ids: Sequence[str]) -> pa.Table:
    """The rows of some cases; row groups that cannot hold one of them are not read.

    Raises:
        StoreError: when the segment is not there or cannot be read; names the file.
    """
    wanted = sorted(set(case_ids))
    values = texts(wanted)
    found = []
    schema = read_segment_schema(path)
    repeated = [name for name in _REPEATED if name in schema.names]
    with _readable(path), pq.ParquetFile(path, read_dictionary=repeated, pre_buffer=False) as file:
        groups = list(range(file.metadata.num_row_groups)) if wanted else []
        if len(groups) >= _PARTS_TO_SKIP:
            groups = [group for group in groups if _may_hold(file.metadata.row_group(group), schema, wanted)]
        traces = _kind(path) == "traces"
        for part in [groups] if groups and not traces else [[group] for group in groups]:
            for rows in file.iter_batches(_TRACES if traces else BATCH // 16, row_groups=part, use_threads=False):
                column = rows.column("case_id")
                chosen = rows.filter(pc.is_in(column.dictionary, value_set=values).take(column.indices))
                if len(chosen):
                    found.append(chosen.cast(schema))
            pa.default_memory_pool().release_unused()  # else what was decoded before piles up
    return _completed(path, pa.Table.from_batches(found, schema))


def _may_hold(group: Any, schema: pa.Schema, wanted: Sequence[str]) -> bool:
    """Whether the statistics of a row group allow for one of the cases, which are sorted."""
    statistics = group.column(schema.get_field_index("case_id")).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    after = bisect.bisect_left(wanted, statistics.min)
    return after < len(wanted) and wanted[after] <= statistics.max


def _completed(path: Path, table: pa.Table) -> pa.Table:
    """The table with the columns that an earlier evalkit did not write."""
    _check_columns(path, table.schema)
    for place, field in enumerate(_SCHEMAS[_kind(path)]):
        if field.name not in table.schema.names:
            table = table.add_column(place, field, pa.nulls(table.num_rows, field.type))
    return table


def _kind(path: Path) -> str:
    return path.stem.partition("-")[0]


def _check_columns(path: Path, schema: pa.Schema) -> None:
    """Further columns are no harm; those that evalkit writes must be there."""
    lacking = sorted(set(_SCHEMAS[_kind(path)].names) - _LATER - set(schema.names))
    if lacking:
        raise StoreError(f"not a segment of evalkit: it lacks {', '.join(lacking)}", file=path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        made = "re-grade the run: evalkit regrade RUN" if _kind(path) == "scores" else "bring the run's folder back"
        raise StoreError("no such segment", file=path, fix=made) from None
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"not a readable segment: {str(error).splitlines()[0]}", file=path) from None


def query_segments(sql: str, paths: Sequence[Path]) -> Mapping[str, Any]:
    """Columns of a query by DuckDB as numpy arrays; each ``?`` of the query is the next segment.

    Raises:
        StoreError: when a segment is not there or cannot be read; names the file.
    """
    given = [str(path) for path in paths]
    columns: Mapping[str, Any] = _query(lambda connection: connection.execute(sql, given).fetchnumpy(), paths)
    return columns


def query_table(sql: str, paths: Sequence[Path], given: Mapping[str, object]) -> pa.Table:
    """The result of a query by DuckDB that names its segments itself.

    Args:
        sql: The query.
        paths: The segments that it reads.
        given: Values of its ``$name``.

    Raises:
        StoreError: when a segment is not there or cannot be read; names the file.
    """
    table: pa.Table = _query(lambda connection: connection.sql(sql, params=given).to_arrow_table(), paths)
    return table


def _query(ask: Callable[[Any], Any], paths: Sequence[Path]) -> Any:
    import duckdb  # only what needs SQL pays for it

    connection = duckdb.connect()
    try:
        return ask(connection)
    except duckdb.Error as error:
        for path in paths:
            read_segment(path)  # says which, and why
        raise StoreError(f"not readable segments: {str(error).splitlines()[0]}", file=paths[0]) from None
    finally:
        connection.close()
