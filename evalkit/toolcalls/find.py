"""Calls that stand somewhere in an answer: as the whole text, in fences or tags, or as JSON between sentences.

A reader for graders, more forgiving than the one of a system (:mod:`evalkit.toolcalls.text`). It looks at each
character a bounded number of times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from evalkit.records import ToolCall
from evalkit.strictjson import load_json
from evalkit.toolcalls.refusal import DecodeError, MalformedCallError
from evalkit.toolcalls.shapes import read_calls
from evalkit.toolcalls.text import LONGEST, decode

__all__ = ["find_calls"]

_INFO = re.compile(r"[\w+-]{1,40}[ \t]*\n|(?:json|python|py|tool_call|tool_code)\s")
"""What follows an opening fence: any word on a line of its own, or a usual one before the content."""
_TAG = re.compile(r"<(/?)tool_call>")
_START = re.compile(r"^[ \t]{0,8}(?=\{|\[\s{0,8}\{)", re.MULTILINE)
_JSON = re.compile(r"\[?\s{0,8}\{")
_MARK = re.compile(r'["\\{}\[\]]')
_CALL_WORDS = re.compile(
    r'"(?:arguments|parameters|args|input|function|functionCall|function_call|tool_calls|tool_use|tools/call)"'
)
"""What JSON of calls holds: a name alone is what any record has."""


def find_calls(text: str) -> tuple[ToolCall, ...]:
    """The calls that an answer holds, in order; none where it is prose, or code that calls nothing by name.

    JSON in any shape of :mod:`evalkit.toolcalls.shapes`, or Python calls. Where the whole text is calls, that is
    taken; else fenced blocks, else ``<tool_call>`` tags, else JSON that begins a line.

    Raises:
        MalformedCallError: when something there is a call that cannot be read.
        DecodeError: when the text is over 100,000 characters long.
    """
    if len(text) > LONGEST:
        raise DecodeError(f"longer than {LONGEST:,} characters")
    for pieces in (_whole, _fenced, _tagged, _embedded):
        found = [call for piece in pieces(text) for call in _calls(piece.strip())]
        if found:
            return tuple(found)
    return ()


def _calls(piece: str) -> tuple[ToolCall, ...]:
    try:
        if not _JSON.match(piece):
            return decode(piece, "python")
        if not _CALL_WORDS.search(piece):
            return ()
        try:
            data = load_json(piece, unique_keys=True)
        except ValueError as error:
            raise MalformedCallError(f"not JSON: {error}") from None
        return read_calls(data)
    except MalformedCallError:
        raise
    except DecodeError:
        return ()


def _whole(text: str) -> Iterator[str]:
    stripped = text.strip()
    if not _JSON.match(stripped) or _end(stripped, 0) in (len(stripped), None):
        yield stripped


def _fenced(text: str) -> Iterator[str]:
    for piece in text.split("```")[1::2]:
        info = _INFO.match(piece)
        yield piece[info.end() :] if info else piece


def _tagged(text: str) -> Iterator[str]:
    opened: int | None = None
    for tag in _TAG.finditer(text):
        if not tag.group(1):
            opened = tag.end()
        elif opened is not None:
            yield text[opened : tag.start()]
            opened = None


def _embedded(text: str) -> Iterator[str]:
    """JSON values that begin a line; after one that does not end nothing more is looked for."""
    position = 0
    while (start := _START.search(text, position)) is not None:
        end = _end(text, start.end())
        if end is None:
            return
        yield text[start.end() : end]
        position = end


def _end(text: str, begin: int) -> int | None:
    """Where the bracket at ``begin`` is closed, strings of JSON passed over; None where it is not."""
    depth, quoted, position = 0, False, begin
    while (mark := _MARK.search(text, position)) is not None:
        sign, position = mark.group(), mark.end()
        if sign == "\\":
            position += 1
        elif sign == '"':
            quoted = not quoted
        elif not quoted:
            depth += 1 if sign in "{[" else -1
            if depth == 0:
                return position
    return None
