"""Which sentences of the documents answer a question: weighted word and concept overlap, newest version first."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from evalkit.language import numbers, stems
from evalkit.simulator.lexicon import lexicon
from evalkit.simulator.reading import Passage, Reading

__all__ = ["Evidence", "find_evidence"]

_CONCEPT_WEIGHT = 1.6
_TITLE_WEIGHT = 0.35
_KEEP = 0.45
"""Share of the best score down to which further sentences are quoted."""
_KEEP_OF_TWO = 0.3
"""The same where two things are asked."""
_ENOUGH = 0.22
"""Share of the question's weight that the quoted sentences must cover; else it is not answered here."""
_ENOUGH_WHEN_LEADING = 0.14
_LEAD = 1.5
_MOST = 4
_NUMBER = re.compile(r"\d")
_CONTINUES = re.compile(
    r"(?:after|afterwards|then|otherwise|in (?:that|this) case|it|this|these|they|however|but|"
    r"danach|nach dem|nachdem|dann|sonst|andernfalls|in diesem fall|dies|diese|sie|"
    r"ensuite|après|sinon|dans ce cas|cela|elle|il|después|en ese caso|si no|esto|esta)\b",
    re.IGNORECASE,
)
"""How a sentence begins that is not understood without the one before it."""


@dataclass(frozen=True)
class Evidence:
    """The sentences for an answer, in the order of the documents, and how much of the question they cover."""

    passages: tuple[Passage, ...]
    runner_up: Passage | None
    coverage: float
    leads: bool = False
    """Whether the best sentence is far ahead of those of other documents."""
    conflict: bool = False
    """Whether another document fits as well and says another figure."""

    @property
    def enough(self) -> bool:
        """Whether the documents answer the question at all."""
        return bool(self.passages) and (
            self.coverage >= _ENOUGH or (self.leads and self.coverage >= _ENOUGH_WHEN_LEADING)
        )


def find_evidence(reading: Reading) -> Evidence:
    """Score every sentence and keep the best few."""
    candidates = [passage for passage in _current(reading) if not passage.planted]
    terms = _weights(reading, candidates)
    if not candidates or not terms:
        return Evidence((), None, 0.0)
    scored = sorted(((_score(passage, terms, reading), passage) for passage in candidates), key=lambda pair: -pair[0])
    best = scored[0][0]
    if best <= 0:
        return Evidence((), scored[0][1], 0.0)
    kept: list[Passage] = []
    covered: set[str] = set()
    keep = _KEEP if reading.parts < 2 else _KEEP_OF_TWO
    for score, passage in scored:
        if len(kept) == _MOST or score < keep * best:
            break
        kept.append(passage)
        covered |= (_features(passage) | stems(passage.title)) & terms.keys()
    kept += [passage for passage in _continuations(kept, candidates) if passage not in kept]
    rest = [passage for _, passage in scored if passage not in kept]
    total = sum(terms.values())
    coverage = sum(terms[term] for term in covered) / total
    ordered = sorted(kept, key=candidates.index)
    other = next(((score, passage) for score, passage in scored if passage.document != scored[0][1].document), None)
    return Evidence(
        passages=tuple(ordered),
        runner_up=rest[0] if rest else None,
        coverage=coverage,
        leads=other is None or best >= _LEAD * other[0],
        conflict=other is not None and _conflicts(scored[0], other, reading),
    )


def _conflicts(best: tuple[float, Passage], other: tuple[float, Passage], reading: Reading) -> bool:
    """Another document fits as well, says another figure, and nothing in the question tells them apart."""
    if other[0] < 0.92 * best[0]:
        return False
    first, second = numbers(best[1].text), numbers(other[1].text)
    if not first or not second or set(first) & set(second):
        return False
    return stems(best[1].title) & reading.stems == stems(other[1].title) & reading.stems


def _continuations(kept: list[Passage], candidates: list[Passage]) -> list[Passage]:
    """The sentences that go on where a kept one stops."""
    return [
        after
        for before, after in pairwise(candidates)
        if before in kept and before.document == after.document and _CONTINUES.match(after.text)
    ]


def _current(reading: Reading) -> list[Passage]:
    """Of documents with the same title only the newest, where the prompt says that the newest counts."""
    if not reading.guidance.newest:
        return list(reading.passages)
    newest: dict[frozenset[str], str] = {}
    for passage in reading.passages:
        key = _title_key(passage)
        newest[key] = max(newest.get(key, ""), passage.date)
    return [passage for passage in reading.passages if passage.date == newest[_title_key(passage)]]


def _title_key(passage: Passage) -> frozenset[str]:
    words = frozenset(word for word in stems(passage.title) if not _NUMBER.search(word))
    return words or frozenset((passage.document,))


def _features(passage: Passage) -> set[str]:
    return set(passage.stems) | {f"#{concept}" for concept in passage.concepts}


def _weights(reading: Reading, candidates: list[Passage]) -> dict[str, float]:
    """Rare words of the question weigh more; a concept weighs more than a word."""
    known = lexicon()
    counts = Counter(feature for passage in candidates for feature in _features(passage))
    total = len(candidates)
    wanted = [(word, 1.0) for word in reading.stems]
    wanted += [(f"#{concept}", _CONCEPT_WEIGHT) for concept in reading.concepts if concept not in known.generic]
    return {feature: weight * math.log1p(total / (1 + counts[feature]) + 0.5) for feature, weight in wanted}


def _score(passage: Passage, terms: dict[str, float], reading: Reading) -> float:
    own = sum(terms[feature] for feature in _features(passage) & terms.keys())
    title = sum(terms.get(word, 0.0) for word in stems(passage.title) & reading.stems)
    length = 1 + 0.15 * math.log1p(len(passage.stems))
    return (own + _TITLE_WEIGHT * title) / length
