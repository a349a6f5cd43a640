"""Golden sets as JSON lines: the form that people edit and review.

One case a line, defaults left out, keys in the order of :class:`evalkit.records.Case`. Two
short forms are understood on the way in: ``"input": "text"`` for a single user message, and
a plain string among ``facts`` for a fact with one wording.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalkit import codec
from evalkit.goldens.matches import match_problems
from evalkit.goldens.source import Place, check_data, decode_record, read_json_lines
from evalkit.records import Case, Json
from evalkit.text import visible

__all__ = ["case_from_json", "case_to_json", "dump_jsonl", "load_jsonl", "safe_json"]

_SPECIAL = re.compile(r"[^\n\x20-\x7e]")


def load_jsonl(path: Path) -> list[Case]:
    """Read cases, one JSON object a line; blank lines are skipped.

    Raises:
        GoldenSetError: naming file, line, key and value of the first problem.
    """
    return [_decode(data, place) for place, data in read_json_lines(path)]


def case_from_json(data: Any, *, file: Path | str | None = None, line: int | None = None) -> Case:
    """One case from plain data.

    Raises:
        GoldenSetError: for unknown keys, wrong types, or values that JSON does not have.
    """
    place = Place(file, line)
    if not isinstance(data, dict):
        raise place.error("a case is a JSON object", data)
    check_data(data, place.at)
    return _decode(data, place)


def _decode(data: dict[str, Any], place: Place) -> Case:
    at = replace(place, key=f"{data.get('id', '?')}: ")
    case = decode_record(Case, _long_form(data), at)
    for problem in match_problems(case.expect.match):
        raise at.at("expect", "match", problem.key).error(problem.message, problem.value, fix=problem.fix)
    return case


def _long_form(data: dict[str, Any]) -> dict[str, Any]:
    result = dict(data)
    if isinstance(result.get("input"), str):
        result["input"] = [{"role": "user", "content": result["input"]}]
    expect = result.get("expect")
    if isinstance(expect, dict) and isinstance(expect.get("facts"), list):
        facts = [[fact] if isinstance(fact, str) else fact for fact in expect["facts"]]
        result["expect"] = {**expect, "facts": facts}
    return result


def case_to_json(case: Case) -> dict[str, Any]:
    """A case as plain data in the short form, defaults left out."""
    data: dict[str, Any] = codec.plain(case, exclude_defaults=True)
    turns = data["input"]
    if len(turns) == 1 and set(turns[0]) == {"role", "content"} and turns[0]["role"] == "user":
        data["input"] = turns[0]["content"]
    facts = data.get("expect", {}).get("facts")
    if facts:
        data["expect"]["facts"] = [fact[0] if len(fact) == 1 else fact for fact in facts]
    return data


def dump_jsonl(cases: Iterable[Case]) -> str:
    """Cases as JSON lines, sorted by id, ending in a newline; see :func:`safe_json`."""
    return "".join(safe_json(case_to_json(case)) + "\n" for case in sorted(cases, key=lambda case: case.id))


def safe_json(value: Json, indent: int | None = None) -> str:
    """JSON that reads back the same and is safe to show.

    Letters stay as they are; what is invisible, moves the cursor, turns the direction of writing
    or starts a command in a CI log is written as an escape.

    Raises:
        ValueError: for NaN and infinities.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    return _SPECIAL.sub(_escaped, text).replace("##[", "##\\u005b")


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    return character if visible(character) == character else json.dumps(character)[1:-1]
