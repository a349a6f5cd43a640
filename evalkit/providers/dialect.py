"""What differs between vendors: how a request is written and an answer read. Pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from evalkit.providers.base import ChatRequest, ChatResponse, FaultClass, RequestedCall
from evalkit.records import RetrievedDocument, Usage

__all__ = [
    "QUOTED",
    "SIMULATED_FINGERPRINT",
    "SIMULATED_HEADER",
    "Dialect",
    "Fault",
    "Reply",
    "StreamReader",
    "count",
    "text_of",
]

QUOTED = 2_000
"""Characters of an error that a dialect passes on; where they are shown, fewer, once the keys are taken out of them."""
SIMULATED_HEADER = "x-evalkit-simulated"
"""Response header of our simulator, whatever the model is called."""
SIMULATED_FINGERPRINT = "evalkit-simulator-"
"""How its ``system_fingerprint`` begins, for a gateway that does not pass the header on."""
_MOST_TOKENS = 10**12


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer without its times, in the terms of every vendor."""

    text: str = ""
    tool_calls: tuple[RequestedCall, ...] = ()
    finish_reason: str = ""
    """In the words of OpenAI Chat Completions: stop, length, tool_calls, content_filter."""
    usage: Usage = field(default_factory=lambda: Usage(source="none"))
    model: str = ""
    system_fingerprint: str = ""
    cost_microusd: int | None = None
    documents: tuple[RetrievedDocument, ...] | None = None
    final: bool = False

    def response(
        self, *, latency_us: int = 0, waited_us: int = 0, ttft_us: int | None = None, simulated: bool = False
    ) -> ChatResponse:
        """The answer with its times, as :class:`ChatResponse` has them."""
        return ChatResponse(
            text=self.text,
            tool_calls=self.tool_calls,
            finish_reason=self.finish_reason,
            usage=self.usage,
            model=self.model,
            system_fingerprint=self.system_fingerprint,
            latency_us=latency_us,
            ttft_us=ttft_us,
            waited_us=waited_us,
            simulated=simulated,
            cost_microusd=self.cost_microusd,
            documents=self.documents,
            final=self.final,
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """What the body of an error answer says; None where the status and the headers decide."""

    kind: FaultClass = "general"
    retry_after: float | None = None
    """Seconds to wait; a header that says so comes first."""
    fatal: bool | None = None
    """Whether every further call would fail the same way."""
    retry: bool | None = None
    """Whether another attempt may succeed."""


class StreamReader(Protocol):
    """Puts an answer together from server-sent events. One instance an answer."""

    def feed(self, event: str, data: str) -> bool:
        """Take one event: its type (``""`` where none is given) and its data.

        Returns:
            Whether the event brought a piece of text or of a tool call: the first one ends the time to first token.

        Raises:
            CallError: when the event reports an error of the vendor.
            KeyError, IndexError, TypeError, AttributeError, ValueError: when it is something else than it should be.
        """
        ...

    def finish(self) -> Reply:
        """The whole answer. Where the vendor did not state the usage, its ``source`` is ``estimated`` or ``none``.

        Raises:
            ValueError: when the stream ended before the answer did.
        """
        ...


class Dialect(Protocol):
    """One vendor's wire format. Implementations are stateless."""

    kind: str
    """Name of the kind in ``providers:``; part of the identity of a target."""

    def path(self, request: ChatRequest, *, stream: bool) -> str:
        """What follows the base URL, with its query."""
        ...

    def headers(self, key: str | None) -> Mapping[str, str]:
        """Headers of every request: the key, the version of the API."""
        ...

    def payload(self, request: ChatRequest, *, stream: bool) -> Mapping[str, Any]:
        """The JSON body."""
        ...

    def reply(self, data: Any) -> Reply:
        """Read a whole answer.

        Raises:
            KeyError, IndexError, TypeError, AttributeError, ValueError: when the JSON is something else.
            CallError: when it reports an error although the status was 200.
        """
        ...

    def reader(self) -> StreamReader:
        """What reads one streamed answer."""
        ...

    def fault(self, status: int, data: Any) -> FaultClass | Fault:
        """The class of an error answer, or more that its body says; ``data`` is its JSON, or None."""
        ...


def text_of(data: Mapping[str, Any], key: str) -> str:
    """A text of an answer; ``""`` where it is absent or null.

    Raises:
        TypeError: when it is something else.
    """
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"`{key}` is no text")
    return value or ""


def count(usage: Mapping[str, Any], key: str, most: int = _MOST_TOKENS) -> int:
    """A number of tokens; 0 where it is absent or null.

    Raises:
        ValueError: when it is no whole number from 0 to ``most``.
    """
    value = usage.get(key)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"`usage` counts {repr(value)[:40]} {key}, not 0 to {most:,}")
    return value
