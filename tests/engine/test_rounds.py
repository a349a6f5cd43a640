"""More trials where they settle an open question: how many, of which cases, and what they cost."""

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

from evalkit.errors import ExitCode
from evalkit.store import Runs
from tests.conftest import ProjectFolder, lay_down
from tests.servers import Reply, chat_body, serve

from .runs import Calls, slow_project, verdict_of

RUNS = 6
GATE = {"margin": "8pt", "critical": None, "alpha": 0.1, "max_trials": 20}


def is_moody(request: dict[str, Any]) -> bool:
    """Whether the answer to a request varies."""
    text = str(request["messages"][-1]["content"])
    return any(f"number {number}{sign}" in text for number in range(6) for sign in ("?", " free"))


class Moody:
    """Answers wrongly at random: the first six cases half the time, others never, all of them when it is broken.

    What it draws follows from the request and from how often it was made, whatever the order of the calls.
    """

    def __init__(self) -> None:
        self.broken = 0.0
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, request: dict[str, Any]) -> Reply:
        text = Calls.identity(request)
        with self._lock:
            self.asked[text] += 1
            draw = random.Random(f"{text} {self.asked[text]}").random()
        wrong = draw < max(self.broken, 0.5 if is_moody(request) else 0.0)
        return Reply(chat_body("I do not know." if wrong else "30 days, 50 euros, I can't help with that."))


@dataclass
class World:
    """A project whose baseline has been run some times, and the model that answers."""

    project: ProjectFolder
    moody: Moody
    seen: list[dict[str, Any]]
    asked: Counter[str]
    """What the baseline has asked."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    moody = Moody()
    with serve(moody) as (address, seen):
        project = lay_down(tmp_path_factory.mktemp("recorded") / "project")
        slow_project(project, address, concurrency=4, graders=["answer"], gate=GATE)
        for _ in range(RUNS):
            project.run("run", "--fresh", "--trials", "1", "--set-baseline", "main", "--quiet", "--no-report")
        yield World(project, moody, seen, moody.asked.copy())


@pytest.fixture
def world(recorded: World, tmp_path: Path) -> World:
    """A copy for one test, with another prompt; as if nothing but the baseline had been asked for yet."""
    recorded.moody.broken, recorded.moody.asked = 0.0, recorded.asked.copy()
    project = ProjectFolder(Path(shutil.copytree(recorded.project.path, tmp_path / "project")))
    change_prompt(project)
    recorded.seen.clear()
    return World(project, recorded.moody, recorded.seen, recorded.asked)


def change_prompt(project: ProjectFolder) -> None:
    project.edit("prompt.md", "You are a shop assistant.", "You are a friendly shop assistant.")


def test_what_is_open_is_settled_by_trials_of_the_cases_that_vary(world: World) -> None:
    verdict = verdict_of(world.project.run("run", "--format", "json").out)
    made, first = len(world.seen), world.seen[:24]
    asked = Counter(is_moody(request) for request in world.seen)
    assert verdict["verdict"] in ("PASS", "PASS with notes", "BLOCKED"), verdict["sentence"]
    assert made > 24, "one trial of each case left it open"
    assert (verdict["trials"], verdict["reused"], verdict["model_calls"]) == (made, 0, made)
    varying = sum(is_moody(request) for request in first)
    assert asked[True] / varying > 1.5 * asked[False] / (24 - varying)


def test_whoever_says_how_many_trials_gets_as_many(world: World) -> None:
    verdict = verdict_of(world.project.run("run", "--trials", "1", "--format", "json").out)
    assert len(world.seen) == 24
    assert verdict["verdict"] == "INCONCLUSIVE"
    assert "more trials would settle it" in verdict["sentence"]


def test_the_budget_of_a_run_holds_for_its_rounds_together(world: World) -> None:
    project = world.project
    last = Runs(project.path / ".evalkit").all()[-1].run
    cost = last.cost_microusd / last.model_calls
    project.configure_workflow(budget={"per_run": f"${30 * cost / 1e6:.6f}"})
    done = project.run("run")
    assert done.code == ExitCode.BUDGET, done.out
    assert 24 <= len(world.seen) <= 30
    project.configure_workflow(budget={})
    verdict = verdict_of(project.run("run", "--format", "json").out)
    assert verdict["verdict"] != "INCONCLUSIVE"
    assert verdict["trials"] == len(world.seen), "nothing that was paid for was made again"


def test_a_broken_candidate_is_blocked_without_more_trials(world: World) -> None:
    world.project.configure_workflow(gate={**GATE, "confirm": False})
    world.moody.broken = 0.6
    done = world.project.run("run", "--format", "json")
    assert verdict_of(done.out)["verdict"] == "BLOCKED"
    assert done.code == ExitCode.BLOCKED
    assert len(world.seen) == 24
