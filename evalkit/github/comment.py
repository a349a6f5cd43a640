"""One comment on a pull request, found again by its first line and edited in place.

A comment is ours when its author is the account of the token and it begins with our marker: anybody can write the
marker, and a token that may write may edit what others wrote. The second line says, for the next one, what this one was
about. Each try looks for the comment anew, so that one that got through without an answer is not made twice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from evalkit.github.api import Api, ApiError, patiently

__all__ = ["LIMITS", "Comment", "Posted", "post"]

LIMITS = (60_000, 30_000, 10_000)
"""Most characters of a comment: as it should be, and what is tried when that is called too long (HTTP 422)."""
_PAGE = 100
_MOST_PAGES = 100
_STATE = re.compile(
    r"<!-- evalkit:state verdict=(?P<verdict>[A-Z a-z]+) commit=(?P<commit>[0-9a-f]*) at=(?P<at>\d{1,17})"
    r" previous=(?P<previous>[A-Za-z0-9 ]*) -->"
)
_TOO_LONG = 422


@dataclass(frozen=True)
class Comment:
    """What to say.

    Args:
        marker: Its first line.
        verdict: The verdict's name.
        commit: The commit that it is about; empty where nobody knows.
        at_us: When it was judged, in microseconds since 1970.
        render: Makes the text, which begins with the marker, in at most so many characters; told what the comment
            said before, as ``PASS at 51c0aa9``.
        always: Whether there must be a comment; otherwise one is only kept up to date.
    """

    marker: str
    verdict: str
    commit: str
    at_us: int
    render: Callable[[int, str], str]
    always: bool = True


@dataclass(frozen=True)
class Posted:
    """What became of it."""

    action: Literal["created", "updated", "unchanged", "unwanted", "superseded", "denied", "failed"]
    """``unwanted``: a clean pass, and no comment to keep up to date. ``superseded``: a newer verdict stands there.
    ``denied``: the token may not comment here. ``failed``: anything else."""
    url: str = ""
    reason: str = ""


def post(api: Api, number: int, comment: Comment, *, sleep: Callable[[float], None] = time.sleep) -> Posted:
    """Make, edit or leave the comment on a pull request. Never raises because of what the API says.

    Args:
        api: The repository.
        number: The pull request's.
        comment: What to say.
        sleep: Waits so many seconds.
    """
    limits = list(LIMITS)

    def shorter_and_shorter() -> Posted:
        while True:
            try:
                return _post(api, number, comment, limits[0])
            except ApiError as error:
                if error.status != _TOO_LONG or len(limits) == 1:
                    raise
                limits.pop(0)

    try:
        return patiently(shorter_and_shorter, sleep)
    except ApiError as error:
        return Posted("denied" if error.denied else "failed", reason=error.message)


def _post(api: Api, number: int, comment: Comment, limit: int) -> Posted:
    mine = _ours(api, number, comment.marker)
    if not mine:
        if not comment.always:
            return Posted("unwanted")
        made = api.call("POST", f"issues/{number}/comments", {"body": _body(comment, limit, "")})
        return Posted("created", _url(made))
    first, *doubles = mine
    state = _STATE.search(first["body"])
    if state and int(state["at"]) > comment.at_us:
        return Posted("superseded", _url(first))
    body = _body(comment, limit, _previous(state, comment))
    changed = _plain(first["body"]) != _plain(body)
    if changed:
        api.call("PATCH", f"issues/comments/{first['id']}", {"body": body})
    for double in doubles:
        _remove(api, double)
    return Posted("updated" if changed else "unchanged", _url(first))


def _remove(api: Api, double: dict[str, Any]) -> None:
    """Two jobs at once make two comments; the older is kept. One that stays does no harm."""
    try:
        api.call("DELETE", f"issues/comments/{double['id']}")
    except ApiError as error:
        if error.transient:
            raise


def _previous(state: re.Match[str] | None, comment: Comment) -> str:
    """What the comment said about the commit before; of the same commit, what was said then."""
    if state is None:
        return ""
    if state["commit"] == comment.commit and state["verdict"] == comment.verdict:
        return state["previous"]
    at = f" at {state['commit'][:7]}" if state["commit"] else ""
    return f"{state['verdict']}{at}"


def _body(comment: Comment, limit: int, previous: str) -> str:
    commit = comment.commit if re.fullmatch("[0-9a-f]*", comment.commit) else ""
    state = (
        f"<!-- evalkit:state verdict={comment.verdict} commit={commit} at={min(max(comment.at_us, 0), 10**17 - 1)} "
        f"previous={previous} -->\n"
    )
    text = comment.render(limit - len(state), previous)
    first, _, rest = text.partition("\n")
    return f"{first}\n{state}{rest}"


def _plain(body: str) -> str:
    """A text as GitHub may give it back; a mere difference of when the same was judged is none."""
    same = _STATE.sub(lambda found: found.group().replace(f"at={found['at']}", "at="), body, count=1)
    return same.replace("\r\n", "\n").rstrip()


def _ours(api: Api, number: int, marker: str) -> list[dict[str, Any]]:
    """Our comments, the oldest first."""
    found = [item for item in _comments(api, number) if item["body"].partition("\n")[0].rstrip() == marker]
    if not found:
        return []
    viewer = api.viewer()
    return sorted((item for item in found if _is_by(item, viewer)), key=lambda item: int(item["id"]))


def _is_by(item: dict[str, Any], viewer: str) -> bool:
    """Whether the viewer wrote it. GraphQL and REST do not agree on the suffix of a bot; a bot is one in both."""
    user = item.get("user")
    login, kind = (str(user.get(key, "")) for key in ("login", "type")) if isinstance(user, dict) else ("", "")
    if not viewer:
        return kind == "Bot"
    if viewer.endswith("[bot]"):
        return kind == "Bot" and login.removesuffix("[bot]") == viewer.removesuffix("[bot]")
    return login == viewer


def _comments(api: Api, number: int) -> Iterator[dict[str, Any]]:
    for page in range(1, _MOST_PAGES + 1):
        items = api.call("GET", f"issues/{number}/comments", per_page=_PAGE, page=page)
        if not isinstance(items, list):
            raise ApiError("the API answered something that is no list of comments", status=502)
        for item in items:
            if isinstance(item, dict) and isinstance(item.get("id"), int) and isinstance(item.get("body"), str):
                yield item
        if len(items) < _PAGE:
            return


def _url(item: Any) -> str:
    url = item.get("html_url") if isinstance(item, dict) else ""
    return url if isinstance(url, str) else ""
