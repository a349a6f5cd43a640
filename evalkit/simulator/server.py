"""The simulated models behind HTTP: OpenAI Chat Completions on loopback, for demonstrations, tests and benchmarks.

Hand-written HTTP/1.1 on an asyncio protocol: keep-alive, ``Content-Length`` bodies, nothing
else. ``GET /stats`` counts requests, so that a test can tell which calls were made.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import math
import re
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from evalkit.errors import UsageError
from evalkit.providers.openai_chat import SIMULATED_HEADER
from evalkit.simulator.model import BadRequestError, UnknownModelError, complete
from evalkit.simulator.profiles import PROFILES

__all__ = ["DEFAULT_PORT", "Server", "start_server"]

DEFAULT_PORT = 8377
_MAX_HEAD = 64 * 1024
_MAX_BODY = 8 * 1024 * 1024
_LAST_PORT = 65535
_LENGTH = re.compile(r"[0-9]{1,30}")
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 413: "Content Too Large"}

Answer = tuple[int, Any, float]
"""Status, JSON body, seconds to wait before it is sent."""


@dataclass
class Server:
    """A running server. Use as an async context manager, or call :meth:`close`."""

    host: str
    port: int
    time_scale: float
    counts: Counter[str] = field(default_factory=Counter)
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Transport] = field(default_factory=set)

    @property
    def base_url(self) -> str:
        """What goes into ``base_url`` of a provider."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/v1"

    async def close(self) -> None:
        """Stop listening, and end the connections that are open."""
        if self._server is not None:
            self._server.close()
            for connection in tuple(self._connections):
                connection.close()
            await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Answer one request."""
        if path == "/v1/chat/completions":
            return self._chat(method, body)
        self.counts["other"] += 1
        if path == "/health":
            return 200, {"status": "ok"}, 0.0
        if path == "/stats":
            return 200, dict(self.counts), 0.0
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": p.name, "object": "model"} for p in PROFILES]}, 0.0
        return 404, _error(f"no such path: {path}"), 0.0

    def _chat(self, method: str, body: bytes) -> Answer:
        self.counts["chat"] += 1
        if method != "POST":
            return 405, _error("use POST"), 0.0
        try:
            payload = _json(body)
            reply = complete(payload)
        except UnknownModelError as error:
            return 404, _error(f"no simulated model {error}; there are {', '.join(p.name for p in PROFILES)}"), 0.0
        except BadRequestError as error:
            return 400, _error(str(error)), 0.0
        self.counts[f"model {payload['model']}"] += 1
        return 200, reply.body, reply.latency_s * self.time_scale


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"not a chat completions request: {type(error).__name__}: {error}") from None


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"}}


async def start_server(
    host: str = "127.0.0.1", port: int = DEFAULT_PORT, *, time_scale: float = 1.0, allow_remote: bool = False
) -> Server:
    """Start the server.

    Args:
        host: Address to listen on.
        port: Port, 0 for any free one.
        time_scale: Factor on the time that the models state; 0 answers at once.
        allow_remote: Must be set for an address that is not loopback: there is no login.

    Raises:
        UsageError: for an address that others can reach without ``allow_remote``, one that is taken, a
            port or a factor that cannot be.
    """
    if not allow_remote and not _is_loopback(host):
        raise UsageError(
            "the simulator has no login and listens on loopback only",
            key="--host",
            value=host,
            fix="use 127.0.0.1, or --allow-remote where everybody who can reach it may use it",
        )
    if not 0 <= port <= _LAST_PORT:
        raise UsageError("no such port", key="--port", value=port, fix=f"use 1 to {_LAST_PORT}, or 0 for a free one")
    if not 0 <= time_scale < math.inf:
        raise UsageError("not a factor for times", key="--time-scale", value=time_scale, fix="use 0 or more")
    server = Server(host, port, time_scale)
    loop = asyncio.get_running_loop()
    try:
        listening = await loop.create_server(
            lambda: _Connection(server.answer, server._connections), host, port, backlog=2048
        )
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}:{port}: {error.strerror}", fix="choose another port: --port 0 takes a free one"
        ) from None
    server._server = listening
    server.port = listening.sockets[0].getsockname()[1]
    return server


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Connection(asyncio.Protocol):
    """One client connection: requests are answered one after another."""

    def __init__(
        self, answer: Callable[[str, str, bytes], Awaitable[Answer]], connections: set[asyncio.Transport]
    ) -> None:
        self._answer = answer
        self._connections = connections
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; small answers must not wait for more."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport
        self._connections.add(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget an answer that nobody waits for."""
        if self._transport is not None:
            self._connections.discard(self._transport)
        self._transport = None
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect, and start to answer when a request is whole."""
        self._buffer += data
        if self._task is None or self._task.done():
            self._next()

    def _next(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD:
                self._send(413, _error("head too large"), close=True)
            return
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        length = headers.get("content-length", "0")
        parts = lines[0].split(" ")
        if len(parts) != 3 or _LENGTH.fullmatch(length) is None or "transfer-encoding" in headers:
            self._send(400, _error("send a request line and a Content-Length"), close=True)
            return
        if int(length) > _MAX_BODY:
            self._send(413, _error("body too large"), close=True)
            return
        start = end + 4
        if len(self._buffer) < start + int(length):
            return
        body = bytes(self._buffer[start : start + int(length)])
        del self._buffer[: start + int(length)]
        close = headers.get("connection", "").lower() == "close"
        task = asyncio.get_running_loop().create_task(self._respond(parts[0], parts[1], body, close))
        self._task = task

    async def _respond(self, method: str, path: str, body: bytes, close: bool) -> None:
        status, data, wait = await self._answer(method, path.split("?", maxsplit=1)[0], body)
        if wait > 0:
            await asyncio.sleep(wait)
        self._send(status, data, close=close)
        self._task = None
        if self._buffer:
            self._next()

    def _send(self, status: int, data: Any, *, close: bool) -> None:
        if self._transport is None:
            return
        content = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
        connection = "close" if close else "keep-alive"
        head = (
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\ncontent-type: application/json\r\n"
            f"{SIMULATED_HEADER}: 1\r\ncontent-length: {len(content)}\r\nconnection: {connection}\r\n\r\n"
        )
        self._transport.write(head.encode() + content)
        if close:
            self._transport.close()
