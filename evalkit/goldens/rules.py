"""The rules that each case of a golden set is held against by itself."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias
from urllib.parse import quote

from evalkit.fingerprint import canonical_json
from evalkit.goldens.matches import match_problems
from evalkit.jsonschemas import schema_problems, value_problems
from evalkit.records import Case, Json, ToolSpec

__all__ = ["Finding", "Level", "is_date", "is_locale", "validate_case"]

Level: TypeAlias = Literal["error", "warning", "note"]

_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|\d{3}))?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TOOL = "urn:evalkit:tool"


@dataclass(frozen=True)
class Finding:
    """Something about a golden set that its owner should know. Errors make the set unusable."""

    level: Level
    rule: str
    message: str
    case_id: str = ""
    key: str = ""


def validate_case(
    case: Case, tools: Mapping[str, ToolSpec] | None = None, corpus_ids: frozenset[str] = frozenset()
) -> Iterator[Finding]:
    """Check one case by itself."""
    yield from _conversation(case)
    yield from _keys(case)
    yield from _documents(case, corpus_ids)
    yield from _facts(case)
    for found in match_problems(case.expect.match):
        yield Finding("error", "match", f"{found.message}: {found.fix}", case.id, f"expect.match.{found.key}")
    broken: set[str] = set()
    for index, tool in enumerate(case.tools):
        for problem in schema_problems(tool.parameters):
            broken.add(tool.name)
            yield Finding("error", "tool-schema", problem, case.id, f"tools[{index}].parameters")
    yield from _tool_expectation(case, tools or {}, broken)


def _conversation(case: Case) -> Iterator[Finding]:
    if not case.input:
        yield Finding("error", "no-input", "the case has no message", case.id, "input")
    elif case.input[-1].role not in ("user", "tool"):
        yield Finding("error", "last-turn", "the last message must come from the user or a tool", case.id, "input")
    for index, turn in enumerate(case.input):
        if not turn.content.strip() and not turn.tool_calls:
            yield Finding("error", "empty-turn", "the message is empty", case.id, f"input[{index}]")


def _keys(case: Case) -> Iterator[Finding]:
    if not is_locale(case.locale):
        yield Finding("error", "locale", f"`{case.locale}` is not a language tag such as de-DE", case.id, "locale")
    if not case.intent:
        yield Finding("warning", "no-intent", "the case names no intent", case.id, "intent")
    if case.critical and case.risk in ("low", "medium"):
        yield Finding("warning", "critical-risk", f"a critical case with risk `{case.risk}`", case.id, "risk")


def _documents(case: Case, corpus_ids: frozenset[str]) -> Iterator[Finding]:
    ids = Counter(document.id for document in case.context)
    for document_id, count in ids.items():
        if count > 1:
            yield Finding("error", "document-id", f"document `{document_id}` occurs {count} times", case.id, "context")
    for index, document in enumerate(case.context):
        where = f"context[{index}]"
        if not document.text.strip():
            yield Finding("error", "empty-document", "the document has no text", case.id, where)
        if document.date is not None and not is_date(document.date):
            yield Finding("error", "document-date", f"`{document.date}` is not YYYY-MM-DD", case.id, f"{where}.date")
    for citation in case.expect.citations:
        if citation not in ids and citation not in corpus_ids:
            yield Finding(
                "error", "citation", f"cites `{citation}`, which the case does not hold", case.id, "expect.citations"
            )


def is_locale(text: str) -> bool:
    """Whether a text is a language tag such as ``de-DE``."""
    return _LOCALE.fullmatch(text) is not None


def is_date(text: str) -> bool:
    """Whether a text is a day that there is, as YYYY-MM-DD."""
    if not _DATE.fullmatch(text):
        return False
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _facts(case: Case) -> Iterator[Finding]:
    expect = case.expect
    for index, wordings in enumerate(expect.facts):
        if not wordings or not all(wording.strip() for wording in wordings):
            yield Finding("error", "empty-fact", "a fact needs at least one wording", case.id, f"expect.facts[{index}]")
        for wording in wordings:
            if any(wording.casefold() == bad.casefold() for bad in expect.forbidden):
                yield Finding(
                    "error", "contradiction", f"`{wording}` is both required and forbidden", case.id, "expect.facts"
                )
    stated = expect.facts or expect.tools or expect.answer or expect.forbidden or expect.match
    if expect.behaviour == "answer" and not stated:
        yield Finding(
            "warning", "nothing-expected", "an answer is expected but nothing of it is checked", case.id, "expect"
        )
    yield from _unsupported_facts(case)


def _unsupported_facts(case: Case) -> Iterator[Finding]:
    """A fact that stands in no document, tool result or message cannot be answered from them."""
    if not case.context and not case.recorded_tools:
        return
    source = " ".join(
        [turn.content for turn in case.input]
        + [f"{document.title} {document.text} {document.date or ''}" for document in case.context]
        + [text for tool in case.recorded_tools for text in (*_texts(tool.result), tool.error or "")]
    )
    haystack = _squash(source)
    for index, wordings in enumerate(case.expect.facts):
        if wordings and not any(_squash(wording) in haystack for wording in wordings):
            yield Finding(
                "note",
                "fact-source",
                f"`{wordings[0]}` stands in no source of the case",
                case.id,
                f"expect.facts[{index}]",
            )


def _texts(value: Json) -> Iterator[str]:
    """All that is written in a JSON value, keys included, in its order."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    else:
        yield value if isinstance(value, str) else canonical_json(value).decode()


def _squash(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def _tool_expectation(case: Case, tools: Mapping[str, ToolSpec], broken: AbstractSet[str]) -> Iterator[Finding]:
    known = {tool.name: tool for tool in case.tools} or tools
    expected = case.expect.tools
    if expected is None:
        return
    if not expected.alternatives and not expected.forbidden:
        yield Finding("error", "no-alternatives", "name the right calls, or [[]] for none", case.id, "expect.tools")
    calls = [call for path in expected.alternatives for call in path]
    for call in calls:
        if call.name in expected.forbidden:
            message = f"`{call.name}` is both right and forbidden"
            yield Finding("error", "contradiction", message, case.id, "expect.tools")
    if not known:
        return
    recorded = {tool.name for tool in case.recorded_tools}
    if expected.alternatives and not any(all(c.name in recorded for c in path) for path in expected.alternatives):
        lacking = next(call.name for call in calls if call.name not in recorded)
        message = f"`{lacking}` is expected but answers `not found`: add what it answers"
        yield Finding("warning", "unrecorded-tool", message, case.id, "recorded_tools")
    for name in sorted({call.name for call in calls} | {tool.name for tool in case.recorded_tools}):
        if name not in known:
            yield Finding("error", "unknown-tool", f"no tool `{name}`", case.id, "expect.tools")
    for call in calls:
        if call.name in known and call.name not in broken:
            yield from _expected_arguments(case, known[call.name], call.arguments)


def _expected_arguments(case: Case, tool: ToolSpec, arguments: Mapping[str, tuple[object, ...]]) -> Iterator[Finding]:
    properties = tool.parameters.get("properties", {})
    parameters = canonical_json(tool.parameters)
    for name, accepted in arguments.items():
        key = f"expect.tools.{tool.name}.{name}"
        if name not in properties:
            yield Finding("error", "unknown-argument", f"`{tool.name}` has no argument `{name}`", case.id, key)
            continue
        for value in accepted:
            for problem in _argument_problems(parameters, name, canonical_json(value)):
                yield Finding("error", "argument-schema", problem, case.id, key)


@lru_cache(maxsize=4096)
def _argument_problems(parameters: bytes, name: str, value: bytes) -> tuple[str, ...]:
    """Why a value is none for an argument, both in JSON; the same few come again in case after case."""
    return tuple(value_problems(_argument_schema(json.loads(parameters), name), json.loads(value)))


def _argument_schema(parameters: Mapping[str, Json], name: str) -> dict[str, Json]:
    """The schema of one argument; the tool's whole schema is put beside it, so that its references lead somewhere."""
    pointer = quote(name.replace("~", "~0").replace("/", "~1"))
    return {"$defs": {"tool": {**parameters, "$id": _TOOL}}, "$ref": f"{_TOOL}#/properties/{pointer}"}
