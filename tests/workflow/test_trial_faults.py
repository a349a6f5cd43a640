"""Trials that go wrong: faults of the target become traces, hostile answers do no harm."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from evalkit import codec
from evalkit.errors import ConfigError
from evalkit.providers import CallError, ChatRequest, ChatResponse, Price, PriceTable, RequestedCall
from evalkit.records import RecordedTool, Trace, TraceError, Usage
from evalkit.workflow import run_trial

from .world import PRICES, TOOLS, Make, Scripted, calls, case_of, says, trial

FILES = {"tools.json": TOOLS}
LOOKUP = RequestedCall("lookup", {"order": "K-1"}, "call-1")
RECORDED = (RecordedTool("lookup", "found"),)


class UnprintableError(Exception):
    """A fault whose text is a fault itself."""

    def __str__(self) -> str:
        raise ValueError


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


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (RuntimeError("boom"), "RuntimeError: boom"),
        (OSError("no route \ud800"), "OSError: no route \ufffd"),
        (KeyError("choices"), "KeyError: 'choices'"),
        (SystemExit(0), "SystemExit: 0"),
        (UnprintableError(), "UnprintableError: <exception str() failed>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_mistake_in_a_target_is_an_error_trace(make: Make, fault: BaseException, message: str) -> None:
    trace = trial(make(), case_of(), Scripted(fault))
    assert (trace.status, trace.answer) == ("error", "")
    assert trace.error is not None
    assert trace.error.kind == "target"
    assert trace.error.message.endswith(message)
    assert [(call.status, call.error, call.priced) for call in trace.model_calls] == [
        ("error", trace.error.message, False)
    ]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), ConfigError("the recording is damaged")])
def test_what_concerns_the_whole_run_is_no_error_of_one_trial(make: Make, fault: BaseException) -> None:
    class Waiting(Scripted):
        async def complete(self, request: ChatRequest) -> ChatResponse:
            raise fault

    with pytest.raises(type(fault)):
        trial(make(), case_of(), Waiting())


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
def test_lone_surrogates_anywhere_else_do_no_harm(make: Make, answer: ChatResponse) -> None:
    trace = trial(make("tools: tools.json", files=FILES), case_of(), Scripted(answer, says("done")))
    assert codec.decode(Trace, codec.encode(trace)) == trace
    assert trace.replaced_characters > 0


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**5000], ids=["nan", "inf", "huge"])
def test_arguments_that_json_cannot_hold_do_no_harm(make: Make, number: float) -> None:
    call = RequestedCall("refund", {"amount": number}, "i")
    trace = trial(make("tools: tools.json", files=FILES), case_of(), Scripted(calls(call), says("done")))
    (event,) = trace.tool_events
    assert (event.status, event.arguments) == ("error", None)
    assert event.schema_errors[0].startswith("arguments are not JSON: ")
    assert codec.decode(Trace, codec.encode(trace)) == trace


@pytest.mark.parametrize(
    "answer",
    [
        says("x", usage=Usage(10**40, 1)),
        says("x", usage=Usage("12", 1)),  # type: ignore[arg-type]
        says("x", usage=Usage(1.5, 1)),  # type: ignore[arg-type]
        says("x", usage=Usage(-10, 1)),
        says("x", usage=Usage(1, -1)),
        says("x", usage=Usage(10, 1, cached_tokens=100)),
        says("x", latency_us=-1),
        says("x", latency_us=1.5),
        says("x", latency_us=None),
        says("x", cost_microusd=-1),
        says("x", attempts=True),
        says("x", model=None),
        says(None),  # type: ignore[arg-type]
        calls(RequestedCall(None, {})),  # type: ignore[arg-type]
        calls(RequestedCall("lookup", {}, error=7)),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_numbers_and_texts_that_cannot_be_are_a_fault_of_the_target(make: Make, answer: ChatResponse) -> None:
    """Else a call could cost less than nothing, and the budget and the gate would count with it."""
    trace = trial(make(), case_of(), Scripted(answer))
    assert trace.error is not None
    assert (trace.status, trace.error.kind, trace.answer) == ("error", "protocol", "")
    assert "the target " in trace.error.message
    assert [(call.status, call.cost_microusd, call.priced) for call in trace.model_calls] == [("error", 0, False)]


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


def test_a_case_that_trips_evalkit_itself_is_an_error_trace(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("evalkit.workflow.trial.escalation", broken)
    trace = trial(make(), case_of(), Scripted(says("30 days")))
    assert (trace.status, trace.error) == ("error", TraceError("internal", "ZeroDivisionError: by nothing"))
    assert [call.cost_microusd for call in trace.model_calls] == [60]
