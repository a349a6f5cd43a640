"""A changed grader grades both sides and the history anew, from stored traces, before anything is compared."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ExitCode
from evalkit.store import Runs
from tests.conftest import ProjectFolder

from .runs import counting_server, slow_project, verdict_of

BRIEF = '''from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from evalkit import Grade, Grader


@dataclass(frozen=True)
class Brief(Grader):
    """Short answers."""

    name: ClassVar[str] = "brief"
    version: ClassVar[str] = "1"
    most: int = 40

    def grade(self, case, trace):
        return Grade.check(len(trace.answer) <= self.most, "long", most=self.most)


@dataclass(frozen=True)
class Counting(Grader):
    """Says yes, and is counted."""

    name: ClassVar[str] = "counting"
    version: ClassVar[str] = "1"

    def grade(self, case, trace):
        with open("asked.txt", "a") as file:
            file.write("x")
        return Grade.check(True)
'''
CHANGED = [{"use": "brief", "params": {"most": 20}}, "counting"]


def prepared(project: ProjectFolder, address: str, **keys: Any) -> None:
    project.write("graders/brief.py", BRIEF)
    slow_project(project, address, graders=["brief", "counting"], gate={"margin": "20pt", "critical": None}, **keys)


def rule(verdict: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = [rule for rule in verdict["rules"] if rule["grader"] == name and rule["kind"] == "drop"]
    return found


def is_told(verdict: dict[str, Any]) -> None:
    changed = "The graders have changed since the baseline was made (brief: its parameters)"
    assert f"{changed}; both runs are judged by those of now." in verdict["notes"]


def shares(project: ProjectFolder) -> dict[int, float]:
    """The share of answers that are short enough, for each limit."""
    traces = list(Runs(project.path / ".evalkit").all()[0].traces())
    return {most: sum(len(trace.answer) <= most for trace in traces) / len(traces) for most in (20, 40)}


def asked(project: ProjectFolder) -> int:
    return len((project.path / "asked.txt").read_text())


def test_a_run_after_the_change_grades_both_sides_without_a_call(project: ProjectFolder) -> None:
    with counting_server(0) as (address, calls):
        prepared(project, address)
        assert project.run("run", "--set-baseline", "main").code == 0
        made, counted = len(calls.seen), asked(project)
        project.configure_workflow(graders=CHANGED)
        verdict = verdict_of(project.run("run", "--format", "json").out)
        assert len(calls.seen) == made
    expected = shares(project)
    assert expected[20] < expected[40]
    assert (verdict["model_calls"], verdict["verdict"]) == (0, "PASS with notes")
    found = rule(verdict, "brief")
    assert (found["baseline"], found["candidate"]) == (pytest.approx(expected[20]), pytest.approx(expected[20]))
    is_told(verdict)
    assert asked(project) == counted, "a grader that has not changed is not asked again"


def test_the_history_is_graded_alike(project: ProjectFolder) -> None:
    with counting_server(0) as (address, calls):
        prepared(project, address)
        for _ in range(3):
            assert project.run("run", "--fresh", "--set-baseline", "main").code == 0
        project.edit("prompt.md", "You are a shop assistant.", "You are a friendly shop assistant.")
        project.run("run")
        made = len(calls.seen)
        project.configure_workflow(graders=CHANGED)
        verdict = verdict_of(project.run("run", "--format", "json").out)
        assert len(calls.seen) == made
    folders = Runs(project.path / ".evalkit").all()
    now = folders[-1].run.grading
    assert all(folder.scores_path(now).exists() for folder in folders)
    assert len(folders) == 5
    assert rule(verdict, "brief")["baseline"] is not None


def test_judging_and_comparing_stored_runs_grades_them_first(project: ProjectFolder) -> None:
    with counting_server(0) as (address, calls):
        prepared(project, address)
        project.run("run", "--set-baseline", "main")
        project.edit("prompt.md", "You are a shop assistant.", "You are a friendly shop assistant.")
        project.run("run")
        made = len(calls.seen)
        project.configure_workflow(graders=CHANGED)
        before, after = (folder.run.run_id for folder in Runs(project.path / ".evalkit").all())
        judged = verdict_of(project.run("gate", "--format", "json").out)
        diff = verdict_of(project.run("diff", before, after, "--format", "json").out)
        assert len(calls.seen) == made
    expected = shares(project)[20]
    for verdict in (judged, diff):
        assert rule(verdict, "brief")["baseline"] == pytest.approx(expected)
        is_told(verdict)


def test_shards_that_were_graded_before_the_change_are_graded_anew_when_merged(
    project: ProjectFolder, tmp_path: Path
) -> None:
    with counting_server(0) as (address, calls):
        prepared(project, address)
        project.run("run", "--set-baseline", "main")
        for number in (1, 2):
            project.run("run", "--fresh", "--shard", f"{number}/2")
        made = len(calls.seen)
        project.configure_workflow(graders=CHANGED)
        verdict = verdict_of(project.run("merge", "--format", "json").out)
        assert len(calls.seen) == made
    assert rule(verdict, "brief")["baseline"] == pytest.approx(shares(project)[20])
    is_told(verdict)


def test_with_a_grader_that_is_gone_what_was_graded_alike_is_compared_and_nothing_else(project: ProjectFolder) -> None:
    with counting_server(0) as (address, _):
        prepared(project, address)
        project.run("run", "--set-baseline", "main")
        project.configure_workflow(graders=["counting"])
        project.run("run", "--fresh")
        (project.path / "graders/brief.py").unlink()
        kept = rule(verdict_of(project.run("gate", "--format", "json").out), "counting")
        assert (kept["baseline"], kept["candidate"]) == (1, 1)
        shutil.rmtree(project.path / ".evalkit")
        project.write("graders/brief.py", BRIEF)
        project.configure_workflow(graders=["brief"])
        project.run("run", "--set-baseline", "main")
        project.write("graders/brief.py", BRIEF.replace('"1"', '"2"'))
        project.run("run", "--fresh")
        base = Runs(project.path / ".evalkit").all()[0]
        (path,) = [path for path in base.path.glob("scores-*") if path != base.scores_path(base.run.grading)]
        path.unlink()
        (project.path / "graders/brief.py").unlink()
        assert project.run("gate").code in (ExitCode.NOT_COMPARABLE, ExitCode.GRADER)
