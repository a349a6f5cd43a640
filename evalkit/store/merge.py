"""Putting a run together from what holds its trials: journals, earlier runs, shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit import codec
from evalkit.errors import StoreError
from evalkit.records import GraderRef, Score, Trace
from evalkit.store.arrays import fixed_texts, take
from evalkit.store.runs import RunFolder
from evalkit.store.schema import (
    SCORE_SCHEMA,
    TRACE_SCHEMA,
    TRIAL_SCHEMA,
    StoredTrial,
    scores_table,
    traces_table,
    trials_table,
)
from evalkit.store.segments import scan_segment
from evalkit.store.writer import Chunk

__all__ = ["Grade", "Revise", "RunSource", "SegmentCursor", "TrialSource", "graded_again", "merge_chunks"]

Grade: TypeAlias = Callable[[Sequence[Trace]], Sequence[Score]]
"""Grades trials anew."""
Revise: TypeAlias = Callable[[StoredTrial], StoredTrial]
"""Changes a stored trial, for example its cost."""

_CASES = 512
"""Cases that are put together at a time."""
_BATCH = 1024


class TrialSource(Protocol):
    """What holds trials of a run, in the order of their cases."""

    def until(self, case_id: str) -> Chunk:
        """The rows not yet given of all cases up to this one, it included.

        Raises:
            StoreError: when they cannot be read.
        """
        ...


def merge_chunks(case_ids: Sequence[str] | pa.Array, sources: Sequence[TrialSource], run_id: str) -> Iterator[Chunk]:
    """The rows of a run in canonical order, some cases at a time.

    Args:
        case_ids: All cases of the run, in order.
        sources: What holds their trials; no trial is in two of them.
        run_id: The run that the rows are to be of.

    Raises:
        StoreError: when a source cannot be read.
    """
    for start in range(0, len(case_ids), _CASES):
        last = case_ids[min(start + _CASES, len(case_ids)) - 1]
        bound = last.as_py() if isinstance(last, pa.Scalar) else last
        parts = [part for part in (source.until(bound) for source in sources) if part.trials.num_rows]
        if parts:
            yield _of_run(_joined(parts), run_id)


def _joined(parts: Sequence[Chunk]) -> Chunk:
    if len(parts) == 1:
        return parts[0]
    by_trial = [("case_id", "ascending"), ("trial", "ascending")]
    by_score = [("case_id", "ascending"), ("grader", "ascending"), ("trial", "ascending")]
    return Chunk(
        trials=pa.concat_tables([part.trials for part in parts]).sort_by(by_trial),
        traces=pa.concat_tables([part.traces for part in parts]).sort_by(by_trial),
        scores=pa.concat_tables([part.scores for part in parts]).sort_by(by_score),
    )


def _of_run(chunk: Chunk, run_id: str) -> Chunk:
    def named(table: pa.Table) -> pa.Table:
        return table.set_column(0, table.schema.field(0), pa.repeat(pa.scalar(run_id, pa.string()), table.num_rows))

    return Chunk(named(chunk.trials), named(chunk.traces), named(chunk.scores))


def graded_again(
    rows: Iterable[Mapping[str, Any]],
    traces: Iterable[str | bytes],
    graders: Sequence[GraderRef],
    grade: Grade,
    revise: Revise | None = None,
) -> Chunk:
    """Stored trials, revised where that is asked for, with new scores.

    Args:
        rows: Of the trials segment, in canonical order.
        traces: Of the same trials, as JSON.
        graders: Whose scores they are given.
        grade: Makes them.
        revise: Changes a trial before it is graded.
    """
    stored = [
        StoredTrial(codec.decode(Trace, text), row["case_digest"], row["trial_key"], row["source_run"])
        for row, text in zip(rows, traces, strict=True)
    ]
    if revise is not None:
        stored = [revise(item) for item in stored]
    scores = grade([item.trace for item in stored])
    return Chunk(trials_table("", stored), traces_table("", stored), scores_table("", graders, scores))


@dataclass
class RunSource:
    """Trials of a finished run.

    Args:
        folder: The run.
        graders: Of the run that is put together.
        grading: Their fingerprint; scores of other graders are no use.
        keys: Keys of the trials that are wanted, sorted; default all.
        revise: Changes a stored trial, for example its cost; default leaves all as they are.
        grade: Grades trials anew; needed where the run was not graded by these graders or trials are revised.
    """

    folder: RunFolder
    graders: Sequence[GraderRef]
    grading: str
    keys: NDArray[np.bytes_] | None = None
    revise: Revise | None = None
    grade: Grade | None = None

    def __post_init__(self) -> None:
        path = self.folder.path
        self._trials = SegmentCursor(path / "trials.parquet", TRIAL_SCHEMA)
        self._traces = SegmentCursor(path / "traces.parquet", TRACE_SCHEMA)
        scores = self.folder.scores_path(self.grading)
        self._scores = SegmentCursor(scores, SCORE_SCHEMA) if scores.exists() and self.revise is None else None
        if self._scores is None and self.grade is None:
            raise StoreError("the run has no scores of its graders", file=scores)

    def until(self, case_id: str) -> Chunk:
        """See :class:`TrialSource`."""
        trials, traces = self._trials.until(case_id), self._traces.until(case_id)
        if trials.num_rows != traces.num_rows:
            raise StoreError(
                f"the run holds {trials.num_rows:,} trials and {traces.num_rows:,} traces up to {case_id}",
                file=self.folder.path,
            )
        scores = None if self._scores is None else self._scores.until(case_id)
        if self.keys is not None:
            wanted = _among(fixed_texts(trials.column("trial_key"), self.keys.itemsize), self.keys)
            if not wanted.all():
                trials, traces = (take(table, np.flatnonzero(wanted)) for table in (trials, traces))
                scores = None if scores is None else _of_trials(scores, trials)
        if scores is not None and not (self.grade is not None and _failed(scores)):
            return Chunk(trials, traces, scores)
        assert self.grade is not None, "whoever revises can grade"  # noqa: S101
        rows = trials.select(["case_digest", "trial_key", "source_run"]).to_pylist()
        return graded_again(rows, traces.column("trace_json").to_pylist(), self.graders, self.grade, self.revise)


def _failed(scores: pa.Table) -> bool:
    """Whether a grader failed: it is asked again, as a model that it asks may be back."""
    return bool(pc.any(pc.equal(scores.column("status"), "error")).as_py())


def _among(values: NDArray[np.bytes_], known: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    """Which values are among known ones, which are sorted: it takes no longer the more of these there are."""
    if not len(known):
        return np.zeros(len(values), np.bool_)
    there: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values
    return there


def _of_trials(scores: pa.Table, trials: pa.Table) -> pa.Table:
    """The scores of these trials, in order."""
    pair = ["case_id", "trial"]
    chosen = scores.select([*pair, "grader"]).append_column("row", pa.array(range(scores.num_rows), pa.int64()))
    rows = chosen.join(trials.select(pair), keys=pair, join_type="left semi").column("row")
    return scores.take(rows.take(pc.sort_indices(rows)))


class SegmentCursor:
    """Reads a segment in order of its cases once from its beginning to its end, in batches."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._batches = scan_segment(path, schema.names, batch=_BATCH)
        self._schema = schema
        self._rest: pa.Table = schema.empty_table()
        self._ended = False

    def until(self, case_id: str) -> pa.Table:
        """The rows not yet given of all cases up to this one, it included."""
        parts: list[pa.Table] = []
        bound = pa.scalar(case_id, pa.string())
        while True:
            ids = self._rest.column("case_id")
            # sorted: the rows that are due come first
            due = pc.sum(pc.less_equal(ids, bound)).as_py() or 0
            parts.append(self._rest.slice(0, due))
            self._rest = self._rest.slice(due)
            if self._rest.num_rows or self._ended:
                return pa.concat_tables(parts) if len(parts) > 1 else parts[0]
            batch = next(self._batches, None)
            if batch is None:
                self._ended = True
            else:
                self._rest = pa.Table.from_arrays(batch.columns, schema=self._schema)
