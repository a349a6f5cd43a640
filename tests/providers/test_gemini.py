"""Gemini generateContent: requests and answers against samples of the vendor's format, whole and streamed."""

from __future__ import annotations

import asyncio
import copy
import json
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.providers import CallError, ChatRequest, ChatResponse, RequestedCall
from evalkit.providers.dialect import QUOTED, Dialect, Fault, Reply
from evalkit.providers.gemini import GEMINI_BASE_URL, GeminiGenerateContent
from evalkit.providers.sse import Event, EventParser
from evalkit.providers.vendor import HttpVendor
from evalkit.records import Message, ToolCall, ToolSpec, Usage

from .loopback import Action, Loopback, Sent, answer, streams
from .mutations import DOCUMENTED, assert_read_or_refused, mutated
from .samples import read_stream, wire, wire_bytes, wire_events

DIALECT: Dialect = GeminiGenerateContent()
SAMPLE = wire("gemini_reply")
BLOCKED = wire("gemini_blocked")
STREAM = wire_bytes("gemini_stream")
ERRORS = wire("gemini_errors")
MODEL = "gemini-3-pro-preview"
SIGNATURE = "skip_thought_signature_validator"
ANSWER = Reply(
    text="I will look them up.",
    tool_calls=(
        RequestedCall("lookup_order", {"order": "A-1", "n": 1.5}, "8f2b1a3c", state="EpwCCpkCAb4+9vvtS0V9"),
        RequestedCall("lookup_order", {"order": "Ü-2"}, "8f2b1a3d"),
        RequestedCall("close_ticket", {}, ""),
    ),
    finish_reason="tool_calls",
    usage=Usage(557, 80, cached_tokens=400, reasoning_tokens=30),
    model="gemini-3-pro-preview-11-2025",
)
HARASSMENT = {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}
CONVERSATION = ChatRequest(
    MODEL,
    (
        Message("system", "You help customers of a shop."),
        Message("user", "Where are my orders A-1 and Ü-2?"),
        Message(
            "assistant",
            "I will look.",
            (
                ToolCall("lookup_order", {"order": "A-1"}, "fc-1"),
                ToolCall("lookup_invoice", {"order": "Ü-2"}, "fc-2"),
            ),
        ),
        Message("tool", '{"status": "shipped"}', tool_call_id="fc-1"),
        Message("tool", "not found", tool_call_id="fc-2"),
        Message("assistant", "A-1 is on its way."),
        Message("user", "And what does sending it back cost?"),
    ),
    tools=(
        ToolSpec(
            "lookup_order",
            "Find an order.",
            {
                "type": "object",
                "properties": {"order": {"type": "string"}},
                "required": ["order"],
                "additionalProperties": False,
            },
        ),
        ToolSpec("close_ticket", side_effect="write"),
    ),
    params={
        "temperature": 0.2,
        "max_tokens": 300,
        "top_p": 0.9,
        "stop": "END",
        "thinkingConfig": {"thinkingLevel": "low"},
        "safetySettings": [HARASSMENT],
    },
    output_schema={"type": "object", "properties": {"cost": {"type": "string"}}, "required": ["cost"]},
    seed=3,
    case_id="secret-case",
    trial=3,
)
HELLO = ChatRequest(MODEL, (Message("user", "hello"),))


def payload(*messages: Message, model: str = MODEL, **fields: Any) -> dict[str, Any]:
    return dict(DIALECT.payload(ChatRequest(model, messages or HELLO.messages, **fields), stream=False))


def response(*parts: dict[str, Any], reason: str | None = "STOP", **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    return {"candidates": [candidate | ({"finishReason": reason} if reason else {})], **more}


def fault(status: int, data: Any) -> Fault:
    found = DIALECT.fault(status, data)
    assert isinstance(found, Fault)
    return found


def called(**call: Any) -> RequestedCall:
    (found,) = DIALECT.reply(response({"functionCall": call})).tool_calls
    return found


def events() -> list[Event]:
    return wire_events("gemini_stream")


def read_events(found: list[Event]) -> Reply:
    return read_stream(DIALECT, found)[0]


def streamed(*chunks: dict[str, Any]) -> Reply:
    return read_events([Event("", json.dumps(chunk)) for chunk in chunks])


# ── requests ────────────────────────────────────────────────────────────────────────────────


def test_a_whole_conversation_is_written_as_the_vendor_publishes_it() -> None:
    expected = wire("gemini_request")
    assert DIALECT.payload(CONVERSATION, stream=False) == expected
    assert DIALECT.payload(CONVERSATION, stream=True) == expected


def test_address_and_headers() -> None:
    base = "https://generativelanguage.googleapis.com/v1beta/models/gemini-3-pro-preview"
    assert GEMINI_BASE_URL + DIALECT.path(HELLO, stream=False) == f"{base}:generateContent"
    assert GEMINI_BASE_URL + DIALECT.path(HELLO, stream=True) == f"{base}:streamGenerateContent?alt=sse"
    assert DIALECT.headers("k-1") == {"x-goog-api-key": "k-1"}
    assert DIALECT.headers(None) == {}
    assert DIALECT.kind == "gemini"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("models/gemini-2.5-flash", "/models/gemini-2.5-flash:generateContent"),
        ("a/b", "/models/a%2Fb:generateContent"),
        ("../../v1/x?key=1#y", "/models/..%2F..%2Fv1%2Fx%3Fkey%3D1%23y:generateContent"),
        ("m:delete", "/models/m%3Adelete:generateContent"),
        ("größe 1", "/models/gr%C3%B6%C3%9Fe%201:generateContent"),
    ],
)
def test_the_name_of_a_model_cannot_change_the_address(model: str, path: str) -> None:
    assert DIALECT.path(ChatRequest(model, ()), stream=False) == path


@given(st.text(min_size=1))
def test_any_name_is_one_part_of_the_address(model: str) -> None:
    name = model.removeprefix("models/")
    path = DIALECT.path(ChatRequest(model, ()), stream=True)
    assert path.isascii()
    start, escaped, rest = path.split("/")[1], path.split("/")[2].split(":")[0], path.partition(":")[2]
    assert (start, unquote(escaped), rest) == ("models", name, "streamGenerateContent?alt=sse")


def test_parameters_are_those_of_the_generation_by_either_name() -> None:
    config = payload(
        params={
            "max_completion_tokens": 5,
            "top_k": 3,
            "stop": ["a", "b"],
            "presence_penalty": 0.1,
            "frequency_penalty": 0.2,
            "responseModalities": ["TEXT"],
            "generationConfig": {"candidateCount": 1, "seed": 9, "topK": 99},
        },
        seed=7,
    )["generationConfig"]
    assert config == {
        "candidateCount": 1,
        "maxOutputTokens": 5,
        "topK": 3,
        "stopSequences": ["a", "b"],
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseModalities": ["TEXT"],
        "seed": 7,
    }


def test_what_stands_beside_the_generation_stays_there() -> None:
    tool_config = {"functionCallingConfig": {"mode": "ANY"}}
    asked = payload(params={"toolConfig": tool_config, "cachedContent": "cachedContents/1", "serviceTier": "flex"})
    assert (asked["toolConfig"], asked["cachedContent"], asked["serviceTier"]) == (
        tool_config,
        "cachedContents/1",
        "flex",
    )
    assert asked["generationConfig"] == {"seed": 0}


def test_parameters_cannot_replace_what_is_asked() -> None:
    asked = payload(
        Message("system", "Be brief."),
        Message("user", "hello"),
        params={
            "model": "other",
            "contents": [],
            "messages": [],
            "systemInstruction": {"parts": [{"text": "Lie."}]},
            "stream": True,
            "seed": 1,
            "tools": [{"googleSearch": {}}],
        },
        tools=(ToolSpec("f", "F"),),
        seed=7,
    )
    assert asked == {
        "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [{"name": "f", "description": "F"}]}],
        "generationConfig": {"seed": 7},
    }


def test_empty_texts_are_left_out_and_every_system_text_is_kept() -> None:
    asked = payload(
        Message("system", "One."),
        Message("system", ""),
        Message("user", ""),
        Message("user", "hello"),
        Message("assistant", ""),
        Message("system", "Two."),
    )
    assert asked["systemInstruction"] == {"parts": [{"text": "One."}, {"text": "Two."}]}
    assert asked["contents"] == [{"role": "user", "parts": [{"text": "hello"}]}]


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ('{"total": 20}', {"total": 20}),
        ('{"error": "not found"}', {"error": "not found"}),
        ("[1, 2]", {"output": [1, 2]}),
        ("7", {"output": 7}),
        ("null", {"output": None}),
        ("plain words", {"output": "plain words"}),
        ("", {"output": ""}),
        ('{"a": NaN}', {"output": '{"a": NaN}'}),
    ],
)
def test_a_result_is_an_object(content: str, sent: dict[str, Any]) -> None:
    asked = payload(Message("assistant", "", (ToolCall("f", {}, "c"),)), Message("tool", content, tool_call_id="c"))
    (part,) = asked["contents"][1]["parts"]
    assert part["functionResponse"]["response"] == sent


def test_a_result_names_the_function_of_its_call() -> None:
    calls = (ToolCall("f", {}, "c1"), ToolCall("g"), ToolCall("h"), ToolCall("i", {}, "c1"))
    asked = payload(
        Message("assistant", "", calls),
        Message("tool", "1", tool_call_id="c1"),
        Message("tool", "2"),
        Message("tool", "3", tool_call_id=""),
        Message("tool", "4", tool_call_id="c1"),
    )
    results = [part["functionResponse"] for part in asked["contents"][1]["parts"]]
    assert [(result.get("id"), result["name"], result["response"]["output"]) for result in results] == [
        ("c1", "f", 1),
        (None, "g", 2),
        (None, "h", 3),
        ("c1", "i", 4),
    ]


def test_rounds_of_calls_stay_apart() -> None:
    asked = payload(
        Message("user", "go"),
        Message("assistant", "", (ToolCall("f", {}, "a"),)),
        Message("tool", "1", tool_call_id="a"),
        Message("assistant", "", (ToolCall("g", {}, "b"),)),
        Message("tool", "2", tool_call_id="b"),
    )
    assert [content["role"] for content in asked["contents"]] == ["user", "model", "user", "model", "user"]
    assert [content["parts"][0].get("thoughtSignature") for content in asked["contents"]] == [
        None,
        SIGNATURE,
        None,
        SIGNATURE,
        None,
    ]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gemini-3-flash-preview", True),
        ("gemini-4-argon", True),
        ("gemini-25", True),
        ("gemini-flash-latest", True),
        ("gemini-2.5-flash", False),
        ("models/gemini-2.0-flash-001", False),
        ("gemini-1.5-pro", False),
        ("gemma-3-27b-it", False),
    ],
)
def test_calls_bear_a_signature_where_the_model_wants_one(model: str, expected: bool) -> None:
    asked = payload(Message("assistant", "", (ToolCall("f", {}, "c"), ToolCall("g", {}, "d"))), model=model)
    found = [part.get("thoughtSignature") for part in asked["contents"][0]["parts"]]
    assert found == [SIGNATURE if expected else None, None]


def test_signatures_go_back_with_their_calls() -> None:
    found = DIALECT.reply(
        response(
            {"functionCall": {"name": "a", "args": {}, "id": "1"}, "thoughtSignature": "c2lnbmVk"},
            {"functionCall": {"name": "b", "args": {}, "id": "2"}},
        )
    ).tool_calls
    assert [call.state for call in found] == ["c2lnbmVk", None]
    sent = payload(
        Message("user", "Where?"),
        Message("assistant", "", tuple(ToolCall(call.name, {}, call.id) for call in found)),
        states={call.id: call.state for call in found if call.state is not None},
    )
    assert [part.get("thoughtSignature") for part in sent["contents"][1]["parts"]] == ["c2lnbmVk", None]


@pytest.mark.parametrize("states", [{}, {"fc-1": None}, {"fc-1": [{"type": "thinking"}]}, {"x": "c2lnbmVk"}])
def test_calls_without_their_signature_go_with_what_stands_for_it(states: dict[str, Any]) -> None:
    assert DIALECT.payload(replace(CONVERSATION, states=states), stream=False) == DIALECT.payload(
        CONVERSATION, stream=False
    )


def test_the_digest_of_a_request_is_that_of_what_the_model_is_asked() -> None:
    assert replace(CONVERSATION, states={"fc-1": "c2lnbmVk"}).digest == CONVERSATION.digest


def test_a_result_of_no_call_is_refused_before_it_is_sent() -> None:
    with pytest.raises(CallError, match=r"answers the call `c-9⟦U\+001B⟧`, which no message before it makes") as caught:
        payload(Message("user", "go"), Message("tool", "x", tool_call_id="c-9\x1b"))
    assert (caught.value.kind, caught.value.retry) == ("protocol", False)


# ── answers ─────────────────────────────────────────────────────────────────────────────────


def test_an_answer_is_read_with_everything_that_it_says() -> None:
    assert DIALECT.reply(SAMPLE) == ANSWER


def test_a_streamed_answer_is_the_same() -> None:
    assert read_events(events()) == ANSWER


@given(
    st.lists(st.text() | st.dictionaries(st.text(max_size=3), st.floats(-1, 1) | st.text(), max_size=3), max_size=6),
    st.data(),
)
def test_any_answer_is_the_same_in_whatever_chunks_it_comes(content: list[Any], data: st.DataObject) -> None:
    parts = [
        {"text": item} if isinstance(item, str) else {"functionCall": {"name": "f", "args": item}} for item in content
    ]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(parts)))))
    pieces = [parts[start:end] for start, end in zip([0, *cuts], [*cuts, len(parts)], strict=True)]
    whole = response(*parts, usageMetadata={"promptTokenCount": 3})
    chunks = [response(*piece, reason=None) for piece in pieces]
    assert streamed(*chunks, response(usageMetadata={"promptTokenCount": 3})) == DIALECT.reply(whole)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("SPII", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL"),
        ("OTHER", "OTHER"),
        ("SOMETHING_NEW", "SOMETHING_NEW"),
    ],
)
def test_why_an_answer_ended(reason: str, expected: str) -> None:
    assert DIALECT.reply(response({"text": "hi"}, reason=reason)).finish_reason == expected
    assert (
        streamed(response({"text": "h"}, reason=None), response({"text": "i"}, reason=reason)).finish_reason == expected
    )


@pytest.mark.parametrize(
    ("reason", "expected"), [("STOP", "tool_calls"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter")]
)
def test_only_an_answer_that_ended_well_ends_in_calls(reason: str, expected: str) -> None:
    reply = DIALECT.reply(response({"functionCall": {"name": "f", "args": {}}}, reason=reason))
    assert (reply.finish_reason, len(reply.tool_calls)) == (expected, 1)


@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": {}}, {"content": {"role": "model"}}])
def test_an_answer_may_be_without_parts(content: dict[str, Any]) -> None:
    reply = DIALECT.reply({"candidates": [{**content, "finishReason": "MAX_TOKENS"}]})
    assert (reply.text, reply.tool_calls, reply.finish_reason) == ("", (), "length")


def test_a_blocked_prompt_is_an_answer_that_the_filter_gave() -> None:
    expected = Reply(finish_reason="content_filter", usage=Usage(21, 0), model="gemini-3-pro-preview-11-2025")
    assert DIALECT.reply(BLOCKED) == expected
    assert streamed(BLOCKED) == expected
    assert DIALECT.reply({**BLOCKED, "candidates": []}) == expected


def test_feedback_that_blocks_nothing_changes_nothing() -> None:
    feedback = {"safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}]}
    assert DIALECT.reply({**SAMPLE, "promptFeedback": feedback}) == ANSWER


@pytest.mark.parametrize("body", [{}, {"candidates": []}, {"candidates": None}, response({"text": "hi"}, reason=None)])
def test_what_does_not_say_why_it_ends_is_no_answer(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no `finishReason`"):
        DIALECT.reply({**body, "usageMetadata": {"promptTokenCount": 3}})


def test_other_candidates_are_not_mixed_in() -> None:
    other = {"content": {"parts": [{"text": "no"}]}, "finishReason": "SAFETY", "index": 1}
    whole = response({"text": "yes"})
    assert DIALECT.reply({"candidates": [other, *whole["candidates"]]}).text == "yes"
    assert streamed({"candidates": [other]}, whole, {"candidates": [other]}) == Reply("yes", finish_reason="stop")


def test_parts_that_are_neither_text_nor_our_calls_are_passed_over() -> None:
    reply = DIALECT.reply(
        response(
            {"executableCode": {"language": "PYTHON", "code": "1"}},
            {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
            {"text": "thought", "thought": True},
            {"text": "said", "thought": False},
        )
    )
    assert (reply.text, reply.tool_calls) == ("said", ())


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, Usage(source="none")),
        ({}, Usage(source="none")),
        ({"totalTokenCount": 5}, Usage(source="none")),
        ({"promptTokenCount": 5}, Usage(5, 0)),
        ({"promptTokenCount": 5, "candidatesTokenCount": 50, "thoughtsTokenCount": 30}, Usage(5, 80, 0, 0, 30)),
        ({"promptTokenCount": 5, "candidatesTokenCount": None, "thoughtsTokenCount": 30}, Usage(5, 30, 0, 0, 30)),
        ({"promptTokenCount": 5, "cachedContentTokenCount": 5, "candidatesTokenCount": 1}, Usage(5, 1, 5)),
        ({"promptTokenCount": 5, "toolUsePromptTokenCount": 3, "candidatesTokenCount": 1}, Usage(8, 1)),
    ],
)
def test_output_is_what_was_said_and_what_was_thought(usage: Any, expected: Usage) -> None:
    assert DIALECT.reply(response({"text": "hi"}, usageMetadata=usage)).usage == expected


@pytest.mark.parametrize(
    "usage",
    [
        {"promptTokenCount": "12"},
        {"promptTokenCount": 1.5},
        {"promptTokenCount": -1},
        {"promptTokenCount": True},
        {"promptTokenCount": 1, "thoughtsTokenCount": 10**13},
        {"promptTokenCount": 5, "cachedContentTokenCount": 6},
    ],
)
def test_token_counts_that_cannot_be_are_refused(usage: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="usage"):
        DIALECT.reply(response({"text": "hi"}, usageMetadata=usage))


@pytest.mark.parametrize("value", [None, [1], "x", 7, True, {"a": {"b": [1.5, None]}}])
def test_arguments_are_taken_as_they_come(value: Any) -> None:
    assert called(name="f", args=value, id="c") == RequestedCall("f", value, "c")


def test_a_call_without_arguments_or_id_has_none() -> None:
    assert called(name="f") == RequestedCall("f", {}, "")


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": float("inf")}, json.loads("[" * 101 + "]" * 101)])
def test_arguments_that_no_json_holds_are_kept_as_they_came(value: Any) -> None:
    call = called(name="f", args=value)
    assert call.arguments == json.dumps(value)
    assert str(call.error).startswith("arguments are not JSON: ")


def test_arguments_without_a_bottom_are_a_fault_of_the_answer() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        called(name="f", args=deep)


@pytest.mark.parametrize("more", [{"willContinue": True}, {"partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}]}])
def test_arguments_in_pieces_are_refused_and_not_half_read(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="streamFunctionCallArguments"):
        called(name="f", **more)


def test_the_sample_survives_reading() -> None:
    before = copy.deepcopy(SAMPLE)
    DIALECT.reply(SAMPLE)
    assert before == SAMPLE


# ── streams ─────────────────────────────────────────────────────────────────────────────────


def test_the_first_piece_is_of_text_or_of_a_call() -> None:
    reader = DIALECT.reader()
    assert [reader.feed(event.type, event.data) for event in events()] == [False, True, True, True, True, False]


def test_a_stream_that_is_cut_anywhere_is_no_answer() -> None:
    whole = [json.loads(event.data) for event in events()]
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="it ended too early"):
            streamed(*whole[:length])


@given(st.integers(0, STREAM.rindex(b"}")))
def test_a_stream_that_is_cut_at_any_byte_is_no_answer(length: int) -> None:
    parser = EventParser()
    found = [*parser.feed(STREAM[:length]), *parser.finish()]
    with pytest.raises(DOCUMENTED):
        read_events(found)


def test_the_last_counts_hold() -> None:
    first, last = {"promptTokenCount": 5, "candidatesTokenCount": 1}, {"promptTokenCount": 5, "candidatesTokenCount": 9}
    found = streamed(
        response({"text": "a"}, reason=None, usageMetadata=first),
        response({"text": "b"}, usageMetadata=last),
        {"candidates": [], "modelVersion": "m"},
        response({"text": "c"}, reason=None),
    )
    assert (found.usage, found.text, found.model, found.finish_reason) == (Usage(5, 9), "abc", "m", "stop")


@pytest.mark.parametrize("body", ["", "[]", "7", "{", "[DONE]", "[" * 100_000, '{"candidates": "x"}'])
def test_chunks_that_are_none_are_faults(body: str) -> None:
    with pytest.raises(DOCUMENTED):
        DIALECT.reader().feed("", body)


# ── faults ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sample", ERRORS, ids=lambda sample: f"{sample['status']}-{sample['fault']}")
def test_the_class_of_an_error(sample: dict[str, Any]) -> None:
    assert fault(sample["status"], sample["body"]).kind == sample["fault"]


@pytest.mark.parametrize(
    "sample",
    [sample for sample in ERRORS if isinstance(sample["body"], dict)],
    ids=lambda sample: f"{sample['status']}-{sample['fault']}",
)
def test_an_error_within_an_answer_is_treated_as_its_status(sample: dict[str, Any]) -> None:
    for raising in (
        lambda: DIALECT.reply(sample["body"]),
        lambda: DIALECT.reader().feed("", json.dumps(sample["body"])),
    ):
        with pytest.raises(CallError, match=sample["body"]["error"]["status"]) as caught:
            raising()
        error = caught.value
        assert (error.kind, error.status, error.fault) == ("status", sample["status"], sample["fault"])
        wrong_key = "API key" in error.message
        assert (error.retry, error.fatal) == (sample["status"] in (429, 503), wrong_key or sample["status"] == 403)
        assert error.retry_after == (31.0 if "exceeded your current quota" in error.message else None)


def details(*found: Any) -> dict[str, Any]:
    return {"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED", "details": list(found)}}


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ("31s", 31.0),
        ("0.250000001s", 0.250000001),
        ("0s", 0.0),
        ("86400s", 60.0),
        ("31", None),
        ("-1s", None),
        ("1e3s", None),
        ("s", None),
        ("٣s", None),
        (31, None),
        (None, None),
        ([], None),
    ],
)
def test_the_pause_is_in_the_body(delay: Any, seconds: float | None) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    for data in (details({"reason": "x"}, info), [details(info)]):
        assert fault(429, data) == Fault(retry_after=seconds)


def test_a_wrong_key_ends_the_run_whatever_its_status() -> None:
    found = fault(400, details({"reason": "API_KEY_INVALID"}))
    assert (found.fatal, found.retry) == (True, False)
    assert fault(400, details({"reason": "API_KEY_FINE"})) == fault(400, None) == Fault()


@pytest.mark.parametrize(("quota", "retry"), [("RequestsPerDayPerProject", False), ("RequestsPerMinute", None)])
def test_a_quota_of_the_day_is_not_waited_for(quota: str, retry: bool | None) -> None:
    found = fault(429, details({"violations": [7, {"quotaId": quota}]}, {"retryDelay": "31s"}))
    assert (found.retry, found.fatal, found.retry_after) == (retry, None, 31.0)


@pytest.mark.parametrize("found", [{"reason": ["x"]}, {"violations": 7}, {"violations": [[]]}, 7, None])
def test_details_that_are_none_say_nothing(found: Any) -> None:
    assert fault(429, details(found)) == fault(429, {"error": {"details": found}}) == Fault()


def test_over_the_wire_the_pause_and_the_key_count() -> None:
    def error(status: int, reason: str) -> CallError:
        (sample,) = (each["body"] for each in ERRORS if each["status"] == status and reason in json.dumps(each["body"]))
        with pytest.raises(CallError) as caught:
            exchange(answer(sample, status), stream=False)
        return caught.value

    limited, refused = error(429, "RetryInfo"), error(400, "API_KEY_INVALID")
    assert (limited.status, limited.retry, limited.retry_after) == (429, True, 31.0)
    assert (refused.status, refused.retry, refused.fatal) == (400, False, True)


@pytest.mark.parametrize("code", [None, 200, "429", True, 10**6])
def test_an_error_without_a_status_may_pass_and_its_words_are_made_safe(code: Any) -> None:
    body = {"error": {"code": code, "message": "\x1b[31m\n::error::" + "x" * 10_000}}
    with pytest.raises(CallError) as caught:
        DIALECT.reply(body)
    assert (caught.value.status, caught.value.retry) == (500, True)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) <= QUOTED


@given(st.sampled_from(ERRORS).flatmap(lambda sample: mutated(sample["body"])), st.sampled_from([400, 413, 500]))
def test_the_class_of_anything_is_one(body: Any, status: int) -> None:
    for data in (body, [body], None):
        assert fault(status, data).kind in ("general", "context_window", "content_policy")


# ── answers that are none ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        7,
        "text",
        [SAMPLE],
        {"error": "no"},
        {"candidates": "x"},
        {"candidates": [None]},
        {**SAMPLE, "modelVersion": 5},
        {**SAMPLE, "usageMetadata": "many"},
        {**SAMPLE, "promptFeedback": {"blockReason": 7}},
        {"candidates": [{"content": "hi", "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": "hi"}, "finishReason": "STOP"}]},
        response({"text": 7}),
        response({"text": "hi"}, reason=["STOP"]),  # type: ignore[arg-type]
        response({"functionCall": None}),
        response({"functionCall": {"args": {}}}),
        response({"functionCall": {"name": None, "args": {}}}),
        response({"functionCall": {"name": "f", "id": 7}}),
    ],
)
def test_anything_but_a_response_is_a_fault(body: Any) -> None:
    with pytest.raises((KeyError, TypeError, AttributeError)):
        DIALECT.reply(body)


# ── hostile answers ─────────────────────────────────────────────────────────────────────────


@given(mutated(SAMPLE, most=3) | mutated(BLOCKED))
def test_whatever_comes_is_an_answer_or_a_documented_fault(body: Any) -> None:
    assert_read_or_refused(lambda: DIALECT.reply(body))


@given(mutated([json.loads(event.data) for event in events()], most=3))
def test_whatever_is_streamed_is_an_answer_or_a_documented_fault(found: Any) -> None:
    assert_read_or_refused(lambda: streamed(*found))


# ── over the wire ───────────────────────────────────────────────────────────────────────────


def exchange(action: Action, *, stream: bool, request: ChatRequest = CONVERSATION) -> tuple[ChatResponse, Sent]:
    async def run() -> tuple[ChatResponse, Sent]:
        async with Loopback((action,)) as server:
            target = HttpVendor("p", GeminiGenerateContent(), base_url=server.url, key="AIza-1", stream=stream)
            try:
                return await target.complete(request), server.requests[0]
            finally:
                await target.aclose()

    return asyncio.run(run())


@pytest.mark.parametrize(("stream", "method"), [(False, "generateContent"), (True, "streamGenerateContent?alt=sse")])
def test_a_conversation_makes_the_round_trip(stream: bool, method: str) -> None:
    response, sent = exchange(streams(STREAM) if stream else answer(SAMPLE), stream=stream)
    assert sent.line == f"POST /v1/models/gemini-3-pro-preview:{method} HTTP/1.1"
    assert sent.headers["x-goog-api-key"] == "AIza-1"
    assert sent.json == DIALECT.payload(CONVERSATION, stream=stream)
    assert b"secret-case" not in sent.body
    assert (response.text, response.tool_calls) == (ANSWER.text, ANSWER.tool_calls)
    assert (response.finish_reason, response.usage, response.model) == ("tool_calls", ANSWER.usage, ANSWER.model)
    assert (response.ttft_us is not None) is stream


@pytest.mark.parametrize("stream", [False, True])
def test_an_escaped_name_goes_over_the_wire_as_one_part(stream: bool) -> None:
    request = ChatRequest("../tuned models/ü?x", HELLO.messages)
    _, sent = exchange(streams(STREAM) if stream else answer(SAMPLE), stream=stream, request=request)
    assert sent.line.startswith("POST /v1/models/..%2Ftuned%20models%2F%C3%BC%3Fx:")


def test_a_prompt_that_is_too_long_asks_for_another_window() -> None:
    sample = ERRORS[0]
    with pytest.raises(CallError) as caught:
        exchange(answer(sample["body"], 400), stream=True)
    assert (caught.value.fault, caught.value.retry) == ("context_window", False)
    assert "AIza-1" not in str(caught.value)


def test_a_cut_stream_is_a_fault_of_the_protocol() -> None:
    part = STREAM[: STREAM.rindex(b"data: ")]
    with pytest.raises(CallError, match="it ended too early") as caught:
        exchange(streams(part), stream=True)
    assert (caught.value.kind, caught.value.retry) == ("protocol", True)
