"""The one place that talks HTTP: timeouts, retries, and the time of the attempt that answered."""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from evalkit.providers.base import CallError
from evalkit.text import excerpt, log_safe

__all__ = ["HttpClient", "HttpResult", "is_address", "is_header_value", "retry_after", "without_user"]

_RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
_FATAL = frozenset({401, 403})
_MAX_BODY = 32 * 1024 * 1024
_QUOTED = 300
_DIRECT: Mapping[str, None] = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}
"""What is on this machine is not asked for through a proxy."""


@dataclass(frozen=True, slots=True)
class HttpResult:
    """A JSON answer with its headers and times."""

    data: Any
    headers: Mapping[str, str]
    latency_us: int
    waited_us: int
    attempts: int


class HttpClient:
    """JSON over POST with retries. No error shows a header's value or the user part of an address.

    Args:
        headers: Sent with every request.
        timeout: Seconds for one attempt, to the last byte of its answer.
        attempts: Most attempts of one call.
        deadline: Seconds after which no further attempt is begun.
        connections: Most connections at once; calls beyond wait, which is no part of their latency.

    Raises:
        CallError: fatal, when a header holds what cannot be sent.
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
        for name, value in (headers or {}).items():
            if not is_header_value(value):
                raise CallError(f"the header `{name}` holds what cannot be sent", kind="protocol", fatal=True)
        self._timeout = timeout
        self._attempts = attempts
        self._deadline = deadline
        self._secrets = tuple(part for value in (headers or {}).values() for part in value.split()[-1:])
        self._free = asyncio.Semaphore(connections)
        self._client = httpx.AsyncClient(
            headers={**(headers or {}), "content-type": "application/json"},
            timeout=None,  # noqa: S113 - the time of a whole attempt is limited
            mounts=_DIRECT,
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
        try:
            content = json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        except (ValueError, TypeError) as error:
            raise CallError(f"the request cannot be written as JSON: {error}", kind="protocol") from None
        started = time.perf_counter()
        for attempt in range(1, self._attempts + 1):
            try:
                async with self._free:
                    sent = time.perf_counter()
                    data, headers = await self._attempt(url, content)
                    now = time.perf_counter()
            except _RetryError as fault:
                spent = time.perf_counter() - started
                pause = fault.after if fault.after is not None else random.uniform(0, min(8.0, 0.25 * 2**attempt))
                if attempt == self._attempts or spent + pause > self._deadline:
                    raise CallError(f"{fault} (after {attempt} attempts)", kind=fault.kind, attempts=attempt) from None
                await asyncio.sleep(pause)
                continue
            except CallError as fault:
                fault.attempts = attempt
                raise
            return HttpResult(data, headers, round((now - sent) * 1e6), round((sent - started) * 1e6), attempt)
        raise AssertionError("unreachable")

    async def _attempt(self, url: str, content: bytes) -> tuple[Any, Mapping[str, str]]:
        shown = without_user(url)
        try:
            async with asyncio.timeout(self._timeout), self._client.stream("POST", url, content=content) as response:
                body = await _read(response, shown)
        except TimeoutError:
            raise _RetryError(f"{shown}: timed out, no whole answer in {self._timeout:g} s", "timeout") from None
        except httpx.TransportError as error:
            raise _RetryError(f"{shown}: {error or type(error).__name__}", "connect") from None
        except httpx.RequestError as error:
            raise _RetryError(f"{shown}: {error or type(error).__name__}", "protocol") from None
        if response.status_code in _RETRIED:
            raise _RetryError(self._describe(shown, response, body), "status", retry_after(response.headers))
        if not response.is_success:
            raise CallError(self._describe(shown, response, body), kind="status", fatal=response.status_code in _FATAL)
        try:
            return httpx.Response(200, content=body).json(), response.headers
        except (ValueError, RecursionError):
            kind = response.headers.get("content-type", "no content type")
            raise _RetryError(f"{shown}: the answer is not JSON ({kind}, {len(body)} bytes)", "protocol") from None

    def _describe(self, url: str, response: httpx.Response, body: bytes) -> str:
        detail = body[: 10 * _QUOTED].decode("utf-8", "replace")
        if response.has_redirect_location:
            detail = f"moved to {response.headers['location']}, which is not followed"
        for secret in self._secrets:
            detail = detail.replace(secret, "[secret]")
        return f"{url}: status {response.status_code}: {excerpt(log_safe(detail), _QUOTED)}"


class _RetryError(Exception):
    def __init__(self, message: str, kind: str, after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.after = after


async def _read(response: httpx.Response, url: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > _MAX_BODY:
            raise CallError(f"{url}: the answer is larger than {_MAX_BODY:,} bytes", kind="protocol")
        parts.append(part)
    return b"".join(parts)


def is_header_value(value: str) -> bool:
    """Whether a text can be sent as a header: printable ASCII with no space at either end."""
    return value.isascii() and value.isprintable() and value == value.strip()


def is_address(url: str) -> bool:
    """Whether a text is an address to which a path can be added: http or https, a host, no query."""
    try:
        parts = httpx.URL(url)
        # a host or port that cannot be is found when it is read
        host, _ = parts.host, urlsplit(url).port
    except (httpx.InvalidURL, ValueError):
        return False
    plain = url.isprintable() and " " not in url and not parts.query and not parts.fragment
    return plain and parts.scheme in ("http", "https") and bool(host)


def without_user(url: str) -> str:
    """An address without the user and password that it may hold."""
    return re.sub(r"(?<=//)[^/?#]*@", "", url)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait from ``retry-after-ms`` or ``Retry-After`` (seconds or date), at most a minute."""
    for read in (_from_milliseconds, _from_seconds_or_date):
        try:
            seconds = read(headers)
        except (ValueError, TypeError):
            continue
        if seconds is not None:
            return min(60.0, max(0.0, seconds))
    return None


def _from_milliseconds(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after-ms")
    return None if value is None else float(value) / 1000


def _from_seconds_or_date(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after")
    if value is None:
        return None
    if value.strip().replace(".", "", 1).isdigit():
        return float(value)
    return email.utils.parsedate_to_datetime(value).timestamp() - time.time()
