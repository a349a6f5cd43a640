"""Is a golden set fit to gate anything? Findings, each with the case, the key and what to do."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import quote

from evalkit.fingerprint import canonical_json
from evalkit.goldens.card import Card
from evalkit.goldens.duplicates import find_duplicates
from evalkit.goldens.goldenset import GoldenSet
from evalkit.jsonschemas import schema_problems, value_problems
from evalkit.records import Case, Json, ToolSpec

__all__ = ["Finding", "Level", "validate", "validate_case"]

Level: TypeAlias = Literal["error", "warning", "note"]

_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|\d{3}))?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NEAR_LIMIT = 20_000
_TOOL = "urn:evalkit:tool"


@dataclass(frozen=True)
class Finding:
    """Something about a golden set that its owner should know. Errors make the set unusable."""

    level: Level
    rule: str
    message: str
    case_id: str = ""
    key: str = ""


def validate(
    golden: GoldenSet,
    *,
    tools: Iterable[ToolSpec] = (),
    corpus_ids: frozenset[str] = frozenset(),
    today: dt.date | None = None,
) -> list[Finding]:
    """Check a golden set, worst findings first.

    Args:
        golden: The set.
        tools: Tools of the workflow, so that expected calls can be checked against their schemas.
        corpus_ids: Ids of documents that retrieval may find beside those of the case.
        today: For the refresh date.
    """
    known = {tool.name: tool for tool in tools}
    findings = [finding for case in golden.cases for finding in validate_case(case, known, corpus_ids)]
    findings += _duplicates(golden)
    findings += _thin_slices(golden)
    if golden.card is not None:
        findings += _card(golden.card, golden.cases, today or dt.date.today())
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(findings, key=lambda finding: (order[finding.level], finding.rule, finding.case_id, finding.key))


def validate_case(
    case: Case, tools: Mapping[str, ToolSpec] | None = None, corpus_ids: frozenset[str] = frozenset()
) -> Iterator[Finding]:
    """Check one case by itself."""
    yield from _conversation(case)
    yield from _keys(case)
    yield from _documents(case, corpus_ids)
    yield from _facts(case)
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
    if not _LOCALE.fullmatch(case.locale):
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
        if document.date is not None and not _is_date(document.date):
            yield Finding("error", "document-date", f"`{document.date}` is not YYYY-MM-DD", case.id, f"{where}.date")
    for citation in case.expect.citations:
        if citation not in ids and citation not in corpus_ids:
            yield Finding(
                "error", "citation", f"cites `{citation}`, which the case does not hold", case.id, "expect.citations"
            )


def _is_date(text: str) -> bool:
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
    if expect.behaviour == "answer" and not (expect.facts or expect.tools or expect.answer or expect.forbidden):
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
    for name, accepted in arguments.items():
        key = f"expect.tools.{tool.name}.{name}"
        if name not in properties:
            yield Finding("error", "unknown-argument", f"`{tool.name}` has no argument `{name}`", case.id, key)
            continue
        for value in accepted:
            for problem in value_problems(_argument_schema(tool.parameters, name), value):
                yield Finding("error", "argument-schema", problem, case.id, key)


def _argument_schema(parameters: Mapping[str, Json], name: str) -> dict[str, Json]:
    """The schema of one argument; the tool's whole schema is put beside it, so that its references lead somewhere."""
    pointer = quote(name.replace("~", "~0").replace("/", "~1"))
    return {"$defs": {"tool": {**parameters, "$id": _TOOL}}, "$ref": f"{_TOOL}#/properties/{pointer}"}


def _duplicates(golden: GoldenSet) -> Iterator[Finding]:
    if golden.table.num_rows > _NEAR_LIMIT:
        yield Finding("note", "near-duplicates", f"not looked for among more than {_NEAR_LIMIT:,} cases")
        return
    allowed = {frozenset(pair) for pair in golden.card.allow_similar} if golden.card else set()
    for pair in find_duplicates(golden.cases):
        if pair.exact:
            yield Finding("error", "duplicate", f"the same as `{pair.second}`", pair.first, "input")
        elif frozenset((pair.first, pair.second)) not in allowed:
            yield Finding(
                "warning",
                "near-duplicate",
                f"nearly the same input as `{pair.second}` ({pair.similarity:.2f}); list wanted twins in the card",
                pair.first,
                "input",
            )


def _thin_slices(golden: GoldenSet) -> Iterator[Finding]:
    smallest = golden.card.min_slice if golden.card else 8
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for case in golden.cases:
        for key, value in case.slice_keys.items():
            counts[key][value] += 1
    for key, values in sorted(counts.items()):
        if len(values) == golden.table.num_rows:
            continue
        for value, count in sorted(values.items()):
            if count < smallest:
                yield Finding("note", "thin-slice", f"{key}={value} has {count} of at least {smallest} cases", key=key)


def _card(card: Card, cases: tuple[Case, ...], today: dt.date) -> Iterator[Finding]:
    if card.refresh_due < today:
        yield Finding(
            "warning", "refresh-due", f"a refresh was due on {card.refresh_due}; ask {card.owner}", key="refresh_due"
        )
    ids = {case.id for case in cases}
    for pair in card.allow_similar:
        for case_id in pair:
            if case_id not in ids:
                yield Finding(
                    "warning", "allow-similar", f"names `{case_id}`, which is not in the set", key="allow_similar"
                )
