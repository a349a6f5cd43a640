"""A vendor over HTTP: a dialect for the words, the HTTP client for the wire."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from evalkit.errors import ConfigError
from evalkit.providers.address import is_loopback, without_any_user, without_user
from evalkit.providers.base import CallError, ChatRequest, ChatResponse
from evalkit.providers.dialect import SIMULATED_FINGERPRINT, SIMULATED_HEADER, Dialect
from evalkit.providers.http import HttpClient, Timeouts, is_address
from evalkit.records import Json
from evalkit.text import excerpt, log_safe

__all__ = ["HttpVendor"]

_QUOTED = 400


class HttpVendor:
    """A target over HTTP; :meth:`complete` makes one attempt.

    Args:
        name: As configured.
        dialect: What it speaks.
        base_url: What the dialect's paths are added to. A user and password in it are sent, and never stored or shown.
        key: Sent as the dialect says; never stored or shown.
        timeouts: Of one attempt.
        stream: Ask for the answer in pieces, which gives the time to the first token.
        whole: ``base_url`` is the whole address, with its query, where one is.
        version: What a person calls the version of what is behind the address.

    Raises:
        ConfigError: when ``base_url`` is not an address.
    """

    def __init__(
        self,
        name: str,
        dialect: Dialect,
        *,
        base_url: str,
        key: str | None = None,
        timeouts: Timeouts | None = None,
        stream: bool = False,
        whole: bool = False,
        version: str = "",
    ) -> None:
        self.name = name
        self._dialect = dialect
        self._base_url = base_url if whole else base_url.rstrip("/")
        self._shown_url = without_user(self._base_url)
        if not is_address(self._base_url.partition("?")[0] if whole else self._base_url):
            raise ConfigError(
                "not an address" if whole else "not an address up to the version",
                key=f"providers.{name}.base_url",
                value=without_any_user(self._base_url),
                fix="write it as http://HOST:PORT/PATH"
                if whole
                else "write it as http://HOST:PORT/v1 or https://HOST/v1",
            )
        self._version = {"version": version} if version else {}
        self._key = key
        self._timeouts = timeouts
        self._stream = stream
        self._client: HttpClient | None = None

    @property
    def identity(self) -> Mapping[str, Json]:
        """Kind, address (a loopback one without its port, which changes from run to run) and what the dialect adds."""
        parts = urlsplit(self._shown_url)
        host = parts.hostname or ""
        where = host if is_loopback(host) else parts.netloc
        query = f"?{parts.query}" if parts.query else ""
        address = f"{parts.scheme}://{where}{parts.path}{query}"
        # what a person says of how an application is asked and read
        own: Mapping[str, Json] = getattr(self._dialect, "identity", {})
        return {"kind": self._dialect.kind, "base_url": address, **own, **self._version}

    @property
    def needed(self) -> Mapping[str, str]:
        """Variables that only cases can give, with the place that needs each: of an application's template."""
        found: Mapping[str, str] = getattr(self._dialect, "needed", {})
        return found

    async def aclose(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """Answer a request by one attempt.

        Raises:
            CallError: when it brought no answer, or something else than an answer.
        """
        client = self._client
        if client is None:
            headers = self._dialect.headers(self._key)
            client = self._client = HttpClient(headers=headers, timeouts=self._timeouts, fault=self._dialect.fault)
        url = self._base_url + self._dialect.path(request, stream=self._stream)
        payload = self._dialect.payload(request, stream=self._stream)
        try:
            if self._stream:
                reader = self._dialect.reader()
                result = await client.post(url, payload, lambda event: reader.feed(event.type, event.data))
                # a target that does not stream answers as a whole
                reply = reader.finish() if result.data is None else self._dialect.reply(result.data)
            else:
                result = await client.post(url, payload)
                reply = self._dialect.reply(result.data)
        except CallError as error:
            # perhaps in the words of the target, which may quote what it was sent
            shown = without_user(url)
            where = shown if error.message.startswith(f"{shown}: ") else self._shown_url
            said = client.hide(error.message.removeprefix(f"{shown}: "))
            error.message = f"{where}: {excerpt(said, _QUOTED)}"
            error.args = (error.message,)
            raise
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
            said = excerpt(log_safe(client.hide(f"{type(error).__name__} {error}")), _QUOTED)
            raise CallError(
                f"{self._shown_url}: not an answer of kind {self._dialect.kind}: {said}", kind="protocol", retry=True
            ) from None
        simulated = SIMULATED_HEADER in result.headers or reply.system_fingerprint.startswith(SIMULATED_FINGERPRINT)
        return reply.response(
            latency_us=result.latency_us,
            waited_us=result.waited_us,
            ttft_us=result.first_event_us,
            simulated=simulated,
        )
