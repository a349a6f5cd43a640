"""Text as a reader takes it: without signs that cannot be seen, with plain digits, blanks and dashes."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = ["plain"]

_AT = re.compile(r" ?[\[({](?:at|@)[\])}] ?", re.IGNORECASE)
_DOT = re.compile(r" ?[\[({](?:dot|\.)[\])}] ?", re.IGNORECASE)
_UNUSUAL = re.compile(r"[^\x00-\x7f\u00a1-\u00ac\u00ae-\u024f\u0400-\u045f\u2018-\u201f\u2022\u2026\u20ac]")
"""What is not among the letters and signs of European text: only these need a look."""


@lru_cache(maxsize=4096)
def _plain_sign(sign: str) -> str:
    kind = unicodedata.category(sign)
    if kind == "Cf" or sign in "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0" or "\ufe00" <= sign <= "\ufe0f":
        return ""
    if kind == "Nd":
        return str(unicodedata.decimal(sign))
    if kind == "Pd" or sign == "\u2212":
        return "-"
    return " " if kind == "Zs" else sign


@lru_cache(maxsize=128)
def plain(text: str) -> str:
    """NFKC without invisible signs, digits of all scripts as 0 to 9; ``name (at) host [dot] org`` as an address."""
    if not text.isascii():
        text = _UNUSUAL.sub(lambda match: _plain_sign(match.group()), unicodedata.normalize("NFKC", text))
    lower = text.lower()
    if "at)" in lower or "at]" in lower or "at}" in lower or "(@" in lower or "[@" in lower:
        text = _DOT.sub(".", _AT.sub("@", text))
    return text
