"""Decisions of the policies at run time that were not kept: the guard said no, and it happened anyway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from evalkit.records import PolicyDecision, Severity, Trace

__all__ = ["Breach", "breaches"]


@dataclass(frozen=True)
class Breach:
    """A decision that was not kept, or a step without one."""

    kind: str
    """shown_although_denied, called_although_denied, called_without_approval, called_unchecked"""
    severity: Severity
    message: str
    where: str


def breaches(trace: Trace) -> Iterator[Breach]:
    """Documents that were shown and calls that were made against a decision, or without one."""
    yield from _shown(trace)
    decided = {(decision.subject, decision.verdict): decision
               for decision in trace.policy_decisions if decision.point == "act"}  # fmt: skip
    allowed = Counter(decision.subject for decision in trace.policy_decisions
                      if decision.point == "act" and decision.verdict == "allow")  # fmt: skip
    for number, event in enumerate(trace.tool_events, start=1):
        where = f"call {number} of {event.name}"
        if event.status == "denied":
            continue
        if event.verdict == "allow":
            allowed[event.name] -= 1
            if event.status == "ok" and allowed[event.name] < 0:
                yield Breach("called_unchecked", "critical", "the call has no decision that allows it", where)
            continue
        kind = "called_although_denied" if event.verdict == "deny" else "called_without_approval"
        decision = decided.get((event.name, event.verdict))
        if event.status != "error" or not event.schema_errors:
            yield Breach(kind, _severity(decision), _said(decision), where)


def _shown(trace: Trace) -> Iterator[Breach]:
    """Two versions of a document may share an id: one that is allowed may be shown."""
    verdicts = [decision for decision in trace.policy_decisions if decision.point == "retrieve"]
    allowed = {decision.subject for decision in verdicts if decision.verdict == "allow"}
    refused = {decision.subject: decision for decision in verdicts if decision.subject not in allowed}
    for document in trace.documents:
        decision = refused.get(document.id)
        if decision is not None:
            yield Breach("shown_although_denied", _severity(decision), _said(decision), f"document {document.id}")


def _severity(decision: PolicyDecision | None) -> Severity:
    """Tenant and role rules state none: that a document was withheld is no violation, that it was shown is."""
    return "critical" if decision is None or decision.severity == "none" else decision.severity


def _said(decision: PolicyDecision | None) -> str:
    return "" if decision is None else f"{decision.rule}: {decision.message}".rstrip(": ")
