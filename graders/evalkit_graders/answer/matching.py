"""Whether an answer is what ``expect.match`` of its case says: a share, and in a word what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from evalkit.jsonschemas import value_problems
from evalkit.patterns import linear_pattern
from evalkit.records import AnswerMatch, Json
from evalkit_graders.answer.choices import choice
from evalkit_graders.answer.folding import folded
from evalkit_graders.answer.marked import boxed, marked
from evalkit_graders.answer.members import common, members
from evalkit_graders.answer.numbers import Taken, chosen, fits
from evalkit_graders.answer.structured import NOTHING, Place, differing, leaves, parsed
from evalkit_graders.similarity.measures import lcs_length

__all__ = ["Reading", "Result", "matched"]

_MOST_TEXT = 100_000
"""Characters of an answer that a pattern is held against; a longer one does not match."""
_MOST_ANSWER = 20_000
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Reading:
    """How an answer is read; the parameters of the grader."""

    exact: Literal["whole", "marked"] = "whole"
    number: Taken = "marked"
    bare: bool = True
    json: Place = "whole"
    locale: str = "en"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a comparison."""

    value: float
    """1 where the answer is right; sets and JSON give the share that is."""
    label: str = ""
    evidence: Mapping[str, Json] = field(default_factory=dict)


def matched(answer: str, match: AnswerMatch, reading: Reading) -> Result:
    """Hold an answer against what it must be.

    Raises:
        ValueError: when the match is none that can be compared with; ``evalkit goldens validate`` says so before.
    """
    return _KINDS[match.kind](answer, match, reading)


def _exact(answer: str, match: AnswerMatch, reading: Reading) -> Result:
    if not match.texts:
        raise ValueError("expect.match.texts names no accepted answer")
    text = answer[:_MOST_ANSWER]
    if match.fold == "math":
        inside = boxed(text)
        text = text if inside is None else inside
    elif reading.exact == "marked":
        text = marked(text) or text
    found = folded(text, match.fold)
    if len(answer) <= _MOST_ANSWER and any(found == folded(accepted, match.fold) for accepted in match.texts):
        return Result(1.0)
    return Result(0.0, "wrong_answer", {"expected": _cut(match.texts), "found": text[:_SHOWN]})


def _choice(answer: str, match: AnswerMatch, _: Reading) -> Result:
    if not match.texts:
        raise ValueError("expect.match.texts names no right letter")
    letter = choice(answer)
    if letter in match.texts:
        return Result(1.0)
    return Result(0.0, "wrong_choice" if letter else "no_choice", {"expected": _cut(match.texts), "found": letter})


def _number(answer: str, match: AnswerMatch, reading: Reading) -> Result:
    found = chosen(answer, match, reading.number, reading.locale)
    expected = f"{match.value!r} {match.unit}".strip()
    if found is None:
        return Result(0.0, "no_number", {"expected": expected})
    label = fits(found, match, bare=reading.bare)
    evidence: dict[str, Json] = {"expected": expected, "found": found.text[:_SHOWN], "read_as": found.value}
    return Result(0.0, label, evidence) if label else Result(1.0)


def _set(answer: str, match: AnswerMatch, _: Reading) -> Result:
    if not match.texts:
        raise ValueError("expect.match.texts names no member")
    raw = members(answer, match.texts)
    found = [folded(item, match.fold) for item in raw]
    wanted = [folded(item, match.fold) for item in match.texts]
    shared = (lcs_length if match.ordered else common)(wanted, found)
    if shared == len(wanted) == len(found):
        return Result(1.0)
    missing = [text for text, item in zip(match.texts, wanted, strict=True) if item not in found]
    extra = [text for text, item in zip(raw, found, strict=True) if item not in wanted]
    label = "missing_member" if missing else "extra_member" if extra or len(found) > len(wanted) else "wrong_order"
    return Result(
        2 * shared / (len(wanted) + len(found)), label, {"missing_members": _cut(missing), "extra_members": _cut(extra)}
    )


def _json(answer: str, match: AnswerMatch, reading: Reading) -> Result:
    if not match.schema and not match.fields:
        raise ValueError("expect.match has neither a schema nor fields")
    value = parsed(answer, reading.json)
    if value is NOTHING:
        return Result(0.0, "not_json", {"json": reading.json})
    compared = list(leaves(match, value))
    wrong = [leaf for leaf in compared if differing(leaf, match.tolerances)]
    share = (len(compared) - len(wrong)) / len(compared) if compared else 1.0
    problems = value_problems(match.schema, value) if match.schema else []
    if not wrong and not problems:
        return Result(1.0)
    evidence: dict[str, Json] = {}
    if problems:
        evidence["schema"] = _cut(problems)
    if wrong:
        evidence["wrong_fields"] = [_described(way, expected, found) for way, expected, found in wrong[:10]]
    return Result(0.0 if problems and not compared else share, "schema" if problems else "wrong_field", evidence)


def _described(way: str, expected: Json, found: Json) -> str:
    there = "nothing" if found is NOTHING else repr(found)[:_SHOWN]
    return f"{way}: expected {expected!r:.200}, found {there}"


def _regex(answer: str, match: AnswerMatch, _: Reading) -> Result:
    if not match.pattern:
        raise ValueError("expect.match.pattern is missing")
    pattern = linear_pattern(match.pattern)
    if len(answer) > _MOST_TEXT:
        return Result(0.0, "too_long", {"characters": len(answer), "most": _MOST_TEXT})
    found = pattern.fullmatch(answer.strip()) if match.whole else pattern.search(answer)
    return Result(1.0) if found else Result(0.0, "no_match", {"pattern": match.pattern[:_SHOWN]})


def _cut(texts: list[str] | tuple[str, ...]) -> list[str]:
    return [text[:_SHOWN] for text in texts[:10]]


_KINDS: dict[str, Callable[[str, AnswerMatch, Reading], Result]] = {
    "exact": _exact,
    "choice": _choice,
    "number": _number,
    "set": _set,
    "json": _json,
    "regex": _regex,
}
