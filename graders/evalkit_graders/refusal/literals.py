"""What a text must hold to match an expression: looking for a few letters is many times faster than for a pattern.

For the expressions of ``cues.yaml``: literals, classes, groups, alternatives, lookarounds, bounded repetitions.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["alternatives", "needed"]

_OPTIONAL = ("?", "*", "{0,", "{,")
_QUANTIFIERS = ("?", "*", "+", "{")
_SHORTEST = 2
_ENOUGH = 5
"""Letters that are rare enough: of two lists of such texts the smaller is better."""


def alternatives(pattern: str) -> Iterator[str]:
    """The alternatives of an expression on its outermost level."""
    start, place = 0, 0
    while place < len(pattern):
        if pattern[place] == "|":
            yield pattern[start:place]
            start = place + 1
        place = _end(pattern, place)
    yield pattern[start:]


def needed(pattern: str) -> tuple[str, ...]:
    """Texts of which one stands in everything that matches; empty where there is no such list."""
    found: list[str] = []
    for alternative in alternatives(pattern):
        texts = _of_sequence(alternative)
        if not texts:
            return ()
        found += texts
    return tuple(dict.fromkeys(found))


def _of_sequence(sequence: str) -> tuple[str, ...]:
    """The most telling of what each part of a sequence needs: long texts, and few."""
    best: tuple[str, ...] = ()
    for texts in _parts(sequence):
        if texts and (not best or _telling(texts) > _telling(best)):
            best = texts
    return best


def _telling(texts: tuple[str, ...]) -> tuple[int, int]:
    return min(_ENOUGH, *(len(text) for text in texts)), -len(texts)


def _parts(sequence: str) -> Iterator[tuple[str, ...]]:
    run, place = "", 0
    while place < len(sequence):
        sign = sequence[place]
        end = _end(sequence, place)
        repeated = sequence.startswith(_QUANTIFIERS, end)
        if sign in "(\\[.^$" or repeated:
            yield (run,) if len(run) >= _SHORTEST else ()
            run = ""
            if sign == "(" and not sequence.startswith(_OPTIONAL, end):
                yield _of_group(sequence[place + 1 : end - 1])
        else:
            run += sign
        place = _after_quantifier(sequence, end) if repeated else end
    yield (run,) if len(run) >= _SHORTEST else ()


def _of_group(group: str) -> tuple[str, ...]:
    if group.startswith("?:"):
        return needed(group[2:])
    return () if group.startswith("?") else needed(group)


def _end(sequence: str, place: int) -> int:
    """Where what begins here ends: an escape, a class, a group or one character."""
    sign = sequence[place]
    if sign == "\\":
        return place + 2
    if sign not in "([":
        return place + 1
    place += 1
    while place < len(sequence) and sequence[place] != (")" if sign == "(" else "]"):
        if sign == "(":
            place = _end(sequence, place)
        else:
            place += 2 if sequence[place] == "\\" else 1
    return place + 1


def _after_quantifier(sequence: str, place: int) -> int:
    return sequence.index("}", place) + 1 if sequence[place] == "{" else place + 1
