"""`evalkit comment` in a workflow: what it says where, and that it never looks like a verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ExitCode
from evalkit.gate.report import renderer
from tests.conftest import Finished, ProjectFolder
from tests.github.loopback import TOKEN, Fault, GitHub, github
from tests.reports.comment_shapes import SHAPES

HEAD = "a" * 40
Say = Callable[..., Finished]


@pytest.fixture
def hub() -> Iterator[GitHub]:
    with github(GitHub()) as served:
        yield served


@pytest.fixture
def say(copied: ProjectFolder, hub: GitHub) -> Say:
    """Run the command as a step of a workflow on pull request 7 has it."""

    def run(
        *arguments: str, event: str = "pull_request", payload: dict[str, Any] | None = None, **env: str
    ) -> Finished:
        told = payload or {"number": 7, "pull_request": {"number": 7, "head": {"sha": HEAD}}}
        file = copied.write("event.json", json.dumps(told))
        environment = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": hub.url,
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_EVENT_NAME": event,
            "GITHUB_EVENT_PATH": str(file),
            "GITHUB_STEP_SUMMARY": str(copied.path / "summary.md"),
            "GITHUB_OUTPUT": str(copied.path / "outputs"),
            **env,
        }
        return copied.run("comment", *arguments, env=environment)

    return run


def written(project: ProjectFolder, name: str) -> str:
    file = project.path / name
    return file.read_text(encoding="utf-8") if file.exists() else ""


def test_the_blocked_verdict_is_said_once_and_brought_up_to_date(copied: ProjectFolder, hub: GitHub, say: Say) -> None:
    done = say("latest", "--report-url", "https://github.com/o/r/actions/runs/1/artifacts/2")
    assert (done.code, done.err) == (0, "")
    assert done.out == "the comment was made (https://github.com/c/1)\n"
    body = hub.comments[0]["body"]
    assert body.startswith("<!-- evalkit:sticky workflow=shop -->\n<!-- evalkit:state verdict=BLOCKED commit=" + HEAD)
    assert "### ✖ evalkit: BLOCKED · shop" in body
    assert "[open in the report](https://github.com/o/r/actions/runs/1/artifacts/2#case=address-005)" in body
    assert f"for {HEAD[:7]}" in body
    assert say("latest", "--report-url", "https://github.com/o/r/actions/runs/1/artifacts/2").out.startswith(
        "the comment says the same already"
    )
    assert written(copied, "outputs") == "comment=created\ncomment=unchanged\n"
    assert written(copied, "summary.md") == ""


def test_without_a_run_it_is_the_newest(hub: GitHub, say: Say) -> None:
    assert say().code == 0
    assert "BLOCKED · shop" in hub.comments[0]["body"]


@pytest.mark.parametrize("status", [403, 404])
def test_a_token_that_may_not_comment_leaves_the_text_in_the_summary(
    copied: ProjectFolder, hub: GitHub, say: Say, status: int
) -> None:
    hub.fault = lambda method, _path: (
        Fault(status, "Resource not accessible by integration") if method == "POST" else None
    )
    done = say()
    assert done.code == 0, "a fork's token is no mistake"
    refused = f"{status}: Resource not accessible by integration"
    told = f"evalkit: the token may not comment here: {refused}. The text is in the job summary."
    assert [line for line in done.out.splitlines() if line.startswith("::")] == [f"::notice::{told}"]
    assert "### ✖ evalkit: BLOCKED · shop" in written(copied, "summary.md")
    assert written(copied, "outputs") == "comment=denied\n"


def test_a_server_that_refuses_has_a_code_of_its_own(copied: ProjectFolder, hub: GitHub, say: Say) -> None:
    hub.fault = lambda _method, _path: Fault(400, "##[error]no")
    done = say("--format", "json", "--no-summary")
    assert done.code == ExitCode.NOT_POSTED
    assert json.loads(done.out) == {"comment": "failed", "url": "", "reason": "400: ##⟦error]no"}
    assert written(copied, "summary.md") == ""


@pytest.mark.parametrize(
    ("arguments", "event", "told"),
    [(("--when", "never"), "pull_request", "not asked for"), ((), "push", "this event is about no pull request")],
)
def test_where_nothing_is_to_be_said_nothing_is_asked(
    hub: GitHub, say: Say, arguments: tuple[str, ...], event: str, told: str
) -> None:
    done = say(*arguments, event=event, payload={"ref": "refs/heads/main"})
    assert (done.code, done.out) == (0, f"{told}\n")
    assert hub.requests == []


def test_a_clean_pass_is_said_when_asked_or_when_something_was_said(
    copied: ProjectFolder, hub: GitHub, say: Say, tmp_path: Path
) -> None:
    file = tmp_path / "pass.json"
    file.write_text(renderer("json")(SHAPES["pass-unchanged"]()), encoding="utf-8")
    assert say("--from", str(file)).out.startswith("a clean pass, and no comment")
    assert hub.comments == []
    assert say("--from", str(file), "--when", "always").out.startswith("the comment was made")


def test_after_the_run_of_a_fork_the_report_is_taken_as_anybodys(hub: GitHub, say: Say, tmp_path: Path) -> None:
    hub.pulls = [{"number": 9, "state": "open", "head": {"sha": HEAD}}]
    run = {"head_sha": HEAD, "head_branch": "fix", "head_repository": {"owner": {"login": "fork"}},
           "html_url": "https://github.com/o/r/actions/runs/5"}  # fmt: skip
    report = json.loads(renderer("json")(SHAPES["blocked-critical"]()))
    report["workflows"][0] |= {"workflow": "a --> <b>@team", "commit": "b" * 40, "created_us": 10**18}
    file = tmp_path / "fork.json"
    file.write_text(json.dumps(report), encoding="utf-8")
    done = say("--from", str(file), event="workflow_run", payload={"workflow_run": run})
    assert (done.code, hub.requests[-1]) == (0, ("POST", "/repos/o/r/issues/9/comments"))
    body = hub.comments[0]["body"]
    assert body.startswith("<!-- evalkit:sticky workflow=a%20--%3E%20%3Cb%3E%40team -->\n")
    assert f"commit={HEAD}" in body
    assert "which the pull request could have changed" in body
    assert "[run](https://github.com/o/r/actions/runs/5)" in body
    assert "@team" not in re.sub(r"`[^`]*`", "", body)
    report["workflows"][0]["created_us"] = 10**18 + 1
    file.write_text(json.dumps(report), encoding="utf-8")
    again = say("--from", str(file), event="workflow_run", payload={"workflow_run": run})
    assert again.out.startswith("the comment"), "a date of the future shuts nobody out"
    assert "newer" not in again.out


def test_two_projects_have_a_comment_each(hub: GitHub, say: Say) -> None:
    say("--name", "one")
    say("--name", "two")
    assert [item["body"].splitlines()[0] for item in hub.comments] == [
        "<!-- evalkit:sticky project=one workflow=shop -->",
        "<!-- evalkit:sticky project=two workflow=shop -->",
    ]


def test_a_project_further_down_is_named_by_its_folder(make_project: Callable[..., ProjectFolder]) -> None:
    project = make_project(".evals/shop", count=3)
    (project.path.parent.parent / ".git").mkdir()
    done = project.run("run", "--no-report", "--format", "md")
    assert done.out.splitlines()[0] == "<!-- evalkit:sticky project=.evals/shop workflow=shop -->"


def test_a_dry_run_prints_it_and_needs_no_github(copied: ProjectFolder) -> None:
    done = copied.run("comment", "--dry-run")
    assert done.code == 0
    assert done.out.startswith("<!-- evalkit:sticky workflow=shop -->\n### ✖ evalkit: BLOCKED · shop\n")


def test_a_missing_token_is_named(copied: ProjectFolder) -> None:
    done = copied.run("comment", env={"GITHUB_REPOSITORY": "o/r"})
    assert done.code == ExitCode.USAGE
    assert "GITHUB_TOKEN is not set" in done.err
    assert "github.token" in done.err


def test_the_token_is_in_nothing_that_is_printed(hub: GitHub, say: Say) -> None:
    hub.fault = lambda _method, _path: Fault(400, "bad")
    done = say()
    assert TOKEN not in done.out + done.err


def test_run_and_merge_write_sarif(copied: ProjectFolder) -> None:
    done = copied.run("run", "--no-report", "--sarif", "out/gate.sarif")
    assert done.code == ExitCode.BLOCKED, done.err
    data = json.loads(written(copied, "out/gate.sarif"))
    assert data["version"] == "2.1.0"
    assert data["runs"][0]["results"]
