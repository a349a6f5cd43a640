"""The expressions of GitHub Actions, as far as this repository uses them.

Comparison, ``&&``, ``||``, ``!``, parentheses, literals, properties, ``needs.*.result`` and some functions, by the
published reference: texts compare without regard to case, a missing property is empty. Stricter in one thing: an input,
a step or a job that is declared nowhere is an error here, where GitHub says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Expressions"]

_TOKEN = re.compile(
    r"\s*(?:('(?:[^']|'')*')|(\d+(?:\.\d+)?)|([A-Za-z_][\w-]*(?:\.(?:[\w-]+|\*))*)|(&&|\|\||[!=]=|[!(),]))"
)
_DECLARED = ("inputs", "steps", "needs", "matrix")


class Expressions:
    """Evaluates expressions against contexts.

    Args:
        contexts: ``github``, ``inputs``, ``steps`` and so on, as nested mappings.
        failed: Whether something before has failed.
    """

    def __init__(self, contexts: Mapping[str, Any], *, failed: bool = False) -> None:
        self._contexts = contexts
        self._functions: dict[str, Callable[..., Any]] = {
            "always": lambda: True,
            "success": lambda: not failed,
            "failure": lambda: failed,
            "cancelled": lambda: False,
            "join": lambda items, separator=",": separator.join(map(_text, items)),
            "contains": lambda where, what: what in where if isinstance(where, list) else _text(what) in _text(where),
            "startsWith": lambda text, start: _text(text).lower().startswith(_text(start).lower()),
        }
        self._failed = failed

    def fill(self, text: str) -> str:
        """A text with its ``${{ }}`` replaced."""
        return re.sub(r"\$\{\{(.*?)\}\}", lambda match: _text(self.value(match[1])), text, flags=re.DOTALL)

    def holds(self, condition: str | bool | None) -> bool:
        """Whether an ``if:`` is met; without a status function it is only met where nothing has failed."""
        if condition is None:
            return not self._failed
        text = re.sub(r"^\s*\$\{\{(.*)\}\}\s*$", r"\1", str(condition), flags=re.DOTALL)
        asks = re.search(r"\b(?:always|failure|success|cancelled)\(\)", text)
        return _true(self.value(text)) and bool(asks or not self._failed)

    def value(self, expression: str) -> Any:
        """The value of an expression."""
        self._tokens: list[tuple[str, str]] = []
        rest = expression.strip()
        while rest:
            match = _TOKEN.match(rest)
            assert match, f"not understood: {rest}"
            kind = ("text", "number", "name", "sign")[
                next(i for i, part in enumerate(match.groups()) if part is not None)
            ]
            self._tokens.append((kind, match[0].strip()))
            rest = rest[match.end() :].strip()
        found = self._either()
        assert not self._tokens, f"not understood: {self._tokens}"
        return found

    def _next(self, *signs: str) -> str:
        return self._tokens.pop(0)[1] if self._tokens and self._tokens[0] in [("sign", sign) for sign in signs] else ""

    def _either(self) -> Any:
        left = self._both()
        while self._next("||"):
            right = self._both()
            left = left if _true(left) else right
        return left

    def _both(self) -> Any:
        left = self._compared()
        while self._next("&&"):
            right = self._compared()
            left = right if _true(left) else left
        return left

    def _compared(self) -> Any:
        left = self._single()
        while sign := self._next("==", "!="):
            right = self._single()
            left = (_text(left).lower() == _text(right).lower()) == (sign == "==")
        return left

    def _single(self) -> Any:
        if self._next("!"):
            return not _true(self._single())
        if self._next("("):
            found = self._either()
            assert self._next(")")
            return found
        kind, text = self._tokens.pop(0)
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text)
        assert kind == "name", f"not understood: {text}"
        if self._next("("):
            arguments = []
            while not self._next(")"):
                arguments.append(self._either())
                self._next(",")
            return self._functions[text](*arguments)
        if text in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[text]
        return self._property(text.split("."))

    def _property(self, path: list[str]) -> Any:
        found: Any = self._contexts[path[0]]
        if path[0] in _DECLARED and len(path) > 1 and path[1] != "*":
            assert path[1] in found, f"{'.'.join(path)}: `{path[1]}` is declared nowhere"
        for name in path[1:]:
            if name == "*":
                found = list(found.values())
            elif isinstance(found, list):
                found = [item.get(name) for item in found]
            else:
                found = found.get(name) if isinstance(found, Mapping) else None
        return found


def _true(value: Any) -> bool:
    return value not in ("", None, False, 0)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
