"""Grading stored trials again, and grading runs: no model under test is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc

from evalkit.errors import EvalkitError
from evalkit.grading import Grading
from evalkit.grading.over_run import CaseTrials, grade_run
from evalkit.grading.workers import GradingWork
from evalkit.records import Case, Score, Trace
from evalkit.store.cases import iter_cases_of
from evalkit.store.merge import SegmentCursor
from evalkit.store.runs import RunFolder
from evalkit.store.schema import SCORE_SCHEMA, scores_table, table_graders
from evalkit.store.segments import read_segment, read_segment_schema
from evalkit.store.writer import write_scores

__all__ = ["Regraded", "add_run_scores", "regrade"]

_CASES = 256
"""Cases whose stored traces are held while they are graded."""
_CANONICAL = [("case_id", "ascending"), ("grader", "ascending"), ("trial", "ascending")]


@dataclass(frozen=True)
class Regraded:
    """What grading a run again came to."""

    scores: int
    errors: int


def regrade(folder: RunFolder, store: Path, grading: Grading) -> Regraded:
    """Grade a stored run with a set of graders, from its traces; the scores are stored beside those it has.

    What a grader of trials said when it was the same as now stands: only those that have changed are asked.

    Args:
        folder: The run.
        store: Where the cases are that it was made on.
        grading: The graders.

    Raises:
        EvalkitError: when a trace has no case.
        BudgetError: when the budget of a grader is spent; nothing is stored.
    """
    run = folder.run

    def cases() -> Iterator[Case]:
        return iter_cases_of(store, run.golden_set, run.redaction)

    known = _known_scores(folder, grading)
    changed = grading.only({ref.name for _, ref in grading.of_trials if ref.fingerprint not in known})

    def tables(work: GradingWork) -> Iterator[pa.Table]:
        left = run.trials
        kept = [(SegmentCursor(path, SCORE_SCHEMA), pa.array(prints)) for path, prints in _by_path(known).items()]
        found = _by_case(folder.traces(), cases())
        while some := list(islice(found, _CASES)):
            pairs = [(case, trace) for case, traces in some for trace in traces]
            made = scores_table(run.run_id, grading.refs, work.grade_all(pairs, left))
            left -= len(pairs)
            old = [_of_graders(cursor.until(some[-1][0].id), prints) for cursor, prints in kept]
            yield pa.concat_tables([made.replace_schema_metadata(), *old]).sort_by(_CANONICAL)

    path = folder.scores_path(grading.fingerprint)
    with ExitStack() as stack:
        made = path
        if grading.of_runs:  # their scores are added before anybody sees the segment
            made = Path(stack.enter_context(TemporaryDirectory(prefix=".regrade-", dir=folder.path))) / path.name
        write_scores(made, grading.refs, tables(stack.enter_context(GradingWork(changed))))
        if grading.of_runs:
            _add(made, path, folder.traces, cases, run.run_id, grading)
    status = read_segment(path, ["status"]).column(0)
    return Regraded(len(status), pc.sum(pc.equal(status, "error")).as_py() or 0)


def add_run_scores(folder: Path, run_id: str, grading: Grading, cases: Callable[[], Iterable[Case]]) -> None:
    """Let the graders of runs grade a run whose segments are written, case by case.

    Args:
        folder: Where its segments are; the scores of the graders of trials are in them.
        run_id: The run.
        grading: The graders.
        cases: Its masked cases, in order of their ids.

    Raises:
        EvalkitError: when a trace has no case.
        StorageError: when the disk does not take it.
    """
    if grading.of_runs:
        made = RunFolder(folder)
        path = made.scores_path(grading.fingerprint)
        _add(path, path, made.traces, cases, run_id, grading)


def _known_scores(folder: RunFolder, grading: Grading) -> dict[str, Path]:
    """Where the scores of each grader of trials are that has not changed, by its fingerprint; newer sets first."""
    wanted = {ref.fingerprint for _, ref in grading.of_trials}
    known: dict[str, Path] = {}
    paths = [folder.scores_path(name) for name in folder.gradings()]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        for ref in table_graders(read_segment_schema(path)):
            if ref.fingerprint in wanted:
                known.setdefault(ref.fingerprint, path)
    return known


def _by_path(known: Mapping[str, Path]) -> dict[Path, list[str]]:
    found: dict[Path, list[str]] = {}
    for fingerprint, path in known.items():
        found.setdefault(path, []).append(fingerprint)
    return found


def _of_graders(scores: pa.Table, fingerprints: pa.Array) -> pa.Table:
    return scores.filter(pc.is_in(scores.column("fingerprint"), value_set=fingerprints)).replace_schema_metadata()


def _add(
    before: Path,
    after: Path,
    traces: Callable[[], Iterator[Trace]],
    cases: Callable[[], Iterable[Case]],
    run_id: str,
    grading: Grading,
) -> None:
    """Write the scores of a segment and those of the graders of runs, in canonical order."""
    graded = [grade_run(grader, ref, _by_case(traces(), cases())) for grader, ref in grading.of_runs]
    names = pa.array([ref.name for _, ref in grading.of_runs], pa.string())
    cursor = SegmentCursor(before, SCORE_SCHEMA)

    def tables() -> Iterator[pa.Table]:
        each = zip(*graded, strict=True)
        while some := list(islice(each, _CASES)):
            rows: list[Score] = [row for of_case in some for of_grader in of_case for row in of_grader]
            given = cursor.until(rows[-1].case_id)
            old = given.filter(pc.invert(pc.is_in(given.column("grader"), value_set=names)))
            new = scores_table(run_id, grading.refs, rows).replace_schema_metadata(SCORE_SCHEMA.metadata)
            yield pa.concat_tables([old, new]).sort_by(_CANONICAL)

    write_scores(after, grading.refs, tables())


def _by_case(traces: Iterable[Trace], cases: Iterable[Case]) -> Iterator[CaseTrials]:
    """Traces with their cases; both are in order."""
    known = iter(cases)
    for case_id, group in groupby(traces, key=attrgetter("case_id")):
        case = next((case for case in known if case.id >= case_id), None)
        if case is None or case.id != case_id:
            raise EvalkitError(f"a stored trace is of case `{case_id}`, whose case is gone")
        yield case, tuple(group)
