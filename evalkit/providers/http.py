"""The one place that talks HTTP: one exchange, its timeouts, and the times of it."""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from evalkit.providers.address import is_loopback, without_any_user, without_user
from evalkit.providers.base import CallError, FaultClass
from evalkit.providers.dialect import Fault
from evalkit.providers.sse import Event, EventParser
from evalkit.providers.transport import TIMES, Origin, Times, Transport, head_of, origin_of
from evalkit.text import excerpt, log_safe

__all__ = [
    "HttpClient",
    "HttpResult",
    "Timeouts",
    "is_address",
    "is_header_value",
    "retry_after",
]

_RETRIED = frozenset({408, 409, 429})
_FATAL = frozenset({401, 403})
_MAX_BODY = 32 * 1024 * 1024
_QUOTED = 300
_TELLING = 12
"""Characters of a key that are too many to be shown."""
_OPEN = frozenset({"anthropic-version", "content-type", "accept", "user-agent"})
"""Headers whose values are no secret."""
_UNPACKED = 16 * 1024
"""Bytes of a compressed answer that are unpacked at once: a thousand times as much may come out of them."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

FaultOf = Callable[[int, Any], FaultClass | Fault]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for one attempt: to open a connection, to the first byte of the answer, to its last."""

    connect: float = 10.0
    first_byte: float = 60.0
    total: float = 120.0


@dataclass(frozen=True, slots=True)
class HttpResult:
    """A JSON answer with its headers and times; ``data`` is None where the answer was a stream of events."""

    data: Any
    headers: Mapping[str, str]
    latency_us: int
    """Request written to last byte read."""
    first_event_us: int | None = None
    """Request written to the first event that counted."""
    waited_us: int = 0
    """Opening a connection, where there was none to use."""


class HttpClient:
    """JSON over POST, one attempt a call. No error shows a header's value or the user part of an address.

    Args:
        headers: Sent with every request.
        timeouts: Of one attempt.
        fault: Tells the class of an error answer from its status and its JSON.

    Raises:
        CallError: fatal, when a header holds what cannot be sent.
    """

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        fault: FaultOf | None = None,
    ) -> None:
        for name, value in (headers or {}).items():
            if not is_header_value(value):
                raise CallError(f"the header `{name}` holds what cannot be sent", kind="protocol", fatal=True)
        self._timeouts = timeouts or Timeouts()
        self._fault = fault
        self._secrets = {
            value.split()[-1] for name, value in (headers or {}).items() if value and name.lower() not in _OPEN
        }
        self._headers = httpx.Headers({**(headers or {}), "content-type": "application/json"})
        self._addresses: dict[str, _Address] = {}
        self._direct = Transport(connect_timeout=self._timeouts.connect)
        self._proxied: dict[str, httpx.AsyncBaseTransport] = {}

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in (self._direct, *self._proxied.values()):
            await transport.aclose()

    async def post(
        self, url: str, payload: Mapping[str, Any], on_event: Callable[[Event], bool] | None = None
    ) -> HttpResult:
        """POST JSON and read the answer.

        Args:
            url: The whole address.
            payload: The body.
            on_event: Where a stream of events is asked for: takes each, and says whether it counts as output. A
                target that answers with plain JSON all the same gives ``data``.

        Raises:
            CallError: when the exchange failed; it says whether another may succeed.
        """
        try:
            content = _encode(payload).encode()
        except (ValueError, TypeError, RecursionError) as error:
            raise CallError(f"the request cannot be written as JSON: {error}", kind="protocol") from None
        shown = without_user(url)
        limits = self._timeouts
        whole = asyncio.get_running_loop().time() + limits.total
        clock = asyncio.timeout(min(limits.first_byte, limits.total))
        try:
            async with clock:
                return await self._exchange(url, shown, content, on_event, clock, whole)
        except TimeoutError:
            late = f"no whole answer in {limits.total:g} s"
            if (clock.when() or whole) < whole:
                late = f"no answer had begun after {limits.first_byte:g} s"
            raise CallError(f"{shown}: timed out, {late}", kind="timeout", retry=True) from None
        except httpx.HTTPError as error:
            raise _fault_of(shown, error) from None

    async def _exchange(
        self,
        url: str,
        shown: str,
        content: bytes,
        on_event: Callable[[Event], bool] | None,
        clock: asyncio.Timeout,
        whole: float,
    ) -> HttpResult:
        asked = time.perf_counter()
        address = self._addresses.get(url) or self._prepare(url)
        trace = _Trace()
        if address.proxied is None:
            response = await self._direct.exchange(address.origin, address.head % len(content) + content)
        else:
            request = httpx.Request("POST", address.url, headers=address.headers, content=content)
            request.extensions = {"trace": trace, "timeout": {"connect": self._timeouts.connect}}
            response = await address.proxied.handle_async_request(request)
        first: float | None = None
        body = bytearray()
        try:
            if self._timeouts.first_byte < self._timeouts.total:
                clock.reschedule(whole)
            is_stream = on_event is not None and response.is_success and _is_stream(response)
            if on_event is not None and is_stream:
                first = await self._events(response, shown, on_event)
            else:
                body = await _read(response, shown)
        finally:
            await response.stream.aclose()  # type: ignore[union-attr]
        times = _times(trace, response)
        latency, waited = _us(times.last_byte - times.sent), _us(times.sent - asked)
        if is_stream:
            until = None if first is None else _us(first - times.sent)
            return HttpResult(None, response.headers, latency, until, waited)
        if response.status_code != 200:
            self._check_status(shown, response, body)
        try:
            return HttpResult(json.loads(body), response.headers, latency, None, waited)
        except (ValueError, RecursionError):
            kind = excerpt(log_safe(response.headers.get("content-type", "no content type")), 80)
            raise CallError(
                f"{shown}: the answer is not JSON ({kind}, {len(body)} bytes)", kind="protocol", retry=True
            ) from None

    def _prepare(self, url: str) -> _Address:
        """Read an address, which costs more than sending a request."""
        try:
            address = httpx.URL(url)
            _ = address.host
        except (httpx.InvalidURL, UnicodeError):
            # what is wrong with it may be its password
            raise CallError(
                f"{excerpt(log_safe(without_any_user(url)), _QUOTED)}: not an address", kind="protocol"
            ) from None
        headers = self._headers.copy()
        headers["host"] = address.netloc.decode("ascii")
        if address.userinfo:
            # the way of HTTP for a user in the address: RFC 7617
            auth = httpx.BasicAuth(address.username, address.password)
            request = next(auth.sync_auth_flow(httpx.Request("POST", address)))
            headers["authorization"] = request.headers["authorization"]
            self._secrets |= {headers["authorization"].split()[-1], address.password} - {""}
        # what differs between requests is written in: a percent sign of the address or a header stands for itself
        head = head_of(httpx.Request("POST", address, headers=headers)).replace(b"%", b"%%")
        head = head.replace(b"content-length: 0\r\n", b"").replace(b"Content-Length: 0\r\n", b"")
        head = head.removesuffix(b"\r\n") + b"content-length: %d\r\n\r\n"
        found = self._addresses[url] = _Address(address, headers, origin_of(address), head, self._proxied_by(address))
        return found

    def _proxied_by(self, address: httpx.URL) -> httpx.AsyncBaseTransport | None:
        proxy = _proxy_of(address)
        if proxy is None:
            return None
        if proxy not in self._proxied:
            # an idle limit below the connection limit makes httpcore close usable connections
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
            try:
                self._proxied[proxy] = httpx.AsyncHTTPTransport(proxy=proxy, limits=limits)
            except (ImportError, ValueError, httpx.InvalidURL):
                raise CallError(
                    f"the proxy {without_any_user(proxy)} of the environment is none that can be used",
                    kind="connect",
                    fatal=True,
                ) from None
        return self._proxied[proxy]

    async def _events(self, response: httpx.Response, shown: str, on_event: Callable[[Event], bool]) -> float | None:
        """Hand on the events of a stream; when the first one came that counted."""
        parser = EventParser()
        times: Times | None = response.extensions.get(TIMES)
        first: float | None = None
        size = 0
        async for part in _parts(response):
            size += len(part)
            if size > _MAX_BODY:
                raise _too_large(shown)
            came = time.perf_counter() if times is None else times.part
            for event in parser.feed(part):
                if on_event(event) and first is None:
                    first = came
        for event in parser.finish():
            if on_event(event) and first is None:
                first = time.perf_counter() if times is None else times.last_byte
        return first

    def _check_status(self, shown: str, response: httpx.Response, body: bytearray) -> None:
        status = response.status_code
        if response.is_success:
            return
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            data = None
        said = self._fault(status, data) if self._fault is not None else "general"
        fault = said if isinstance(said, Fault) else Fault(said)
        asked = retry_after(response.headers)
        # what a filter refuses, or is too long, is a fault of this request and not of the key
        fatal = (status in _FATAL and fault.kind == "general") if fault.fatal is None else fault.fatal
        raise CallError(
            self._describe(shown, response, body, data),
            kind="status",
            status=status,
            fatal=fatal,
            retry=not fatal and (status in _RETRIED or status >= 500) if fault.retry is None else fault.retry,
            retry_after=_pause(fault.retry_after) if asked is None else asked,
            fault=fault.kind,
        )

    def _describe(self, url: str, response: httpx.Response, body: bytearray, data: Any) -> str:
        detail = body.decode("utf-8", "replace")
        if response.has_redirect_location:
            detail = f"moved to {response.headers['location']}, which is not followed"
        elif data is not None:
            # written anew: a key in it may be escaped, as `\u002b` or `\/`, and would not be found
            with suppress(RecursionError):
                detail = json.dumps(data, ensure_ascii=False)
        # hidden before it is cut: a few characters of a key would not be found
        detail = self.hide(detail)[: 10 * _QUOTED]
        return f"{url}: status {response.status_code}: {excerpt(log_safe(detail), _QUOTED)}"

    def hide(self, text: str) -> str:
        """A text without the values of the headers that are sent, and without the beginning of one that was cut."""
        # one may be part of another
        for secret in sorted(self._secrets, key=len, reverse=True):
            before, *behind = text.split(secret[:_TELLING])
            text = "[secret]".join([before, *(_from_where_they_differ(part, secret[_TELLING:]) for part in behind)])
        return text


def _from_where_they_differ(text: str, other: str) -> str:
    same = next((at for at, (one, two) in enumerate(zip(text, other, strict=False)) if one != two), None)
    return text[min(len(text), len(other)) if same is None else same :]


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


class _Trace:
    """The time at which a request goes out, as the transport of httpx tells it."""

    def __init__(self) -> None:
        self.sent = 0.0

    async def __call__(self, event: str, _: Mapping[str, Any]) -> None:
        # the last one counts: before it the tunnel of a proxy may have been asked for
        if event.endswith("send_request_headers.started"):
            self.sent = time.perf_counter()


@dataclass(frozen=True, slots=True)
class _Address:
    """What is the same for all requests to one address."""

    url: httpx.URL
    headers: httpx.Headers
    origin: Origin
    head: bytes
    """Of a request, with a place for the length of its body."""
    proxied: httpx.AsyncBaseTransport | None
    """What goes through the proxy of the environment; None where there is none."""


def _times(trace: _Trace, response: httpx.Response) -> Times:
    known = response.extensions.get(TIMES)
    if known is not None:
        return cast("Times", known)
    now = time.perf_counter()
    return Times(sent=trace.sent, first_byte=now, last_byte=now)


def _fault_of(shown: str, error: httpx.HTTPError) -> CallError:
    """A fault below HTTP: whether the target is there at all is another question than what it speaks."""
    known = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError, httpx.ProxyError)
    kind = "connect" if isinstance(error, known) else "protocol"
    permanent = isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError)
    said = excerpt(log_safe(str(error)), _QUOTED) or type(error).__name__
    return CallError(f"{shown}: {said}", kind=kind, retry=not permanent)


def _is_stream(response: httpx.Response) -> bool:
    return bool(response.headers.get("content-type", "").lower().startswith("text/event-stream"))


def _parts(response: httpx.Response) -> Any:
    """The body as it comes, decoded where the target compressed it unasked.

    Raises:
        httpx.DecodingError: when it was compressed more than once: a slice of it could fill the memory.
    """
    encoding = response.headers.get("content-encoding")
    if encoding is None:
        return response.stream
    if "," in encoding:
        raise httpx.DecodingError("the answer was compressed more than once")
    return httpx.Response(200, headers=response.headers, stream=_Slices(response.stream)).aiter_bytes()


class _Slices(httpx.AsyncByteStream):
    """A stream in pieces so small that what is unpacked from one fits in memory."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            for start in range(0, len(part), _UNPACKED):
                yield part[start : start + _UNPACKED]


async def _read(response: httpx.Response, shown: str) -> bytearray:
    # one buffer: a peer can send its answer a byte at a time, and each would be an object
    body = bytearray()
    async for part in _parts(response):
        if len(body) + len(part) > _MAX_BODY:
            raise _too_large(shown)
        body += part
    return body


def _too_large(shown: str) -> CallError:
    return CallError(f"{shown}: the answer is larger than {_MAX_BODY:,} bytes", kind="protocol")


def _proxy_of(address: httpx.URL) -> str | None:
    """The proxy that the environment names (``HTTPS_PROXY``, ``NO_PROXY``, ...); what is here is asked for directly."""
    where = address.netloc.decode("ascii")
    if is_loopback(address.host) or urllib.request.proxy_bypass_environment(where):  # type: ignore[attr-defined]
        return None
    proxies = urllib.request.getproxies_environment()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


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


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait from ``retry-after-ms`` or ``Retry-After`` (seconds or date), at most a minute."""
    for read in (_from_milliseconds, _from_seconds_or_date):
        try:
            seconds = read(headers)
        except (ValueError, TypeError, OverflowError):
            continue
        if seconds is not None:
            return _pause(seconds)
    return None


def _pause(seconds: float | None) -> float | None:
    return None if seconds is None else min(60.0, max(0.0, seconds))


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
