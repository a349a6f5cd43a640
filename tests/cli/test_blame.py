"""``evalkit blame`` as a user calls it."""

from __future__ import annotations

import json

import pytest

from tests.conftest import ProjectFolder


def test_the_last_line_names_the_change_and_what_it_has_cost(broken: ProjectFolder) -> None:
    done = broken.run("blame")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert [line.split() for line in lines[1:3]] == [["prompt:answer", "100%", "✖"], ["model:default", "0%"]]
    assert lines[-1].startswith("prompt:answer breaks 100.0% of 4 broken cases by itself")
    assert "Found with 16 model calls for $0.00" in lines[-1]
    assert "all models are simulated" in lines
    assert "model:default: 0% fail; 4 calls" in done.err


def test_json_holds_every_configuration_that_was_asked(broken: ProjectFolder) -> None:
    done = broken.run("blame", "--no-confirm", "--most", "2", "--format", "json")
    data = json.loads(done.out)
    assert data["attribution"]["causes"] == ["prompt:answer"]
    assert [item["changes"] for item in data["asked"]] == [
        [], ["model:default", "prompt:answer"], ["model:default"], ["prompt:answer"],
    ]  # fmt: skip
    assert [item["calls"] for item in data["asked"]] == [0, 0, 2, 2]
    assert data["simulated"] is True


def test_latest_is_still_the_run_of_the_project(broken: ProjectFolder) -> None:
    before = broken.run("gate", "--format", "json")
    broken.run("blame")
    after = broken.run("gate", "--format", "json")
    runs = [json.loads(done.out)["workflows"][0]["candidate_run"] for done in (before, after)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--cases", "answer-000"), 2, "did not get worse"),
        (("NONE",), 2, "no run"),
        (("--most", "0"), 2, "--most"),
    ],
)
def test_a_wrong_call_is_a_usage_error(broken: ProjectFolder, arguments: tuple[str, ...], code: int, says: str) -> None:
    done = broken.run("blame", *arguments)
    assert done.code == code
    assert says in done.err
