"""Writing a run: its segments in canonical order, piece by piece, then one rename that makes it whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from evalkit import codec
from evalkit.atomic import atomic_path, make_folder, sync_folder
from evalkit.errors import StorageError
from evalkit.records import GraderRef, Run
from evalkit.store.schema import SCORE_SCHEMA, TRACE_SCHEMA, TRIAL_SCHEMA, graders_metadata

__all__ = ["Chunk", "RunWriter", "SegmentWriter", "write_scores"]

_ROWS = {"trials": 16_384, "traces": 2_048, "scores": 32_768}
"""Rows of a row group: held in memory until they are written, and read as one."""


@dataclass(frozen=True)
class Chunk:
    """Some cases of a run, whole: rows of its three segments in canonical order."""

    trials: pa.Table
    traces: pa.Table
    scores: pa.Table


class RunWriter:
    """Takes the chunks of a run, in the order of their cases. Use as a context manager.

    Args:
        making: Folder to write in; it is made anew.
        final: Where the run goes when it is whole.
        grading: Fingerprint of the graders.
        graders: They.

    Raises:
        StorageError: when the disk does not take it.
    """

    def __init__(self, making: Path, final: Path, grading: str, graders: Sequence[GraderRef]) -> None:
        self._making = making
        self._final = final
        shutil.rmtree(making, ignore_errors=True)
        make_folder(making)
        scores = SCORE_SCHEMA.with_metadata(graders_metadata(graders))
        self._segments = {
            "trials": SegmentWriter(making / "trials.parquet", TRIAL_SCHEMA, _ROWS["trials"]),
            "traces": SegmentWriter(making / "traces.parquet", TRACE_SCHEMA, _ROWS["traces"]),
            "scores": SegmentWriter(making / f"scores-{grading[:12]}.parquet", scores, _ROWS["scores"]),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for segment in self._segments.values():
            segment.abandon()

    def add(self, chunk: Chunk) -> None:
        """Take the next cases.

        Raises:
            StorageError: when the disk does not take it.
        """
        try:
            self._segments["trials"].add(chunk.trials)
            self._segments["traces"].add(chunk.traces)
            self._segments["scores"].add(chunk.scores)
        except OSError as error:
            raise StorageError.from_os_error(error, "store the run") from error

    def finish(self, run: Run, revise: Callable[[Path], None] | None = None) -> Path:
        """Make the run whole: everything on the disk, then one rename.

        Args:
            run: Its record.
            revise: Called with the folder when the segments are written.

        Raises:
            StorageError: when the disk does not take it.
        """
        try:
            for segment in self._segments.values():
                segment.close()
            if revise is not None:
                revise(self._making)
            (self._making / "run.json").write_bytes(codec.encode(run))
            for file in self._making.iterdir():
                with open(file, "rb+") as handle:
                    os.fsync(handle.fileno())
            sync_folder(self._making)
            make_folder(self._final.parent)
            os.replace(self._making, self._final)
            sync_folder(self._final.parent)
        except OSError as error:
            raise StorageError.from_os_error(error, "store the run") from error
        return self._final


class SegmentWriter:
    """One Parquet file, written a row group at a time."""

    def __init__(self, path: Path, schema: pa.Schema, rows: int) -> None:
        self._schema = schema
        self._rows = rows
        self._pending: list[pa.Table] = []
        self._count = 0
        try:
            self._writer: pq.ParquetWriter | None = pq.ParquetWriter(path, schema, compression="zstd")
        except OSError as error:
            raise StorageError.from_os_error(error, "store the run") from error

    def add(self, table: pa.Table) -> None:
        """Take the next rows."""
        if table.num_rows == 0:
            return
        self._pending.append(table.cast(self._schema) if table.schema != self._schema else table)
        self._count += table.num_rows
        if self._count >= self._rows:
            self._flush()

    def _flush(self) -> None:
        if self._pending and self._writer is not None:
            # chunks would be a row group each
            self._writer.write_table(pa.concat_tables(self._pending).combine_chunks())
        self._pending, self._count = [], 0

    def close(self) -> None:
        """Write what is pending and the end of the file."""
        self._flush()
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def abandon(self) -> None:
        """Release the file, whatever state it is in."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            try:
                writer.close()
            except OSError:  # the disk is full: what is there is thrown away
                return


def write_scores(path: Path, graders: Sequence[GraderRef], tables: Iterable[pa.Table]) -> None:
    """Write a scores segment from tables that follow one another, whole or not at all.

    Raises:
        StorageError: when the disk does not take it.
    """
    schema = SCORE_SCHEMA.with_metadata(graders_metadata(graders))
    with atomic_path(path) as partial:
        segment = SegmentWriter(partial, schema, _ROWS["scores"])
        try:
            for table in tables:
                segment.add(table)
            segment.close()
        except OSError as error:
            raise StorageError.from_os_error(error, "store the scores") from error
        finally:
            segment.abandon()
