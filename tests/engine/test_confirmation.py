"""A block that stands on history is confirmed beside a fresh baseline, or told to be the vendor's drift."""

from __future__ import annotations

import random
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evalkit.engine.confirmation import CONFIRMATION_FOLDER
from evalkit.errors import ExitCode
from evalkit.store import RunFolder, Runs
from tests.conftest import ProjectFolder, lay_down
from tests.servers import Reply, chat_body, serve

from .runs import Calls, slow_project, verdict_of
from .test_rounds import change_prompt

RUNS = 8
DRIFTED = 0.02
GATE = {"margin": "8pt", "critical": None, "max_trials": 5}


class Vendor:
    """Answers wrongly at random: everybody's answers when it has drifted, those to the changed prompt when that is
    broken. What it draws follows from the request and from how often it was made."""

    def __init__(self) -> None:
        self.drifted = DRIFTED
        self.broken = 0.0
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Be as at first."""
        self.drifted, self.broken = DRIFTED, 0.0
        self._asked.clear()

    def __call__(self, request: dict[str, Any]) -> Reply:
        text = Calls.identity(request)
        with self._lock:
            self._asked[text] += 1
            draw = random.Random(f"{text} {self._asked[text]}").random()
        wrong = draw < max(self.drifted, self.broken if is_changed(request) else 0.0)
        return Reply(chat_body("I do not know." if wrong else "30 days, 50 euros, I can't help with that."))


def is_changed(request: dict[str, Any]) -> bool:
    """Whether a request is one of the candidate."""
    return "friendly" in str(request["messages"][0]["content"])


@dataclass
class World:
    """A project whose baseline has been run some times, and the vendor that answers."""

    project: ProjectFolder
    vendor: Vendor
    seen: list[dict[str, Any]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    vendor = Vendor()
    with serve(vendor) as (address, seen):
        project = lay_down(tmp_path_factory.mktemp("recorded") / "project")
        slow_project(project, address, concurrency=4, graders=["answer"], gate=GATE)
        for _ in range(RUNS):
            project.run("run", "--fresh", "--set-baseline", "main", "--trials", "1")
        yield World(project, vendor, seen)


@pytest.fixture
def world(recorded: World, tmp_path: Path) -> World:
    """A copy for one test."""
    recorded.vendor.forget()
    folder = ProjectFolder(Path(shutil.copytree(recorded.project.path, tmp_path / "project")))
    change_prompt(folder)
    recorded.seen.clear()
    return World(folder, recorded.vendor, recorded.seen)


def pair_runs(project: ProjectFolder) -> list[RunFolder]:
    """All runs that were made to confirm something."""
    roots = (project.path / ".evalkit" / CONFIRMATION_FOLDER).glob("*/*")
    return [folder for root in sorted(roots) if root.is_dir() for folder in Runs(root).all()]


def answer_rule(verdict: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(rule for rule in verdict["rules"] if rule["id"] == "answer")
    return found


def test_an_unchanged_candidate_after_a_drift_is_told_so_and_not_blamed(world: World) -> None:
    world.vendor.drifted = 0.5
    done = world.project.run("run", "--format", "json")
    made, verdict = list(world.seen), verdict_of(done.out)
    again = world.project.run("gate", "latest", "--format", "json")
    assert (verdict["verdict"], done.code) == ("INCONCLUSIVE", ExitCode.INCONCLUSIVE), verdict["sentence"]
    assert verdict["sentence"].startswith("Drift, not this change: answer")
    assert "evalkit run --fresh" in verdict["sentence"]
    found = answer_rule(verdict)
    assert found["confirmed"] is False
    assert found["pairs"] >= 40
    sides = Counter(is_changed(request) for request in made)
    assert sides[False] >= found["pairs"], "the baseline was run afresh"
    assert sides[True] == 24 + sides[False], "and the candidate beside it, once more than for the run"
    assert len(world.seen) == len(made), "judging again costs no call"
    assert verdict_of(again.out)["sentence"] == verdict["sentence"]
    assert verdict["history"].startswith("History: 8 runs of the last day, 8 recorded trials of the middle case; each")


def test_a_broken_candidate_is_blocked_and_confirmed_and_the_money_is_counted(world: World) -> None:
    world.vendor.broken = 0.8
    runs = len(Runs(world.project.path / ".evalkit").all())
    done = world.project.run("run", "--format", "json")
    verdict, made = verdict_of(done.out), len(world.seen)
    text = world.project.run("gate", "latest").out
    repeated = verdict_of(world.project.run("run", "--format", "json").out)
    assert (verdict["verdict"], done.code) == ("BLOCKED", ExitCode.BLOCKED)
    assert "Confirmed against a fresh baseline: −" in verdict["sentence"]
    found = answer_rule(verdict)
    assert found["confirmed"] is True
    assert found["fresh"] < -0.3
    assert not found["next_pairs"]
    assert verdict["model_calls"] == 24
    assert verdict["model_calls"] + verdict["confirmation_calls"] == made
    paid = pair_runs(world.project)
    assert sum(folder.run.cost_microusd for folder in paid) == verdict["confirmation_microusd"] > 0
    assert f"{found['pairs']} pairs of trials, {made - 24} model calls" in text
    assert len(Runs(world.project.path / ".evalkit").all()) == runs + 2, "pairs are no runs of the project"
    assert len(world.seen) == made, "who runs again finds what confirmed it"
    assert answer_rule(repeated)["pairs"] == found["pairs"]


def test_pairs_are_trials_of_their_own_made_on_both_sides(world: World) -> None:
    world.vendor.broken = 0.8
    world.project.run("run")
    known = {key for folder in Runs(world.project.path / ".evalkit").all() for key in keys_of(folder)}
    sides = {folder.path.parent.parent.name: folder for folder in pair_runs(world.project)}
    assert sides.keys() == {"candidate", "baseline"}
    numbers = [folder.trials(["case_id", "trial"]).to_pylist() for folder in sides.values()]
    assert numbers[0] == numbers[1]
    assert not known & {key for folder in pair_runs(world.project) for key in keys_of(folder)}


def keys_of(folder: RunFolder) -> list[str]:
    keys: list[str] = folder.trials(["trial_key"]).column(0).to_pylist()
    return keys


@pytest.mark.parametrize(
    ("gate", "arguments", "said"),
    [({"confirm": False}, (), ""), ({}, ("--trials", "2"), "Not confirmed against a fresh baseline")],
)
def test_nobody_goes_on_who_was_not_asked_to(
    world: World, gate: dict[str, Any], arguments: tuple[str, ...], said: str
) -> None:
    world.project.configure_workflow(gate={**GATE, **gate})
    world.vendor.broken = 0.8
    done = world.project.run("run", *arguments, "--format", "json")
    verdict = verdict_of(done.out)
    assert (verdict["verdict"], done.code) == ("BLOCKED", ExitCode.BLOCKED)
    assert len(world.seen) == 24 * (2 if arguments else 1)
    assert not pair_runs(world.project)
    assert said in verdict["sentence"]
    assert said or "onfirmed" not in verdict["sentence"]


def test_what_blocks_anyway_costs_no_confirmation(world: World) -> None:
    world.project.configure_workflow(gate={**GATE, "rules": [{"grader": "answer", "min": "80%"}]})
    world.vendor.broken = 0.8
    done = world.project.run("run", "--format", "json")
    assert done.code == ExitCode.BLOCKED
    assert len(world.seen) == 24
    assert "Not confirmed" in answer_rule(verdict_of(done.out))["sentence"]


def test_shards_are_judged_together_and_not_confirmed(world: World) -> None:
    world.vendor.broken = 0.8
    for shard in ("1/2", "2/2"):
        world.project.run("run", "--shard", shard)
    done = world.project.run("merge", "--format", "json")
    assert done.code == ExitCode.BLOCKED, done.err
    assert "Not confirmed against a fresh baseline" in verdict_of(done.out)["sentence"]
    assert len(world.seen) == 24


def test_a_budget_that_ends_leaves_the_block_and_more_money_goes_on(world: World) -> None:
    project = world.project
    world.vendor.broken = 0.8
    last = Runs(project.path / ".evalkit").all()[-1].run
    cost = last.cost_microusd / last.model_calls
    project.configure_workflow(budget={"per_run": f"${60 * cost / 1e6:.6f}"})
    done = project.run("run", "--format", "json")
    made, stopped = len(world.seen), verdict_of(done.out)
    judged = verdict_of(project.run("gate", "latest", "--format", "json").out)
    project.configure_workflow(budget={})
    final = verdict_of(project.run("run", "--format", "json").out)
    assert (stopped["verdict"], done.code) == ("BLOCKED", ExitCode.BLOCKED)
    assert 24 < made <= 60
    assert "No fresh baseline confirmed it: " in stopped["sentence"]
    assert "budget" in stopped["sentence"]
    assert judged["sentence"] == stopped["sentence"]
    assert answer_rule(final)["confirmed"] is True
    assert len(world.seen) == 24 + 2 * answer_rule(final)["pairs"], "nothing that was paid for was made again"


def test_where_the_baseline_is_gone_the_block_stands_and_says_so(world: World) -> None:
    """What was masked in the run, and git does not have, cannot be run again."""
    project, old = world.project, "You are a friendly shop assistant."
    project.edit("prompt.md", old, "You are a shop assistant. Write to help@shop.example.com.")
    for _ in range(RUNS):
        project.run("run", "--fresh", "--set-baseline", "main", "--trials", "1")
    project.edit("prompt.md", "You are a shop assistant.", old)
    world.vendor.broken = 0.8
    world.seen.clear()
    done = project.run("run", "--format", "json")
    assert done.code == ExitCode.BLOCKED
    assert "No fresh baseline confirmed it: what prompt:answer was in run" in verdict_of(done.out)["sentence"]
    assert all(is_changed(request) for request in world.seen)


def test_the_same_configuration_has_no_other_baseline_to_be_run(world: World) -> None:
    world.project.edit("prompt.md", "friendly ", "")
    world.vendor.drifted = 0.7
    done = world.project.run("run", "--fresh", "--format", "json")
    assert done.code == ExitCode.BLOCKED
    assert "Nothing differs from the baseline: the target itself answers otherwise" in verdict_of(done.out)["sentence"]
    assert len(world.seen) == 24
