"""What is wrong with what a case says its answer must be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields

from evalkit.jsonschemas import value_schema_problems
from evalkit.language.units import tolerance_of, unit_of
from evalkit.patterns import linear_pattern
from evalkit.records import AnswerMatch, Json

__all__ = ["MatchProblem", "match_problems"]

_KEYS = {
    "exact": ("texts", "fold"),
    "choice": ("texts",),
    "number": ("value", "tolerance", "relative", "unit"),
    "set": ("texts", "fold", "ordered"),
    "json": ("schema", "fields", "tolerances", "ignored"),
    "regex": ("pattern", "whole"),
}
_BLANK = AnswerMatch("exact")


@dataclass(frozen=True, slots=True)
class MatchProblem:
    """Something that does not fit, at a key of ``expect.match``."""

    key: str
    message: str
    value: Json
    fix: str


def match_problems(match: AnswerMatch | None) -> Iterator[MatchProblem]:
    """What is wrong with a match; nothing where there is none."""
    if match is None:
        return
    for item in fields(match):
        given = getattr(match, item.name)
        if item.name != "kind" and item.name not in _KEYS[match.kind] and given != getattr(_BLANK, item.name):
            reads = ", ".join(f"`{key}`" for key in _KEYS[match.kind])
            yield MatchProblem(
                item.name, f"kind `{match.kind}` does not read it", given, f"leave it out; it reads {reads}"
            )
    yield from _PROBLEMS[match.kind](match)


def _texts(match: AnswerMatch) -> Iterator[MatchProblem]:
    what = "member" if match.kind == "set" else "accepted answer"
    if not match.texts:
        yield MatchProblem("texts", f"no {what} is named", [], f"name at least one {what}")
    for text in match.texts:
        if not text.strip():
            yield MatchProblem("texts", f"an empty {what}", text, "leave it out")
        elif match.kind == "choice" and not (len(text) == 1 and text.isascii() and text.isupper()):
            yield MatchProblem("texts", "a choice is one capital letter", text, 'write it as "B"')


def _number(match: AnswerMatch) -> Iterator[MatchProblem]:
    if match.value is None or not math.isfinite(match.value):
        yield MatchProblem("value", "the number is missing", match.value, "write it: `value: 30`")
    for key in ("tolerance", "relative"):
        given = getattr(match, key)
        if not (math.isfinite(given) and given >= 0):
            yield MatchProblem(key, "a tolerance is 0 or more", given, "write how far it may be off")
    if match.relative >= 1:
        yield MatchProblem("relative", "a share of 1 or more accepts zero", match.relative, "write 5% as 0.05")
    if match.unit and unit_of(match.unit) is None:
        yield MatchProblem(
            "unit",
            "not a unit that is known",
            match.unit,
            "use one such as %, EUR, days, km, kg or MB; name anything else as a fact beside the number",
        )


def _json(match: AnswerMatch) -> Iterator[MatchProblem]:
    if not match.schema and not match.fields:
        yield MatchProblem("fields", "nothing is expected of the JSON", {}, "give a `schema`, `fields`, or both")
    for problem in value_schema_problems(match.schema):
        yield MatchProblem("schema", problem, match.schema, "correct the schema (JSON Schema 2020-12)")
    ways = set(_ways(match.fields))
    for key in (*match.tolerances, *match.ignored):
        if key not in ways:
            where = "tolerances" if key in match.tolerances else "ignored"
            yield MatchProblem(
                where, "`fields` has no such way", key, "write keys with points and * for items: lines.*.price"
            )
    for key, given in match.tolerances.items():
        if tolerance_of(given) is None:
            yield MatchProblem("tolerances", "not a tolerance", {key: given}, 'write 0.01, or "1%" for a share')


def _ways(value: Json, prefix: str = "") -> Iterator[str]:
    if prefix:
        yield prefix
    items: Iterable[tuple[str, Json]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = (("*", item) for item in value)
    for key, item in items:
        yield from _ways(item, f"{prefix}.{key}" if prefix else key)


def _regex(match: AnswerMatch) -> Iterator[MatchProblem]:
    if not match.pattern:
        yield MatchProblem("pattern", "the pattern is missing", "", "write a regular expression")
        return
    try:
        linear_pattern(match.pattern)
    except ValueError as error:
        yield MatchProblem("pattern", str(error), match.pattern, "write a simpler regular expression")


_PROBLEMS = {"exact": _texts, "choice": _texts, "set": _texts, "number": _number, "json": _json, "regex": _regex}
