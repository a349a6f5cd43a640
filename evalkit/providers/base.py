"""The small protocol of a target: one request in, one response out. A vendor is one module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from evalkit.errors import ProviderError
from evalkit.fingerprint import fingerprint
from evalkit.providers.decode import load_json
from evalkit.records import Json, Message, ToolSpec, Usage

__all__ = ["CallError", "ChatRequest", "ChatResponse", "Provider", "RequestedCall"]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked of a model. ``case_id`` and ``trial`` identify the trial and never go over a wire."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    params: Mapping[str, Json] = field(default_factory=dict)
    seed: int = 0
    """The trial index, so that repeats are different draws of the same request."""
    case_id: str = ""
    trial: int = 0

    @property
    def digest(self) -> str:
        """Hash of everything that the model sees."""
        return fingerprint(
            "request",
            {
                "model": self.model,
                "messages": [
                    [m.role, m.content, [[c.name, c.arguments] for c in m.tool_calls], m.tool_call_id]
                    for m in self.messages
                ],
                "tools": [[t.name, t.description, t.parameters] for t in self.tools],
                "params": self.params,
                "seed": self.seed,
            },
        )


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A tool call of a response. ``arguments`` is the decoded JSON, or the raw text with ``error`` set."""

    name: str
    arguments: Json
    id: str = ""
    error: str | None = None

    @classmethod
    def decoded(cls, name: str, raw: str, id: str = "") -> RequestedCall:  # noqa: A002 - as the field is called
        """A call from its arguments as the model wrote them; an empty text stands for no arguments."""
        try:
            return cls(name, load_json(raw or "{}"), id)
        except ValueError as error:
            return cls(name, raw, id, f"arguments are not JSON: {error}")


@dataclass(frozen=True, slots=True)
class ChatResponse:
    """What came back, with the times and tokens measured where they happen."""

    text: str = ""
    tool_calls: tuple[RequestedCall, ...] = ()
    finish_reason: str = ""
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    system_fingerprint: str = ""
    latency_us: int = 0
    """Wire time of the attempt that answered."""
    timed: bool = True
    """False for a recording without times."""
    ttft_us: int | None = None
    waited_us: int = 0
    """Failed attempts and pauses before it."""
    attempts: int = 1
    simulated: bool = False
    cost_microusd: int | None = None
    """Set where the cost is recorded; else it is computed from the price table."""
    final: bool = False
    """True for a recording: tool calls were answered elsewhere and nothing follows."""


class CallError(ProviderError):
    """A call that failed for good. The trial becomes an error; the run goes on.

    Args:
        kind: timeout, connect, status, protocol, not_recorded, recorded.
        attempts: Requests made, the last one included.
        fatal: True where every further call would fail the same way (no key, unknown model).
    """

    def __init__(self, message: str, *, kind: str, attempts: int = 1, fatal: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.attempts = attempts
        self.fatal = fatal


@runtime_checkable
class Provider(Protocol):
    """A target. Implementations are safe to use by many tasks of one event loop."""

    name: str
    """As configured: the part of ``provider:model`` before the colon."""

    @property
    def identity(self) -> Mapping[str, Json]:
        """What makes answers of this target different from another's; goes into the fingerprint."""
        ...

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """Answer a request.

        Raises:
            CallError: when no attempt succeeded.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
