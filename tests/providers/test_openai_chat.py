"""OpenAI Chat Completions: what goes over the wire, how an answer is read, and answers that are none."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.fingerprint import fingerprint
from evalkit.providers import CallError, ChatRequest, ChatResponse, OpenAIChat, Provider, RequestedCall
from evalkit.providers.http import HttpResult
from evalkit.providers.openai_chat import SIMULATED_HEADER, parse_response, request_payload
from evalkit.records import Message, ToolCall, ToolSpec, Usage
from evalkit.simulator.profiles import SYSTEM_FINGERPRINT

from .loopback import Loopback, Sent, answer, completion

ASKED = ChatRequest("m-1", (Message("system", "Be brief."), Message("user", "hello")))


def complete(
    body: Any, request: ChatRequest = ASKED, *, key: str | None = None, headers: dict[str, str] | None = None
) -> tuple[ChatResponse, Sent]:
    """What a server that answers so is understood to say, and what it was sent."""

    async def run() -> tuple[ChatResponse, Sent]:
        async with Loopback((answer(body, headers=headers),)) as server:
            target = OpenAIChat("p", server.url + "/", key, timeout=20)
            try:
                return await target.complete(request), server.requests[0]
            finally:
                await target.aclose()

    return asyncio.run(run())


def read(**body: Any) -> ChatResponse:
    """A completion that came over the wire, read."""
    return parse_response(HttpResult(completion(**body), {}, 120, 30, 2))


# ── requests ────────────────────────────────────────────────────────────────────────────────


def test_the_payload_is_a_chat_completions_request() -> None:
    request = ChatRequest(
        model="org/m:1",
        messages=(
            Message("system", "Be brief."),
            Message("user", "größer\u202e?"),
            Message("assistant", "", (ToolCall("lookup", {"order": "Ü-1", "deep": None}, "call-1"),)),
            Message("tool", '{"total": 20}', tool_call_id="call-1"),
        ),
        tools=(ToolSpec("lookup", "Find", {"type": "object"}, "read"),),
        params={"temperature": 0, "max_tokens": 400},
        seed=3,
        case_id="secret-case",
        trial=3,
    )
    assert request_payload(request) == {
        "temperature": 0,
        "max_tokens": 400,
        "model": "org/m:1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "größer\u202e?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "call-1",
                        "type": "function",
                        "function": {"name": "lookup", "arguments": '{"order": "Ü-1", "deep": null}'},
                    }
                ],
            },
            {"role": "tool", "content": '{"total": 20}', "tool_call_id": "call-1"},
        ],
        "seed": 3,
        "tools": [
            {
                "type": "function",
                "function": {"name": "lookup", "description": "Find", "parameters": {"type": "object"}},
            }
        ],
    }


def test_parameters_cannot_replace_what_is_asked() -> None:
    request = ChatRequest(
        "m", ASKED.messages, params={"model": "other", "messages": [], "seed": 9, "top_p": 0.5}, seed=1
    )
    payload = request_payload(request)
    assert (payload["model"], payload["seed"], payload["top_p"]) == ("m", 1, 0.5)
    assert len(payload["messages"]) == 2
    assert "tools" not in payload


def test_what_goes_over_the_wire_names_neither_case_nor_trial() -> None:
    _, sent = complete(completion(), ChatRequest("m-1", ASKED.messages, case_id="case-77", trial=4, seed=4), key="k-1")
    assert sent.line == "POST /v1/chat/completions HTTP/1.1"
    assert sent.headers["authorization"] == "Bearer k-1"
    assert sent.json == request_payload(ChatRequest("m-1", ASKED.messages, seed=4))
    assert b"case-77" not in sent.body


def test_without_a_key_nothing_is_said_about_one() -> None:
    _, sent = complete(completion())
    assert "authorization" not in sent.headers


def test_the_digest_is_that_of_what_the_model_sees() -> None:
    same = ChatRequest("m-1", ASKED.messages, case_id="other", trial=7)
    assert same.digest == ASKED.digest
    others = [
        ChatRequest("m-2", ASKED.messages),
        ChatRequest("m-1", ASKED.messages[1:]),
        ChatRequest("m-1", ASKED.messages, params={"temperature": 0}),
        ChatRequest("m-1", ASKED.messages, seed=1),
        ChatRequest("m-1", ASKED.messages, tools=(ToolSpec("a"),)),
    ]
    assert len({request.digest for request in (ASKED, *others)}) == 6
    assert ASKED.digest == fingerprint(
        "request",
        {
            "model": "m-1",
            "messages": [["system", "Be brief.", [], None], ["user", "hello", [], None]],
            "tools": [],
            "params": {},
            "seed": 0,
        },
    )


# ── answers ─────────────────────────────────────────────────────────────────────────────────


def test_an_answer_is_read_with_everything_that_it_says() -> None:
    body = completion("30 days", model="m-1-2026-08-01", system_fingerprint="fp_1")
    response, _ = complete(body)
    assert (response.text, response.tool_calls, response.finish_reason) == ("30 days", (), "stop")
    assert (response.model, response.system_fingerprint) == ("m-1-2026-08-01", "fp_1")
    assert response.usage == Usage(12, 3, 0, 0, "provider")
    assert (response.attempts, response.timed, response.final, response.simulated) == (1, True, False, False)
    assert response.cost_microusd is None
    assert response.latency_us > 0


def test_times_and_attempts_are_those_of_the_wire() -> None:
    response = read()
    assert (response.latency_us, response.waited_us, response.attempts) == (120, 30, 2)


def test_the_header_of_the_simulator_labels_whatever_the_model_is_called() -> None:
    response, _ = complete(completion(model="gpt-5"), headers={SIMULATED_HEADER.title(): "1"})
    assert response.simulated is True


def test_the_fingerprint_of_the_simulator_labels_where_a_gateway_drops_the_header() -> None:
    assert read(model="gpt-5", system_fingerprint=SYSTEM_FINGERPRINT).simulated is True
    assert read(system_fingerprint="fp_44709d6fcb").simulated is False


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "a"}, "a"),
        ({"content": None}, ""),
        ({"content": ""}, ""),
        ({"content": None, "refusal": "I can't help with that."}, "I can't help with that."),
        ({"content": "a", "refusal": None}, "a"),
        ({"content": "\u202e\x1b[31m"}, "\u202e\x1b[31m"),
    ],
)
def test_the_text_of_an_answer(message: dict[str, Any], text: str) -> None:
    assert read(message=message).text == text


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, Usage(source="none")),
        ({}, Usage(source="none")),
        ({"total_tokens": 15}, Usage(source="none")),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0)),
        ({"prompt_tokens": 5}, Usage(5, 0)),
        ({"prompt_tokens": 5, "completion_tokens": None}, Usage(5, 0)),
        (
            {
                "prompt_tokens": 50,
                "completion_tokens": 20,
                "prompt_tokens_details": {"cached_tokens": 40},
                "completion_tokens_details": {"reasoning_tokens": 15},
            },
            Usage(50, 20, 40, 15),
        ),
        ({"prompt_tokens": 5, "prompt_tokens_details": None, "completion_tokens_details": {}}, Usage(5, 0)),
    ],
)
def test_tokens_are_taken_as_the_vendor_counts_them(usage: Any, expected: Usage) -> None:
    assert read(usage=usage).usage == expected


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": "12"},
        {"prompt_tokens": 1.5},
        {"prompt_tokens": -1},
        {"prompt_tokens": True},
        {"completion_tokens": 10**13},
        {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 50}},
        {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": -1}},
    ],
)
def test_token_counts_that_cannot_be_are_refused(usage: dict[str, Any]) -> None:
    with pytest.raises(CallError, match="usage"):
        complete(completion(usage=usage))


# ── tool calls ──────────────────────────────────────────────────────────────────────────────


def called(*functions: dict[str, Any]) -> tuple[RequestedCall, ...]:
    calls = [{"id": f"c{i}", "type": "function", "function": function} for i, function in enumerate(functions)]
    return read(message={"content": None, "tool_calls": calls}).tool_calls


def test_tool_calls_are_decoded_in_their_order() -> None:
    found = called(
        {"name": "lookup", "arguments": '{"order": "Ü-1", "n": 1.50}'},
        {"name": "ping", "arguments": ""},
        {"name": "go"},
    )
    assert found == (
        RequestedCall("lookup", {"order": "Ü-1", "n": 1.5}, "c0"),
        RequestedCall("ping", {}, "c1"),
        RequestedCall("go", {}, "c2"),
    )


@pytest.mark.parametrize(
    "raw", ['{"a": 1', "{'a': 1}", "a=1", '{"a": 1} {"b": 2}', "{", "\ufeff{}", "9" * 5000, '{"a":\x00}']
)
def test_arguments_that_are_no_json_are_kept_as_they_came(raw: str) -> None:
    (call,) = called({"name": "f", "arguments": raw})
    assert (call.name, call.arguments, call.id) == ("f", raw, "c0")
    assert str(call.error).startswith("arguments are not JSON: ")


@pytest.mark.parametrize(("raw", "value"), [("null", None), ("[1]", [1]), ('"x"', "x"), ("7", 7), ("true", True)])
def test_arguments_that_are_no_object_are_left_to_the_schema(raw: str, value: Any) -> None:
    assert called({"name": "f", "arguments": raw}) == (RequestedCall("f", value, "c0"),)


@settings(deadline=None, max_examples=80)
@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=6,
        ),
        max_size=4,
    )
)
def test_arguments_make_the_round_trip(arguments: dict[str, Any]) -> None:
    request = ChatRequest("m", (Message("assistant", "", (ToolCall("f", arguments, "i"),)),))
    (sent,) = request_payload(request)["messages"][0]["tool_calls"]
    message = {"role": "assistant", "content": None, "tool_calls": [sent]}
    body = json.loads(json.dumps({"choices": [{"message": message}]}))
    assert parse_response(HttpResult(body, {}, 0, 0, 1)).tool_calls == (RequestedCall("f", arguments, "i"),)


@pytest.mark.parametrize("raw", ['{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}'])
def test_numbers_that_json_does_not_have_are_no_arguments(raw: str) -> None:
    (call,) = called({"name": "refund", "arguments": raw})
    assert call.arguments == raw
    assert call.error is not None


@pytest.mark.parametrize("raw", ["[" * 50_000, "[" * 101 + "]" * 101, '{"a":' * 101 + "1" + "}" * 101])
def test_arguments_that_are_nested_too_deeply_are_no_arguments(raw: str) -> None:
    (call,) = called({"name": "f", "arguments": raw})
    assert (call.arguments, call.error) == (raw, "arguments are not JSON: nested more than 100 levels deep")


def test_arguments_may_be_nested_as_deep_as_anything_reads_them() -> None:
    raw = '{"a":' * 99 + "1" + "}" * 99
    assert called({"name": "f", "arguments": raw})[0].error is None


# ── answers that are none ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        7,
        "text",
        {"error": {"message": "over capacity"}},
        {"choices": []},
        {"choices": None},
        {"choices": [None]},
        {"choices": [{"text": "an old completion"}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": "hi"}]},
        completion(message={"tool_calls": [{"id": "1"}]}),
        completion(message={"tool_calls": [{"function": {"arguments": "{}"}}]}),
        completion(message={"tool_calls": {"0": {}}}),
        completion(message={"tool_calls": [{"function": {"name": "f", "arguments": 7}}]}),
        completion(usage="many"),
    ],
)
def test_anything_but_a_completion_is_a_fault_of_the_protocol(body: Any) -> None:
    with pytest.raises(CallError, match=r"http://127\.0\.0\.1:\d+/v1: not a chat completion: ") as caught:
        complete(json.dumps(body).encode())
    assert (caught.value.kind, caught.value.attempts, caught.value.fatal) == ("protocol", 1, False)


@pytest.mark.parametrize(
    "body",
    [
        completion(message={"content": 7}),
        completion(message={"content": [{"type": "text", "text": "hi"}]}),
        completion(message={"tool_calls": [{"id": 7, "function": {"name": 7}}]}),
        completion(message={"tool_calls": [{"id": "1", "function": {"name": None}}]}),
        completion(choice={"finish_reason": ["stop"]}),
        completion(model=5),
        completion(system_fingerprint={"a": 1}),
    ],
    ids=[
        "number as text",
        "parts as text",
        "numbers as names",
        "null as name",
        "list as reason",
        "number as model",
        "object as fingerprint",
    ],
)
def test_fields_of_the_wrong_type_are_a_fault_of_the_protocol(body: Any) -> None:
    with pytest.raises(CallError, match=r"not a chat completion: TypeError `\w+` .*(no text|null)") as caught:
        complete(body)
    assert caught.value.kind == "protocol"


# ── what a target is ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://127.0.0.1:8377/v1", "http://127.0.0.1/v1"),
        ("http://127.0.0.1:9999/v1/", "http://127.0.0.1/v1"),
        ("http://localhost:8080/v1", "http://localhost/v1"),
        ("http://[::1]:8080/v1", "http://::1/v1"),
        ("http://127.1.2.3:1/v1", "http://127.1.2.3/v1"),
        ("https://api.example.org/v1", "https://api.example.org/v1"),
        ("https://api.example.org:8443/v1", "https://api.example.org:8443/v1"),
        ("http://10.0.0.5:8000/v1", "http://10.0.0.5:8000/v1"),
        ("http://localhost.example.org:1/v1", "http://localhost.example.org:1/v1"),
    ],
)
def test_the_identity_is_the_address_without_a_port_that_changes(address: str, shown: str) -> None:
    assert OpenAIChat("p", address).identity == {"kind": "openai", "base_url": shown}


def test_name_and_key_are_not_part_of_the_identity() -> None:
    assert OpenAIChat("a", "https://h/v1", "k").identity == OpenAIChat("b", "https://h/v1").identity
    assert isinstance(OpenAIChat("a", "https://h/v1"), Provider)


def test_a_target_can_be_used_again_after_it_was_closed() -> None:
    async def run() -> list[str]:
        async with Loopback((answer(completion("one")), answer(completion("two")))) as server:
            target = OpenAIChat("p", server.url)
            texts = []
            for _ in range(2):
                texts.append((await target.complete(ASKED)).text)
                await target.aclose()
            await target.aclose()
            return texts

    assert asyncio.run(run()) == ["one", "two"]


def test_many_calls_at_once_get_their_own_answers() -> None:
    async def echo(writer: asyncio.StreamWriter, sent: Sent, closing: asyncio.Event) -> None:
        await answer(completion(sent.json["messages"][-1]["content"]))(writer, sent, closing)

    async def run() -> list[str]:
        async with Loopback((echo,)) as server:
            target = OpenAIChat("p", server.url, connections=4)
            requests = [ChatRequest("m", (Message("user", f"q-{number}"),)) for number in range(40)]
            try:
                return [response.text for response in await asyncio.gather(*map(target.complete, requests))]
            finally:
                await target.aclose()

    assert asyncio.run(run()) == [f"q-{number}" for number in range(40)]
