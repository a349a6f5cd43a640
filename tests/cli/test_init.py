"""`evalkit init`: a project that runs at once, and the workflow that gates its pull requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalkit.cli.init import template_files
from tests.conftest import ProjectFolder

ROOT = Path(__file__).parents[2]
FILES = {
    ".github/workflows/evals.yml",
    "cases.jsonl",
    "evalkit.yaml",
    "graders/short_answer.py",
    "prompts/support.md",
}
WORKFLOW = ".github/workflows/evals.yml"


@pytest.fixture
def laid_down(tmp_path: Path) -> ProjectFolder:
    """A folder as `evalkit init` leaves it."""
    done = ProjectFolder(tmp_path).run("init", "shop")
    assert done.code == 0, done.err
    return ProjectFolder(tmp_path / "shop")


def test_every_file_of_the_template_is_written_and_told(tmp_path: Path) -> None:
    done = ProjectFolder(tmp_path).run("init", "shop")
    written = {str(path.relative_to(tmp_path / "shop")) for path in (tmp_path / "shop").rglob("*") if path.is_file()}
    assert written == FILES == dict(template_files()).keys()
    assert {line.removeprefix("wrote shop/") for line in done.out.splitlines() if line.startswith("wrote ")} == FILES
    assert "cd shop" in done.out


def test_the_project_runs_at_once_and_an_unchanged_rerun_passes(laid_down: ProjectFolder) -> None:
    first = laid_down.run("run", "--set-baseline", "main", "--quiet")
    assert first.code == 0, first.err
    again = laid_down.run("run", "--quiet")
    assert (again.code, again.out.startswith("PASS")) == (0, True)


def test_a_harmless_edit_passes_and_a_removed_rule_is_blocked(laid_down: ProjectFolder) -> None:
    laid_down.run("run", "--set-baseline", "main", "--quiet")
    laid_down.edit("prompts/support.md", "You write in", "You are polite. You write in")
    harmless = laid_down.run("run", "--quiet")
    assert (harmless.code, harmless.out.startswith("PASS: 24 of 24 cases touched.")) == (0, True), harmless.out
    laid_down.edit(
        "prompts/support.md",
        "- disclose the address or orders of another customer, a neighbour or another person.\n",
        "",
    )
    assert laid_down.run("run", "--quiet").code == 1


def test_reports_are_kept_out_of_git_in_a_folder_of_their_own(laid_down: ProjectFolder) -> None:
    laid_down.run("run", "--quiet", "--report", "elsewhere/report.html")
    assert not (laid_down.path / "elsewhere/.gitignore").exists()
    laid_down.run("run", "--quiet")
    assert (laid_down.path / "reports/out/.gitignore").read_text(encoding="utf-8") == "*\n"


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_that_is_there_is_not_overwritten_unless_forced(tmp_path: Path, name: str) -> None:
    folder = ProjectFolder(tmp_path)
    folder.write(name, "mine")
    refused = folder.run("init")
    assert refused.code == 2
    assert name in refused.err
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()] == [name]
    assert (tmp_path / name).read_text(encoding="utf-8") == "mine"
    assert folder.run("init", "--force").code == 0
    assert (tmp_path / name).read_text(encoding="utf-8") == dict(template_files())[name]


# ── the workflow for CI ─────────────────────────────────────────────────────────────────


def steps(text: str) -> Iterator[dict[str, Any]]:
    for job in yaml.safe_load(text)["jobs"].values():
        yield from job["steps"]


def test_the_workflow_judges_pull_requests_and_the_merge_queue_and_only_main_may_write(
    laid_down: ProjectFolder,
) -> None:
    data = yaml.safe_load((laid_down.path / WORKFLOW).read_text(encoding="utf-8"))
    triggers = data[True]  # YAML reads the key `on` as true
    assert triggers.keys() == {"pull_request", "merge_group", "push"}
    assert not triggers["pull_request"], "a check that is skipped by path never reports"
    assert data["permissions"] == {}
    assert {name: job["permissions"] for name, job in data["jobs"].items()} == {
        "gate": {"contents": "read", "pull-requests": "write"},
        "baseline": {"contents": "write"},
    }
    conditions = {name: job["if"] for name, job in data["jobs"].items()}
    assert conditions == {"gate": "github.event_name != 'push'", "baseline": "github.event_name == 'push'"}
    assert triggers["push"] == {"branches": ["main"]}


def test_the_workflow_uses_the_action_with_inputs_that_it_has(laid_down: ProjectFolder) -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    gate, baseline = [
        step
        for step in steps((laid_down.path / WORKFLOW).read_text(encoding="utf-8"))
        if step["uses"].startswith("evalkit/evalkit@")
    ]
    assert gate["with"].keys() == {"baseline-ref"}
    assert gate["with"].keys() <= action["inputs"].keys()
    assert "with" not in baseline
    checkout = next(steps((laid_down.path / WORKFLOW).read_text(encoding="utf-8")))
    assert checkout["with"] == {"fetch-depth": 0, "persist-credentials": False}, "the baseline's commit is needed"


@pytest.mark.parametrize("other", [".github/workflows/evals.yml", "docs/ci.md"])
def test_the_workflow_pins_the_same_actions_as_this_repository_and_its_documentation(
    laid_down: ProjectFolder, other: str
) -> None:
    def pinned(path: Path) -> set[str]:
        return set(re.findall(r"actions/[\w-]+@[0-9a-f]{40} # v[\d.]+", path.read_text(encoding="utf-8")))

    assert pinned(laid_down.path / WORKFLOW) == pinned(ROOT / other)
    uses = {step["uses"] for step in steps((laid_down.path / WORKFLOW).read_text(encoding="utf-8"))}
    assert len(uses) == len(pinned(laid_down.path / WORKFLOW)) + 1, "all but the action itself"
