"""OpenAI Chat Completions and those who speak it: what goes over the wire, how an answer is read, what is none."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.fingerprint import fingerprint
from evalkit.providers import CallError, ChatRequest, ChatResponse, Provider, RequestedCall
from evalkit.providers.dialect import SIMULATED_HEADER, Dialect, Reply
from evalkit.providers.openai_chat import OpenAIChatDialect, request_payload
from evalkit.providers.vendor import HttpVendor
from evalkit.records import Message, ToolCall, ToolSpec, Usage
from evalkit.simulator.profiles import SYSTEM_FINGERPRINT

from .loopback import Action, Loopback, Sent, answer, completion
from .mutations import assert_read_or_refused, mutated
from .samples import CALLS, CONVERSATION, PLAIN, REFUSAL, SCHEMA, wire

DIALECT: Dialect = OpenAIChatDialect()
ASKED = ChatRequest("m-1", (Message("system", "Be brief."), Message("user", "hello")))


def ask(
    action: Action, request: ChatRequest = ASKED, *, key: str | None = None, stream: bool = False
) -> tuple[ChatResponse, Sent]:
    """What a server that does so is understood to say, and what it was sent."""

    async def run() -> tuple[ChatResponse, Sent]:
        async with Loopback((action,)) as server:
            target = HttpVendor("p", DIALECT, base_url=server.url + "/", key=key, stream=stream)
            try:
                return await target.complete(request), server.requests[0]
            finally:
                await target.aclose()

    return asyncio.run(run())


def read(**body: Any) -> Reply:
    """A completion, read."""
    return DIALECT.reply(completion(**body))


# ── requests ────────────────────────────────────────────────────────────────────────────────


def test_a_request_is_written_as_the_vendor_publishes_it() -> None:
    assert DIALECT.payload(CONVERSATION, stream=False) == wire("openai_chat_request")
    assert DIALECT.path(CONVERSATION, stream=False) == DIALECT.path(CONVERSATION, stream=True) == "/chat/completions"


def test_a_stream_is_asked_to_state_its_usage() -> None:
    asked = wire("openai_chat_request") | {"stream": True, "stream_options": {"include_usage": True}}
    assert DIALECT.payload(CONVERSATION, stream=True) == asked


def test_parameters_cannot_replace_what_is_asked() -> None:
    params = {"model": "other", "messages": [], "seed": 9, "top_p": 0.5, "stream": True, "stream_options": {"a": 1}}
    payload = request_payload(ChatRequest("m", ASKED.messages, params=params, seed=1))
    assert (payload["model"], payload["seed"], payload["top_p"]) == ("m", 1, 0.5)
    assert len(payload["messages"]) == 2
    assert not payload.keys() & {"tools", "stream", "stream_options", "response_format"}


def test_a_parameter_of_null_is_not_sent() -> None:
    params = {"seed": None, "stop": None, "stream_options": None, "response_format": None}
    request = ChatRequest("m", ASKED.messages, params=params, output_schema=SCHEMA, seed=2)
    assert DIALECT.payload(request, stream=True).keys() == {"model", "messages", "stream"}


def test_options_of_a_stream_are_kept_beside_ours() -> None:
    request = ChatRequest("m", ASKED.messages, params={"stream_options": {"include_obfuscation": False}})
    options = DIALECT.payload(request, stream=True)["stream_options"]
    assert options == {"include_obfuscation": False, "include_usage": True}


def test_a_response_format_that_is_configured_is_the_one_that_is_sent() -> None:
    wanted = {"type": "json_object"}
    request = ChatRequest("m", ASKED.messages, params={"response_format": wanted}, output_schema=SCHEMA)
    assert request_payload(request)["response_format"] == wanted


OPEN = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CLOSED = {**OPEN, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        (OPEN, False),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "properties": {"a": {"anyOf": [{"type": "null"}, CLOSED]}}}, True),
        ({**CLOSED, "properties": {"a": {"anyOf": [{"type": "null"}, OPEN]}}}, False),
        ({**CLOSED, "properties": {"a": {"type": "array", "items": CLOSED}}}, True),
        ({**CLOSED, "properties": {"a": {"type": "array", "items": OPEN}}}, False),
        ({**CLOSED, "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": CLOSED}}, True),
        ({**CLOSED, "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": OPEN}}, False),
        ({**CLOSED, "properties": {"a": {"oneOf": [CLOSED]}}}, False),
        ({**CLOSED, "properties": {"not": {"type": "string"}}, "required": ["not"]}, True),
        ({**CLOSED, "properties": {"a": True}}, False),
        ({"anyOf": [CLOSED]}, False),
        ({**CLOSED, "anyOf": [CLOSED]}, False),
        ({"$ref": "#/$defs/b", "$defs": {"b": CLOSED}}, False),
        ({**CLOSED, "properties": {"a": {"type": ["object", "null"]}}}, False),
        ({**CLOSED, "properties": {"a": {"type": ["string", "null"]}}}, True),
        ({**CLOSED, "properties": ["a"]}, False),
        ({**CLOSED, "required": 7}, False),
        ({**CLOSED, "anyOf": 7}, False),
        ({"type": "object", "additionalProperties": False}, True),
        ({"type": "object"}, False),
    ],
)
def test_a_schema_is_strict_where_the_vendor_would_take_it_so(schema: dict[str, Any], strict: bool) -> None:
    payload = request_payload(ChatRequest("m", ASKED.messages, output_schema=schema))
    assert payload["response_format"]["json_schema"] == {"name": "answer", "strict": strict, "schema": schema}


@pytest.mark.parametrize(
    ("title", "name"),
    [("Order", "Order"), ("Größe, in cm", "Gr_e_in_cm"), ("…", "answer"), (7, "answer"), ("x" * 90, "x" * 64)],
)
def test_the_name_of_a_schema_has_the_signs_that_names_may_have(title: Any, name: str) -> None:
    payload = request_payload(ChatRequest("m", ASKED.messages, output_schema={**CLOSED, "title": title}))
    assert payload["response_format"]["json_schema"]["name"] == name
    assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", name)


@pytest.mark.parametrize("stream", [False, True])
def test_what_goes_over_the_wire_names_neither_case_nor_trial(stream: bool) -> None:
    _, sent = ask(answer(completion()), CONVERSATION, key="k-1", stream=stream)
    assert sent.line == "POST /v1/chat/completions HTTP/1.1"
    assert sent.headers["authorization"] == "Bearer k-1"
    assert sent.json == DIALECT.payload(CONVERSATION, stream=stream)
    assert b"secret-case" not in sent.body
    assert b"not for a model" not in sent.body


def test_without_a_key_nothing_is_said_about_one() -> None:
    _, sent = ask(answer(completion()))
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
        ChatRequest("m-1", ASKED.messages, output_schema=SCHEMA),
        ChatRequest("m-1", ASKED.messages, context={"tenant": "a"}),
    ]
    assert len({request.digest for request in (ASKED, *others)}) == 8
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

VLLM = Reply(
    tool_calls=(RequestedCall("lookup", {"order": "A-1"}, "chatcmpl-tool-b1c4"),),
    finish_reason="tool_calls",
    usage=Usage(170, 35),
    model="Qwen/Qwen3-8B",
)
THOUGHT_ONLY = Reply(
    finish_reason="length", usage=Usage(71, 16), model="gpt-oss-20b", system_fingerprint="b6399-c97dc093"
)
PARTS = Reply(text="It is 4.", finish_reason="stop", usage=Usage(12, 40), model="magistral-medium-latest")
BESIDE = Reply(
    text="The answer is 42.",
    finish_reason="stop",
    usage=Usage(32, 103, cached_tokens=6, reasoning_tokens=94),
    model="grok-4-0709",
    system_fingerprint="fp_84ff176447",
)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("openai_chat", PLAIN),
        ("openai_chat_tools", CALLS),
        ("openai_chat_refusal", REFUSAL),
        ("openai_vllm", VLLM),
        ("openai_llamacpp", THOUGHT_ONLY),
        ("openai_mistral", PARTS),
        ("openai_xai", BESIDE),
    ],
)
def test_an_answer_is_read_with_everything_that_it_says(sample: str, expected: Reply) -> None:
    assert DIALECT.reply(wire(sample)) == expected


def test_an_answer_over_the_wire_has_the_times_of_the_wire() -> None:
    response, _ = ask(answer(wire("openai_chat")))
    assert (response.text, response.usage, response.model) == (PLAIN.text, PLAIN.usage, PLAIN.model)
    assert (response.attempts, response.timed, response.final, response.simulated) == (1, True, False, False)
    assert (response.cost_microusd, response.ttft_us) == (None, None)
    assert response.latency_us > 0


def test_the_header_of_the_simulator_labels_whatever_the_model_is_called() -> None:
    response, _ = ask(answer(completion(model="gpt-5"), headers={SIMULATED_HEADER.title(): "1"}))
    assert response.simulated is True


def test_the_fingerprint_of_the_simulator_labels_where_a_gateway_drops_the_header() -> None:
    for system_fingerprint, simulated in ((SYSTEM_FINGERPRINT, True), ("fp_44709d6fcb", False)):
        response, _ = ask(answer(completion(model="gpt-5", system_fingerprint=system_fingerprint)))
        assert response.simulated is simulated


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "a"}, "a"),
        ({"content": None}, ""),
        ({"content": ""}, ""),
        ({"content": []}, ""),
        ({"content": None, "refusal": "I can't help with that."}, "I can't help with that."),
        ({"content": "a", "refusal": None}, "a"),
        ({"content": "\u202e\x1b[31m"}, "\u202e\x1b[31m"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]}, "ab"),
        ({"content": "a", "reasoning_content": "thought", "reasoning": "thought"}, "a"),
    ],
)
def test_the_text_of_an_answer(message: dict[str, Any], text: str) -> None:
    assert read(message=message).text == text


def test_what_compatible_servers_leave_out_is_not_missed() -> None:
    assert DIALECT.reply({"choices": [{"message": {"content": "hi"}}]}) == Reply(text="hi")
    assert read(message={"tool_calls": None}, error=None).text == "hi"
    assert read(choice={"finish_reason": "function_call"}).finish_reason == "tool_calls"


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
                "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10},
                "completion_tokens_details": {"reasoning_tokens": 15},
            },
            Usage(50, 20, 40, 10, 15),
        ),
        ({"prompt_tokens": 5, "prompt_tokens_details": None, "completion_tokens_details": {}}, Usage(5, 0)),
        # reasoning beside the output: the total says so, with or without a count of its own
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 9,
                "total_tokens": 34,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Usage(5, 29, reasoning_tokens=20),
        ),
        ({"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 34}, Usage(5, 29, reasoning_tokens=20)),
        (
            {"prompt_tokens": 5, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 20}},
            Usage(5, 29, reasoning_tokens=20),
        ),
        # a total that fits neither way of counting tells nothing
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 9,
                "total_tokens": 30,
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
            Usage(5, 9, reasoning_tokens=4),
        ),
        ({"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 7}, Usage(5, 9)),
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
        {"prompt_tokens": 5, "total_tokens": "5"},
        {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 50}},
        {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": -1}},
        {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2}},
    ],
)
def test_token_counts_that_cannot_be_are_refused(usage: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="`usage` counts"):
        read(usage=usage)


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
    assert DIALECT.reply(body).tool_calls == (RequestedCall("f", arguments, "i"),)
    as_object = {"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}}]}
    assert DIALECT.reply(as_object).tool_calls == (RequestedCall("f", arguments),)


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
        {"choices": []},
        {"choices": None},
        {"choices": [None]},
        {"choices": [{"text": "an old completion"}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": "hi"}]},
        completion(message={"content": 7}),
        completion(message={"content": ["hi"]}),
        completion(message={"content": [{"type": "text", "text": 7}]}),
        completion(message={"tool_calls": [{"id": "1"}]}),
        completion(message={"tool_calls": [{"function": {"arguments": "{}"}}]}),
        completion(message={"tool_calls": [{"function": {"name": None}}]}),
        completion(message={"tool_calls": [{"id": 7, "function": {"name": "f"}}]}),
        completion(message={"tool_calls": {"0": {}}}),
        completion(message={"tool_calls": [{"function": {"name": "f", "arguments": 7}}]}),
        completion(choice={"finish_reason": ["stop"]}),
        completion(model=5),
        completion(system_fingerprint={"a": 1}),
        completion(usage="many"),
    ],
)
def test_anything_but_a_completion_is_a_fault_of_the_protocol(body: Any) -> None:
    with pytest.raises(CallError, match=r"http://127\.0\.0\.1:\d+/v1: .*(\w+Error )") as caught:
        ask(answer(json.dumps(body).encode()))
    assert (caught.value.kind, caught.value.attempts, caught.value.fatal) == ("protocol", 1, False)


@settings(deadline=None)
@given(mutated(wire("openai_chat_tools")) | mutated(wire("openai_chat")) | mutated(wire("openai_mistral")))
def test_a_damaged_answer_is_read_or_refused(body: Any) -> None:
    assert_read_or_refused(lambda: DIALECT.reply(body))


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
    assert HttpVendor("p", DIALECT, base_url=address).identity == {"kind": "openai", "base_url": shown}


def test_name_and_key_are_not_part_of_the_identity() -> None:
    target = HttpVendor("a", DIALECT, base_url="https://h/v1", key="k")
    assert target.identity == HttpVendor("b", DIALECT, base_url="https://h/v1").identity
    assert isinstance(target, Provider)


def test_a_target_can_be_used_again_after_it_was_closed() -> None:
    async def run() -> list[str]:
        async with Loopback((answer(completion("one")), answer(completion("two")))) as server:
            target = HttpVendor("p", DIALECT, base_url=server.url)
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
            target = HttpVendor("p", DIALECT, base_url=server.url)
            requests = [ChatRequest("m", (Message("user", f"q-{number}"),)) for number in range(40)]
            try:
                return [response.text for response in await asyncio.gather(*map(target.complete, requests))]
            finally:
                await target.aclose()

    assert asyncio.run(run()) == [f"q-{number}" for number in range(40)]
