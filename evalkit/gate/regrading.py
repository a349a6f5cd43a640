"""Failures of critical cases by graders that may say something else of the same answer the next time.

Such a grader is asked three times more about the very same trace, never about a new answer: that would forgive a
violation that happens now and then. What it says is kept (:mod:`evalkit.store.regrades`), so that judging again gives
the same verdict, and a failure that was found once counts when the trial is made again under the same key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from evalkit.gate.failures import failing_scores
from evalkit.gate.golden import GoldenCases
from evalkit.grading import Grading
from evalkit.grading.run import Asked, grade_each
from evalkit.records import GraderRef, Score
from evalkit.stats.critical import REGRADES
from evalkit.store.regrades import Regrade, known_regrades, read_regrades, write_regrades
from evalkit.store.runs import RunFolder, Runs
from evalkit.store.segments import read_rows

__all__ = ["Doubt", "grade_failures_again", "read_doubts", "varying_graders"]

_Output = tuple[str, str]
"""Key of a trial and the run that executed it."""


@dataclass(frozen=True)
class Doubt:
    """A failure by a grader that may say something else, and what it said when it was asked again."""

    case_id: str
    trial: int
    grader: str
    regraded: int
    refailed: int
    source_run: str
    """The run that executed the trial: another than that of the run's own trial where it was made again since."""


def varying_graders(graders: Sequence[GraderRef]) -> tuple[GraderRef, ...]:
    """Quality graders that may say something else of the same trace."""
    return tuple(ref for ref in graders if ref.quality and not ref.deterministic)


def read_doubts(folder: RunFolder, case_ids: Sequence[str]) -> list[Doubt]:
    """The failures of some cases by graders that vary, in order.

    Raises:
        StoreError: when a segment cannot be read.
    """
    run = folder.run
    said: dict[tuple[str, str, str], list[Regrade]] = {}
    for item in read_regrades(folder, run.grading):
        said.setdefault(item.output, []).append(item)
    doubts = []
    for score, (key, source) in _failures(folder, case_ids):
        items = said.pop((key, source, score.fingerprint), [])
        doubts.append(_doubt(score, source, items))
    asked = frozenset(case_ids)
    doubts += [
        _doubt(items[0].score, items[0].source_run, items) for items in said.values() if items[0].score.case_id in asked
    ]
    return sorted(doubts, key=lambda item: (item.case_id, item.trial, item.grader, item.source_run))


def _doubt(score: Score, source: str, items: Sequence[Regrade]) -> Doubt:
    told = [item.score.passed for item in items if _tells(item)]
    return Doubt(score.case_id, score.trial, score.grader, len(told), told.count(False), source)


def _tells(item: Regrade) -> bool:
    """Whether it is an opinion: neither an error nor that the grader does not apply."""
    return item.score.status == "ok" and item.score.passed is not None


def _failures(folder: RunFolder, case_ids: Sequence[str]) -> list[tuple[Score, _Output]]:
    """Failing scores of graders that vary, each with its output."""
    run = folder.run
    varying = {ref.name for ref in varying_graders(run.graders)}
    if not varying or not len(case_ids):
        return []
    scores = failing_scores(folder, run.grading, case_ids, varying)
    outputs = _outputs(folder, sorted({score.case_id for score in scores}))
    return [(score, outputs[score.case_id, score.trial]) for score in scores]


def _outputs(folder: RunFolder, case_ids: Sequence[str]) -> dict[tuple[str, int], _Output]:
    """Key and executing run of each trial of some cases."""
    if not case_ids:
        return {}
    rows = read_rows(folder.trials_path, case_ids).select(["case_id", "trial", "trial_key", "source_run"]).to_pylist()
    return {(row["case_id"], row["trial"]): (row["trial_key"], row["source_run"]) for row in rows}


def grade_failures_again(
    runs: Runs,
    folder: RunFolder,
    baseline: RunFolder | None,
    golden: GoldenCases,
    grading: Callable[[], Grading],
) -> None:
    """Ask graders that vary three times more about each answer to a critical case that they failed.

    What was said of the same output in any run of the store counts. So do failures that earlier runs of the candidate
    found in trials which this one has made again, but not those of the baseline as it is. Where the graders have
    changed since, nobody can be asked, and the failures stay open.

    Args:
        runs: The store.
        folder: The run to judge.
        baseline: What it is compared with.
        golden: Its cases, masked as they were.
        grading: Makes the graders as they are now.

    Raises:
        StoreError: when a segment cannot be read.
        GraderError: when a grader is not there any more.
    """
    run = folder.run
    varying = varying_graders(run.graders)
    if not varying:
        return
    columns = golden.columns()
    critical = columns.ids.filter(pa.array(columns.critical)).to_pylist()
    failures = _failures(folder, critical)
    known = known_regrades(runs)
    kept = _of_earlier_trials(known, folder, baseline, critical, {ref.fingerprint for ref in varying})
    open_failures = []
    for score, output in failures:
        items = known.get((*output, score.fingerprint), [])
        kept += items
        missing = REGRADES - sum(map(_tells, items))
        if missing > 0:
            open_failures.append((score, output, len(items), missing))
    if open_failures:
        made = grading()
        if made.fingerprint == run.grading:
            kept += _asked(made, folder, golden, open_failures)
    if len(kept) > len(read_regrades(folder, run.grading)):
        write_regrades(folder, run.grading, kept)


def _of_earlier_trials(
    known: dict[tuple[str, str, str], list[Regrade]],
    folder: RunFolder,
    baseline: RunFolder | None,
    critical: Sequence[str],
    graders: set[str],
) -> list[Regrade]:
    """What was said of trials of the candidate that have been made again since."""
    if not known:
        return []
    mine = dict(_outputs(folder, critical).values())
    theirs = {key for key, _ in _outputs(baseline, critical).values()} if baseline is not None else set()
    return [
        item
        for (key, source, grader), items in known.items()
        if grader in graders and key in mine and mine[key] != source and key not in theirs
        for item in items
    ]


def _asked(
    grading: Grading,
    folder: RunFolder,
    golden: GoldenCases,
    failures: Sequence[tuple[Score, _Output, int, int]],
) -> list[Regrade]:
    """Ask the graders of some failures again, so many times each, about the stored trace."""
    names = sorted({score.case_id for score, *_ in failures})
    cases = golden.load(names)
    graders = {ref.name: (grader, ref) for grader, ref in zip(grading.graders, grading.refs, strict=True)}
    wanted: dict[tuple[str, int], list[tuple[Score, _Output, int, int]]] = {}
    for failure in failures:
        wanted.setdefault((failure[0].case_id, failure[0].trial), []).append(failure)
    asked: list[Asked] = []
    places: list[tuple[_Output, int]] = []
    for trace in folder.traces(names):
        for score, output, begin, missing in wanted.get((trace.case_id, trace.trial), []):
            grader, ref = graders[score.grader]
            asked += [(grader, ref, cases[trace.case_id], trace)] * missing
            places += [(output, attempt) for attempt in range(begin, begin + missing)]
    again = grade_each(asked, grading.models, [attempt for _, attempt in places])
    return [Regrade(score, *output, attempt) for score, (output, attempt) in zip(again, places, strict=True)]
