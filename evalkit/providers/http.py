"""The one place that talks HTTP: timeouts, retries, and the time of the attempt that answered."""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from evalkit.providers.base import CallError

__all__ = ["HttpClient", "HttpResult", "retry_after"]

_RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
_FATAL = frozenset({401, 403})
_MAX_BODY = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HttpResult:
    """A JSON answer with its headers and times."""

    data: Any
    headers: Mapping[str, str]
    latency_us: int
    waited_us: int
    attempts: int


class HttpClient:
    """JSON over POST with retries.

    Args:
        timeout: Seconds for one attempt.
        attempts: Most attempts of one call.
        deadline: Seconds for a call with all its attempts and pauses.
        connections: Most connections at once.
    """

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        attempts: int = 4,
        deadline: float = 180.0,
        connections: int = 64,
    ) -> None:
        self._attempts = attempts
        self._deadline = deadline
        self._client = httpx.AsyncClient(
            headers=dict(headers or {}),
            timeout=timeout,
            # an idle limit below the connection limit makes httpcore close usable connections
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def post(self, url: str, payload: Mapping[str, Any]) -> HttpResult:
        """POST JSON until an attempt succeeds.

        Raises:
            CallError: when the attempts or the time are used up, or the fault is permanent.
        """
        started = time.perf_counter()
        for attempt in range(1, self._attempts + 1):
            sent = time.perf_counter()
            try:
                data, headers = await self._attempt(url, payload)
            except _RetryError as fault:
                spent = time.perf_counter() - started
                pause = fault.after if fault.after is not None else random.uniform(0, min(8.0, 0.25 * 2**attempt))
                if attempt == self._attempts or spent + pause > self._deadline:
                    raise CallError(f"{fault} (after {attempt} attempts)", kind=fault.kind, attempts=attempt) from None
                await asyncio.sleep(pause)
                continue
            now = time.perf_counter()
            return HttpResult(data, headers, round((now - sent) * 1e6), round((sent - started) * 1e6), attempt)
        raise AssertionError("unreachable")

    async def _attempt(self, url: str, payload: Mapping[str, Any]) -> tuple[Any, Mapping[str, str]]:
        try:
            async with self._client.stream("POST", url, json=payload) as response:
                body = await _read(response)
        except httpx.TimeoutException as error:
            raise _RetryError(f"{url}: timed out ({type(error).__name__})", "timeout") from None
        except httpx.TransportError as error:
            raise _RetryError(f"{url}: {error or type(error).__name__}", "connect") from None
        if response.status_code in _RETRIED:
            raise _RetryError(_describe(url, response, body), "status", retry_after(response.headers))
        if response.status_code >= 400:
            raise CallError(_describe(url, response, body), kind="status", fatal=response.status_code in _FATAL)
        try:
            return httpx.Response(200, content=body).json(), response.headers
        except ValueError:
            kind = response.headers.get("content-type", "no content type")
            raise _RetryError(f"{url}: the answer is not JSON ({kind}, {len(body)} bytes)", "protocol") from None


class _RetryError(Exception):
    def __init__(self, message: str, kind: str, after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.after = after


async def _read(response: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > _MAX_BODY:
            raise CallError(f"{response.url}: the answer is larger than {_MAX_BODY:,} bytes", kind="protocol")
        parts.append(part)
    return b"".join(parts)


def _describe(url: str, response: httpx.Response, body: bytes) -> str:
    detail = " ".join(body[:300].decode("utf-8", "replace").split())
    return f"{url}: status {response.status_code}: {detail}"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait from ``retry-after-ms`` or ``Retry-After`` (seconds or date), at most a minute."""
    try:
        if "retry-after-ms" in headers:
            return min(60.0, max(0.0, float(headers["retry-after-ms"]) / 1000))
        value = headers.get("retry-after")
        if value is None:
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return min(60.0, float(value))
        then = email.utils.parsedate_to_datetime(value)
        return min(60.0, max(0.0, then.timestamp() - time.time()))
    except (ValueError, TypeError):
        return None
