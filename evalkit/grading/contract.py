"""What a grader is: a frozen dataclass with a name, a version and one ``grade`` method.

The smallest::

    @dataclass(frozen=True)
    class MentionsTicket(Grader):
        name: ClassVar[str] = "mentions_ticket"
        version: ClassVar[str] = "1"

        def grade(self, case: Case, trace: Trace) -> Grade:
            return Grade.check("TCK-" in trace.answer)

A grader that waits for something, such as a model that it asks, writes ``async def grade``.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.abc import InspectLoader
from typing import Any, ClassVar, TypeAlias

from evalkit.errors import GraderError
from evalkit.fingerprint import fingerprint
from evalkit.records import Case, GraderRef, Json, Severity, Trace

__all__ = ["PROJECT_MODULES", "Grade", "Grader", "Grades", "RunGrader", "check_class", "grader_ref"]

PROJECT_MODULES = "evalkit_project_graders."
"""What the module names of a project's own graders begin with."""


@dataclass(frozen=True, slots=True)
class Grade:
    """What a grader returns for one trial."""

    value: float | None
    """The measurement: a share, seconds, dollars."""
    passed: bool | None = None
    """Whether the trial is right by this grader; None where that is no question."""
    label: str = ""
    """The kind of result in one word, for example ``over_refusal``; at most 200 characters."""
    severity: Severity = "none"
    evidence: Mapping[str, Json] = field(default_factory=dict)
    """What a reviewer needs to see why, and no more: a JSON object of at most 16,384 bytes."""
    review: str = ""
    """Why a person should look at it, in a few words of at most 200 characters; empty where nobody needs to."""

    @classmethod
    def check(cls, passed: bool, label: str = "", *, severity: Severity = "none", **evidence: Json) -> Grade:
        """A plain yes or no: the value is 1 or 0. Label and severity say what is wrong, so a pass has neither."""
        return cls(float(passed), passed, "" if passed else label, "none" if passed else severity, evidence)


class Grader(ABC):
    """Base class of graders. Parameters are dataclass fields; the class must not change between calls."""

    name: ClassVar[str]
    """Unique among the graders of a workflow."""
    version: ClassVar[str]
    """Raised whenever the same trace could get another grade."""
    quality: ClassVar[bool] = True
    """True where ``passed`` means that the answer is good: such graders are gated by the margin."""
    deterministic: ClassVar[bool] = True
    """False where the same trace can get another grade each time: a failure of a critical case is then graded again."""
    blind: ClassVar[tuple[str, ...]] = ()
    """What it cannot see, a sentence each: shown with its agreement wherever somebody decides whether to trust it."""
    needs_models: ClassVar[bool] = False
    """Whether ``grade`` takes models as its third argument; see :mod:`evalkit.grading.models`."""
    is_async: ClassVar[bool] = False
    """Whether ``grade`` is ``async def``: found by itself."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.is_async = inspect.iscoroutinefunction(cls.grade)

    @abstractmethod
    def grade(self, case: Case, trace: Trace) -> Grade | Coroutine[Any, Any, Grade | None] | None:
        """Grade a finished trial; None where the grader has nothing to say about the case.

        May be ``async def``: the asynchronous graders of a trial are waited for together, and about several trials
        at once. They are called from one event loop after another, so that connections are made for each loop.
        """

    @classmethod
    def fit(cls, answers: Sequence[tuple[Case, Trace]], labels: Sequence[bool], groups: Sequence[str]) -> str:
        """Text of a file that fits the grader to labels of people, to be given to it as a parameter.

        Args:
            answers: Labelled trials.
            labels: Whether people call each answer good.
            groups: Answers of one group stand together, and are never both fitted and tried.

        Raises:
            ValueError: when the labels are too few.
            NotImplementedError: for a grader that learns nothing, which is most of them.
        """
        raise NotImplementedError

    def models_asked(self) -> tuple[str, ...]:
        """The models that it asks, as ``provider:model``: what they are is part of its fingerprint in a project."""
        return ()


Grades: TypeAlias = "Grade | Sequence[Grade | None] | None"
"""Of the trials of one case: one for all of them, or one for each."""


class RunGrader(Grader):
    """Base class of graders that see several trials together. It has one of two methods.

    With ``grade_case`` it looks at the trials of each case; nothing is kept, and a fault concerns one case. With
    ``grade_run`` it looks at the whole run. Either way there is one row a trial, so that runs are compared case by
    case.
    """

    def grade_case(self, case: Case, traces: Sequence[Trace]) -> Grades:
        """Grade the finished trials of a case, in order of trial: one grade for all of them, or one for each."""
        raise NotImplementedError

    def grade_run(self, cases: Iterable[tuple[Case, Sequence[Trace]]]) -> Iterable[Grades]:
        """Grade a run: one item a case, in order, as :meth:`grade_case` returns it.

        Args:
            cases: Each case with its finished trials, in order of the ids of cases and of trial; cases without any are
                left out. They are read from the disk once, as they are asked for: memory grows with what is kept of
                them, and with one id a trial until their grades are yielded.
        """
        return (self.grade_case(case, traces) for case, traces in cases)

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """The grade of a run of this one trial."""
        found = next(iter(self.grade_run([(case, (trace,))])), None)
        return found if found is None or isinstance(found, Grade) else found[0]

    @classmethod
    def method(cls) -> Callable[..., Any]:
        """The one of the two that the grader has; ``grade_run`` where it has both."""
        return cls.grade_case if cls.grade_run is RunGrader.grade_run else cls.grade_run


def grader_ref(grader: Grader) -> GraderRef:
    """Name, version and fingerprint (with parameters, and the source of a project's own) of a grader.

    Raises:
        GraderError: when the class breaks the contract, or its parameters are not JSON.
    """
    kind: Any = type(grader)
    check_class(kind)
    values = {item.name: getattr(grader, item.name) for item in fields(kind)}
    try:
        digest = fingerprint(
            "grader", {"name": grader.name, "version": grader.version, "params": values, "source": _source(kind)}
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise GraderError(f"a parameter is not JSON: {error}", key=grader.name) from None
    return GraderRef(
        grader.name, grader.version, digest, grader.quality, grader.deterministic, isinstance(grader, RunGrader)
    )


def check_class(kind: type[Grader], file: str | None = None) -> None:
    """Check what the type of a grader's class cannot say.

    Args:
        kind: The class.
        file: Where it comes from, for the error.

    Raises:
        GraderError: when it has no name or no version, or is no frozen dataclass.
    """
    for attribute in ("name", "version"):
        value = getattr(kind, attribute, None)
        if not (isinstance(value, str) and value):
            raise GraderError(
                "a grader needs a name and a version",
                file=file,
                key=kind.__qualname__,
                value=value,
                fix=f'add {attribute}: ClassVar[str] = "..."',
            )
    if not isinstance(kind.deterministic, bool):
        raise GraderError(
            "`deterministic` is True or False",
            file=file, key=kind.__qualname__, value=kind.deterministic, fix="deterministic: ClassVar[bool] = False",
        )  # fmt: skip
    if issubclass(kind, RunGrader):
        _check_run_grader(kind, file)
    if kind.needs_models and not kind.is_async:
        raise GraderError(
            "a grader that asks models waits for them", file=file, key=kind.__qualname__, fix="write `async def grade`"
        )
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        raise GraderError(
            "a grader is a frozen dataclass", file=file, key=kind.__qualname__, fix="add @dataclass(frozen=True)"
        )


def _check_run_grader(kind: type[RunGrader], file: str | None) -> None:
    if kind.method() is RunGrader.grade_case:
        raise GraderError(
            "a grader of runs needs `grade_case` or `grade_run`",
            file=file, key=kind.__qualname__, fix="def grade_case(self, case, traces): ...",
        )  # fmt: skip
    functions = (kind.grade, kind.grade_case, kind.grade_run)
    waits = any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in functions)
    if waits or not kind.deterministic:
        raise GraderError(
            "a grader of runs is deterministic and has no `async def`",
            file=file, key=kind.__qualname__, fix="make what varies or waits a grader of trials",
        )  # fmt: skip


def _source(kind: type) -> str:
    """The text that a project's grader was made from; graders of a distribution state a version instead."""
    module = inspect.getmodule(kind)
    if module is None or not module.__name__.startswith(PROJECT_MODULES):
        return ""
    loader = module.__loader__
    return (loader.get_source(module.__name__) or "") if isinstance(loader, InspectLoader) else ""
