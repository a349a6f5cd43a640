"""Servers and settings that mean harm, or are merely wrong: a call ends in a CallError, and no key is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from evalkit.errors import ConfigError
from evalkit.providers import CallError, ChatRequest, OpenAIChat
from evalkit.providers.http import HttpClient
from evalkit.records import Message, ToolCall

from .loopback import Action, Loopback, Sent, answer, completion, raw

KEY = "sk-live-53cr3t"
ASKED = ChatRequest("m-1", (Message("user", "hello"),))


def outcome(*actions: Action, payload: Mapping[str, Any] | None = None, **keys: Any) -> Any:
    """What one call comes to: the data, or the error."""

    async def run() -> Any:
        client = HttpClient(**{"timeout": 20.0, "attempts": 2, **keys})
        async with Loopback(actions) as server:
            try:
                return (await client.post(f"{server.url}/x", payload or {})).data
            except CallError as error:
                return error
            finally:
                await client.aclose()

    return asyncio.run(run())


def asked(target: OpenAIChat, request: ChatRequest = ASKED) -> CallError:
    """The error of a target."""

    async def run() -> None:
        try:
            await target.complete(request)
        finally:
            await target.aclose()

    with pytest.raises(CallError) as caught:
        asyncio.run(run())
    return caught.value


def against(*actions: Action, request: ChatRequest = ASKED, key: str | None = None) -> CallError:
    """The error of a target on loopback."""

    async def run() -> CallError:
        async with Loopback(actions) as server:
            target = OpenAIChat("p", server.url, key, timeout=20)
            try:
                await target.complete(request)
            except CallError as error:
                return error
            finally:
                await target.aclose()
        raise AssertionError("it answered")

    return asyncio.run(run())


# ── keys ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [400, 401, 403])
def test_the_key_is_not_in_an_error_about_it(status: int) -> None:
    error = against(answer({"error": {"message": "Incorrect API key provided"}}, status), key=KEY)
    assert "Incorrect API key provided" in str(error)
    assert KEY not in f"{error} {error!r} {error.__dict__}"


def test_the_key_is_sent_and_nowhere_else_to_be_seen() -> None:
    target = OpenAIChat("p", "https://api.example.org/v1", KEY)
    assert KEY not in repr(target)
    assert KEY not in str(target.identity)


async def echo(writer: asyncio.StreamWriter, sent: Sent, closing: asyncio.Event) -> None:
    await answer({"error": f"bad key: {sent.headers['authorization']}"}, 401)(writer, sent, closing)


def test_a_server_that_repeats_the_key_does_not_get_it_into_the_error() -> None:
    error = against(echo, key=KEY)
    assert 'status 401: {"error": "bad key: Bearer [secret]"}' in str(error)
    assert KEY not in str(error)


def test_a_key_at_the_place_where_a_quotation_is_cut_is_not_shown_in_part() -> None:
    for length in range(280, 301):
        error = against(answer(b"x" * length + KEY.encode(), 400), key=KEY)
        assert KEY[:4] not in str(error)


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY} ", f"{KEY}\r\nx-other: 1", f"{KEY}\x7f", "sk-…", "schlüssel"])
def test_a_key_that_cannot_be_a_header_ends_the_run_and_is_not_shown(key: str) -> None:
    error = asked(OpenAIChat("p", "http://127.0.0.1:1/v1", key))
    assert (error.kind, error.fatal) == ("protocol", True)
    assert str(error) == "the header `authorization` holds what cannot be sent"


def test_a_password_in_the_address_is_not_shown() -> None:
    async def run() -> CallError:
        client = HttpClient(attempts=1, timeout=20)
        async with Loopback((answer({}, 400),)) as server:
            try:
                await client.post(server.url.replace("http://", f"http://me:{KEY}@"), {})
            except CallError as error:
                return error
            finally:
                await client.aclose()
        raise AssertionError("it answered")

    error = asyncio.run(run())
    assert "status 400" in str(error)
    assert KEY not in str(error)


def test_a_password_in_the_address_is_not_part_of_the_identity() -> None:
    target = OpenAIChat("p", f"https://me:{KEY}@api.example.org/v1")
    assert KEY not in str(target.identity)


# ── servers ─────────────────────────────────────────────────────────────────────────────────


def test_an_attempt_ends_at_its_timeout_however_many_bytes_come() -> None:
    drip = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n", *[b" "] * 12, b"{}", between=0.15)
    error = outcome(drip, timeout=1.0, attempts=1)
    assert isinstance(error, CallError)
    assert error.kind == "timeout"


@pytest.mark.parametrize("status", [301, 302, 304, 307, 308])
def test_a_redirection_is_no_answer(status: int) -> None:
    moved = answer({"choices": []}, status, {"location": "http://127.0.0.1:1/elsewhere"})
    error = outcome(moved if status != 304 else raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"), answer({"second": True}))
    assert isinstance(error, CallError)
    assert error.kind == "status"
    assert f"status {status}" in str(error)
    assert ("moved to http://127.0.0.1:1/elsewhere, which is not followed" in str(error)) == (status != 304)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_answer_that_cannot_be_unpacked_is_a_fault_of_the_protocol(encoding: str) -> None:
    error = outcome(answer(b'{"a": 1}', headers={"content-encoding": encoding}), attempts=1)
    assert isinstance(error, CallError)
    assert error.kind == "protocol"


def test_an_answer_that_is_nested_too_deeply_is_a_fault_of_the_protocol() -> None:
    error = outcome(answer(b"[" * 100_000 + b"]" * 100_000), attempts=1)
    assert isinstance(error, CallError)
    assert error.kind == "protocol"


@pytest.mark.parametrize(
    "last", [answer({}, 400), raw(b"HTTP/1.1 200 OK\r\ncontent-length: 40000000\r\n\r\n", b" " * 34_000_000)]
)
def test_the_attempts_before_a_lasting_fault_are_counted(last: Action) -> None:
    error = outcome(answer({}, 500, {"retry-after-ms": "0"}), last)
    assert isinstance(error, CallError)
    assert error.attempts == 2


def test_what_an_error_quotes_is_short_and_safe_to_print() -> None:
    error = outcome(answer(b"\x1b[31m##[error]" + b"\xff" * 5000, 400))
    assert isinstance(error, CallError)
    assert len(str(error)) < 500
    assert "⟦U+001B⟧[31m##⟦error]" in str(error)
    assert "\ufffd" * 20 in str(error)


# ── requests and addresses ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "request_",
    [
        ChatRequest("m", (Message("user", "a\ud800b"),)),
        ChatRequest("m", (Message("assistant", "", (ToolCall("look\ud800up", {}, "i"),)),)),
        ChatRequest("m", (Message("user", "x"),), params={"temperature": float("nan")}),
    ],
    ids=["surrogate in a message", "surrogate in a tool name", "NaN"],
)
def test_a_request_that_is_no_json_is_a_call_error(request_: ChatRequest) -> None:
    assert against(answer(completion()), request=request_).kind == "protocol"


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:99999/v1",
        "http://h:port/v1",
        "http://[::1/v1",
        "http://a\x00b/v1",
        "http://a b/v1",
        "http://xn--/v1",
        "http://a]b/v1",
        "http:///v1",
        "",
        "localhost:8080/v1",
        "ftp://h/v1",
        "https://h/v1?api-version=1",
        "https://h/v1#here",
    ],
)
def test_an_impossible_address_is_refused_before_any_call(address: str) -> None:
    with pytest.raises(ConfigError, match="not an address up to the version") as caught:
        OpenAIChat("p", address)
    assert (caught.value.key, caught.value.value) == ("providers.p.base_url", address)


def test_an_impossible_address_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        OpenAIChat("p", f"https://me:{KEY}@h:port/v1")
    assert caught.value.value == "https://h:port/v1"
