"""The HTTP client against a real server: what is retried, what is not, and where the time is counted."""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from evalkit.errors import ExitCode
from evalkit.providers import CallError
from evalkit.providers.http import HttpClient, HttpResult, retry_after
from tests.proxies import PROXIES

from .loopback import Action, Loopback, Sent, answer, drop, hang, raw

AT_ONCE = {"retry-after-ms": "0"}


def post(*actions: Action, payload: Mapping[str, Any] | None = None, **keys: Any) -> tuple[HttpResult, list[Sent]]:
    """The result of one call, and the requests that it took."""

    async def run() -> tuple[HttpResult, list[Sent]]:
        client = HttpClient(**{"timeout": 20.0, "attempts": 2, **keys})
        async with Loopback(actions) as server:
            try:
                return await client.post(f"{server.url}/x", payload or {}), server.requests
            finally:
                await client.aclose()

    return asyncio.run(run())


def fault(*actions: Action, **keys: Any) -> tuple[CallError, int]:
    """The error of one call, and how many requests it took."""
    requests: list[Sent] = []

    async def run() -> None:
        client = HttpClient(**{"timeout": 20.0, "attempts": 2, **keys})
        async with Loopback(actions, requests) as server:
            try:
                await client.post(f"{server.url}/x", {})
            finally:
                await client.aclose()

    with pytest.raises(CallError) as caught:
        asyncio.run(run())
    assert caught.value.exit_code is ExitCode.PROVIDER
    return caught.value, len(requests)


def test_an_answer_is_its_json_with_headers(recwarn: pytest.WarningsRecorder) -> None:
    result, requests = post(answer({"a": [1, "ü"]}, headers={"X-Id": "7"}), payload={"q": "größer", "n": 1.5})
    assert result.data == {"a": [1, "ü"]}
    assert result.headers["x-id"] == "7"
    assert (result.attempts, len(requests)) == (1, 1)
    assert requests[0].line == "POST /v1/x HTTP/1.1"
    assert requests[0].headers["content-type"] == "application/json"
    assert requests[0].json == {"q": "größer", "n": 1.5}
    assert len(recwarn) == 0


def test_headers_are_sent_with_every_attempt() -> None:
    _, requests = post(answer(status=503, headers=AT_ONCE), answer(), headers={"authorization": "Bearer k"})
    assert [sent.headers["authorization"] for sent in requests] == ["Bearer k"] * 2
    assert requests[0].body == requests[1].body


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_passing_faults_are_tried_again(status: int) -> None:
    result, requests = post(answer({"error": "busy"}, status, AT_ONCE), answer({"ok": True}))
    assert result.data == {"ok": True}
    assert (result.attempts, len(requests)) == (2, 2)


@pytest.mark.parametrize(
    ("status", "fatal"),
    [(400, False), (401, True), (403, True), (404, False), (413, False), (422, False), (501, False)],
)
def test_lasting_faults_are_not(status: int, fatal: bool) -> None:
    error, requests = fault(answer({"error": {"message": "no  such\nmodel"}}, status), answer({"ok": True}))
    assert (error.kind, error.fatal, error.attempts, requests) == ("status", fatal, 1, 1)
    assert f'/v1/x: status {status}: {{"error": {{"message": "no such\\nmodel"}}}}' in error.message.replace("  ", " ")


def test_attempts_are_used_up() -> None:
    error, requests = fault(answer({"error": "busy"}, 500, AT_ONCE), attempts=3)
    assert (error.kind, error.attempts, requests) == ("status", 3, 3)
    assert 'status 500: {"error": "busy"} (after 3 attempts)' in error.message


@pytest.mark.parametrize(
    "action", [drop, raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"), raw(b"no HTTP\r\n\r\n")]
)
def test_a_connection_that_breaks_is_tried_again(action: Action) -> None:
    async def broken(writer: asyncio.StreamWriter, sent: Sent, closing: asyncio.Event) -> None:
        await action(writer, sent, closing)
        writer.close()

    result, requests = post(broken, answer({"ok": True}))
    assert (result.data, result.attempts, len(requests)) == ({"ok": True}, 2, 2)
    assert requests[0].connection != requests[1].connection
    assert fault(broken, attempts=1)[0].kind == "connect"


def test_nobody_listens() -> None:
    async def run() -> None:
        async with Loopback((answer(),)) as server:
            url = server.url
        client = HttpClient(attempts=2)
        try:
            await client.post(f"{url}/x", {})
        finally:
            await client.aclose()

    with pytest.raises(CallError, match=r"127\.0\.0\.1:\d+/v1/x: .*after 2 attempts") as caught:
        asyncio.run(run())
    assert caught.value.kind == "connect"


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"<html>Bad gateway</html>", {"content-type": "text/html"}, "not JSON (text/html, 24 bytes)"),
        (b'{"a": ', {"content-type": "application/json"}, "not JSON (application/json, 6 bytes)"),
        (b"", {}, "not JSON (no content type, 0 bytes)"),
        (b"data: {}\n\n", {"content-type": "text/event-stream"}, "not JSON (text/event-stream, 10 bytes)"),
        (b"\xff\xfe", {}, "not JSON (no content type, 2 bytes)"),
    ],
)
def test_an_answer_that_is_not_json_is_a_fault(body: bytes, headers: Mapping[str, str], says: str) -> None:
    error, requests = fault(answer(body, headers=headers), attempts=1)
    assert (error.kind, requests) == ("protocol", 1)
    assert says in error.message


def test_an_answer_that_is_not_json_is_tried_again() -> None:
    result, requests = post(answer(b"<html>"), answer({"ok": True}))
    assert (result.data, result.attempts, len(requests)) == ({"ok": True}, 2, 2)


def test_json_under_another_name_is_json() -> None:
    assert post(answer(b'{"a": 1}', headers={"content-type": "text/plain"}))[0].data == {"a": 1}
    assert post(answer('{"a": "ü"}'.encode("utf-8-sig")))[0].data == {"a": "ü"}


def test_compressed_and_chunked_answers() -> None:
    packed = gzip.compress(json.dumps({"a": "x" * 5000}).encode())
    assert post(answer(packed, headers={"content-encoding": "gzip"}))[0].data == {"a": "x" * 5000}
    chunks = raw(b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{"a"\r\n', b"4\r\n: 1}\r\n0\r\n\r\n")
    assert post(chunks)[0].data == {"a": 1}


def test_an_answer_without_end_is_refused() -> None:
    megabyte = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    endless = raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", *[megabyte] * 40)
    error, requests = fault(endless)
    assert (error.kind, requests) == ("protocol", 1)
    assert "larger than 33,554,432 bytes" in error.message


def test_a_large_answer_below_the_limit_is_taken() -> None:
    assert post(answer({"a": "x" * 3_000_000}))[0].data == {"a": "x" * 3_000_000}


def test_silence_is_a_timeout() -> None:
    error, requests = fault(hang, timeout=0.1)
    assert (error.kind, error.attempts, requests) == ("timeout", 2, 2)
    assert "timed out, no whole answer in 0.1 s (after 2 attempts)" in error.message
    stalled = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{", between=60)
    assert fault(stalled, timeout=0.1, attempts=1)[0].kind == "timeout"
    assert post(hang, answer({"ok": True}), timeout=1.0)[0].attempts == 2


def test_connections_are_kept_and_limited() -> None:
    async def run() -> list[int]:
        client = HttpClient(connections=3)
        async with Loopback((answer(after=0.2),)) as server:
            await asyncio.gather(*(client.post(f"{server.url}/x", {}) for _ in range(12)))
            await client.aclose()
        return [sent.connection for sent in server.requests]

    connections = asyncio.run(run())
    assert len(connections) == 12
    assert set(connections) == {1, 2, 3}


def test_what_is_on_this_machine_is_not_asked_for_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert post(answer({"ok": True}), attempts=1)[0].data == {"ok": True}


# ── waiting ─────────────────────────────────────────────────────────────────────────────────


def http_date(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "30"},
        {"retry-after": "30.5"},
        {"Retry-After": http_date(900)},
        {"Retry-After-Ms": "30000"},
        {"retry-after-ms": "30000", "retry-after": "0"},
    ],
)
def test_a_wait_that_is_asked_for_and_does_not_fit_ends_the_call(headers: Mapping[str, str]) -> None:
    error, requests = fault(answer({}, 429, headers), answer({"ok": True}), deadline=20, attempts=4)
    assert (error.kind, error.attempts, requests) == ("status", 1, 1)
    assert "status 429" in error.message


@pytest.mark.parametrize(
    "headers",
    [{"Retry-After": "0"}, {"Retry-After": http_date(-60)}, AT_ONCE, {"retry-after-ms": "0", "retry-after": "30"}],
)
def test_a_wait_that_is_over_is_none(headers: Mapping[str, str]) -> None:
    result, _ = post(answer({}, 429, headers), answer({"ok": True}), deadline=20)
    assert (result.data, result.attempts) == ({"ok": True}, 2)


def test_the_wait_that_is_asked_for_is_kept_and_counted() -> None:
    longest_own_pause_us = 500_000
    result, _ = post(answer({}, 429, {"retry-after-ms": "700"}), answer())
    assert result.waited_us >= 700_000 > longest_own_pause_us


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "3600"}, 60.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, 60.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "1.2.3"}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "-250"}, 0.0),
        ({"retry-after-ms": "1e9"}, 60.0),
        ({"retry-after-ms": "inf"}, 60.0),
        ({"retry-after-ms": "nan"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
    ],
)
def test_seconds_to_wait(headers: Mapping[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_the_other_header_counts_where_one_is_broken() -> None:
    assert retry_after({"retry-after-ms": "soon", "retry-after": "9"}) == 9.0


def test_a_date_is_counted_from_now() -> None:
    wait = retry_after({"retry-after": http_date(30)})
    assert wait is not None
    assert 0 < wait <= 30


# ── where the time goes ─────────────────────────────────────────────────────────────────────


def test_the_latency_is_that_of_the_attempt_that_answered_and_the_waits_are_beside_it() -> None:
    began = time.perf_counter()
    result, _ = post(answer({}, 500, {"retry-after-ms": "100"}, after=0.2), answer({"ok": True}, after=0.15))
    whole_us = (time.perf_counter() - began) * 1e6
    assert result.waited_us >= 300_000
    assert result.latency_us >= 150_000
    assert result.waited_us + result.latency_us <= whole_us


def test_the_latency_goes_to_the_last_byte() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n"
    result, _ = post(raw(head, b'{"a"', b": 1}", between=0.1))
    assert result.data == {"a": 1}
    assert result.latency_us >= 200_000


def test_a_first_attempt_waits_for_nothing() -> None:
    result, _ = post(answer(after=0.1))
    assert result.waited_us < result.latency_us
    assert result.latency_us >= 100_000


def test_what_waits_for_a_connection_waits_and_is_not_late() -> None:
    async def run() -> list[HttpResult]:
        client = HttpClient(connections=1)
        async with Loopback((answer(after=0.1),)) as server:
            try:
                return await asyncio.gather(*(client.post(f"{server.url}/x", {}) for _ in range(3)))
            finally:
                await client.aclose()

    first, second, third = asyncio.run(run())
    assert first.waited_us < 100_000 <= second.waited_us
    assert third.waited_us >= 200_000
    assert third.latency_us < third.waited_us
