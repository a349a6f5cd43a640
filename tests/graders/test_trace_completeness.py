"""What an audit needs and a trace lacks, one thing at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evalkit.errors import GraderError
from evalkit.records import Message, ModelCall, PolicyDecision, RetrievedDocument, ToolEvent, Trace, Usage
from evalkit_graders.trace_completeness import TraceCompleteness

from .made import case, score, trace

CALL = ModelCall(
    "m", reported_model="m-1", request_digest="d", finish_reason="stop", usage=Usage(10, 5), latency_us=1_000_000
)
WHOLE = trace(
    "Yes.",
    documents=("text",),
    configuration="c",
    request_id="r",
    started_us=1,
    messages=(Message("user", "?"),),
    model_calls=(CALL,),
    tool_events=(ToolEvent("lookup", {}, result="found"), ToolEvent("pay", {}, verdict="deny", status="denied")),
    policy_decisions=(PolicyDecision("act", "pay", "deny", "no-money"),),
)
REQUIRED = 5 + 6 + 1 + 2 + 1


def test_a_trace_that_holds_all_of_it_passes() -> None:
    found = score(TraceCompleteness(), case(), WHOLE)
    assert (found.value, found.passed, found.label) == (1.0, True, "")
    assert found.evidence == {"required": REQUIRED, "lacking": []}


def with_call(**fields: Any) -> Trace:
    return replace(WHOLE, model_calls=(replace(CALL, **fields),))


def with_decision(decision: PolicyDecision) -> Trace:
    return replace(WHOLE, policy_decisions=(decision,))


@pytest.mark.parametrize(
    ("kind", "place", "lacking"),
    [
        ("configuration", "configuration", replace(WHOLE, configuration="")),
        ("request_id", "request_id", replace(WHOLE, request_id="")),
        ("started", "started_us", replace(WHOLE, started_us=0)),
        ("conversation", "messages", replace(WHOLE, messages=())),
        ("model", "model_calls[0].reported_model", with_call(reported_model="")),
        ("usage", "model_calls[0].usage", with_call(usage=Usage())),
        ("usage", "model_calls[0].usage", with_call(usage=Usage(1, 1, source="none"))),
        ("price", "model_calls[0].cost_microusd", with_call(priced=False)),
        ("time", "model_calls[0].latency_us", with_call(timed=False)),
        ("time", "model_calls[0].latency_us", with_call(latency_us=0)),
        ("finish", "model_calls[0].finish_reason", with_call(finish_reason="")),
        ("request", "model_calls[0].request_digest", with_call(request_digest="")),
        ("documents", "documents[0]", replace(WHOLE, documents=(RetrievedDocument("", "text"),))),
        ("documents", "documents[0]", replace(WHOLE, documents=(RetrievedDocument("d", ""),))),
        ("tools", "tool_events[1].result", replace(WHOLE, tool_events=(WHOLE.tool_events[0], ToolEvent("x", {})))),
        (
            "decisions",
            "policy_decisions[0].rule",
            replace(WHOLE, policy_decisions=(PolicyDecision("act", "x", "deny"),)),
        ),
    ],
)
def test_each_thing_that_is_missing_is_named_and_can_be_waived(kind: str, place: str, lacking: Trace) -> None:
    found = score(TraceCompleteness(), case(), lacking)
    assert found.value == pytest.approx((REQUIRED - 1) / REQUIRED)
    assert (found.passed, found.label, found.evidence["lacking"]) == (False, "incomplete_trace", [place])
    assert score(TraceCompleteness(without=(kind,)), case(), lacking).passed is True


def test_a_call_that_failed_owes_nothing_but_one_must_have_answered() -> None:
    failed = replace(CALL, status="error", reported_model="", usage=Usage())
    assert score(TraceCompleteness(), case(), replace(WHOLE, model_calls=(failed, CALL))).passed is True
    found = score(TraceCompleteness(), case(), replace(WHOLE, model_calls=(failed,)))
    assert found.evidence["lacking"] == ["model_calls"]


def test_an_unknown_name_to_waive_is_refused() -> None:
    with pytest.raises(GraderError, match="nothing of that name"):
        TraceCompleteness(without=("tokens",))
