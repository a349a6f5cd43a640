"""Anthropic Messages: requests and answers against samples of the vendor's format, whole and streamed."""

from __future__ import annotations

import asyncio
import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.providers import CallError, ChatRequest, ChatResponse, RequestedCall
from evalkit.providers.anthropic import ANTHROPIC_BASE_URL, AnthropicMessages
from evalkit.providers.dialect import QUOTED, Dialect, Reply
from evalkit.providers.sse import Event, EventParser
from evalkit.providers.vendor import HttpVendor
from evalkit.records import Message, ToolCall, ToolSpec, Usage

from .loopback import Action, Loopback, Sent, answer, streams
from .mutations import DOCUMENTED, assert_read_or_refused, mutated
from .samples import read_stream, wire, wire_bytes, wire_events

DIALECT: Dialect = AnthropicMessages()
SAMPLE = wire("anthropic_reply")
STREAM = wire_bytes("anthropic_stream")
ERRORS = wire("anthropic_errors")
MODEL = "claude-haiku-4-5-20251001"
THOUGHT = {
    "type": "thinking",
    "thinking": "Both orders have to be looked up.",
    "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h",
}
ANSWER = Reply(
    text="I will look them up.",
    tool_calls=(
        RequestedCall("lookup_order", {"order": "A-1", "n": 1.5}, "toolu_01A09q90qw90lq917835lq9", state=[THOUGHT]),
        RequestedCall("lookup_order", {"order": "Ü-2"}, "toolu_01A09q90qw90lq917835lqA"),
        RequestedCall("close_ticket", {}, "toolu_01A09q90qw90lq917835lqB"),
    ),
    finish_reason="tool_calls",
    usage=Usage(550, 89, cached_tokens=400, cache_write_tokens=100, reasoning_tokens=12),
    model=MODEL,
)
CONVERSATION = ChatRequest(
    MODEL,
    (
        Message("system", "You help customers of a shop."),
        Message("user", "Where are my orders A-1 and Ü-2?"),
        Message(
            "assistant",
            "I will look.",
            (
                ToolCall("lookup_order", {"order": "A-1"}, "toolu_01"),
                ToolCall("lookup_order", {"order": "Ü-2"}, "toolu_02"),
            ),
        ),
        Message("tool", '{"status": "shipped"}', tool_call_id="toolu_01"),
        Message("tool", "not found", tool_call_id="toolu_02"),
        Message("assistant", "A-1 is on its way."),
        Message("user", "And what does sending it back cost?"),
    ),
    tools=(
        ToolSpec(
            "lookup_order",
            "Find an order.",
            {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]},
        ),
        ToolSpec("close_ticket", side_effect="write"),
    ),
    params={"temperature": 0.2, "max_tokens": 300, "stop": "END", "seed": 9},
    output_schema={
        "type": "object",
        "properties": {"cost": {"type": "string"}},
        "required": ["cost"],
        "additionalProperties": False,
    },
    seed=3,
    case_id="secret-case",
    trial=3,
)
HELLO = ChatRequest(MODEL, (Message("user", "hello"),))


def payload(*messages: Message, **fields: Any) -> dict[str, Any]:
    return dict(DIALECT.payload(ChatRequest(MODEL, messages or HELLO.messages, **fields), stream=False))


def read(**changes: Any) -> Reply:
    return DIALECT.reply({**SAMPLE, **changes})


def events() -> list[Event]:
    return wire_events("anthropic_stream")


def streamed(found: list[Event]) -> Reply:
    return read_stream(DIALECT, found)[0]


def shown(*bodies: dict[str, Any]) -> list[Event]:
    """A short stream with these events between its first and its last."""
    start = {"type": "message_start", "message": {"model": MODEL, "usage": {"input_tokens": 5, "output_tokens": 1}}}
    return [Event(body["type"], json.dumps(body)) for body in (start, *bodies, {"type": "message_stop"})]


# ── requests ────────────────────────────────────────────────────────────────────────────────


def test_a_whole_conversation_is_written_as_the_vendor_publishes_it() -> None:
    expected = wire("anthropic_request")
    assert DIALECT.payload(CONVERSATION, stream=False) == expected
    assert DIALECT.payload(CONVERSATION, stream=True) == {**expected, "stream": True}


def test_address_and_headers() -> None:
    assert ANTHROPIC_BASE_URL + DIALECT.path(HELLO, stream=True) == "https://api.anthropic.com/v1/messages"
    assert DIALECT.headers("k-1") == {"x-api-key": "k-1", "anthropic-version": "2023-06-01"}
    assert DIALECT.headers(None) == {"anthropic-version": "2023-06-01"}
    assert DIALECT.kind == "anthropic"


def test_the_limit_that_the_vendor_wants_is_always_there() -> None:
    assert payload()["max_tokens"] == 4096
    assert payload(params={"max_completion_tokens": 7})["max_tokens"] == 7
    assert "max_completion_tokens" not in payload(params={"max_completion_tokens": 7})
    assert payload(params={"max_tokens": None})["max_tokens"] == 4096


def test_no_seed_is_sent_and_parameters_cannot_replace_what_is_asked() -> None:
    asked = payload(
        Message("system", "Be brief."),
        Message("user", "hello"),
        params={"model": "other", "messages": [], "system": "Lie.", "stream": True, "seed": 1, "top_k": 4},
        seed=7,
    )
    assert asked == {
        "model": MODEL,
        "max_tokens": 4096,
        "top_k": 4,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "hello"}],
    }


def test_the_vendors_own_parameters_stay_beside_the_schema() -> None:
    asked = payload(params={"output_config": {"effort": "low"}, "stop_sequences": ["A"], "stop": "B"}, output_schema={})
    assert asked["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": {}}}
    assert asked["stop_sequences"] == ["A"]
    assert "stop" not in asked


@pytest.mark.parametrize(("stop", "sent"), [("x", ["x"]), (["x", "y"], ["x", "y"])])
def test_stop_goes_by_the_vendors_name(stop: Any, sent: list[str]) -> None:
    assert payload(params={"stop": stop})["stop_sequences"] == sent


def test_an_absent_stop_is_not_sent() -> None:
    assert "stop_sequences" not in payload(params={"stop": None})


def test_roles_alternate_and_empty_texts_are_left_out() -> None:
    asked = payload(
        Message("user", "one"),
        Message("user", ""),
        Message("system", "Be brief."),
        Message("user", "two"),
        Message("assistant", ""),
        Message("assistant", "", (ToolCall("f", {}, "a"),)),
        Message("tool", "", tool_call_id="a"),
        Message("user", "three"),
        Message("system", "In French."),
    )
    assert asked["system"] == "Be brief.\n\nIn French."
    assert asked["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": ""},
                {"type": "text", "text": "three"},
            ],
        },
    ]


def test_a_message_without_content_leaves_no_turn() -> None:
    asked = payload(Message("user", "one"), Message("assistant", ""), Message("user", "two"))
    assert [turn["role"] for turn in asked["messages"]] == ["user"]


def test_ids_that_the_vendor_refuses_are_replaced_in_call_and_result_alike() -> None:
    calls = (ToolCall("f", {}, "call:1"), ToolCall("g", {}, "call.1"), ToolCall("h"), ToolCall("i"))
    asked = payload(
        Message("user", "go"),
        Message("assistant", "", calls),
        Message("tool", "of g", tool_call_id="call.1"),
        Message("tool", "of f", tool_call_id="call:1"),
        Message("tool", "of h"),
        Message("tool", "of i", tool_call_id=""),
    )
    uses, results = asked["messages"][1]["content"], asked["messages"][2]["content"]
    named = {use["id"]: use["name"] for use in uses}
    assert len(named) == 4
    assert all(name.replace("_", "").replace("-", "").isalnum() for name in named)
    assert [(named[result["tool_use_id"]], result["content"]) for result in results] == [
        ("g", "of g"),
        ("f", "of f"),
        ("h", "of h"),
        ("i", "of i"),
    ]


def test_one_id_in_two_rounds_stands_for_two_calls() -> None:
    rounds = (Message("assistant", "", (ToolCall("f", {}, "c"),)), Message("tool", "x", tool_call_id="c"))
    turns = payload(Message("user", "go"), *rounds, *rounds)["messages"]
    uses = [turn["content"][0]["id"] for turn in turns if turn["role"] == "assistant"]
    results = [turn["content"][0]["tool_use_id"] for turn in turns[1:] if turn["role"] == "user"]
    assert uses == results
    assert len(set(uses)) == 2


@given(st.lists(st.sampled_from(["c", "c-1", "c-2", "c:1", "c.1", ""]), max_size=8))
def test_every_call_has_an_id_of_its_own(names: list[str]) -> None:
    asked = payload(Message("user", "go"), Message("assistant", "", tuple(ToolCall("f", {}, name) for name in names)))
    uses = [block["id"] for turn in asked["messages"][1:] for block in turn["content"]]
    assert len(set(uses)) == len(uses) == len(names)


def test_a_result_of_no_call_is_refused_before_it_is_sent() -> None:
    with pytest.raises(CallError, match=r"answers the call `c-9⟦U\+001B⟧`, which no message before it makes") as caught:
        payload(Message("user", "go"), Message("tool", "x", tool_call_id="c-9\x1b"))
    assert (caught.value.kind, caught.value.retry) == ("protocol", False)


def test_the_schema_of_a_tool_always_says_that_it_is_an_object() -> None:
    (tool,) = payload(tools=(ToolSpec("f", "F", {"properties": {"a": {}}}),))["tools"]
    assert tool == {"name": "f", "description": "F", "input_schema": {"type": "object", "properties": {"a": {}}}}


def test_what_was_thought_goes_back_in_front_of_the_call_that_it_led_to() -> None:
    """As the API gives it: one thought before the first call, another between the calls."""
    again = {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"}
    content = [
        THOUGHT,
        {"type": "text", "text": "I will look."},
        {"type": "tool_use", "id": "toolu_01", "name": "lookup", "input": {}},
        again,
        {"type": "tool_use", "id": "toolu_02", "name": "lookup", "input": {}},
    ]
    found = read(content=content)
    assert [call.state for call in found.tool_calls] == [[THOUGHT], [again]]
    sent = payload(
        Message("user", "Where?"),
        Message("assistant", found.text, tuple(ToolCall(call.name, {}, call.id) for call in found.tool_calls)),
        Message("tool", "here", tool_call_id="toolu_01"),
        Message("tool", "there", tool_call_id="toolu_02"),
        states={call.id: call.state for call in found.tool_calls},
    )
    assert sent["messages"][1] == {"role": "assistant", "content": content}


@pytest.mark.parametrize("states", [{}, {"toolu_01": None}, {"toolu_01": "a signature of another vendor"}, {"x": [7]}])
def test_calls_go_without_thoughts_where_there_are_none(states: dict[str, Any]) -> None:
    assert DIALECT.payload(replace(CONVERSATION, states=states), stream=False) == DIALECT.payload(
        CONVERSATION, stream=False
    )


def test_thoughts_are_texts() -> None:
    with pytest.raises(TypeError):
        read(content=[{**THOUGHT, "signature": {"deep": []}}])
    found = read(content=[{**THOUGHT, "more": {}}, {"type": "tool_use", "id": "i", "name": "n", "input": {}}])
    assert [call.state for call in found.tool_calls] == [[THOUGHT]]


# ── answers ─────────────────────────────────────────────────────────────────────────────────


def test_an_answer_is_read_with_everything_that_it_says() -> None:
    assert DIALECT.reply(SAMPLE) == ANSWER


def test_a_streamed_answer_is_the_same() -> None:
    assert streamed(events()) == ANSWER


@given(
    st.lists(st.text() | st.dictionaries(st.text(max_size=3), st.floats(-1, 1) | st.text(), max_size=3), max_size=6),
    st.data(),
)
def test_any_answer_is_the_same_in_whatever_pieces_it_comes(content: list[Any], data: st.DataObject) -> None:
    blocks: list[dict[str, Any]] = []
    pieces: list[dict[str, Any]] = []
    for index, item in enumerate(content):
        text = isinstance(item, str)
        wire = item if text else json.dumps(item)
        call = {"type": "tool_use", "id": f"toolu_{index}", "name": "f"}
        blocks.append({"type": "text", "text": item} if text else {**call, "input": item})
        start = {"type": "text", "text": ""} if text else {**call, "input": {}}
        pieces.append({"type": "content_block_start", "index": index, "content_block": start})
        cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=4)))
        for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
            piece = {"type": "text_delta", "text": wire[begin:end]}
            delta = piece if text else {"type": "input_json_delta", "partial_json": wire[begin:end]}
            pieces.append({"type": "content_block_delta", "index": index, "delta": delta})
        pieces.append({"type": "content_block_stop", "index": index})
    pieces.append({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}})
    whole = read(content=blocks, stop_reason="end_turn", usage={"input_tokens": 5, "output_tokens": 3})
    assert streamed(shown(*pieces)) == whole


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
        ("something_new", "something_new"),
        (None, ""),
    ],
)
def test_why_an_answer_ended(reason: str | None, expected: str) -> None:
    assert read(stop_reason=reason).finish_reason == expected
    delta = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 3}}
    assert streamed(shown(delta)).finish_reason == expected


def test_a_refusal_may_be_without_content() -> None:
    reply = read(content=[], stop_reason="refusal")
    assert (reply.text, reply.tool_calls, reply.finish_reason) == ("", (), "content_filter")


@pytest.mark.parametrize("kind", ["redacted_thinking", "server_tool_use", "web_search_tool_result", "something_new"])
def test_blocks_that_are_neither_text_nor_our_calls_are_passed_over(kind: str) -> None:
    other = {"type": kind, "id": "s", "name": "web_search", "input": {"q": 1}, "text": "x", "data": "x"}
    reply = read(content=[other, {"type": "text", "text": "hi"}])
    assert (reply.text, reply.tool_calls) == ("hi", ())
    found = shown(
        {"type": "content_block_start", "index": 0, "content_block": other},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "no"}},
    )
    reader = DIALECT.reader()
    assert [reader.feed(event.type, event.data) for event in found] == [False] * 5
    assert (reader.finish().text, reader.finish().tool_calls) == ("", ())


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, Usage(source="none")),
        ({}, Usage(source="none")),
        ({"service_tier": "standard"}, Usage(source="none")),
        ({"input_tokens": 0, "output_tokens": 0}, Usage(0, 0)),
        ({"input_tokens": 50, "output_tokens": 7}, Usage(50, 7)),
        ({"input_tokens": 50, "output_tokens": 7, "cache_read_input_tokens": None}, Usage(50, 7)),
        ({"input_tokens": 50, "output_tokens": 7, "cache_read_input_tokens": 400}, Usage(450, 7, 400)),
        ({"input_tokens": 50, "output_tokens": 7, "cache_creation_input_tokens": 9}, Usage(59, 7, 0, 9)),
        (
            {"input_tokens": 5, "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 7}},
            Usage(5, 7, 0, 0, 7),
        ),
        ({"input_tokens": 5, "output_tokens": 7, "output_tokens_details": None}, Usage(5, 7)),
    ],
)
def test_input_is_what_was_read_written_and_neither(usage: Any, expected: Usage) -> None:
    assert read(usage=usage).usage == expected


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": "12"},
        {"input_tokens": 1.5, "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": -1},
        {"input_tokens": True},
        {"input_tokens": 1, "cache_read_input_tokens": 10**13},
        {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 3}},
    ],
)
def test_token_counts_that_cannot_be_are_refused(usage: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="usage"):
        read(usage=usage)


@pytest.mark.parametrize("value", [None, [1], "x", 7, True])
def test_arguments_that_are_no_object_are_left_to_the_schema(value: Any) -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": value}
    assert read(content=[block]).tool_calls == (RequestedCall("f", value, "t"),)


def test_a_call_without_an_id_has_none() -> None:
    assert read(content=[{"type": "tool_use", "name": "f", "input": {}}]).tool_calls == (RequestedCall("f", {}, ""),)


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": float("-inf")}, json.loads("[" * 101 + "]" * 101)])
def test_arguments_that_no_json_holds_are_kept_as_they_came(value: Any) -> None:
    (call,) = read(content=[{"type": "tool_use", "id": "t", "name": "f", "input": value}]).tool_calls
    assert call.arguments == json.dumps(value)
    assert str(call.error).startswith("arguments are not JSON: ")


def test_arguments_without_a_bottom_are_a_fault_of_the_answer() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        read(content=[{"type": "tool_use", "id": "t", "name": "f", "input": deep}])


def test_the_sample_survives_reading() -> None:
    before = copy.deepcopy(SAMPLE)
    DIALECT.reply(SAMPLE)
    assert before == SAMPLE


# ── streams ─────────────────────────────────────────────────────────────────────────────────


def test_the_first_piece_is_of_text_or_of_a_call() -> None:
    def first(found: list[Event]) -> str | None:
        reader = DIALECT.reader()
        return next((event.data for event in found if reader.feed(event.type, event.data)), None)

    assert '"text":"I will"' in str(first(events()))
    calls = [event for event in events() if '"index":1' not in event.data and '"index":2' not in event.data]
    assert '"content_block":{"type":"tool_use"' in str(first(calls))
    thoughts = [event for event in events() if '"index":0' in event.data or '"message' in event.data]
    assert first(thoughts) is None


def test_a_stream_that_is_cut_anywhere_is_no_answer() -> None:
    whole = events()
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="the stream ended before the message did"):
            streamed(whole[:length])


def test_a_stream_that_begins_in_the_middle_is_no_answer() -> None:
    with pytest.raises(ValueError, match="ended before"):
        streamed([event for event in events() if event.type != "message_start"][-2:])


@given(st.integers(0, STREAM.rindex(b"}")))
def test_a_stream_that_is_cut_at_any_byte_is_no_answer(length: int) -> None:
    parser = EventParser()
    found = [*parser.feed(STREAM[:length]), *parser.finish()]
    with pytest.raises(DOCUMENTED):
        streamed(found)


def test_counts_are_cumulative_and_the_last_one_holds() -> None:
    found = streamed(
        shown(
            {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 4}},
            {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 9, "input_tokens": 6}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        )
    )
    assert (found.usage, found.finish_reason) == (Usage(6, 9), "stop")


def test_without_the_final_count_the_usage_is_unknown() -> None:
    found = streamed(shown({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}))
    assert found.usage == Usage(source="none")


def test_arguments_that_come_with_the_start_of_a_block_are_taken() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}
    found = streamed(shown({"type": "content_block_start", "index": 0, "content_block": block}))
    assert found.tool_calls == (RequestedCall("f", {"a": 1}, "t"),)


def test_arguments_that_the_limit_cut_are_kept_as_they_came() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    found = streamed(
        shown(
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"a'}},
            {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 1}},
        )
    )
    (call,) = found.tool_calls
    assert (call.arguments, found.finish_reason) == ('{"a', "length")
    assert call.error is not None


def test_blocks_stand_in_the_order_of_their_numbers() -> None:
    texts = [
        {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": str(index)}}
        for index in (2, 0, 1)
    ]
    assert streamed(shown(*texts)).text == "012"


def test_unknown_events_and_pings_are_passed_over() -> None:
    extra = [Event("ping", "{}"), Event("ping", '{"type": "ping"}'), Event("x", '{"type": "something_new", "a": 1}')]
    assert streamed([*events()[:3], *extra, *events()[3:]]) == ANSWER


@pytest.mark.parametrize("body", ["", "[]", "7", "{", "[DONE]", "[" * 100_000])
def test_events_that_are_none_are_faults(body: str) -> None:
    with pytest.raises(DOCUMENTED):
        DIALECT.reader().feed("message_start", body)


def test_a_block_must_not_begin_twice_nor_a_piece_come_before_it() -> None:
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    with pytest.raises(ValueError, match="`index` 0"):
        streamed(shown(start, start))
    with pytest.raises(KeyError):
        streamed(shown({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}))


# ── faults ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sample", ERRORS, ids=lambda sample: f"{sample['status']}-{sample['fault']}")
def test_the_class_of_an_error(sample: dict[str, Any]) -> None:
    assert DIALECT.fault(sample["status"], sample["body"]) == sample["fault"]


@pytest.mark.parametrize("sample", ERRORS, ids=lambda sample: f"{sample['status']}-{sample['fault']}")
def test_an_error_within_an_answer_is_treated_as_its_status(sample: dict[str, Any]) -> None:
    for raising in (
        lambda: DIALECT.reply(sample["body"]),
        lambda: DIALECT.reader().feed("error", json.dumps(sample["body"])),
    ):
        with pytest.raises(CallError, match=sample["body"]["error"]["type"]) as caught:
            raising()
        error = caught.value
        assert (error.kind, error.status, error.fault) == ("status", sample["status"], sample["fault"])
        assert (error.retry, error.fatal) == (sample["status"] in (429, 529), sample["status"] == 401)


def test_the_words_of_an_error_count_only_where_the_request_was_refused() -> None:
    assert DIALECT.fault(500, ERRORS[0]["body"]) == "general"
    assert DIALECT.fault(429, ERRORS[3]["body"]) == "general"


def test_an_unknown_error_may_pass_and_its_words_are_made_safe() -> None:
    body = {"type": "error", "error": {"type": "new_error", "message": "\x1b[31m\n::error::" + "x" * 10_000}}
    with pytest.raises(CallError) as caught:
        DIALECT.reply(body)
    assert (caught.value.status, caught.value.retry) == (500, True)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) <= QUOTED


@given(st.sampled_from(ERRORS).flatmap(lambda sample: mutated(sample["body"])), st.sampled_from([400, 413, 500]))
def test_the_class_of_anything_is_one(body: Any, status: int) -> None:
    assert DIALECT.fault(status, body) in ("general", "context_window", "content_policy")
    assert DIALECT.fault(status, None) in ("general", "context_window")


# ── answers that are none ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "changes",
    [
        {"stop_reason": 7},
        {"stop_reason": ["end_turn"]},
        {"model": 5},
        {"content": None},
        {"content": "hi"},
        {"content": [None]},
        {"content": [{"type": 7}]},
        {"content": [{"type": "text", "text": 7}]},
        {"content": [{"type": "tool_use", "name": None, "input": {}}]},
        {"content": [{"type": "tool_use", "input": {}}]},
        {"content": [{"type": "tool_use", "name": "f", "id": 7}]},
        {"usage": "many"},
        {"type": "error", "error": "no"},
    ],
    ids=str,
)
def test_anything_but_a_message_is_a_fault(changes: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, AttributeError)):
        read(**changes)


@pytest.mark.parametrize("body", [None, [], 7, "text", {}, {"choices": []}])
def test_other_json_is_a_fault(body: Any) -> None:
    with pytest.raises((KeyError, TypeError)):
        DIALECT.reply(body)


# ── hostile answers ─────────────────────────────────────────────────────────────────────────


@given(mutated(SAMPLE, most=3))
def test_whatever_comes_is_an_answer_or_a_documented_fault(body: Any) -> None:
    assert_read_or_refused(lambda: DIALECT.reply(body))


@given(mutated([[event.type, json.loads(event.data)] for event in events()], most=3))
def test_whatever_is_streamed_is_an_answer_or_a_documented_fault(found: Any) -> None:
    assert_read_or_refused(lambda: streamed([Event(str(kind), json.dumps(body)) for kind, body in found]))


# ── over the wire ───────────────────────────────────────────────────────────────────────────


def exchange(action: Action, *, stream: bool, request: ChatRequest = CONVERSATION) -> tuple[ChatResponse, Sent]:
    async def run() -> tuple[ChatResponse, Sent]:
        async with Loopback((action,)) as server:
            base = server.url.removesuffix("/v1")
            target = HttpVendor("p", AnthropicMessages(), base_url=base, key="sk-ant-1", stream=stream)
            try:
                return await target.complete(request), server.requests[0]
            finally:
                await target.aclose()

    return asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_makes_the_round_trip(stream: bool) -> None:
    response, sent = exchange(streams(STREAM) if stream else answer(SAMPLE), stream=stream)
    assert sent.line == "POST /v1/messages HTTP/1.1"
    assert (sent.headers["x-api-key"], sent.headers["anthropic-version"]) == ("sk-ant-1", "2023-06-01")
    assert sent.json == DIALECT.payload(CONVERSATION, stream=stream)
    assert b"secret-case" not in sent.body
    assert (response.text, response.tool_calls) == (ANSWER.text, ANSWER.tool_calls)
    assert (response.finish_reason, response.usage, response.model) == ("tool_calls", ANSWER.usage, MODEL)
    assert (response.ttft_us is not None) is stream


def test_an_overloaded_vendor_is_worth_another_attempt() -> None:
    with pytest.raises(CallError) as caught:
        exchange(answer(ERRORS[-1]["body"], 529), stream=False)
    assert (caught.value.status, caught.value.retry, caught.value.fatal) == (529, True, False)


def test_a_cut_stream_is_a_fault_of_the_protocol() -> None:
    part = STREAM[: STREAM.rindex(b"event: message_delta")]
    with pytest.raises(CallError, match="the stream ended before the message did") as caught:
        exchange(streams(part), stream=True)
    assert (caught.value.kind, caught.value.retry) == ("protocol", True)
