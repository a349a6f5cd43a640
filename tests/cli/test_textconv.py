"""Git shows a golden set as cases, the way docs/golden-sets.md says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import ProjectFolder, clean_environment, sample_cases

DOCS = Path(__file__).resolve().parents[2] / "docs"
IDENTITY = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.com", "GIT_CONFIG_GLOBAL": "/dev/null"}
IDENTITY |= {"GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.com", "GIT_CONFIG_SYSTEM": "/dev/null"}


def documented() -> tuple[str, str]:
    """The line for .gitattributes, and the command."""
    text = (DOCS / "golden-sets.md").read_text(encoding="utf-8")
    command = re.search(r'git config diff\.evalkit\.textconv "([^"]+)"', text)
    attributes = re.search(r"^(\*\.parquet .*)$", text, re.MULTILINE)
    assert command is not None
    assert attributes is not None
    return attributes.group(1), command.group(1)


def test_git_diff_and_log_show_the_cases_that_changed(project: ProjectFolder) -> None:
    attributes, command = documented()
    environment = {**clean_environment(), **IDENTITY, "PYTHONSAFEPATH": "1"}

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=project.path, env=environment, capture_output=True, text=True, check=True,
            timeout=60,
        )  # fmt: skip
        return done.stdout

    def build(version: str, changed: str) -> None:
        cases = sample_cases(3)
        cases[1]["expect"]["facts"] = [changed]
        project.cases(cases)
        card = ("--owner", "shop", "--contact", "shop@example.com")
        done = project.run("goldens", "build", "cases.jsonl", "--to", "set", "--version", version, *card)
        assert done.code == 0, done.err

    project.write(".gitattributes", f"{attributes}\n")
    git("init", "-q", "-b", "main")
    git("config", "diff.evalkit.textconv", command.replace("evalkit", f"{sys.executable} -m evalkit", 1))
    build("1", "30 days")
    git("add", "set", ".gitattributes")
    git("commit", "-q", "-m", "one")
    build("2", "31 days")
    git("rm", "-q", "set/1.parquet")
    git("add", "set")
    git("commit", "-q", "-m", "two")
    shown = git("show", "-M20%", "--format=", "HEAD", "--", "set/1.parquet", "set/2.parquet")
    lines = [line for line in shown.splitlines() if line[:2] in ("-{", "+{")]
    assert [line[0] for line in lines] == ["-", "+"], shown
    assert ("30 days" in lines[0], "31 days" in lines[1]) == (True, True)
    assert all('"id": "answer-001"' in line for line in lines)
