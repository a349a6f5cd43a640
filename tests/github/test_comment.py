"""One comment, found again and edited in place, whatever the API does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from evalkit.errors import UsageError
from evalkit.github import Api, Comment, Posted, post

from .loopback import TOKEN, Fault, GitHub

MARKER = "<!-- evalkit:sticky workflow=shop -->"
COMMIT = "9f3c2e1" + "0" * 33
USER = {"login": "mallory", "type": "User"}


def comment(text: str = "BLOCKED: no", **fields: Any) -> Comment:
    def render(limit: int, previous: str) -> str:
        return f"{MARKER}\n{text}{f' previous: {previous}' if previous else ''}\n"[:limit]

    return replace(Comment(MARKER, "BLOCKED", COMMIT, 1_000_000, render), **fields)


def say(hub: GitHub, what: Comment, waits: list[float] | None = None) -> Posted:
    with Api(hub.url, "o/r", TOKEN) as api:
        return post(api, 7, what, sleep=(waits if waits is not None else []).append)


def test_without_a_comment_one_is_made_in_two_requests(hub: GitHub) -> None:
    done = say(hub, comment())
    assert done == Posted("created", "https://github.com/c/1")
    assert hub.requests == [("GET", "/repos/o/r/issues/7/comments"), ("POST", "/repos/o/r/issues/7/comments")]
    assert hub.comments[0]["body"].startswith(f"{MARKER}\n<!-- evalkit:state verdict=BLOCKED commit={COMMIT} ")
    assert hub.comments[0]["body"].endswith("BLOCKED: no\n")
    assert hub.tokens == {f"Bearer {TOKEN}"}


def test_the_same_again_is_no_write(hub: GitHub) -> None:
    say(hub, comment())
    hub.requests.clear()
    assert say(hub, comment(at_us=2_000_000)).action == "unchanged"
    assert hub.writes == []


def test_a_body_that_comes_back_with_other_line_ends_is_the_same(hub: GitHub) -> None:
    say(hub, comment())
    hub.comments[0]["body"] = hub.comments[0]["body"].replace("\n", "\r\n").rstrip()
    assert say(hub, comment()).action == "unchanged"


def test_another_verdict_edits_it_and_says_what_it_said(hub: GitHub) -> None:
    hub.say("first!", USER)
    say(hub, comment())
    later = comment("PASS", verdict="PASS", commit="51c0aa9" + "0" * 33, at_us=2_000_000, always=False)
    assert say(hub, later).action == "updated"
    assert [item["body"].splitlines()[-1] for item in hub.comments] == ["first!", "PASS previous: BLOCKED at 9f3c2e1"]
    assert say(hub, later).action == "unchanged", "of the same commit, what was said before stays"


def test_of_two_the_older_is_kept_and_the_other_removed(hub: GitHub) -> None:
    for text in ("one", "two", "three"):
        hub.say(f"{MARKER}\n{text}")
    hub.say("<!-- evalkit:sticky workflow=other -->\nanother project's")
    assert say(hub, comment()).action == "updated"
    assert [item["id"] for item in hub.comments] == [1, 4]
    assert "BLOCKED: no" in hub.comments[0]["body"]


def test_more_than_a_hundred_comments_are_paged_through(hub: GitHub) -> None:
    for number in range(230):
        hub.say(f"comment {number}", USER)
    hub.say(f"{MARKER}\nold")
    for number in range(20):
        hub.say(f"comment {number}", USER)
    assert say(hub, comment()).action == "updated"
    assert len(hub.comments) == 251
    assert hub.requests.count(("GET", "/repos/o/r/issues/7/comments")) == 3


@pytest.mark.parametrize("viewer", ["github-actions[bot]", None])
@pytest.mark.parametrize(
    "text", [MARKER, f"{MARKER}\n<!-- evalkit:state verdict=PASS commit= at=99999999999999 previous= -->"]
)
def test_nobody_elses_comment_is_touched_whatever_it_says(hub: GitHub, viewer: str | None, text: str) -> None:
    hub.viewer = viewer
    hub.say(text, USER)
    hub.say(text, {"login": "github-actions", "type": "User"})
    before = [dict(item) for item in hub.comments]
    assert say(hub, comment()).action == "created"
    assert hub.comments[:2] == before


def test_a_quoted_marker_is_no_marker(hub: GitHub) -> None:
    hub.say(f"look:\n{MARKER}\nx")
    hub.say(f"> {MARKER}")
    assert say(hub, comment()).action == "created"


def test_a_person_with_a_token_of_their_own_has_one_too(hub: GitHub) -> None:
    hub.viewer = "jane"
    hub.say(f"{MARKER}\nold", {"login": "jane", "type": "User"})
    hub.say(f"{MARKER}\nold")
    assert say(hub, comment()).action == "updated"
    assert "BLOCKED" in hub.comments[0]["body"]
    assert hub.comments[1]["body"] == f"{MARKER}\nold"


def test_a_clean_pass_is_said_only_where_something_was_said(hub: GitHub) -> None:
    quiet = comment("PASS", verdict="PASS", always=False)
    assert say(hub, quiet).action == "unwanted"
    assert hub.writes == []
    say(hub, comment())
    assert say(hub, replace(quiet, at_us=2_000_000)).action == "updated"


def test_an_older_verdict_does_not_replace_a_newer_one(hub: GitHub) -> None:
    say(hub, comment(at_us=2_000_000))
    before = hub.comments[0]["body"]
    assert say(hub, comment("older", at_us=1_000_000)).action == "superseded"
    assert hub.comments[0]["body"] == before


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_token_that_may_not_is_denied_at_once(hub: GitHub, status: int, method: str) -> None:
    hub.fault = lambda asked, _path: (
        Fault(status, "Resource not accessible by integration") if asked == method else None
    )
    waits: list[float] = []
    done = say(hub, comment(), waits)
    assert (done.action, done.reason) == ("denied", f"{status}: Resource not accessible by integration")
    assert not waits
    assert hub.comments == []


def faults(*planned: Fault | None, method: str = "") -> Callable[[str, str], Fault | None]:
    queue = list(planned)
    return lambda asked, _path: queue.pop(0) if queue and asked.startswith(method) else None


def test_too_long_is_tried_shorter(hub: GitHub) -> None:
    hub.longest = 20_000
    long = comment(render=lambda limit, _previous: f"{MARKER}\n{'x' * 100_000}"[:limit])
    assert say(hub, long).action == "created"
    assert len(hub.comments[0]["body"]) == 10_000
    assert hub.writes == ["POST"] * 3


def test_too_long_at_every_length_fails_and_ends(hub: GitHub) -> None:
    hub.longest = 10
    done = say(hub, comment())
    assert done.action == "failed"
    assert "too long" in done.reason
    assert hub.writes == ["POST"] * 3


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_that_stumbles_is_asked_again(hub: GitHub, status: int) -> None:
    hub.fault = faults(Fault(status), Fault(status))
    waits: list[float] = []
    assert say(hub, comment(), waits).action == "created"
    assert waits == [1.0, 4.0]


def test_a_server_that_stays_down_fails_and_ends(hub: GitHub) -> None:
    hub.fault = lambda _method, _path: Fault(500, "oops")
    waits: list[float] = []
    assert say(hub, comment(), waits) == Posted("failed", reason="500: oops")
    assert len(waits) == 3


def test_a_comment_that_got_through_without_an_answer_is_not_made_twice(hub: GitHub) -> None:
    hub.fault = faults(Fault(502, after=True), method="POST")
    assert say(hub, comment()).action == "unchanged"
    assert len(hub.comments) == 1


@pytest.mark.parametrize(
    ("fault", "wait"),
    [
        (Fault(403, headers={"retry-after": "7"}), 7.0),
        (Fault(429, headers={"retry-after": "3"}), 3.0),
        (Fault(403, "You have exceeded a secondary rate limit"), 1.0),
        (Fault(403, headers={"x-ratelimit-remaining": "0"}), 1.0),
        (Fault(429, headers={"retry-after": "soon"}), 1.0),
    ],
)
def test_a_limit_of_the_rate_is_waited_for(hub: GitHub, fault: Fault, wait: float) -> None:
    hub.fault = faults(fault)
    waits: list[float] = []
    assert say(hub, comment(), waits).action == "created"
    assert waits == [wait]


def test_an_hour_is_not_waited_for(hub: GitHub) -> None:
    hub.fault = lambda _method, _path: Fault(429, headers={"retry-after": "3600"})
    waits: list[float] = []
    assert say(hub, comment(), waits).action == "failed"
    assert not waits


def test_a_server_that_is_not_there_fails_without_raising() -> None:
    with Api("http://127.0.0.1:9", "o/r", TOKEN, timeout=1) as api:
        assert post(api, 7, comment(), sleep=lambda _: None).action == "failed"


def test_a_double_that_may_not_be_removed_does_no_harm(hub: GitHub) -> None:
    for text in ("one", "two"):
        hub.say(f"{MARKER}\n{text}")
    hub.fault = lambda method, _path: Fault(403) if method == "DELETE" else None
    assert say(hub, comment()).action == "updated"


@pytest.mark.parametrize("answer", [{"not": "a list"}, "text", [1, None, {"id": "x", "body": 5}, {"body": MARKER}]])
def test_an_answer_that_makes_no_sense_raises_nothing(hub: GitHub, answer: Any) -> None:
    real = hub.answer
    hub.answer = lambda method, *rest: (200, answer) if method == "GET" else real(method, *rest)  # type: ignore[method-assign]
    assert say(hub, comment()).action == ("created" if isinstance(answer, list) else "failed")


def test_a_hostile_message_of_the_server_is_shown_and_not_obeyed(hub: GitHub) -> None:
    hub.fault = lambda _method, _path: Fault(400, "::error::x\n##[group]\x1b[2J")
    reason = say(hub, comment()).reason
    assert "\n" not in reason
    assert "##[" not in reason
    assert "\x1b" not in reason


def test_the_token_goes_over_https_or_stays_here() -> None:
    with pytest.raises(UsageError, match="not https"):
        Api("http://github.example", "o/r", TOKEN)
