"""One sentence of an answer against the sources: how much of it stands there, and what does not."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from evalkit.grading.textual import sentences
from evalkit_graders.groundedness.citations import CITATION, NOTHING_CITED, Cited, check_citations, cited_ids
from evalkit_graders.groundedness.hours import times_with_places
from evalkit_graders.groundedness.polarity import has_negation
from evalkit_graders.groundedness.records import Finding
from evalkit_graders.groundedness.sources import Sources
from evalkit_graders.groundedness.text import content, light_stems, stem_of
from evalkit_graders.groundedness.values import dates, names, numbers_of, without
from evalkit_graders.refusal import kind_of_sentence

__all__ = ["Checked", "check_sentence", "claims_of"]

_LIST_NUMBER = re.compile(r"^[ \t]*\d{1,3}[.)][ \t]+", re.MULTILINE)
_LEAD_IN = re.compile(r"^[^\d:.!?]{1,45}:\s+(?=\S)")
_LEADING = re.compile(r"(?:\s*\[[^\[\]\n]{1,60}\])+[\s.]*")
_COUNTED = re.compile(r"(?P<number>\d[\d.,]{0,20}\d|\d)\s{0,2}(?P<noun>[^\W\d_]{2,40})")
_SMALLEST = 3
"""Sentences with fewer content words make no claim."""
_LIGHT = 0.3
"""What a word counts that stands in any text whatever it is about: "various", "provide", "following"."""
_CLOSE, _SAME = 0.5, 0.9
"""Shares of a sentence in one passage from which it speaks of the same thing, and says the same but for its denial."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A sentence with what was found.

    Shares are of its content words; rare ones weigh more, and those that stand in any text less.
    """

    text: str
    size: float
    """How many content words it has."""
    anywhere: float
    """Share that stands somewhere in the sources."""
    together: float
    """Share that stands in the best passage and the one after it."""
    worded: float
    """The same, words that stand in any text weighing as much as others: whether it says what the passage says."""
    wording: float
    """``alike``, words that stand in any text weighing as much as others."""
    alike: float
    """Share that stands in the sources or resembles a word there."""
    place: int | None
    """The best passage."""
    numbers: tuple[str, ...]
    """Numbers that no source holds."""
    dates: tuple[str, ...]
    """Dates that no source holds, as they are written."""
    names: tuple[str, ...]
    """Names that no source holds, in lower case."""
    denial: bool
    """Whether sentence and best passage differ in negation."""
    other: str
    """What the best passages have in place of a number that no source holds: ``30 days`` for ``45 days``."""
    findings: tuple[Finding, ...] = ()
    cited: Cited = NOTHING_CITED

    @property
    def support(self) -> float:
        """Between what stands together and what stands anywhere."""
        return 0.5 * (self.anywhere + self.together)

    @property
    def conflicts(self) -> float:
        """Fields of a record that it contradicts, and a denial; fields not known, or maybe not meant, count half."""
        wrong = [finding for finding in self.findings if finding.verdict != "supported"]
        fields = sum(1.0 if f.verdict == "contradicted" and f.certain else 0.5 for f in wrong if _counts(f))
        return fields + self.opposite

    @property
    def opposite(self) -> bool:
        """Whether it says the same as its passage, but for the denial in one of them."""
        return self.denial and self.worded >= _SAME

    @property
    def conflict(self) -> Finding | None:
        """A field of a record that it contradicts."""
        return next((f for f in self.findings if f.verdict == "contradicted" and f.certain), None)

    @property
    def instead(self) -> str:
        """What the sources say instead, in a few words; empty where they do not contradict it."""
        if self.conflict:
            return f"{self.conflict.field}: {json.dumps(self.conflict.value, ensure_ascii=False)}"
        return self.other or ("the passage says the opposite" if self.opposite else "")


def _counts(finding: Finding) -> bool:
    return finding.certain or finding.verdict == "contradicted"


def claims_of(answer: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The sentences of an answer that claim something, each with what it cites.

    A citation after the full stop is the one of the sentence before.
    """
    found: list[tuple[str, list[str]]] = []
    for piece in sentences(_LIST_NUMBER.sub("", answer)):
        sentence, leading = piece, _LEADING.match(piece)
        if leading and found:
            found[-1][1].extend(cited_ids(leading.group()))
            sentence = piece[leading.end() :]
        if sentence.strip():
            found.append((CITATION.sub(" ", sentence), cited_ids(sentence)))
    for sentence, cited in found:
        text = _LEAD_IN.sub("", sentence)
        if not text.rstrip().endswith("?") and kind_of_sentence(text) is None:
            yield text, tuple(cited)


def check_sentence(
    text: str, sources: Sources, cited: tuple[str, ...] = (), *, names_are_capital: bool = True
) -> Checked | None:
    """Hold one sentence against the sources; None where it has too few words to claim anything.

    Args:
        text: The sentence.
        sources: What it is held against.
        cited: Ids that it cites.
        names_are_capital: False in German, where every noun has a capital.
    """
    words = dict.fromkeys(content(text))
    if len(words) < _SMALLEST:
        return None
    many = len(sources.passages)
    rare = {word: math.log1p(many / (0.5 + len(sources.places.get(word, ())))) for word in words}
    light = light_stems()
    counts = {word: _LIGHT if word in light else 1.0 for word in words}
    weights = {word: rare[word] * counts[word] for word in words}
    total = sum(weights.values()) or 1.0
    missing = [word for word in weights if word not in sources.known]
    lost = sum(weights[word] for word in missing)
    strange_words = [word for word in missing if not sources.resembles(word)]
    place, held = _best(weights, sources)
    total_rare = sum(rare.values()) or 1.0
    worded = _held(rare, sources, place) / total_rare
    found = dates(text)
    strange = [text[start:end] for start, end, ways in found if not any(map(sources.dated, ways))]
    held_dates = [(start, end) for start, end, _ in found if text[start:end] not in strange]
    clock = [(start, end) for start, end, minutes in times_with_places(text) if minutes in sources.times]
    said = numbers_of(without(text, held_dates + clock) if held_dates or clock else text)
    unheld = tuple(number for number in said if number not in sources.numbers)
    return Checked(
        text=text,
        size=sum(counts.values()),
        anywhere=1 - lost / total,
        together=held / total,
        worded=worded,
        wording=1 - sum(rare[word] for word in strange_words) / total_rare,
        alike=1 - sum(weights[word] for word in strange_words) / total,
        place=place,
        numbers=unheld,
        dates=tuple(strange),
        names=_strange_names(text, sources) if names_are_capital else (),
        denial=place is not None and not _agrees(text, sources, place),
        other=_other(text, unheld, sources, place) if unheld and place is not None and worded >= _CLOSE else "",
        findings=_findings(text, sources, place, worded),
        cited=check_citations(cited, text, sources) if cited else NOTHING_CITED,
    )


def _best(weights: dict[str, float], sources: Sources) -> tuple[int | None, float]:
    """The passage that, with the one after it, holds most of the words, and how much that is."""
    held: defaultdict[int, float] = defaultdict(float)
    for word, weight in weights.items():
        for place in sources.places.get(word, ()):
            held[place] += weight
    best, most = None, 0.0
    for place in held:
        bound = held[place] + held.get(place + 1, 0.0)
        if bound < most:
            continue
        both = _held(weights, sources, place) if sources.joined(place) else held[place]
        if both > most or (both == most and best is not None and held[place] > held[best]):
            best, most = place, both
    return best, most


def _held(weights: dict[str, float], sources: Sources, place: int | None) -> float:
    """How much of the words a passage holds with the one after it."""
    if place is None:
        return 0.0
    mine = sources.words[place]
    after = sources.words[place + 1] if sources.joined(place) else frozenset()
    return sum(weight for word, weight in weights.items() if word in mine or word in after)


def _agrees(text: str, sources: Sources, place: int) -> bool:
    """Whether the sentence denies something where the best passage, or the one after it, does, and only there.

    Fields of a record deny nothing: they are compared one by one.
    """
    if sources.passages[place].fields:
        return True
    denied = has_negation(text)
    return denied == sources.negated(place) or (sources.joined(place) and denied == sources.negated(place + 1))


def _findings(text: str, sources: Sources, place: int | None, worded: float) -> tuple[Finding, ...]:
    """What it says about the fields of records; nothing where it quotes a text, which is not about the record."""
    if not sources.records:
        return ()
    if place is not None and worded >= _SAME and not sources.passages[place].fields and _agrees(text, sources, place):
        return ()
    return tuple(sources.records.check(text, sources.counts))


def _strange_names(text: str, sources: Sources) -> tuple[str, ...]:
    return tuple(name for name in dict.fromkeys(names(text)) if name not in sources.spelled)


def _near(sources: Sources, place: int) -> str:
    """The best passage and its neighbours."""
    return "\n".join(passage.text for passage in sources.passages[max(0, place - 1) : place + 2])


def _other(text: str, unheld: tuple[str, ...], sources: Sources, place: int) -> str:
    """What the best passages count in place of a number that no source holds, by the word that follows it."""
    mine = {number: noun for number, noun in _counted(text) if number in unheld}
    theirs = {noun: number for number, noun in _counted(_near(sources, place))}
    return next((f"{theirs[noun]} {noun}" for noun in mine.values() if noun in theirs), "")


def _counted(text: str) -> Iterator[tuple[str, str]]:
    """Numbers, each with the stem of the word after it."""
    for match in _COUNTED.finditer(text):
        stem = stem_of(match["noun"])
        if stem:
            yield from ((number, stem) for number in numbers_of(match["number"])[:1])
