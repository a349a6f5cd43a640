"""Helpers for graders that read text: words, sentences, numbers, and whether a fact stands in an answer."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from evalkit.language import language_of, normalise, numbers, plain_number, sentences, stems, ungrouped

__all__ = ["NO_BLANKS", "canonical", "contains", "language_of", "normalise", "numbers", "sentences", "stems"]

_CURRENCIES = {"€": "eur", "$": "usd", "£": "gbp", "¥": "jpy", "euro": "eur", "euros": "eur", "dollar": "usd",
               "dollars": "usd", "pound": "gbp", "pounds": "gbp"}  # fmt: skip
_NUMBER = r"\d[\d.,]{0,30}\d|\d"
"""Bounded, because a run of digits without end would be tried from each of its digits."""
NO_BLANKS = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Scripts without blanks between words, for a class of a pattern: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
_AMOUNT_BEFORE = re.compile(rf"(€|\$|£|¥|\beur\b|\busd\b|\bgbp\b|\bchf\b)\s*({_NUMBER})")
_AMOUNT_AFTER = re.compile(rf"({_NUMBER})\s*(€|\$|£|¥|\beuros?\b|\bdollars?\b|\bpounds?\b)")
_PERCENT = re.compile(r"(?<=\d)\s*(?:%|percent\b|per cent\b|prozent\b|pour cent\b|por ciento\b)")
_ANY_NUMBER = re.compile(_NUMBER)
_MONEY = ("€", "$", "£", "¥", "eur", "usd", "gbp", "chf", "dollar", "pound")
"""What each text with an amount holds."""
_SHARES = ("%", "percent", "per cent", "prozent", "pour cent", "por ciento")
_ASCII_TOKEN = re.compile(r"\d+(?:\.\d+)?|[a-z]+|%", re.ASCII)
"""The same as ``_TOKEN`` in a text of ASCII in lower case."""
_TOKEN = re.compile(rf"\d+(?:\.\d+)?|[{NO_BLANKS}]|[^\W\d_{NO_BLANKS}]+|%|§")


@lru_cache(maxsize=512)
def canonical(text: str) -> tuple[str, ...]:
    """Words and numbers of a text in one form: no case, no accents, no punctuation, ``1.250,00 €`` as ``1250 eur``."""
    plain = normalise(unicodedata.normalize("NFKC", ungrouped(text)))
    # most texts hold no amount and no percentage, and looking for a few signs is much faster than for the patterns
    if any(sign in plain for sign in _MONEY):
        plain = _AMOUNT_BEFORE.sub(lambda match: f"{match.group(2)} {_currency(match.group(1))}", plain)
        plain = _AMOUNT_AFTER.sub(lambda match: f"{match.group(1)} {_currency(match.group(2))}", plain)
    if any(sign in plain for sign in _SHARES):
        plain = _PERCENT.sub(" %", plain)
    plain = _ANY_NUMBER.sub(lambda match: f" {plain_number(match.group())} ", plain)
    return tuple((_ASCII_TOKEN if plain.isascii() else _TOKEN).findall(plain))


def _currency(sign: str) -> str:
    return _CURRENCIES.get(sign, sign)


def contains(text: str, wording: str) -> bool:
    """Whether a wording stands in a text as whole words, whatever the case, accents, punctuation and number format.

    A wording without words and numbers, such as an emoji, is looked for as it is.
    """
    needle = canonical(wording)
    if not needle:
        signs = wording.strip()
        return bool(signs) and signs in text
    haystack = canonical(text)
    size = len(needle)
    return any(haystack[start : start + size] == needle for start in range(len(haystack) - size + 1))
