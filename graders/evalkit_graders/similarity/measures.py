"""Overlap of two texts by words and characters, from 0 (nothing in common) to 1 (all of it).

Words are runs of letters and digits in lower case; each character counts by itself in scripts without blanks between
words (Chinese, Japanese, Thai, Lao, Khmer, Burmese).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from evalkit.grading.textual import NO_BLANKS

__all__ = ["chrf", "lcs_length", "rouge_l", "token_f1", "words"]

_WORD = re.compile(rf"[{NO_BLANKS}]|[^\W_{NO_BLANKS}]+")
_ARTICLES = frozenset({"a", "an", "the"})
_ORDER = 6
_BETA = 2.0


def words(text: str) -> list[str]:
    """The words of a text, in order."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of precision and recall of words, without English articles, as SQuAD's F1 (Rajpurkar et al. 2016).

    Two texts without words are equal, one without is unlike any other.
    """
    found, wanted = ([word for word in words(text) if word not in _ARTICLES] for text in (answer, reference))
    if not found or not wanted:
        return float(found == wanted)
    return _f(sum((Counter(found) & Counter(wanted)).values()), len(found), len(wanted))


def rouge_l(answer: str, reference: str) -> float:
    """ROUGE-L (Lin 2004) with equal weight of precision and recall: words in common in one order, without stemming."""
    found, wanted = words(answer), words(reference)
    if not found or not wanted:
        return float(found == wanted)
    return _f(lcs_length(found, wanted), len(found), len(wanted))


def _f(shared: int, found: int, wanted: int) -> float:
    return 2 * shared / (found + wanted)


def lcs_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, a machine word of the first at a time (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for index, item in enumerate(first):
        places[item] = places.get(item, 0) | 1 << index
    whole = (1 << len(first)) - 1
    row = whole
    for item in second:
        matching = row & places.get(item, 0)
        row = ((row + matching) | (row - matching)) & whole
    return len(first) - row.bit_count()


def chrf(answer: str, reference: str) -> float:
    """chrF2 (Popović 2015): n-grams of up to six characters, blanks left out, recall with twice the weight.

    Precision and recall are averaged over the orders that both texts have, then combined.
    """
    found, wanted = ("".join(unicodedata.normalize("NFC", text).split()) for text in (answer, reference))
    if not found or not wanted:
        return float(found == wanted)
    precision = recall = 0.0
    orders = min(_ORDER, len(found), len(wanted))
    for order in range(1, orders + 1):
        grams = [
            Counter(text[start : start + order] for start in range(len(text) - order + 1)) for text in (found, wanted)
        ]
        shared = (grams[0] & grams[1]).total()
        precision += shared / (len(found) - order + 1) / orders
        recall += shared / (len(wanted) - order + 1) / orders
    if not precision + recall:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall)
