"""Words, sentences and the language of a text, without a model: English, German, French and Spanish."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources

import yaml

__all__ = ["language_of", "normalise", "numbers", "plain_number", "sentences", "stems", "ungrouped"]

_STOPWORDS_FILE = resources.files("evalkit.language").joinpath("stopwords.yaml")
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?。])\s+(?=[\"'“„«(¿¡]?[A-ZÄÖÜÉÈÀÁÍÓÚÑÇ0-9§\[-])|\n+")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|z\.B|d\.h|Nr|No|Art|Abs|Ziff|ca|bzw|vgl|inkl|Mr|Mrs|Ms|Dr|Hr|Fr|St|Sec|art|núm|p\.ej|M|Mme)|\b\d{1,2}|\b[A-Z])\.$"
)

_ENDINGS = (
    "ungen", "iones", "ments", "ment", "ings", "ing", "ions", "ion", "ung", "ies", "ed", "en", "er", "es", "em",
    "s", "e", "n", "y",
)  # fmt: skip
_MARKS: Mapping[str, str] = {"de": "äöüß", "fr": "èêàùçœ", "es": "ñ¿¡áíóú"}


class _Plain(dict[int, str | None]):
    """A table of ``str.translate`` that drops accents and invisible characters, and learns the rest as it is met."""

    def __missing__(self, code: int) -> str | None:
        sign = chr(code)
        dropped = unicodedata.combining(sign) or unicodedata.category(sign) == "Cf"
        self[code] = found = None if dropped else sign
        return found


_PLAIN = _Plain()


def normalise(text: str) -> str:
    """Lower case without accents and invisible characters; ß becomes ss."""
    return text.lower() if text.isascii() else _normalised(text)


@lru_cache(maxsize=4096)
def _normalised(text: str) -> str:
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_PLAIN)


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


@lru_cache(maxsize=4096)
def stems(text: str) -> frozenset[str]:
    """The stems of the words that carry meaning."""
    silent = _all_stopwords()
    return frozenset(_stem(word) for word in _WORD.findall(normalise(text)) if word not in silent)


def language_of(text: str, default: str = "en") -> str:
    """en, de, fr or es, by function words and typical letters."""
    words = _WORD.findall(normalise(text))
    lower = unicodedata.normalize("NFC", text).lower()
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
        if pieces and _ABBREVIATION.search(pieces[-1][-12:]):
            pieces[-1] = f"{pieces[-1]} {cleaned}"
        else:
            pieces.append(cleaned)
    return pieces


_NUMBER = re.compile(r"\d[\d.,]*\d|\d")
_GROUPS = "'’\u00a0\u2009\u202f"
_GROUPING = re.compile(r"(?<=\d)['’\u00a0\u2009\u202f](?=\d{3}(?!\d))")


def ungrouped(text: str) -> str:
    """A text without the apostrophes and narrow or fixed blanks that group the digits of its numbers."""
    return _GROUPING.sub("", text) if any(sign in text for sign in _GROUPS) else text


def numbers(text: str) -> list[float]:
    """Numbers in a text, whatever the grouping: ``1.250,00``, ``1,250.00`` and ``1250`` are equal."""
    return [float(plain_number(match)) for match in _NUMBER.findall(ungrouped(text))]


def plain_number(text: str) -> str:
    """One number, of digits, points and commas, in one form and with every digit: ``1.250,00`` as ``1250``.

    A separator that occurs once is a decimal one, unless three digits follow and one to three, the first
    not 0, stand before it: ``0.125`` and ``1250.125`` are fractions, ``1.250`` is not. Of two kinds the last
    is the decimal one. Where one kind occurs several times, it is only with one or two digits after the last.
    """
    whole, separator, rest = _split_last(text)
    others = {".", ","}.intersection(whole)
    if not separator:
        decimal = False
    elif not others:
        decimal = len(rest) != 3 or len(whole) > 3 or unicodedata.digit(whole[0]) == 0
    else:
        decimal = separator not in others or len(rest) in (1, 2)
    digits, fraction = (whole, rest) if decimal else (whole + rest, "")
    integral = _western(digits).lstrip("0") or "0"
    fraction = _western(fraction).rstrip("0")
    return f"{integral}.{fraction}" if fraction else integral


def _split_last(text: str) -> tuple[str, str, str]:
    place = max(text.rfind("."), text.rfind(","))
    return (text, "", "") if place < 0 else (text[:place], text[place], text[place + 1 :])


def _western(text: str) -> str:
    """The digits of a text, of whatever script, as 0 to 9."""
    if text.isascii():
        return text.replace(".", "").replace(",", "")
    return "".join(str(unicodedata.digit(character)) for character in text if character not in ".,")
