"""Files with cases: read as text or JSON, with nothing in them that a case cannot hold.

What comes out is plain data: text, numbers, booleans, null, lists and objects with text keys.
NaN, infinities, lone surrogates, keys that occur twice and data without end are refused, so
that nothing half-read becomes a case.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from evalkit import codec
from evalkit.errors import GoldenSetError
from evalkit.records import Json
from evalkit.text import scrub

__all__ = [
    "MAX_DEPTH",
    "Place",
    "check_data",
    "decode_record",
    "dotted",
    "parse_json",
    "read_bytes",
    "read_json_lines",
    "read_text",
]

MAX_DEPTH = 100
"""Levels of lists and objects in one value."""
_MAX_VALUES = 2_000_000
_WORDS = (("a valid tuple", "a list"), ("a valid dictionary", "an object"), ("a dictionary", "an object"))
_T = TypeVar("_T")


@dataclass(frozen=True)
class Place:
    """Where a value stands: file, line where it is known, and the way to it."""

    file: Path | str | None
    line: int | None = None
    key: str = ""

    def at(self, *keys: str | int) -> Place:
        """A place inside this one: ``at("assert", 0, "value")``."""
        return replace(self, key=dotted(self.key, *keys))

    def error(self, message: str, value: Json = None, fix: str | None = None) -> GoldenSetError:
        """The error that says what is wrong at this place."""
        key = self.key.rstrip(": ") or None
        return GoldenSetError(message, file=self.file, line=self.line, key=key, value=value, fix=fix)


def dotted(start: str, *keys: str | int) -> str:
    """A way to a value as people write it: ``expect.facts[0]``."""
    text = start
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text and not text.endswith(" ") else key
    return text


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        GoldenSetError: when it cannot be read, or is empty.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GoldenSetError(f"cannot read the file: {error.strerror}", file=path) from None
    if not data.strip():
        raise _empty(path)
    return data


def _empty(path: Path) -> GoldenSetError:
    return GoldenSetError(
        "the file is empty: there are no cases in it", file=path, fix="write cases into it, or export them again"
    )


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark.

    Raises:
        GoldenSetError: when it cannot be read, is empty, or is not UTF-8.
    """
    data = read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise GoldenSetError(
            "not UTF-8 but UTF-16 text" if utf16 else f"not UTF-8 text (byte {error.start})",
            file=path,
            line=None if utf16 else data.count(b"\n", 0, error.start) + 1,
            fix="save the file as UTF-8 (in a spreadsheet: CSV UTF-8)",
        ) from None
    if not text.strip():
        raise _empty(path)
    return text


def check_data(value: Json, locate: Callable[..., Place]) -> None:
    """Refuse what plain data cannot hold.

    Args:
        value: Data as a parser made it.
        locate: Says where the value at a key path stands.

    Raises:
        GoldenSetError: naming the way to NaN, an infinity, a lone surrogate, a key that is not
            text, a value of another type, or data that is nested or repeated without measure.
    """
    count = 0
    todo: list[tuple[Json, tuple[str | int, ...]]] = [(value, ())]
    while todo:
        item, path = todo.pop()
        count += 1
        if count > _MAX_VALUES:
            raise locate().error(
                f"more than {_MAX_VALUES:,} values", fix="write fewer aliases (`*name`), or split the file"
            )
        if len(path) > MAX_DEPTH:
            raise locate(*path).error(f"nested deeper than {MAX_DEPTH} levels", fix="flatten the data")
        problem = _problem(item)
        if problem is not None:
            raise locate(*path).error(problem[0], item, fix=problem[1])
        if isinstance(item, dict):
            for key, inner in item.items():
                problem = _problem(key) if isinstance(key, str) else ("a key must be text", f'quote it: "{key}"')
                if problem is not None:
                    raise locate(*path).error(problem[0], key, fix=problem[1])
                todo.append((inner, (*path, key)))
        elif isinstance(item, (list, tuple)):
            todo.extend((inner, (*path, index)) for index, inner in enumerate(item))


def _problem(item: Json) -> tuple[str, str] | None:
    """What is wrong with a value itself, and what to do."""
    if isinstance(item, str):
        lone = scrub(item)[1]
        return ("a lone surrogate in the text", r"escapes such as \ud83d must come in pairs") if lone else None
    if isinstance(item, float):
        finite = math.isfinite(item)
        return None if finite else ("NaN and infinity are not JSON", "leave the value out, or write null")
    if not isinstance(item, (bool, int, type(None), dict, list, tuple)):
        return f"a value of type {type(item).__name__} is not plain data", "write it as text"
    return None


def parse_json(text: str, place: Place) -> Json:
    """JSON text as plain data.

    Raises:
        GoldenSetError: for text that is not strict JSON, or data that :func:`check_data` refuses.
    """
    try:
        data = json.loads(text, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        line = place.line if place.line is not None or "\n" not in text else error.lineno
        raise replace(place, line=line).error(
            f"not valid JSON: {error.msg} (column {error.colno})",
            _around(text, error.pos),
            fix="correct the JSON: keys and texts stand in double quotes",
        ) from None
    except RecursionError:
        raise place.error(f"nested deeper than {MAX_DEPTH} levels", fix="flatten the data") from None
    except ValueError as error:
        raise place.error(f"not valid JSON: {error}", fix="correct the JSON") from None
    check_data(data, place.at)
    return data


def _around(text: str, position: int) -> str:
    return text[max(0, position - 30) : position + 30]


def _unique_keys(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key `{key}` occurs twice")
        found[key] = value
    return found


def read_json_lines(path: Path) -> Iterator[tuple[Place, dict[str, Json]]]:
    """The objects of a JSON lines file with their places; blank lines are skipped.

    Raises:
        GoldenSetError: for a line that is not a JSON object.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        place = Place(path, number)
        data = parse_json(line, place)
        if not isinstance(data, dict):
            raise place.error("each line must hold a JSON object", data)
        yield place, data


def decode_record(kind: type[_T], data: Json, place: Place) -> _T:
    """A record, such as a case or a document, from plain data; unknown keys are refused at every level.

    Raises:
        GoldenSetError: naming the way to the first value that does not fit.
    """
    try:
        return codec.strict(kind, data)
    except codec.ValidationError as error:
        problem = error.errors(include_url=False)[0]
        _, *way = problem["loc"]
        message = problem["msg"]
        if problem["type"] == "unexpected_keyword_argument":
            message = f"unknown key `{way[-1]}`"
        elif problem["type"] == "missing":
            message, problem["input"] = f"the key `{way[-1]}` is missing", None
        for word, plain in _WORDS:
            message = message.replace(word, plain)
        raise place.at(*way).error(
            f"{message[0].lower()}{message[1:]}", problem["input"], fix="`evalkit schema case` prints the keys"
        ) from None
