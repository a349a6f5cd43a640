"""Graders of runs: a row for every trial in canonical order, whatever they do, and no more in memory than they keep."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import GraderError, StoreError
from evalkit.grading import Grade, Grader, Grading, RunGrader, grader_ref
from evalkit.grading.over_run import grade_run
from evalkit.records import Case, Message, Score, Trace, TraceError


def case(number: int) -> Case:
    return Case(f"case-{number}", (Message("user", "Where is my order?"),))


def trials(number: int, answers: Sequence[str]) -> tuple[Case, tuple[Trace, ...]]:
    """A case whose trials gave these answers; an empty one did not finish."""
    made = [
        Trace("w", f"case-{number}", trial, "ok", answer)
        if answer
        else Trace("w", f"case-{number}", trial, "error", error=TraceError("timeout", "no answer"))
        for trial, answer in enumerate(answers)
    ]
    return case(number), tuple(made)


RUN = [trials(0, ["a", "b"]), trials(1, ["", ""]), trials(2, ["c", "", "d"]), trials(3, ["", ""])]


@dataclass(frozen=True)
class Odd(RunGrader):
    """Does what the entry of that name does, as a grader of whole runs."""

    name: ClassVar[str] = "odd"
    version: ClassVar[str] = "1"
    what: str = "each"

    def grade_run(self, cases: Iterable[tuple[Case, Sequence[Trace]]]) -> Any:
        return DOES[self.what](cases)


@dataclass(frozen=True)
class CaseWise(RunGrader):
    name: ClassVar[str] = "case_wise"
    version: ClassVar[str] = "1"
    breaks: str = ""

    def grade_case(self, case: Case, traces: Sequence[Trace]) -> Any:
        if case.id == self.breaks:
            raise ValueError("this case is odd")
        return Grade(float(len(traces)))


def each(cases: Any) -> Iterator[Any]:
    for _, traces in cases:
        yield [Grade(float(ord(trace.answer))) for trace in traces]


def one_for_all(cases: Any) -> Iterator[Any]:
    for _, traces in cases:
        yield Grade(float(len(traces)))


def whole(cases: Any) -> Iterator[Any]:
    count = [len(traces) for _, traces in cases]
    for _ in count:
        yield Grade(float(sum(count)))


def breaks_in_the_middle(cases: Any) -> Iterator[Any]:
    for found, _ in cases:
        if found.id == "case-2":
            raise ValueError("this case is odd")
        yield Grade(1.0)


DOES: dict[str, Any] = {
    "each": each,
    "one for all": one_for_all,
    "whole": whole,
    "breaks in the middle": breaks_in_the_middle,
    "breaks at once": lambda _: 1 / 0,
    "nothing": lambda _: None,
    "too few": lambda cases: [Grade(1.0) for _ in list(cases)[:1]],
    "too many": lambda cases: [Grade(1.0) for _ in range(len(list(cases)) + 1)],
    "before it reads": lambda _: iter([Grade(1.0)] * 9),
    "not for each": lambda cases: ([Grade(1.0)] * 7 for _ in cases),
    "no grade": lambda cases: ("good" for _ in cases),
    "exits": lambda cases: (sys.exit(0) for _ in cases),
}


def rows(grader: RunGrader, run: Iterable[tuple[Case, Sequence[Trace]]] = RUN) -> list[Score]:
    return [row for of_case in grade_run(grader, grader_ref(grader), run) for row in of_case]


def places(found: Iterable[Score]) -> list[tuple[str, int]]:
    return [(row.case_id, row.trial) for row in found]


@pytest.mark.parametrize("what", sorted(DOES))
def test_there_is_a_row_for_every_trial_in_order(what: str) -> None:
    found = rows(Odd(what))
    assert places(found) == [(trace.case_id, trace.trial) for _, traces in RUN for trace in traces]
    unfinished = [row for row in found if row.evidence.get("error") == "trial did not finish"]
    assert places(unfinished) == [(t.case_id, t.trial) for _, traces in RUN for t in traces if t.status == "error"]
    if what not in ("each", "one for all", "whole"):
        assert {row.status for row in found if row not in unfinished} >= {"error"}, "nothing fails open"


@pytest.mark.parametrize(
    ("what", "values"), [("each", [97, 98, 99, 100]), ("one for all", [2, 2, 2, 2]), ("whole", [4, 4, 4, 4])]
)
def test_a_grade_is_for_all_trials_of_a_case_or_for_each(what: str, values: list[float]) -> None:
    assert [row.value for row in rows(Odd(what)) if row.status == "ok"] == values


@pytest.mark.parametrize(
    ("what", "message", "good"),
    [
        ("breaks in the middle", "ValueError: this case is odd", 2),
        ("breaks at once", "ZeroDivisionError: division by zero", 0),
        ("nothing", "TypeError: 'NoneType' object is not iterable", 0),
        ("too few", "the grader ended before the run did", 2),
        ("too many", "the grader yielded more than it has read cases", 2),
        ("before it reads", "the grader yielded more than it has read cases", 0),
        ("not for each", "the grader gave 7 grades, not a Grade, None, or one for each of the 2 finished trials", 0),
        ("exits", "SystemExit: 0", 0),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(what: str, message: str, good: int) -> None:
    found = rows(Odd(what))
    assert message in {row.evidence.get("error") for row in found}
    assert sum(row.status == "ok" for row in found) == good


def test_a_fault_of_one_that_looks_at_each_case_concerns_that_case() -> None:
    found = rows(CaseWise("case-0"))
    assert [(row.case_id, row.status) for row in found if row.evidence.get("error") != "trial did not finish"] == [
        ("case-0", "error"), ("case-0", "error"), ("case-2", "ok"), ("case-2", "ok"),
    ]  # fmt: skip


@given(st.lists(st.lists(st.sampled_from(["", "a", "b"]), min_size=1, max_size=4), max_size=8), st.booleans())
def test_case_by_case_and_over_the_whole_are_the_same(answers: list[list[str]], read_first: bool) -> None:
    @dataclass(frozen=True)
    class Whole(CaseWise):
        name: ClassVar[str] = "case_wise"

        def grade_run(self, cases: Iterable[tuple[Case, Sequence[Trace]]]) -> Any:
            return starmap(self.grade_case, list(cases) if read_first else cases)

    run = [trials(number, each) for number, each in enumerate(answers)]
    facts = [
        [(row.case_id, row.trial, row.status, row.value) for row in rows(kind, run)] for kind in (CaseWise(), Whole())
    ]
    assert facts[0] == facts[1]


def test_a_run_is_read_as_it_is_graded() -> None:
    for grader in (CaseWise(), Odd("each")):
        read = 0

        def run() -> Iterator[tuple[Case, Sequence[Trace]]]:
            nonlocal read
            for number in range(50):
                read += 1
                yield trials(number, ["a", "b"])

        for emitted, _ in enumerate(grade_run(grader, grader_ref(grader), run())):
            assert read <= emitted + 2


def test_that_the_run_cannot_be_read_is_no_fault_of_the_grader() -> None:
    def damaged() -> Iterator[tuple[Case, Sequence[Trace]]]:
        yield RUN[0]
        raise StoreError("the segment is damaged")

    for grader in (Odd("each"), Odd("whole"), CaseWise()):
        with pytest.raises(StoreError):
            rows(grader, damaged())


def test_a_set_of_graders_knows_which_are_of_runs() -> None:
    @dataclass(frozen=True)
    class Plain(Grader):
        name: ClassVar[str] = "plain"
        version: ClassVar[str] = "1"

        def grade(self, case: Case, trace: Trace) -> Grade:
            return Grade.check(True)

    grading = Grading([CaseWise(), Plain()])
    assert [row.grader for row in grading.grade(case(0), RUN[0][1][0])] == ["plain"]
    assert [ref.name for _, ref in grading.of_runs] == ["case_wise"]
    assert [ref.per_run for ref in grading.refs] == [True, False]
    assert Odd("each").grade(*((RUN[0][0]), RUN[0][1][0])) == Grade(97.0)


def test_one_that_has_neither_method_or_waits_or_varies_is_refused() -> None:
    @dataclass(frozen=True)
    class Nothing(RunGrader):
        name: ClassVar[str] = "nothing"
        version: ClassVar[str] = "1"

    @dataclass(frozen=True)
    class Waits(Nothing):
        async def grade_case(self, case: Case, traces: Sequence[Trace]) -> Any:  # type: ignore[override]
            return None

    @dataclass(frozen=True)
    class Varies(CaseWise):
        deterministic: ClassVar[bool] = False

    for grader, message in (
        (Nothing(), "needs `grade_case`"),
        (Waits(), "no `async def`"),
        (Varies(), "deterministic"),
    ):
        with pytest.raises(GraderError, match=message):
            grader_ref(grader)
