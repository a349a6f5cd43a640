"""Calls in the JSON of each vendor: the same calls from all of them, and no reading where there are two."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.records import ToolCall
from evalkit.toolcalls import DecodeError, MalformedCallError, raw_calls, read_calls
from tests.basics.strategies import OBJECT

Calls = list[tuple[str, dict[str, Any]]]
CALLS = st.lists(st.tuples(st.text(min_size=1, max_size=8), OBJECT), max_size=4)


def chat_calls(calls: Calls) -> list[dict[str, Any]]:
    return [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for n, (name, arguments) in enumerate(calls)
    ]


def chat(calls: Calls) -> Any:
    message = {"role": "assistant", "content": None, "refusal": None, "tool_calls": chat_calls(calls)}
    return {"object": "chat.completion", "choices": [{"index": 0, "message": message}], "usage": {}}


def responses(calls: Calls) -> Any:
    items = [
        {"type": "function_call", "call_id": f"c{n}", "id": f"fc_{n}", "name": name, "arguments": json.dumps(arguments)}
        for n, (name, arguments) in enumerate(calls)
    ]
    return {"object": "response", "output": [{"type": "reasoning", "summary": []}, *items, {"type": "message"}]}


def anthropic(calls: Calls) -> Any:
    blocks = [{"type": "tool_use", "id": f"c{n}", "name": name, "input": args} for n, (name, args) in enumerate(calls)]
    return {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "I look."}, *blocks]}


def gemini(calls: Calls) -> Any:
    parts = [{"functionCall": {"id": f"c{n}", "name": name, "args": args}} for n, (name, args) in enumerate(calls)]
    return {"candidates": [{"content": {"role": "model", "parts": [{"text": "I look."}, *parts]}}]}


def mcp(calls: Calls) -> Any:
    return [
        {"jsonrpc": "2.0", "id": f"c{n}", "method": "tools/call", "params": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(calls)
    ]


def bare(calls: Calls) -> Any:
    return [{"id": f"c{n}", "name": name, "arguments": arguments} for n, (name, arguments) in enumerate(calls)]


@settings(deadline=None, max_examples=40)
@pytest.mark.parametrize("shape", [chat, responses, anthropic, gemini, mcp, bare])
@given(CALLS)
def test_every_shape_gives_the_same_calls(shape: Callable[[Calls], Any], calls: Calls) -> None:
    found = read_calls(shape(calls))
    assert repr(found) == repr(tuple(ToolCall(name, args, f"c{n}") for n, (name, args) in enumerate(calls)))


@pytest.mark.parametrize(
    "data",
    [
        {"function": {"name": "f", "arguments": {"a": 1}}},
        {"role": "assistant", "tool_calls": [{"name": "f", "arguments": '{"a": 1}'}]},
        {"type": "function_call", "name": "f", "arguments": '{"a": 1}'},
        {"type": "tool_use", "name": "f", "input": {"a": 1}},
        {"parts": [{"function_call": {"name": "f", "args": {"a": 1}}}]},
        {"function_call": {"name": "f", "arguments": '{"a": 1}'}},
        {"name": "f", "parameters": {"a": 1}},
        {"type": "function", "name": "f", "parameters": {"a": 1}},
    ],
)
def test_a_part_alone_is_read_as_well(data: Any) -> None:
    assert read_calls(data) == read_calls([data]) == (ToolCall("f", {"a": 1}),)


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"role": "assistant", "content": "Thirty days."},
        {"content": [{"type": "text", "text": "Thirty days."}]},
        {"output": [{"type": "message", "content": []}]},
        {"parts": [{"text": "Thirty days."}]},
        {"tool_calls": None},
    ],
)
def test_a_message_without_calls_has_none(data: Any) -> None:
    assert read_calls(data) == ()


@pytest.mark.parametrize("arguments", ["", "{}", {}])
def test_no_arguments_are_written_in_several_ways(arguments: Any) -> None:
    assert read_calls({"function": {"name": "f", "arguments": arguments}}) == (ToolCall("f", {}),)


@pytest.mark.parametrize("data", [7, None, "f(a=1)", [[]], {}, {"type": "function_call_output", "call_id": "c"}])
def test_what_is_no_call_says_so(data: Any) -> None:
    with pytest.raises(DecodeError) as caught:
        read_calls(data)
    assert not isinstance(caught.value, MalformedCallError)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"name": 7, "arguments": {}}, "a call needs a name"),
        ({"type": "tool_use", "input": {}}, "a call needs a name"),
        ({"name": "f", "arguments": {}, "input": {}}, "`f` is ambiguous: both `arguments` and `input`"),
        ({"name": "f", "function": {"name": "g"}}, "ambiguous: both a call of Chat Completions and a bare call"),
        ({"functionCall": {"name": "f"}, "function_call": {"name": "g"}}, "ambiguous"),
        (
            {"tool_calls": [{"name": "f"}], "content": [{"type": "tool_use", "name": "f", "input": {}}]},
            "ambiguous: both `tool_calls` and blocks",
        ),
        ({"choices": [{"message": {}}, {"message": {}}]}, "`choices` holds 2 answers"),
        ({"name": "f", "description": "Looks up.", "parameters": {"type": "object"}}, "`f`: the definition of a tool"),
        ({"function": {"name": "f", "arguments": '{"a": 1, "a": 2}'}}, "call 1, `f`: .*the key `a` is given twice"),
        ({"function": {"name": "f", "arguments": '{"a": NaN}'}}, "call 1, `f`: .*NaN"),
        ({"function": {"name": "f", "arguments": '{"a": 1e999}'}}, "call 1, `f`: .*too large"),
        ({"function": {"name": "f", "arguments": "[1]"}}, "call 1, `f`: the arguments of a call are an object"),
        ({"function": {"name": "f", "arguments": '{"a": ' + "[" * 200}}, "call 1, `f`"),
        ([{"name": "e"}, {"name": "f", "arguments": "a=1"}], "call 2, `f`: the arguments are not JSON"),
        ({"name": "f", "arguments": None}, "call 1, `f`: the arguments of a call are an object"),
        ({"function": "f"}, "`function` of a call is an object"),
        ({"output": {"type": "function_call"}}, "`output` is a list"),
    ],
)
def test_a_call_that_cannot_be_read_in_one_way_is_refused(data: Any, reason: str) -> None:
    with pytest.raises(MalformedCallError, match=reason):
        read_calls(data)


def test_arguments_as_they_came_are_kept_for_whoever_counts_broken_ones() -> None:
    (call,) = raw_calls({"function": {"name": "f", "arguments": '{"a": '}})
    assert (call.name, call.arguments) == ("f", '{"a": ')


@settings(deadline=None, max_examples=200)
@given(
    st.recursive(
        st.none() | st.text(max_size=4) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "name",
                        "arguments",
                        "function",
                        "tool_calls",
                        "content",
                        "type",
                        "parts",
                        "functionCall",
                        "output",
                    ]
                ),
                inner | st.sampled_from(["tool_use", "function_call"]),
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_calls_or_a_reason(data: Any) -> None:
    try:
        calls = read_calls(data)
    except DecodeError:
        return
    assert all(isinstance(call.name, str) and isinstance(call.arguments, dict) for call in calls)
