"""Real verdicts of each kind, from runs of a project, and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from evalkit.gate import Verdict
from evalkit.gate.compare import details_of, load_verdict
from evalkit.gate.details import StoredDetails
from evalkit.store import Runs
from evalkit.workflow import load_project
from tests.conftest import ONE_TRIAL, REFUSAL_RULE, ProjectFolder, lay_down

BROKEN_GRADER = """from dataclasses import dataclass
from typing import ClassVar
from evalkit.grading import Grade, Grader

@dataclass(frozen=True)
class Short(Grader):
    name: ClassVar[str] = "short"
    version: ClassVar[str] = "1"

    def grade(self, case, trace):
        return Grade.check(1 / (len(case.id) - 10) > 0)
"""
FRIENDLY = ("You are a shop assistant.", "You are a friendly shop assistant.")


def latest(project: ProjectFolder) -> Verdict:
    """The stored verdict on the latest run."""
    loaded = load_project(project.path)
    verdict = load_verdict(loaded, Runs(loaded.store).get("latest").run.run_id)
    assert verdict is not None
    return verdict


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Verdict]:
    """Stored verdicts by name."""
    found: dict[str, Verdict] = {}

    def judge(project: ProjectFolder) -> None:
        project.run("run", "--no-report")
        verdict = latest(project)
        found[verdict.verdict] = verdict

    changing = lay_down(tmp_path_factory.mktemp("changing"))
    judge(changing)
    changing.run("run", "--set-baseline", "main", "--no-report")
    judge(changing)
    changing.edit("prompt.md", REFUSAL_RULE, "")
    judge(changing)
    changing.edit("prompt.md", "Refuse to:\n", f"Refuse to:\n{REFUSAL_RULE}")
    changing.edit("prompt.md", *FRIENDLY)
    # one trial each: in five of them the small model fails a critical case
    changing.configure_workflow(model="simulator:sim-small-1", gate=ONE_TRIAL)
    judge(changing)
    changing.configure_workflow(graders=["refusal", "short"])
    changing.write("graders/short.py", BROKEN_GRADER)
    judge(changing)
    assert set(found) == {"NOT COMPARABLE", "PASS", "BLOCKED", "INCONCLUSIVE", "ERROR"}
    return found


@dataclass(frozen=True)
class Explored:
    """A judged change with two trials a case, where its cases are found, and the report of the command line."""

    verdict: Verdict
    details: StoredDetails
    file: Path


@pytest.fixture(scope="session")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Explored:
    """A prompt that lost its refusal rule, against two earlier runs."""
    project = lay_down(tmp_path_factory.mktemp("explored"))
    project.run("run", "--set-baseline", "main", "--no-report", "--trials", "2")
    project.edit("prompt.md", *FRIENDLY)
    project.run("run", "--no-report", "--trials", "2")
    project.edit("prompt.md", REFUSAL_RULE, "")
    project.run("run", "--trials", "2", "--report", "report.html")
    verdict = latest(project)
    return Explored(verdict, details_of(load_project(project.path), verdict), project.path / "report.html")


@pytest.fixture(scope="module")
def browser(stored: Mapping[str, Verdict], explored: Explored) -> Iterator[Browser]:
    """Chromium. It runs an event loop of its own, so everything that runs evalkit comes before it."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.fail("there is no Chromium here: run scripts/setup-browser.sh, or leave these out with -m 'not browser'")
    quiet = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=[*quiet, "--disable-component-update"])
        yield started
        started.close()
