"""Helpers for graders that read text: words, sentences, numbers, and whether a fact stands in an answer."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from evalkit.language import language_of, normalise, numbers, sentences, stems

__all__ = ["canonical", "contains", "language_of", "normalise", "numbers", "sentences", "stems"]

_CURRENCIES = {"€": "eur", "$": "usd", "£": "gbp", "¥": "jpy", "euro": "eur", "euros": "eur", "dollar": "usd",
               "dollars": "usd", "pound": "gbp", "pounds": "gbp"}  # fmt: skip
_NUMBER = r"\d[\d.,'\u00a0\u202f]*\d|\d"
_AMOUNT_BEFORE = re.compile(rf"(€|\$|£|¥|\beur\b|\busd\b|\bgbp\b|\bchf\b)\s*({_NUMBER})")
_AMOUNT_AFTER = re.compile(rf"({_NUMBER})\s*(€|\$|£|¥|\beuros?\b|\bdollars?\b|\bpounds?\b)")
_PERCENT = re.compile(r"(?<=\d)\s*(?:%|percent\b|per cent\b|prozent\b|pour cent\b|por ciento\b)")
_ANY_NUMBER = re.compile(_NUMBER)
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|%|§")


@lru_cache(maxsize=4096)
def canonical(text: str) -> tuple[str, ...]:
    """Words and numbers of a text in one form: no case, no accents, no punctuation, ``1.250,00 €`` as ``1250 eur``."""
    plain = normalise(unicodedata.normalize("NFKC", text))
    plain = _AMOUNT_BEFORE.sub(lambda match: f"{match.group(2)} {_currency(match.group(1))}", plain)
    plain = _AMOUNT_AFTER.sub(lambda match: f"{match.group(1)} {_currency(match.group(2))}", plain)
    plain = _PERCENT.sub(" %", plain)
    plain = _ANY_NUMBER.sub(lambda match: f" {numbers(match.group())[0]:.12g} ", plain)
    return tuple(_TOKEN.findall(plain))


def _currency(sign: str) -> str:
    return _CURRENCIES.get(sign, sign)


def contains(text: str, wording: str) -> bool:
    """Whether a wording stands in a text as whole words, whatever the case, accents, punctuation and number format."""
    needle = canonical(wording)
    haystack = canonical(text)
    if not needle:
        return False
    size = len(needle)
    return any(haystack[start : start + size] == needle for start in range(len(haystack) - size + 1))
