"""What a grader is: the smallest one, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import pytest

from evalkit.errors import GraderError
from evalkit.grading import Grade, Grader, Grading, grader_ref, make_graders
from evalkit.records import Case, Message, Trace

CASE = Case("c", (Message("user", "Where is my order?"),))
TEN_LINES = """from dataclasses import dataclass
from typing import ClassVar
from evalkit.grading import Grade, Grader

@dataclass(frozen=True)
class MentionsTicket(Grader):
    name: ClassVar[str] = "mentions_ticket"
    version: ClassVar[str] = "1"
    def grade(self, case, trace):
        return Grade.check("TCK-" in trace.answer)
"""


def answered(text: str) -> Trace:
    return Trace("w", "c", 0, "ok", text)


class Bare(Grader):
    name: ClassVar[str] = "bare"
    version: ClassVar[str] = "1"

    def grade(self, case: Case, trace: Trace) -> Grade:
        return Grade.check(True)


@dataclass
class Changeable(Bare):
    name: ClassVar[str] = "changeable"


@dataclass(frozen=True)
class WithParameter(Grader):
    name: ClassVar[str] = "with_parameter"
    version: ClassVar[str] = "1"

    limit: Any = 1

    def grade(self, case: Case, trace: Trace) -> Grade:
        return Grade(self.limit)


@dataclass(frozen=True)
class Nameless(Grader):
    version: ClassVar[str] = "1"

    def grade(self, case: Case, trace: Trace) -> Grade:
        return Grade.check(True)


def test_a_grader_of_ten_lines_in_the_projects_folder_is_found_and_grades(project_with: Callable[..., Path]) -> None:
    assert len(TEN_LINES.splitlines()) == 10
    grading = Grading(make_graders([("mentions_ticket", {})], project_with({"ticket.py": TEN_LINES})))
    right, wrong = (grading.grade(CASE, answered(text))[0] for text in ("Your ticket is TCK-12.", "No ticket."))
    assert (right.grader, right.status, right.value, right.passed) == ("mentions_ticket", "ok", 1.0, True)
    assert (wrong.status, wrong.value, wrong.passed) == ("ok", 0.0, False)


def test_the_grader_that_init_lays_down_works_and_takes_its_parameter(project_with: Callable[..., Path]) -> None:
    template = resources.files("evalkit.cli") / "templates/init/graders/short_answer.py"
    root = project_with({"short_answer.py": template.read_text(encoding="utf-8")})
    grading = Grading(make_graders([("short_answer", {"most_words": 3})], root))
    long, short = (grading.grade(CASE, answered(text))[0] for text in ("one two three four", "one two three"))
    assert (long.passed, long.label, long.evidence) == (False, "too_long", {"words": 4})
    assert (short.passed, short.label) == (True, "")


@pytest.mark.parametrize(
    ("passed", "value", "label", "severity"), [(True, 1.0, "", "none"), (False, 0.0, "rude", "critical")]
)
def test_a_check_is_one_or_zero_and_only_a_failure_has_label_and_severity(
    passed: bool, value: float, label: str, severity: str
) -> None:
    grade = Grade.check(passed, "rude", severity="critical", words=3)
    assert (grade.value, grade.passed, grade.label, grade.severity) == (value, passed, label, severity)
    assert grade.evidence == {"words": 3}


@pytest.mark.parametrize("grader", [Bare(), Changeable()], ids=["no dataclass", "not frozen"])
def test_a_grader_that_is_no_frozen_dataclass_is_refused_with_the_fix(grader: Grader) -> None:
    with pytest.raises(GraderError, match="frozen dataclass") as caught:
        Grading([grader])
    assert caught.value.key == type(grader).__qualname__
    assert "@dataclass(frozen=True)" in str(caught.value)
    assert caught.value.exit_code == 14


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), {1, 2}, Path("a"), b"a"])
def test_a_parameter_that_is_not_json_is_refused_by_the_graders_name(limit: object) -> None:
    with pytest.raises(GraderError, match="not JSON") as caught:
        grader_ref(WithParameter(limit))
    assert caught.value.key == "with_parameter"


def test_a_grader_without_a_name_is_refused() -> None:
    with pytest.raises(GraderError, match="needs a name and a version") as caught:
        grader_ref(Nameless())
    assert (caught.value.key, caught.value.fix) == ("Nameless", 'add name: ClassVar[str] = "..."')


def test_a_reference_says_name_version_and_whether_it_judges_quality() -> None:
    reference = grader_ref(WithParameter())
    assert (reference.name, reference.version, reference.quality) == ("with_parameter", "1", True)
    assert len(reference.fingerprint) == 64
    assert [ref.quality for ref in Grading(make_graders([("cost", {}), ("latency", {})])).refs] == [False, False]
