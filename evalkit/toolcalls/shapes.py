"""Calls in the JSON of vendors: one call, a message, or a whole response.

| shape | a call |
|---|---|
| OpenAI Chat Completions | ``{"type": "function", "function": {"name", "arguments": "<JSON>"}}`` in ``tool_calls`` |
| OpenAI Responses | ``{"type": "function_call", "name", "arguments": "<JSON>", "call_id"}`` in ``output`` |
| Anthropic Messages | ``{"type": "tool_use", "name", "input": {…}}`` in ``content`` |
| Gemini | ``{"functionCall": {"name", "args": {…}}}`` in ``parts`` |
| Model Context Protocol | ``{"method": "tools/call", "params": {"name", "arguments": {…}}}`` |
| bare | ``{"name", "arguments": {…}}``; ``parameters``, ``args`` and ``input`` are read too |

What can be read in two ways is refused: a reader that picks one may not pick what the system picks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.records import Json, ToolCall
from evalkit.strictjson import load_json, too_deep
from evalkit.toolcalls.refusal import DecodeError, MalformedCallError

__all__ = ["RawCall", "raw_calls", "read_calls"]

_ARGUMENTS = ("arguments", "parameters", "args", "input")
_DEFINITION = frozenset({"description", "input_schema", "inputSchema"})
"""Keys of a tool's definition, which has a name and parameters as well."""


@dataclass(frozen=True, slots=True)
class RawCall:
    """A call as it was returned: the arguments are an object, or the text that should hold one."""

    name: str
    arguments: Json
    id: str = ""


def read_calls(data: Json) -> tuple[ToolCall, ...]:
    """The calls of decoded JSON in any of the shapes above; none where a message holds none.

    Raises:
        DecodeError: when it has no such shape; as a :class:`MalformedCallError` when it has several at once, or
            arguments are no JSON object.
    """
    return tuple(_decoded(number, call) for number, call in enumerate(raw_calls(data), start=1))


def _decoded(number: int, call: RawCall) -> ToolCall:
    arguments, where = call.arguments, f"call {number}, `{call.name[:60]}`"
    if isinstance(arguments, str):
        try:
            arguments = load_json(arguments or "{}", unique_keys=True)
        except ValueError as error:
            raise MalformedCallError(f"{where}: the arguments are not JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise MalformedCallError(f"{where}: the arguments of a call are an object")
    if too_deep(arguments):
        raise MalformedCallError(f"{where}: the arguments are nested too deeply")
    return ToolCall(call.name, arguments, call.id)


def raw_calls(data: Json) -> tuple[RawCall, ...]:
    """The calls of decoded JSON with their arguments as returned.

    Raises:
        DecodeError: when it has no shape of a call or a message; as a :class:`MalformedCallError` when it has several
            at once.
    """
    return tuple(call for item in (data if isinstance(data, list) else [data]) for call in _of(item))


def _of(item: Json) -> tuple[RawCall, ...]:
    if not isinstance(item, dict):
        raise DecodeError("neither a call nor a message with calls")
    fitting = [(name, read) for name, fits, read in _SHAPES if fits(item)]
    if not fitting:
        raise DecodeError("no call in a shape that is known")
    if len(fitting) > 1:
        raise MalformedCallError(f"ambiguous: both {fitting[0][0]} and {fitting[1][0]}")
    return tuple(fitting[0][1](item))


def _bare(item: Mapping[str, Any], id_key: str = "id") -> Iterator[RawCall]:
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise MalformedCallError("a call needs a name")
    if item.keys() & _DEFINITION:
        raise MalformedCallError(f"`{name[:60]}`: the definition of a tool, not a call")
    given = [key for key in _ARGUMENTS if key in item]
    if len(given) > 1:
        raise MalformedCallError(f"`{name[:60]}` is ambiguous: both `{given[0]}` and `{given[1]}`")
    identity = item.get(id_key)
    yield RawCall(name, item[given[0]] if given else {}, identity if isinstance(identity, str) else "")


def _inner(key: str, what: str) -> Callable[[Mapping[str, Any]], Iterator[RawCall]]:
    """Reader of a call that stands under a key, with its id beside the key or inside."""

    def read(item: Mapping[str, Any]) -> Iterator[RawCall]:
        inner = item[key]
        if not isinstance(inner, dict):
            raise MalformedCallError(f"`{key}` of {what} is an object")
        for call in _bare(inner):
            outer = item.get("id")
            yield RawCall(call.name, call.arguments, call.id or (outer if isinstance(outer, str) else ""))

    return read


def _list(value: Json, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise MalformedCallError(f"`{key}` is a list")
    return value


def _only(value: Json, key: str) -> Mapping[str, Any]:
    items = _list(value, key)
    if len(items) != 1 or not isinstance(items[0], dict):
        raise MalformedCallError(f"`{key}` holds {len(items)} answers: one is read")
    return items[0]


def _choices(item: Mapping[str, Any]) -> Iterable[RawCall]:
    return _of(_only(item["choices"], "choices").get("message"))


def _candidates(item: Mapping[str, Any]) -> Iterable[RawCall]:
    return _of(_only(item["candidates"], "candidates").get("content"))


def _message(item: Mapping[str, Any]) -> Iterator[RawCall]:
    """An assistant's message: OpenAI's ``tool_calls`` or the blocks of Anthropic."""
    blocks = item.get("content")
    used = _blocks(blocks) if isinstance(blocks, list) else []
    called = _list(item.get("tool_calls") or [], "tool_calls")
    if used and called:
        raise MalformedCallError("ambiguous: both `tool_calls` and blocks of type `tool_use`")
    for inner in used or called:
        yield from _of(inner)


def _blocks(blocks: Iterable[Json]) -> list[Json]:
    return [block for block in blocks if isinstance(block, dict) and block.get("type") == "tool_use"]


def _output(item: Mapping[str, Any]) -> Iterator[RawCall]:
    for inner in _list(item["output"], "output"):
        if isinstance(inner, dict) and inner.get("type") == "function_call":
            yield from _bare(inner, "call_id")


def _parts(item: Mapping[str, Any]) -> Iterator[RawCall]:
    for inner in _list(item["parts"], "parts"):
        if isinstance(inner, dict) and _is_gemini(inner):
            yield from _of(inner)


def _is_gemini(item: Mapping[str, Any]) -> bool:
    return "functionCall" in item or "function_call" in item


def _gemini(item: Mapping[str, Any]) -> Iterator[RawCall]:
    if "functionCall" in item and "function_call" in item:
        raise MalformedCallError("ambiguous: both `functionCall` and `function_call`")
    return _inner("functionCall" if "functionCall" in item else "function_call", "a part")(item)


def _is_bare(item: Mapping[str, Any]) -> bool:
    return "name" in item and item.get("type") not in ("tool_use", "function_call")


def _is_message(item: Mapping[str, Any]) -> bool:
    return "tool_calls" in item or ("content" in item and item.get("type", "message") == "message")


Shape = tuple[str, Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], Iterable[RawCall]]]
_SHAPES: tuple[Shape, ...] = (
    ("a Chat completion", lambda item: "choices" in item, _choices),
    ("a message", _is_message, _message),
    ("a call of Chat Completions", lambda item: "function" in item, _inner("function", "a call")),
    ("a response of the Responses API", lambda item: "output" in item, _output),
    ("a call of the Responses API", lambda item: item.get("type") == "function_call", lambda i: _bare(i, "call_id")),
    ("a block of Anthropic", lambda item: item.get("type") == "tool_use", _bare),
    ("a response of Gemini", lambda item: "candidates" in item, _candidates),
    ("content of Gemini", lambda item: "parts" in item, _parts),
    ("a part of Gemini", _is_gemini, _gemini),
    ("a request of MCP", lambda item: item.get("method") == "tools/call", _inner("params", "a request")),
    ("a bare call", _is_bare, _bare),
)
