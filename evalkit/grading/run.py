"""The one place that calls graders. Whatever a grader does, there is a row for it."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterable, Sequence

from evalkit.fingerprint import canonical_json, combine
from evalkit.grading.contract import Grade, Grader, grader_ref
from evalkit.records import Case, GraderRef, Score, Trace
from evalkit.text import scrub, scrub_json

__all__ = ["Grading", "grade_trial"]

_MAX_EVIDENCE = 16_384


class Grading:
    """A set of graders, ready to use, with the fingerprint of them together."""

    def __init__(self, graders: Iterable[Grader]) -> None:
        self.graders: tuple[Grader, ...] = tuple(graders)
        self.refs: tuple[GraderRef, ...] = tuple(grader_ref(grader) for grader in self.graders)

    @property
    def fingerprint(self) -> str:
        """Hash of all graders: two runs are comparable when theirs are equal."""
        return combine("grading", ((ref.name, ref.fingerprint) for ref in self.refs))

    def grade(self, case: Case, trace: Trace) -> tuple[Score, ...]:
        """One score a grader, in order."""
        return tuple(grade_trial(grader, ref, case, trace) for grader, ref in zip(self.graders, self.refs, strict=True))


def grade_trial(grader: Grader, ref: GraderRef, case: Case, trace: Trace) -> Score:
    """Grade one trial. A trial that did not finish, and a grader that raises or returns nonsense, is an error row."""
    if trace.status == "error":
        reason = trace.error.message if trace.error else "the trial did not finish"
        return _error(ref, trace, "trial did not finish", scrub(reason)[0])
    try:
        grade = grader.grade(case, trace)
    except Exception as error:  # a grader is somebody's program; its fault must not end the run  # noqa: BLE001
        where = traceback.extract_tb(error.__traceback__)[-1]
        return _error(ref, trace, f"{type(error).__name__}: {error}", f"{where.filename}:{where.lineno}")
    if grade is None:
        return _row(ref, trace, "not_applicable")
    problem = _nonsense(grade)
    if problem is not None:
        return _error(ref, trace, problem, "")
    evidence, _ = scrub_json(dict(grade.evidence))
    return Score(
        case_id=trace.case_id,
        trial=trace.trial,
        grader=ref.name,
        version=ref.version,
        fingerprint=ref.fingerprint,
        status="ok",
        value=None if grade.value is None else float(grade.value),
        passed=grade.passed,
        label=grade.label,
        severity=grade.severity,
        evidence=evidence,
    )


def _nonsense(grade: object) -> str | None:
    if not isinstance(grade, Grade):
        return f"the grader returned {type(grade).__name__}, not a Grade"
    if grade.value is not None and not (isinstance(grade.value, (int, float)) and math.isfinite(grade.value)):
        return f"the grader returned the value {grade.value!r}"
    if grade.value is None and grade.passed is None:
        return "the grader returned neither a value nor passed"
    try:
        size = len(canonical_json(grade.evidence))
    except (TypeError, ValueError) as error:
        return f"the evidence is not JSON: {error}"
    return f"the evidence has {size:,} bytes, the limit is {_MAX_EVIDENCE:,}" if size > _MAX_EVIDENCE else None


def _error(ref: GraderRef, trace: Trace, message: str, where: str) -> Score:
    clean: Sequence[str] = [scrub(message)[0][:2000], scrub(where)[0][:2000]]
    return _row(ref, trace, "error", {"error": clean[0], "where": clean[1]})


def _row(ref: GraderRef, trace: Trace, status: str, evidence: dict[str, str] | None = None) -> Score:
    return Score(
        case_id=trace.case_id,
        trial=trace.trial,
        grader=ref.name,
        version=ref.version,
        fingerprint=ref.fingerprint,
        status=status,  # type: ignore[arg-type]
        evidence=evidence or {},
    )
