"""What the model was given, ready to hold a sentence against: passages, words, numbers, dates, names and records."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from evalkit.grading.textual import language_of, normalise, sentences
from evalkit.records import Case, Json, Trace
from evalkit_graders.groundedness.hours import times_of
from evalkit_graders.groundedness.polarity import has_negation
from evalkit_graders.groundedness.records import Records, lines_of_record
from evalkit_graders.groundedness.text import content, words_of
from evalkit_graders.groundedness.values import Date, dates, numbers_of

__all__ = ["Passage", "Source", "Sources", "read_sources", "sources_of"]

_LARGEST_RECORD = 2_000_000
"""Characters of a source that is read as JSON."""
_TELLING = 20_000
"""Characters that tell the language."""
_PREFIX = 5
"""Letters that two inflected forms of one word share."""


@dataclass(frozen=True, slots=True)
class Source:
    """One document, one tool's result, or what the person said."""

    id: str
    text: str
    kind: Literal["document", "tool", "said"] = "document"
    """Documents can be cited; what the person said supports a claim, but is no passage to show."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A sentence of a source, or the fields of one object of a record."""

    source: int
    text: str
    fields: bool = False


def sources_of(case: Case, trace: Trace) -> tuple[Source, ...]:
    """The sources of a trial that hold any text, the person's words and the documents' dates last."""
    found = [Source(document.id, f"{document.title}\n{document.text}") for document in trace.documents]
    found += [Source(event.name, _told(event.result), "tool") for event in trace.tool_events]
    found = [source for source in found if source.text.strip()]
    said = "\n".join([*(turn.content for turn in case.input), *(d.date or "" for d in trace.documents)])
    return (*found, Source("", said, "said")) if found else ()


def _told(result: Json) -> str:
    if result is None or result in ([], {}):
        return ""
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


@lru_cache(maxsize=16)
def read_sources(parts: tuple[Source, ...]) -> Sources:
    """The sources of a case: its trials, and the answers of several configurations, are held against the same."""
    return Sources(parts)


class Sources:
    """The sources of one case, indexed by word."""

    def __init__(self, parts: Sequence[Source]) -> None:
        self.parts = tuple(parts)
        self.passages: list[Passage] = []
        self.records = Records()
        for number, part in enumerate(parts):
            if part.kind != "said":
                self.passages += [Passage(number, *piece) for piece in self._pieces(part.text)]
        self.words = [frozenset(content(passage.text)) for passage in self.passages]
        spoken = [content(part.text) for part in parts if part.kind == "said"]
        self.known = frozenset().union(*self.words, *spoken)
        self.prefixes = frozenset(word[:_PREFIX] for word in self.known if len(word) > _PREFIX)
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, words in enumerate(self.words):
            for word in words:
                places[word].append(place)
        self.places: Mapping[str, list[int]] = places
        self._negated: dict[int, bool] = {}

    def _pieces(self, text: str) -> Iterator[tuple[str, bool]]:
        record = _record(text)
        if record is None:
            yield from ((sentence, False) for sentence in sentences(text))
            return
        self.records.add(record)
        for line, short in lines_of_record(record):
            yield from [(line, True)] if short else ((sentence, False) for sentence in sentences(line))

    def joined(self, place: int) -> bool:
        """Whether the passage after this one stands in the same source, so that a claim may join them."""
        return place + 1 < len(self.passages) and self.passages[place].source == self.passages[place + 1].source

    @cached_property
    def text(self) -> str:
        """All sources in one text, the person's words too."""
        spoken = (part.text for part in self.parts if part.kind == "said")
        return "\n".join([*(passage.text for passage in self.passages), *spoken])

    @cached_property
    def words_by_part(self) -> list[frozenset[str]]:
        """Stems of each source; none of what the person said."""
        found: list[set[str]] = [set() for _ in self.parts]
        for passage, words in zip(self.passages, self.words, strict=True):
            found[passage.source] |= words
        return [frozenset(words) for words in found]

    @cached_property
    def counts(self) -> Counter[str]:
        """How many passages outside of a record's short fields hold a stem."""
        return Counter(word for passage, words in zip(self.passages, self.words, strict=True)
                       if not passage.fields for word in words)  # fmt: skip

    @cached_property
    def language(self) -> str:
        """The language of what the model was given, by its first part: long documents do not change it."""
        return language_of("\n".join(passage.text for passage in self.passages)[:_TELLING])

    @cached_property
    def numbers(self) -> frozenset[str]:
        """All numbers, in one form."""
        return frozenset(numbers_of(self.text))

    @cached_property
    def times(self) -> frozenset[int]:
        """All times of day, in minutes after midnight."""
        return frozenset(times_of(self.text))

    @cached_property
    def dates(self) -> Mapping[tuple[int, int], list[Date]]:
        """All dates, by month and day."""
        found: defaultdict[tuple[int, int], list[Date]] = defaultdict(list)
        for _, _, ways in dates(self.text):
            for way in ways:
                found[way.month, way.day].append(way)
        return found

    def dated(self, date: Date) -> bool:
        """Whether a source holds a date that can be this day."""
        return any(date.fits(known) for known in self.dates.get((date.month, date.day), ()))

    @cached_property
    def spelled(self) -> frozenset[str]:
        """All words in lower case."""
        return frozenset(map(normalise, set(words_of(self.text))))

    def negated(self, place: int) -> bool:
        """Whether the passage denies something."""
        if place not in self._negated:
            self._negated[place] = has_negation(self.passages[place].text)
        return self._negated[place]

    def resembles(self, word: str) -> bool:
        """Whether some word of the sources begins alike."""
        return len(word) > _PREFIX and word[:_PREFIX] in self.prefixes


def _record(text: str) -> Json:
    """The object or list that a source is, where it is JSON."""
    start = text.strip()
    if start[:1] not in ("{", "[") or len(start) > _LARGEST_RECORD:
        return None
    try:
        found: Json = json.loads(start)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, (dict, list)) and found else None
