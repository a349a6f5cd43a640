"""The GitHub Action: its main step run for real in a repository, and the files checked for what they must not do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import REFUSAL_RULE, ProjectFolder, clean_environment

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "action" / "run.sh"
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]


def git(project: ProjectFolder, *arguments: str) -> str:
    """Run git in the project."""
    return subprocess.run(
        [*GIT, *arguments], cwd=project.path, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(project: ProjectFolder) -> ProjectFolder:
    """A project under version control, on a branch with a pull request's change not made yet."""
    project.write(".gitignore", ".evalkit/\nreports/\n")
    git(project, "init", "-q", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "base")
    git(project, "checkout", "-q", "-b", "topic")
    return project


def act(project: ProjectFolder, **inputs: str) -> tuple[dict[str, str], str, str]:
    """Run the action's main step; returns its outputs, the job summary, and what it printed."""
    temporary = project.path.parent
    output, summary = temporary / "output", temporary / "summary"
    output.write_text("", encoding="utf-8")
    summary.write_text("", encoding="utf-8")
    environment = {
        **clean_environment(),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(summary),
        "REPORT": str(temporary / "report.html"),
        **inputs,
    }
    done = subprocess.run(
        ["bash", str(SCRIPT)],
        cwd=project.path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outputs = dict(line.split("=", 1) for line in output.read_text(encoding="utf-8").splitlines())
    return outputs, summary.read_text(encoding="utf-8"), done.stdout + done.stderr


def test_a_pull_request_without_a_change_passes(repository: ProjectFolder) -> None:
    base = git(repository, "rev-parse", "HEAD")
    outputs, summary, printed = act(repository, BASELINE_REF=base)
    assert (outputs["exit-code"], outputs["verdict"]) == ("0", "PASS")
    assert "evalkit: PASS" in summary
    assert f"running {base} for one" in printed
    assert Path(outputs["report-path"]).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_pull_request_with_a_broken_prompt_is_blocked(repository: ProjectFolder) -> None:
    base = git(repository, "rev-parse", "HEAD")
    repository.edit("prompt.md", REFUSAL_RULE, "")
    git(repository, "commit", "-q", "-am", "remove a rule")
    outputs, summary, printed = act(repository, BASELINE_REF=base)
    assert (outputs["exit-code"], outputs["verdict"]) == ("1", "BLOCKED")
    assert "address-005" in summary
    assert "::error file=prompt.md,line=1::shop: 4 critical cases failed" in printed
    assert git(repository, "worktree", "list").count("\n") == 0, "the worktree of the baseline is removed"


def test_without_a_baseline_nothing_passes(repository: ProjectFolder) -> None:
    outputs, summary, _ = act(repository)
    assert (outputs["exit-code"], outputs["verdict"]) == ("4", "NOT COMPARABLE")
    assert "--set-baseline main" in summary


def test_a_stored_baseline_is_used_and_not_made_again(repository: ProjectFolder) -> None:
    repository.run("run", "--set-baseline", "main")
    outputs, _, printed = act(repository, BASELINE_REF=git(repository, "rev-parse", "HEAD"))
    assert outputs["exit-code"] == "0"
    assert "running" not in printed


def test_inputs_are_arguments_and_never_commands(repository: ProjectFolder) -> None:
    trap = repository.path / "trap"
    outputs, _, printed = act(repository, WORKFLOWS=f"shop; touch {trap} $(touch {trap}) `touch {trap}`")
    assert outputs["exit-code"] == "2"
    assert "no workflow" in printed
    assert not trap.exists()


def steps(path: Path) -> list[dict[str, Any]]:
    """All steps of an action or workflow."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "runs" in data:
        found: list[dict[str, Any]] = data["runs"]["steps"]
        return found
    return [step for job in data["jobs"].values() for step in job["steps"]]


FILES = sorted([ROOT / "action.yml", *(ROOT / ".github" / "workflows").glob("*.yml")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_expression_reaches_a_shell_and_every_action_is_pinned(path: Path) -> None:
    for step in steps(path):
        assert "${{" not in step.get("run", ""), "an expression in a script is an injection"
        uses = step.get("uses", "./")
        if not uses.startswith("./"):
            digest = uses.partition("@")[2]
            assert len(digest) == 40
            assert set(digest) <= set("0123456789abcdef")


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "action.yml"], ids=lambda path: path.name)
def test_workflows_have_no_rights_by_default_and_always_report(path: Path) -> None:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert data["permissions"] == {}
    triggers = data[True]  # YAML reads the key `on` as true
    assert "pull_request_target" not in triggers
    assert "merge_group" in triggers
    assert not (triggers["pull_request"] or {}).get("paths"), "a check that is skipped by path never reports"
