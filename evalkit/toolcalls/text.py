"""Tool calls that a model writes as text, for a system that reads them there. Decoded, never evaluated.

``python``: ``[name(arg=1), other.name(x="y")]``, as in the function-calling leaderboards.
``json``: ``[{"name": …, "arguments": {…}}]`` or one such object.

Decoding is strict on purpose: a system that reads calls from text breaks when the model wraps
them in a code fence, and a harness that forgives the fence would hide that. An argument is a
literal, or a name or a call, which stay text; an expression (an operator, a comprehension, a
lambda, an f-string) is refused.
"""

from __future__ import annotations

import ast
import warnings
from itertools import accumulate
from typing import Any, Literal

from evalkit.fingerprint import canonical_json
from evalkit.records import ToolCall
from evalkit.strictjson import load_json, too_deep
from evalkit.toolcalls.refusal import DecodeError, MalformedCallError

__all__ = ["LONGEST", "decode"]

LONGEST = 100_000
"""Characters of a text that is read."""


def decode(text: str, form: Literal["python", "json"]) -> tuple[ToolCall, ...]:
    """Read the calls of an answer.

    Raises:
        DecodeError: with the reason, when the text is anything but calls; as a :class:`MalformedCallError` where it is
            calls, and one cannot be read.
    """
    if len(text) > LONGEST:
        raise DecodeError(f"longer than {LONGEST:,} characters")
    stripped = text.strip()
    if stripped.startswith("```"):
        raise DecodeError("wrapped in a code fence")
    try:
        calls = _decode_json(stripped) if form == "json" else _decode_python(stripped)
        for call in calls:
            canonical_json(call.arguments)
            if too_deep(call.arguments):
                raise MalformedCallError("nested too deeply")
    except RecursionError:
        raise DecodeError("nested too deeply") from None
    except DecodeError:
        raise
    except ValueError as error:
        raise MalformedCallError(f"an argument is no JSON value: {error}") from None
    return calls


def _decode_json(text: str) -> tuple[ToolCall, ...]:
    try:
        data = load_json(text, unique_keys=True)
    except ValueError as error:
        raise DecodeError(f"not JSON: {error}") from None
    calls = []
    for item in data if isinstance(data, list) else [data]:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or not name:
            raise DecodeError("a call needs a name")
        if "arguments" in item and "parameters" in item:
            raise MalformedCallError(f"`{name[:60]}` is ambiguous: both `arguments` and `parameters`")
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
    name = _dotted(node.func)
    if node.args or any(keyword.arg is None for keyword in node.keywords):
        raise MalformedCallError("arguments must be named")
    arguments = {}
    for keyword in node.keywords:
        key = keyword.arg or ""
        if key in arguments:
            raise MalformedCallError(f"the argument `{key}` is given twice")
        arguments[key] = _literal(keyword.value, written)
    return ToolCall(name, arguments)


def _dotted(node: ast.expr) -> str:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise DecodeError("not a name")
    return ".".join([node.id, *reversed(names)])


def _literal(node: ast.expr, written: _Source) -> Any:
    """A literal value; a name or a call stays text, exactly as written.

    Raises:
        MalformedCallError: for an expression that would have to be computed.
    """
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, (str, int, float, bool))):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner = _literal(node.operand, written)
        if isinstance(inner, (int, float)) and not isinstance(inner, bool):
            return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return [_literal(item, written) for item in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        return _object(node, written)
    named = node.func if isinstance(node, ast.Call) else node
    while isinstance(named, ast.Attribute):
        named = named.value
    if isinstance(named, ast.Name):
        return written.of(node)
    raise MalformedCallError(f"an expression is not computed: {_short(written.of(node))}")


def _object(node: ast.Dict, written: _Source) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        name = str(_literal(key, written)) if key is not None else ""
        if name in made:
            raise MalformedCallError(f"the key `{_short(name)}` is given twice")
        made[name] = _literal(value, written)
    return made


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
