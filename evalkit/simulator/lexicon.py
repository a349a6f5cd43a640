"""What the simulated models know of the world: concepts, by the words that call them to mind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import yaml

from evalkit.language import normalise

__all__ = ["Lexicon", "lexicon", "phrases"]


class Lexicon:
    """Concepts by kind: person, topic, act."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.kinds: dict[str, str] = {}
        self.harmful = frozenset(data["harmful"])
        self.generic = frozenset(data["generic"])
        self._patterns: dict[str, re.Pattern[str]] = {}
        for kind in ("person", "topic", "act"):
            for concept, beginnings in data[kind].items():
                self.kinds[concept] = kind
                self._patterns[concept] = _pattern(beginnings)

    def concepts(self, text: str) -> frozenset[str]:
        """The concepts that a text calls to mind."""
        return _concepts(self, normalise(text))

    def of_kind(self, concepts: frozenset[str], kind: str) -> frozenset[str]:
        """Those of a kind."""
        return frozenset(concept for concept in concepts if self.kinds[concept] == kind)

    def search(self, text: str) -> frozenset[str]:
        """Concepts of a normalised text."""
        return frozenset(concept for concept, pattern in self._patterns.items() if pattern.search(text))


def _pattern(beginnings: list[str]) -> re.Pattern[str]:
    """Long beginnings are found inside compounds, short ones only where a word begins."""
    plain = sorted({normalise(str(beginning)) for beginning in beginnings}, key=len, reverse=True)
    long = [text for text in plain if len(text) >= 6]
    short = [rf"(?<!\w){text}" for text in plain if len(text) < 6]
    return re.compile("|".join(long + short))


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
    return yaml.safe_load(resources.files("evalkit.simulator").joinpath(name).read_text(encoding="utf-8"))
