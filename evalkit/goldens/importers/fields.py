"""Foreign values as the parts of a case: texts, facts, documents, tools, expected calls.

A value comes from a table cell, a YAML file or a JSON object. Where a table can only hold
text, a list is written as JSON, or with ``;`` between the texts.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar, get_args

from evalkit.goldens.importers.notes import Notes
from evalkit.goldens.source import Place, check_data, decode_record, parse_json
from evalkit.records import Behaviour, Document, ExpectedCall, Json, Risk, ToolExpectation, ToolSpec
from evalkit.text import excerpt

__all__ = [
    "ATTRIBUTES",
    "attribute_names",
    "attributes",
    "behaviour",
    "call_arguments",
    "documents",
    "expected_tools",
    "facts",
    "is_missing",
    "named",
    "plain_value",
    "text",
    "texts",
    "tool_specs",
]

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "case_id", "item_id"),
    "locale": ("locale", "language"),
    "intent": ("intent", "category", "type"),
    "risk": ("risk",),
    "critical": ("critical",),
    "role": ("role",),
    "tenant": ("tenant",),
    "cluster": ("cluster",),
    "tags": ("tags",),
}
"""Fields of a case that any format may name, with the names they go by; the first that is there counts."""

_YES = frozenset({"true", "yes", "y", "1"})
_NO = frozenset({"false", "no", "n", "0"})
_JSON_LIST = re.compile(r'\s*\[\s*(?:["{\[\]]|$)')
_DOCUMENT_KEYS = frozenset(Document.__dataclass_fields__)
_BEHAVIOURS: tuple[Behaviour, ...] = get_args(Behaviour)
_RISKS: tuple[Risk, ...] = get_args(Risk)
_ChoiceT = TypeVar("_ChoiceT", bound=str)


def attribute_names(names: Iterable[str]) -> dict[str, str]:
    """For each of :data:`ATTRIBUTES` the first of its names that is among ``names``."""
    there = set(names)
    found = {field: [name for name in known if name in there] for field, known in ATTRIBUTES.items()}
    return {field: known[0] for field, known in found.items() if known}


def is_missing(value: Json) -> bool:
    """Whether a cell or key holds nothing: null, or blank text."""
    return value is None or (isinstance(value, str) and not value.strip())


def plain_value(value: Any, place: Place) -> Json:
    """A cell of a table as plain data: dates in ISO form, decimals as written, structs without their nulls.

    Raises:
        GoldenSetError: for NaN, bytes and other things that JSON does not have.
    """
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return [plain_value(item, place.at(index)) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: plain_value(item, place.at(key)) for key, item in value.items() if item is not None}
    check_data(value, place.at)
    return value


def text(value: Json, place: Place) -> str:
    """A text. Numbers and booleans are taken as they would be written; a whole float without its ``.0``.

    Raises:
        GoldenSetError: for lists and objects.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, (int, float)):
        return str(value)
    raise place.error("this must be a text", value, fix="write one text here")


def _listed(value: Json, place: Place, separators: str) -> list[Json]:
    """The items of a list, of a JSON list in a text, or of a text with separators."""
    if isinstance(value, list):
        return value
    if isinstance(value, str) and value.lstrip().startswith("["):
        data: list[Json] = parse_json(value, place)
        return data
    written = text(value, place)
    return [part.strip() for part in re.split(f"[{separators}]", written) if part.strip()]


def texts(value: Json, place: Place, separators: str = ";") -> tuple[str, ...]:
    """Several texts: a list, a JSON list, or a text with ``;`` between them.

    Raises:
        GoldenSetError: for items that are not texts.
    """
    items = _listed(value, place, separators)
    for index, item in enumerate(items):
        if is_missing(item):
            raise place.at(index).error("an empty text in the list", value, fix="write the text, or leave it out")
    return tuple(text(item, place.at(index)) for index, item in enumerate(items))


def facts(value: Json, place: Place) -> tuple[tuple[str, ...], ...]:
    """Facts: as :func:`texts`, and an item that is itself a list holds the accepted wordings of one fact.

    Raises:
        GoldenSetError: for items that are neither.
    """
    result = []
    for index, item in enumerate(_listed(value, place, ";")):
        here = place.at(index)
        wordings = item if isinstance(item, list) else [item]
        result.append(tuple(text(wording, here.at(n)) for n, wording in enumerate(wordings)))
    return tuple(result)


def documents(value: Json, place: Place, notes: Notes) -> tuple[Document, ...]:
    """Context documents: a text, a list of texts, or a list of objects with the keys of a document.

    A text that starts like a JSON list is read as one. Documents without an id are called
    ``doc-1``, ``doc-2`` and so on.

    Raises:
        GoldenSetError: for anything else.
    """
    if isinstance(value, str) and _JSON_LIST.match(value):
        value = parse_json(value, place)
    items = value if isinstance(value, list) else [value]
    return tuple(_document(item, index, place.at(index), notes) for index, item in enumerate(items))


def _document(value: Json, index: int, place: Place, notes: Notes) -> Document:
    if not isinstance(value, dict):
        return Document(id=f"doc-{index + 1}", text=text(value, place))
    for key in value.keys() - _DOCUMENT_KEYS:
        notes.add(f"the key `{named(key)}` of context documents was not taken over")
    known = {key: item for key, item in value.items() if key in _DOCUMENT_KEYS and item is not None}
    if "text" not in known:
        raise place.error("a document needs its `text`", value, fix='write {"id": "…", "text": "…"}, or the text alone')
    for key in ("id", "text", "title", "date", "kind", "tenant"):
        if key in known:
            known[key] = text(known[key], place.at(key))
    return decode_record(Document, {"id": f"doc-{index + 1}", **known}, place)


def behaviour(value: Json, place: Place) -> Behaviour:
    """What a right answer does.

    Raises:
        GoldenSetError: naming the behaviours there are.
    """
    return _choice(value, place, _BEHAVIOURS)


def _choice(value: Json, place: Place, known: tuple[_ChoiceT, ...]) -> _ChoiceT:
    written = text(value, place).strip().casefold()
    for item in known:
        if item == written:
            return item
    raise place.error("this is not one of the known values", value, fix=f"write one of: {', '.join(known)}")


def _boolean(value: Json, place: Place) -> bool:
    written = text(value, place).strip().casefold()
    if written not in _YES | _NO:
        raise place.error("this must be yes or no", value, fix="write true or false")
    return written in _YES


def attributes(values: Mapping[str, Json], names: Mapping[str, str], place: Place) -> dict[str, Any]:
    """The fields of a case that describe it.

    Args:
        values: Values by their own names.
        names: For each key of :data:`ATTRIBUTES` that is there, its name in ``values``.
        place: Where the values stand.

    Raises:
        GoldenSetError: for a value that its field cannot hold.
    """
    result: dict[str, Any] = {}
    for name, own in names.items():
        value, here = values.get(own), place.at(own)
        if is_missing(value):
            continue
        if name == "risk":
            result[name] = _choice(value, here, _RISKS)
        elif name == "critical":
            result[name] = _boolean(value, here)
        elif name == "tags":
            result[name] = texts(value, here, ";,")
        elif name == "id":
            result[name] = text(value, here)
        elif name == "locale":
            result[name] = _locale(text(value, here))
        else:
            result[name] = text(value, here).strip()
    return result


def _locale(written: str) -> str:
    """The usual case and separator: ``DE_de`` is ``de-DE``."""
    language, *rest = written.strip().replace("_", "-").split("-")
    shaped = [part.upper() if len(part) <= 3 else part.title() for part in rest]
    return "-".join([language.lower(), *shaped])


def _json_in(value: Json, place: Place) -> Json:
    return parse_json(value, place) if isinstance(value, str) else value


def tool_specs(value: Json, place: Place) -> tuple[ToolSpec, ...]:
    """Tools of a case, in the forms of the common APIs: ``parameters`` or ``input_schema``, wrapped or not.

    Raises:
        GoldenSetError: for anything that is not a list of tool schemas.
    """
    items = _json_in(value, place)
    if not isinstance(items, list):
        raise place.error("this must be a list of tool schemas", value, fix='write [{"name": "…", "parameters": {…}}]')
    return tuple(_tool_spec(item, place.at(index)) for index, item in enumerate(items))


def _tool_spec(value: Json, place: Place) -> ToolSpec:
    inner = value.get("function", value) if isinstance(value, dict) else value
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise place.error("a tool schema needs a `name`", value, fix='write {"name": "…", "parameters": {…}}')
    schema: Json = next((inner[key] for key in ("parameters", "input_schema") if inner.get(key) is not None), {})
    spec = {
        "name": inner["name"],
        "description": inner.get("description") or "",
        "parameters": _json_in(schema, place.at("parameters")),
        "side_effect": inner.get("side_effect") or "read",
    }
    return decode_record(ToolSpec, spec, place)


def expected_tools(value: Json, tools: tuple[ToolSpec, ...], place: Place) -> ToolExpectation:
    """Which calls are right: a list of calls in any order (``[]``: none at all), or evalkit's own object form.

    A call is ``{"name": …, "arguments": {…}}``, bare or as an API returns it; each argument is the
    one accepted value. A bare name accepts any arguments of that tool's schema, which must be there.

    Raises:
        GoldenSetError: for anything else.
    """
    data = _json_in(value, place)
    if isinstance(data, dict) and not data.keys() & {"name", "function"}:
        return decode_record(ToolExpectation, data, place)
    calls = data if isinstance(data, list) else [data]
    known = {tool.name: tool for tool in tools}
    return ToolExpectation((tuple(_expected_call(call, known, place.at(n)) for n, call in enumerate(calls)),))


def _expected_call(value: Json, tools: Mapping[str, ToolSpec], place: Place) -> ExpectedCall:
    inner = value.get("function", value) if isinstance(value, dict) else value
    name = inner.get("name") if isinstance(inner, dict) else inner
    if not isinstance(name, str) or not name:
        raise place.error("an expected call needs a `name`", value, fix='write {"name": "…", "arguments": {…}}')
    if isinstance(inner, dict) and inner.get("arguments") is not None:
        given = call_arguments(inner["arguments"], place.at("arguments"))
        return ExpectedCall(name, {key: (item,) for key, item in given.items()})
    if name not in tools:
        raise place.error(
            f"the call of `{excerpt(name, 60)}` names no arguments",
            value,
            fix='give them, {"name": "…", "arguments": {…}}, or the schema of the tool in `tools`',
        )
    return ExpectedCall(name, free=tuple(tools[name].parameters.get("properties", {})))


def call_arguments(value: Json, place: Place) -> dict[str, Json]:
    """The arguments of a call, as an object or as the JSON text of one.

    Raises:
        GoldenSetError: for anything else.
    """
    data = _json_in(value, place)
    if not isinstance(data, dict):
        raise place.error("the arguments of a call are an object", value, fix='write {"argument": "value"}')
    return data


def named(name: str) -> str:
    """A foreign name, fit to stand in a note."""
    return excerpt(name, 60)
