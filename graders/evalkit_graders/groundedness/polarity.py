"""Negation: which clauses of a sentence deny something."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.grading.textual import normalise
from evalkit_graders.groundedness.text import vocabulary, words_of

__all__ = ["Clause", "clauses", "has_negation"]

_BREAK = re.compile(r"([;:()]|,(?=\s)|\.\s|\s[–—-]\s)")
_NO = re.compile(r":\s{0,3}(?:no|none|false|nein|non|não|nao)\b(?=\s{0,3}(?:[;,.)]|$))", re.IGNORECASE)
_YES = re.compile(r":\s{0,3}(?:yes|true|ja|oui|sí|si|sì|sim)\b(?=\s{0,3}(?:[;,.)]|$))", re.IGNORECASE)
"""``approved: no`` is one clause that denies, and not two."""
_ENGLISH = re.compile(r"n['’]t\b")


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a sentence between its breaks, its words in lower case."""

    words: tuple[str, ...]
    negated: bool


def has_negation(text: str) -> bool:
    """Whether a text denies anything."""
    negations = vocabulary("negations")
    return bool(_ENGLISH.search(text)) or not negations.isdisjoint(map(normalise, words_of(text)))


def clauses(text: str) -> list[Clause]:
    """The clauses of a sentence.

    A comma ends none where a denied list goes on (``no seating, music or parking``); a negation after "and" begins
    one (``street parking and no garage``), and so does "without".
    """
    found: list[Clause] = []
    pieces = _BREAK.split(_YES.sub(" ", _NO.sub(" not ", text)))
    for place in range(0, len(pieces), 2):
        listed = found[-1] if found and place and pieces[place - 1] == "," else None
        found += _parts([normalise(word) for word in words_of(pieces[place])], listed)
    return found


def _parts(words: Sequence[str], before: Clause | None) -> Iterator[Clause]:
    turns, negations = vocabulary("turns"), vocabulary("negations")
    start, denied = 0, False
    for place, word in enumerate(words):
        denies = word in negations or (word == "t" and place > 0 and words[place - 1].endswith("n"))
        breaks = word in turns or (
            word in vocabulary("joins") and (denied or not negations.isdisjoint(words[place + 1 : place + 3]))
        )
        if place > start and (breaks or (denies and word in vocabulary("without"))):
            yield Clause(tuple(words[start:place]), denied)
            start, denied = place, False
        denied = denied or denies
    if start < len(words):
        goes_on = before is not None and before.negated and before.words[-1] not in negations
        yield Clause(tuple(words[start:]), denied or (goes_on and start == 0 and len(words) <= _ITEM))


_ITEM = 3
"""Words of an item of a list."""
