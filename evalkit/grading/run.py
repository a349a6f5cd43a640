"""The one place that calls graders. Whatever a grader does, there is a row for it."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import sys
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from functools import cached_property
from numbers import Real
from typing import TypeAlias, cast, get_args

import numpy as np

from evalkit.errors import BudgetError
from evalkit.fingerprint import canonical_json, combine
from evalkit.grading.contract import Grade, Grader, grader_ref
from evalkit.grading.faults import place, said, short_path
from evalkit.grading.loops import all_of, run_apart
from evalkit.records import Case, GraderRef, Json, Score, ScoreStatus, Severity, Trace
from evalkit.text import scrub

__all__ = ["Asked", "Grading", "grade_each", "grade_trial", "grade_trial_async"]

Asked: TypeAlias = tuple[Grader, GraderRef, Case, Trace]
"""A grader that is asked about a trial."""

_SEVERITIES: tuple[str, ...] = get_args(Severity)
_MAX_LABEL = 200
_MAX_EVIDENCE = 16_384
_LARGEST = 2**63
_MOST_ESCAPED, _MOST_AROUND = 6, 32
"""Bytes in JSON: most of one ASCII character, most of a number with the quotes, colon and comma of its entry."""


class Grading:
    """A set of graders, ready to use, with the fingerprint of them together."""

    def __init__(self, graders: Iterable[Grader]) -> None:
        self.graders: tuple[Grader, ...] = tuple(graders)
        self.refs: tuple[GraderRef, ...] = tuple(grader_ref(grader) for grader in self.graders)
        self.is_async: bool = any(grader.is_async for grader in self.graders)
        """Whether one of them waits for something, so that a trial must be kept before it is graded."""

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all graders: two runs are comparable when theirs are equal."""
        return combine("grading", ((ref.name, ref.fingerprint) for ref in self.refs))

    def grade(self, case: Case, trace: Trace) -> tuple[Score, ...]:
        """One score a grader, in order. What a grader prints goes to standard error: results are on the other.

        Raises:
            BudgetError: when an asynchronous grader's budget is spent.
        """
        if self.is_async:
            return tuple(self.grade_all([(case, trace)]))
        with redirect_stdout(sys.stderr):
            return tuple(
                grade_trial(grader, ref, case, trace) for grader, ref in zip(self.graders, self.refs, strict=True)
            )

    async def grade_async(self, case: Case, trace: Trace) -> tuple[Score, ...]:
        """One score a grader, in order; asynchronous graders are waited for together.

        What graders print is not redirected: whoever runs the loop does that.

        Raises:
            BudgetError: when the budget of one is spent; the others are cancelled.
            CancelledError: when the caller is cancelled.
        """
        rows: list[Score | None] = []
        waiting: list[tuple[int, Awaitable[Score]]] = []
        for grader, ref in zip(self.graders, self.refs, strict=True):
            if grader.is_async:
                waiting.append((len(rows), grade_trial_async(grader, ref, case, trace)))
                rows.append(None)
            else:
                rows.append(grade_trial(grader, ref, case, trace))
        for (place_of, _), row in zip(waiting, await all_of([work for _, work in waiting]), strict=True):
            rows[place_of] = row
        return tuple(cast(list[Score], rows))

    def grade_all(self, trials: Iterable[tuple[Case, Trace]]) -> list[Score]:
        """The scores of some trials, in the order of trials and in it of graders.

        Asynchronous graders are waited for in an event loop of their own, about several trials at once.

        Raises:
            BudgetError: when the budget of one is spent.
        """
        return grade_each([
            (grader, ref, case, trace)
            for case, trace in trials
            for grader, ref in zip(self.graders, self.refs, strict=True)
        ])  # fmt: skip


def grade_each(asked: Sequence[Asked]) -> list[Score]:
    """Ask graders about trials, in order; asynchronous ones in an event loop of their own, several at once.

    Raises:
        BudgetError: when the budget of one is spent.
    """
    with redirect_stdout(sys.stderr):
        if not any(grader.is_async for grader, *_ in asked):
            return [grade_trial(*each) for each in asked]
        return run_apart(_each(asked))


async def _each(asked: Sequence[Asked]) -> list[Score]:
    rows = [None if each[0].is_async else grade_trial(*each) for each in asked]
    waited = iter(await all_of(grade_trial_async(*each) for each in asked if each[0].is_async))
    return [next(waited) if row is None else row for row in rows]


def grade_trial(grader: Grader, ref: GraderRef, case: Case, trace: Trace) -> Score:
    """Grade one trial. A trial that did not finish, and a grader that raises or returns nonsense, is an error row."""
    if trace.status == "error":
        return _unfinished(ref, trace)
    try:
        grade: object = grader.grade(case, trace)
        return _row(ref, trace, "not_applicable") if grade is None else _ok(ref, trace, grade)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a grader is somebody's program; its fault must not end the run  # noqa: BLE001
        return _failed(grader, ref, trace, error)


async def grade_trial_async(grader: Grader, ref: GraderRef, case: Case, trace: Trace) -> Score:
    """As :func:`grade_trial`, for an asynchronous grader.

    Raises:
        BudgetError: when the grader's budget is spent: that concerns every trial.
        CancelledError: when whoever waits is cancelled; one of the grader's own is an error row.
    """
    if trace.status == "error":
        return _unfinished(ref, trace)
    try:
        grade: object = await cast(Awaitable[object], grader.grade(case, trace))
        return _row(ref, trace, "not_applicable") if grade is None else _ok(ref, trace, grade)
    except (KeyboardInterrupt, BudgetError):
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return _failed(grader, ref, trace, error)
    except BaseException as error:  # as above  # noqa: BLE001
        return _failed(grader, ref, trace, error)


def _unfinished(ref: GraderRef, trace: Trace) -> Score:
    reason = trace.error.message if trace.error else "the trial did not finish"
    return _error(ref, trace, "trial did not finish", reason)


def _failed(grader: Grader, ref: GraderRef, trace: Trace, error: BaseException) -> Score:
    file, line = _source_of(grader)
    if isinstance(error, _NonsenseError):
        return _error(ref, trace, str(error), f"{short_path(file)}:{line}")
    return _error(ref, trace, said(error), place(error, file))


class _NonsenseError(Exception):
    """A grader returned something that is no grade."""


def _ok(ref: GraderRef, trace: Trace, grade: object) -> Score:
    """The row of a grade, with every value of the type that the store has for it.

    Raises:
        _NonsenseError: when a value has another type, is not finite or is too large.
    """
    if not isinstance(grade, Grade):
        if inspect.iscoroutine(grade):
            grade.close()
            raise _NonsenseError("the grader returned a coroutine: write `async def grade`")
        raise _NonsenseError(f"the grader returned {type(grade).__name__}, not a Grade")
    if grade.value is None and grade.passed is None:
        raise _NonsenseError("the grader returned neither a value nor passed")
    if not (grade.passed is None or isinstance(grade.passed, (bool, np.bool_))):
        raise _NonsenseError(f"`passed` is {grade.passed!r}, not True, False or None")
    for what, text in (("label", grade.label), ("review", grade.review)):
        if not (isinstance(text, str) and len(text) <= _MAX_LABEL):
            raise _NonsenseError(f"the {what} is no text of at most {_MAX_LABEL} characters: {text!r}")
    if grade.severity not in _SEVERITIES:
        raise _NonsenseError(f"the severity is {grade.severity!r}, not one of {', '.join(_SEVERITIES)}")
    return Score(
        trace.case_id,
        trace.trial,
        ref.name,
        ref.version,
        ref.fingerprint,
        "ok",
        value=_value(grade.value),
        passed=None if grade.passed is None else bool(grade.passed),
        label=scrub(grade.label)[0],
        severity=grade.severity,
        evidence=_evidence(grade.evidence),
        review=scrub(grade.review)[0],
    )


def _value(value: object) -> float | None:
    if value is None:
        return None
    if type(value) is float and math.isfinite(value):
        return value
    try:
        if isinstance(value, Real) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise _NonsenseError(f"the grader returned the value {value!r}, not a finite number")


def _evidence(evidence: object) -> dict[str, Json]:
    if type(evidence) is dict and _is_small_and_flat(evidence):
        return {key: evidence[key] for key in sorted(evidence)}
    if not (isinstance(evidence, Mapping) and all(isinstance(key, str) for key in evidence)):
        raise _NonsenseError("the evidence is not JSON: give a mapping with text as keys")
    try:
        text = canonical_json(evidence)
    except (TypeError, ValueError, RecursionError) as error:
        raise _NonsenseError(f"the evidence is not JSON: {error}") from None
    if len(text) > _MAX_EVIDENCE:
        raise _NonsenseError(f"the evidence has {len(text):,} bytes, the limit is {_MAX_EVIDENCE:,}")
    clean: dict[str, Json] = json.loads(scrub(text.decode("utf-8", "surrogatepass"))[0])
    return clean


def _is_small_and_flat(evidence: dict[object, object]) -> bool:
    """Whether this is, to be seen at once, JSON within the limit that comes back from its text as it is."""
    size = 2
    for key, value in evidence.items():
        if type(key) is not str or not key.isascii():
            return False
        if type(value) is str and value.isascii():
            size += len(value) * _MOST_ESCAPED
        elif not (
            value is None
            or type(value) is bool
            or (type(value) is int and -_LARGEST <= value <= _LARGEST)
            or (type(value) is float and math.isfinite(value))
        ):
            return False
        size += len(key) * _MOST_ESCAPED + _MOST_AROUND
    return size <= _MAX_EVIDENCE


def _source_of(grader: Grader) -> tuple[str, int]:
    """File and line of the grader's ``grade``; its module where that is no plain function."""
    code = getattr(inspect.unwrap(type(grader).grade), "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code else (type(grader).__module__, 0)


def _error(ref: GraderRef, trace: Trace, message: str, where: str) -> Score:
    return _row(ref, trace, "error", {"error": scrub(message)[0][:2000], "where": scrub(where)[0][:2000]})


def _row(ref: GraderRef, trace: Trace, status: ScoreStatus, evidence: Mapping[str, Json] | None = None) -> Score:
    return Score(
        case_id=trace.case_id,
        trial=trace.trial,
        grader=ref.name,
        version=ref.version,
        fingerprint=ref.fingerprint,
        status=status,
        evidence=evidence or {},
    )
