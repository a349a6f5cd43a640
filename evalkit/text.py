"""Hostile text, made safe to store and safe to show.

Model text may hold lone surrogates (no UTF-8 form), terminal escapes, bidirectional
overrides and commands for a CI log. :func:`scrub` is for what goes to disk, the others for
what a person or a log parser sees.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

__all__ = ["excerpt", "log_safe", "scrub", "scrub_json", "visible"]

_SURROGATE = re.compile("[\ud800-\udfff]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


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
        result = {}
        for key, item in value.items():
            clean_key, in_key = scrub(key)
            result[clean_key], in_item = scrub_json(item)
            count += in_key + in_item
        return result, count
    if isinstance(value, (list, tuple)):
        pairs = [scrub_json(item) for item in value]
        return [item for item, _ in pairs], sum(n for _, n in pairs)
    return value, 0


def visible(text: str) -> str:
    """Show control, bidirectional and zero-width characters as ``⟦U+202E⟧``; keep tab and newline.

    Combining marks beyond four in a row are dropped, so that stacked marks cannot cover other lines.
    """
    shown = _INVISIBLE.sub(lambda match: f"⟦U+{ord(match.group()):04X}⟧", text)
    return _limit_marks(shown)


def _limit_marks(text: str, limit: int = 4) -> str:
    if text.isascii():
        return text
    out: list[str] = []
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= limit:
            out.append(character)
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
