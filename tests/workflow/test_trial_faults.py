"""Trials that go wrong: faults of the target become traces, hostile answers do no harm."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from evalkit import codec
from evalkit.errors import ConfigError, ToolSchemaError
from evalkit.providers import CallError, ChatRequest, ChatResponse, Price, PriceTable, RequestedCall
from evalkit.records import RecordedTool, Trace, TraceError, Usage
from evalkit.workflow import run_trial

from .world import PRICES, TOOLS, Make, Scripted, calls, case_of, says, trial

FILES = {"tools.json": TOOLS}
LOOKUP = RequestedCall("lookup", {"order": "K-1"}, "call-1")
RECORDED = (RecordedTool("lookup", "found"),)


@pytest.mark.parametrize("kind", ["timeout", "connect", "status", "protocol", "not_recorded"])
def test_a_call_that_failed_is_an_error_trace(make: Make, kind: str) -> None:
    workflow = make()
    trace = trial(workflow, case_of(), Scripted(CallError("h: gone (after 4 attempts)", kind=kind, attempts=4)))
    assert (trace.status, trace.error) == ("error", TraceError(kind, "h: gone (after 4 attempts)"))
    assert (trace.answer, trace.tool_events, trace.finish_reason) == ("", (), "")
    (call,) = trace.model_calls
    assert (call.status, call.error, call.attempts) == ("error", "h: gone (after 4 attempts)", 4)
    assert (call.priced, call.timed, call.cost_microusd, call.latency_us) == (False, False, 0, 0)
    assert (call.model, call.provider) == ("m-1", "fake")
    assert trace.configuration == workflow.configuration.fingerprint


def test_a_fault_that_every_call_would_meet_is_told_apart(make: Make) -> None:
    trace = trial(make(), case_of(), Scripted(CallError("401: no such key", kind="status", fatal=True)))
    assert trace.error == TraceError("fatal", "401: no such key")


def test_what_was_answered_before_a_fault_is_kept(make: Make) -> None:
    target = Scripted(calls(LOOKUP), CallError("gone", kind="timeout", attempts=2))
    trace = trial(make("tools: tools.json", files=FILES), case_of(recorded_tools=RECORDED), target)
    assert trace.status == "error"
    assert [(call.status, call.cost_microusd) for call in trace.model_calls] == [("ok", 60), ("error", 0)]
    assert [event.status for event in trace.tool_events] == ["ok"]
    assert trace.cost_microusd == 60


def test_a_fault_after_an_escalation_is_not_hidden_by_the_first_answer(make: Make) -> None:
    routes = """
    prompts: {answer: prompt.md}
    models: {small: "fake:m-1", large: "big:m-2"}
    routes:
      routes: {small: {model: small}, large: {model: large}}
      default: small
      escalate: [{id: cut, when: {finish_reason: length}, to: large}]
    """
    target = Scripted(says("half an ans", finish_reason="length"))
    trace = trial(make(routes), case_of(), target, Scripted(CallError("gone", kind="timeout"), name="big"))
    assert (trace.status, trace.answer) == ("error", "")
    assert [step.route for step in trace.route] == ["small", "large"]


def test_a_prompt_that_fails_for_this_case_is_an_error_without_a_call(make: Make) -> None:
    workflow, target = make(files={"prompt.md": "{{ customer.name }}"}), Scripted(says("never"))
    trace = trial(workflow, case_of(variables={"customer": {}}), target)
    assert trace.status == "error"
    assert trace.error is not None
    assert trace.error.kind == "prompt"
    assert "prompt.md: undefined variable" in trace.error.message
    assert (trace.model_calls, target.asked) == ((), [])


def test_no_price_is_an_error_and_never_zero(make: Make) -> None:
    prices = PriceTable((Price.model_validate({"model": "other", "input": 1, "output": 1}),))
    trace = trial(make(), case_of(), Scripted(says("30 days")), prices=prices)
    assert trace.status == "error"
    assert trace.error is not None
    assert "no price for this model" in trace.error.message
    assert "m-1" in trace.error.message


@pytest.mark.xfail(strict=True, reason="the price is looked up before the call is noted down, so the call is lost")
def test_a_call_without_a_price_is_still_in_the_trace(make: Make) -> None:
    trace = trial(make(), case_of(), Scripted(says("30 days")), prices=PriceTable(()))
    assert [(call.priced, call.usage) for call in trace.model_calls] == [(False, Usage(10, 5))]


@pytest.mark.parametrize(
    ("answer", "cost", "priced"),
    [
        (says("x", usage=Usage(source="none")), 0, False),
        (says("x", usage=Usage(10, 5, source="recorded")), 60, True),
        (says("x", cost_microusd=7), 7, True),
        (says("x", cost_microusd=0, usage=Usage(source="none")), 0, True),
        (says("x", usage=Usage(0, 0)), 0, True),
    ],
    ids=["no usage", "recorded usage", "recorded cost", "recorded as free", "no tokens"],
)
def test_what_a_call_cost(make: Make, answer: ChatResponse, cost: int, priced: bool) -> None:
    (call,) = trial(make(), case_of(), Scripted(answer)).model_calls
    assert (call.cost_microusd, call.priced) == (cost, priced)


@pytest.mark.parametrize("simulated", [(False, True), (True, False)])
def test_one_simulated_call_makes_a_simulated_trace(make: Make, simulated: tuple[bool, bool]) -> None:
    target = Scripted(calls(LOOKUP, simulated=simulated[0]), says("ok", simulated=simulated[1]))
    trace = trial(make("tools: tools.json", files=FILES), case_of(recorded_tools=RECORDED), target)
    assert trace.simulated
    assert tuple(call.simulated for call in trace.model_calls) == simulated


def test_a_cancelled_trial_is_cancelled_and_no_error(make: Make) -> None:
    class Waiting(Scripted):
        async def complete(self, request: ChatRequest) -> ChatResponse:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("nobody answers")

    async def run() -> None:
        task = asyncio.create_task(run_trial(make(), case_of(), 0, {"fake": Waiting()}, PRICES))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())


@pytest.mark.parametrize("fault", [RuntimeError("boom"), ValueError("bad"), OSError("no route"), KeyError("choices")])
@pytest.mark.xfail(strict=True, reason="only CallError becomes a trace; any other fault of a target ends the whole run")
def test_any_fault_of_a_target_is_an_error_trace(make: Make, fault: Exception) -> None:
    trace = trial(make(), case_of(), Scripted(fault))
    assert trace.status == "error"
    assert trace.error is not None
    assert str(fault.args[0]) in trace.error.message


# ── hostile answers ─────────────────────────────────────────────────────────────────────────


def test_lone_surrogates_are_replaced_and_counted(make: Make) -> None:
    hostile = RequestedCall("lookup", {"order": "K\ud800", "no\udfffte": ["\udc80", {"x": 1}]}, "call-1")
    target = Scripted(calls(hostile, text="\ud83d see"), says("a\udc00b \U0001f600"))
    trace = trial(make("tools: tools.json", files=FILES), case_of(recorded_tools=RECORDED), target)
    assert trace.answer == "a\ufffdb \U0001f600"
    assert trace.replaced_characters == 5
    assert trace.tool_events[0].arguments == {"order": "K\ufffd", "no\ufffdte": ["\ufffd", {"x": 1}]}
    assert target.asked[1].messages[2].content == "\ufffd see"
    assert codec.decode(Trace, codec.encode(trace)) == trace


@pytest.mark.parametrize(
    "answer",
    [
        calls(RequestedCall("look\ud800up", {}, "i")),
        calls(RequestedCall("lookup", {}, "i\ud800")),
        says("x", model="m\ud800"),
        says("x", finish_reason="st\ud800op"),
        says("x", system_fingerprint="\ud800"),
        calls(RequestedCall("lookup", "{\ud800", "i", "arguments are not JSON: \ud800")),
    ],
    ids=["tool name", "call id", "model", "finish reason", "system fingerprint", "reason"],
)
@pytest.mark.xfail(strict=True, reason="only the text and the arguments are scrubbed; the trace cannot be written")
def test_lone_surrogates_anywhere_else_do_no_harm(make: Make, answer: ChatResponse) -> None:
    trace = trial(make("tools: tools.json", files=FILES), case_of(), Scripted(answer, says("done")))
    assert codec.decode(Trace, codec.encode(trace)) == trace
    assert trace.replaced_characters > 0


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**5000], ids=["nan", "inf", "huge"])
@pytest.mark.xfail(strict=True, raises=ValueError, reason="the request that reports the tool result has no digest")
def test_arguments_that_json_cannot_hold_do_no_harm(make: Make, number: float) -> None:
    call = RequestedCall("refund", {"amount": number}, "i")
    trace = trial(make("tools: tools.json", files=FILES), case_of(), Scripted(calls(call), says("done")))
    assert trace.tool_events[0].status == "error"
    codec.encode(trace)


@pytest.mark.parametrize("usage", [Usage(10**40, 1), Usage("12", 1), Usage(1.5, 1)])  # type: ignore[arg-type]
@pytest.mark.xfail(strict=True, reason="the cost of impossible token counts raises, and ends the whole run")
def test_impossible_token_counts_do_no_harm(make: Make, usage: Usage) -> None:
    assert trial(make(), case_of(), Scripted(says("x", usage=usage))).status == "error"


@pytest.mark.parametrize("usage", [Usage(-10, 1), Usage(10, 1, cached_tokens=100), Usage(1, -1)])
@pytest.mark.xfail(
    strict=True, reason="a negative count makes money: the cost of the call, and so the budget, is wrong"
)
def test_no_call_costs_less_than_nothing(make: Make, usage: Usage) -> None:
    table = PriceTable((Price.model_validate({"model": "*", "input": 2, "output": 8, "cached_input": 0}),))
    trace = trial(make(), case_of(), Scripted(says("x", usage=usage)), prices=table)
    assert trace.status == "error" or trace.cost_microusd >= 0


@pytest.mark.xfail(strict=True, reason="bool('false') is True: any text in `approved` lifts the need for an approval")
@pytest.mark.parametrize("approved", ["false", "no", 2, ["pending"]])
def test_only_true_is_an_approval(make: Make, approved: Any) -> None:
    rule = (
        "rules: [{id: ask, point: act, tools: lookup, effect: needs_approval, tests: "
        "[{facts: {tool: lookup}, applies: true}, {facts: {tool: x}, applies: false}]}]"
    )
    workflow = make("tools: tools.json\npolicies: rules.yaml", files={**FILES, "rules.yaml": rule})
    case = case_of(recorded_tools=RECORDED, variables={"approved": approved})
    trace = trial(workflow, case, Scripted(calls(LOOKUP), says("ok")))
    assert trace.tool_events[0].status == "denied"


def test_arguments_cannot_pose_as_facts(make: Make) -> None:
    rule = (
        "rules: [{id: agents, point: act, tools: lookup, effect: deny, when: [{field: role, op: ne, value: agent}], "
        "tests: [{facts: {tool: lookup, role: user}, applies: true}, "
        "{facts: {tool: lookup, role: agent}, applies: false}]}]"
    )
    workflow = make("tools: tools.json\npolicies: rules.yaml", files={**FILES, "rules.yaml": rule})
    posing = RequestedCall("lookup", {"role": "agent", "arguments.role": "agent", "tool": "other"}, "i")
    trace = trial(workflow, case_of(recorded_tools=RECORDED), Scripted(calls(posing), says("ok")))
    assert (trace.tool_events[0].verdict, trace.tool_events[0].status) == ("deny", "denied")


@pytest.mark.xfail(strict=True, reason="an unresolvable $ref passes loading and raises when a call is checked")
def test_a_schema_that_refers_to_nothing_does_not_end_the_run(make: Make) -> None:
    tools = '{"name": "lookup", "parameters": {"properties": {"order": {"$ref": "#/$defs/none"}}}}'
    try:
        workflow = make("tools: tools.json", files={"tools.json": tools})
    except ToolSchemaError:
        return
    assert trial(workflow, case_of(recorded_tools=RECORDED), Scripted(calls(LOOKUP), says("x"))).status == "error"


@pytest.mark.xfail(strict=True, reason="a pattern that is no regular expression raises when the first answer comes")
def test_an_escalation_that_cannot_be_judged_does_not_end_the_run(make: Make) -> None:
    routes = """
    models: {small: "fake:m-1"}
    routes:
      routes: {a: {model: small}, b: {model: small}}
      default: a
      escalate: [{id: e, when: {answer_matches: "(unsure"}, to: b}]
    """
    try:
        workflow = make(routes)
    except ConfigError:
        return
    assert trial(workflow, case_of(), Scripted(says("x"))).status == "error"
