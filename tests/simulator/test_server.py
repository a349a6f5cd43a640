"""The simulated models behind HTTP: one connection or many, requests that are none, and who may connect."""

from __future__ import annotations

import asyncio
import json
import math
import socket
from collections.abc import Awaitable
from typing import Any

import httpx
import pytest

from evalkit.errors import ExitCode, UsageError
from evalkit.simulator import PROFILES, Server, start_server
from evalkit.simulator.model import complete

from .serving import served
from .world import payload

HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
Received = tuple[int, dict[str, str], Any]


def chat(body: object = None, head: str = "") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(payload("What?") if body is None else body).encode()
    return f"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {len(content)}\r\n{head}\r\n".encode() + content


async def receive(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers, json.loads(body)


async def spoken(server: Server, *parts: bytes, answers: int = 1) -> tuple[list[Received], bool]:
    """What comes back for these bytes on one connection, and whether the server then closed it."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        found = [await asyncio.wait_for(receive(reader), 30) for _ in range(answers)]
        if found and found[-1][1]["connection"] == "keep-alive":
            return found, False
        return found, await asyncio.wait_for(reader.read(), 30) == b""
    finally:
        writer.close()
        await writer.wait_closed()


def speak(*parts: bytes, answers: int = 1) -> tuple[list[Received], bool]:
    return served(lambda server: spoken(server, *parts, answers=answers))


def get(server: Server, path: str) -> Awaitable[httpx.Response]:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.get(server.base_url.removesuffix("/v1") + path)

    return run()


def test_a_completion_over_http_is_that_of_the_model_and_labelled() -> None:
    ((status, headers, body),), closed = speak(chat())
    assert (status, closed) == (200, False)
    assert body == complete(payload("What?")).body
    assert headers["x-evalkit-simulated"] == "1"
    assert headers["content-type"] == "application/json"
    assert (body["model"], body["system_fingerprint"]) == ("sim-flawless-1", "evalkit-simulator-2")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/health", {"status": "ok"}),
        ("/health?x=1", {"status": "ok"}),
        ("/v1/models", {"object": "list", "data": [{"id": profile.name, "object": "model"} for profile in PROFILES]}),
    ],
)
def test_what_else_can_be_asked(path: str, body: Any) -> None:
    response = served(lambda server: get(server, path))
    assert (response.status_code, response.json()) == (200, body)
    assert response.headers["x-evalkit-simulated"] == "1"


def test_requests_are_counted_by_kind_and_model() -> None:
    async def use(server: Server) -> Any:
        await spoken(server, chat(), chat(payload("a", model="sim-small-1")), chat(b"{}"), HEALTH, answers=4)
        while server._connections:
            await asyncio.sleep(0)
        return (await get(server, "/stats")).json()

    assert served(use) == {
        "requests": 3, "other": 1, "refused": 1, "abandoned": 0, "answers": {"sim-flawless-1": 1, "sim-small-1": 1},
        "faults": {}, "in_flight": 0, "most_in_flight": 1, "connections": 1, "connections_opened": 2,
        "distinct_bodies": 3,
    }  # fmt: skip


def test_one_connection_serves_many_requests() -> None:
    async def use(server: Server) -> list[int]:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        statuses = []
        for request in (HEALTH, chat(), chat(b"["), HEALTH):
            writer.write(request)
            statuses.append((await receive(reader))[0])
        writer.close()
        await writer.wait_closed()
        return statuses

    assert served(use) == [200, 200, 400, 200]


def test_requests_that_come_at_once_are_answered_in_their_order() -> None:
    questions = [f"How long may number {number} wait?" for number in range(20)]
    found, _ = speak(b"".join(chat(payload(question)) for question in questions) + HEALTH, answers=21)
    assert [body["id"] for _, _, body in found[:-1]] == [
        complete(payload(question)).body["id"] for question in questions
    ]
    assert found[-1][2] == {"status": "ok"}


def test_order_holds_while_models_take_their_time() -> None:
    async def use(server: Server) -> list[str]:
        slow, fast = chat(payload("a", model="sim-large-1")), chat(payload("b"))
        found, _ = await spoken(server, slow + fast, answers=2)
        return [body["model"] for _, _, body in found]

    assert served(use, time_scale=0.5) == ["sim-large-1", "sim-flawless-1"]


def test_a_request_may_come_byte_by_byte() -> None:
    data = chat(payload("größer?"))
    ((status, _, body),), _ = speak(*(data[i : i + 1] for i in range(60)), data[60:-3], data[-3:])
    assert (status, body["id"]) == (200, complete(payload("größer?")).body["id"])


def test_a_client_that_wants_the_connection_closed_gets_it_closed() -> None:
    found, closed = speak(chat(head="Connection: CLOSE\r\n") + HEALTH)
    assert (found[0][0], found[0][1]["connection"], closed) == (200, "close", True)


def test_a_client_that_goes_away_leaves_the_server_to_the_others() -> None:
    async def use(server: Server) -> tuple[int, int]:
        for request in (chat(payload("a", model="sim-large-1")), chat()[:40], b""):
            _, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(request)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        status = (await get(server, "/health")).status_code
        while server.stats.in_flight:
            await asyncio.sleep(0)
        return status, server.stats.abandoned

    assert served(use, time_scale=50) == (200, 1)


def test_many_clients_at_once() -> None:
    async def use(server: Server) -> list[str]:
        requests = [chat(payload(f"question {number}")) for number in range(50)]
        answers = await asyncio.gather(*(spoken(server, request) for request in requests))
        return [found[0][2]["id"] for found, _ in answers]

    assert served(use) == [complete(payload(f"question {number}")).body["id"] for number in range(50)]


# ── requests that are none ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("request_", "status", "says", "closed"),
    [
        (chat(b""), 400, "not a chat completions request: JSONDecodeError", False),
        (chat(b"\xff"), 400, "not a chat completions request: UnicodeDecodeError", False),
        (chat(b"null"), 400, "not a chat completions request: TypeError", False),
        (chat({"model": "sim-small-1"}), 400, "KeyError: 'messages'", False),
        (chat({"messages": []}), 400, "KeyError: 'model'", False),
        (chat(payload("a", tools=[{}])), 400, "KeyError: 'function'", False),
        (chat(payload("a", tools=[{"function": {"name": 7}}])), 400, "AttributeError", False),
        (chat(b'{"model": "sim-small-1", "messages": [], "temperature": NaN}'), 400, "ValueError", False),
        (chat(payload("a", model="gpt-5")), 404, "no simulated model gpt-5; there are sim-large-1", False),
        (b"GET /v1/chat/completions HTTP/1.1\r\n\r\n", 405, "use POST", False),
        (b"GET / HTTP/1.1\r\n\r\n", 404, "no such path: /", False),
        (b"DELETE /v1/files/../../etc HTTP/1.1\r\n\r\n", 404, "no such path", False),
        (b"nonsense\r\n\r\n", 400, "send a request line and a Content-Length", True),
        (b"\r\n\r\n", 400, "send a request line and a Content-Length", True),
        (b"GET /health\r\n\r\n", 400, "send a request line and a Content-Length", True),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400, "send a request line", True),
        (b"POST / HTTP/1.1\r\ncontent-length: 1e3\r\n\r\n", 400, "send a request line", True),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, "send a request line", True),
        (b"POST / HTTP/1.1\r\ncontent-length: 8388609\r\n\r\n", 413, "body too large", True),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n", 413, "body too large", True),
        (b"GET /" + b"a" * 70_000, 413, "head too large", True),
    ],
)
def test_a_request_that_is_none_is_answered_with_what_is_wrong(
    request_: bytes, status: int, says: str, closed: bool
) -> None:
    ((found, headers, body),), gone = speak(request_)
    assert (found, gone) == (status, closed)
    assert says in body["error"]["message"]
    assert body["error"]["type"] == "invalid_request_error"
    assert headers["x-evalkit-simulated"] == "1"


def test_a_body_just_below_the_limit_is_read() -> None:
    body = json.dumps(payload("What?")).encode()
    ((status, _, answer),), _ = speak(chat(body + b" " * (8 * 1024 * 1024 - len(body))))
    assert (status, answer["id"]) == (200, complete(payload("What?")).body["id"])


ENUM = {"type": "object", "properties": {"kind": {"enum": None}}, "required": ["kind"]}
REFUND = {
    "type": "function",
    "function": {"name": "refund_order", "description": "Refund an order.", "parameters": ENUM},
}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[" * 100_000, "RecursionError"),
        (b'{"a": ' * 100_000, "RecursionError"),
        (json.dumps(payload("Please refund my order.", tools=[REFUND])).encode(), "TypeError"),
        (json.dumps(payload("What?", max_tokens=0)).encode(), "max_tokens is not a whole number from 1"),
    ],
    ids=["deep list", "deep object", "enum of nothing", "no tokens"],
)
def test_a_request_that_the_model_cannot_read_is_answered_all_the_same(body: bytes, says: str) -> None:
    ((status, _, answer),), closed = speak(chat(body))
    assert (status, closed) == (400, False)
    assert says in answer["error"]["message"]


@pytest.mark.parametrize("length", [b"\xb2", b"", b"9" * 5000])
def test_a_length_that_is_no_number_is_answered(length: bytes) -> None:
    ((status, _, _),), _ = speak(b"POST / HTTP/1.1\r\ncontent-length: " + length + b"\r\n\r\n")
    assert status == 400


# ── who may connect ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "", "10.0.0.1", "192.168.1.1", "example.org", "127.0.0.1.example.org", "169.254.0.1"],  # noqa: S104
)
def test_addresses_that_others_can_reach_are_refused(host: str) -> None:
    with pytest.raises(UsageError) as caught:
        asyncio.run(start_server(host, 0))
    assert caught.value.exit_code is ExitCode.USAGE
    assert str(caught.value).splitlines() == [
        "the simulator has no login and listens on loopback only",
        "  key:   --host",
        f"  value: {host!r}",
        "  fix:   use 127.0.0.1, or --allow-remote where everybody who can reach it may use it",
    ]


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("localhost", "localhost")]
)
def test_addresses_of_this_machine_are_taken(host: str, shown: str) -> None:
    async def use(server: Server) -> tuple[str, int]:
        return server.base_url, (await get(server, "/health")).status_code

    address, status = served(use, host=host)
    assert address.startswith(f"http://{shown}:")
    assert address.endswith("/v1")
    assert status == 200


def test_an_address_of_version_six_is_written_in_brackets() -> None:
    assert Server("::1", 8377, 1.0).base_url == "http://[::1]:8377/v1"


def test_any_address_can_be_allowed() -> None:
    host = "0.0.0.0"  # noqa: S104 - what others could reach is what is to be allowed
    assert served(lambda server: get(server, "/health"), host=host, allow_remote=True).status_code == 200


def test_a_port_that_is_taken_is_an_error_that_says_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            UsageError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*\n  fix:   choose another port: --port 0"
        ):
            asyncio.run(start_server(port=port))


@pytest.mark.parametrize("port", [70_000, -1])
def test_a_port_that_cannot_be_is_an_error_that_says_so(port: int) -> None:
    with pytest.raises(UsageError, match=r"no such port\n  key:   --port"):
        asyncio.run(start_server(port=port))


@pytest.mark.parametrize("factor", [-1.0, math.nan, math.inf])
def test_a_factor_for_times_that_cannot_be_is_an_error_that_says_so(factor: float) -> None:
    with pytest.raises(UsageError, match=r"not a factor for times\n  key:   --time-scale"):
        asyncio.run(start_server(port=0, time_scale=factor))


# ── stopping ────────────────────────────────────────────────────────────────────────────────


def test_a_stopped_server_takes_no_connection_and_gives_its_port_back() -> None:
    async def run() -> None:
        server = await start_server(port=0)
        await spoken(server, HEALTH)
        await server.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(server.host, server.port)
        async with await start_server(port=server.port) as again:
            assert (await spoken(again, HEALTH))[0][0][0] == 200
        await server.close()

    asyncio.run(run())


def test_a_stopped_server_ends_the_connections_that_are_open() -> None:
    async def run() -> bytes:
        server = await start_server(port=0)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        try:
            writer.write(HEALTH)
            await receive(reader)
            await asyncio.wait_for(server.close(), 5)
            writer.write(HEALTH)
            return await asyncio.wait_for(reader.read(1), 5)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    assert asyncio.run(run()) == b""
