"""For tests of graders: cases and traces in a line, and scores from the one place that calls graders.

::

    from evalkit.testing import grade, make_case, make_grader, make_trace

    def test_an_answer_that_shouts_fails():
        score = grade(make_grader("polite", root=ROOT), make_case("How long?"), make_trace("30 days!!!"))
        assert (score.passed, score.label) == (False, "too_eager")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit.grading import Grader, Grading, RunGrader, grader_ref, make_graders
from evalkit.grading.over_run import grade_run as call_run_grader
from evalkit.records import Case, Document, Expectation, Message, RetrievedDocument, Score, Trace, TraceError

__all__ = ["grade", "grade_run", "make_case", "make_grader", "make_trace"]


def make_grader(name: str, params: Mapping[str, Any] | None = None, *, root: str | Path | None = None) -> Grader:
    """A grader as a run makes it: found by its name, its parameters validated as those of the YAML.

    Args:
        name: Its name.
        params: Its parameters.
        root: The project's folder, for a grader in its ``graders/``; default only installed ones.

    Raises:
        GraderError: for an unknown name or a wrong parameter.
    """
    return make_graders([(name, params or {})], Path(root) if root is not None else None)[0]


def make_case(
    question: str = "How long may I return it?",
    *,
    id: str = "case-1",  # noqa: A002 - the name that the field has
    documents: Iterable[str | Document] = (),
    expect: Mapping[str, Any] | Expectation | None = None,
    **fields: Any,
) -> Case:
    """A case that asks one question.

    Args:
        question: What it asks.
        id: Its id.
        documents: Its context; plain texts become documents ``doc-0``, ``doc-1``...
        expect: What is right: an expectation, or some of its fields.
        **fields: Further fields of :class:`evalkit.records.Case`.
    """
    context = tuple(
        item if isinstance(item, Document) else Document(f"doc-{rank}", item) for rank, item in enumerate(documents)
    )
    right = expect if isinstance(expect, Expectation) else Expectation(**(expect or {}))
    return Case(id, (Message("user", question),), right, context, **fields)


def make_trace(
    answer: str = "",
    *,
    case: Case | None = None,
    trial: int = 0,
    documents: Iterable[str | RetrievedDocument] = (),
    error: str = "",
    **fields: Any,
) -> Trace:
    """The trace of a trial that gave this answer.

    Args:
        answer: The answer.
        case: Whose trial it is; its documents are those that the trial had, unless others are given. Default the case
            that :func:`make_case` makes.
        trial: Index of the repeat.
        documents: What the trial had retrieved; plain texts become documents ``doc-0``, ``doc-1``...
        error: Why the trial did not finish; default it did.
        **fields: Further fields of :class:`evalkit.records.Trace`.
    """
    given: list[str | RetrievedDocument] = list(documents)
    if case is not None and not given:
        given += (RetrievedDocument(item.id, item.text, title=item.title) for item in case.context)
    found = tuple(
        replace(item, rank=rank)
        if isinstance(item, RetrievedDocument)
        else RetrievedDocument(f"doc-{rank}", item, rank=rank)
        for rank, item in enumerate(given)
    )
    return Trace(
        workflow="made",
        case_id=case.id if case is not None else "case-1",
        trial=trial,
        status="error" if error else "ok",
        answer=answer,
        documents=found,
        error=TraceError("made", error) if error else None,
        **fields,
    )  # fmt: skip


def grade(grader: Grader, case: Case, trace: Trace) -> Score:
    """The row that a run stores: by the one place that calls graders, so that a fault is a row with status ``error``.

    Also for asynchronous graders. The trace is taken to be of the case.
    """
    if isinstance(grader, RunGrader):
        return grade_run(grader, [(case, [trace])])[0]
    return Grading([grader]).grade(case, replace(trace, case_id=case.id))[0]


def grade_run(grader: RunGrader, cases: Iterable[tuple[Case, Sequence[Trace]]]) -> list[Score]:
    """The rows of a run that consists of these cases with these trials, which are numbered in their order."""
    items = [
        (case, [replace(trace, case_id=case.id, trial=trial) for trial, trace in enumerate(traces)])
        for case, traces in cases
    ]
    return [row for rows in call_run_grader(grader, grader_ref(grader), items) for row in rows]
