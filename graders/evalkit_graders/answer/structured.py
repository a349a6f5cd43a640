"""JSON in an answer: whether it fits a schema and holds what it must, leaf by leaf."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from evalkit.language.units import tolerance_of
from evalkit.records import AnswerMatch, Json
from evalkit_graders.answer.marked import unfenced

__all__ = ["NOTHING", "Leaf", "Place", "differing", "leaves", "parsed"]

Place: TypeAlias = Literal["whole", "fenced", "anywhere"]
"""Where JSON may stand: as the whole answer, also in the one fenced block of it, also within prose."""
Leaf: TypeAlias = tuple[str, Json, Json]
"""A way, what is expected there, and what is there."""

NOTHING = object()
"""No JSON, or no value at a way; JSON's null is None."""
_OPENING = re.compile(r"[\[{]")
_MOST_TRIES = 50
_MOST_TEXT = 200_000


def parsed(text: str, place: Place) -> Json:
    """The JSON of an answer; :data:`NOTHING` where it holds none, several blocks, or more than 200,000 characters.

    Numbers that JSON does not have and keys that occur twice make it none.
    """
    if len(text) > _MOST_TEXT:
        return NOTHING
    found = _loads(text.strip())
    if found is not NOTHING or place == "whole":
        return found
    blocks = unfenced(text)
    if blocks:
        return _loads(blocks[0]) if len(blocks) == 1 else NOTHING
    return _within(text) if place == "anywhere" else NOTHING


def _loads(text: str) -> Json:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return NOTHING


def _within(text: str) -> Json:
    """The first object or list that stands in prose."""
    for count, match in enumerate(_OPENING.finditer(text)):
        if count >= _MOST_TRIES:
            break
        try:
            return _DECODER.raw_decode(text, match.start())[0]
        except (ValueError, RecursionError):
            continue
    return NOTHING


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)


def leaves(match: AnswerMatch, value: Json) -> Iterator[Leaf]:
    """What is compared: each value of ``expect.match.fields`` with the one at its place, but for those ignored."""
    yield from _leaves(match.fields, value, "", frozenset(match.ignored))


def _leaves(expected: Json, found: Json, way: str, ignored: frozenset[str]) -> Iterator[Leaf]:
    if way in ignored:
        return
    if isinstance(expected, Mapping) and (expected or not way):
        there = found if isinstance(found, Mapping) else {}
        for key, item in expected.items():
            yield from _leaves(item, there.get(key, NOTHING), f"{way}.{key}" if way else key, ignored)
    elif isinstance(expected, (list, tuple)) and expected:
        items = found if isinstance(found, (list, tuple)) else ()
        if len(items) > len(expected):
            yield f"{way} (length)", len(expected), len(items)
        for index, item in enumerate(expected):
            yield from _leaves(item, items[index] if index < len(items) else NOTHING, f"{way}.*", ignored)
    else:
        yield way, expected, found


def differing(leaf: Leaf, tolerances: Mapping[str, Json]) -> bool:
    """Whether what is at a way is not what is expected there: of one type, numbers within the way's tolerance."""
    way, expected, found = leaf
    if found is NOTHING:
        return True
    number = isinstance(expected, (int, float)) and not isinstance(expected, bool)
    if number and isinstance(found, (int, float)) and not isinstance(found, bool):
        absolute, relative = tolerance_of(tolerances.get(way, 0)) or (0.0, 0.0)
        return not abs(found - expected) <= max(absolute, relative * abs(expected)) + 1e-12 * abs(expected)
    if isinstance(expected, (Mapping, list, tuple)):
        return type(found) is not (dict if isinstance(expected, Mapping) else list) or bool(found)
    return type(found) is not type(expected) or found != expected
