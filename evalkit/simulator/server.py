"""The simulated models behind HTTP, for demonstrations, tests and benchmarks: at any speed, and with faults on demand.

``GET /stats`` counts requests, answers and faults, so that a test can tell which calls were made;
``POST /reset`` zeroes the counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from evalkit.errors import UsageError
from evalkit.providers.address import is_loopback
from evalkit.simulator.connection import BadHeadError, Connection, Request, Script
from evalkit.simulator.delivery import Answer, deliver, http_error
from evalkit.simulator.draws import unit
from evalkit.simulator.faults import Faults, retry_headers
from evalkit.simulator.latency import Latency
from evalkit.simulator.model import BadRequestError, Reply, UnknownModelError, complete
from evalkit.simulator.profiles import PROFILES, profile
from evalkit.simulator.protocols import Asked, Route, WireFormat, encode, route
from evalkit.simulator.stats import Stats

__all__ = ["DEFAULT_PORT", "Server", "start_server"]

DEFAULT_PORT = 8377
_LAST_PORT = 65535
_WITHOUT_ANSWER = {"429": 429, "500": 500, "503": 503}
_SAYS = {
    429: "rate limit reached; a simulated fault",
    500: "the server had an error; a simulated fault",
    503: "the server is overloaded; a simulated fault",
}


@dataclass
class Server:
    """A running server. Use as an async context manager, or call :meth:`close`."""

    host: str
    port: int
    time_scale: float = 1.0
    latency: Latency | None = None
    token_gap_s: float | None = None
    faults: Faults = field(default_factory=Faults)
    seed: int = 0
    stats: Stats = field(default_factory=Stats)
    _server: asyncio.Server | None = None
    _connections: set[Connection] = field(default_factory=set)

    @property
    def address(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def base_url(self) -> str:
        """What goes into ``base_url`` of a provider that speaks a protocol of OpenAI."""
        return f"{self.address}/v1"

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

    def respond(self, request: Request | BadHeadError) -> Script:
        """The answer to one request, and when it is to be sent."""
        if isinstance(request, BadHeadError):
            return http_error(request.status, _error(str(request)), close=True)
        found = route(request.path)
        if found is None:
            return self._other(request)
        key = hashlib.blake2b(request.path.encode("latin-1") + b"\n" + request.body, digest_size=16).digest()
        attempt = self.stats.arrived(key)
        return self._model(request, found, key.hex(), attempt)

    def _other(self, request: Request) -> Script:
        data: Any = None
        status = 200
        if request.path == "/stats":
            data = self.stats.as_json(len(self._connections))
        elif request.path == "/reset":
            if request.method != "POST":
                return http_error(405, _error("use POST"), close=request.close)
            self.stats.reset()
            data = {"status": "ok"}
        else:
            self.stats.other += 1
            if request.path == "/health":
                data = {"status": "ok"}
            elif request.path == "/v1/models":
                data = {"object": "list", "data": [{"id": each.name, "object": "model"} for each in PROFILES]}
            else:
                return http_error(404, _error(f"no such path: {request.path}"), close=request.close)
        return deliver(Answer(_bytes(encode(data)), status=status), close=request.close)

    # ── requests to a model ─────────────────────────────────────────────────────────────────

    def _model(self, request: Request, found: Route, key: str, attempt: int) -> Script:
        """The answer of a model, or the fault that takes its place."""
        fault = self.faults.draw(self.seed, key, attempt)
        script = self._fault_alone(found.wire, fault, key, attempt, request.close) if fault else None
        if script is not None:
            self.stats.faults[str(fault)] += 1
            script.ended = partial(self._ended, fault, "")
            return script
        try:
            asked = self._asked(request, found)
            reply = complete(asked.payload)
        except UnknownModelError as error:
            known = ", ".join(each.name for each in PROFILES)
            return self._refuse(found.wire, 404, f"no simulated model {error}; there are {known}", request.close)
        except _MethodError:
            return self._refuse(found.wire, 405, "use POST", request.close)
        except BadRequestError as error:
            message = str(BadRequestError(error.reason, found.wire.title))
            return self._refuse(found.wire, 400, message, request.close)
        wait, gap = self._times(reply, asked, key, attempt)
        answer = _answer(found.wire, asked, reply, as_list=found.stream and "alt=sse" not in request.query.split("&"))
        script = deliver(
            answer, fault=fault, wait=wait, gap=gap, trickle=self.faults.trickle_s,
            close=request.close,
        )  # fmt: skip
        if fault is not None:
            self.stats.faults[fault] += 1
        script.ended = partial(self._ended, fault, reply.body["model"])
        return script

    def _asked(self, request: Request, found: Route) -> Asked:
        """The request in the words of the models."""
        if request.method != "POST":
            raise _MethodError
        try:
            payload = json.loads(request.body.decode("utf-8"))
            if not isinstance(payload, dict):
                raise TypeError("the body is no JSON object")  # noqa: TRY301 - as any other thing that is wrong with it
            return found.wire.asked(payload, found.model, stream=found.stream)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise BadRequestError(f"{type(error).__name__}: {error}", found.wire.title) from None

    def _fault_alone(self, wire: WireFormat, fault: str, key: str, attempt: int, close: bool) -> Script | None:
        """A fault that needs no answer of a model; None for one that does."""
        place = unit(self.seed, "kind", key, attempt)
        if fault == "timeout":
            return Script((), "hold")
        if fault == "drop":
            return Script((), "close" if place < 1 / 2 else "reset")
        status = _WITHOUT_ANSWER.get(fault)
        if status is None:
            return None
        headers = retry_headers(self.faults.retry_after_s, place, time.time()) if status == 429 else {}
        return http_error(status, _bytes(encode(wire.error(status, _SAYS[status]))), headers=headers, close=close)

    def _refuse(self, wire: WireFormat, status: int, message: str, close: bool) -> Script:
        self.stats.refused += 1
        script = http_error(status, _bytes(encode(wire.error(status, message))), close=close)
        script.ended = partial(self._ended, None, "")
        return script

    def _times(self, reply: Reply, asked: Asked, key: str, attempt: int) -> tuple[float, float]:
        """Seconds to the answer, or to its first piece, and between pieces."""
        if not self.time_scale:
            return 0.0, 0.0
        gap = 0.0
        if asked.stream:
            stated = profile(reply.body["model"]) if self.latency is None else None
            gap = (stated.token_ms / 1000 if stated else 0.0) if self.token_gap_s is None else self.token_gap_s
        if self.latency is not None:
            wait = self.latency.seconds(self.seed, "latency", key, attempt)
        else:
            wait = reply.first_s if asked.stream else reply.latency_s
        return wait * self.time_scale, gap * self.time_scale

    def _ended(self, fault: str | None, model: str, complete: bool) -> None:
        """Count what became of a request: told when its answer was sent, or its client gone."""
        stats = self.stats
        stats.in_flight -= 1
        if not complete:
            stats.abandoned += fault != "timeout"
        elif model and fault in (None, "trickle"):
            stats.answers[model] += 1


class _MethodError(Exception):
    """Only POST is answered."""


def _answer(wire: WireFormat, asked: Asked, reply: Reply, *, as_list: bool) -> Answer:
    if not asked.stream:
        return Answer(_bytes(encode(wire.whole(reply.body))))
    events = [_bytes(each) for each in wire.events(reply.body, asked)]
    if as_list:
        return Answer(b"[" + b",\n".join(each[len("data: ") : -2] for each in events) + b"]")
    return Answer(events=events, content_type="text/event-stream")


def _bytes(text: str) -> bytes:
    """UTF-8; half of a surrogate pair, which JSON can bring in, becomes a question mark."""
    return text.encode("utf-8", "replace")


def _error(message: str) -> bytes:
    return _bytes(encode({"error": {"message": message, "type": "invalid_request_error"}}))


async def start_server(
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    time_scale: float = 1.0,
    latency: Latency | None = None,
    token_gap_s: float | None = None,
    faults: Faults | None = None,
    seed: int = 0,
    allow_remote: bool = False,
) -> Server:
    """Start the server.

    Args:
        host: Address to listen on.
        port: Port, 0 for any free one.
        time_scale: Factor on all latencies, those asked for here included; 0 answers at once.
        latency: Time to an answer, or to its first piece where it is streamed, instead of what the models state.
        token_gap_s: Seconds between the pieces of a stream, instead of what the models state.
        faults: What goes wrong, and how often.
        seed: Of the draws of latencies and faults. Each depends on it, the path, the body and how often that body
            came, on nothing else.
        allow_remote: Must be set for an address that is not loopback: there is no login.

    Raises:
        UsageError: for an address that others can reach without ``allow_remote``, one that is taken, a
            port or a time that cannot be.
    """
    if not allow_remote and not is_loopback(host):
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
    if token_gap_s is not None and not 0 <= token_gap_s < math.inf:
        raise UsageError("not a time between tokens", key="--token-gap", value=token_gap_s, fix="use 0 or more")
    server = Server(host, port, time_scale, latency, token_gap_s, faults or Faults(), seed)
    try:
        listening = await asyncio.get_running_loop().create_server(lambda: _accepted(server), host, port, backlog=4096)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}:{port}: {error.strerror}", fix="choose another port: --port 0 takes a free one"
        ) from None
    server._server = listening
    server.port = listening.sockets[0].getsockname()[1]
    return server


def _accepted(server: Server) -> Connection:
    server.stats.connections_opened += 1
    return Connection(server.respond, server._connections)
