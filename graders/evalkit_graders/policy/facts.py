"""What a trial has to be judged at each point, and the facts about it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evalkit.records import Case, Document, Json, ToolEvent, Trace
from evalkit_graders.policy.rules import Point

__all__ = ["Subject", "subjects"]


@dataclass(frozen=True)
class Subject:
    """One thing that rules are asked about: the prompt, a document, a tool call or the answer."""

    where: str
    """For people: ``document RET-1``, ``call 2 of issue_refund``."""
    facts: Mapping[str, Json]
    stopped: bool = False
    """A tool call that a policy stopped at run time."""


def subjects(point: Point, case: Case, trace: Trace) -> Iterator[Subject]:
    """All things at a point with their facts."""
    common = _common(case, trace)
    if point == "prompt":
        yield Subject("prompt", {**common, **_prompt(trace)})
    elif point == "document":
        known = {document.id: document for document in case.context}
        for shown in trace.documents:
            facts = {f"document.{name}": getattr(shown, name)
                     for name in ("id", "title", "text", "date", "kind", "trusted")}  # fmt: skip
            facts |= _owners(known.get(shown.id))
            yield Subject(f"document {shown.id}", {**common, **facts, "text": f"{shown.title}\n{shown.text}"})
    elif point == "tool_call":
        effects = {tool.name: tool.side_effect for tool in case.tools}
        for number, event in enumerate(trace.tool_events, start=1):
            facts = {**common, **_call(event), "side_effect": effects.get(event.name)}
            yield Subject(f"call {number} of {event.name}", facts, event.status == "denied")
    else:
        yield Subject("answer", {**common, "text": trace.answer})


def _common(case: Case, trace: Trace) -> dict[str, Json]:
    """What can be asked at every point."""
    facts: dict[str, Json] = {f"variables.{name}": value for name, value in case.variables.items()}
    return facts | {
        "role": case.role,
        "tenant": case.tenant,
        "locale": case.locale,
        "intent": trace.intent or case.intent,
        "risk": trace.risk or case.risk,
        "approved": case.variables.get("approved") is True,
        "question": case.question,
        "answer": trace.answer,
        "route": trace.route[-1].route if trace.route else None,
        "documents": [document.id for document in trace.documents],
        "tools": [event.name for event in trace.tool_events if event.status in ("ok", "not_run")],
    }


def _prompt(trace: Trace) -> dict[str, Json]:
    facts: dict[str, Json] = {}
    for role in ("system", "user", "assistant", "tool"):
        turns = [message.content for message in trace.messages if message.role == role]
        facts[role] = "\n".join(turns) if turns else None
    facts["text"] = "\n".join(message.content for message in trace.messages) if trace.messages else None
    return facts


def _owners(document: Document | None) -> dict[str, Json]:
    """Tenant and roles stand in the case only; a document of a corpus has none here."""
    return {} if document is None else {"document.tenant": document.tenant, "document.roles": list(document.roles)}


def _call(event: ToolEvent) -> dict[str, Json]:
    facts: dict[str, Json] = {"tool": event.name, "verdict": event.verdict, "status": event.status,
                              "text": json.dumps(event.arguments, ensure_ascii=False, sort_keys=True)}  # fmt: skip
    if isinstance(event.arguments, Mapping):
        facts |= {f"arguments.{name}": value for name, value in event.arguments.items()}
    return facts
