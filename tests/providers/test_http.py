"""One exchange over HTTP against a real server: what is an answer, what is a fault, and where the time is counted."""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import json
import socket
import time
import tracemalloc
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from evalkit.errors import ExitCode
from evalkit.providers import CallError
from evalkit.providers.dialect import Fault
from evalkit.providers.http import HttpClient, HttpResult, Timeouts, retry_after
from evalkit.providers.sse import Event
from tests.proxies import PROXIES

from .loopback import BOTH_LOOPS, Action, Loopback, Sent, answer, chunked, drop, hang, raw, then_close

PATIENT = Timeouts(total=20)


def post(
    *actions: Action,
    payload: Mapping[str, Any] | None = None,
    on_event: Callable[[Event], bool] | None = None,
    **keys: Any,
) -> tuple[HttpResult, list[Sent]]:
    """The result of the last of as many exchanges as there are actions, and all requests."""

    async def run() -> tuple[HttpResult, list[Sent]]:
        client = HttpClient(**{"timeouts": PATIENT, **keys})
        async with Loopback(actions) as server:
            try:
                for _ in actions:
                    result = await client.post(f"{server.url}/x", payload or {}, on_event)
                return result, server.requests
            finally:
                await client.aclose()

    return asyncio.run(run())


def fault(action: Action, **keys: Any) -> CallError:
    """The error of one exchange, which makes one request."""
    requests: list[Sent] = []

    async def run() -> None:
        client = HttpClient(**{"timeouts": PATIENT, **keys})
        async with Loopback((action,), requests) as server:
            try:
                await client.post(f"{server.url}/x", {})
            finally:
                await client.aclose()

    with pytest.raises(CallError) as caught:
        asyncio.run(run())
    assert caught.value.exit_code is ExitCode.PROVIDER
    assert len(requests) == 1
    return caught.value


def test_an_answer_is_its_json_with_headers(recwarn: pytest.WarningsRecorder) -> None:
    result, requests = post(answer({"a": [1, "ü"]}, headers={"X-Id": "7"}), payload={"q": "größer", "n": 1.5})
    assert result.data == {"a": [1, "ü"]}
    assert result.headers["x-id"] == "7"
    assert requests[0].line == "POST /v1/x HTTP/1.1"
    assert requests[0].headers["content-type"] == "application/json"
    assert requests[0].headers["host"].startswith("127.0.0.1:")
    assert requests[0].json == {"q": "größer", "n": 1.5}
    assert len(recwarn) == 0


def test_headers_are_sent_with_every_request() -> None:
    _, requests = post(answer(), answer(), headers={"authorization": "Bearer k"})
    assert [sent.headers["authorization"] for sent in requests] == ["Bearer k"] * 2
    assert requests[0].body == requests[1].body


# ── statuses ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [408, 409, 429, 500, 501, 502, 503, 504, 505, 520, 529, 599])
def test_passing_faults_are_worth_another_attempt(status: int) -> None:
    error = fault(answer({"error": "busy"}, status))
    assert (error.kind, error.status, error.retry, error.fatal) == ("status", status, True, False)


@pytest.mark.parametrize(
    ("status", "fatal"),
    [(400, False), (401, True), (402, False), (403, True), (404, False), (413, False), (418, False), (422, False)],
)
def test_lasting_faults_are_not(status: int, fatal: bool) -> None:
    error = fault(answer({"error": {"message": "no  such\nmodel"}}, status))
    assert (error.kind, error.status, error.fatal, error.retry) == ("status", status, fatal, False)
    assert f'/v1/x: status {status}: {{"error": {{"message": "no such\\nmodel"}}}}' in error.message.replace("  ", " ")


def test_what_the_body_says_about_a_fault_counts() -> None:
    read: list[tuple[int, Any]] = []

    def of(status: int, data: Any) -> Fault:
        read.append((status, data))
        return Fault("content_policy", retry_after=7.5, fatal=True, retry=False)

    error = fault(answer({"why": 1}, 429), fault=of)
    assert read == [(429, {"why": 1})]
    assert (error.fault, error.retry_after, error.fatal, error.retry) == ("content_policy", 7.5, True, False)
    assert fault(answer(b"<html>", 500), fault=of).retry is False
    assert read[1] == (500, None)


def test_a_class_alone_leaves_the_rest_to_the_status() -> None:
    error = fault(answer({}, 503, {"retry-after": "3"}), fault=lambda *_: "context_window")
    assert (error.fault, error.retry_after, error.fatal, error.retry) == ("context_window", 3.0, False, True)


def test_the_pause_of_a_header_comes_before_that_of_the_body_and_both_are_bounded() -> None:
    asked = lambda *_: Fault(retry_after=500.0)  # noqa: E731
    assert fault(answer({}, 429, {"retry-after-ms": "250"}), fault=asked).retry_after == 0.25
    assert fault(answer({}, 429), fault=asked).retry_after == 60.0
    assert fault(answer({}, 429), fault=lambda *_: Fault()).retry_after is None


def test_what_is_fatal_is_not_tried_again_whatever_its_status() -> None:
    error = fault(answer({}, 429), fault=lambda *_: Fault(fatal=True))
    assert (error.fatal, error.retry) == (True, False)


# ── connections ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "action", [drop, raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"), raw(b"no HTTP\r\n\r\n")]
)
def test_a_connection_that_breaks_is_worth_another_attempt_on_a_new_one(action: Action) -> None:
    async def run() -> tuple[CallError, Any, list[int]]:
        client = HttpClient(timeouts=PATIENT)
        async with Loopback((then_close(action), answer({"ok": True}))) as server:
            with pytest.raises(CallError) as caught:
                await client.post(f"{server.url}/x", {})
            result = await client.post(f"{server.url}/x", {})
            await client.aclose()
        return caught.value, result.data, server.connections

    error, data, connections = asyncio.run(run())
    assert (error.kind, error.retry, error.status) == ("connect", True, None)
    assert (data, connections) == ({"ok": True}, [1, 2])


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        url = f"http://127.0.0.1:{found.getsockname()[1]}/v1"

    async def run() -> None:
        await HttpClient().post(f"{url}/x", {})

    with pytest.raises(CallError, match=r"127\.0\.0\.1:\d+/v1/x: .*[Cc]onnect") as caught:
        asyncio.run(run())
    assert (caught.value.kind, caught.value.retry) == ("connect", True)


def test_connections_are_kept_and_there_are_as_many_as_are_needed() -> None:
    async def run() -> list[int]:
        client = HttpClient()
        async with Loopback((answer(after=0.1),)) as server:
            for _ in range(4):
                await asyncio.gather(*(client.post(f"{server.url}/x", {}) for _ in range(3)))
            await client.aclose()
        return server.connections

    connections = asyncio.run(run())
    assert len(connections) == 12
    assert set(connections) == {1, 2, 3}


def test_a_client_that_was_closed_opens_new_connections() -> None:
    async def run() -> list[int]:
        client = HttpClient()
        async with Loopback((answer(),)) as server:
            for _ in range(2):
                await client.post(f"{server.url}/x", {})
                await client.aclose()
        return server.connections

    assert asyncio.run(run()) == [1, 2]


# ── proxies ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("where", ["127.0.0.1", "localhost"])
def test_what_is_on_this_machine_is_not_asked_for_through_a_proxy(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def run() -> Any:
        client = HttpClient()
        async with Loopback((answer({"ok": True}),)) as server:
            result = await client.post(f"{server.url.replace('127.0.0.1', where)}/x", {})
            await client.aclose()
        return result.data

    assert asyncio.run(run()) == {"ok": True}


def through(action: Action, url: str = "http://api.example.org/v1") -> tuple[Any, list[Sent]]:
    """What comes of a request to an address while the proxy is on loopback, and what the proxy was asked."""

    async def run() -> tuple[Any, list[Sent]]:
        client = HttpClient(timeouts=PATIENT)
        async with Loopback((action,)) as server:
            with pytest.MonkeyPatch.context() as patch:
                address = server.url.removesuffix("/v1")
                patch.setenv("HTTP_PROXY", address.replace("http://", "http://me:pa55w0rd@"))
                patch.setenv("https_proxy", address.removeprefix("http://"))
                patch.setenv("NO_PROXY", "internal.example.org,.local.invalid, 127.0.0.9:8080")
                try:
                    return await client.post(url, {"q": 1}), server.requests
                except CallError as error:
                    return error, server.requests
                finally:
                    await client.aclose()

    return asyncio.run(run())


def test_a_proxy_of_the_environment_is_asked_and_the_times_are_those_of_the_exchange() -> None:
    result, requests = through(answer({"ok": True}, after=0.1))
    assert isinstance(result, HttpResult)
    assert result.data == {"ok": True}
    assert requests[0].line == "POST http://api.example.org/v1 HTTP/1.1"
    assert requests[0].headers["host"] == "api.example.org"
    assert requests[0].headers["proxy-authorization"].startswith("Basic ")
    assert result.latency_us >= 100_000
    assert result.waited_us >= 0


def test_a_proxy_is_asked_for_a_tunnel_where_there_is_tls() -> None:
    error, requests = through(answer({}, 407), "https://api.example.org/v1")
    assert isinstance(error, CallError)
    assert requests[0].line == "CONNECT api.example.org:443 HTTP/1.1"
    assert (error.kind, error.retry) == ("connect", True)
    assert "https://api.example.org/v1: 407" in error.message


def test_a_proxy_that_hangs_up_is_a_fault_without_its_password() -> None:
    error, _ = through(drop)
    assert isinstance(error, CallError)
    assert (error.kind, error.retry) == ("connect", True)
    assert "pa55w0rd" not in str(error)


@pytest.mark.parametrize("host", ["internal.example.org", "a.local.invalid", "127.0.0.9:8080"])
def test_what_no_proxy_names_is_asked_directly(host: str) -> None:
    error, requests = through(answer({"ok": True}), f"http://{host}/v1")
    assert isinstance(error, CallError)
    assert (error.kind, requests) == ("connect", [])


@pytest.mark.parametrize("proxy", ["socks9://me:pa55w0rd@127.0.0.1:1", "http://me:pa55/w0rd@127.0.0.1:x"])
def test_a_proxy_that_is_none_ends_the_run_without_its_password(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)

    async def run() -> None:
        await HttpClient().post("http://api.example.org/v1", {})

    with pytest.raises(CallError, match=r"the proxy \w+://127\.0\.0\.1:\w of the environment") as caught:
        asyncio.run(run())
    assert caught.value.fatal
    assert "pa55" not in str(caught.value)


# ── bodies ──────────────────────────────────────────────────────────────────────────────────


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
def test_an_answer_that_is_not_json_is_a_fault_that_may_pass(
    body: bytes, headers: Mapping[str, str], says: str
) -> None:
    error = fault(answer(body, headers=headers))
    assert (error.kind, error.retry) == ("protocol", True)
    assert says in error.message


def test_json_under_another_name_is_json() -> None:
    assert post(answer(b'{"a": 1}', headers={"content-type": "text/plain"}))[0].data == {"a": 1}
    assert post(answer('{"a": "ü"}'.encode("utf-8-sig")))[0].data == {"a": "ü"}


def test_compressed_and_chunked_answers() -> None:
    packed = answer(gzip.compress(json.dumps({"a": "x" * 5000}).encode()), headers={"content-encoding": "gzip"})
    assert post(packed)[0].data == {"a": "x" * 5000}
    assert [sent.connection for sent in post(packed, packed, packed)[1]] == [1, 1, 1]
    assert post(chunked(b'{"a"', b": 1}"))[0].data == {"a": 1}


def test_an_answer_without_end_is_refused() -> None:
    error = fault(chunked(*[b" " * 0x100000] * 40))
    assert (error.kind, error.retry) == ("protocol", False)
    assert "larger than 33,554,432 bytes" in error.message


@BOTH_LOOPS
def test_a_hundred_megabytes_are_refused_before_they_are_taken(run: Callable[..., Any]) -> None:
    written = 0

    async def flood(writer: asyncio.StreamWriter, _: Sent, __: asyncio.Event) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n")
        for _number in range(400):
            writer.write(b" " * 262_144)
            await writer.drain()
            written += 262_144

    async def main() -> CallError:
        client = HttpClient(timeouts=PATIENT)
        async with Loopback((flood,)) as server:
            with pytest.raises(CallError) as caught:
                await client.post(f"{server.url}/x", {})
            await server.closed()
            await client.aclose()
        return caught.value

    error = run(main())
    assert "larger than 33,554,432 bytes" in error.message
    assert written < 60_000_000


def test_a_bomb_is_not_unpacked() -> None:
    """Half a megabyte that would be half a gigabyte; nothing but the memory would tell."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b" " * 0x100000) for _ in range(512)) + packer.flush()
    tracemalloc.start()
    try:
        error = fault(answer(bomb, headers={"content-encoding": "gzip"}))
        largest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "larger than 33,554,432 bytes" in error.message
    assert largest < 150_000_000


def test_a_large_answer_below_the_limit_is_taken() -> None:
    assert post(answer({"a": "x" * 3_000_000}))[0].data == {"a": "x" * 3_000_000}


# ── streams ─────────────────────────────────────────────────────────────────────────────────

STREAM = {"content-type": "text/event-stream; charset=utf-8"}


def test_events_are_handed_on_as_they_come_and_the_first_that_counts_is_timed() -> None:
    events: list[Event] = []

    def take(event: Event) -> bool:
        events.append(event)
        return event.data == "b"

    parts = (b"event: x\ndata: a\n\n", b"data: b\n\nda", b"ta: b\n\n", b"data: [DONE]")
    result, _ = post(chunked(*parts, headers=STREAM, between=0.1), on_event=take)
    assert events == [Event("x", "a"), Event("", "b"), Event("", "b"), Event("", "[DONE]")]
    assert result.data is None
    assert result.first_event_us is not None
    # the head, then `a`, then `b`, each a tenth of a second after what was before
    assert 200_000 <= result.first_event_us <= result.latency_us - 200_000


def test_a_last_event_without_its_end_counts() -> None:
    result, _ = post(chunked(b"data: a", headers=STREAM), on_event=lambda event: event.data == "a")
    assert result.first_event_us is not None


def test_a_target_that_does_not_stream_answers_as_a_whole() -> None:
    result, _ = post(answer({"a": 1}), on_event=lambda _: True)
    assert (result.data, result.first_event_us) == ({"a": 1}, None)


def test_an_error_is_no_stream() -> None:
    async def run() -> None:
        client = HttpClient()
        async with Loopback((answer(b"data: x\n\n", 500, STREAM),)) as server:
            try:
                await client.post(server.url, {}, lambda _: True)
            finally:
                await client.aclose()

    with pytest.raises(CallError, match="status 500: data: x"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("action", "kind", "says"),
    [
        (then_close(chunked(b"data: a\n\n", headers=STREAM, end=b"")), "connect", "in the middle of its answer"),
        (chunked(*[b"data: " + b"x" * 0x100000] * 40, headers=STREAM), "protocol", "larger than 33,554,432 bytes"),
    ],
    ids=["cut", "endless"],
)
def test_a_stream_that_breaks_is_a_fault_and_closes_its_connection(action: Action, kind: str, says: str) -> None:
    async def run() -> CallError:
        client = HttpClient(timeouts=PATIENT)
        async with Loopback((action,)) as server:
            with pytest.raises(CallError) as caught:
                await client.post(server.url, {}, lambda _: True)
            await server.closed()
            await client.aclose()
        return caught.value

    error = asyncio.run(run())
    assert (error.kind, says in error.message) == (kind, True)


def test_a_stream_that_cannot_be_unpacked_is_a_fault() -> None:
    async def run() -> None:
        client = HttpClient(timeouts=PATIENT)
        async with Loopback((answer(b"\x1f\x8b no", headers={**STREAM, "content-encoding": "gzip"}),)) as server:
            try:
                await client.post(server.url, {}, lambda _: True)
            finally:
                await client.aclose()

    with pytest.raises(CallError, match="decompressing") as caught:
        asyncio.run(run())
    assert (caught.value.kind, caught.value.retry) == ("protocol", True)


def test_a_stream_is_unpacked_where_it_was_compressed_unasked() -> None:
    packed = gzip.compress(b"data: a\n\ndata: b\n\n")
    seen: list[str] = []
    stream = answer(packed, headers={**STREAM, "content-encoding": "gzip"})

    def take(event: Event) -> bool:
        seen.append(event.data)
        return True

    post(stream, stream, on_event=take)
    assert seen == ["a", "b"] * 2


def test_what_a_reader_raises_goes_to_its_caller_and_the_connection_is_closed() -> None:
    def take(event: Event) -> bool:
        raise KeyError(event.data)

    async def run() -> None:
        client = HttpClient()
        async with Loopback((chunked(b"data: a\n\n", b"data: b\n\n", headers=STREAM, between=0.02),)) as server:
            with pytest.raises(KeyError, match="a"):
                await client.post(server.url, {}, take)
            await server.closed()
            await client.aclose()

    asyncio.run(run())


# ── time ────────────────────────────────────────────────────────────────────────────────────


@BOTH_LOOPS
@pytest.mark.parametrize(
    ("action", "timeouts", "says"),
    [
        (hang, Timeouts(total=0.1), "timed out, no whole answer in 0.1 s"),
        (hang, Timeouts(first_byte=0.1, total=9), "timed out, no answer had begun after 0.1 s"),
        (
            raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{", between=60),
            Timeouts(first_byte=0.1, total=0.3),
            "timed out, no whole answer in 0.3 s",
        ),
        (
            raw(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n", *[b" "] * 900, between=0.02),
            Timeouts(first_byte=5, total=0.3),
            "timed out, no whole answer in 0.3 s",
        ),
    ],
    ids=["silence", "no first byte", "no last byte", "trickle"],
)
def test_what_takes_too_long_is_a_timeout_and_closes_its_connection(
    run: Callable[..., Any], action: Action, timeouts: Timeouts, says: str
) -> None:
    async def main() -> CallError:
        client = HttpClient(timeouts=timeouts)
        async with Loopback((action,)) as server:
            with pytest.raises(CallError) as caught:
                await client.post(f"{server.url}/x", {})
            server._closing.set()
            await server.closed()
            await client.aclose()
        return caught.value

    error = run(main())
    assert (error.kind, error.retry, error.fatal) == ("timeout", True, False)
    assert error.message.endswith(f"/v1/x: {says}")


def test_a_task_that_is_cancelled_is_cancelled_also_where_its_time_is_up_at_once() -> None:
    async def run() -> bool:
        client = HttpClient(timeouts=Timeouts(first_byte=0.05, total=9))
        async with Loopback((hang,)) as server:
            task = asyncio.create_task(client.post(server.url, {}))
            while not server.requests:
                await asyncio.sleep(0.001)
            # the loop is held until the timeout is due too, so that both come in one turn
            time.sleep(0.1)
            asyncio.get_running_loop().call_soon(task.cancel)
            await asyncio.wait([task])
            await client.aclose()
        return task.cancelled()

    assert asyncio.run(run())


def test_the_latency_goes_to_the_last_byte() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n"
    result, _ = post(raw(head, b'{"a"', b": 1}", between=0.1))
    assert result.data == {"a": 1}
    assert result.latency_us >= 200_000


def test_the_first_event_is_timed_where_it_came_and_so_never_after_the_last_byte() -> None:
    def slow(_: Event) -> bool:
        time.sleep(0.2)
        return True

    result, _ = post(answer(b"data: a\n\ndata: b\n\n", headers=STREAM), on_event=slow)
    assert result.first_event_us is not None
    assert result.first_event_us <= result.latency_us


def test_the_latency_is_not_that_of_a_busy_loop() -> None:
    """Bytes that are there count from when they were read, not from when their reader had its turn."""

    async def run() -> HttpResult:
        client = HttpClient(timeouts=PATIENT)
        async with Loopback((answer(after=0.05),)) as server:
            task = asyncio.create_task(client.post(server.url, {}))
            while not client._direct._all:
                await asyncio.sleep(0)
            (connection,) = client._direct._all
            received = connection.data_received

            def busy(data: bytes) -> None:
                received(data)
                time.sleep(0.5)

            connection.data_received = busy  # type: ignore[method-assign]
            result = await task
            await client.aclose()
        return result

    assert asyncio.run(run()).latency_us < 500_000


def test_a_connection_that_is_opened_is_no_part_of_the_latency() -> None:
    result, _ = post(answer(after=0.1))
    assert result.waited_us > 0
    assert result.latency_us >= 100_000


# ── pauses that are asked for ───────────────────────────────────────────────────────────────


def http_date(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


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
        ({"retry-after": "Wed, 21 Oct 99999999999999 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 +99999999999999"}, None),
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


def test_the_pause_comes_with_the_error() -> None:
    assert fault(answer({}, 429, {"Retry-After": "30"})).retry_after == 30.0
    assert fault(answer({}, 429)).retry_after is None
