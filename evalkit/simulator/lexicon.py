"""What the simulated models know of the world: concepts, by the words that call them to mind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from evalkit.configfile import read_shipped
from evalkit.language import normalise

__all__ = ["Lexicon", "lexicon", "phrases"]


@dataclass(frozen=True)
class _Cue:
    """A beginning of a word that calls a concept to mind."""

    concept: str
    literal: str
    """What every text that it occurs in holds."""
    pattern: re.Pattern[str] | None
    """What must be found too, where holding the literal is not enough."""

    def occurs(self, text: str) -> bool:
        return self.literal in text and (self.pattern is None or self.pattern.search(text) is not None)


class Lexicon:
    """Concepts by kind: person, topic, act."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.kinds: dict[str, str] = {}
        self.harmful = frozenset(data["harmful"])
        self.generic = frozenset(data["generic"])
        self._cues: dict[str, list[_Cue]] = {}
        for kind in ("person", "topic", "act"):
            for concept, beginnings in data[kind].items():
                self.kinds[concept] = kind
                for beginning in beginnings:
                    cue = _cue(concept, normalise(str(beginning)))
                    self._cues.setdefault(cue.literal[:_GRAM], []).append(cue)

    def concepts(self, text: str) -> frozenset[str]:
        """The concepts that a text calls to mind."""
        return _concepts(self, normalise(text))

    def of_kind(self, concepts: frozenset[str], kind: str) -> frozenset[str]:
        """Those of a kind."""
        return frozenset(concept for concept in concepts if self.kinds[concept] == kind)

    def search(self, text: str) -> frozenset[str]:
        """Concepts of a normalised text. Only cues whose first characters occur in it are looked for."""
        grams = {text[place : place + _GRAM] for place in range(len(text))}
        found: set[str] = set()
        for gram in grams & self._cues.keys():
            found.update(cue.concept for cue in self._cues[gram] if cue.occurs(text))
        return frozenset(found)


_GRAM = 3
_LITERAL = re.compile(r"[\w' -]+")
_EXPRESSION = re.compile(r"(?:\\b)?([a-z][a-z ]*)(\?)?(?:\\b|\(\?[!:][^()]*\))*")
"""What the lexicon may write beside plain text, all of it after the literal: a letter or none, a word's end, groups."""


def _cue(concept: str, text: str) -> _Cue:
    """Long beginnings are found inside compounds, short ones only where a word begins."""
    expression = text if len(text) >= 6 else rf"(?<!\w){text}"
    if _LITERAL.fullmatch(text) and len(text) >= _GRAM:
        return _Cue(concept, text, None if len(text) >= 6 else re.compile(expression))
    match = _EXPRESSION.fullmatch(text)
    literal = "" if match is None else match.group(1)[:-1] if match.group(2) else match.group(1)
    if len(literal) < _GRAM:
        raise ValueError(f"lexicon.yaml: `{text}` of {concept} does not begin with {_GRAM} plain letters")
    return _Cue(concept, literal, re.compile(expression))


@lru_cache(maxsize=8192)
def _concepts(known: Lexicon, text: str) -> frozenset[str]:
    return known.search(text)


@cache
def lexicon() -> Lexicon:
    """The lexicon that ships with evalkit."""
    return Lexicon(_data("lexicon.yaml"))


@cache
def phrases(language: str) -> Mapping[str, Any]:
    """What is said around the content."""
    data: Mapping[str, Any] = _data("phrases.yaml")[language]
    return data


def _data(name: str) -> Any:
    return read_shipped("evalkit.simulator", name)
