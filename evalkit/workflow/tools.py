"""Tool definitions, and tool results in tests: recorded with the case, never a real side effect."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evalkit import codec
from evalkit.configfile import read_yaml
from evalkit.errors import ConfigError, ToolSchemaError
from evalkit.jsonschemas import schema_problems
from evalkit.records import Case, Json, RecordedTool, ToolSpec
from evalkit.values import check_json, equal

__all__ = ["find_recorded", "load_tools", "matches"]


def load_tools(location: Path) -> tuple[ToolSpec, ...]:
    """Read tool definitions from a file, or from all ``.json``/``.yaml`` files of a folder.

    A file holds one definition or a list; both ``{"name", "parameters"}`` and OpenAI's
    ``{"type": "function", "function": {…}}`` are understood.

    Raises:
        ToolSchemaError: for a definition without a name, a bad schema, or a name twice.
    """
    files = sorted(location.iterdir()) if location.is_dir() else [location]
    tools: dict[str, ToolSpec] = {}
    for file in files:
        if file.suffix not in (".json", ".yaml", ".yml"):
            continue
        for spec in _definitions(file):
            if spec.name in tools:
                raise ToolSchemaError("the tool name occurs twice", file=file, key="name", value=spec.name)
            tools[spec.name] = spec
    if not tools:
        raise ToolSchemaError(
            "no tool definitions here", file=location, fix="add a .json or .yaml file, or drop `tools:`"
        )
    return tuple(tools.values())


def _definitions(file: Path) -> Iterator[ToolSpec]:
    data = _read(file)
    for item in data if isinstance(data, list) else [data]:
        definition = item.get("function", item) if isinstance(item, dict) else item
        if not isinstance(definition, dict) or not definition.get("name"):
            raise ToolSchemaError("a tool needs a name", file=file, value=item)
        cleaned = {key: value for key, value in definition.items() if key != "strict"}
        try:
            check_json(cleaned)
        except ValueError as error:
            raise ToolSchemaError(str(error), file=file, key=str(definition["name"])) from None
        try:
            spec = codec.strict(ToolSpec, cleaned)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in problem["loc"][1:])
            raise ToolSchemaError(problem["msg"], file=file, key=key, value=problem["input"]) from None
        for problem_text in schema_problems(spec.parameters):
            raise ToolSchemaError(
                problem_text,
                file=file,
                key=f"{spec.name}.parameters",
                fix="write the arguments as JSON Schema 2020-12, `type: object`",
            )
        yield spec


def _read(file: Path) -> Any:
    if file.suffix != ".json":
        return read_yaml(file).data
    try:
        return json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except OSError as error:
        raise ConfigError(f"cannot read the file: {error.strerror}", file=file) from None
    except (ValueError, RecursionError) as error:
        raise ToolSchemaError(f"not valid JSON: {error}", file=file) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is Python's and not JSON's")


def find_recorded(case: Case, name: str, arguments: Json) -> RecordedTool | None:
    """What the tool answers in this case: the recording that names most of the given arguments."""
    fitting = [tool for tool in case.recorded_tools if tool.name == name and _fits(tool, arguments)]
    return max(fitting, key=lambda tool: len(tool.arguments or ()), default=None)


def _fits(tool: RecordedTool, arguments: Json) -> bool:
    if tool.arguments is None:
        return True
    if not isinstance(arguments, Mapping):
        return False
    return all(key in arguments and matches(arguments[key], value) for key, value in tool.arguments.items())


def matches(given: Json, wanted: Json) -> bool:
    """Equality as a tool sees it: ``5`` equals ``5.0``, ``True`` is not ``1``, text is trimmed and its case folded."""
    return equal(given, wanted, fold=True)
