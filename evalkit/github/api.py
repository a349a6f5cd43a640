"""GitHub's REST API, as little of it as a comment needs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from evalkit._version import __version__
from evalkit.errors import EvalkitError, UsageError
from evalkit.text import excerpt, log_safe

__all__ = ["Api", "ApiError", "patiently"]

Answer = TypeVar("Answer")

_VERSION = "2022-11-28"
_MOST_BYTES = 32 * 1024 * 1024
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_BLOCKED = (403, 429)
_WAITS = (1.0, 4.0, 10.0)
"""Seconds before each further try, where the API does not say."""
_LONGEST_WAIT = 60.0


class ApiError(EvalkitError):
    """The API refused a request, or did not answer.

    Args:
        message: What is wrong.
        status: Status of the response; 0 where there was none.
        retry_after: Seconds after which to try again, where the API said so.
        limited: Whether it is a limit of the rate and not of the rights.
    """

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None, limited: bool = False):
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.limited = limited

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.limited or self.status == 0 or self.status >= 500

    @property
    def denied(self) -> bool:
        """Whether the token may not do this here, as that of a pull request from a fork."""
        return self.status in (401, 403, 404, 410) and not self.limited


def patiently(ask: Callable[[], Answer], sleep: Callable[[float], None] = time.sleep) -> Answer:
    """What is asked for; asked for again a little later where the API stumbles, or limits the rate.

    Args:
        ask: Does all that has to be done again with it.
        sleep: Waits so many seconds.

    Raises:
        ApiError: of a refusal, and where it does not end, or takes too long to wait for.
    """
    waits = iter(_WAITS)
    while True:
        try:
            return ask()
        except ApiError as error:
            wait = next(waits, None)
            if not error.transient or wait is None:
                raise
            asked = error.retry_after if error.retry_after is not None else wait
            if asked > _LONGEST_WAIT:
                told = f"{error.message}; it wants {asked:.0f} s of patience"
                raise ApiError(told, status=error.status, limited=error.limited) from None
            sleep(asked)


class Api:
    """The API of one repository.

    Args:
        url: Root of the REST API, ``https://api.github.com``.
        repository: ``owner/name``.
        token: Goes into one header of requests to this address, and nowhere else.
        timeout: Seconds for each step of a request.

    Raises:
        UsageError: when the address would carry the token in the clear.
    """

    def __init__(self, url: str, repository: str, token: str, *, timeout: float = 20.0) -> None:
        root = httpx.URL(url)
        if root.scheme != "https" and root.host not in _LOOPBACK:
            raise UsageError("the API's address is not https", key="GITHUB_API_URL", value=url)
        self._root = url.rstrip("/")
        self._repository = f"{self._root}/repos/{repository}"
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "X-GitHub-Api-Version": _VERSION,
            "User-Agent": f"evalkit/{__version__}",
        }
        self._client = httpx.Client(headers=headers, timeout=timeout, follow_redirects=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def call(self, method: str, path: str, body: Any = None, **query: str | int) -> Any:
        """A request below the repository; its answer as JSON, None where it is empty.

        Raises:
            ApiError: of any refusal.
        """
        return self._send(method, f"{self._repository}/{path}", body, query)

    def viewer(self) -> str:
        """Name of the account that the token speaks for, as ``github-actions[bot]``; empty where nobody says.

        Only GraphQL tells it to the token of a workflow.
        """
        enterprise = self._root.removesuffix("/v3")
        url = f"{enterprise}/graphql"
        try:
            answer = self._send("POST", url, {"query": "query { viewer { login } }"}, {})
        except ApiError as error:
            if error.transient:
                raise
            return ""
        try:
            login = answer["data"]["viewer"]["login"]
        except (TypeError, LookupError):
            return ""
        return login if isinstance(login, str) else ""

    def _send(self, method: str, url: str, body: Any, query: dict[str, str | int]) -> Any:
        try:
            with self._client.stream(method, url, json=body, params=query or None) as response:
                data = b""
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > _MOST_BYTES:
                        raise ApiError("the API answered more than anybody asked for", status=response.status_code)
        except httpx.HTTPError as error:
            raise ApiError(f"the API did not answer: {type(error).__name__}") from None
        if not response.is_success:
            raise _refusal(response, data)
        try:
            return json.loads(data) if data.strip() else None
        except (ValueError, RecursionError):
            raise ApiError("the API answered something that is no JSON", status=502) from None


def _refusal(response: httpx.Response, data: bytes) -> ApiError:
    try:
        told = json.loads(data)["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        told = response.reason_phrase
    message = log_safe(excerpt(str(told), 200))
    status = response.status_code
    spent = response.headers.get("x-ratelimit-remaining") == "0"
    wait = _seconds(response.headers.get("retry-after"))
    limited = status in _BLOCKED and (status == 429 or spent or wait is not None or "rate limit" in message.lower())
    return ApiError(f"{status}: {message}", status=status, retry_after=wait, limited=limited)


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 7 else None
