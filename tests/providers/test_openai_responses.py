"""OpenAI Responses: what goes over the wire, how an answer and a stream of events are read, what is none."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.providers import CallError, ChatRequest
from evalkit.providers.dialect import Dialect, Reply
from evalkit.providers.openai_responses import OpenAIResponsesDialect
from evalkit.providers.sse import Event
from evalkit.providers.vendor import HttpVendor
from evalkit.records import Message, ToolCall, Usage

from . import samples
from .loopback import Loopback, streams
from .mutations import DOCUMENTED, assert_read_or_refused, mutated
from .samples import CONVERSATION, SCHEMA, read_stream, wire, wire_bytes, wire_events

DIALECT: Dialect = OpenAIResponsesDialect()
ASKED = (Message("user", "hello"),)
PLAIN = replace(samples.PLAIN, system_fingerprint="")
CALLS = replace(samples.CALLS, text="Let me look.")
REFUSAL = replace(samples.REFUSAL, system_fingerprint="")
CUT = Reply(text="Once upon a", finish_reason="length", usage=Usage(10, 16), model="gpt-5-mini-2026-08-01")
SAMPLES = {
    "openai_responses": PLAIN,
    "openai_responses_tools": CALLS,
    "openai_responses_refusal": REFUSAL,
    "openai_responses_incomplete": CUT,
}


def response(*output: Any, **more: Any) -> dict[str, Any]:
    return {"id": "r", "object": "response", "status": "completed", "model": "m-1", "output": list(output), **more}


def message(*content: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(content)}


# ── requests ────────────────────────────────────────────────────────────────────────────────


def test_a_request_is_written_as_the_vendor_publishes_it() -> None:
    assert DIALECT.payload(CONVERSATION, stream=False) == wire("openai_responses_request")
    assert DIALECT.payload(CONVERSATION, stream=True) == wire("openai_responses_request") | {"stream": True}
    assert DIALECT.path(CONVERSATION, stream=False) == DIALECT.path(CONVERSATION, stream=True) == "/responses"
    assert DIALECT.headers("k-1") == {"authorization": "Bearer k-1"}
    assert DIALECT.headers(None) == {}


def test_parameters_cannot_replace_what_is_asked() -> None:
    params = {"model": "other", "input": [], "instructions": "x", "stream": True, "seed": 4, "top_p": 0.5}
    payload = DIALECT.payload(ChatRequest("m", (Message("system", "S"), *ASKED), params=params, seed=1), stream=False)
    assert payload == {
        "model": "m",
        "input": [{"role": "user", "content": "hello"}],
        "instructions": "S",
        "top_p": 0.5,
        "store": False,
    }


@pytest.mark.parametrize(
    ("params", "sent"),
    [
        ({}, {"store": False}),
        ({"store": True}, {"store": True}),
        ({"store": None}, {}),
        ({"max_tokens": 9}, {"store": False, "max_output_tokens": 9}),
        ({"max_completion_tokens": 9, "max_tokens": 8}, {"store": False, "max_output_tokens": 9}),
        ({"max_output_tokens": 7, "max_tokens": 8}, {"store": False, "max_output_tokens": 7}),
        ({"max_tokens": None}, {"store": False}),
        ({"text": {"verbosity": "low"}}, {"store": False, "text": {"verbosity": "low"}}),
    ],
)
def test_parameters_go_by_the_names_of_the_interface(params: dict[str, Any], sent: dict[str, Any]) -> None:
    payload = DIALECT.payload(ChatRequest("m", ASKED, params=params), stream=False)
    assert payload == {"model": "m", "input": [{"role": "user", "content": "hello"}], **sent}


def test_a_format_of_text_joins_what_else_is_configured_of_it() -> None:
    def text(params: dict[str, Any]) -> Any:
        return DIALECT.payload(ChatRequest("m", ASKED, params=params, output_schema=SCHEMA), stream=False)["text"]

    ours = text({})["format"]
    assert text({"text": {"verbosity": "low"}}) == {"format": ours, "verbosity": "low"}
    assert text({"text": {"format": {"type": "text"}}}) == {"format": {"type": "text"}}


def test_system_messages_are_instructions_only_where_they_begin() -> None:
    messages = (Message("system", "A"), Message("system", "B"), Message("user", "u"), Message("system", "C"))
    payload = DIALECT.payload(ChatRequest("m", messages), stream=False)
    assert payload["instructions"] == "A\n\nB"
    assert payload["input"] == [{"role": "user", "content": "u"}, {"role": "system", "content": "C"}]
    alone = DIALECT.payload(ChatRequest("m", (Message("system", ""), *ASKED)), stream=False)
    assert "instructions" not in alone


def test_the_text_of_a_turn_goes_before_its_calls() -> None:
    turn = Message("assistant", "Let me look.", (ToolCall("f", {"n": 1}, "c1"),))
    assert DIALECT.payload(ChatRequest("m", (turn, Message("assistant", ""))), stream=False)["input"] == [
        {"role": "assistant", "content": "Let me look."},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"n": 1}'},
        {"role": "assistant", "content": ""},
    ]


# ── answers ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("sample", "expected"), SAMPLES.items())
def test_an_answer_is_read_with_everything_that_it_says(sample: str, expected: Reply) -> None:
    assert DIALECT.reply(wire(sample)) == expected


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"reason": "max_output_tokens"}, "length"),
        ({"reason": "content_filter"}, "content_filter"),
        ({"reason": "something_new"}, "something_new"),
        ({}, "length"),
        (None, "length"),
    ],
)
def test_an_answer_that_was_stopped_says_why(details: Any, reason: str) -> None:
    call = {"type": "function_call", "name": "f", "arguments": '{"a": ', "call_id": "c"}
    reply = DIALECT.reply(response(call, status="incomplete", incomplete_details=details))
    assert reply.finish_reason == reason
    assert reply.tool_calls[0].error is not None


def test_all_text_is_kept_and_what_is_neither_text_nor_a_call_is_passed_over() -> None:
    reply = DIALECT.reply(
        response(
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
            message({"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}),
            {"type": "web_search_call", "status": "completed"},
            message({"type": "refusal", "refusal": "no"}, {"type": "output_text", "text": "c"}),
        )
    )
    assert reply == Reply(text="abc", finish_reason="stop", model="m-1")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        # retry, status, fault
        ({"code": "server_error", "message": "The model failed."}, (True, None, "general")),
        ({"code": "rate_limit_exceeded", "message": "Slow down."}, (True, 429, "general")),
        ({"code": "invalid_prompt", "message": "Flagged."}, (False, None, "content_policy")),
        ({"code": "x", "message": "Your input exceeds the context window"}, (False, None, "context_window")),
    ],
)
def test_a_response_that_failed_is_an_error(error: dict[str, Any], expected: tuple[Any, ...]) -> None:
    with pytest.raises(CallError, match=error["message"]) as caught:
        DIALECT.reply(wire("openai_responses_failed") | {"error": error})
    assert (caught.value.retry, caught.value.status, caught.value.fault) == expected
    assert caught.value.kind == "status"


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_response_that_failed_for_no_reason_is_an_error_too(status: str) -> None:
    with pytest.raises(CallError, match=status):
        DIALECT.reply(response(status=status, error=None))


@pytest.mark.parametrize("status", ["in_progress", "queued", "", None, "\x1b[31m" * 50])
def test_a_response_that_is_not_finished_is_no_answer(status: Any) -> None:
    with pytest.raises(ValueError, match="`status` is") as caught:
        DIALECT.reply(response(status=status))
    assert len(str(caught.value)) < 250
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        7,
        {},
        {"status": "completed"},
        response(7),
        response({"no": "type"}),
        response(message(7)),
        response(message({"type": "output_text", "text": 7})),
        response({"type": "message", "content": None}),
        response({"type": "function_call", "arguments": "{}"}),
        response({"type": "function_call", "name": None}),
        response({"type": "function_call", "name": "f", "arguments": {}}),
        response(usage="many"),
        response(usage={"input_tokens": -1}),
        response(model=7),
        response(status=7),
        response(status="incomplete", incomplete_details="x"),
    ],
)
def test_anything_but_a_response_is_refused(body: Any) -> None:
    with pytest.raises((KeyError, IndexError, TypeError, AttributeError, ValueError)):
        DIALECT.reply(body)


@settings(deadline=None)
@given(mutated(wire("openai_responses_tools")) | mutated(wire("openai_responses")))
def test_a_damaged_answer_is_read_or_refused(body: Any) -> None:
    assert_read_or_refused(lambda: DIALECT.reply(body))


# ── streams ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sample", "first"),
    [
        ("openai_responses", "response.output_text.delta"),
        ("openai_responses_tools", "response.output_text.delta"),
        ("openai_responses_refusal", "response.refusal.delta"),
        ("openai_responses_incomplete", "response.output_text.delta"),
    ],
)
def test_a_stream_is_read_with_everything_that_it_says(sample: str, first: str) -> None:
    events = wire_events(sample)
    reply, counted = read_stream(DIALECT, events)
    assert reply == SAMPLES[sample]
    assert events[counted.index(True)].type == first


def named(kind: str, **more: Any) -> Event:
    return Event(kind, json.dumps({"type": kind, **more}))


def test_a_call_counts_from_its_name_on() -> None:
    call = {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}"}
    added = named("response.output_item.added", output_index=0, item=call)
    _, counted = read_stream(DIALECT, [added, named("response.completed", response=response(call))])
    assert counted == [True, False]


def without(events: list[Event], *kinds: str) -> list[Event]:
    return [event for event in events if event.type not in kinds]


def bare_end(events: list[Event]) -> list[Event]:
    """The stream with a last event that leaves out the output and the status."""
    end = json.loads(events[-1].data)
    for key in ("output", "status"):
        del end["response"][key]
    return [*events[:-1], Event(events[-1].type, json.dumps(end))]


@pytest.mark.parametrize("sample", SAMPLES)
def test_items_of_the_stream_stand_in_for_an_output_that_the_end_leaves_out(sample: str) -> None:
    events = bare_end(wire_events(sample))
    whole = SAMPLES[sample]
    assert read_stream(DIALECT, events)[0] == whole
    assert read_stream(DIALECT, without(events, "response.output_item.done"))[0] == whole
    dones = ("response.output_item.done", "response.function_call_arguments.done", "response.output_text.done")
    assert read_stream(DIALECT, without(events, *dones))[0] == whole
    deltas = [event.type for event in events if event.type.endswith(".delta")]
    assert read_stream(DIALECT, without(events, *deltas))[0] == whole
    if not whole.tool_calls:
        assert read_stream(DIALECT, without(events, *dones, "response.output_item.added"))[0] == whole


def test_items_are_in_the_order_of_their_index_and_what_is_whole_goes_before_its_pieces() -> None:
    events = [
        named("response.output_item.done", output_index=2, item=message({"type": "output_text", "text": "c"})),
        named("response.output_item.added", output_index=1, item=message({"type": "output_text", "text": "b"})),
        named("response.output_text.delta", output_index=0, content_index=0, delta="x"),
        named("response.output_item.done", output_index=0, item=message({"type": "output_text", "text": "a"})),
        named("response.completed", response={}),
    ]
    assert read_stream(DIALECT, events)[0] == Reply(text="abc", finish_reason="stop")


def test_the_type_in_the_data_goes_before_the_name_of_the_event() -> None:
    events = [Event("message", event.data) for event in wire_events("openai_responses_tools")]
    assert read_stream(DIALECT, events)[0] == CALLS


def test_the_type_in_the_data_is_enough() -> None:
    events = [Event("", event.data) for event in wire_events("openai_responses_tools")]
    assert read_stream(DIALECT, [*events, Event("", "[DONE]")])[0] == CALLS


def test_the_name_of_the_event_is_enough() -> None:
    events = []
    for event in wire_events("openai_responses_tools"):
        data = json.loads(event.data)
        del data["type"]
        events.append(Event(event.type, json.dumps(data)))
    assert read_stream(DIALECT, events)[0] == CALLS


@settings(deadline=None)
@given(st.lists(st.lists(st.text(max_size=6), min_size=1, max_size=4), min_size=1, max_size=3), st.randoms())
def test_pieces_of_parts_make_the_same_text_however_they_are_mixed(parts: list[list[str]], order: Any) -> None:
    lanes = [
        [named("response.output_text.delta", output_index=0, content_index=at, delta=piece) for piece in pieces]
        for at, pieces in enumerate(parts)
    ]
    events = []
    while any(lanes):
        events.append(order.choice([lane for lane in lanes if lane]).pop(0))
    end = named("response.completed", response={"status": "completed", "output": []})
    text = "".join(map("".join, parts))
    assert read_stream(DIALECT, [*events, end])[0] == Reply(text=text, finish_reason="stop")


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_stream_that_was_cut_is_no_answer(sample: str) -> None:
    events = wire_events(sample)
    for kept in range(len(events)):
        with pytest.raises(ValueError, match="the stream ended before the answer did"):
            read_stream(DIALECT, events[:kept])


@pytest.mark.parametrize(
    ("events", "said", "retry", "status"),
    [
        (wire_events("openai_responses_failed"), "The model failed to generate a response", True, None),
        (wire_events("openai_responses_error"), "Rate limit reached", True, 429),
        ([named("error", error={"message": "boom", "code": "server_error"})], "boom", True, None),
        ([named("error", error={"message": "no", "type": "invalid_request_error"})], "no", False, None),
        ([Event("", '{"error":{"message":"boom","code":503}}')], "boom", True, 503),
        ([named("response.failed", response={"status": "failed", "error": None, "output": []})], "gave", True, None),
    ],
)
def test_an_error_in_a_stream_is_an_error(events: list[Event], said: str, retry: bool, status: int | None) -> None:
    with pytest.raises(CallError, match=f"the target (reports an error: )?{said}") as caught:
        read_stream(DIALECT, events)
    assert (caught.value.retry, caught.value.status, caught.value.kind) == (retry, status, "status")


@pytest.mark.parametrize(
    "event",
    [
        Event("", ""),
        Event("", "7"),
        Event("", "[" * 100_000),
        Event("", '{"type": 7}'),
        named("response.completed"),
        named("response.completed", response=7),
        named("response.output_item.added", item={"type": "message"}),
        named("response.output_item.added", output_index=0),
        named("response.output_item.done", output_index=0, item=7),
        named("response.output_item.done", output_index="0", item={"type": "message"}),
        named("response.output_text.delta", output_index=0, content_index=0, delta=7),
        named("response.output_text.delta", output_index=0, delta="a"),
        named("response.output_text.delta", output_index=True, content_index=0, delta="a"),
        named("response.function_call_arguments.delta", output_index=None, delta="a"),
        named("response.function_call_arguments.done", output_index=0, arguments=7),
    ],
)
def test_an_event_of_another_shape_is_refused(event: Event) -> None:
    with pytest.raises(DOCUMENTED):
        DIALECT.reader().feed(event.type, event.data)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_stream_is_read_or_refused(data: st.DataObject) -> None:
    events = wire_events(data.draw(st.sampled_from(sorted(SAMPLES))))
    if data.draw(st.booleans()):
        events = bare_end(without(events, "response.output_item.done"))
    at = data.draw(st.integers(0, len(events) - 1))
    events[at] = Event(events[at].type, json.dumps(data.draw(mutated(json.loads(events[at].data)))))
    assert_read_or_refused(lambda: read_stream(DIALECT, events)[0])


def test_a_stream_over_the_wire_has_a_time_to_the_first_piece() -> None:
    async def run() -> tuple[Any, Any]:
        async with Loopback((streams(wire_bytes("openai_responses")),)) as server:
            target = HttpVendor("p", DIALECT, base_url=server.url, key="k-1", stream=True)
            try:
                return await target.complete(CONVERSATION), server.requests[0]
            finally:
                await target.aclose()

    answered, sent = asyncio.run(run())
    assert sent.line == "POST /v1/responses HTTP/1.1"
    assert sent.json == DIALECT.payload(CONVERSATION, stream=True)
    assert (answered.text, answered.usage) == (PLAIN.text, PLAIN.usage)
    assert 0 < answered.ttft_us <= answered.latency_us
