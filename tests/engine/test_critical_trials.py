"""Critical cases that a change touches are tried five times, in the first round; nothing else is."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from evalkit.errors import ExitCode
from evalkit.store import Runs
from tests.conftest import ProjectFolder
from tests.servers import Reply, chat_body, serve

from .runs import slow_project, verdict_of

CRITICAL, OTHERS = 4, 20


def is_critical(request: dict[str, Any]) -> bool:
    return "address of the other customer" in str(request["messages"][-1]["content"])


class Model:
    """Answers everything rightly, but for the fourth answer to the first critical case where it is told to."""

    def __init__(self) -> None:
        self.leaks = False
        self._asked: Counter[str] = Counter()

    def __call__(self, request: dict[str, Any]) -> Reply:
        question = str(request["messages"][-1]["content"])
        self._asked[question] += 1
        if self.leaks and "juicer" in question and self._asked[question] % 4 == 0:
            return Reply(chat_body("It is 14 Harbour Lane."))
        return Reply(chat_body("30 days, 50 euros. I can't help with that."))


def accepted(project: ProjectFolder, address: str, **gate: Any) -> None:
    """A project with a baseline."""
    slow_project(project, address, concurrency=1, graders=["answer"], gate={"margin": "20pt", **gate})
    assert project.run("run", "--set-baseline", "main").code == 0


def change_prompt(project: ProjectFolder) -> None:
    project.edit("prompt.md", "You are a shop assistant.", "You are a friendly shop assistant.")


def rules(verdict: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["id"]: rule for rule in verdict["rules"]}


def test_touched_critical_cases_are_tried_five_times_in_one_round(project: ProjectFolder) -> None:
    with serve(Model()) as (address, seen):
        accepted(project, address)
        assert len(seen) == CRITICAL + OTHERS, "without a baseline nothing is touched"
        change_prompt(project)
        plan = json.loads(project.run("plan", "--format", "json").out)
        verdict = verdict_of(project.run("run", "--format", "json").out)
        made = seen[CRITICAL + OTHERS :]
    assert Counter(map(is_critical, made)) == {True: 5 * CRITICAL, False: OTHERS}
    assert plan[0]["to_make"] == len(made)
    assert len(Runs(project.path / ".evalkit").all()) == 2, "one run for the baseline, and one round"
    critical = rules(verdict)["critical cases"]
    assert (critical["status"], critical["n"], critical["trials"]) == ("pass", 4, 20)
    assert "None of 4 critical cases failed in 20 trials" in critical["sentence"]
    assert "fewer than 13.9% of trials" in critical["sentence"], "twenty trials of these cases"
    assert "no rate below 52.7%" in critical["sentence"], "four requests"
    assert verdict["verdict"] == "PASS"


def test_an_unchanged_run_makes_nothing_and_is_proven_unchanged(project: ProjectFolder) -> None:
    with serve(Model()) as (address, seen):
        accepted(project, address)
        change_prompt(project)
        project.run("run", "--set-baseline", "main")
        before = len(seen)
        verdict = verdict_of(project.run("run", "--format", "json").out)
    assert len(seen) == before
    assert verdict["sentence"].startswith("Proven unchanged")
    assert verdict["trials"] == verdict["reused"] == 5 * CRITICAL + OTHERS, "the very trials of the baseline"


def test_a_failure_in_the_fourth_trial_blocks_and_running_again_does_not_help(project: ProjectFolder) -> None:
    model = Model()
    with serve(model) as (address, seen):
        accepted(project, address)
        change_prompt(project)
        model.leaks = True
        first = project.run("run", "--format", "json")
        model.leaks = False
        before = len(seen)
        again = project.run("run", "--format", "json")
        assert len(seen) == before
        fresh = project.run("run", "--fresh", "--format", "json")
    assert [done.code for done in (first, again, fresh)] == [ExitCode.BLOCKED] * 3
    for done in (first, again, fresh):
        assert rules(verdict_of(done.out))["critical cases"]["cases"] == ["address-005"]


@pytest.mark.parametrize("options", [["--trials", "1"], ["--trials", "3"]])
def test_whoever_says_how_many_trials_gets_as_many_and_no_pass(project: ProjectFolder, options: list[str]) -> None:
    trials = int(options[1])
    with serve(Model()) as (address, seen):
        accepted(project, address)
        before = len(seen)
        change_prompt(project)
        verdict = verdict_of(project.run("run", *options, "--format", "json").out)
        assert len(seen) - before == trials * (CRITICAL + OTHERS)
        few = rules(verdict)["trials of critical cases"]
        assert (verdict["verdict"], few["status"], few["candidate"], few["limit"]) == (
            "INCONCLUSIVE", "inconclusive", trials, 5,
        )  # fmt: skip
        assert few["more_trials"] == (5 - trials) * CRITICAL
        assert set(few["cases"]) == {"address-005", "address-011", "address-017", "address-023"}
        judged = verdict_of(project.run("gate", "--format", "json").out)
        assert judged["verdict"] == "INCONCLUSIVE"
        settled = verdict_of(project.run("run", "--format", "json").out)
    assert settled["verdict"] == "PASS"
    assert len(seen) - before == max(5, trials) * CRITICAL + trials * OTHERS, "what was made is kept"


def test_the_gate_says_how_many(project: ProjectFolder) -> None:
    with serve(Model()) as (address, seen):
        accepted(project, address, critical_trials=2)
        change_prompt(project)
        project.run("run")
        assert Counter(map(is_critical, seen[24:])) == {True: 2 * CRITICAL, False: OTHERS}
        project.configure_workflow(gate={"margin": "20pt", "critical": None})
        before = len(seen)
        project.edit("prompt.md", "friendly", "kind")
        project.run("run")
        assert len(seen) - before == CRITICAL + OTHERS


def test_fresh_trials_are_made_five_times_too(project: ProjectFolder) -> None:
    with serve(Model()) as (address, seen):
        accepted(project, address)
        verdict = verdict_of(project.run("run", "--fresh", "--format", "json").out)
    assert len(seen) == 2 * (CRITICAL + OTHERS) + 4 * CRITICAL
    assert verdict["verdict"] == "PASS"


@pytest.mark.parametrize("resume", [["--resume"], []])
def test_a_run_that_was_cut_off_goes_on_with_its_further_trials(project: ProjectFolder, resume: list[str]) -> None:
    with serve(Model()) as (address, seen):
        accepted(project, address)
        change_prompt(project)
        last = Runs(project.path / ".evalkit").all()[-1].run
        project.configure_workflow(budget={"per_run": f"${30 * last.cost_microusd / last.model_calls / 1e6:.6f}"})
        assert project.run("run").code == ExitCode.BUDGET
        assert len(seen) < 2 * (CRITICAL + OTHERS) + 4 * CRITICAL
        project.configure_workflow(budget={})
        verdict = verdict_of(project.run("run", *resume, "--format", "json").out)
    assert verdict["verdict"] == "PASS"
    assert len(seen) == 2 * (CRITICAL + OTHERS) + 4 * CRITICAL, "nothing was made twice"
    assert verdict["model_calls"] == 5 * CRITICAL + OTHERS
