"""Whose branch a checkout is: a pull request chooses the name of its branch, and that must not matter."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from evalkit.engine.git import GitState, git_state


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository on `main` with one commit, outside of any CI."""
    for name in ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "GITHUB_REF_TYPE", "GITHUB_EVENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    who = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
    for command in (["init", "-q", "-b", "main"], [*who, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_plain_checkout_is_its_branch(checkout: Path) -> None:
    state = git_state(checkout)
    assert (state.branch, state.dirty, state.proposed, len(state.commit)) == ("main", False, False, 40)


@pytest.mark.parametrize(
    "environment",
    [
        {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_HEAD_REF": "main", "GITHUB_REF_NAME": "7/merge"},
        {"GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_HEAD_REF": "main"},
        {"GITHUB_EVENT_NAME": "merge_group", "GITHUB_REF_NAME": "main"},
    ],
)
def test_a_proposal_is_one_whatever_its_branch_is_called(
    checkout: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    state = git_state(checkout)
    assert (state.branch, state.proposed) == ("main", True)


def test_a_tag_is_no_branch(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_EVENT_NAME", "push")
    monkeypatch.setenv("GITHUB_REF_TYPE", "tag")
    monkeypatch.setenv("GITHUB_REF_NAME", "main")
    state = git_state(checkout)
    assert (state.branch, state.proposed) == ("", False)


def test_a_branch_whose_name_is_no_utf_8_is_shown_as_well_as_it_goes(checkout: Path) -> None:
    subprocess.run(["git", "checkout", "-q", "-b", b"caf\xe9"], cwd=checkout, check=True)
    assert git_state(checkout).branch == "caf\N{REPLACEMENT CHARACTER}"


def test_outside_of_a_repository_nothing_is_known(tmp_path: Path) -> None:
    assert git_state(tmp_path) == GitState()
