"""Samples of openai/evals, and rows of OpenAI's hosted evals: JSON lines.

``{"input": …, "ideal": …}``, where the input is a text or a list of chat messages and the ideal
a text or a list of accepted wordings; or ``{"item": {…}}`` with the question under ``input``,
``question``, ``query`` or ``prompt`` (or as the only other text), and the right answer under ``ideal``,
``label``, ``ground_truth``, ``expected``, ``correct_label``, ``reference_answer`` or ``reference``.
System messages become the variable ``system``: the prompt is the workflow's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.goldens.importers import fields
from evalkit.goldens.importers.assemble import Draft
from evalkit.goldens.importers.notes import Notes
from evalkit.goldens.source import Place, read_json_lines
from evalkit.records import Case, Expectation, Json, Message, ToolCall

__all__ = ["read"]

_INPUTS = ("input", "question", "query", "prompt")
_IDEALS = ("ideal", "label", "ground_truth", "expected", "correct_label", "reference_answer", "reference")
_SYSTEM = ("system", "developer")
_TEXT_PARTS = ("text", "input_text", "output_text")


def read(path: Path, notes: Notes) -> list[Draft]:
    """Cases from samples.

    Raises:
        GoldenSetError: for a sample without an input, or with messages that a case cannot hold.
    """
    return [_sample(sample, place, notes) for place, sample in read_json_lines(path)]


def _sample(sample: Mapping[str, Json], place: Place, notes: Notes) -> Draft:
    hosted = "item" in sample
    body = sample["item"] if hosted else sample
    here = place.at("item") if hosted else place
    if not isinstance(body, dict):
        raise here.error("an item is an object", body, fix='write {"item": {"input": "…", "ideal": "…"}}')
    if hosted and "sample" in sample:
        notes.add("the recorded outputs under `sample` were not taken over")
    asked, ideal = _keys(body, here, hosted=hosted)
    names = fields.attribute_names(body.keys() - {asked, ideal})
    described = fields.attributes(body, names, here)
    turns, system = _conversation(body[asked], here.at(asked), notes)
    case = Case(
        id=described.pop("id", ""),
        input=turns,
        expect=_expectation(body[ideal], here.at(ideal)) if ideal else Expectation(),
        variables={"system": system} if system else {},
        **described,
    )
    taken = {asked, ideal, *names.values()}
    return Draft(case, place, {name: value for name, value in body.items() if name not in taken})


def _keys(body: Mapping[str, Json], place: Place, *, hosted: bool) -> tuple[str, str | None]:
    """The key of what is asked and the key of the right answer."""
    ideal = next((name for name in (_IDEALS if hosted else _IDEALS[:1]) if body.get(name) is not None), None)
    asked = next((name for name in (_INPUTS if hosted else _INPUTS[:1]) if body.get(name) is not None), None)
    if asked is None and hosted:
        described = {name for names in fields.ATTRIBUTES.values() for name in names}
        others = [name for name, value in body.items() if name not in {ideal, *described} and isinstance(value, str)]
        asked = others[0] if len(others) == 1 else None
    if asked is None:
        names = ", ".join(_INPUTS if hosted else _INPUTS[:1])
        raise place.at("input").error("nothing is asked", ", ".join(body), fix=f"name the question one of: {names}")
    return asked, ideal


def _expectation(value: Json, place: Place) -> Expectation:
    items = value if isinstance(value, list) else [value]
    wordings = tuple(fields.text(item, place.at(index)) for index, item in enumerate(items))
    if not wordings or not all(wording.strip() for wording in wordings):
        raise place.error("the right answer is empty", value, fix="write it, or remove the key")
    return Expectation(facts=(wordings,), answer=wordings[0])


def _conversation(value: Json, place: Place, notes: Notes) -> tuple[tuple[Message, ...], str]:
    """The turns of the conversation, and the text of its system messages."""
    if not isinstance(value, list):
        return (Message("user", fields.text(value, place)),), ""
    turns: list[Message] = []
    system: list[str] = []
    for index, item in enumerate(value):
        here = place.at(index)
        if not isinstance(item, dict) or not isinstance(item.get("role"), str):
            raise here.error("a message needs a `role`", item, fix='write {"role": "user", "content": "…"}')
        if item["role"] in _SYSTEM:
            name = item.get("name")
            system.append(f"{name}: {_content(item, here)}" if isinstance(name, str) else _content(item, here))
        else:
            turns.append(_turn(item, here))
    if system and not turns:
        notes.count(
            "1 sample holds system messages only: the last one is taken as the user's message",
            "# samples hold system messages only: the last one is taken as the user's message",
        )
        turns.append(Message("user", system.pop()))
    if system:
        notes.count(
            "the system messages of 1 sample became its variable `system`: the prompt is the workflow's",
            "the system messages of # samples became their variable `system`: the prompt is the workflow's",
        )
    return tuple(turns), "\n\n".join(system)


def _turn(item: Mapping[str, Any], place: Place) -> Message:
    role = item["role"]
    if role not in ("user", "assistant", "tool"):
        raise place.at("role").error("an unknown role", role, fix="write system, user, assistant or tool")
    called = item.get("tool_call_id")
    return Message(
        role,
        _content(item, place),
        _tool_calls(item.get("tool_calls") or [], place.at("tool_calls")),
        None if called is None else fields.text(called, place.at("tool_call_id")),
    )


def _content(item: Mapping[str, Json], place: Place) -> str:
    """The text of a message; several text parts become paragraphs."""
    value = item.get("content")
    if value is None:
        return ""
    if not isinstance(value, list):
        return fields.text(value, place.at("content"))
    found = []
    for index, part in enumerate(value):
        if not isinstance(part, dict) or part.get("type") not in _TEXT_PARTS:
            raise place.at("content", index).error("only texts can be taken over", part, fix="leave the sample out")
        found.append(fields.text(part.get("text"), place.at("content", index, "text")))
    return "\n\n".join(found)


def _tool_calls(value: Json, place: Place) -> tuple[ToolCall, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise place.error("this must be a list of calls", value, fix='write [{"function": {"name": "…"}}]')
    calls = []
    for index, item in enumerate(value):
        here = place.at(index)
        inner = item.get("function", item) if isinstance(item, dict) else item
        if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
            raise here.error("a call needs a `name`", item, fix='write {"function": {"name": "…", "arguments": "{}"}}')
        arguments = inner.get("arguments")
        given = {} if arguments is None else fields.call_arguments(arguments, here.at("arguments"))
        calls.append(ToolCall(inner["name"], given, fields.text(item.get("id") or "", here.at("id"))))
    return tuple(calls)
