"""What a target answered, made fit to be recorded: possible numbers, text that has a UTF-8 form, arguments in JSON."""

from __future__ import annotations

from dataclasses import replace

from evalkit.fingerprint import canonical_json
from evalkit.providers.base import CallError, ChatResponse, RequestedCall
from evalkit.text import scrub_json

__all__ = ["admit"]

_LARGEST = 2**53
"""More than any count, time or cost there is; what is stored has 64 bits."""
_NUMBERS = ("latency_us", "waited_us", "attempts")
_OPTIONAL_NUMBERS = ("ttft_us", "cost_microusd")
_COUNTS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
_TEXTS = ("text", "finish_reason", "model", "system_fingerprint")


def admit(response: ChatResponse) -> tuple[ChatResponse, int]:
    """Return the response with lone surrogates replaced, and how many there were.

    Arguments of a tool call that JSON cannot hold become a call with an error, as if broken JSON had come.

    Raises:
        CallError: of kind ``protocol``, when a number is impossible or a text is none.
    """
    _check(response)
    texts, replaced = scrub_json({name: getattr(response, name) for name in _TEXTS})
    calls = []
    for call in response.tool_calls:
        clean, count = _call(call)
        calls.append(clean)
        replaced += count
    return replace(response, tool_calls=tuple(calls), **texts), replaced


def _check(response: ChatResponse) -> None:
    usage = response.usage
    numbers = [(name, getattr(usage, name)) for name in _COUNTS]
    numbers += [(name, getattr(response, name)) for name in _NUMBERS]
    numbers += [(name, value) for name in _OPTIONAL_NUMBERS if (value := getattr(response, name)) is not None]
    for name, value in numbers:
        if type(value) is not int or not 0 <= value <= _LARGEST:
            raise CallError(f"the target counts {value!r:.40} as `{name}`: no such number", kind="protocol")
    if usage.cached_tokens > usage.input_tokens:
        raise CallError(
            f"the target counts {usage.cached_tokens} cached tokens among {usage.input_tokens} input tokens",
            kind="protocol",
        )
    texts = [(name, getattr(response, name)) for name in _TEXTS]
    for call in response.tool_calls:
        texts += [("name", call.name), ("id", call.id), ("error", call.error or "")]
    for name, value in texts:
        if not isinstance(value, str):
            raise CallError(f"the target gives a {type(value).__name__} as `{name}`: no text", kind="protocol")


def _call(call: RequestedCall) -> tuple[RequestedCall, int]:
    try:
        canonical_json(call.arguments)
    except (ValueError, TypeError, RecursionError) as error:
        call = replace(call, arguments=None, error=f"arguments are not JSON: {error}")
    clean, replaced = scrub_json([call.name, call.arguments, call.id, call.error])
    return RequestedCall(*clean), replaced
