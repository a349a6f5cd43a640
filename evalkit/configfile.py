"""YAML files from people: read with line numbers, validated with pydantic, errors that say where.

Every model that describes a file derives from :class:`FileModel`, which refuses unknown keys.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema

from evalkit.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["FileModel", "Texts", "YamlFile", "parse", "read_shipped", "read_yaml", "short_form"]

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same in C where the platform has it: ten times faster."""
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_SECRET = re.compile(r"api_?key|secret|password|credential", re.IGNORECASE)
"""Keys whose values are not shown: somebody may have written down what belongs into the environment."""
ModelT = TypeVar("ModelT", bound=BaseModel)
Location = tuple[str | int, ...]


class FileModel(BaseModel):
    """Base of everything that is read from a file: frozen, no key it does not know, no number that is not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class _Loader(_BASE):  # type: ignore[misc]  # one of two classes
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """A value, or an error with its place: PyYAML lets those of Python's constructors through."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, AttributeError, LookupError, OverflowError):
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"`{node.value}` is no {kind}: put it in quotes if it is text", node.start_mark
            ) from None


def short_form(schema: dict[str, Any]) -> None:
    """Tell editors that a text may stand for the whole object (for ``json_schema_extra``)."""
    whole = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string"}, whole]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""A list of texts; a single text stands for a list of one."""


@dataclass(frozen=True)
class YamlFile:
    """The data of a YAML file, or of a part of it, and the line of each key; that of the part itself is at ``()``."""

    path: Path
    data: Any
    lines: Mapping[Location, int] = field(default_factory=dict)

    def line(self, location: Sequence[str | int]) -> int | None:
        """The line of a key path, or of its nearest parent that has one."""
        path = tuple(location)
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return self.lines.get(())

    def at(self, *location: str | int) -> YamlFile:
        """The part of the file under a key path, with its own line numbers."""
        data = self.data
        for key in location:
            data = data[key]
        size = len(location)
        inner = {path[size:]: line for path, line in self.lines.items() if path[:size] == location}
        return YamlFile(self.path, data, inner)


def read_yaml(path: str | os.PathLike[str]) -> YamlFile:
    """Read one YAML document.

    Raises:
        ConfigError: when the file cannot be read, is not YAML, names a key twice, or has a key that is no text.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the file: {error.strerror}", file=file) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text (byte {error.start})", file=file, fix="save the file as UTF-8") from None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines = dict(_lines(node, (), file)) if node is not None else {}
        data = loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise ConfigError(
            f"not valid YAML: {error.problem or error.context}", file=file, line=mark.line + 1 if mark else None
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {error}", file=file) from None
    return YamlFile(file, data if data is not None else {}, lines)


def read_shipped(package: str, name: str) -> Any:
    """The data of a YAML file that ships with a package. It is right: there is no place of an error to be named."""
    text = resources.files(package).joinpath(name).read_text(encoding="utf-8")
    return yaml.load(text, _BASE)  # noqa: S506 - one of two safe loaders


def _lines(
    node: yaml.Node, path: Location, file: Path, around: tuple[yaml.Node, ...] = ()
) -> Iterator[tuple[Location, int]]:
    if any(node is outer for outer in around):
        raise ConfigError(
            "the alias stands inside what it repeats", file=file, line=node.start_mark.line + 1, key=_dotted(path)
        )
    inside = (*around, node)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if isinstance(key_node, yaml.ScalarNode) and key_node.tag not in (_TEXT, _MERGE):
                raise ConfigError(
                    "the key is not text", file=file, line=line, key=_dotted((*path, key)), fix=f'write "{key}":'
                )
            if key in seen and key != "<<":
                raise ConfigError("the key occurs twice", file=file, line=line, key=_dotted((*path, key)))
            seen.add(key)
            yield (*path, key), line
            yield from _lines(value_node, (*path, key), file, inside)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, index), item.start_mark.line + 1
            yield from _lines(item, (*path, index), file, inside)


def parse(model: type[ModelT], source: YamlFile, error_class: type[ConfigError] = ConfigError) -> ModelT:
    """Validate a YAML file against a model.

    Raises:
        ConfigError: the first problem, with file, line, key, value and what to do.
    """
    if not isinstance(source.data, dict):
        raise error_class("the file must hold keys and values", file=source.path, line=1, value=source.data)
    try:
        return model.model_validate(source.data)
    except ValidationError as error:
        raise _explain(error, model, source, error_class) from None


def _explain(
    error: ValidationError, model: type[BaseModel], source: YamlFile, error_class: type[ConfigError]
) -> ConfigError:
    problems = _problems(error, source.data)
    unknown = [place for place, problem in problems.items() if problem["type"] == "extra_forbidden"]
    location = (unknown or list(problems))[0]
    first = problems[location]
    shown = None if location and _SECRET.search(str(location[-1])) else first["input"]
    others = problems.keys() - {location}
    suffix = _and_more(others)
    if first["type"] == "extra_forbidden":
        key = str(location[-1])
        known = _known_keys(model, location[:-1])
        close = difflib.get_close_matches(key, known, n=1)
        fix = f"did you mean `{close[0]}`?" if close else f"known keys here: {', '.join(known)}" if known else None
        return error_class(
            f"unknown key `{key}`{_and_more(others - {(*location[:-1], name) for name in close})}",
            file=source.path,
            line=source.line(location),
            key=_dotted(location),
            value=shown,
            fix=fix,
        )
    if first["type"] == "missing":
        return error_class(
            f"the key `{_dotted(location)}` is missing{suffix}",
            file=source.path,
            line=source.line(location[:-1]),
            key=_dotted(location),
            fix=f"add `{location[-1]}:`",
        )
    message = first["msg"].removeprefix("Value error, ")
    return error_class(
        f"{message[0].lower()}{message[1:]}{suffix}",
        file=source.path,
        line=source.line(location),
        key=_dotted(location) or None,
        value=shown,
    )


def _problems(error: ValidationError, data: Any) -> dict[Location, ErrorDetails]:
    """The first problem at each place of the file.

    A union complains for each of its members: where one of them found fault further inside, the others say only
    that the value is not of their kind.
    """
    found: dict[Location, ErrorDetails] = {}
    for problem in error.errors(include_url=False):
        found.setdefault(_file_location(problem["loc"], data, missing=problem["type"] == "missing"), problem)
    outer = {place[:size] for place in found for size in range(len(place))}
    return {place: problem for place, problem in found.items() if place not in outer}


def _and_more(others: Collection[Location]) -> str:
    return f" (and {len(others)} more)" if others else ""


def _file_location(location: Sequence[str | int], data: Any, *, missing: bool) -> Location:
    """Drop the names that pydantic adds for members of a union: only keys of the file stay, and one missing there."""
    found: list[str | int] = []
    here = data
    for index, key in enumerate(location):
        if _holds(here, key):
            here = here[key]
            found.append(key)
        elif missing and index == len(location) - 1:
            found.append(key)
    return tuple(found)


def _holds(data: Any, key: str | int) -> bool:
    if isinstance(data, dict):
        return key in data
    return isinstance(data, list) and isinstance(key, int) and key < len(data)


def _known_keys(model: type[BaseModel], location: Location) -> list[str]:
    here: Any = model
    for key in location:
        here = next((inner for part in _alternatives(here) if (inner := _part(part, key)) is not None), None)
    models = [part for part in _alternatives(here) if isinstance(part, type) and issubclass(part, BaseModel)]
    return sorted({info.alias or name for found in models for name, info in found.model_fields.items()})


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The members of a union, without what ``Annotated`` adds; of anything else the annotation itself."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _alternatives(member)
    else:
        yield annotation


def _part(annotation: Any, key: str | int) -> Any:
    """The annotation of what stands under a key or in a position; None where nothing can."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        return next((info.annotation for name, info in fields.items() if key in (name, info.alias)), None)
    arguments = get_args(annotation)
    if get_origin(annotation) in (dict, Mapping):
        return arguments[1] if isinstance(key, str) else None
    return arguments[0] if arguments and isinstance(key, int) else None


def _dotted(location: Sequence[str | int]) -> str:
    text = ""
    for key in location:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text
