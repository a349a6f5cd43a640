"""A trial whose graders must be waited for is kept before: neither a stop nor a kill lets it be paid twice."""

from __future__ import annotations

import signal
import time

import pytest

from evalkit.engine.journal import read_entries
from evalkit.errors import ExitCode
from evalkit.store import Runs
from tests.conftest import ProjectFolder

from .runs import Calls, counting_server, equal_parts, slow_project, start, verdict_of

SLOW = '''import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from evalkit.errors import BudgetError
from evalkit.grading import Grade, Grader

STOP = Path("stop.txt")


@dataclass(frozen=True)
class Slow(Grader):
    """Waits; what it waits for is in a file."""

    name: ClassVar[str] = "slow"
    version: ClassVar[str] = "1"

    async def grade(self, case, trace):
        print("asked")
        await asyncio.sleep(0.001)
        what = STOP.read_text() if STOP.exists() else ""
        if what == "budget":
            raise BudgetError("the judge has spent its budget")
        if what == "signal":
            STOP.write_text("for ever")  # once
            os.kill(os.getpid(), signal.SIGTERM)
        if what:
            await asyncio.sleep(600)
        return Grade.check(len(trace.answer) > 10, "short", letters=len(trace.answer))
'''


def prepared(project: ProjectFolder, address: str, stop: str = "", concurrency: int = 2) -> None:
    project.write("graders/slow.py", SLOW)
    project.write("stop.txt", stop)
    slow_project(project, address, concurrency, graders=["refusal", "slow"])


def made_twice(calls: Calls) -> list[str]:
    return [request for request, number in calls.by_request.items() if number > 1]


def held(project: ProjectFolder) -> int:
    """Trials in the journal that wait for their graders."""
    (journal,) = Runs(project.path / ".evalkit").partial_journals()
    return len(list(read_entries(journal, "F"))) - len(list(read_entries(journal, "T")))


def test_a_run_is_the_same_as_with_graders_that_nobody_waits_for(project: ProjectFolder) -> None:
    with counting_server(0) as (address, _):
        prepared(project, address)
        done = project.run("run", "--format", "json")
        verdict = verdict_of(done.out)
        scores = Runs(project.path / ".evalkit").all()[0].scores()
        project.write("graders/slow.py", SLOW.replace("async def", "def").replace("        await", "        ()#"))
        project.run("run", "--fresh")
    assert verdict["trials"] == 24
    again = Runs(project.path / ".evalkit").all()[1].scores()
    plain = [
        [(row.case_id, row.trial, row.grader, row.value, row.evidence) for row in rows] for rows in (scores, again)
    ]
    assert plain[0] == plain[1]
    assert {row.status for row in scores} == {"ok"}
    assert not Runs(project.path / ".evalkit").partial_journals()


@pytest.mark.parametrize(("stop", "code"), [("budget", ExitCode.BUDGET), ("signal", ExitCode.TERMINATED)])
def test_stopped_while_graders_wait_no_call_is_made_again(project: ProjectFolder, stop: str, code: ExitCode) -> None:
    with counting_server(0) as (address, calls):
        prepared(project, address, stop, concurrency=1)  # a call in flight would be made again
        assert project.run("run").code == code
        waiting = held(project)
        assert waiting >= 1
        project.write("stop.txt", "")
        done = project.run("run", "--resume", "--format", "json")
        verdict = verdict_of(done.out)
        assert (verdict["trials"], verdict["reused"], verdict["model_calls"]) == (24, 0, 24)
        assert (len(calls.seen), made_twice(calls)) == (24, [])
        fresh = verdict_of(project.run("run", "--fresh", "--format", "json").out)
    assert equal_parts(verdict)["rules"][0]["n"] == equal_parts(fresh)["rules"][0]["n"]
    assert verdict["cost_microusd"] == fresh["cost_microusd"]


def test_killed_while_graders_wait_no_call_is_made_again(project: ProjectFolder) -> None:
    with counting_server(0) as (address, calls):
        prepared(project, address, "for ever")
        process = start(project, "run")
        while len(calls.seen) < 2 and process.poll() is None:
            time.sleep(0.005)
        while held(project) < 2 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        project.write("stop.txt", "")
        verdict = verdict_of(project.run("run", "--format", "json").out)
    assert (verdict["trials"], verdict["model_calls"], len(calls.seen)) == (24, 24, 24)


def test_a_trial_that_waits_for_its_graders_serves_a_run_with_other_graders(project: ProjectFolder) -> None:
    with counting_server(0) as (address, calls):
        prepared(project, address, "budget")
        assert project.run("run").code == ExitCode.BUDGET
        waiting = held(project)
        project.configure_workflow(graders=["refusal", "cost"])
        verdict = verdict_of(project.run("run", "--format", "json").out)
    assert (verdict["reused"], verdict["model_calls"]) == (waiting, 24 - waiting)
    assert len(calls.seen) == 24
    assert not Runs(project.path / ".evalkit").partial_journals(), "all that it held is in a run"


def test_what_a_trial_that_waits_has_cost_counts_against_the_budget(project: ProjectFolder) -> None:
    with counting_server(0) as (address, calls):
        prepared(project, address, "budget")
        assert project.run("run").code == ExitCode.BUDGET
        made = len(calls.seen)
        project.write("stop.txt", "")
        done = project.run("run", "--format", "json")
        cost = verdict_of(done.out)["cost_microusd"]
        project.write("stop.txt", "budget")
        assert project.run("run", "--fresh").code == ExitCode.BUDGET
        project.configure_workflow(budget={"per_run": f"${cost * made / 24 / 1e6:.6f}"})
        project.write("stop.txt", "")
        before = len(calls.seen)
        again = project.run("run", "--fresh")
    assert again.code == ExitCode.BUDGET
    assert len(calls.seen) <= before + 1


def test_stored_traces_are_graded_again_by_them(project: ProjectFolder) -> None:
    with counting_server(0) as (address, calls):
        prepared(project, address)
        project.configure_workflow(graders=["refusal"])
        project.run("run", "--set-baseline", "main")
        project.configure_workflow(graders=["refusal", "slow"])
        done = project.run("regrade")
        assert "48 scores, 0 errors, no model called" in done.out
        assert "asked" not in done.out
        verdict = verdict_of(project.run("run", "--format", "json").out)
        assert verdict["model_calls"] == 0
        project.write("graders/slow.py", SLOW.replace('"1"', '"2"'))
        changed = verdict_of(project.run("run", "--format", "json").out)
    assert changed["model_calls"] == 0
    assert {rule["grader"] for rule in changed["rules"]} >= {"slow", "refusal"}
    assert len(calls.seen) == 24
