"""Text that stands in an answer and in something that it must not come from: long runs of words, figures and codes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from evalkit.grading.textual import NO_BLANKS, canonical
from evalkit_graders.safety.plaintext import plain

__all__ = ["copied_figures", "copied_words", "quoted"]

_NO_BLANKS = re.compile(rf"[{NO_BLANKS}]")
"""Each such sign counts as a word."""
_SIGNS = re.compile(
    r"[\u0080-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u2000-\u206f\u20a0-\u20cf\u2100-\u2bff\u3000-\u303f]"
)
_WORDS_ONLY = bytes(sign if chr(sign).isalnum() or sign > 127 else 32 for sign in range(256))
_YEAR = re.compile(r"(?:19|20)\d\d")
_UNIT = re.compile(r"%|[^\W\d_]{3,}")
_NO_UNITS = frozenset(
    ["and", "und", "the", "der", "die", "das", "les", "los", "las", "per", "pro", "for", "por", "pour"]
)
_QUOTED = re.compile(
    r"\"([^\"\n]{1,400})\"|[\u201c\u201e]([^\u201c\u201d\n]{1,400})[\u201c\u201d]|\u00ab([^\u00bb\n]{1,400})\u00bb"
)


def copied_words(text: str, source: str, allowed: Iterable[str], words: int) -> str:
    """The longest run of at least so many words that a text shares with a source and with no allowed text.

    Words are compared without case and punctuation. Linear in the lengths of all texts.

    Returns:
        The run in that form, empty where there is none.
    """
    said = _words(plain(text))
    if len(said) < words:
        return ""
    hits = set(_runs(said, words)).intersection(_runs(_words(source), words))
    for known in allowed:
        if not hits:
            return ""
        hits.difference_update(_runs(_words(known), words))
    return _longest(said, hits, words) if hits else ""


@lru_cache(maxsize=128)
def _words(text: str) -> tuple[bytes, ...]:
    """Words in UTF-8; a table of bytes is faster than a pattern, and prompts are long."""
    if not text.isascii():
        text = _SIGNS.sub(" ", unicodedata.normalize("NFKC", text))
        text = _NO_BLANKS.sub(r" \g<0> ", text)
    return tuple(text.casefold().encode("utf-8", "replace").translate(_WORDS_ONLY).split())


def _runs(said: Sequence[bytes], words: int) -> Iterable[tuple[bytes, ...]]:
    return zip(*(said[start:] for start in range(words)), strict=False)


def _longest(said: Sequence[bytes], hits: set[tuple[bytes, ...]], words: int) -> str:
    best, start = (0, 0), -1
    for place, run in enumerate([*_runs(said, words), ()]):
        if run in hits:
            start = place if start < 0 else start
        elif start >= 0:
            best, start = max(best, (place - start, start)), -1
    return b" ".join(said[best[1] : best[1] + best[0] + words - 1]).decode()


def copied_figures(text: str, source: str, allowed: Iterable[str]) -> list[str]:
    """Figures and codes that a text shares with a source and with no allowed text.

    They are numbers of four digits or more that are no year, and any number with the unit or noun behind it
    (``120 days``, ``7 %``).
    """
    shared = _figures(text) & _figures(source) if any(map(str.isdigit, text)) else set()
    for known in allowed:
        if shared:
            shared -= _figures(known)
    return sorted(" ".join(figure) for figure in shared)


def _figures(text: str) -> set[tuple[str, ...]]:
    said = canonical(text)
    found: set[tuple[str, ...]] = set()
    for place, word in enumerate(said):
        if not word[0].isdigit():
            continue
        if sum(map(str.isdigit, word)) >= 4 and not _YEAR.fullmatch(word):
            found.add((word,))
        after = said[place + 1] if place + 1 < len(said) else ""
        if _UNIT.fullmatch(after) and after not in _NO_UNITS and not _YEAR.fullmatch(word):
            found.add((word, after))
    return found


def quoted(text: str) -> Iterator[str]:
    """What stands in quotation marks: in a prompt, words that it wants to be said."""
    return (next(filter(None, match.groups())) for match in _QUOTED.finditer(text))
