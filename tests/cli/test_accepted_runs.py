"""Accepted regressions through the whole command line."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.conftest import REFUSAL_RULE, Finished, ProjectFolder, sample_cases

IDS = ",".join(f"address-{number:03d}" for number in range(5, 60, 6))
SAID = ("--case", IDS, "--reason", "the rule comes back", "--owner", "jane@example.com")


@pytest.fixture
def broken(make_project: Callable[..., ProjectFolder]) -> ProjectFolder:
    folder = make_project()
    folder.cases({**case, "critical": False, "risk": "low"} for case in sample_cases(60))
    folder.run("run", "--set-baseline", "main", "--no-report", "--quiet")
    folder.edit("prompt.md", REFUSAL_RULE, "")
    assert folder.run("run", "--no-report", "--quiet").code == 1
    return folder


def verdict_of(done: Finished) -> dict[str, object]:
    found: dict[str, object] = json.loads(done.out)["workflows"][0]
    return found


def test_the_gate_lets_pass_what_is_accepted_with_notes(broken: ProjectFolder) -> None:
    assert broken.run("accept", *SAID).code == 0
    for command in (("gate",), ("run", "--no-report")):
        done = broken.run(*command)
        assert done.code == 0, done.out
        assert "jane@example.com" in done.out


def test_an_expired_acceptance_blocks_and_says_whose_it_was(broken: ProjectFolder) -> None:
    broken.run("accept", *SAID)
    text = (broken.path / "acceptances.yaml").read_text().splitlines()
    old = {"created:": "created: 2020-01-01", "expires:": "expires: 2020-01-31"}
    lines = [next((f"    {new}" for key, new in old.items() if line.strip().startswith(key)), line) for line in text]
    broken.write("acceptances.yaml", "\n".join(lines) + "\n")
    done = broken.run("gate")
    assert done.code == 1
    assert "jane@example.com, expired on 2020-01-31" in done.out


def test_a_wrong_entry_stops_the_gate_with_file_line_key_value_and_fix(broken: ProjectFolder) -> None:
    broken.run("accept", *SAID)
    broken.edit("acceptances.yaml", "case: address-011", "case: address-911")
    done = broken.run("gate")
    assert done.code == 10
    assert "acceptances.yaml:" in done.err
    assert all(word in done.err for word in ("key:   acceptances[1].case", "value: 'address-911'", "fix:"))
