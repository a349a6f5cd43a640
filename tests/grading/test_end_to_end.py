"""Graders inside a run: a fault is an error of the run, never a pass."""

from __future__ import annotations

import json

import pytest

from tests.conftest import ProjectFolder
from tests.grading.conftest import HEADER, grader_source

FAULTS = {
    "raises": "1 / (0 if case.id == 'answer-000' else 1) and Grade.check(True)",
    "NaN": "Grade(float('nan') if case.id == 'answer-000' else 1.0, True)",
    "wrong type": "'right' if case.id == 'answer-000' else Grade.check(True)",
}


def with_grader(project: ProjectFolder, returns: str) -> None:
    project.write("graders/polite.py", HEADER + grader_source(returns=returns))
    project.configure_workflow(graders=["refusal", "polite"], gate={"margin": "5pt", "min_cases": 5})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_grader_on_one_case_is_an_error_verdict_that_names_grader_and_case(
    project: ProjectFolder, fault: str
) -> None:
    with_grader(project, FAULTS[fault])
    done = project.run("run", "--set-baseline", "main", "--format", "json")
    verdict = json.loads(done.out)["workflows"][0]
    assert (done.code, verdict["verdict"]) == (3, "ERROR")
    rule = next(rule for rule in verdict["rules"] if rule["id"] == "graders")
    assert (rule["status"], rule["cases"]) == ("error", ["answer-000"])
    assert "polite on 1 case" in rule["sentence"]
    assert project.run("baseline", "list").out.startswith("no baselines yet")


def test_the_gate_judges_the_projects_own_grader(project: ProjectFolder) -> None:
    with_grader(project, "Grade.check(True)")
    assert project.run("run", "--set-baseline", "main").code == 0
    project.write("graders/polite.py", HEADER + grader_source(returns="Grade.check(case.id < 'answer-010')"))
    done = project.run("run", "--set-baseline", "other", "--format", "json")
    verdict = json.loads(done.out)["workflows"][0]
    rule = next(rule for rule in verdict["rules"] if rule["id"] == "polite")
    assert rule["candidate"] == rule["baseline"], "a baseline is graded again with the graders of the candidate"
    assert rule["candidate"] < 1
    assert verdict["model_calls"] == 0


def test_a_grader_that_exits_with_zero_does_not_pass(project: ProjectFolder) -> None:
    with_grader(project, "__import__('sys').exit(0)")
    done = project.run("run")
    assert done.code == 3
    assert "ERROR" in done.out


@pytest.mark.parametrize("returns", ["Grade(1.0, 'yes')", "Grade(10**400)", "Grade(0.0, False, '', 'bad')"])
def test_a_grade_that_cannot_be_stored_is_an_error_verdict(project: ProjectFolder, returns: str) -> None:
    with_grader(project, returns)
    done = project.run("run", "--format", "json")
    assert json.loads(done.out)["workflows"][0]["verdict"] == "ERROR"


def test_a_forgotten_decorator_is_an_error_of_the_grader_with_the_fix(project: ProjectFolder) -> None:
    with_grader(project, "Grade.check(True)")
    project.write("graders/polite.py", HEADER + grader_source(decorator="# forgotten"))
    done = project.run("run")
    assert done.code == 14
    assert "@dataclass(frozen=True)" in done.err


def test_what_a_grader_prints_is_not_among_the_results(project: ProjectFolder) -> None:
    with_grader(project, "(print('looking'), Grade.check(True))[1]")
    done = project.run("run", "--format", "json")
    assert json.loads(done.out)["workflows"][0]["verdict"] == "NOT COMPARABLE"
    assert "looking" in done.err
