"""Patterns of people over text of models: those that could take for ever are refused.

Python's ``re`` backtracks. A repetition without an end inside another one, such as ``(a+)+``, takes time that doubles
with each character of a text that a model can write.
"""

from __future__ import annotations

import re

__all__ = ["check_bounded"]

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?[^)]?)?|\)[*+]?|[*+]|\{\d*,?\d*\}|.", re.DOTALL)
_NESTED = "a repetition without an end inside another takes for ever on some texts: give the inner or the outer a limit"
_REFERENCE = "a reference to a group takes too long on some texts: write the pattern without it"
_MOST_TIMES = 3


def check_bounded(pattern: str) -> str:
    """Return a pattern that has no unbounded repetition inside another one, and no reference to a group.

    Raises:
        ValueError: saying what to do instead.
    """
    open_groups = [False]
    for place, token in ((match.end(), match.group()) for match in _TOKEN.finditer(pattern)):
        if token == "(?P" and pattern[place:].startswith("="):  # noqa: S105 - a piece of a pattern
            raise ValueError(_REFERENCE)
        if token.startswith("("):
            open_groups.append(False)
        elif token.startswith(")"):
            inside = open_groups.pop() if len(open_groups) > 1 else False
            if inside and (token[1:] or _is_endless(pattern[place:])):
                raise ValueError(_NESTED)
            open_groups[-1] |= inside or bool(token[1:])
        elif token in ("*", "+") or (token.startswith("{") and token.endswith(",}")):
            open_groups[-1] = True
        elif re.fullmatch(r"\\[1-9]", token):
            raise ValueError(_REFERENCE)
    return pattern


def _is_endless(rest: str) -> bool:
    """Whether what was just closed is repeated more often than the time of a search can bear."""
    repeated = re.match(r"\{(\d*)(,?)(\d*)\}", rest)
    if repeated is None:
        return False
    least, comma, most = repeated.groups()
    return bool(comma and not most) or int(most or least or 0) > _MOST_TIMES
