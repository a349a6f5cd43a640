"""Words, sentences and the language of a text, without a model: English, German, French and Spanish."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources

import yaml

__all__ = ["language_of", "normalise", "numbers", "sentences", "stems"]

_STOPWORDS_FILE = resources.files("evalkit.language").joinpath("stopwords.yaml")
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?。])\s+(?=[\"'“„«(¿¡]?[A-ZÄÖÜÉÈÀÁÍÓÚÑÇ0-9§\[-])|\n+")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|z\.B|d\.h|Nr|No|Art|Abs|Ziff|ca|bzw|vgl|inkl|Mr|Mrs|Ms|Dr|Hr|Fr|St|Sec|art|núm|p\.ej|M|Mme)|\b\d{1,2}|\b[A-Z])\.$"
)

_ENDINGS = (
    "ungen", "ments", "ment", "ings", "ing", "ions", "ion", "ung", "ies", "ed", "en", "er", "es", "em", "s", "e", "n",
)  # fmt: skip
_MARKS: Mapping[str, str] = {"de": "äöüß", "fr": "èêàùçœ", "es": "ñ¿¡áíóú"}


@lru_cache(maxsize=8192)
def normalise(text: str) -> str:
    """Lower case without accents; ß becomes ss."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _stem(word: str) -> str:
    """A crude stem that makes inflected forms meet in all four languages."""
    if any(character.isdigit() for character in word) or len(word) <= 4:
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


@cache
def _stopwords() -> Mapping[str, frozenset[str]]:
    return {
        language: frozenset(words.split())
        for language, words in yaml.safe_load(_STOPWORDS_FILE.read_text(encoding="utf-8")).items()
    }


@cache
def _all_stopwords() -> frozenset[str]:
    return frozenset().union(*_stopwords().values())


@lru_cache(maxsize=8192)
def stems(text: str) -> frozenset[str]:
    """The stems of the words that carry meaning."""
    silent = _all_stopwords()
    return frozenset(_stem(word) for word in _WORD.findall(normalise(text)) if word not in silent)


def language_of(text: str, default: str = "en") -> str:
    """en, de, fr or es, by function words and typical letters."""
    words = _WORD.findall(normalise(text))
    lower = text.casefold()
    scores = {
        language: sum(word in known for word in words) + 2 * sum(lower.count(mark) for mark in _MARKS.get(language, ""))
        for language, known in _stopwords().items()
    }
    best = max(scores, key=lambda language: scores[language])
    return best if scores[best] > scores.get(default, 0) else default


def sentences(text: str) -> list[str]:
    """Split a text into sentences; lines and list items are sentences too."""
    pieces: list[str] = []
    for piece in _SENTENCE_END.split(text):
        cleaned = piece.strip()
        if not cleaned:
            continue
        if pieces and _ABBREVIATION.search(pieces[-1]):
            pieces[-1] = f"{pieces[-1]} {cleaned}"
        else:
            pieces.append(cleaned)
    return pieces


_NUMBER = re.compile(r"\d[\d.,'\u00a0\u202f]*\d|\d")


def numbers(text: str) -> list[float]:
    """Numbers in a text, whatever the grouping: ``1.250,00``, ``1,250.00`` and ``1250`` are equal.

    One separator followed by one or two digits at the end is a decimal separator; every other is grouping.
    """
    return [_to_number(match) for match in _NUMBER.findall(text)]


def _to_number(text: str) -> float:
    digits = re.sub(r"['\u00a0\u202f]", "", text)
    last = max(digits.rfind("."), digits.rfind(","))
    if last >= 0 and len(digits) - last - 1 in (1, 2):
        return float(re.sub(r"[.,]", "", digits[:last]) + "." + digits[last + 1 :])
    return float(re.sub(r"[.,]", "", digits))
