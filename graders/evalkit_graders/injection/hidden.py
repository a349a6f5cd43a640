"""Text that a person does not see and a model does: comments, invisible markup, characters without width, base64."""

from __future__ import annotations

import base64
import binascii
import re

__all__ = ["joined", "reveal"]

_INVISIBLE_ELEMENT = re.compile(
    r"<\w{1,10}[^<>]{0,200}(?:display\s{0,3}:\s{0,3}none|visibility\s{0,3}:\s{0,3}hidden|font-size\s{0,3}:\s{0,3}[01](?:px|pt)?\b"
    r"|opacity\s{0,3}:\s{0,3}0\b|\bhidden\b|color\s{0,3}:\s{0,3}(?:white|#fff\w{0,3})\b)[^<>]{0,200}>([^<]{3,4000})",
    re.IGNORECASE,
)
_MARKDOWN_COMMENT = re.compile(r"(?m)^\[[^\]\n]{0,60}\]:\s?#\s{0,3}\(([^\n]{3,2000})\)")
_TAGS = re.compile("[\U000e0020-\U000e007e]{3,4000}")
"""Unicode's tag characters: ASCII that nothing shows."""
_NO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_WITHOUT = dict.fromkeys(map(ord, _NO_WIDTH))
_SPLIT_UP = re.compile(rf"(?:[^\W\d_]{{1,3}}[{_NO_WIDTH}]){{4}}")
"""A word written with characters between its letters, so that no filter finds it."""
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{24,4000}={0,2}")
_MOST = 40
"""Hidden texts; more are no longer hidden but a format."""
_READABLE_SHARE = 0.9


def reveal(text: str) -> tuple[str, list[str]]:
    """The text without what stands hidden in it, and that, as a model can read it; at most so many of each kind."""
    found: list[str] = []

    def take(match: re.Match[str]) -> str:
        if len(found) >= _MOST:
            return match.group()
        found.append(match.group(1))
        return "\n"

    if "<" in text or "[" in text:
        text, found = _without_comments(text)
        for pattern in (_INVISIBLE_ELEMENT, _MARKDOWN_COMMENT):
            text = pattern.sub(take, text)
    if not text.isascii():
        found += ["".join(chr(ord(sign) - 0xE0000) for sign in run) for run in _TAGS.findall(text)[:_MOST]]
        text = _TAGS.sub("", text)
    return text, found + [told for run in _BASE64.findall(text)[:_MOST] if (told := _decoded(run))]


def _without_comments(text: str) -> tuple[str, list[str]]:
    # not one pattern: with no end in sight, it would look for one from each beginning
    kept: list[str] = []
    found: list[str] = []
    place = 0
    while len(found) < _MOST and (start := text.find("<!--", place)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        kept.append(text[place:start])
        found.append(text[start + 4 : end])
        place = end + 3
    return "\n".join([*kept, text[place:]]), found


def joined(text: str) -> tuple[str, bool]:
    """A text without characters that have no width, and whether they stood between the letters of its words."""
    if text.isascii():
        return text, False
    return text.translate(_WITHOUT), _SPLIT_UP.search(text) is not None


def _decoded(run: str) -> str:
    try:
        told = base64.b64decode(run.rstrip("=") + "=" * (-len(run.rstrip("=")) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    good = sum(sign.isalnum() or sign.isspace() or sign in ".,:;!?'\"@/-" for sign in told)
    return told if " " in told and good >= _READABLE_SHARE * len(told) else ""
