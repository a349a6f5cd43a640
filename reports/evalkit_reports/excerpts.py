"""One line of a text that fits a width, and two of a pair that show where its texts part."""

from __future__ import annotations

from itertools import pairwise

from rich.cells import cell_len, set_cell_size

__all__ = ["cut", "cut_pair"]

_CUT = "…"
_MOST = 20_000
"""Characters of a text that are looked at."""


def cut(text: str, width: int) -> str:
    """One line of at most ``width`` terminal cells, which are 2 or more: white space collapsed, the cut marked."""
    line = " ".join(text[:_MOST].split())
    if len(text) <= _MOST and cell_len(line) <= width:
        return line
    return set_cell_size(line, min(width - 1, cell_len(line))).rstrip() + _CUT


def cut_pair(before: str, after: str, width: int) -> tuple[str, str]:
    """Both texts as one line each of at most ``width`` cells, so that the first word in which they differ is seen.

    Words that both begin with are left out from the front, as many as it takes, with ``…`` in their place.
    """
    old, new = before[:_MOST].split(), after[:_MOST].split()
    alike = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    context = _context(old[:alike], width // 3)
    # what is not cut needs no window
    if alike == context or max(cell_len(" ".join(old)), cell_len(" ".join(new))) <= width:
        return cut(before, width), cut(after, width)
    start = alike - context
    shown = [cut(" ".join([_CUT, *words[start:]]), width) for words in (old, new)]
    return shown[0], shown[1]


def _context(words: list[str], room: int) -> int:
    """How many of the last words fit into the room."""
    ends = [0]
    for word in reversed(words):
        ends.append(ends[-1] + cell_len(word) + 1)
    return next((count for count, (_, end) in enumerate(pairwise(ends)) if end > room), len(words))
