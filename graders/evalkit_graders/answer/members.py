"""The members of a list that an answer writes: as JSON, as list lines, or parted by commas."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence

__all__ = ["common", "members"]

_LINE = re.compile(r"^[ \t]{0,12}(?:[-*•‣]|\d{1,3}[.)])[ \t]+(\S.*)$", re.MULTILINE)
_SEPARATOR = re.compile(r"[,;、，；\n]")
_LAST = re.compile(r"\s(?:and|und|et|y|e|or|oder|ou|o|&)\s|和|以及")
_MOST = 2_000
"""Members that are compared; a longer list is no answer."""


def members(text: str, known: Sequence[str] = ()) -> list[str]:
    """The members, in order, without bullets, numbers and the blanks around them.

    A JSON list is its items. Where lines begin with a bullet or a number, those lines are the members. Else the text
    behind its first colon, if any, is parted at commas, semicolons and line ends, and its last part at a word for
    "and", unless that part is one of ``known``.
    """
    stripped = text.strip()
    if stripped.startswith("["):
        try:
            value = json.loads(stripped)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, list):
            return [item if isinstance(item, str) else json.dumps(item) for item in value[:_MOST]]
    lines = _LINE.findall(stripped)
    if lines:
        return [line.strip().strip("*").rstrip(".;,") for line in lines[:_MOST]]
    head, colon, rest = stripped.partition(":")
    body = rest if colon and "\n" not in head and rest.strip() else stripped
    parts = [part.strip() for part in _SEPARATOR.split(body)]
    if parts and parts[-1].rstrip(".") not in known:
        parts[-1:] = _LAST.split(f" {parts[-1]}")
    return [part.strip().rstrip(".").strip() for part in parts if part.strip(" .")][:_MOST]


def common(wanted: Sequence[str], found: Sequence[str]) -> int:
    """How many members two lists share, whatever their order; one that comes twice counts twice."""
    return sum((Counter(wanted) & Counter(found)).values())
