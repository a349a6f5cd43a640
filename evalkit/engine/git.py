"""Which commit a run was made of."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["GitState", "ask_git", "git_state"]


@dataclass(frozen=True)
class GitState:
    """Commit, branch and whether files differ from it; all empty outside a repository."""

    commit: str = ""
    branch: str = ""
    dirty: bool = False
    proposed: bool = False
    """A pull request or merge queue entry: its branch is a name that somebody chose, whatever it reads."""


def git_state(folder: Path) -> GitState:
    """The state of the repository that holds a folder. In CI the branch comes from the environment."""

    def ask(*arguments: str) -> str | None:
        said = ask_git(folder, *arguments)
        return None if said is None else said.decode("utf-8", "replace").strip()

    commit = ask("rev-parse", "HEAD")
    if commit is None:
        return GitState()
    proposed = os.environ.get("GITHUB_EVENT_NAME", "").startswith(("pull_request", "merge_group"))
    head = os.environ.get("GITHUB_HEAD_REF")
    branch = head or os.environ.get("GITHUB_REF_NAME") or ask("branch", "--show-current")
    if os.environ.get("GITHUB_REF_TYPE") == "tag" and not head:
        branch = ""
    dirty = bool(ask("status", "--porcelain", "--untracked-files=no"))
    return GitState(commit, branch or "", dirty, proposed or bool(head))


def ask_git(folder: Path, *arguments: str, timeout: float = 10) -> bytes | None:
    """What git prints in a folder; None where there is no git, or it refuses or takes too long."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - an argument list, nothing from outside
            [git, *arguments], cwd=folder, capture_output=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None
