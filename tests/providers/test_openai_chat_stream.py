"""Streams of chat completions: what chunks in any order and of any make come to, and what is no answer."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.providers import CallError, RequestedCall
from evalkit.providers.dialect import Reply
from evalkit.providers.sse import Event
from evalkit.records import Usage

from .loopback import completion, streams
from .mutations import DOCUMENTED, assert_read_or_refused, mutated
from .samples import CALLS, PLAIN, REFUSAL, read_stream, wire_bytes, wire_events
from .test_openai_chat import DIALECT, VLLM, ask

OLLAMA = Reply(
    tool_calls=(
        RequestedCall("run_command", {"command": "ls"}, "call_wteop8bt"),
        RequestedCall("run_command", {"command": "ls -l"}, "call_rk2xye1l"),
    ),
    finish_reason="tool_calls",
    model="qwen2.5-coder:7b",
    system_fingerprint="fp_ollama",
)
GEMINI = Reply(
    tool_calls=(
        RequestedCall("get_weather", {"city": "Zürich"}, "function-call-1758708579654"),
        RequestedCall("get_weather", {"city": "Oslo"}, "function-call-1621171984081"),
    ),
    finish_reason="tool_calls",
    usage=Usage(60, 80, reasoning_tokens=50),
    model="gemini-2.5-flash",
)
AZURE = Reply(
    text="Hello there",
    finish_reason="content_filter",
    usage=Usage(8, 5),
    model="gpt-4.1-2025-04-14",
    system_fingerprint="fp_c79ab13e31",
)


@pytest.mark.parametrize(
    ("sample", "expected", "first"),
    [
        ("openai_chat", PLAIN, 1),
        ("openai_chat_tools", CALLS, 0),
        ("openai_chat_refusal", REFUSAL, 1),
        ("openai_vllm", VLLM, 3),
        ("openai_ollama", OLLAMA, 0),
        ("openai_gemini", GEMINI, 0),
        ("openai_azure", AZURE, 2),
    ],
)
def test_a_stream_is_read_with_everything_that_it_says(sample: str, expected: Reply, first: int) -> None:
    reply, counted = read_stream(DIALECT, wire_events(sample))
    assert reply == expected
    assert counted.index(True) == first


def test_a_stream_over_the_wire_has_a_time_to_the_first_piece() -> None:
    response, sent = ask(streams(wire_bytes("openai_chat")), stream=True)
    assert sent.json["stream_options"] == {"include_usage": True}
    assert (response.text, response.usage, response.finish_reason) == (PLAIN.text, PLAIN.usage, "stop")
    assert response.ttft_us is not None
    assert 0 < response.ttft_us <= response.latency_us


def chunk(delta: Any = None, reason: str | None = None, **more: Any) -> Event:
    return Event("", json.dumps({"choices": [{"index": 0, "delta": delta or {}, "finish_reason": reason}], **more}))


def of(*events: Event) -> Reply:
    return read_stream(DIALECT, events)[0]


@pytest.mark.parametrize("sample", ["openai_chat", "openai_chat_tools", "openai_vllm"])
def test_a_stream_that_was_cut_is_no_answer(sample: str) -> None:
    events = wire_events(sample)
    last = next(at for at, event in enumerate(events) if re.search('"finish_reason":"', event.data))
    for kept in range(last + 1):
        with pytest.raises(ValueError, match="the stream ended before the answer did"):
            of(*events[:kept])
        with pytest.raises(ValueError, match="the stream ended before the answer did"):
            of(*events[:kept], Event("", "[DONE]"))


def test_a_stream_without_its_usage_has_none() -> None:
    reply = of(*wire_events("openai_chat")[:4])
    assert (reply.text, reply.usage) == (PLAIN.text, Usage(source="none"))


def test_the_last_usage_counts_where_each_chunk_states_one() -> None:
    counts = [{"prompt_tokens": 7, "completion_tokens": done} for done in (1, 2, 3)]
    events = [chunk({"content": "a"}, usage=counts[0]), chunk({"content": "b"}, usage=counts[1])]
    assert of(*events, chunk(reason="stop", usage=counts[2]), chunk(usage=None)).usage == Usage(7, 3)


def test_other_choices_are_not_mixed_into_the_first() -> None:
    second = Event("", json.dumps({"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "length"}]}))
    reply, counted = read_stream(DIALECT, [second, chunk({"content": "a"}), second, chunk(reason="stop"), second])
    assert (reply.text, reply.finish_reason) == ("a", "stop")
    assert counted == [False, True, False, False, False]


def test_parts_of_a_delta_are_text_and_thoughts_are_not() -> None:
    thinking = {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}
    parts = {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    reply, counted = read_stream(DIALECT, [chunk(thinking), chunk(parts), chunk({"content": "c"}, "stop")])
    assert reply.text == "abc"
    assert counted == [False, True, True]


def pieces(text: str, cuts: list[int]) -> Iterator[str]:
    edges = [0, *sorted(cuts), len(text)]
    return (text[start:end] for start, end in itertools.pairwise(edges))


TEXTS = st.text(max_size=30)
CUTS = st.lists(st.integers(0, 40), max_size=5)


@settings(deadline=None)
@given(TEXTS, CUTS, st.lists(st.tuples(st.dictionaries(TEXTS, TEXTS, max_size=2), CUTS), max_size=3), st.randoms())
def test_pieces_make_the_same_answer_however_they_are_cut_and_mixed(
    text: str, cuts: list[int], calls: list[tuple[dict[str, str], list[int]]], order: Any
) -> None:
    whole = completion(
        text,
        message={
            "tool_calls": [
                {"id": f"c{at}", "function": {"name": "f", "arguments": json.dumps(arguments)}}
                for at, (arguments, _) in enumerate(calls)
            ]
        },
    )
    lanes: list[list[dict[str, Any]]] = [[{"content": piece} for piece in pieces(text, cuts)]]
    for at, (arguments, at_cuts) in enumerate(calls):
        begin = {"index": at, "id": f"c{at}", "type": "function", "function": {"name": "f", "arguments": ""}}
        rest = [{"index": at, "function": {"arguments": piece}} for piece in pieces(json.dumps(arguments), at_cuts)]
        lanes.append([{"tool_calls": [call]} for call in (begin, *rest)])
    deltas = []
    while any(lanes):
        deltas.append(order.choice([lane for lane in lanes if lane]).pop(0))
    usage = {"choices": [], "model": "m-1", "usage": whole["usage"]}
    events = [*map(chunk, deltas), chunk(reason="stop"), Event("", json.dumps(usage)), Event("", "[DONE]")]
    assert of(*events) == DIALECT.reply(whole)


def test_a_character_in_two_halves_is_one_character() -> None:
    halves = [Event("", f'{{"choices":[{{"delta":{{"content":"{half}"}}}}]}}') for half in ("a\\ud83d", "\\ude00 b")]
    assert of(*halves, chunk(reason="stop")).text == "a😀 b"
    assert of(halves[0], chunk(reason="stop")).text == "a\ud83d"


def calls_of(*calls: dict[str, Any]) -> tuple[RequestedCall, ...]:
    return of(*(chunk({"tool_calls": [call]}) for call in calls), chunk(reason="tool_calls")).tool_calls


@pytest.mark.parametrize(
    "calls",
    [
        # the name and the id with every piece
        [
            {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"n":'}},
            {"index": 0, "id": "a", "function": {"name": "f", "arguments": "1}"}},
        ],
        # a new id with every piece
        [
            {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"n":'}},
            {"index": 0, "id": "b", "function": {"arguments": "1}"}},
        ],
        # no index
        [
            {"id": "a", "function": {"name": "f"}},
            {"function": {"name": "", "arguments": '{"n":'}},
            {"function": {"name": None, "arguments": "1}"}},
        ],
        # the id after the name, and the arguments as an object
        [{"index": 0, "function": {"name": "f"}}, {"index": 0, "id": "a", "function": {"arguments": {"n": 1}}}],
        # the name in two pieces
        [
            {"index": 0, "id": "a", "function": {"name": "f"}},
            {"index": 0, "function": {"name": "g", "arguments": '{"n":1}'}},
        ],
    ],
)
def test_a_call_is_put_together_whatever_the_server_repeats_or_leaves_out(calls: list[dict[str, Any]]) -> None:
    name = "fg" if any(call["function"].get("name") == "g" for call in calls) else "f"
    assert calls_of(*calls) == (RequestedCall(name, {"n": 1}, "a"),)


def test_whole_calls_without_an_index_are_several() -> None:
    found = calls_of({"id": "a", "function": {"name": "f"}}, {"id": "b", "function": {"name": "f"}})
    assert found == (RequestedCall("f", {}, "a"), RequestedCall("f", {}, "b"))


def test_calls_are_in_the_order_of_their_index() -> None:
    found = calls_of(
        {"index": 1, "id": "b", "function": {"name": "g"}}, {"index": 0, "id": "a", "function": {"name": "f"}}
    )
    assert [call.id for call in found] == ["a", "b"]


@pytest.mark.parametrize(
    "data",
    [
        "",
        "text",
        "7",
        "[]",
        "null",
        "[" * 100_000,
        '{"choices":7}',
        '{"choices":[7]}',
        '{"choices":[{"delta":7}]}',
        '{"choices":[{"delta":{"content":7}}]}',
        '{"choices":[{"delta":{"content":[7]}}]}',
        '{"choices":[{"delta":{"refusal":{}}}]}',
        '{"choices":[{"finish_reason":7}]}',
        '{"choices":[{"delta":{"tool_calls":7}}]}',
        '{"choices":[{"delta":{"tool_calls":[7]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"index":"0"}]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"index":true}]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":7}}]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":7}}]}}]}',
        '{"choices":[],"model":7}',
    ],
)
def test_an_event_of_another_shape_is_refused(data: str) -> None:
    with pytest.raises(DOCUMENTED):
        DIALECT.reader().feed("", data)


def test_a_call_without_a_name_is_none() -> None:
    with pytest.raises(ValueError, match="named no function"):
        calls_of({"index": 0, "id": "a", "function": {"arguments": "{}"}})


@settings(deadline=None)
@given(st.data())
def test_a_damaged_stream_is_read_or_refused(data: st.DataObject) -> None:
    events = wire_events(data.draw(st.sampled_from(["openai_chat_tools", "openai_chat", "openai_vllm"])))
    at = data.draw(st.integers(0, len(events) - 2))
    events[at] = Event("", json.dumps(data.draw(mutated(json.loads(events[at].data)))))
    assert_read_or_refused(lambda: of(*events))


@pytest.mark.parametrize(
    ("events", "said", "retry", "status"),
    [
        (wire_events("openai_openrouter_error"), "Provider disconnected unexpectedly", True, 502),
        ([Event("", '{"error":{"message":"boom","type":"server_error"}}')], "boom .server_error.", True, None),
        ([Event("", '{"object":"error","message":"boom","type":"InternalServerError","code":500}')], "boom", True, 500),
        ([Event("error", '{"message":"boom"}')], "boom", True, None),
        ([Event("error", '"boom"')], "boom", True, None),
        ([Event("error", "7")], "it does not say which", True, None),
        ([Event("", '{"error":{"message":"no","code":400,"type":"BadRequestError"}}')], "no", False, 400),
    ],
)
def test_an_error_in_a_stream_is_an_error(events: list[Event], said: str, retry: bool, status: int | None) -> None:
    with pytest.raises(CallError, match=f"the target reports an error: {said}") as caught:
        of(*events)
    assert (caught.value.retry, caught.value.status, caught.value.kind) == (retry, status, "status")
