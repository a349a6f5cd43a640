"""Judging stored runs of a project: from the first run to a changed grader, and never a model call more than needed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ExitCode, GraderError, StoreError, UsageError
from evalkit.gate.compare import compare_stored_runs, find_baseline, judge_stored_run, load_verdict
from evalkit.store import Baselines, RunFolder, Runs
from evalkit.workflow import Project, load_project
from tests.conftest import REFUSAL_RULE, ProjectFolder, sample_cases
from tests.servers import Reply, chat_body, serve

GRADER = """
from dataclasses import dataclass
from typing import ClassVar

from evalkit.grading import Grade, Grader
from evalkit.records import Case, Trace


@dataclass(frozen=True)
class Short(Grader):
    name: ClassVar[str] = "short"
    version: ClassVar[str] = "1"

    def grade(self, case: Case, trace: Trace) -> Grade:
        return Grade.check(len(trace.answer) < 5000, "long")
"""


def loaded(project: ProjectFolder) -> Project:
    return load_project(project.path)


def runs_of(project: ProjectFolder) -> list[RunFolder]:
    return Runs(loaded(project).store).all()


def judged(project: ProjectFolder, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the verdict of a run."""
    done = project.run("run", "--format", "json", "--no-report", *arguments)
    (verdict,) = json.loads(done.out)["workflows"]
    return done.code, verdict


@pytest.fixture
def accepted(project: ProjectFolder) -> ProjectFolder:
    """A project whose first run is the baseline."""
    assert project.run("run", "--set-baseline", "main", "--no-report").code == 0
    return project


# ── each verdict, from the command line ─────────────────────────────────────────────────


def test_an_unchanged_project_passes_without_a_model_call(accepted: ProjectFolder) -> None:
    code, verdict = judged(accepted)
    assert (code, verdict["verdict"]) == (0, "PASS")
    assert (verdict["model_calls"], verdict["reused"], verdict["trials"]) == (0, 24, 24)
    assert verdict["sentence"].startswith("Proven unchanged")
    assert verdict["simulated"] is True


def test_a_removed_refusal_rule_is_blocked_and_its_line_is_shown(accepted: ProjectFolder) -> None:
    accepted.edit("prompt.md", REFUSAL_RULE, "")
    code, verdict = judged(accepted)
    assert (code, verdict["verdict"]) == (1, "BLOCKED")
    (change,) = verdict["changes"]
    assert (change["kind"], change["path"]) == ("prompt", "prompt.md")
    assert f"-{REFUSAL_RULE.strip()}" in change["diff"].splitlines()
    critical = next(rule for rule in verdict["rules"] if rule["id"] == "critical cases")
    assert critical["status"] == "block"
    assert set(critical["cases"]) <= {case["case_id"] for case in verdict["cases"]}


def test_the_first_run_has_nothing_to_compare_with(project: ProjectFolder) -> None:
    code, verdict = judged(project)
    assert (code, verdict["verdict"], verdict["baseline_run"]) == (4, "NOT COMPARABLE", "")


def test_a_sample_is_inconclusive(accepted: ProjectFolder) -> None:
    code, verdict = judged(accepted, "--sample", "12")
    assert (code, verdict["verdict"]) == (5, "INCONCLUSIVE")
    assert "a sample of 12 of 24" in verdict["sentence"]


def test_a_changed_golden_set_is_not_comparable_unless_the_gate_says_so(accepted: ProjectFolder) -> None:
    accepted.cases(sample_cases(30))
    code, verdict = judged(accepted)
    assert (code, verdict["verdict"]) == (4, "NOT COMPARABLE")
    accepted.configure_workflow(gate={"on_golden_change": "common_cases", "min_cases": 5})
    code, verdict = judged(accepted)
    assert (code, verdict["verdict"]) == (0, "PASS with notes")
    assert {rule["n"] for rule in verdict["rules"] if rule["grader"] == "refusal"} == {24}


def test_a_grader_that_raises_is_an_error(accepted: ProjectFolder) -> None:
    accepted.write("graders/short.py", GRADER.replace("len(trace.answer) < 5000", "1 / (len(case.id) - 10) > 0"))
    accepted.configure_workflow(graders=["refusal", "short"])
    code, verdict = judged(accepted)
    assert (code, verdict["verdict"]) == (3, "ERROR")
    assert "short on" in verdict["sentence"]
    assert verdict["counts"]["error"] > 0


def test_the_verdict_as_json_is_json(accepted: ProjectFolder) -> None:
    done = accepted.run("run", "--format", "json", "--no-report")
    foreign: list[str] = []
    json.loads(done.out, parse_constant=foreign.append)
    assert foreign == []


# ── a gate and graders that change ──────────────────────────────────────────────────────


def test_a_stored_run_is_judged_by_the_gate_as_it_is_now(accepted: ProjectFolder) -> None:
    judged(accepted)
    assert accepted.run("gate").code == 0
    accepted.configure_workflow(gate={"min_cases": 5, "rules": [{"grader": "latency", "metric": "p50", "max": "1us"}]})
    assert accepted.run("gate").code == 1
    project = loaded(accepted)
    latest = Runs(project.store).get("latest")
    kept = load_verdict(project, latest.run.run_id)
    assert kept is not None
    assert (kept.verdict, kept.candidate_run) == ("BLOCKED", latest.run.run_id)


@pytest.fixture
def counted(make_project: Callable[..., ProjectFolder]) -> Iterator[tuple[ProjectFolder, list[dict[str, Any]]]]:
    """A project whose model is a server that counts its requests."""
    with serve(lambda _: Reply(chat_body("I cannot help with that. 30 days. 50 euros."))) as (url, seen):
        project = make_project(model="x", graders=["short", "cost"])
        project.configure_workflow(model="local:served-1", gate={"min_cases": 5, "critical": None})
        project.configure(
            providers={"local": {"kind": "openai", "base_url": url}},
            prices=[{"model": "served-1", "input": 1, "output": 1}],
        )
        project.write("graders/short.py", GRADER)
        yield project, seen


def test_a_changed_grader_grades_the_baseline_again_and_calls_no_model(
    counted: tuple[ProjectFolder, list[dict[str, Any]]],
) -> None:
    project, seen = counted
    assert project.run("run", "--set-baseline", "main", "--no-report").code == 0
    assert len(seen) == 24
    project.edit("graders/short.py", "< 5000", "< 10")
    code, verdict = judged(project)
    assert len(seen) == 24
    assert (code, verdict["verdict"], verdict["model_calls"]) == (0, "PASS with notes", 0)
    assert "The graders have changed" in verdict["notes"][0]
    (short,) = [rule for rule in verdict["rules"] if rule["grader"] == "short"]
    assert (short["baseline"], short["candidate"]) == (0.0, 0.0)
    baseline, candidate = runs_of(project)
    assert len(baseline.gradings()) == 2
    assert candidate.gradings() == [candidate.run.grading[:12]]
    assert {score.passed for score in baseline.scores() if score.grader == "short"} == {True}
    assert {score.passed for score in baseline.scores(candidate.run.grading) if score.grader == "short"} == {False}


def test_both_are_graded_by_the_graders_of_now(counted: tuple[ProjectFolder, list[dict[str, Any]]]) -> None:
    project, seen = counted
    project.run("run", "--set-baseline", "old", "--no-report")
    project.edit("graders/short.py", "< 5000", "< 10")
    project.run("run", "--baseline", "none", "--no-report")
    project.edit("graders/short.py", "< 10", "< 20")
    here, (old, candidate) = loaded(project), runs_of(project)
    verdict = judge_stored_run(here, candidate, "old")
    assert any("both runs are judged by those of now" in note for note in verdict.notes)
    assert [len(folder.gradings()) for folder in (old, candidate)] == [3, 2]
    assert len(seen) == 24


def test_a_baseline_is_not_graded_with_graders_that_are_gone(
    counted: tuple[ProjectFolder, list[dict[str, Any]]],
) -> None:
    project, seen = counted
    project.run("run", "--set-baseline", "old", "--no-report")
    project.edit("graders/short.py", "< 5000", "< 10")
    project.run("run", "--fresh", "--baseline", "none", "--no-report")
    (project.path / "graders/short.py").unlink()
    with pytest.raises(GraderError):
        judge_stored_run(loaded(project), runs_of(project)[-1], "old")
    assert project.run("gate", "--baseline", "old").code == ExitCode.GRADER
    assert len(seen) == 48


# ── which baseline ──────────────────────────────────────────────────────────────────────


def test_a_baseline_is_found_by_name_or_by_the_beginning_of_a_run_id(accepted: ProjectFolder) -> None:
    judged(accepted)
    project, (first, second) = loaded(accepted), runs_of(accepted)
    for name in ("main", first.run.run_id, first.run.run_id.lower()):
        found = find_baseline(project, "shop", name)
        assert found is not None
        assert found.run.run_id == first.run.run_id
    assert find_baseline(project, "shop", second.run.run_id, not_run=second.run.run_id) is None
    assert find_baseline(project, "shop", "nightly") is None
    assert find_baseline(project, "other", first.run.run_id) is None
    with pytest.raises(UsageError):
        find_baseline(project, "shop", "../main")


def test_a_run_is_compared_with_the_newest_other_run_of_the_baseline(accepted: ProjectFolder) -> None:
    judged(accepted, "--set-baseline", "main")
    project, (first, second) = loaded(accepted), runs_of(accepted)
    history = Baselines(project.store).get("shop", "main")
    assert history is not None
    assert [entry.run_id for entry in history.history] == [first.run.run_id, second.run.run_id]
    assert judge_stored_run(project, second).baseline_run == first.run.run_id
    assert judge_stored_run(project, first).baseline_run == second.run.run_id


def test_a_baseline_whose_run_is_gone_is_an_error_of_the_store(accepted: ProjectFolder) -> None:
    shutil.rmtree(runs_of(accepted)[0].path)
    with pytest.raises(StoreError):
        find_baseline(loaded(accepted), "shop", "main")


# ── comparing without judging ───────────────────────────────────────────────────────────


def test_a_comparison_has_the_numbers_and_no_judgement(accepted: ProjectFolder) -> None:
    accepted.edit("prompt.md", REFUSAL_RULE, "")
    assert judged(accepted)[0] == 1
    first, second = (folder.run.run_id for folder in runs_of(accepted))
    verdict = compare_stored_runs(loaded(accepted), first, second)
    assert {rule.status for rule in verdict.rules} <= {"pass", "note"}
    assert all(rule.limit is None for rule in verdict.rules)
    refusal = next(rule for rule in verdict.rules if rule.grader == "refusal")
    assert (refusal.status, refusal.n) == ("note", 24)
    assert refusal.delta is not None
    assert refusal.delta < 0
    assert compare_stored_runs(loaded(accepted), "main", "latest").rules == verdict.rules
    assert accepted.run("diff", first, second).code == 0


def test_runs_of_different_workflows_are_not_compared(accepted: ProjectFolder) -> None:
    workflow = loaded(accepted).spec.workflows["shop"]
    accepted.configure(workflows={"shop": workflow, "store": workflow})
    accepted.run("run", "store", "--no-report")
    first, second = (folder.run.run_id for folder in runs_of(accepted))
    with pytest.raises(UsageError) as caught:
        compare_stored_runs(loaded(accepted), first, second)
    assert "is of shop" in str(caught.value)
    assert "of store" in str(caught.value)


def test_an_unknown_run_is_a_mistake_of_the_command_line(accepted: ProjectFolder, tmp_path: Path) -> None:
    done = accepted.run("diff", "main", "01ZZZZZZZZ")
    assert done.code == 2
    assert "01ZZZZZZZZ" in done.err
    assert done.out == ""
