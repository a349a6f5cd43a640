"""Where a workflow runs: the repository, and the pull request that it is about.

The event's file is GitHub's own and is trusted; branch names in it are somebody's and are not. For a run that follows
another one (``workflow_run``) the pull request is the one whose head is the commit that the other run was of, as GitHub
says it; what that run left behind is not asked.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalkit.errors import UsageError
from evalkit.github.api import Api, patiently

__all__ = ["Place", "PullRequest", "find_pull_request", "place_of"]

_QUEUED = re.compile(r"refs/heads/gh-readonly-queue/.+/pr-(\d+)-[0-9a-f]{40,64}")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_MOST_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Place:
    """What the environment of a workflow says."""

    api_url: str
    repository: str
    token: str = field(repr=False)
    event: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class PullRequest:
    """A pull request, and the commit of it that was judged; empty where that is not known."""

    number: int
    head: str = ""


def place_of(environment: Mapping[str, str]) -> Place:
    """The place that the variables ``GITHUB_*`` describe.

    Raises:
        UsageError: when one is missing or wrong; says which.
    """
    for name, fix in (
        ("GITHUB_REPOSITORY", "set it to owner/name; GitHub's runners do"),
        ("GITHUB_TOKEN", "give it to the step: env: {GITHUB_TOKEN: ${{ github.token }}}"),
    ):
        if not environment.get(name):
            raise UsageError(f"{name} is not set", fix=fix)
    repository = environment["GITHUB_REPOSITORY"]
    if not _REPOSITORY.fullmatch(repository) or ".." in repository:
        raise UsageError("not a repository", key="GITHUB_REPOSITORY", value=repository, fix="set it to owner/name")
    return Place(
        api_url=environment.get("GITHUB_API_URL") or "https://api.github.com",
        repository=repository,
        token=environment["GITHUB_TOKEN"],
        event=environment.get("GITHUB_EVENT_NAME", ""),
        payload=_payload(environment.get("GITHUB_EVENT_PATH", "")),
    )


def _payload(path: str) -> Mapping[str, Any]:
    if not path:
        return {}
    try:
        with open(Path(path), "rb") as handle:
            data = json.loads(handle.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"the event cannot be read: {error}", key="GITHUB_EVENT_PATH", value=path) from None
    return data if isinstance(data, dict) else {}


def find_pull_request(place: Place, api: Api, *, sleep: Callable[[float], None] = time.sleep) -> PullRequest | None:
    """The pull request that the event is about; None where it is about none, as a push.

    Args:
        place: What the environment says.
        api: Asked where the event does not name it.
        sleep: Waits so many seconds.

    Raises:
        ApiError: when the API has to be asked, and does not say.
    """
    payload = place.payload
    if place.event == "workflow_run":
        return patiently(lambda: _followed(_mapping(payload, "workflow_run"), api), sleep)
    if place.event == "merge_group":
        group = _mapping(payload, "merge_group")
        queued = _QUEUED.fullmatch(str(group.get("head_ref", "")))
        return PullRequest(int(queued.group(1)), _commit(group.get("head_sha"))) if queued else None
    proposed = _mapping(payload, "pull_request")
    number = proposed.get("number", payload.get("number"))
    if place.event.startswith("pull_request") and _is_number(number):
        return PullRequest(number, _commit(_mapping(proposed, "head").get("sha")))
    issue = _mapping(payload, "issue")
    if "pull_request" in issue and _is_number(issue.get("number")):
        return PullRequest(issue["number"])
    return None


def _followed(run: Mapping[str, Any], api: Api) -> PullRequest | None:
    """The open pull request whose head the other run was of. For one from a fork the event names none."""
    head = _commit(run.get("head_sha"))
    if not head:
        return None
    named = _of_head(run.get("pull_requests"), head)
    if named is not None:
        return named
    owner = _mapping(_mapping(run, "head_repository"), "owner").get("login")
    branch = run.get("head_branch")
    if isinstance(owner, str) and isinstance(branch, str):
        found = _of_head(api.call("GET", "pulls", state="open", head=f"{owner}:{branch}", per_page=100), head)
        if found is not None:
            return found
    return _of_head(api.call("GET", f"commits/{head}/pulls", per_page=100), head)


def _of_head(pulls: Any, head: str) -> PullRequest | None:
    """The one whose head is this commit: a newer push will be judged for itself."""
    items: Iterable[Any] = pulls if isinstance(pulls, list) else ()
    for item in items:
        if not isinstance(item, dict) or item.get("state", "open") != "open" or not _is_number(item.get("number")):
            continue
        if _mapping(item, "head").get("sha") == head:
            return PullRequest(item["number"], head)
    return None


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _commit(value: Any) -> str:
    return value if isinstance(value, str) and _COMMIT.fullmatch(value) else ""
