"""Asynchronous graders: waited for together, in the place of their names, whatever they do."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from evalkit.errors import BudgetError
from evalkit.grading import Grade, Grader, Grading
from evalkit.records import Case, Message, Trace, TraceError

CASE = Case("case-7", (Message("user", "Where is my order?"),))
TRACES = [Trace("w", "case-7", number, "ok", "On its way.") for number in range(40)]
UNFINISHED = Trace("w", "case-7", 3, "error", error=TraceError("timeout", "no answer after 60 s"))


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs in an event loop."""

    @functools.wraps(test)
    def run(*arguments: Any, **keys: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*arguments, **keys), 30))

    return run


async def says_yes() -> object:
    return Grade.check(True)


async def divides() -> object:
    await asyncio.sleep(0)
    return 1 / 0


async def is_cancelled_itself() -> object:
    task = asyncio.ensure_future(waits_for_ever())
    task.cancel()
    return await task


async def exits() -> object:
    raise SystemExit(0)


async def has_spent() -> object:
    raise BudgetError("the judge's budget is spent")


async def waits_for_ever() -> object:
    await asyncio.Event().wait()
    return Grade.check(True)


async def says_nothing() -> object:
    return None


async def is_no_grade() -> object:
    return "good"


async def says_nan() -> object:
    return Grade(float("nan"))


@dataclass(frozen=True)
class Waiting(Grader):
    """Does what a function does."""

    name: ClassVar[str] = "waiting"
    version: ClassVar[str] = "1"

    async def grade(self, case: Case, trace: Trace) -> Any:
        return await DOES[self.name]()


DOES: dict[str, Callable[[], Awaitable[object]]] = {}


def waiting(does: Callable[[], Awaitable[object]]) -> Grader:
    """A grader of the function's name."""
    DOES[does.__name__] = does
    kind: Any = dataclass(frozen=True)(type(does.__name__, (Waiting,), {"name": does.__name__, "__annotations__": {}}))
    made: Grader = kind()
    return made


@dataclass(frozen=True)
class Plain(Grader):
    name: ClassVar[str] = "plain"
    version: ClassVar[str] = "1"

    def grade(self, case: Case, trace: Trace) -> Grade:
        return Grade.check(trace.answer != "", "empty")


@dataclass(frozen=True)
class Meeting(Grader):
    """Says how many were asked while it waited."""

    name: ClassVar[str] = "meeting"
    version: ClassVar[str] = "1"
    number: int = 0

    async def grade(self, case: Case, trace: Trace) -> Grade:
        THERE.append(self.number)
        while len(THERE) < 2:
            await asyncio.sleep(0.001)
        return Grade.check(True)


THERE: list[int] = []


@dataclass(frozen=True)
class OtherMeeting(Meeting):
    name: ClassVar[str] = "other_meeting"


def test_what_is_asynchronous_is_found_by_itself() -> None:
    assert (Plain.is_async, Waiting.is_async) == (False, True)
    assert (Grading([Plain()]).is_async, Grading([Plain(), waiting(says_yes)]).is_async) == (False, True)


@in_a_loop
async def test_rows_have_the_order_of_the_graders() -> None:
    graders = [waiting(says_yes), Plain(), waiting(divides), waiting(says_nothing)]
    rows = await Grading(graders).grade_async(CASE, TRACES[3])
    assert [(row.grader, row.status) for row in rows] == [
        ("says_yes", "ok"), ("plain", "ok"), ("divides", "error"), ("says_nothing", "not_applicable"),
    ]  # fmt: skip
    assert {(row.case_id, row.trial) for row in rows} == {("case-7", 3)}


@pytest.mark.parametrize(
    ("does", "message"),
    [
        (divides, "ZeroDivisionError: division by zero"),
        (is_cancelled_itself, "CancelledError: "),
        (exits, "SystemExit: 0"),
        (is_no_grade, "the grader returned str, not a Grade"),
        (says_nan, "the grader returned the value nan, not a finite number"),
    ],
)
@in_a_loop
async def test_whatever_it_does_there_is_a_row(does: Callable[[], Awaitable[object]], message: str) -> None:
    for graders in ([waiting(does)], [waiting(does), waiting(says_yes)]):
        row = (await Grading(graders).grade_async(CASE, TRACES[0]))[0]
        assert (row.status, row.evidence["error"]) == ("error", message)
        assert str(row.evidence["where"]).startswith("grading/test_async.py:")


@in_a_loop
async def test_a_trial_that_did_not_finish_is_not_asked_about() -> None:
    (row,) = await Grading([waiting(waits_for_ever)]).grade_async(CASE, UNFINISHED)
    assert (row.status, row.evidence["error"]) == ("error", "trial did not finish")


@in_a_loop
async def test_they_are_waited_for_together() -> None:
    THERE.clear()
    rows = await Grading([Meeting(1), OtherMeeting(2)]).grade_async(CASE, TRACES[0])
    assert [row.passed for row in rows] == [True, True]


@pytest.mark.parametrize("others", [[], [waits_for_ever]])
@in_a_loop
async def test_a_spent_budget_and_a_cancelled_caller_are_no_rows(others: list[Any]) -> None:
    with pytest.raises(BudgetError):
        await Grading([waiting(does) for does in [*others, has_spent]]).grade_async(CASE, TRACES[0])
    before = asyncio.all_tasks()
    grading = Grading([waiting(does) for does in [*others, says_yes, says_nothing]] + [Meeting()])
    THERE.clear()
    task = asyncio.create_task(grading.grade_async(CASE, TRACES[0]))
    while not THERE:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before, "nobody waits on"


def test_stored_trials_are_graded_without_a_loop_of_the_caller() -> None:
    THERE.clear()
    grading = Grading([Plain(), Meeting(1), waiting(says_yes)])
    rows = grading.grade_all([(CASE, trace) for trace in TRACES])
    assert [(row.trial, row.grader) for row in rows] == [
        (trace.trial, ref.name) for trace in TRACES for ref in grading.refs
    ]
    assert grading.grade(CASE, TRACES[1]) == tuple(rows[3:6])


@in_a_loop
async def test_stored_trials_are_graded_inside_somebody_elses_loop() -> None:
    rows = Grading([waiting(says_yes)]).grade_all([(CASE, trace) for trace in TRACES])
    assert [row.passed for row in rows] == [True] * len(TRACES)
    with pytest.raises(BudgetError):
        Grading([waiting(has_spent), waiting(waits_for_ever)]).grade_all([(CASE, trace) for trace in TRACES])


@in_a_loop
async def test_a_task_that_is_cancelled_while_stored_trials_are_graded_ends() -> None:
    @dataclass(frozen=True)
    class Cancels(Grader):
        name: ClassVar[str] = "cancels"
        version: ClassVar[str] = "1"

        async def grade(self, case: Case, trace: Trace) -> Grade:
            task.cancel()  # as the handler of Ctrl-C does
            await asyncio.Event().wait()
            return Grade.check(True)

    async def work() -> None:
        Grading([Cancels()]).grade_all([(CASE, TRACES[0])])

    task = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_coroutine_from_a_plain_function_is_told_how_to_be_one() -> None:
    @dataclass(frozen=True)
    class Delegates(Grader):
        name: ClassVar[str] = "delegates"
        version: ClassVar[str] = "1"

        def grade(self, case: Case, trace: Trace) -> Any:
            return says_yes()

    (row,) = Grading([Delegates()]).grade(CASE, TRACES[0])
    assert row.evidence["error"] == "the grader returned a coroutine: write `async def grade`"
