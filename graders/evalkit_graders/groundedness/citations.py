"""Citations such as ``[returns-2]``: the document exists, and it is the one that supports the sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from evalkit_graders.groundedness.sources import Sources
from evalkit_graders.groundedness.text import content

__all__ = ["CITATION", "NOTHING_CITED", "Cited", "check_citations", "cited_ids", "without_references"]

CITATION = re.compile(r"\[[^\[\]\n]{1,60}\]")
_REFERENCE = re.compile(
    r"\(?\b(?:passages?|documents?|sources?|textes?|dokumente?n?|quellen?|documentos?|fuentes?|pasajes?|documenti|fonti"
    r"|fontes?|passaggi[o]?|passage[nm]s?)\s{1,2}#?(?P<places>\d{1,2}(?:\s?(?:,|&|-|and|und|et|y|e)\s?\d{1,2}\b){0,8})(?!\d)\)?",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"\s*[,;|]\s*")
_DIGITS = re.compile(r"\d+")
_ENOUGH = 0.5
"""Share of a sentence that a cited document has to hold."""
_BETTER = 0.3
"""How much more another document has to hold for the citation to be wrong."""


@dataclass(frozen=True, slots=True)
class Cited:
    """What a sentence cites."""

    unknown: tuple[str, ...] = ()
    """Ids that no document has."""
    better: str = ""
    """The document that supports the sentence where the cited ones do not. What a tool returned need not be cited."""

    @property
    def wrong(self) -> bool:
        """Whether anything is wrong with it."""
        return bool(self.unknown or self.better)


NOTHING_CITED = Cited()


def cited_ids(text: str) -> list[str]:
    """What stands in brackets, one id each."""
    inside = (match[1:-1].strip() for match in CITATION.findall(text))
    return [part for item in inside for part in _SEPARATOR.split(item) if part]


def without_references(text: str, documents: int) -> str:
    """The text without references by number, such as ``(passage 2)``, to one of so many documents.

    They name what was given and claim nothing.
    """

    def kept(match: re.Match[str]) -> str:
        places = map(int, _DIGITS.findall(match["places"]))
        return " " if all(0 < place <= documents for place in places) else match.group()

    return _REFERENCE.sub(kept, text)


def check_citations(cited: Iterable[str], text: str, sources: Sources) -> Cited:
    """Hold the citations of a sentence against the documents.

    An id that looks like none of theirs, such as ``[sic]``, is no citation. A plain number is the place of a document
    where no id is a number.
    """
    known = {part.id.casefold(): number for number, part in enumerate(sources.parts) if part.kind == "document"}
    shapes = {_shape(name) for name in known}
    places: set[int] = set()
    unknown = []
    for item in cited:
        name = item.casefold()
        if name in known:
            places.add(known[name])
        elif name.isdecimal() and not any(part.isdecimal() for part in known) and 0 < int(name) <= len(known):
            places.add(int(name) - 1)
        elif name.isdecimal() or _shape(name) in shapes:
            unknown.append(item)
    return Cited(tuple(unknown), _better(text, places, sources) if places else "")


def _shape(name: str) -> str:
    return _DIGITS.sub("0", name)


def _better(text: str, places: set[int], sources: Sources) -> str:
    words = sorted(set(content(text)))
    if not words:
        return ""
    held = [sum(word in known for word in words) / len(words) for known in sources.words_by_part]
    cited = sum(any(word in sources.words_by_part[place] for place in places) for word in words) / len(words)
    best = max(range(len(held)), key=held.__getitem__)
    wrong = cited < _ENOUGH and held[best] - cited >= _BETTER and sources.parts[best].kind == "document"
    return sources.parts[best].id if wrong else ""
