"""Calling graders of runs. As with those of trials there is a row for every trial, whatever they do."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, redirect_stdout
from dataclasses import dataclass, field
from itertools import repeat
from typing import TypeAlias

from evalkit.grading.contract import Grade, RunGrader
from evalkit.grading.rows import NonsenseError, TrialId, fault_row, grade_row, unfinished_row
from evalkit.records import Case, GraderRef, Score, Trace

__all__ = ["CaseTrials", "grade_run"]

CaseTrials: TypeAlias = tuple[Case, Sequence[Trace]]
"""A case with its trials, in order."""
_Trials: TypeAlias = list[TrialId | Score]
"""Trials of a case; of those that did not finish their rows."""
_END = object()


def grade_run(grader: RunGrader, ref: GraderRef, cases: Iterable[CaseTrials]) -> Iterator[list[Score]]:
    """Grade a run: for each case, in order, the scores of its trials.

    Of a case whose grades the grader has not yielded yet only the ids of the trials are kept.

    Args:
        grader: The grader.
        ref: Its reference.
        cases: The cases of the run with all their trials. They are read as the grader asks for them.
    """
    if type(grader).method() is type(grader).grade_case:
        return (_grade_case(grader, ref, case, traces) for case, traces in cases)
    return _WholeRun(grader, ref, iter(cases)).rows()


def _grade_case(grader: RunGrader, ref: GraderRef, case: Case, traces: Sequence[Trace]) -> list[Score]:
    trials, finished = _known(ref, traces), tuple(trace for trace in traces if trace.status == "ok")
    if not finished:
        return _graded(grader, ref, trials, None)
    try:
        with redirect_stdout(sys.stderr):
            grades: object = grader.grade_case(case, finished)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a grader is somebody's program  # noqa: BLE001
        return _failed(grader, ref, trials, error)
    return _graded(grader, ref, trials, grades)


@dataclass
class _WholeRun:
    grader: RunGrader
    ref: GraderRef
    cases: Iterator[CaseTrials]
    read: deque[_Trials] = field(default_factory=deque)
    """Cases that the grader has read and not graded: their trials, and rows of those that did not finish."""
    fault: BaseException | None = None
    unreadable: BaseException | None = None

    def rows(self) -> Iterator[list[Score]]:
        due: tuple[_Trials, object] | None = None
        with closing(self._answers()) as answers:
            for answer in answers:
                if not any(map(_finished, self.read)):
                    self.fault = NonsenseError("the grader yielded more than it has read cases")
                    if due is not None:
                        self.read.appendleft(due[0])
                        due = None
                    break
                if due is not None:
                    yield _graded(self.grader, self.ref, *due)
                while not _finished(self.read[0]):
                    yield _graded(self.grader, self.ref, self.read.popleft(), None)
                due = (self.read.popleft(), answer)
        if due is not None:
            yield _graded(self.grader, self.ref, *due)
        fault = self.fault or NonsenseError("the grader ended before the run did")
        while self.read:
            yield _failed(self.grader, self.ref, self.read.popleft(), fault)
        for _, traces in self.cases:
            yield _failed(self.grader, self.ref, _known(self.ref, traces), fault)

    def _answers(self) -> Generator[object, None, None]:
        """What the grader yields; its fault is kept.

        Raises:
            Exception: why the cases cannot be read, which is no fault of the grader.
        """
        try:
            with redirect_stdout(sys.stderr):
                answers = iter(self.grader.grade_run(self._given()))
            while True:
                with redirect_stdout(sys.stderr):
                    answer: object = next(answers, _END)
                if answer is _END:
                    return
                yield answer
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # a grader is somebody's program  # noqa: BLE001
            self.fault = error
        finally:
            if self.unreadable is not None:
                raise self.unreadable

    def _given(self) -> Iterator[CaseTrials]:
        while True:
            try:
                found = next(self.cases, None)
            except BaseException as error:
                self.unreadable = error
                raise
            if found is None:
                return
            case, traces = found
            self.read.append(_known(self.ref, traces))
            finished = tuple(trace for trace in traces if trace.status == "ok")
            if finished:
                yield case, finished


def _known(ref: GraderRef, traces: Sequence[Trace]) -> _Trials:
    return [
        unfinished_row(ref, trace) if trace.status == "error" else TrialId(trace.case_id, trace.trial)
        for trace in traces
    ]


def _finished(trials: _Trials) -> bool:
    return any(isinstance(trial, TrialId) for trial in trials)


def _graded(grader: RunGrader, ref: GraderRef, trials: _Trials, answer: object) -> list[Score]:
    """The rows of a case from what the grader says of its finished trials."""
    ids = [trial for trial in trials if isinstance(trial, TrialId)]
    if answer is None or isinstance(answer, Grade):
        grades: Iterator[object] = repeat(answer)
    elif isinstance(answer, Sequence) and len(answer) == len(ids):
        grades = iter(answer)
    else:
        said = f"{len(answer)} grades" if isinstance(answer, Sequence) else type(answer).__name__
        wanted = f"a Grade, None, or one for each of the {len(ids)} finished trials"
        return _failed(grader, ref, trials, NonsenseError(f"the grader gave {said}, not {wanted}"))
    return [_row(grader, ref, trial, next(grades)) if isinstance(trial, TrialId) else trial for trial in trials]


def _row(grader: RunGrader, ref: GraderRef, trial: TrialId, grade: object) -> Score:
    try:
        return grade_row(ref, trial, grade)
    except NonsenseError as error:
        return fault_row(grader, ref, trial, error)


def _failed(grader: RunGrader, ref: GraderRef, trials: _Trials, fault: BaseException) -> list[Score]:
    return [fault_row(grader, ref, trial, fault) if isinstance(trial, TrialId) else trial for trial in trials]
