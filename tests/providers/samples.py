"""The recorded samples of ``wire/``, read; and what a dialect makes of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evalkit.providers import ChatRequest, RequestedCall
from evalkit.providers.dialect import Dialect, Reply
from evalkit.providers.sse import Event, EventParser
from evalkit.records import Message, ToolCall, ToolSpec, Usage

__all__ = ["CALLS", "CONVERSATION", "PLAIN", "REFUSAL", "SCHEMA", "read_stream", "wire", "wire_bytes", "wire_events"]

_WIRE = Path(__file__).parent / "wire"
_WEATHER = ToolSpec(
    "get_weather",
    "The weather of a city now",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
SCHEMA = {
    "title": "Weather of two cities",
    "type": "object",
    "properties": {"warmer": {"type": "string"}, "difference": {"type": "number"}},
    "required": ["warmer", "difference"],
    "additionalProperties": False,
}
CONVERSATION = ChatRequest(
    model="gpt-5-mini-2026-08-01",
    messages=(
        Message("system", "Be brief."),
        Message("user", "What is the weather like in Zürich and in Oslo?"),
        Message(
            "assistant",
            "",
            (
                ToolCall("get_weather", {"city": "Zürich"}, "call_DdmO9pD3xa9XTPNJ32zg2hcA"),
                ToolCall("get_weather", {"city": "Oslo"}, "call_ngwsQ3xa9XDdmO9pTPNJ32zg"),
            ),
        ),
        Message("tool", '{"celsius": 21}', tool_call_id="call_DdmO9pD3xa9XTPNJ32zg2hcA"),
        Message("tool", '{"celsius": 4}', tool_call_id="call_ngwsQ3xa9XDdmO9pTPNJ32zg"),
    ),
    tools=(_WEATHER, ToolSpec("ping", side_effect="none")),
    params={"temperature": 0, "max_completion_tokens": 400},
    output_schema=SCHEMA,
    context={"question": "not for a model"},
    seed=3,
    case_id="secret-case",
    trial=3,
)
"""What ``openai_chat_request.json`` and ``openai_responses_request.json`` write out."""
PLAIN = Reply(
    text="You have 30 days. 😀",
    finish_reason="stop",
    usage=Usage(2006, 300, cached_tokens=1920, cache_write_tokens=64, reasoning_tokens=256),
    model="gpt-5-mini-2026-08-01",
    system_fingerprint="fp_44709d6fcb",
)
"""What ``openai_chat`` says; Responses says the same without a fingerprint."""
CALLS = Reply(
    tool_calls=(
        RequestedCall("get_weather", {"city": "Zürich"}, "call_DdmO9pD3xa9XTPNJ32zg2hcA"),
        RequestedCall("get_weather", {"city": "Oslo", "days": [1, 2]}, "call_ngwsQ3xa9XDdmO9pTPNJ32zg"),
    ),
    finish_reason="tool_calls",
    usage=Usage(82, 34),
    model="gpt-5-mini-2026-08-01",
)
"""What ``openai_chat_tools`` says."""
REFUSAL = Reply(
    text="I'm sorry, I cannot assist with that request.",
    finish_reason="stop",
    usage=Usage(81, 11),
    model="gpt-4o-2024-08-06",
    system_fingerprint="fp_3407719c7f",
)
"""What ``openai_chat_refusal`` says."""


def wire(name: str) -> Any:
    """A sample that is JSON."""
    return json.loads((_WIRE / f"{name}.json").read_text(encoding="utf-8"))


def wire_bytes(name: str) -> bytes:
    """A sample that is a stream, as it goes over the wire."""
    return (_WIRE / f"{name}.sse").read_bytes()


def wire_events(name: str) -> list[Event]:
    """The events of a sample that is a stream."""
    parser = EventParser()
    return [*parser.feed(wire_bytes(name)), *parser.finish()]


def read_stream(dialect: Dialect, events: Iterable[Event]) -> tuple[Reply, list[bool]]:
    """The answer that a stream brings, and which of its events counted as output."""
    reader = dialect.reader()
    counted = [reader.feed(event.type, event.data) for event in events]
    return reader.finish(), counted
