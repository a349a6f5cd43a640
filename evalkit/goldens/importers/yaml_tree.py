"""YAML from elsewhere as plain data, with the line of each key; tags that ask for objects are refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from evalkit.goldens.source import MAX_DEPTH, Place, check_data, dotted
from evalkit.records import Json

__all__ = ["YamlTree", "parse_yaml"]

_TAG = "tag:yaml.org,2002:"


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
        return Place(self.path, line, dotted("", *keys))


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
        raise place.error(f"nested deeper than {MAX_DEPTH} levels", fix="flatten the data") from None
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
