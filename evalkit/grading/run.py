"""The one place that calls graders. Whatever a grader does, there is a row for it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Container, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, cast

from evalkit.errors import BudgetError, GraderError
from evalkit.fingerprint import combine, fingerprint
from evalkit.grading.contract import Grader, RunGrader, grader_ref
from evalkit.grading.loops import all_of, run_apart
from evalkit.grading.models import AskedAgain, GraderModels, ModelSource
from evalkit.grading.rows import fault_row, grade_row, unfinished_row
from evalkit.records import Case, GraderRef, Json, Score, Trace

__all__ = ["Asked", "Grading", "Recipe", "grade_each", "grade_trial", "grade_trial_async"]

Asked: TypeAlias = tuple[Grader, GraderRef, Case, Trace]
"""A grader that is asked about a trial."""


@dataclass(frozen=True)
class Recipe:
    """Graders by name."""

    wanted: tuple[tuple[str, Mapping[str, Json]], ...]
    """Names and parameters, in order."""
    root: Path | None = None
    """The project's folder."""


class Grading:
    """A set of graders, ready to use, with the fingerprint of them together."""

    def __init__(
        self, graders: Iterable[Grader], recipe: Recipe | None = None, models: ModelSource | None = None
    ) -> None:
        self.recipe = recipe
        """How to make the same graders in another process; None where nobody has said."""
        self.models = models
        """Where graders that need models get at them."""
        self.graders: tuple[Grader, ...] = tuple(graders)
        self.refs: tuple[GraderRef, ...] = tuple(_ref(grader, models) for grader in self.graders)
        both = tuple(zip(self.graders, self.refs, strict=True))
        self.of_trials = tuple(pair for pair in both if not isinstance(pair[0], RunGrader))
        """Graders that look at one trial at a time, each with its reference."""
        self.of_runs = tuple((grader, ref) for grader, ref in both if isinstance(grader, RunGrader))
        """Graders that look at a run, each with its reference; see :func:`evalkit.grading.over_run.grade_run`."""
        self.is_async: bool = any(grader.is_async for grader in self.graders)
        """Whether one of them waits for something, so that a trial must be kept before it is graded."""

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all graders: two runs are comparable when theirs are equal."""
        return combine("grading", ((ref.name, ref.fingerprint) for ref in self.refs))

    def grade(self, case: Case, trace: Trace) -> tuple[Score, ...]:
        """One score a grader of trials, in order. What it prints goes to standard error.

        Raises:
            BudgetError: when an asynchronous grader's budget is spent.
        """
        if self.is_async:
            return tuple(self.grade_all([(case, trace)]))
        with redirect_stdout(sys.stderr):
            return tuple(grade_trial(grader, ref, case, trace) for grader, ref in self.of_trials)

    def only(self, names: Container[str]) -> Grading:
        """Some of the graders."""
        recipe = self.recipe and Recipe(
            tuple(item for item in self.recipe.wanted if item[0] in names), self.recipe.root
        )
        return Grading((grader for grader in self.graders if grader.name in names), recipe, self.models)

    async def grade_async(
        self,
        case: Case,
        trace: Trace,
        known: Sequence[Score] | None = None,
        models: GraderModels | None = None,
    ) -> tuple[Score, ...]:
        """One score a grader of trials, in order; asynchronous graders are waited for together.

        What graders print is not redirected: whoever runs the loop does that.

        Args:
            case: The case.
            trace: Its trial.
            known: The rows of the graders that are not asynchronous, where they are made already.
            models: A session of :attr:`models`, for graders that need them.

        Raises:
            BudgetError: when the budget of one is spent; the others are cancelled.
            CancelledError: when the caller is cancelled.
        """
        plain = None if known is None else iter(known)
        rows: list[Score | None] = []
        waiting: list[tuple[int, Awaitable[Score]]] = []
        for grader, ref in self.of_trials:
            if grader.is_async:
                waiting.append((len(rows), grade_trial_async(grader, ref, case, trace, models)))
                rows.append(None)
            else:
                rows.append(grade_trial(grader, ref, case, trace) if plain is None else next(plain))
        for (place_of, _), row in zip(waiting, await all_of([work for _, work in waiting]), strict=True):
            rows[place_of] = row
        return tuple(cast(list[Score], rows))

    def with_waiting(self, trials: Sequence[tuple[Case, Trace]], known: Sequence[Sequence[Score]]) -> list[Score]:
        """The scores of some trials in order, of which those of the graders that are not asynchronous are known."""
        asked = [
            (grader, ref, case, trace) for case, trace in trials for grader, ref in self.of_trials if grader.is_async
        ]
        waited = iter(grade_each(asked, self.models))
        rows: list[Score] = []
        for plain in map(iter, known):
            rows += (next(waited if grader.is_async else plain) for grader, _ in self.of_trials)
        return rows

    def grade_all(self, trials: Iterable[tuple[Case, Trace]]) -> list[Score]:
        """The scores of some trials, in the order of trials and in it of graders.

        Asynchronous graders are waited for in an event loop of their own, about several trials at once.

        Raises:
            BudgetError: when the budget of one is spent.
        """
        return grade_each([
            (grader, ref, case, trace)
            for case, trace in trials
            for grader, ref in self.of_trials
        ], self.models)  # fmt: skip


def _ref(grader: Grader, models: ModelSource | None) -> GraderRef:
    """What a grader is in a project: another model behind the name that it asks is another grader.

    Raises:
        GraderError: when it does not say which models it asks.
        ConfigError: when one of them is not declared.
    """
    ref = grader_ref(grader)
    if models is None or not grader.needs_models:
        return ref
    if not grader.models_asked():
        raise GraderError("a grader that asks models says which", key=grader.name, fix="define models_asked()")
    asked = {target: models.identity(target) for target in grader.models_asked()}
    return replace(ref, fingerprint=fingerprint("grader/models", [ref.fingerprint, asked]))


def grade_each(
    asked: Sequence[Asked], models: ModelSource | None = None, attempts: Sequence[int] | None = None
) -> list[Score]:
    """Ask graders about trials, in order; asynchronous ones in an event loop of their own, several at once.

    Args:
        asked: The graders and trials.
        models: Where graders that need models get at them.
        attempts: Where graders have graded these trials before: which further look each one is, from 0.

    Raises:
        BudgetError: when the budget of one is spent.
    """
    with redirect_stdout(sys.stderr):
        if not any(grader.is_async for grader, *_ in asked):
            return [grade_trial(*each) for each in asked]
        return run_apart(_each(asked, models, attempts))


async def _each(asked: Sequence[Asked], source: ModelSource | None, attempts: Sequence[int] | None) -> list[Score]:
    rows = [None if each[0].is_async else grade_trial(*each) for each in asked]
    session: AbstractAsyncContextManager[GraderModels | None] = nullcontext() if source is None else source.session()
    async with session as models:
        seen = [models] * len(asked)
        if models is not None and attempts is not None:
            seen = [AskedAgain(models, attempt) for attempt in attempts]
        waiting = [grade_trial_async(*each, own) for each, own in zip(asked, seen, strict=True) if each[0].is_async]
        waited = iter(await all_of(waiting))
    return [next(waited) if row is None else row for row in rows]


def grade_trial(grader: Grader, ref: GraderRef, case: Case, trace: Trace) -> Score:
    """Grade one trial. A trial that did not finish, and a grader that raises or returns nonsense, is an error row."""
    if trace.status == "error":
        return unfinished_row(ref, trace)
    try:
        grade: object = grader.grade(case, trace)
        return grade_row(ref, trace, grade)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a grader is somebody's program; its fault must not end the run  # noqa: BLE001
        return fault_row(grader, ref, trace, error)


async def grade_trial_async(
    grader: Grader, ref: GraderRef, case: Case, trace: Trace, models: GraderModels | None = None
) -> Score:
    """As :func:`grade_trial`, for an asynchronous grader; ``models`` is for one that needs them.

    Raises:
        BudgetError: when the grader's budget is spent: that concerns every trial.
        CancelledError: when whoever waits is cancelled; one of the grader's own is an error row.
    """
    if trace.status == "error":
        return unfinished_row(ref, trace)
    try:
        asked: Any = grader.grade
        grade: object = await (asked(case, trace, models) if grader.needs_models else asked(case, trace))
        return grade_row(ref, trace, grade)
    except (KeyboardInterrupt, BudgetError):
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return fault_row(grader, ref, trace, error)
    except BaseException as error:  # as above  # noqa: BLE001
        return fault_row(grader, ref, trace, error)
