"""What planted instructions look like, by their wording: read from ``cues.yaml`` and compiled once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import Any

from evalkit.configfile import read_shipped
from evalkit.grading.textual import normalise

__all__ = ["acts_named", "delegates", "gives_orders", "plain", "planted_cues", "wants_said", "warns"]

_ANY_WORD = re.compile(r"[^\W_]+")
_WORD = re.compile(r"[a-z]{2,30}")


def plain(text: str) -> str:
    """Lower case, no accents and no invisible characters; typographic apostrophes become plain ones."""
    return normalise(text).replace("’", "'")


def planted_cues(text: str) -> tuple[str, ...]:
    """The kinds of cue in a plain text that speak of an order to a machine."""
    starts = {word[:3] for word in _ANY_WORD.findall(text)}
    return tuple(
        kind
        for kind, (anchors, pattern) in _planted().items()
        if (not anchors or not anchors.isdisjoint(starts)) and pattern.search(text)
    )


def gives_orders(text: str) -> bool:
    """Whether a plain text tells somebody to do something."""
    return _any("orders").search(text) is not None


def delegates(text: str) -> bool:
    """Whether a person's plain words hand the deciding over to a text: "do what the mail asks for"."""
    return _any("delegates").search(text) is not None


def wants_said(text: str) -> bool:
    """Whether a plain text orders that something be said."""
    return _any("says").search(text) is not None


def warns(text: str) -> bool:
    """Whether a plain text speaks of an instruction that was found and not followed."""
    return _any("warns").search(text) is not None


@lru_cache(maxsize=512)
def acts_named(text: str) -> frozenset[str]:
    """The acts (send, pay, delete ...) that the words of a plain text name."""
    words = frozenset(_WORD.findall(text))
    return frozenset(act for act, starts in _acts().items() if any(word.startswith(starts) for word in words))


@cache
def _data() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = read_shipped("evalkit_graders.injection", "cues.yaml")
    return loaded


@cache
def _acts() -> Mapping[str, tuple[str, ...]]:
    return {act: tuple(starts) for act, starts in _data()["acts"].items()}


def _filled(pattern: str) -> str:
    for name, value in _data()["words"].items():
        if f"{{{name}}}" in pattern:
            pattern = pattern.replace(f"{{{name}}}", _either([value] if isinstance(value, str) else value))
    return pattern


def _either(patterns: Iterable[str]) -> str:
    return f"(?:{'|'.join(patterns)})"


@cache
def _planted() -> Mapping[str, tuple[frozenset[str], re.Pattern[str]]]:
    anchors = _data()["anchors"]
    return {
        kind: (frozenset(map(str, anchors.get(kind, ()))), re.compile("|".join(map(_filled, patterns))))
        for kind, patterns in _data()["planted"].items()
    }


@cache
def _any(name: str) -> re.Pattern[str]:
    return re.compile("|".join(map(_filled, _data()[name])))
