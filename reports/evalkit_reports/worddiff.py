"""Word-level difference of two texts, bounded: a long pair must not hang a report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

__all__ = ["Piece", "word_diff"]

_TOKEN = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
"""A word with the blanks behind it: blanks alone would match everywhere."""
_LIMIT = 1_000


@dataclass(frozen=True)
class Piece:
    """A stretch of text that is in both, only before, or only now."""

    kind: Literal["same", "gone", "new"]
    text: str


def word_diff(before: str, now: str) -> list[Piece]:
    """The pieces of both texts in order: without ``new`` they give ``before``, without ``gone`` they give ``now``.

    Past 1,000 words that differ, the middle is shown as one replacement.
    """
    left, right = _TOKEN.findall(before), _TOKEN.findall(now)
    head = 0
    while head < min(len(left), len(right)) and left[head] == right[head]:
        head += 1
    tail = 0
    while tail < min(len(left), len(right)) - head and left[-1 - tail] == right[-1 - tail]:
        tail += 1
    middle_left, middle_right = left[head : len(left) - tail], right[head : len(right) - tail]
    pieces = [Piece("same", "".join(left[:head]))]
    if max(len(middle_left), len(middle_right)) > _LIMIT:
        pieces += [Piece("gone", "".join(middle_left)), Piece("new", "".join(middle_right))]
    else:
        pieces += _match(middle_left, middle_right)
    pieces.append(Piece("same", "".join(left[len(left) - tail :])))
    return _join(pieces)


def _match(left: list[str], right: list[str]) -> list[Piece]:
    pieces = []
    for tag, left_start, left_end, right_start, right_end in SequenceMatcher(None, left, right, False).get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(left[left_start:left_end])))
            continue
        pieces.append(Piece("gone", "".join(left[left_start:left_end])))
        pieces.append(Piece("new", "".join(right[right_start:right_end])))
    return pieces


def _join(pieces: list[Piece]) -> list[Piece]:
    """Drop empty pieces and join neighbours of a kind."""
    joined: list[Piece] = []
    for piece in pieces:
        if not piece.text:
            continue
        if joined and joined[-1].kind == piece.kind:
            joined[-1] = Piece(piece.kind, joined[-1].text + piece.text)
        else:
            joined.append(piece)
    return joined
