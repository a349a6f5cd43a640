"""promptfoo: the tests of a configuration or of a test file, in YAML, JSON or JSON lines.

The user's message is the var ``question``, ``query``, ``input``, ``message``, ``prompt`` or
``user_input``, in this order, or the only var there is; ``context`` and ``documents`` become
context documents, other vars become variables of the case. ``defaultTest`` is merged in as
promptfoo does it, and a var that is a list of texts makes one case for each text. Nothing is
executed, no other file is opened, no template is rendered.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit.goldens.importers import fields
from evalkit.goldens.importers.assemble import Draft
from evalkit.goldens.importers.notes import Notes
from evalkit.goldens.importers.promptfoo_checks import Checks, is_template
from evalkit.goldens.importers.yaml_tree import YamlTree, parse_yaml
from evalkit.goldens.source import Place, parse_json, read_json_lines, read_text
from evalkit.records import Case, Document, Json, Message

__all__ = ["read"]

_MESSAGE_VARS = ("question", "query", "input", "message", "prompt", "user_input")
_CONTEXT_VARS = ("context", "documents")
_PROMPT_NAMES = frozenset({"documents", "question", "role", "tenant", "locale", "intent", "risk"})
_MAX_EXPANDED = 10_000


@dataclass(frozen=True)
class _Suite:
    """The tests of a file, what they have in common, and where they stand."""

    tree: YamlTree
    tests: list[Json]
    way: tuple[str, ...]
    defaults: Mapping[str, Json]
    templates: Mapping[str, Json]

    def place(self, index: int) -> Place:
        place = self.tree.place(*self.way, index)
        return Place(place.file, place.line, f"tests[{index}]")


def read(path: Path, notes: Notes) -> list[Draft]:
    """Cases from promptfoo's tests.

    Raises:
        GoldenSetError: when the file holds no tests, one has no user message, or one needs another file.
    """
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return [
            draft
            for index, (place, test) in enumerate(read_json_lines(path))
            for draft in _test_to_drafts(test, {}, {}, place.at("tests", index), notes)
        ]
    suite = _suite(path, notes)
    return [
        draft
        for index, test in enumerate(suite.tests)
        for draft in _test_to_drafts(test, suite.defaults, suite.templates, suite.place(index), notes)
    ]


def _suite(path: Path, notes: Notes) -> _Suite:
    source = read_text(path)
    if path.suffix.lower() == ".json":
        tree = YamlTree(path, parse_json(source, Place(path)))
    else:
        tree = parse_yaml(source, path)
    data = tree.data
    if isinstance(data, list):
        return _Suite(tree, data, (), {}, {})
    if not isinstance(data, dict) or "tests" not in data:
        keys = ", ".join(data) if isinstance(data, dict) else data
        raise Place(path, key="tests").error("no tests here", keys, fix="give the file with the list of tests")
    tests = data["tests"]
    if not isinstance(tests, list):
        raise tree.place("tests").error(
            "the tests stand elsewhere", tests, fix="import that file itself, or write the tests here as a list"
        )
    if data.get("scenarios"):
        notes.add("`scenarios` were not taken over: write them as tests")
    if data.keys() & {"prompts", "providers", "targets"}:
        notes.add("prompts and providers were not taken over: they belong to the workflow")
    defaults = data.get("defaultTest") or {}
    if not isinstance(defaults, dict):
        raise tree.place("defaultTest").error("this must be an object", defaults, fix="paste that file's content here")
    templates = data.get("assertionTemplates") or {}
    return _Suite(tree, tests, ("tests",), defaults, templates if isinstance(templates, dict) else {})


def _test_to_drafts(
    test: Json, defaults: Mapping[str, Json], templates: Mapping[str, Json], place: Place, notes: Notes
) -> Iterator[Draft]:
    if not isinstance(test, dict) or "path" in test:
        raise place.error("a test must stand here itself", test, fix="paste the tests of that file here, or import it")
    options = {**_object(defaults, "options", place), **_object(test, "options", place)}
    given = {**_object(defaults, "vars", place), **_object(test, "vars", place)}
    metadata = {**_object(defaults, "metadata", place), **_object(test, "metadata", place)}
    inherited = [] if options.get("disableDefaultAsserts") is True else _list(defaults, "assert", place)
    checks = Checks(templates, notes)
    checks.take(inherited, place.at("defaultTest", "assert"))
    checks.take(_list(test, "assert", place), place.at("assert"))
    _note_options(test, defaults, options, notes)
    combinations = _combinations(given, options, place, notes)
    described, extra = _metadata(metadata, place.at("metadata"))
    if len(combinations) > 1:
        described.pop("id", None)
    description = test.get("description")
    for values in combinations:
        message, context, variables = _split_vars(values, place.at("vars"), notes)
        yield Draft(
            Case(
                id=described.get("id", ""),
                input=(Message("user", message),),
                expect=checks.expectation(place),
                context=context,
                variables=variables,
                notes="" if description is None else fields.text(description, place.at("description")),
                **{key: value for key, value in described.items() if key != "id"},
            ),
            place,
            extra,
        )


def _object(test: Mapping[str, Json], key: str, place: Place) -> dict[str, Json]:
    value = test.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise place.at(key).error("this must be an object", value, fix="paste that file's content here")
    return value


def _list(test: Mapping[str, Json], key: str, place: Place) -> list[Json]:
    value = test.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise place.at(key).error("this must be a list", value, fix="write a list, each item with a dash")
    return value


def _note_options(
    test: Mapping[str, Json], defaults: Mapping[str, Json], options: Mapping[str, Json], notes: Notes
) -> None:
    if test.get("threshold", defaults.get("threshold")) is not None:
        notes.count(
            "the threshold of 1 test was not taken over: all that it expects must hold",
            "the thresholds of # tests were not taken over: all that they expect must hold",
        )
    if options.keys() & {"transform", "postprocess", "transformVars"}:
        notes.count(
            "1 test transforms its vars or its output: here both stand as they are",
            "# tests transform their vars or their output: here both stand as they are",
        )
    if options.keys() & {"prefix", "suffix"}:
        notes.add("`prefix` and `suffix` were not taken over: they belong to the prompt")
    if test.get("assertScoringFunction", defaults.get("assertScoringFunction")) is not None:
        notes.add("`assertScoringFunction` was not taken over: all that a test expects must hold")


def _combinations(
    given: Mapping[str, Json], options: Mapping[str, Json], place: Place, notes: Notes
) -> list[dict[str, Json]]:
    """One set of vars a case: a list of texts stands for each of its texts in turn."""
    for name, value in given.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and item.startswith("file://"):
                raise place.at("vars", name).error("the value stands in another file", item, fix="paste it here")
    spread = {
        name: value
        if isinstance(value, list) and value and isinstance(value[0], str) and not options.get("disableVarExpansion")
        else [value]
        for name, value in given.items()
    }
    size = math.prod(len(values) for values in spread.values())
    if size > _MAX_EXPANDED:
        raise place.at("vars").error(f"the lists make {size:,} cases of one test", fix="write the cases that matter")
    if size > 1:
        notes.count(
            "1 test with lists among its vars became one case for each combination",
            "# tests with lists among their vars became one case for each combination",
        )
    return [dict(zip(spread, values, strict=True)) for values in itertools.product(*spread.values())]


def _split_vars(
    values: Mapping[str, Json], place: Place, notes: Notes
) -> tuple[str, tuple[Document, ...], dict[str, Json]]:
    """The user's message, the context documents, and the variables."""
    names = {name.casefold(): name for name in [*values][::-1]}
    context = [names[name] for name in _CONTEXT_VARS if name in names]
    others = [name for name in values if name not in context]
    message = next((names[name] for name in _MESSAGE_VARS if name in names), others[0] if len(others) == 1 else None)
    if message is None:
        raise place.error(
            "no var holds the user's message",
            ", ".join(others),
            fix=f"name it one of: {', '.join(_MESSAGE_VARS)}",
        )
    found: list[Document] = []
    for name in context:
        if not fields.is_missing(values[name]):
            found += fields.documents(values[name], place.at(name), notes)
    if len(context) > 1:
        found = [
            replace(item, id=f"doc-{index}") if item.id.startswith("doc-") else item
            for index, item in enumerate(found, start=1)
        ]
    variables = {name: values[name] for name in others if name != message}
    for name in variables.keys() & _PROMPT_NAMES:
        notes.add(f"the var `{name}` became a variable, but in a prompt `{name}` is the case's own")
    for name, value in values.items():
        if isinstance(value, str) and is_template(value):
            notes.add(f"the var `{fields.named(name)}` holds a template, which stays as it is written")
    return fields.text(values[message], place.at(message)), tuple(found), variables


def _metadata(metadata: Mapping[str, Json], place: Place) -> tuple[dict[str, Any], dict[str, Json]]:
    """Fields of the case, and what may become slices."""
    names = fields.attribute_names(metadata)
    described = fields.attributes(metadata, names, place)
    taken = set(names.values())
    return described, {name: value for name, value in metadata.items() if name not in taken}
