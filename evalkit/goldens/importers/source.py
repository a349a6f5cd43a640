"""Files from elsewhere: read as text, JSON or YAML, with nothing in them that a case cannot hold.

What comes out is plain data: text, numbers, booleans, null, lists and objects with text keys.
NaN, infinities, lone surrogates, keys that occur twice, YAML tags and data without end are
refused, so that nothing half-read becomes a case.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from evalkit.errors import GoldenSetError
from evalkit.records import Json
from evalkit.text import scrub

__all__ = ["Place", "YamlTree", "check_data", "parse_json", "parse_yaml", "read_bytes", "read_json_lines", "read_text"]

_MAX_DEPTH = 100
_MAX_VALUES = 2_000_000
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Place:
    """Where a value stands: file, line where it is known, and the way to it."""

    file: Path
    line: int | None = None
    key: str = ""

    def at(self, *keys: str | int) -> Place:
        """A place inside this one: ``at("assert", 0, "value")``."""
        return replace(self, key=_dotted(self.key, *keys))

    def error(self, message: str, value: Json = None, fix: str | None = None) -> GoldenSetError:
        """The error that says what is wrong at this place."""
        key = self.key.rstrip(": ") or None
        return GoldenSetError(message, file=self.file, line=self.line, key=key, value=value, fix=fix)


def _dotted(start: str, *keys: str | int) -> str:
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
        raise GoldenSetError("the file is empty", file=path, fix="export the cases again")
    return data


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
        raise GoldenSetError("the file is empty", file=path, fix="export the cases again")
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
        if len(path) > _MAX_DEPTH:
            raise locate(*path).error(f"nested deeper than {_MAX_DEPTH} levels", fix="flatten the data")
        problem = _problem(item)
        if problem is not None:
            raise locate(*path).error(problem[0], item, fix=problem[1])
        if isinstance(item, dict):
            for key, inner in item.items():
                problem = _problem(key) if isinstance(key, str) else ("a key must be text", f'quote it: "{key}"')
                if problem is not None:
                    raise locate(*path).error(problem[0], key, fix=problem[1])
                todo.append((inner, (*path, key)))
        elif isinstance(item, list):
            todo.extend((inner, (*path, index)) for index, inner in enumerate(item))


def _problem(item: Json) -> tuple[str, str] | None:
    """What is wrong with a value itself, and what to do."""
    if isinstance(item, str):
        lone = scrub(item)[1]
        return ("a lone surrogate in the text", r"escapes such as \ud83d must come in pairs") if lone else None
    if isinstance(item, float):
        finite = math.isfinite(item)
        return None if finite else ("NaN and infinity are not JSON", "leave the value out, or write null")
    if not isinstance(item, (bool, int, type(None), dict, list)):
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
        raise place.error(f"nested deeper than {_MAX_DEPTH} levels", fix="flatten the data") from None
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


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML with the scalars of YAML 1.2: ``no`` and ``12:30`` are text, and so is a date."""


_PlainLoader.yaml_implicit_resolvers = {}
_INTEGER = r"(?:0|[1-9][0-9]*)"
for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", rf"[-+]?{_INTEGER}", list("-+0123456789")),
    (
        "float",
        rf"[-+]?(?:\.[0-9]+|{_INTEGER}\.[0-9]*|{_INTEGER}(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan|\.NaN",
        list("-+0123456789."),
    ),
    ("merge", r"<<", ["<"]),
):
    _PlainLoader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(rf"^(?:{_pattern})$"), _first)


@dataclass(frozen=True)
class YamlTree:
    """The data of a YAML file, and the line of each key."""

    path: Path
    data: Json
    node: yaml.Node | None = None

    def place(self, *keys: str | int) -> Place:
        """The place of a key path; its line is that of the nearest parent that has one."""
        node, line = self.node, None
        for key in keys:
            found = _inside(node, key)
            if found is None:
                break
            line, node = found
        return Place(self.path, line, _dotted("", *keys))


def _inside(node: yaml.Node | None, key: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == key:
                return name.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark.line + 1, node.value[key]
    return None


def parse_yaml(text: str, path: Path) -> YamlTree:
    """One YAML document as plain data; tags that ask for objects are refused, nothing is run.

    Raises:
        GoldenSetError: for text that is not safe YAML, or data that :func:`check_data` refuses.
    """
    place = Place(path)
    try:
        loader = _PlainLoader(text)
        node = loader.get_single_node()
        if node is None:
            raise place.error("the file is empty", fix="export the cases again")
        _refuse_double_keys(node, path, set())
        data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise Place(path, mark.line + 1 if mark else None).error(
            f"not valid YAML: {error.problem or error.context}",
            fix="quote texts that hold `?`, `:` or `#`, and leave out tags such as `!!python`",
        ) from None
    except yaml.YAMLError as error:
        raise place.error(f"not valid YAML: {str(error).splitlines()[0]}", fix="save the file as plain UTF-8") from None
    except RecursionError:
        raise place.error(f"nested deeper than {_MAX_DEPTH} levels", fix="flatten the data") from None
    except (ValueError, TypeError) as error:
        raise place.error(f"not valid YAML: {error}", fix="leave out tags such as `!!int`") from None
    tree = YamlTree(path, data, node)
    check_data(data, tree.place)
    return tree


def _refuse_double_keys(node: yaml.Node, path: Path, seen: set[int]) -> None:
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return
    seen.add(id(node))
    names: set[str] = set()
    for item in node.value:
        if isinstance(node, yaml.SequenceNode):
            _refuse_double_keys(item, path, seen)
            continue
        key, value = item
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in names:
                here = Place(path, key.start_mark.line + 1, key.value)
                raise here.error("the key occurs twice", fix="keep one of them")
            names.add(key.value)
        _refuse_double_keys(value, path, seen)
