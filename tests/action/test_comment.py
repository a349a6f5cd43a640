"""The step that comments, with `evalkit comment` itself, against the imitation of GitHub's API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REFUSAL_RULE, ProjectFolder, clean_environment
from tests.github.loopback import TOKEN, Fault, GitHub, github

SCRIPT = Path(__file__).parents[2] / "action" / "comment.sh"
REPORT = "https://github.com/o/r/actions/runs/7/artifacts/8"


@pytest.mark.timeout(300)
def test_the_step_says_the_verdict_and_never_changes_it(project: ProjectFolder, tmp_path: Path) -> None:
    project.run("run", "--set-baseline", "main", "--quiet", "--no-report")
    project.edit("prompt.md", REFUSAL_RULE, "")
    (verdict,) = json.loads(project.run("run", "--format", "json", "--no-report").out)["workflows"]
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    (tools / "python").chmod(0o755)
    event = {"pull_request": {"number": 12, "head": {"sha": "a" * 40}}}
    (tmp_path / "event.json").write_text(json.dumps(event), encoding="utf-8")
    environment = {
        **clean_environment(),
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_TOKEN": TOKEN,
        "PROJECT": str(project.path),
        "RUNS": verdict["candidate_run"],
        "REPORT_URL": REPORT,
        "WHEN": "auto",
    }

    def step(hub: GitHub) -> str:
        done = subprocess.run(
            ["bash", str(SCRIPT)], cwd=tmp_path, env={**environment, "GITHUB_API_URL": hub.url},
            capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        return done.stdout

    with github(GitHub()) as hub:
        said = step(hub)
    (comment,) = hub.comments
    assert verdict["verdict"] == "BLOCKED"
    assert "BLOCKED" in comment["body"]
    assert "address-005" in comment["body"]
    assert REPORT in comment["body"]
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert {path for _, path in hub.requests} == {"/repos/o/r/issues/12/comments"}
    assert "::notice::" not in said
    assert not (tmp_path / "summary").exists(), "the run has written it"
    with github(GitHub(fault=lambda _method, _path: Fault(403))) as hub:
        said = step(hub)
    assert not hub.comments
    assert "the token may not comment here" in said
