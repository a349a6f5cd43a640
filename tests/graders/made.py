"""Cases and traces made by hand, and the shipped graders as a user gets them: by name, with parameters."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from evalkit.grading import Grader, grade_trial, grader_ref, make_graders
from evalkit.records import (
    Case,
    Expectation,
    ExpectedCall,
    GraderRef,
    Message,
    ModelCall,
    RetrievedDocument,
    Score,
    ToolEvent,
    ToolExpectation,
    ToolSpec,
    Trace,
    Usage,
)


def grader(name: str, **params: Any) -> Grader:
    """A shipped grader by its name."""
    return _made(name, tuple(params.items()))


@cache
def _made(name: str, params: tuple[tuple[str, Any], ...]) -> Grader:
    return make_graders([(name, dict(params))])[0]


def case(
    question: str = "How long may I return it?",
    *,
    critical: bool = False,
    specs: tuple[ToolSpec, ...] = (),
    **expect: Any,
) -> Case:
    """A case with one question, tools of its own and these expectations."""
    return Case("case-1", (Message("user", question),), Expectation(**expect), critical=critical, tools=specs)


def trace(answer: str = "", *, documents: Iterable[str | RetrievedDocument] = (), **fields: Any) -> Trace:
    """A finished trial with this answer; plain texts become documents."""
    found = tuple(
        item if isinstance(item, RetrievedDocument) else RetrievedDocument(f"doc-{rank}", item, rank=rank)
        for rank, item in enumerate(documents)
    )
    return Trace("support", "case-1", 0, "ok", answer=answer, documents=found, **fields)


def score(grader_: Grader, case_: Case, trace_: Trace) -> Score:
    """The row that is stored: by the one place that calls graders."""
    return grade_trial(grader_, _reference(grader_), case_, trace_)


@cache
def _reference(grader_: Grader) -> GraderRef:
    return grader_ref(grader_)


def calls(*made: tuple[str, dict[str, Any]], **fields: Any) -> tuple[ToolEvent, ...]:
    """Tool calls of one step, with these fields beside name and arguments."""
    return tuple(ToolEvent(name, arguments, **fields) for name, arguments in made)


def wants(*path: ExpectedCall, **fields: Any) -> ToolExpectation:
    """One right sequence of calls."""
    return ToolExpectation(alternatives=(path,), **fields)


def model_call(*, usd: float = 0.0, seconds: float = 0.0, tokens: tuple[int, int] = (0, 0), **fields: Any) -> ModelCall:
    """A call of a model with what it cost and how long it took."""
    return ModelCall(
        "some-model",
        cost_microusd=round(usd * 1_000_000),
        latency_us=round(seconds * 1_000_000),
        usage=Usage(*tokens),
        **fields,
    )
