"""Servers and settings that mean harm, or are merely wrong: every outcome is a CallError, and no key is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

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


@pytest.mark.xfail(strict=True, reason="the body of an error is quoted as it came, with the key in it")
def test_a_server_that_repeats_the_key_does_not_get_it_into_the_error() -> None:
    error = against(echo, key=KEY)
    assert "status 401" in str(error)
    assert KEY not in str(error)


@pytest.mark.xfail(strict=True, reason="h11 quotes the header that it refuses: a key read with its line end is shown")
def test_a_key_with_a_line_end_is_not_shown() -> None:
    error = outcome(answer(), headers={"authorization": f"Bearer {KEY}\n"}, attempts=1)
    assert isinstance(error, CallError)
    assert KEY not in str(error)


@pytest.mark.parametrize("key", ["sk-…", "schlüssel"])
@pytest.mark.xfail(
    strict=True, raises=UnicodeEncodeError, reason="a key that is not ASCII ends in a UnicodeEncodeError"
)
def test_a_key_that_cannot_be_a_header_is_a_call_error(key: str) -> None:
    error = asked(OpenAIChat("p", "http://127.0.0.1:1/v1", key))
    assert key not in str(error)


@pytest.mark.xfail(strict=True, reason="the address is quoted with the password in it")
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


@pytest.mark.xfail(strict=True, reason="the identity goes into the fingerprint's content, which is stored and shown")
def test_a_password_in_the_address_is_not_part_of_the_identity() -> None:
    target = OpenAIChat("p", f"https://me:{KEY}@api.example.org/v1")
    assert KEY not in str(target.identity)


# ── servers ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.xfail(
    strict=True, reason="httpx's timeout is for each read: a server that sends a byte now and then holds on"
)
def test_an_attempt_ends_at_its_timeout_however_many_bytes_come() -> None:
    drip = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n", *[b" "] * 12, b"{}", between=0.15)
    error = outcome(drip, timeout=1.0, attempts=1)
    assert isinstance(error, CallError)
    assert error.kind == "timeout"


@pytest.mark.parametrize("status", [301, 302, 304, 307, 308])
@pytest.mark.xfail(strict=True, reason="everything below 400 counts as an answer")
def test_a_redirection_is_no_answer(status: int) -> None:
    moved = answer({"choices": []}, status, {"location": "http://127.0.0.1:1/elsewhere"})
    error = outcome(moved if status != 304 else raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"), answer({"second": True}))
    assert isinstance(error, CallError)
    assert error.kind == "status"
    assert str(status) in str(error)


@pytest.mark.xfail(strict=True, reason="httpx.DecodingError is no TransportError, so it comes through")
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_answer_that_cannot_be_unpacked_is_a_fault_of_the_protocol(encoding: str) -> None:
    error = outcome(answer(b'{"a": 1}', headers={"content-encoding": encoding}), attempts=1)
    assert isinstance(error, CallError)
    assert error.kind == "protocol"


@pytest.mark.xfail(strict=True, raises=RecursionError, reason="deeply nested JSON raises RecursionError")
def test_an_answer_that_is_nested_too_deeply_is_a_fault_of_the_protocol() -> None:
    error = outcome(answer(b"[" * 100_000 + b"]" * 100_000), attempts=1)
    assert isinstance(error, CallError)
    assert error.kind == "protocol"


@pytest.mark.parametrize(
    "last", [answer({}, 400), raw(b"HTTP/1.1 200 OK\r\ncontent-length: 40000000\r\n\r\n", b" " * 34_000_000)]
)
@pytest.mark.xfail(strict=True, reason="a lasting fault counts as the first attempt, whichever it was")
def test_the_attempts_before_a_lasting_fault_are_counted(last: Action) -> None:
    error = outcome(answer({}, 500, {"retry-after-ms": "0"}), last)
    assert isinstance(error, CallError)
    assert error.attempts == 2


def test_what_an_error_quotes_is_short_and_text() -> None:
    error = outcome(answer(b"\xff" * 5000 + b"\x1b[31m", 400))
    assert isinstance(error, CallError)
    assert len(str(error)) < 500
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
@pytest.mark.xfail(
    strict=True, raises=ValueError, reason="httpx cannot write the request, and its ValueError comes through"
)
def test_a_request_that_is_no_json_is_a_call_error(request_: ChatRequest) -> None:
    assert against(answer(completion()), request=request_).kind == "protocol"


@pytest.mark.parametrize("address", ["http://127.0.0.1:99999/v1", "http://[::1/v1", "http://a\x00b/v1"])
@pytest.mark.xfail(strict=True, reason="an address that httpx does not take ends in its own exception")
def test_an_impossible_address_is_a_call_error(address: str) -> None:
    assert asked(OpenAIChat("p", address)).kind == "connect"
