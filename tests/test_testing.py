"""What `evalkit.testing` gives to people who write graders: the rows that a run would store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from evalkit.errors import GraderError
from evalkit.grading import Grade, Grader, RunGrader
from evalkit.records import Case, Document, RetrievedDocument, Trace
from evalkit.testing import grade, grade_run, make_case, make_grader, make_trace


@dataclass(frozen=True)
class Waits(Grader):
    name: ClassVar[str] = "waits"
    version: ClassVar[str] = "1"

    async def grade(self, case: Case, trace: Trace) -> Grade:
        return Grade(len(trace.answer) / len(case.question))


@dataclass(frozen=True)
class Together(RunGrader):
    name: ClassVar[str] = "together"
    version: ClassVar[str] = "1"

    def grade_case(self, case: Case, traces: Sequence[Trace]) -> Grade:
        return Grade(float(len({trace.answer for trace in traces})))


def test_shipped_graders_read_what_is_made() -> None:
    asked = make_case("How long?", documents=["Returns are free within 30 days."], expect={"facts": (("30 days",),)})
    right, wrong = make_trace("Within 30 days.", case=asked), make_trace("Within 14 days.", case=asked)
    assert [grade(make_grader("answer"), asked, each).passed for each in (right, wrong)] == [True, False]
    values = [grade(make_grader("groundedness"), asked, each).value or 0 for each in (right, wrong)]
    assert values[0] > values[1]


def test_parameters_are_validated_as_those_of_the_yaml() -> None:
    with pytest.raises(GraderError, match="no parameter `max`"):
        make_grader("cost", {"max": 1})


def test_whatever_kind_of_grader_there_is_a_row() -> None:
    asked = make_case("1234", id="mine")
    row = grade(Waits(), asked, make_trace("12"))
    assert (row.case_id, row.value) == ("mine", 0.5)
    rows = grade_run(Together(), [(asked, [make_trace("a"), make_trace("b"), make_trace("a", error="timeout")])])
    assert [(row.case_id, row.trial, row.status, row.value) for row in rows] == [
        ("mine", 0, "ok", 2), ("mine", 1, "ok", 2), ("mine", 2, "error", None),
    ]  # fmt: skip
    assert grade(Together(), asked, make_trace("a")).value == 1
    assert grade(Waits(), make_case(""), make_trace("a")).status == "error"


def test_documents_are_those_of_the_case_or_the_ones_given() -> None:
    asked = make_case(documents=["one", Document("terms", "two")], locale="de")
    assert asked.locale == "de"
    assert [item.id for item in make_trace(case=asked).documents] == ["doc-0", "terms"]
    found = make_trace(case=asked, documents=["other", RetrievedDocument("terms", "three", rank=7)]).documents
    assert [(item.id, item.text, item.rank) for item in found] == [("doc-0", "other", 0), ("terms", "three", 1)]
    assert make_trace("x", error="timeout").status == "error"
