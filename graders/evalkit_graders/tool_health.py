"""How many tool calls of a trial went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from evalkit.fingerprint import canonical_json
from evalkit.grading import Grade, Grader
from evalkit.records import Case, Json, ToolEvent, Trace

__all__ = ["ToolHealth"]


@dataclass(frozen=True)
class ToolHealth(Grader):
    """Share of tool calls that were malformed, denied, ended in an error, or repeated a call in vain.

    Malformed are calls whose arguments do not fit the tool's schema or are no object. A call is repeated in vain when
    an equal one before it had failed or had brought the same result. A call counts once, by the first of these.

    Args:
        max_share: A trial with a larger share fails; without it the grader only measures.
    """

    name: ClassVar[str] = "tool_health"
    version: ClassVar[str] = "1"
    quality: ClassVar[bool] = False
    blind: ClassVar[tuple[str, ...]] = (
        "It does not know whether a call was needed or its arguments right: that is `tool_call`.",
        "A call that asks for a state on purpose, again and again, counts as repeated in vain while nothing changes.",
        "An error that a tool returns as an ordinary result is none.",
    )

    max_share: float | None = None

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """The value is a share; not applicable where no tool was called."""
        if not trace.tool_events:
            return None
        before: dict[bytes, set[bytes]] = {}
        faults: list[tuple[str, str]] = []
        for event in trace.tool_events:
            fault = _fault(event) or _repeated(event, before)
            if fault:
                faults.append((fault, event.name))
            before.setdefault(_asked(event), set()).add(_outcome(event))
        share = len(faults) / len(trace.tool_events)
        passed = None if self.max_share is None else share <= self.max_share
        kinds = Counter(kind for kind, _ in faults)
        evidence: dict[str, Json] = {"calls": len(trace.tool_events), **dict(sorted(kinds.items()))}
        if faults:
            evidence["first"] = [f"{name}: {kind}"[:200] for kind, name in faults[:5]]
        label = kinds.most_common(1)[0][0] if passed is False else ""
        return Grade(share, passed, label, evidence=evidence)


def _fault(event: ToolEvent) -> str:
    if event.schema_errors or not isinstance(event.arguments, Mapping):
        return "malformed"
    if event.status == "denied" or event.verdict == "deny":
        return "denied"
    return "error" if event.status == "error" or event.error is not None else ""


def _repeated(event: ToolEvent, before: Mapping[bytes, set[bytes]]) -> str:
    known = before.get(_asked(event), set())
    return "repeated" if _FAILED in known or _outcome(event) in known else ""


_FAILED = b"failed"


def _asked(event: ToolEvent) -> bytes:
    return canonical_json([event.name, event.arguments])


def _outcome(event: ToolEvent) -> bytes:
    return _FAILED if _fault(event) else canonical_json([event.status, event.result])
