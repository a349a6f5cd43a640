"""The row that a grader's answer becomes: checked value by value, so that whatever it returned can be stored."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping
from numbers import Real
from typing import NamedTuple, TypeAlias, get_args

import numpy as np

from evalkit.fingerprint import canonical_json
from evalkit.grading.contract import Grade, Grader, RunGrader
from evalkit.grading.faults import place, said, short_path
from evalkit.records import GraderRef, Json, Score, ScoreStatus, Severity, Trace
from evalkit.text import scrub

__all__ = ["NonsenseError", "Trial", "TrialId", "error_row", "fault_row", "grade_row", "unfinished_row"]

_SEVERITIES: tuple[str, ...] = get_args(Severity)
_MAX_LABEL = 200
_MAX_EVIDENCE = 16_384
_LARGEST = 2**63
_MOST_ESCAPED, _MOST_AROUND = 6, 32
"""Bytes in JSON: most of one ASCII character, most of a number with the quotes, colon and comma of its entry."""


class TrialId(NamedTuple):
    """Which trial a row is of, where its trace is not at hand."""

    case_id: str
    trial: int


Trial: TypeAlias = Trace | TrialId


def unfinished_row(ref: GraderRef, trace: Trace) -> Score:
    """The row of a trial that did not finish."""
    reason = trace.error.message if trace.error else "the trial did not finish"
    return error_row(ref, trace, "trial did not finish", reason)


def fault_row(grader: Grader, ref: GraderRef, trial: Trial, error: BaseException) -> Score:
    """The row of a fault of a grader: what it is, and where."""
    file, line = _source_of(grader)
    if isinstance(error, NonsenseError):
        return error_row(ref, trial, str(error), f"{short_path(file)}:{line}")
    return error_row(ref, trial, said(error), place(error, file))


class NonsenseError(Exception):
    """A grader returned something that is no grade."""


def grade_row(ref: GraderRef, trial: Trial, grade: object) -> Score:
    """The row of a grade, or of None, with every value of the type that the store has for it.

    Raises:
        NonsenseError: when a value has another type, is not finite or is too large.
    """
    if grade is None:
        return _row(ref, trial, "not_applicable")
    if not isinstance(grade, Grade):
        if inspect.iscoroutine(grade):
            grade.close()
            raise NonsenseError("the grader returned a coroutine: write `async def grade`")
        raise NonsenseError(f"the grader returned {type(grade).__name__}, not a Grade")
    if grade.value is None and grade.passed is None:
        raise NonsenseError("the grader returned neither a value nor passed")
    if not (grade.passed is None or isinstance(grade.passed, (bool, np.bool_))):
        raise NonsenseError(f"`passed` is {grade.passed!r}, not True, False or None")
    for what, text in (("label", grade.label), ("review", grade.review)):
        if not (isinstance(text, str) and len(text) <= _MAX_LABEL):
            raise NonsenseError(f"the {what} is no text of at most {_MAX_LABEL} characters: {text!r}")
    if grade.severity not in _SEVERITIES:
        raise NonsenseError(f"the severity is {grade.severity!r}, not one of {', '.join(_SEVERITIES)}")
    return Score(
        trial.case_id,
        trial.trial,
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
    raise NonsenseError(f"the grader returned the value {value!r}, not a finite number")


def _evidence(evidence: object) -> dict[str, Json]:
    if type(evidence) is dict and _is_small_and_flat(evidence):
        return {key: evidence[key] for key in sorted(evidence)}
    if not (isinstance(evidence, Mapping) and all(isinstance(key, str) for key in evidence)):
        raise NonsenseError("the evidence is not JSON: give a mapping with text as keys")
    try:
        text = canonical_json(evidence)
    except (TypeError, ValueError, RecursionError) as error:
        raise NonsenseError(f"the evidence is not JSON: {error}") from None
    if len(text) > _MAX_EVIDENCE:
        raise NonsenseError(f"the evidence has {len(text):,} bytes, the limit is {_MAX_EVIDENCE:,}")
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
    """File and line of the grader's own method; its module where that is no plain function."""
    method = type(grader).method() if isinstance(grader, RunGrader) else type(grader).grade
    code = getattr(inspect.unwrap(method), "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code else (type(grader).__module__, 0)


def error_row(ref: GraderRef, trial: Trial, message: str, where: str) -> Score:
    """The row of an error."""
    return _row(ref, trial, "error", {"error": scrub(message)[0][:2000], "where": scrub(where)[0][:2000]})


def _row(ref: GraderRef, trial: Trial, status: ScoreStatus, evidence: Mapping[str, Json] | None = None) -> Score:
    return Score(
        case_id=trial.case_id,
        trial=trial.trial,
        grader=ref.name,
        version=ref.version,
        fingerprint=ref.fingerprint,
        status=status,
        evidence=evidence or {},
    )
