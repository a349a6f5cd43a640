"""``evalkit accept`` as a user calls it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
import yaml

from tests.conftest import REFUSAL_RULE, ProjectFolder, sample_cases

SAID = ("--reason", "agreed: the rule comes back", "--owner", "jane@example.com")


@pytest.fixture
def broken(make_project: Callable[..., ProjectFolder]) -> ProjectFolder:
    folder = make_project()
    folder.cases({**case, "critical": False, "risk": "low"} for case in sample_cases(24))
    folder.run("run", "--set-baseline", "main", "--no-report", "--quiet")
    folder.edit("prompt.md", REFUSAL_RULE, "")
    folder.run("run", "--no-report", "--quiet")
    return folder


def test_several_cases_by_comma_and_the_file_to_commit(broken: ProjectFolder) -> None:
    done = broken.run(
        "accept", "--case", "address-005, address-011", "--case", "address-017", *SAID, "--expires", "10d"
    )
    assert done.code == 0, done.err
    last = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=10)
    assert done.out.splitlines()[0] == (
        f"shop: case address-005 may fail until {last} (answer: forbidden_text, refusal: under_refusal), "
        "jane@example.com"
    )
    assert "acceptances.yaml: commit it" in done.err
    entries = yaml.safe_load((broken.path / "acceptances.yaml").read_text())["acceptances"]
    assert [(entry["case"], entry["expires"]) for entry in entries] == [
        ("address-005", last), ("address-011", last), ("address-017", last),
    ]  # fmt: skip
    again = broken.run("accept", "--case", "address-005,address-011,address-017", *SAID)
    assert (again.code, again.out) == (0, done.out)
    assert "says so already" in again.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--case", "address-005", "--owner", "jane"), "--reason"),
        (("--case", "address-005", "--reason", "x"), "--owner"),
        (SAID, "--case"),
        (("--case", "address-005", "--most", "3", *SAID), "--slice"),
        (("--case", "address-005", "--expires", "soon", *SAID), "2026-12-31 or 30d"),
        (("--case", "answer-000", *SAID), "not worse"),
        (("NONE", "--case", "address-005", *SAID), "no run"),
    ],
)
def test_a_wrong_call_is_a_usage_error(broken: ProjectFolder, arguments: tuple[str, ...], says: str) -> None:
    done = broken.run("accept", *arguments)
    assert done.code == 2
    assert says in done.err
    assert not (broken.path / "acceptances.yaml").exists()


def test_hostile_text_stays_text(broken: ProjectFolder) -> None:
    reason = "::error::x\n\x1b[2J - {a: b} # c"
    assert broken.run("accept", "--case", "address-005", "--reason", reason, "--owner", "j: {").code == 0
    (entry,) = yaml.safe_load((broken.path / "acceptances.yaml").read_text())["acceptances"]
    assert (entry["reason"], entry["owner"]) == (reason, "j: {")
