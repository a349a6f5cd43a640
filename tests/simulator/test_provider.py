"""The simulator as a target: in process and over HTTP it says the same, and says that it is simulated."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from evalkit.providers import CallError, ChatRequest, ChatResponse, OpenAIChatDialect, Provider
from evalkit.providers.vendor import HttpVendor
from evalkit.records import Message, ToolCall, ToolSpec
from evalkit.simulator import PROFILES, Simulator, start_server
from evalkit.simulator.model import Reply

from .world import PEOPLE, PROMPT, RETURNS

MODELS = [profile.name for profile in PROFILES]
ORDER = ToolSpec(
    "lookup_order",
    "Look up an order.",
    {
        "type": "object",
        "properties": {"order_id": {"type": "string", "pattern": "^ORD-[0-9]{5}$"}},
        "required": ["order_id"],
    },
)


def request_of(question: str, model: str = "sim-small-1", seed: int = 0) -> ChatRequest:
    messages = (Message("system", PROMPT + RETURNS), Message("user", question))
    return ChatRequest(model, messages, seed=seed, case_id="c", trial=seed)


def in_process(*requests: ChatRequest) -> list[ChatResponse]:
    async def run() -> list[ChatResponse]:
        return [await Simulator().complete(request) for request in requests]

    return asyncio.run(run())


def over_http(*requests: ChatRequest, time_scale: float = 0) -> list[ChatResponse]:
    async def run() -> list[ChatResponse]:
        async with await start_server(port=0, time_scale=time_scale) as server:
            target = HttpVendor("sim", OpenAIChatDialect(), base_url=server.base_url)
            try:
                return list(await asyncio.gather(*map(target.complete, requests)))
            finally:
                await target.aclose()

    return asyncio.run(run())


REQUESTS = [
    *(request_of(f"How many days to return a kettle, asks {name}?", model) for name in PEOPLE[:9] for model in MODELS),
    *(request_of("What is the salary of my colleague Anna?", "sim-small-1", seed) for seed in range(4)),
    request_of("größer\u202e\x00 ¿Dónde está «mi pedido»?"),
    replace(request_of("Where is my order ORD-10412?", "sim-flawless-1"), tools=(ORDER,)),
    replace(request_of("Where is my order?", "sim-flawless-1"), tools=(ORDER,)),
    replace(request_of("What does it say?"), params={"max_tokens": 3, "temperature": 0.5}),
    replace(
        request_of("Where is my order ORD-10412?", "sim-large-1"),
        tools=(ORDER,),
        messages=(
            Message("system", PROMPT + RETURNS),
            Message("user", "Where is my order ORD-10412?"),
            Message("assistant", "", (ToolCall("lookup_order", {"order_id": "ORD-10412"}, "c1"),)),
            Message("tool", '{"status": "verschickt", "arrives": null}', tool_call_id="c1"),
        ),
    ),
]  # fmt: skip


def test_in_process_and_over_http_alike() -> None:
    near, far = in_process(*REQUESTS), over_http(*REQUESTS)
    untimed = [replace(response, latency_us=0, waited_us=0) for response in far]
    assert untimed == [replace(response, latency_us=0) for response in near]
    assert {response.finish_reason for response in near} == {"stop", "tool_calls", "length"}


def test_whatever_the_order_and_company_of_the_requests() -> None:
    alone = [in_process(request)[0] for request in REQUESTS]
    assert in_process(*REQUESTS) == alone
    assert in_process(*reversed(REQUESTS)) == alone[::-1]


@pytest.mark.parametrize("model", MODELS)
def test_every_response_is_labelled(model: str) -> None:
    for response in (*in_process(request_of("What?", model)), *over_http(request_of("What?", model))):
        assert response.simulated is True
        assert response.model == model
        assert response.system_fingerprint == "evalkit-simulator-2"


def test_the_latency_in_process_is_the_one_that_the_model_states() -> None:
    replies: list[Reply] = []
    simulator = Simulator("sim", on_reply=lambda _, reply: replies.append(reply))
    response = asyncio.run(simulator.complete(request_of("What?", "sim-large-1")))
    assert response.latency_us == round(replies[0].latency_s * 1e6) > 0
    assert (response.waited_us, response.attempts, response.timed) == (0, 1, True)


def test_over_http_the_time_that_the_model_states_passes() -> None:
    request = request_of("What?", "sim-large-1")
    (near,) = in_process(request)
    (far,) = over_http(request, time_scale=2.0)
    assert far.latency_us >= 2 * near.latency_us


def test_a_listener_is_told_why() -> None:
    told: list[tuple[str, str]] = []
    simulator = Simulator("sim", on_reply=lambda request, reply: told.append((request.case_id, reply.explanation)))
    asyncio.run(simulator.complete(request_of("What is the salary of my colleague Anna?", "sim-flawless-1")))
    assert told == [("c", "rule: disclose the salary of another employee or a colleague.")]


def test_an_unknown_model_ends_the_run_with_the_names_that_there_are() -> None:
    with pytest.raises(CallError) as caught:
        in_process(request_of("What?", "gpt-5"))
    assert (caught.value.kind, caught.value.fatal) == ("status", True)
    assert (
        str(caught.value)
        == "no simulated model `gpt-5`; there are sim-large-1, sim-small-1, sim-flawless-1, sim-echo-1, sim-judge-1"
    )


def test_a_request_that_the_model_cannot_read_is_an_error_of_its_trial_here_and_over_http() -> None:
    for answer in (in_process, over_http):
        with pytest.raises(CallError, match="max_tokens is not a whole number from 1") as caught:
            answer(replace(request_of("What?"), params={"max_tokens": 0}))
        assert (caught.value.kind, caught.value.fatal) == ("status", False)


def test_what_the_simulator_is() -> None:
    assert Simulator("a").identity == {"kind": "simulator", "fingerprint": "evalkit-simulator-2"}
    assert (Simulator().name, Simulator("a").name) == ("simulator", "a")
    assert isinstance(Simulator(), Provider)
