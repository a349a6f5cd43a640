"""Whether a trace holds what an auditor needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from evalkit.errors import GraderError
from evalkit.grading import Grade, Grader
from evalkit.records import Case, ModelCall, Trace

__all__ = ["TraceCompleteness"]

Found = tuple[str, str, bool]
"""What is required, where, and whether it is there."""
_KINDS = (
    "configuration", "request_id", "started", "conversation", "model_calls", "model", "usage", "price", "time",
    "finish", "request", "documents", "tools", "decisions",
)  # fmt: skip


@dataclass(frozen=True)
class TraceCompleteness(Grader):
    """Share of what an audit needs that the trace of a trial holds; the evidence lists what it lacks.

    Of the trial: `configuration`, `request_id`, `started` and `conversation`, and that there are `model_calls`. Of each
    call that answered: the `model` as the answer names it, `usage`, `price`, `time`, reason to `finish`, digest of the
    `request`. Of each of the `documents`: id and text. Of each of the `tools` called: what came back, or why nothing.
    Of each of the policy `decisions`: the rule.

    Args:
        without: What of these is not required.
    """

    name: ClassVar[str] = "trace_completeness"
    version: ClassVar[str] = "1"
    quality: ClassVar[bool] = False
    blind: ClassVar[tuple[str, ...]] = (
        "It sees that something is there, not that it is true.",
        "What a target never tells, such as tool calls inside an application, it cannot miss.",
    )

    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that are not required anyway.

        Raises:
            GraderError: naming the first.
        """
        for name in self.without:
            if name not in _KINDS:
                raise GraderError(
                    "nothing of that name is required",
                    key="trace_completeness.without",
                    value=name,
                    fix=f"one of {', '.join(_KINDS)}",
                )

    def grade(self, case: Case, trace: Trace) -> Grade | None:
        """The value is a share; it passes where nothing is missing. Not applicable where nothing is required."""
        found = [item for item in _required(trace) if item[0] not in self.without]
        if not found:
            return None
        lacking = [place for _, place, there in found if not there]
        evidence = {"required": len(found), "lacking": [place[:200] for place in lacking[:40]]}
        label = "incomplete_trace" if lacking else ""
        return Grade((len(found) - len(lacking)) / len(found), not lacking, label, evidence=evidence)


def _required(trace: Trace) -> Iterator[Found]:
    yield "configuration", "configuration", bool(trace.configuration)
    yield "request_id", "request_id", bool(trace.request_id)
    yield "started", "started_us", trace.started_us > 0
    yield "conversation", "messages", bool(trace.messages)
    answered = [(index, call) for index, call in enumerate(trace.model_calls) if call.status == "ok"]
    yield "model_calls", "model_calls", bool(answered)
    for index, call in answered:
        yield from _of_call(call, f"model_calls[{index}]")
    for index, document in enumerate(trace.documents):
        yield "documents", f"documents[{index}]", bool(document.id and document.text)
    for index, event in enumerate(trace.tool_events):
        returned = event.result is not None if event.status == "ok" else bool(event.error or event.schema_errors)
        there = returned or event.status in {"denied", "not_run"}
        yield "tools", f"tool_events[{index}].result", bool(event.name) and there
    for index, decision in enumerate(trace.policy_decisions):
        yield "decisions", f"policy_decisions[{index}].rule", bool(decision.rule)


def _of_call(call: ModelCall, place: str) -> Iterator[Found]:
    usage = call.usage
    counted = usage.source != "none" and bool(usage.input_tokens or usage.output_tokens)
    yield "model", f"{place}.reported_model", bool(call.reported_model)
    yield "usage", f"{place}.usage", counted
    yield "price", f"{place}.cost_microusd", call.priced
    yield "time", f"{place}.latency_us", call.timed and call.latency_us > 0
    yield "finish", f"{place}.finish_reason", bool(call.finish_reason)
    yield "request", f"{place}.request_digest", bool(call.request_digest)
