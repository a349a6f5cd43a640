"""Reading a judge's reply: all of it is the JSON object that was asked for, with the key of the data, or nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from evalkit.grading.judging.rubrics import Rubric
from evalkit.stats.judges import Choice

__all__ = ["PairReply", "PointReply", "UnreadableReplyError", "read_pair", "read_point"]

_LONGEST = 20_000
_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*)\n```", re.DOTALL)
_SHOWN: dict[str, Choice] = {"answer_1": "a", "answer_2": "b", "tie": "tie"}


class UnreadableReplyError(ValueError):
    """A reply is not what was asked for. The text holds nothing of the reply: it is told to the judge."""


@dataclass(frozen=True, slots=True)
class PointReply:
    """Levels by criterion, and their mean between 0 and 1."""

    value: float
    levels: dict[str, int]
    reason: str


@dataclass(frozen=True, slots=True)
class PairReply:
    """Which answer is better, of those that were shown: ``a`` is the first one."""

    choice: Choice
    reason: str


def read_point(text: str, key: str, rubric: Rubric) -> PointReply:
    """Read the levels of a reply.

    Raises:
        UnreadableReplyError: when it is anything but the object that was asked for.
    """
    data = _object(text, key, "levels")
    levels = data["levels"]
    known = {item.name: item for item in rubric.criteria}
    if not isinstance(levels, dict) or levels.keys() != known.keys():
        raise UnreadableReplyError('"levels" does not hold each criterion once')
    for name, level in levels.items():
        if type(level) is not int or not known[name].lowest <= level <= known[name].highest:
            raise UnreadableReplyError("a level is not a whole number on its scale")
    shares = [known[name].share(level) for name, level in levels.items()]
    return PointReply(sum(shares) / len(shares), levels, data["reason"])


def read_pair(text: str, key: str) -> PairReply:
    """Read which answer a reply prefers.

    Raises:
        UnreadableReplyError: as :func:`read_point`.
    """
    data = _object(text, key, "better")
    if not isinstance(data["better"], str) or data["better"] not in _SHOWN:
        raise UnreadableReplyError('"better" is not answer_1, answer_2 or tie')
    return PairReply(_SHOWN[data["better"]], data["reason"])


def _object(text: str, key: str, judgement: str) -> dict[str, Any]:
    plain = text.strip()
    if len(plain) > _LONGEST:
        raise UnreadableReplyError("it was too long")
    fenced = _FENCED.fullmatch(plain)
    try:
        data = json.loads(fenced.group(1) if fenced else plain, object_pairs_hook=_once, parse_constant=_refused)
    except UnreadableReplyError:
        raise
    except (ValueError, RecursionError):
        raise UnreadableReplyError("it was not one JSON object") from None
    if not isinstance(data, dict) or data.keys() != {"check", "reason", judgement}:
        raise UnreadableReplyError(f'it did not have the keys "check", "reason" and "{judgement}", and no others')
    if data["check"] != key:
        raise UnreadableReplyError('"check" was not the key of the data')
    if not isinstance(data["reason"], str):
        raise UnreadableReplyError('"reason" was no text')
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise UnreadableReplyError("a key stood in it twice")
    return dict(pairs)


def _refused(_name: str) -> Any:
    raise UnreadableReplyError("it held a number that is none")
