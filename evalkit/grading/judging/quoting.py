"""Text that is judged, written so that nothing in it can end where it stands or look like anything but data.

All of it is one JSON object on one line between two lines that hold a key. In its texts, every sign that a delimiter,
a tag, a code fence, a chat template or a bracketed verdict begins with is written as a JSON escape, and so is every
character that cannot be seen; line breaks are escapes anyhow. So no line of the data begins but the one, no delimiter
stands in it whatever the key is, and a model still reads what was written. The key hangs on all of the text: whoever
writes an answer cannot know it, so a reply that was copied from an answer does not hold it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["KEY_LENGTH", "cut", "quoted"]

KEY_LENGTH = 16
_DOMAIN = b"evalkit/1/judge/boundary"
_LETTERS = "bcdfghjkmnpqrstv"
"""Without vowels and digits: no word, and nothing that is masked as a number of a card or account."""
_RISKY = re.compile(
    "[<>`|]|\\[(?=[\\[/A-Z])|(?<=\\])\\]"
    "|[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""What begins or ends a tag, a fence, ``<|token|>``, ``[INST]`` or ``[[verdict]]``; letters that are not seen."""


def quoted(data: Mapping[str, Any]) -> tuple[str, str]:
    """The block of some data, and its key.

    Args:
        data: JSON; texts of anybody.

    Returns:
        The block, which ends without a line break, and the key: ``KEY_LENGTH`` letters.
    """
    line = _escaped(data)
    digest = hmac.new(_DOMAIN, line.encode(), hashlib.sha256).digest()
    key = "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:KEY_LENGTH])
    return f"<data {key}>\n{line}\n</data {key}>", key


def _escaped(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(str(key))}: {_escaped(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[ " + ", ".join(map(_escaped, value)) + " ]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    written = _RISKY.sub(lambda match: _escape(match.group()), json.dumps(text, ensure_ascii=False))
    return written if written.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in written)


def _escape(character: str) -> str:
    return f"\\u{ord(character):04x}" if character < "\x80" else json.dumps(character)[1:-1]


def cut(text: str, limit: int) -> tuple[str, int]:
    """The beginning of a text with a word on what is missing, and how many characters are."""
    if len(text) <= limit:
        return text, 0
    missing = len(text) - limit
    return f"{text[:limit]} … ({missing:,} further characters are not shown)", missing
