"""Which pull request an event is about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import UsageError
from evalkit.github import Api, ApiError, Place, PullRequest, find_pull_request, place_of

from .loopback import TOKEN, Fault, GitHub

HEAD, OTHER = "a" * 40, "b" * 40


def found(hub: GitHub, event: str, **payload: Any) -> PullRequest | None:
    place = Place(hub.url, "o/r", TOKEN, event, payload)
    with Api(hub.url, "o/r", TOKEN) as api:
        return find_pull_request(place, api)


def followed(**fields: Any) -> dict[str, Any]:
    run = {"head_sha": HEAD, "head_branch": "fix", "head_repository": {"owner": {"login": "fork"}}, "pull_requests": []}
    return {"workflow_run": {**run, **fields}}


@pytest.mark.parametrize("event", ["pull_request", "pull_request_target", "pull_request_review"])
def test_a_pull_request_names_itself(hub: GitHub, event: str) -> None:
    assert found(hub, event, number=7, pull_request={"number": 7, "head": {"sha": HEAD}}) == PullRequest(7, HEAD)
    assert hub.requests == []


def test_an_entry_of_the_merge_queue_names_it_in_its_branch(hub: GitHub) -> None:
    ref = f"refs/heads/gh-readonly-queue/main/pr-12-{OTHER}"
    assert found(hub, "merge_group", merge_group={"head_ref": ref, "head_sha": HEAD}) == PullRequest(12, HEAD)
    assert found(hub, "merge_group", merge_group={"head_ref": "refs/heads/pr-12"}) is None


def test_a_comment_on_a_pull_request_but_not_on_an_issue(hub: GitHub) -> None:
    assert found(hub, "issue_comment", issue={"number": 5, "pull_request": {}}) == PullRequest(5)
    assert found(hub, "issue_comment", issue={"number": 5}) is None


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("push", {"ref": "refs/heads/main"}),
        ("schedule", {}),
        ("pull_request", {}),
        ("pull_request", {"number": True}),
        ("workflow_run", {"workflow_run": {"head_sha": "no"}}),
        ("merge_group", {"merge_group": []}),
    ],
)
def test_other_events_are_about_none(hub: GitHub, event: str, payload: dict[str, Any]) -> None:
    assert found(hub, event, **payload) is None


def test_a_run_that_follows_finds_it_in_the_event(hub: GitHub) -> None:
    named = [{"number": 3, "head": {"sha": OTHER}}, {"number": 4, "head": {"sha": HEAD}}]
    assert found(hub, "workflow_run", **followed(pull_requests=named)) == PullRequest(4, HEAD)
    assert hub.requests == []


def test_a_run_that_follows_one_of_a_fork_asks_github_by_commit(hub: GitHub) -> None:
    hub.pulls = [
        {"number": 3, "state": "open", "head": {"sha": OTHER}},
        {"number": 5, "state": "closed", "head": {"sha": HEAD}},
        {"number": 9, "state": "open", "head": {"sha": HEAD}},
    ]
    assert found(hub, "workflow_run", **followed()) == PullRequest(9, HEAD)


def test_a_server_that_stumbles_is_asked_again(hub: GitHub) -> None:
    hub.pulls = [{"number": 9, "state": "open", "head": {"sha": HEAD}}]
    planned = [Fault(502), Fault(403, headers={"retry-after": "7"})]
    hub.fault = lambda _method, _path: planned.pop() if planned else None
    waits: list[float] = []
    with Api(hub.url, "o/r", TOKEN) as api:
        place = Place(hub.url, "o/r", TOKEN, "workflow_run", followed())
        assert find_pull_request(place, api, sleep=waits.append) == PullRequest(9, HEAD)
    assert waits == [7.0, 4.0]


def test_a_server_that_stays_down_is_not_asked_for_ever(hub: GitHub) -> None:
    hub.fault = lambda _method, _path: Fault(500, "oops")
    waits: list[float] = []
    place = Place(hub.url, "o/r", TOKEN, "workflow_run", followed())
    with Api(hub.url, "o/r", TOKEN) as api, pytest.raises(ApiError, match="500: oops"):
        find_pull_request(place, api, sleep=waits.append)
    assert len(waits) == 3


def test_a_head_that_moved_on_is_left_to_its_own_run(hub: GitHub) -> None:
    hub.pulls = [{"number": 9, "state": "open", "head": {"sha": OTHER}}]
    assert found(hub, "workflow_run", **followed()) is None


def test_the_environment_says_where(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"number": 7}), encoding="utf-8")
    environment = {
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_EVENT_PATH": str(event),
    }
    place = place_of(environment)
    assert (place.api_url, place.repository, place.payload) == ("https://api.github.com", "o/r", {"number": 7})
    assert TOKEN not in repr(place)
    for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN"):
        with pytest.raises(UsageError, match=name):
            place_of({key: value for key, value in environment.items() if key != name})


@pytest.mark.parametrize("repository", ["o", "o/r/x", "../r", "o/r?x=1", "o/r#", "o /r", "@evil.example/o/r"])
def test_a_repository_is_an_owner_and_a_name(repository: str) -> None:
    with pytest.raises(UsageError, match="not a repository"):
        place_of({"GITHUB_REPOSITORY": repository, "GITHUB_TOKEN": TOKEN})


def test_an_event_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    for content in ("{", "[" * 100_000):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(UsageError, match="event"):
            place_of({"GITHUB_REPOSITORY": "o/r", "GITHUB_TOKEN": TOKEN, "GITHUB_EVENT_PATH": str(file)})
