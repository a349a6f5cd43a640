"""A server on loopback that does to each request what the test says, and remembers what it was sent."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
import uvloop

__all__ = [
    "BOTH_LOOPS", "Action", "Loopback", "Sent", "answer", "chunked", "completion", "drop", "hang", "raw", "streams",
    "then_close",
]  # fmt: skip

BOTH_LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
"""What is run on one event loop is true of another."""


@dataclass(frozen=True)
class Sent:
    """A request as it came over the wire."""

    line: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Action = Callable[[asyncio.StreamWriter, Sent, asyncio.Event], Awaitable[None]]


@dataclass
class Loopback:
    """Does the n-th action to the n-th request, the last one to all that follow."""

    actions: tuple[Action, ...]
    requests: list[Sent] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)
    _connections: int = 0

    @property
    def url(self) -> str:
        assert self._server is not None
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    @property
    def connections(self) -> list[int]:
        """On which connection each request came, from 1."""
        return [sent.connection for sent in self.requests]

    @property
    def open(self) -> int:
        """Connections that neither side has closed."""
        return len(self._tasks)

    async def closed(self, left: int = 0) -> None:
        """Wait until so many connections are left."""
        while self.open > left:
            await asyncio.sleep(0.005)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20, ssl=self.tls)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._closing.set()
        self._server.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._connections += 1
        connection = self._connections
        try:
            while not self._closing.is_set():
                sent = await _receive(reader, connection)
                action = self.actions[min(len(self.requests), len(self.actions) - 1)]
                self.requests.append(sent)
                await action(writer, sent, self._closing)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def _receive(reader: asyncio.StreamReader, connection: int) -> Sent:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in head[1:] if line]
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Sent(head[0], headers, body, connection)


def answer(
    body: object = None, status: int = 200, headers: Mapping[str, str] | None = None, *, after: float = 0.0
) -> Action:
    """A whole response; anything but bytes is sent as JSON, after as many seconds."""
    content = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    return raw(_head(status, {"content-length": str(len(content)), **(headers or {})}) + content, after=after)


def streams(events: bytes) -> Action:
    """A whole stream of events."""
    return answer(events, headers={"content-type": "text/event-stream"})


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def raw(*parts: bytes, after: float = 0.0, between: float = 0.0) -> Action:
    """Bytes as they are, with pauses."""

    async def act(writer: asyncio.StreamWriter, _: Sent, closing: asyncio.Event) -> None:
        await _pause(after, closing)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await _pause(between, closing)

    return act


async def _pause(seconds: float, closing: asyncio.Event) -> None:
    if seconds:
        with suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), seconds)


async def hang(_: asyncio.StreamWriter, __: Sent, closing: asyncio.Event) -> None:
    """Say nothing until the server stops."""
    await closing.wait()


async def drop(writer: asyncio.StreamWriter, _: Sent, __: asyncio.Event) -> None:
    """Close the connection without a word."""
    writer.close()


def then_close(action: Action) -> Action:
    """Close the connection after an action."""

    async def act(writer: asyncio.StreamWriter, sent: Sent, closing: asyncio.Event) -> None:
        await action(writer, sent, closing)
        writer.close()

    return act


def chunked(*parts: bytes, headers: Mapping[str, str] | None = None, end: bytes = b"0\r\n\r\n", **keys: Any) -> Action:
    """A response in chunks, with pauses as of :func:`raw`."""
    head = _head(200, {"transfer-encoding": "chunked", **(headers or {})})
    return raw(head, *(b"%x\r\n%s\r\n" % (len(part), part) for part in parts), end, **keys)


def completion(text: str | None = "hi", **more: Any) -> dict[str, Any]:
    """A chat completion; ``message`` and ``choice`` add to these, everything else to the top."""
    message = {"role": "assistant", "content": text, **more.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **more.pop("choice", {})}
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    return {"id": "c", "object": "chat.completion", "model": "m-1", "choices": [choice], "usage": usage, **more}
