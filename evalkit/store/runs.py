"""Runs on disk: immutable folders of Parquet segments. This is the record; DuckDB is an index over it.

::

    .evalkit/
      runs/<run id>/run.json, trials.parquet, traces.parquet, scores-<grading>.parquet,
                                            regrades-<grading>.parquet where a grader was asked again
      partial/<run id>/journal.jsonl      a run that is not finished; kept until its trials are in a run
      cases/<golden set digest>.parquet   the cases, masked, that runs were made on
      baselines/<workflow>/<name>.json    accepted runs, oldest first
      verdicts/<verdict id>.json
      evalkit.duckdb                      the catalogue: rebuilt from the above at any time
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evalkit import codec
from evalkit.atomic import atomic_path, make_folder, write_bytes
from evalkit.errors import StorageError, StoreError, UsageError
from evalkit.records import GraderRef, Run, Score, Trace
from evalkit.store.schema import (
    StoredTrial,
    scores_table,
    table_graders,
    table_scores,
    traces_table,
    trials_table,
)
from evalkit.store.segments import read_rows, read_segment, read_segment_schema, scan_segment
from evalkit.store.writer import Chunk, RunWriter

__all__ = ["RunFolder", "Runs", "is_run_id", "new_run_id"]

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RUN_ID = re.compile(rf"[{_ALPHABET}]{{26}}")
_TRACES = 512
"""Traces read at a time."""


def new_run_id() -> str:
    """A ULID: 48 bits of milliseconds and 80 random bits in Crockford's base 32, so that ids sort by time."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def is_run_id(text: str) -> bool:
    """Whether a text can be the id of a run, and so the name of its folder."""
    return _RUN_ID.fullmatch(text) is not None


@dataclass(frozen=True)
class RunFolder:
    """A finished run.

    Args:
        path: Its folder.
        grading: Fingerprint of the graders whose scores count; default those that the run was made with.
    """

    path: Path
    grading: str = ""

    @cached_property
    def run(self) -> Run:
        """The run's record.

        Raises:
            StoreError: when it cannot be read.
        """
        file = self.path / "run.json"
        try:
            record = codec.decode(Run, file.read_bytes())
        except (OSError, codec.ValidationError) as error:
            raise StoreError(f"not a readable run: {str(error).splitlines()[0]}", file=file) from None
        if not self.grading:
            return record
        return replace(record, grading=self.grading, graders=self.graders(self.grading))

    def gradings(self) -> list[str]:
        """Short fingerprints of the grader sets that this run was graded with."""
        return sorted(file.stem.removeprefix("scores-") for file in self.path.glob("scores-*.parquet"))

    def trials(self, columns: Sequence[str] | None = None) -> pa.Table:
        """One row a trial, with all columns or some.

        Raises:
            StoreError: when the segment cannot be read.
        """
        return read_segment(self.trials_path, columns)

    @property
    def trials_path(self) -> Path:
        """The segment with one row a trial."""
        return self.path / "trials.parquet"

    def scores_path(self, grading: str) -> Path:
        """The scores segment of a set of graders."""
        return self.path / f"scores-{grading[:12]}.parquet"

    def regrades_path(self, grading: str) -> Path:
        """The segment of what graders said when they were asked again; there where they were."""
        return self.path / f"regrades-{grading[:12]}.parquet"

    def scores(self, grading: str | None = None) -> list[Score]:
        """Scores of a set of graders; default those the run was made with.

        Raises:
            StoreError: when the run was not graded with them.
        """
        return table_scores(read_segment(self.scores_path(grading or self.run.grading)))

    def graders(self, grading: str) -> tuple[GraderRef, ...]:
        """The graders of a scores segment, by the first digits of their fingerprint together or all of it.

        Raises:
            StoreError: when the run was not graded with them.
        """
        return table_graders(read_segment_schema(self.scores_path(grading)))

    def traces(self, case_ids: Sequence[str] | None = None) -> Iterator[Trace]:
        """Traces in canonical order, of some cases or of all; none is kept.

        Raises:
            StoreError: when the segment cannot be read.
        """
        path = self.path / "traces.parquet"
        if case_ids is None:
            parts: Iterable[Any] = scan_segment(path, ["trace_json"], batch=_TRACES)
        else:
            parts = [read_rows(path, case_ids)]
        for part in parts:
            for text in part.column("trace_json").to_pylist():
                yield codec.decode(Trace, text)

    def add_scores(self, grading: str, graders: Sequence[GraderRef], scores: Iterable[Score]) -> Path:
        """Add a scores segment for another set of graders; the run itself does not change."""
        path = self.scores_path(grading)
        with atomic_path(path) as partial:
            pq.write_table(scores_table(self.run.run_id, graders, scores), partial, compression="zstd")
        return path


class Runs:
    """All runs of a store.

    Args:
        root: The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._runs = root / "runs"
        self._partial = root / "partial"

    def prepare(self) -> None:
        """Make the folders and make sure that they can be written, before any money is spent.

        Raises:
            StorageError: when they cannot.
        """
        fresh = not self.root.exists()
        for folder in (self._runs, self._partial):
            make_folder(folder)
        if fresh:
            self.root.chmod(0o700)
            write_bytes(self.root / ".gitignore", b"*\n")
        probe = self._partial / f".probe-{secrets.token_hex(4)}"
        write_bytes(probe, b"")
        try:
            probe.unlink()
        except OSError as error:
            raise StorageError.from_os_error(error, "remove a file") from error

    def partial_folder(self, run_id: str) -> Path:
        """Where a run's journal is until the run is finished."""
        return make_folder(self._partial / run_id)

    def partial_journals(self) -> list[Path]:
        """Journals of runs that were not finished, oldest first."""
        return sorted(self._partial.glob("*/journal.jsonl"))

    def drop_partial(self, run_id: str) -> None:
        """Remove the journal of a run whose trials are in a finished run."""
        shutil.rmtree(self._partial / run_id, ignore_errors=True)

    def finish(self, run: Run, trials: Sequence[StoredTrial], scores: Iterable[Score]) -> RunFolder:
        """Write a finished run: all segments beside each other, then one rename.

        Raises:
            StorageError: when the disk does not take it; the journal is still there.
        """
        ordered = sorted(trials, key=lambda stored: (stored.trace.case_id, stored.trace.trial))
        with self.writer(run.run_id, run.grading, run.graders) as writer:
            scored = scores_table(run.run_id, run.graders, scores)
            writer.add(Chunk(trials_table(run.run_id, ordered), traces_table(run.run_id, ordered), scored))
            return RunFolder(writer.finish(run))

    def writer(self, run_id: str, grading: str, graders: Sequence[GraderRef]) -> RunWriter:
        """What writes the segments of a run beside its journal and moves them where finished runs are."""
        return RunWriter(self._partial / run_id / "segments", self._runs / run_id, grading, graders)

    def all(self, workflow: str | None = None) -> list[RunFolder]:
        """Finished runs, oldest first; those of one workflow, or all."""
        if not self._runs.is_dir():
            return []
        folders = [RunFolder(path) for path in sorted(self._runs.iterdir()) if _RUN_ID.fullmatch(path.name)]
        return [folder for folder in folders if workflow is None or folder.run.workflow == workflow]

    def newest_first(self, workflow: str) -> Iterator[RunFolder]:
        """Finished runs of a workflow, read as they are asked for."""
        if not self._runs.is_dir():
            return
        for path in sorted(self._runs.iterdir(), reverse=True):
            if _RUN_ID.fullmatch(path.name) and (folder := RunFolder(path)).run.workflow == workflow:
                yield folder

    def folder(self, run_id: str) -> RunFolder | None:
        """A finished run by its whole id; None where it is gone."""
        path = self._runs / run_id
        return RunFolder(path) if path.is_dir() else None

    def get(self, run_id: str) -> RunFolder:
        """A run by its id or an unambiguous beginning of it; ``latest`` is the newest.

        Raises:
            UsageError: when there is none, or more than one.
        """
        if not self._runs.is_dir():
            raise UsageError("there are no runs yet", file=self.root, fix="make one: evalkit run")
        names = sorted(path.name for path in self._runs.iterdir() if _RUN_ID.fullmatch(path.name))
        if run_id == "latest" and names:
            return RunFolder(self._runs / names[-1])
        found = [name for name in names if name.startswith(run_id.upper())]
        if len(found) != 1:
            why = "no run begins" if not found else f"{len(found)} runs begin"
            raise UsageError(f"{why} with `{run_id}`", file=self._runs, fix="list them: evalkit runs")
        return RunFolder(self._runs / found[0])

    def find_trials(self, keys: Mapping[str, object], redaction: str) -> dict[str, RunFolder]:
        """The runs that hold finished trials with the given keys: the newest of each.

        Trials that failed, and runs masked with other rules, are no use.
        """
        wanted = pa.array(list(keys), pa.string())
        found: dict[str, RunFolder] = {}
        for folder in reversed(self.all()):
            if len(found) == len(keys):
                break
            if folder.run.redaction != redaction:
                continue
            table = folder.trials(["trial_key", "status"])
            table = table.filter(pc.is_in(table.column("trial_key"), wanted))
            for row in table.to_pylist():
                if row["status"] == "ok":
                    found.setdefault(row["trial_key"], folder)
        return found
