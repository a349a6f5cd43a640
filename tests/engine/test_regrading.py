"""A grader that may say something else the next time is asked again about the same answer, and once only."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evalkit.errors import ExitCode
from evalkit.store import Runs
from evalkit.store.regrades import read_regrades
from tests.conftest import ProjectFolder
from tests.servers import Reply, chat_body, serve

from .runs import slow_project, verdict_of

MOODY = '''from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from evalkit.grading import Grade, Grader

ASKED = Path("asked.txt")
ANSWERS = Path("answers.txt")


@dataclass(frozen=True)
class Moody(Grader):
    """Says of the second answer to one case what the file says, one letter each time it is asked."""

    name: ClassVar[str] = "moody"
    version: ClassVar[str] = "1"
    deterministic: ClassVar[bool] = False

    def grade(self, case, trace):
        if (case.id, trace.trial) != ("address-005", 1):
            return Grade.check(True)
        before = ASKED.read_text() if ASKED.exists() else ""
        answers = ANSWERS.read_text() if ANSWERS.exists() else ""
        ASKED.write_text(before + "x")
        letter = answers[len(before)] if len(before) < len(answers) else "p"
        if letter == "e":
            raise RuntimeError("the judge is not there")
        print("asked")
        return Grade.check(letter == "p", "unkind", said=len(before))
'''


def answer(request: dict[str, Any]) -> Reply:
    return Reply(chat_body(f"I can't help with that. {request.get('seed')}"))


def rules(verdict: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["id"]: rule for rule in verdict["rules"]}


def changed_project(project: ProjectFolder, address: str, answers: str) -> None:
    """A project with a baseline, whose prompt changes; the grader's answers from then on."""
    project.write("graders/moody.py", MOODY)
    slow_project(project, address, concurrency=1, graders=["moody"], gate={"margin": "20pt"})
    assert project.run("run", "--set-baseline", "main").code == 0
    project.edit("prompt.md", "You are a shop assistant.", "You are a friendly shop assistant.")
    project.write("answers.txt", answers)


def asked(project: ProjectFolder) -> int:
    return len((project.path / "asked.txt").read_text())


@pytest.mark.parametrize(
    ("answers", "code", "status", "disputed"),
    [
        ("ffff", ExitCode.BLOCKED, "block", False),
        ("fpff", ExitCode.BLOCKED, "block", False),
        ("fpfp", ExitCode.PASS, "pass", True),
    ],
)
def test_three_further_opinions_on_the_same_answer_decide_and_stay(
    project: ProjectFolder, answers: str, code: ExitCode, status: str, disputed: bool
) -> None:
    with serve(answer) as (address, seen):
        changed_project(project, address, answers)
        first = project.run("run", "--format", "json")
        made = len(seen)
        project.write("answers.txt", "p" * 40)
        again = project.run("gate", "--format", "json")
        rerun = project.run("run", "--format", "json")
        assert len(seen) == made, "no answer was made again"
    assert asked(project) == 4, "once for the trial, three times more, and never again"
    for done in (first, again, rerun):
        verdict = verdict_of(done.out)
        assert (done.code, rules(verdict)["critical cases"]["status"]) == (code, status)
        assert ("disputed critical cases" in rules(verdict)) is disputed
    folder = Runs(project.path / ".evalkit").all()[1]
    kept = read_regrades(folder, folder.run.grading)
    assert [item.attempt for item in kept] == [0, 1, 2]
    assert "".join("p" if item.score.passed else "f" for item in kept) == answers[1:]
    assert {(item.score.case_id, item.score.trial) for item in kept} == {("address-005", 1)}


def test_an_opinion_that_failed_is_asked_for_again(project: ProjectFolder) -> None:
    with serve(answer) as (address, _):
        changed_project(project, address, "fpef")
        first = project.run("run", "--format", "json")
        verdict = verdict_of(first.out)
        assert (first.code, verdict["verdict"]) == (ExitCode.INCONCLUSIVE, "INCONCLUSIVE")
        assert "could not be asked" in rules(verdict)["critical cases"]["sentence"]
        project.write("answers.txt", "fpeff")
        again = project.run("gate", "--format", "json")
    assert again.code == ExitCode.BLOCKED
    assert asked(project) == 5


def test_a_failure_is_not_forgotten_when_the_trial_is_made_again(project: ProjectFolder) -> None:
    with serve(answer) as (address, _):
        changed_project(project, address, "ffff")
        assert project.run("run").code == ExitCode.BLOCKED
        fresh = project.run("run", "--fresh", "--format", "json")
        assert fresh.code == ExitCode.BLOCKED
        assert rules(verdict_of(fresh.out))["critical cases"]["cases"] == ["address-005"]
        project.edit("prompt.md", "friendly", "kind")
        assert project.run("run").code == ExitCode.PASS, "another prompt is another candidate"


def test_what_the_grader_prints_is_no_result(project: ProjectFolder) -> None:
    with serve(answer) as (address, _):
        changed_project(project, address, "ffff")
        assert json.loads(project.run("run", "--format", "json").out)["verdict"] == "BLOCKED"


@pytest.mark.parametrize("value", ['"no"', "None"])
def test_whether_it_varies_is_true_or_false(project: ProjectFolder, value: str) -> None:
    project.write(
        "graders/moody.py", MOODY.replace("deterministic: ClassVar[bool] = False", f"deterministic = {value}")
    )
    project.configure_workflow(graders=["moody"])
    done = project.run("run")
    assert done.code == ExitCode.GRADER
    assert "`deterministic` is True or False" in done.err
