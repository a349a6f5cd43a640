"""Servers and settings that mean harm, or are merely wrong: a call ends in a CallError, and no key is shown."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from typing import Any

import pytest

from evalkit.providers import CallError, ChatRequest, OpenAIChatDialect
from evalkit.providers.anthropic import AnthropicMessages
from evalkit.providers.app import AppDialect
from evalkit.providers.dialect import Dialect
from evalkit.providers.http import HttpClient, Timeouts
from evalkit.providers.vendor import HttpVendor
from evalkit.records import Message, ToolCall

from .loopback import Action, Loopback, Sent, answer, chunked, completion, raw

KEY = "sk-live-53cr3t"
ASKED = ChatRequest("m-1", (Message("user", "hello"),))
PATIENT = Timeouts(total=20)


def outcome(action: Action, *, timeouts: Timeouts = PATIENT, headers: Mapping[str, str] | None = None) -> Any:
    """What one exchange comes to: the data, or the error."""

    async def run() -> Any:
        client = HttpClient(timeouts=timeouts, headers=headers)
        async with Loopback((action,)) as server:
            try:
                return (await client.post(f"{server.url}/x", {})).data
            except CallError as error:
                return error
            finally:
                await client.aclose()

    return asyncio.run(run())


def asked(target: HttpVendor, request: ChatRequest = ASKED) -> CallError:
    """The error of a target."""

    async def run() -> None:
        try:
            await target.complete(request)
        finally:
            await target.aclose()

    with pytest.raises(CallError) as caught:
        asyncio.run(run())
    return caught.value


def against(
    *actions: Action,
    request: ChatRequest = ASKED,
    key: str | None = None,
    user: str = "",
    stream: bool = False,
    dialect: Dialect | None = None,
) -> CallError:
    """The error of a target on loopback."""
    spoken = dialect or OpenAIChatDialect()

    async def run() -> CallError:
        async with Loopback(actions) as server:
            url = server.url.replace("//", f"//{user}")
            if dialect is not None:
                url = url.removesuffix("/v1")
            target = HttpVendor("p", spoken, base_url=url, key=key, timeouts=PATIENT, stream=stream)
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


async def echo(writer: asyncio.StreamWriter, sent: Sent, closing: asyncio.Event) -> None:
    await answer({"error": f"bad key: {sent.headers['authorization']}"}, 401)(writer, sent, closing)


def test_a_server_that_repeats_the_key_does_not_get_it_into_the_error() -> None:
    error = against(echo, key=KEY)
    assert 'status 401: {"error": "bad key: Bearer [secret]"}' in str(error)
    assert KEY not in str(error)


def test_nor_where_it_is_written_with_escapes() -> None:
    key = "Zm9v/YmFy+cXV4"
    body = b'{"error": "bad key: Zm9v\\/YmFy\\u002bcXV4"}'
    assert 'status 401: {"error": "bad key: [secret]"}' in str(against(answer(body, 401), key=key))


def test_nor_a_part_of_it_behind_a_long_gap() -> None:
    for length in range(2970, 3001, 3):
        error = against(answer(b"bad key:" + b" " * length + KEY.encode(), 400), key=KEY)
        assert KEY[:4] not in str(error)


def test_nor_the_beginning_of_one_that_was_cut() -> None:
    key = "sk-live-" + "0123456789" * 6
    body = completion(usage={"prompt_tokens": f"{key}", "completion_tokens": 1})
    error = str(against(answer(body), key=key))
    assert "[secret]" in error
    assert key[:4] not in error


@pytest.mark.parametrize("length", range(260, 300, 3))
def test_nor_a_part_in_what_an_application_reports(length: int) -> None:
    error = str(against(answer({"error": "x" * length + KEY}), key=KEY, dialect=AppDialect()))
    assert "reports an error" in error
    assert KEY[:4] not in error


@pytest.mark.parametrize("stream", [False, True])
def test_nor_within_an_answer(stream: bool) -> None:
    body = {"error": {"message": "x" * 250 + f"bad key: {KEY}", "code": 400}}
    error = against(answer(body), key=KEY, stream=stream)
    assert "bad key: [sec" in str(error)
    assert KEY[:4] not in str(error)
    events = chunked(b'data: {"error": {"message": "bad key: %s"}}\n\n' % KEY.encode(), headers=STREAM)
    assert KEY[:4] not in str(against(events, key=KEY, stream=stream))


STREAM = {"content-type": "text/event-stream"}


def test_nor_where_its_words_begin_as_ours_do() -> None:
    async def echo_as_ours(writer: asyncio.StreamWriter, sent: Sent, closing: asyncio.Event) -> None:
        error = {"type": f"http://{sent.headers['host']}/v1/messages", "message": sent.headers["x-api-key"]}
        await answer({"type": "error", "error": error})(writer, sent, closing)

    error = against(echo_as_ours, key=KEY, dialect=AnthropicMessages())
    assert "/v1/messages: [secret]" in str(error)
    assert KEY not in str(error)


def test_nor_where_an_answer_is_something_else() -> None:
    body = completion(usage={"prompt_tokens": f"{KEY}\x1b[31m", "completion_tokens": 1})
    error = against(answer(body), key=KEY)
    assert "not an answer of kind openai" in str(error)
    assert KEY not in str(error)
    assert "\x1b" not in str(error)


def test_a_key_at_the_place_where_a_quotation_is_cut_is_not_shown_in_part() -> None:
    for length in range(280, 301):
        error = against(answer(b"x" * length + KEY.encode(), 400), key=KEY)
        assert KEY[:4] not in str(error)


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY} ", f"{KEY}\r\nx-other: 1", f"{KEY}\x7f", "sk-…", "schlüssel"])
def test_a_key_that_cannot_be_a_header_ends_the_run_and_is_not_shown(key: str) -> None:
    error = asked(HttpVendor("p", OpenAIChatDialect(), base_url="http://127.0.0.1:1/v1", key=key))
    assert (error.kind, error.fatal) == ("protocol", True)
    assert str(error) == "the header `authorization` holds what cannot be sent"


def test_a_password_in_the_address_is_not_shown() -> None:
    error = against(answer({}, 400), user=f"me:{KEY}@")
    assert "status 400" in str(error)
    assert KEY not in str(error)


def test_a_password_in_the_address_that_a_server_repeats_is_not_shown() -> None:
    error = against(echo, user="me:p%2Fw-53cr3t@")
    assert "bad key: Basic [secret]" in str(error)
    for action in (answer(b"who is p/w-53cr3t?", 400), answer({}, 302, {"location": "http://p/w-53cr3t"})):
        assert "53cr3t" not in str(against(action, user="me:p%2Fw-53cr3t@"))


def test_a_password_that_is_part_of_another_secret_hides_no_less() -> None:
    headers = {"x-short": "abc", "x-long": "abcdef"}
    error = outcome(answer(b"abcdef abc", 400), headers=headers)
    assert str(error).endswith("status 400: [secret] [secret]")


@pytest.mark.parametrize(
    "url",
    ["http://h\x00/v1", "http://xn--a/v1", f"http://me:{KEY}@h:port/v1", f"http://me:{KEY}/x@h:port/", "x" * 70_000],
)
def test_an_address_that_is_none_is_a_call_error_without_its_password(url: str) -> None:
    async def run() -> None:
        await HttpClient().post(url, {})

    with pytest.raises(CallError, match=r"not an address|neither http nor https") as caught:
        asyncio.run(run())
    assert not caught.value.retry
    assert KEY not in str(caught.value)
    assert len(str(caught.value)) < 1000


# ── servers ─────────────────────────────────────────────────────────────────────────────────


def test_an_attempt_ends_at_its_timeout_however_many_bytes_come() -> None:
    drip = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n", *[b" "] * 12, b"{}", between=0.15)
    error = outcome(drip, timeouts=Timeouts(total=1.0))
    assert isinstance(error, CallError)
    assert error.kind == "timeout"


@pytest.mark.parametrize("status", [301, 302, 304, 307, 308])
def test_a_redirection_is_no_answer(status: int) -> None:
    moved = answer({"choices": []}, status, {"location": "http://127.0.0.1:1/elsewhere"})
    error = outcome(moved if status != 304 else raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"))
    assert isinstance(error, CallError)
    assert (error.kind, error.retry, error.fatal) == ("status", False, False)
    assert f"status {status}" in str(error)
    assert ("moved to http://127.0.0.1:1/elsewhere, which is not followed" in str(error)) == (status != 304)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_packed_more_than_once_is_not_unpacked(stream: bool) -> None:
    bomb = gzip.compress(gzip.compress(b" " * 1000))
    headers = {"content-encoding": "gzip, gzip", **(STREAM if stream else {})}
    error = against(answer(bomb, headers=headers), stream=stream)
    assert "compressed more than once" in error.message
    assert (error.kind, error.retry) == ("protocol", True)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_answer_that_cannot_be_unpacked_is_a_fault_of_the_protocol(encoding: str) -> None:
    error = outcome(answer(b'{"a": 1}', headers={"content-encoding": encoding}))
    assert isinstance(error, CallError)
    assert (error.kind, error.retry) == ("protocol", True)


def test_an_answer_that_is_nested_too_deeply_is_a_fault_of_the_protocol() -> None:
    error = outcome(answer(b"[" * 100_000 + b"]" * 100_000))
    assert isinstance(error, CallError)
    assert error.kind == "protocol"


def test_what_an_error_quotes_is_short_and_safe_to_print() -> None:
    error = outcome(answer(b"\x1b[31m##[error]" + b"\xff" * 5000, 400))
    assert isinstance(error, CallError)
    assert len(str(error)) < 500
    assert "⟦U+001B⟧[31m##⟦error]" in str(error)
    assert "\ufffd" * 20 in str(error)


@pytest.mark.parametrize(
    "action",
    [
        answer(b"<html>", headers={"content-type": "##[error]" + "x" * 5000}),
        raw(b"SSH-2.0 ##[error]\x1b[31m\r\n\r\n"),
        answer({}, 302, {"location": "##[error]" + "x" * 5000}),
    ],
    ids=["content type", "no HTTP", "location"],
)
def test_so_is_everything_else_that_a_server_says(action: Action) -> None:
    error = outcome(action)
    assert isinstance(error, CallError)
    assert len(str(error)) < 500
    assert "##[error]" not in str(error)
    assert str(error).isprintable()


# ── requests ────────────────────────────────────────────────────────────────────────────────


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
    error = against(answer(completion()), request=request_)
    assert (error.kind, error.retry) == ("protocol", False)
