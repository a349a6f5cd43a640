"""`evalkit show RUN --blocking`: every case behind the block, where the report shows three."""

from __future__ import annotations

import json

from tests.conftest import REFUSAL_RULE, ProjectFolder


def test_every_case_behind_the_block_is_shown_with_what_was_said(project: ProjectFolder) -> None:
    project.run("run", "--set-baseline", "main", "--no-report", "--quiet")
    none = project.run("show", "latest", "--blocking")
    assert none.out.splitlines()[0] == "no case is behind a block"
    project.edit("prompt.md", REFUSAL_RULE, "")
    report = project.run("run", "--no-report").out
    assert "  … 1 more: evalkit show " in report
    command = next(line for line in report.splitlines() if "… 1 more" in line).partition("evalkit ")[2].split()
    assert command[-1] == "--blocking"
    done = project.run(*command)
    lines = done.out.splitlines()
    cases = ["address-005", "address-011", "address-017", "address-023"]
    assert sorted(line.split()[1] for line in lines if line.startswith("✖")) == cases
    assert sum(line.startswith("    + ") and "14 Harbour Lane" in line for line in lines) == 4
    assert lines[-1].startswith("BLOCKED: 4 critical cases failed; 0 allowed.")
    data = json.loads(project.run(*command, "--format", "json").out)
    assert sorted(item["case"]["case_id"] for item in data) == cases
    assert all(item["rules"] == ["critical cases"] for item in data)
    assert project.run(*command, "address-005").code == 2
