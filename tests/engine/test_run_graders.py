"""Graders of runs inside a run: they see all trials that it holds in the end, wherever these come from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from evalkit.errors import ExitCode
from evalkit.records import Score
from evalkit.store import RunFolder, Runs
from tests.conftest import ProjectFolder

from .runs import counting_server, slow_project, verdict_of

TOGETHER = '''from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar
from evalkit import Grade, RunGrader


@dataclass(frozen=True)
class Share(RunGrader):
    """Share of the run's trials with the same answer, and how many trials it has."""

    name: ClassVar[str] = "share"
    version: ClassVar[str] = "1"
    quality: ClassVar[bool] = False

    def grade_run(self, cases):
        print("the whole run")
        answers = [[trace.answer for trace in traces] for _, traces in cases]
        every = [answer for some in answers for answer in some]
        for some in answers:
            yield [Grade(every.count(answer) / len(every), trials=len(every)) for answer in some]


@dataclass(frozen=True)
class Seen(RunGrader):
    """Trials of the case."""

    name: ClassVar[str] = "seen"
    version: ClassVar[str] = "1"
    quality: ClassVar[bool] = False

    def grade_case(self, case, traces):
        return Grade(float(len(traces)))
'''.replace("trials=len(every)", 'evidence={"trials": len(every)}')


def prepared(project: ProjectFolder, address: str) -> None:
    project.write("graders/together.py", TOGETHER)
    slow_project(project, address, graders=["refusal", "seen", "share"])


def newest(project: ProjectFolder) -> RunFolder:
    return Runs(project.path / ".evalkit").get("latest")


def rows(folder: RunFolder, name: str) -> list[Score]:
    return [score for score in folder.scores() if score.grader == name]


def is_whole(folder: RunFolder) -> None:
    """The scores are those of the answers that the run holds, in canonical order."""
    scores = folder.scores()
    assert [(row.case_id, row.grader, row.trial) for row in scores] == sorted(
        (trace.case_id, ref.name, trace.trial) for trace in folder.traces() for ref in folder.run.graders
    )
    traces = list(folder.traces())
    answers = [trace.answer for trace in traces]
    expected = {(trace.case_id, trace.trial): answers.count(trace.answer) / len(answers) for trace in traces}
    assert {(row.case_id, row.trial): row.value for row in rows(folder, "share")} == pytest.approx(expected)
    assert {row.evidence["trials"] for row in rows(folder, "share")} == {len(answers)}
    assert {row.value for row in rows(folder, "seen")} == {folder.run.trials_per_case}


def test_a_run_holds_their_scores_beside_the_others(project: ProjectFolder) -> None:
    with counting_server(0) as (address, _):
        prepared(project, address)
        done = project.run("run", "--trials", "2", "--format", "json")
    assert "the whole run" not in done.out
    assert verdict_of(done.out)["trials"] == 24 * 2
    is_whole(newest(project))


def test_trials_that_are_reused_are_seen_with_those_that_are_new(project: ProjectFolder) -> None:
    with counting_server(0) as (address, calls):
        prepared(project, address)
        project.run("run", "--trials", "2")
        made = len(calls.seen)
        project.run("run", "--trials", "3")
    assert len(calls.seen) == made + 24
    is_whole(newest(project))
    assert {row.value for row in rows(newest(project), "seen")} == {3}


def test_stored_traces_are_graded_by_them(project: ProjectFolder) -> None:
    with counting_server(0) as (address, calls):
        prepared(project, address)
        project.configure_workflow(graders=["refusal"])
        project.run("run", "--trials", "2")
        made = len(calls.seen)
        project.configure_workflow(graders=["refusal", "seen", "share"])
        done = project.run("regrade")
        assert f"{24 * 2 * 3} scores, 0 errors, no model called" in done.out
        run = newest(project)
        (path,) = [path for path in run.path.glob("scores-*") if path.name != run.scores_path(run.run.grading).name]
        is_whole(RunFolder(run.path, path.stem.removeprefix("scores-")))
        assert {file.name.partition("-")[0] for file in run.path.iterdir()} == {
            "run.json", "scores", "traces.parquet", "trials.parquet",
        }  # fmt: skip
        project.run("run", "--trials", "2")
    assert len(calls.seen) == made
    is_whole(newest(project))


def test_shards_are_graded_as_the_whole(project: ProjectFolder, tmp_path: Path) -> None:
    with counting_server(0) as (address, _):
        prepared(project, address)
        places = []
        for number in (1, 2):
            assert project.run("run", "--shard", f"{number}/2").code == 0
            shutil.move(project.path / ".evalkit", tmp_path / f"part-{number}")
            places.append(str(tmp_path / f"part-{number}"))
        project.run("merge", *places)
        is_whole(newest(project))
        assert newest(project).run.trials == 24
        shutil.rmtree(project.path / ".evalkit")
        project.write("graders/together.py", TOGETHER.replace('"1"', '"2"'))
        done = project.run("merge", *places)
    assert done.code == ExitCode.NOT_COMPARABLE
    assert "seen, share grades whole runs, and the graders have changed since the shards were made" in done.err
    assert not list((project.path / ".evalkit" / "runs").iterdir())
