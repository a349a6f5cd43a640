"""A run whose graders are slow shares them among processes, and has the scores that it would have without."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from evalkit.grading import workers
from evalkit.records import Score
from evalkit.store import Runs
from tests.conftest import ProjectFolder

from .runs import counting_server, slow_project

SLOW = '''import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from evalkit.grading import Grade, Grader


@dataclass(frozen=True)
class Slow(Grader):
    """Counts for a while."""

    name: ClassVar[str] = "slow"
    version: ClassVar[str] = "1"

    def grade(self, case, trace):
        with open("pids.txt", "a") as file:
            file.write(f"{os.getpid()}\\n")
        total = sum(number % 7 for number in range(50_000))
        return Grade.check(len(trace.answer) > 20, "short", total=total)
'''


def scores(project: ProjectFolder) -> list[Score]:
    return [replace(score, fingerprint="") for score in Runs(project.path / ".evalkit").get("latest").scores()]


def test_a_run_and_grading_it_again(project: ProjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("graders/slow.py", SLOW)
    pids = project.path / "pids.txt"
    with counting_server(0) as (address, calls):
        slow_project(project, address, concurrency=6, graders=["refusal", "slow"])
        monkeypatch.setattr(workers, "cores", lambda: 1)
        project.run("run")
        assert set(map(int, pids.read_text().split())) == {os.getpid()}
        expected = scores(project)
        pids.unlink()
        monkeypatch.setattr(workers, "cores", lambda: 2)
        monkeypatch.setattr(workers, "SLOW", 0.0)
        monkeypatch.setattr(workers, "WORTH", 0.0)
        project.run("run", "--fresh")
        assert len(calls.seen) == 48
    assert len(set(pids.read_text().split()) - {str(os.getpid())}) >= 2
    assert len(pids.read_text().split()) == 24
    assert scores(project) == expected
    assert not Runs(project.path / ".evalkit").partial_journals()
    pids.unlink()
    project.write("graders/slow.py", SLOW.replace('"1"', '"2"'))
    assert "48 scores, 0 errors" in project.run("regrade").out
    assert len(set(pids.read_text().split()) - {str(os.getpid())}) >= 2
