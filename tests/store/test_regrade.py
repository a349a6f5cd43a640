"""Stored answers are graded and judged again for nothing: no model is called, and nothing that was stored changes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evalkit.store import Catalogue, Runs
from tests.conftest import REFUSAL_RULE, ProjectFolder, lay_down
from tests.servers import Reply, chat_body, serve

GRADER = '''
from dataclasses import dataclass

from evalkit.grading import Grade, Grader
from evalkit.records import Case, Trace


@dataclass(frozen=True)
class Polite(Grader):
    """Passes when the answer is polite."""

    name = "polite"
    version = "1"

    def grade(self, case: Case, trace: Trace) -> Grade:
        return Grade.check("sorry" in trace.answer.lower())
'''


@dataclass(frozen=True)
class Served:
    """A project on a loopback model, with two stored runs, and the requests that the model has had."""

    project: ProjectFolder
    seen: list[dict[str, Any]]

    @property
    def store(self) -> Path:
        """Its store."""
        return self.project.path / ".evalkit"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A baseline and a run of a changed prompt, made once."""
    project = lay_down(tmp_path_factory.mktemp("served") / "project", count=12)
    with serve(lambda _: Reply(chat_body("Sorry, 30 days [returns-2026]; free from 50 euros."))) as (address, seen):
        project.configure(
            providers={"own": {"kind": "openai", "base_url": address}},
            prices=[{"model": "served-1", "input": 1, "output": 1}],
        )
        project.configure_workflow(model="own:served-1", gate={"min_cases": 5, "critical": None})
        project.run("run", "--set-baseline", "main", "--no-report")
        project.edit("prompt.md", REFUSAL_RULE, "")
        project.run("run", "--no-report")
        assert len(seen) == 24
        yield Served(project, seen)


@pytest.fixture
def served(original: Served, tmp_path: Path) -> Served:
    """A copy to change; the model is there and would answer."""
    return Served(ProjectFolder(Path(shutil.copytree(original.project.path, tmp_path / "copied"))), original.seen)


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with the hash of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_regrading_and_judging_again_call_no_model(served: Served) -> None:
    project = served.project
    project.write("graders/polite.py", GRADER)
    project.configure_workflow(graders=["refusal", "answer", "polite", "cost", "latency"])
    for arguments in (("regrade",), ("gate",), ("diff", "main", "latest"), ("report",), ("show",), ("plan",)):
        done = project.run(*arguments)
        assert done.code in (0, 5), (arguments, done.err)
    assert len(served.seen) == 24


def test_regrading_adds_scores_and_changes_nothing_that_was_there(served: Served) -> None:
    project = served.project
    store = served.store
    before = contents(store / "runs")
    project.write("graders/polite.py", GRADER)
    project.configure_workflow(graders=["polite"])
    ids = [folder.run.run_id for folder in Runs(store).all()]
    done = project.run("regrade", *ids)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [f"{run}: 12 scores, 0 errors, no model called" for run in ids]
    after = contents(store / "runs")
    assert {name: after[name] for name in before} == before
    added = sorted(set(after) - set(before))
    assert [name.split("/")[0] for name in added] == ids
    assert all(name.split("/")[1].startswith("scores-") for name in added)
    polite = "SELECT run_id, count(*), count(DISTINCT grading), bool_and(passed) FROM scores WHERE grader = 'polite'"
    assert sorted(Catalogue(store).query(f"{polite} GROUP BY run_id")) == [(run, 12, 1, True) for run in ids]


def test_the_same_graders_give_the_same_scores_again(served: Served) -> None:
    project = served.project
    folder = Runs(served.store).get("latest")
    before = folder.scores()
    assert project.run("regrade").out == f"{folder.run.run_id}: already graded by these graders\n"
    folder.scores_path(folder.run.grading).unlink()
    assert project.run("regrade").out == f"{folder.run.run_id}: 60 scores, 0 errors, no model called\n"
    assert folder.scores() == before


def test_a_stored_run_is_judged_by_the_gate_as_it_is_now(served: Served) -> None:
    project = served.project
    first = project.run("gate", "--format", "json")
    project.configure_workflow(
        gate={"min_cases": 5, "rules": [{"grader": "latency", "metric": "p95", "max": "0.001ms"}]}
    )
    second = project.run("gate", "--format", "json")
    assert second.code == 1
    verdicts = [json.loads(done.out)["workflows"][0] for done in (first, second)]
    assert verdicts[0]["id"] != verdicts[1]["id"]
    assert verdicts[0]["candidate_run"] == verdicts[1]["candidate_run"]
    assert len(served.seen) == 24
    assert json.loads(project.run("show", "--format", "json").out)["verdict"]["id"] == verdicts[1]["id"]


def test_a_trace_whose_case_is_gone_is_refused(served: Served) -> None:
    project = served.project
    (cases,) = (served.store / "cases").glob("*.parquet")
    cases.unlink()
    project.write("graders/polite.py", GRADER)
    project.configure_workflow(graders=["polite"])
    done = project.run("regrade")
    assert done.code == 3
    assert "are not in the store" in done.err
    assert not list((served.store / "runs").glob("*/scores-*.partial"))


def test_a_run_that_was_graded_again_is_judged_by_the_graders_of_now(served: Served) -> None:
    project = served.project
    project.write("graders/polite.py", GRADER)
    project.configure_workflow(graders=["polite"])
    after = json.loads(project.run("gate", "--format", "json").out)["workflows"][0]
    assert {rule["grader"] for rule in after["rules"] if rule["kind"] == "drop"} == {"polite"}
    assert "polite" in project.run("diff", "main", "latest").out
    quality = Catalogue(served.store).query("SELECT DISTINCT quality FROM scores WHERE grader = 'polite'")
    assert quality == [(True,)]
