"""Words of a text as the checks need them: stems in order, clauses, and the small vocabulary of six languages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from evalkit.configfile import read_shipped
from evalkit.grading.textual import normalise, stems

__all__ = ["content", "light_stems", "places_of", "stem_of", "vocabulary", "words_of"]

_WORD = re.compile(r"[^\W\d_]{1,40}|\d{1,40}")
"""Bounded, so that a text without blanks stays a list of words; a longer one is several."""


@cache
def _file() -> Mapping[str, Any]:
    found: Mapping[str, Any] = read_shipped("evalkit_graders.groundedness", "words.yaml")
    return found


@cache
def vocabulary(name: str) -> frozenset[str]:
    """The words of one list."""
    return frozenset(_file()[name].split())


@cache
def places_of(name: str) -> Mapping[str, int]:
    """Which entry of a list of lists a word stands in: ``march`` in the third of ``months``, which has the number 2.

    A word of two languages that means two entries is left out of the later one.
    """
    found: dict[str, int] = {}
    for place, words in enumerate(_file()[name]):
        for word in words.split():
            found.setdefault(word, place)
    return found


@lru_cache(maxsize=65_536)
def stem_of(word: str) -> str:
    """The stem of a word, and nothing for a function word."""
    plain = normalise(word)
    if plain in vocabulary("silent"):
        return ""
    return next(iter(stems(plain)), "")


@cache
def light_stems() -> frozenset[str]:
    """Stems of the words that stand in any text whatever it is about."""
    return frozenset(map(stem_of, vocabulary("light"))) - {""}


def words_of(text: str) -> list[str]:
    """Runs of letters and runs of digits, in order, as they are written."""
    return _WORD.findall(text)


def content(text: str) -> list[str]:
    """Stems of the words that carry meaning, in order."""
    return [stem for word in _WORD.findall(text) if (stem := stem_of(word))]
