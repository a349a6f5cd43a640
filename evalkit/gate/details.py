"""Every case of a verdict as a report shows it, read from the stored runs: columns of all, texts some cases at a time.

A verdict keeps the cases that changed, each with its first trial. A reader who looks for more finds it here: all cases
with what each grader said before and now, all trials with their traces and scores, and how earlier runs came out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit import codec
from evalkit.gate.cases import CaseStatuses, case_statuses
from evalkit.gate.evidence import Evidence, load_evidence
from evalkit.gate.golden import StoredCases
from evalkit.gate.past_runs import PastRun, read_past_runs
from evalkit.gate.verdict import CaseStatus
from evalkit.gate.words import UNITS
from evalkit.records import Case, Score, Trace
from evalkit.store.arrays import codes_of, one_array, take
from evalkit.store.cases import iter_cases_of, load_case_columns
from evalkit.store.runs import RunFolder
from evalkit.store.schema import table_scores
from evalkit.store.segments import read_rows

__all__ = [
    "CaseDetails",
    "CaseIndex",
    "CaseRecord",
    "GraderColumn",
    "KeyColumn",
    "PastRun",
    "StoredDetails",
    "TrialRecord",
]

_TOGETHER = 2_048
"""Cases whose traces and scores are in memory at a time."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class GraderColumn:
    """What a grader says of each case before and now; NaN where it says nothing.

    A quality grader gives the share of the case's trials that passed, another one the mean of what it measured,
    in ``unit``.
    """

    grader: str
    quality: bool
    unit: str
    before: Floats
    now: Floats


@dataclass(frozen=True)
class KeyColumn:
    """A key by which cases are told apart: for each case the position of its value, -1 where it has none."""

    key: str
    values: Sequence[str]
    codes: NDArray[np.int32]


@dataclass(frozen=True)
class CaseIndex:
    """All cases in order of their ids, column by column."""

    ids: Sequence[str]
    statuses: NDArray[np.int64]
    """Position of each case's status in ``status_names``."""
    status_names: Sequence[CaseStatus]
    order: NDArray[np.intp]
    """Positions of the cases, the worst first."""
    critical: Flags
    touched: Flags
    """Trials were made anew: they are not the very ones of the baseline."""
    failing: Flags
    """A quality grader says that not every trial of the candidate is good."""
    trials: NDArray[np.int32]
    """Of the candidate."""
    questions: Sequence[str]
    graders: Sequence[GraderColumn]
    keys: Sequence[KeyColumn]
    """Slices, and the route that was taken."""
    compared: bool = True
    """False where there is nothing to compare with: nothing is known of before."""
    past: Sequence[PastRun] = ()
    """Earlier runs, oldest first."""


@dataclass(frozen=True)
class TrialRecord:
    """A trial and what was said of it."""

    trace: Trace
    scores: Sequence[Score]


@dataclass(frozen=True)
class CaseRecord:
    """A case with all its trials on both sides."""

    case_id: str
    case: Case | None
    """None where the candidate's golden set does not have it."""
    before: Sequence[TrialRecord] = ()
    now: Sequence[TrialRecord] = ()


class CaseDetails(Protocol):
    """Where a report finds every case of a verdict."""

    @property
    def index(self) -> CaseIndex:
        """All cases, column by column.

        Raises:
            StoreError: when a run cannot be read.
        """
        ...

    def records(self, case_ids: Sequence[str]) -> Iterator[CaseRecord]:
        """Some cases whole, in order of their ids; memory does not grow with their number.

        Raises:
            StoreError: when a run cannot be read.
        """
        ...


@dataclass(frozen=True)
class StoredDetails:
    """See :class:`CaseDetails`; from the store.

    Args:
        root: The store.
        candidate: The run that was judged, with the grading that counts.
        baseline: What it was compared with; None where nothing was.
        past: Earlier runs to show beside it, oldest first.
        accepted: Ids of the runs that are in the baseline.
    """

    root: Path
    candidate: RunFolder
    baseline: RunFolder | None
    past: Sequence[RunFolder] = ()
    accepted: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def index(self) -> CaseIndex:
        """See :class:`CaseDetails`."""
        run = self.candidate.run
        evidence = load_evidence(
            self.candidate,
            self.baseline or self.candidate,
            StoredCases(self.root, run.golden_set, run.redaction),
            measured=[ref.name for ref in run.graders if not ref.quality],
        )
        statuses = case_statuses(evidence)
        codes = statuses.codes if self.baseline else _alone(statuses)
        return CaseIndex(
            ids=evidence.axis.ids.to_pylist(),
            statuses=codes,
            status_names=statuses.names,
            order=CaseStatuses(codes, statuses.critical, statuses.failing, statuses.drop).worst_first(
                np.arange(len(codes))
            ),
            critical=statuses.critical,
            touched=evidence.touched,
            failing=statuses.failing,
            trials=evidence.trials,
            questions=self._questions(evidence),
            graders=_grader_columns(evidence, compared=self.baseline is not None),
            keys=[*_slice_columns(evidence), *self._routes(evidence)],
            compared=self.baseline is not None,
            past=read_past_runs(self.past, run, evidence.axis, self.accepted),
        )

    def records(self, case_ids: Sequence[str]) -> Iterator[CaseRecord]:
        """See :class:`CaseDetails`."""
        wanted = sorted(case_ids)
        run = self.candidate.run
        cases = iter_cases_of(self.root, run.golden_set, run.redaction, frozenset(wanted))
        case = next(cases, None)
        for start in range(0, len(wanted), _TOGETHER):
            names = wanted[start : start + _TOGETHER]
            now = _Trials(self.candidate, run.grading, names)
            before = _Trials(self.baseline, run.grading, names, now) if self.baseline is not None else None
            for name in names:
                while case is not None and case.id < name:
                    case = next(cases, None)
                mine = case if case is not None and case.id == name else None
                yield CaseRecord(name, mine, before.of(name) if before else (), now.of(name))

    def _questions(self, evidence: Evidence) -> list[str]:
        """The last user turn of each case, empty where the candidate's golden set does not have the case."""
        run = self.candidate.run
        table = load_case_columns(self.root, run.golden_set, run.redaction, ["id", "input"])
        turns = one_array(table.column("input"), table.column("input").type)
        ends = turns.offsets.to_pylist()
        roles = turns.values.field("role").to_pylist()
        contents = turns.values.field("content")
        asked = [
            next((place for place in range(end - 1, start - 1, -1) if roles[place] == "user"), None)
            for start, end in pairwise(ends)
        ]
        texts = iter(take(contents, np.array([place for place in asked if place is not None], np.int64)).to_pylist())
        found = [""] * len(evidence.axis)
        for row, place in zip(evidence.axis.positions(table.column("id").combine_chunks()), asked, strict=True):
            found[row] = "" if place is None else next(texts) or ""
        return found

    def _routes(self, evidence: Evidence) -> list[KeyColumn]:
        """The route that the first trial of each case took."""
        table = self.candidate.trials(["case_id", "trial", "route"]).combine_chunks()
        routes, names = codes_of(one_array(table.column("route"), pa.string()))
        cases, ids = codes_of(one_array(table.column("case_id"), pa.string()))
        places = {name: place for place, name in enumerate(evidence.axis.ids.to_pylist())}
        of_case = np.asarray([places[name or ""] for name in ids], np.intp)[cases]
        found = np.full(len(evidence.axis), -1, np.int32)
        found[of_case[::-1]] = routes[::-1]  # the first row of a case is written last, and stays
        empty = names.index("") if "" in names else None
        found[found == empty] = -1
        values = [name or "" for name in names]
        return [KeyColumn("route", values, found)] if len(values) > 1 and (found >= 0).any() else []


class _Trials:
    """The trials of some cases of a run. Those that another one holds as well are taken from it."""

    def __init__(self, folder: RunFolder, grading: str, case_ids: Sequence[str], other: _Trials | None = None) -> None:
        rows = read_rows(folder.path / "traces.parquet", case_ids).select(["case_id", "trace_json"]).to_pydict()
        self._texts: dict[str, list[str]] = {}
        for name, text in zip(rows["case_id"], rows["trace_json"], strict=True):
            self._texts.setdefault(name, []).append(text)
        scores = read_rows(folder.scores_path(grading), case_ids)
        self._scores = {
            key: list(found)
            for key, found in groupby(
                sorted(table_scores(scores), key=lambda score: (score.case_id, score.trial, score.grader)),
                key=lambda score: (score.case_id, score.trial),
            )
        }
        self._other = other
        self._made: dict[str, list[TrialRecord]] = {}

    def of(self, case_id: str) -> list[TrialRecord]:
        """All trials of a case in order; the very same list where the other run holds just these."""
        if case_id not in self._made:
            texts = self._texts.get(case_id, [])
            if self._other is not None and self._other._texts.get(case_id) == texts:
                self._made[case_id] = self._other.of(case_id)
            else:
                traces = sorted((codec.decode(Trace, text) for text in texts), key=lambda trace: trace.trial)
                self._made[case_id] = [
                    TrialRecord(trace, self._scores.get((case_id, trace.trial), [])) for trace in traces
                ]
        return self._made[case_id]


def _alone(statuses: CaseStatuses) -> NDArray[np.int64]:
    """Where nothing is compared, cases are new or have an error."""
    error, new = statuses.names.index("error"), statuses.names.index("new")
    return np.where(statuses.codes == error, error, new)


def _grader_columns(evidence: Evidence, *, compared: bool) -> list[GraderColumn]:
    quality = evidence.quality
    nothing = np.full(len(evidence.axis), np.nan)
    columns = []
    for name, item in evidence.pairs.items():
        good = name in quality
        before, now = (
            np.where(side.table.tells[side.codes], side.rate, np.nan) if good else side.value
            for side in (item.before, item.now)
        )
        unit = "share" if good else UNITS.get(name, "")
        columns.append(GraderColumn(name, good, unit, before if compared else nothing, now))
    return sorted(columns, key=lambda column: (not column.quality, column.grader))


def _slice_columns(evidence: Evidence) -> list[KeyColumn]:
    return [
        KeyColumn(key, item.values, item.codes)
        for key, item in sorted(evidence.columns.slices.items())
        if not item.names_cases
    ]
