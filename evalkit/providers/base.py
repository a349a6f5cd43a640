"""The small protocol of a target: one request in, one response out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from evalkit.errors import ProviderError
from evalkit.fingerprint import canonical_json, fingerprint_bytes
from evalkit.records import FailedAttempt, Json, Message, RetrievedDocument, ToolSpec, Usage
from evalkit.strictjson import load_json

__all__ = ["CallError", "ChatRequest", "ChatResponse", "FaultClass", "Provider", "RequestedCall"]

FaultClass: TypeAlias = Literal["general", "context_window", "content_policy"]
"""What a fallback is chosen by: the request was too long, the vendor's own filter refused it, or anything else."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked of a model. ``case_id`` and ``trial`` identify the trial and never go over a wire."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    params: Mapping[str, Json] = field(default_factory=dict)
    output_schema: Mapping[str, Json] | None = None
    """JSON Schema that the answer must follow, for vendors that enforce one."""
    context: Mapping[str, Json] = field(default_factory=dict)
    """What an application of the user may be given beside the conversation: question, role, tenant, documents, ..."""
    states: Mapping[str, Json] = field(default_factory=dict)
    """What the vendor gave with calls of the conversation and wants back, by their ids; no part of the digest."""
    seed: int = 0
    """The trial index, so that repeats are different draws of the same request."""
    case_id: str = ""
    trial: int = 0

    @property
    def digest(self) -> str:
        """Hash of everything that the model sees."""
        parts: dict[str, Json] = {
            "model": self.model,
            "messages": [
                [m.role, m.content, [[c.name, c.arguments] for c in m.tool_calls], m.tool_call_id]
                for m in self.messages
            ],
            "params": self.params,
            "seed": self.seed,
        }
        if self.output_schema is not None:
            parts["output_schema"] = self.output_schema
        if self.context:
            parts["context"] = self.context
        # the last key, so that what is the same for all calls of a workflow need not be written for each
        body = canonical_json(parts)[:-1] + b',"tools":' + _tools_json(self.tools) + b"}"
        return fingerprint_bytes("request", body)


_TOOLS: dict[int, tuple[tuple[ToolSpec, ...], bytes]] = {}
"""By identity; the tuple is kept, so that no other can have its id."""


def _tools_json(tools: tuple[ToolSpec, ...]) -> bytes:
    known = _TOOLS.get(id(tools))
    if known is None or known[0] is not tools:
        if len(_TOOLS) >= 64:
            _TOOLS.clear()
        text = canonical_json([[tool.name, tool.description, tool.parameters] for tool in tools])
        known = _TOOLS[id(tools)] = (tools, text)
    return known[1]


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """A tool call of a response. ``arguments`` is the decoded JSON, or the raw text with ``error`` set."""

    name: str
    arguments: Json
    id: str = ""
    error: str | None = None
    state: Json = None
    """What the vendor wants back with the result and nobody else reads, such as signed thoughts; see
    :attr:`ChatRequest.states`."""

    @classmethod
    def decoded(
        cls,
        name: str,
        raw: str,
        id: str = "",  # noqa: A002 - as the field is called
        state: Json = None,
    ) -> RequestedCall:
        """A call from its arguments as the model wrote them; an empty text stands for no arguments."""
        try:
            return cls(name, load_json(raw or "{}"), id, state=state)
        except ValueError as error:
            return cls(name, raw, id, f"arguments are not JSON: {error}", state)


@dataclass(frozen=True, slots=True)
class ChatResponse:
    """What came back, with the times and tokens measured where they happen."""

    text: str = ""
    tool_calls: tuple[RequestedCall, ...] = ()
    finish_reason: str = ""
    """In the words of OpenAI Chat Completions: stop, length, tool_calls, content_filter."""
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    system_fingerprint: str = ""
    latency_us: int = 0
    """Wire time of the attempt that answered."""
    timed: bool = True
    """False for a recording without times."""
    ttft_us: int | None = None
    """Time to the first piece of text or of a tool call, where the answer was streamed."""
    waited_us: int = 0
    """Failed attempts and pauses before it, queueing included."""
    attempts: int = 1
    failures: tuple[FailedAttempt, ...] = ()
    simulated: bool = False
    cost_microusd: int | None = None
    """Set where the cost is recorded or stated; else it is computed from the price table."""
    documents: tuple[RetrievedDocument, ...] | None = None
    """What the answer stands on, where the target retrieved it itself."""
    final: bool = False
    """True for a recording or an application: tool calls were answered elsewhere and nothing follows."""


class CallError(ProviderError):
    """A call, or one attempt of it, that failed. The trial becomes an error; the run goes on.

    Args:
        kind: timeout, connect, status, protocol, target, circuit_open, rate_limit, not_recorded, recorded.
        attempts: Requests made, the last one included.
        fatal: True where every further call would fail the same way (no key, no such path).
        retry: Whether another attempt may succeed.
        retry_after: Seconds that the target asked to wait.
        status: HTTP status, where one came.
        fault: Which fallback fits.
        failures: Attempts that failed, the last one included.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        attempts: int = 1,
        fatal: bool = False,
        retry: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
        fault: FaultClass = "general",
        failures: tuple[FailedAttempt, ...] = (),
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.attempts = attempts
        self.fatal = fatal
        self.retry = retry
        self.retry_after = retry_after
        self.status = status
        self.fault: FaultClass = fault
        self.failures = failures


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
        """Answer a request by one attempt; what is worth another says so in its error.

        Raises:
            CallError: when the attempt brought no answer.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
