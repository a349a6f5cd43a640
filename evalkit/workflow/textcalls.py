"""Tool calls that a model writes as text. Decoded, never evaluated.

``python``: ``[name(arg=1), other.name(x="y")]``, as in the function-calling leaderboards.
``json``: ``[{"name": …, "arguments": {…}}]`` or one such object.

Decoding is strict on purpose: a system that reads calls from text breaks when the model wraps
them in a code fence, and a harness that forgives the fence would hide that.
"""

from __future__ import annotations

import ast
import json
from typing import Any, Literal

from evalkit.records import ToolCall

__all__ = ["DecodeError", "decode"]

_MAX_CHARACTERS = 100_000


class DecodeError(ValueError):
    """The text is not a list of calls."""


def decode(text: str, form: Literal["python", "json"]) -> tuple[ToolCall, ...]:
    """Read the calls of an answer.

    Raises:
        DecodeError: with the reason, when the text is anything but calls.
    """
    if len(text) > _MAX_CHARACTERS:
        raise DecodeError(f"longer than {_MAX_CHARACTERS:,} characters")
    stripped = text.strip()
    if stripped.startswith("```"):
        raise DecodeError("wrapped in a code fence")
    return _decode_json(stripped) if form == "json" else _decode_python(stripped)


def _decode_json(text: str) -> tuple[ToolCall, ...]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DecodeError(f"not JSON: {error}") from None
    calls = []
    for item in data if isinstance(data, list) else [data]:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise DecodeError("a call needs a name")
        arguments = item.get("arguments", item.get("parameters", {}))
        if not isinstance(arguments, dict):
            raise DecodeError("the arguments of a call are an object")
        calls.append(ToolCall(item["name"], arguments))
    return tuple(calls)


def _decode_python(text: str) -> tuple[ToolCall, ...]:
    source = text if text.startswith("[") else f"[{text}]"
    try:
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise DecodeError(f"not Python call syntax: {getattr(error, 'msg', error)}") from None
    if not isinstance(tree.body, ast.List):
        raise DecodeError("not a list of calls")
    return tuple(_python_call(node) for node in tree.body.elts)


def _python_call(node: ast.expr) -> ToolCall:
    if not isinstance(node, ast.Call):
        raise DecodeError("not a call")
    if node.args:
        raise DecodeError("arguments must be named")
    arguments = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise DecodeError("arguments must be named")
        arguments[keyword.arg] = _literal(keyword.value)
    return ToolCall(_dotted(node.func), arguments)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    raise DecodeError("not a name")


def _literal(node: ast.expr) -> Any:
    """A literal value; arithmetic, names and calls stay text, exactly as written."""
    if isinstance(node, ast.Constant):
        value = node.value
        return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _literal(node.operand)
        if isinstance(inner, (int, float)) and not isinstance(inner, bool):
            return -inner
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {
            str(_literal(key)): _literal(value)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    return ast.unparse(node)
