"""Tool calls that a model writes as text. Decoded, never evaluated.

``python``: ``[name(arg=1), other.name(x="y")]``, as in the function-calling leaderboards.
``json``: ``[{"name": …, "arguments": {…}}]`` or one such object.

Decoding is strict on purpose: a system that reads calls from text breaks when the model wraps
them in a code fence, and a harness that forgives the fence would hide that.
"""

from __future__ import annotations

import ast
import json
import warnings
from itertools import accumulate
from typing import Any, Literal

from evalkit.fingerprint import canonical_json
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
    try:
        calls = _decode_json(stripped) if form == "json" else _decode_python(stripped)
        for call in calls:
            canonical_json(call.arguments)
    except RecursionError:
        raise DecodeError("nested too deeply") from None
    except DecodeError:
        raise
    except ValueError as error:
        raise DecodeError(f"an argument is no JSON value: {error}") from None
    return calls


def _decode_json(text: str) -> tuple[ToolCall, ...]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DecodeError(f"not JSON: {error}") from None
    calls = []
    for item in data if isinstance(data, list) else [data]:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or not name:
            raise DecodeError("a call needs a name")
        arguments = item.get("arguments", item.get("parameters", {}))
        if not isinstance(arguments, dict):
            raise DecodeError("the arguments of a call are an object")
        calls.append(ToolCall(name, arguments))
    return tuple(calls)


def _decode_python(text: str) -> tuple[ToolCall, ...]:
    source = text if text.startswith("[") else f"[{text}]"
    try:
        with warnings.catch_warnings():
            # Python warns of an escape that it does not know; whether that is an error depends on the process
            warnings.simplefilter("ignore")
            tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise DecodeError(f"not Python call syntax: {getattr(error, 'msg', error)}") from None
    if not isinstance(tree.body, ast.List):
        raise DecodeError("not a list of calls")
    written = _Source(source)
    return tuple(_python_call(node, written) for node in tree.body.elts)


class _Source:
    """The text that a tree was made of. Positions in a tree count UTF-8 bytes within a line."""

    def __init__(self, text: str) -> None:
        self._bytes = text.encode()
        lines = self._bytes.splitlines(keepends=True)
        self._starts = [0, *accumulate(len(line) for line in lines)]

    def of(self, node: ast.expr) -> str:
        """A node as it was written."""
        start = self._starts[node.lineno - 1] + node.col_offset
        end = self._starts[(node.end_lineno or 1) - 1] + (node.end_col_offset or 0)
        return self._bytes[start:end].decode()


def _python_call(node: ast.expr, written: _Source) -> ToolCall:
    if not isinstance(node, ast.Call):
        raise DecodeError("not a call")
    if node.args:
        raise DecodeError("arguments must be named")
    arguments = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise DecodeError("arguments must be named")
        if keyword.arg in arguments:
            raise DecodeError(f"the argument `{keyword.arg}` is given twice")
        arguments[keyword.arg] = _literal(keyword.value, written)
    return ToolCall(_dotted(node.func), arguments)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    raise DecodeError("not a name")


def _literal(node: ast.expr, written: _Source) -> Any:
    """A literal value; arithmetic, names and calls stay text, exactly as written."""
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, (str, int, float, bool))):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _literal(node.operand, written)
        if isinstance(inner, (int, float)) and not isinstance(inner, bool):
            return -inner
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return [_literal(item, written) for item in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {
            str(_literal(key, written)): _literal(value, written)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    return written.of(node)
