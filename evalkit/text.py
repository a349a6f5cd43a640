"""Hostile text, made safe to store and safe to show.

Model text may hold lone surrogates (no UTF-8 form), terminal escapes, bidirectional
overrides and commands for a CI log. :func:`scrub` is for what goes to disk, the others for
what a person or a log parser sees.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from typing import Any

__all__ = ["excerpt", "log_safe", "scrub", "scrub_json", "unused_key", "visible"]

_SURROGATE = re.compile("[\ud800-\udfff]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
"""Controls, line ends, surrogates and what Unicode calls default ignorable, but not the selectors of emoji."""

_MOST_MARKS = 4
_PERHAPS_STACKED = re.compile(rf"[^\w\s\x00-\x7f]{{{_MOST_MARKS + 1},}}")
"""Combining marks are neither letters nor digits to Python; most texts have no such run at all."""


def scrub(text: str) -> tuple[str, int]:
    """Replace lone surrogates by U+FFFD; return the text and how many there were."""
    if text.isascii():
        return text, 0
    return _SURROGATE.subn("\ufffd", text)


def scrub_json(value: Any) -> tuple[Any, int]:
    """Apply :func:`scrub` to every string, keys included, of a JSON value."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        count = 0
        result: dict[str, Any] = {}
        for key, item in value.items():
            clean_key, in_key = scrub(key)
            result[unused_key(clean_key, result)], in_item = scrub_json(item)
            count += in_key + in_item
        return result, count
    if isinstance(value, (list, tuple)):
        pairs = [scrub_json(item) for item in value]
        return [item for item, _ in pairs], sum(n for _, n in pairs)
    return value, 0


def unused_key(key: str, taken: Container[str]) -> str:
    """The key, numbered where it is taken already: two keys that became alike keep both values."""
    free, number = key, 2
    while free in taken:
        free, number = f"{key} ({number})", number + 1
    return free


def visible(text: str) -> str:
    """Show control, bidirectional and other characters without width as ``⟦U+202E⟧``; keep tab and newline.

    Combining marks beyond four in a row are dropped, so that stacked marks cannot cover other lines.
    """
    return _INVISIBLE.sub(lambda match: f"⟦U+{ord(match.group()):04X}⟧", _limit_marks(text))


def _limit_marks(text: str) -> str:
    return text if text.isascii() else _PERHAPS_STACKED.sub(lambda match: _unstacked(match.group()), text)


def _unstacked(signs: str) -> str:
    out: list[str] = []
    run = 0
    for sign in signs:
        run = run + 1 if unicodedata.category(sign) in ("Mn", "Me") else 0
        if run <= _MOST_MARKS:
            out.append(sign)
    return "".join(out)


def log_safe(text: str) -> str:
    """Make text safe on a terminal and in a CI log: visible, and no log command in any line.

    GitHub's runner takes ``::command::`` at the start of a line and ``##[command]`` anywhere in it.
    """
    shown = visible(text).replace("##[", "##⟦")
    return re.sub(r"(?m)^(\s*)::", r"\1⟦::⟧", shown)


def excerpt(text: str, limit: int = 160) -> str:
    """One line of at most ``limit`` characters: white space collapsed, the cut marked."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
