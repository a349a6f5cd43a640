"""Calls somewhere in an answer: found where they stand, nothing made up from prose, and in bounded time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.records import ToolCall
from evalkit.toolcalls import DecodeError, MalformedCallError, find_calls

F = ToolCall("f", {"a": 1})
JSON = '{"name": "f", "arguments": {"a": 1}}'


@pytest.mark.parametrize(
    "text",
    [
        "f(a=1)",
        " [f(a=1)]\n",
        JSON,
        f"[{JSON}]",
        f"```json\n{JSON}\n```",
        f"```\n[{JSON}]\n```",
        f"```json {JSON} ```",
        "```python\nf(a=1)\n```",
        "```tool_code\n[f(a=1)]\n```",
        f"Sure, I look that up.\n\n```json\n{JSON}\n```\nOne moment.",
        f"Sure:\n{JSON}\nOne moment.",
        f"<tool_call>\n{JSON}\n</tool_call>",
        '{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{\\"a\\": 1}"}}]}',
        'I call it: ```\n{"functionCall": {"name": "f", "args": {"a": 1}}}\n```',
        '{"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "f", "arguments": {"a": 1}}}',
    ],
)
def test_a_call_is_found_where_it_stands(text: str) -> None:
    assert [(call.name, call.arguments) for call in find_calls(text)] == [(F.name, F.arguments)]


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{JSON}\n```\nand\n```json\n{JSON}\n```",
        f"{JSON}\n{JSON}",
        f"<tool_call>{JSON}</tool_call>\n<tool_call>{JSON}</tool_call>",
        f"First\n{JSON}\nthen\n  {JSON}",
        "f(a=1), f(a=1)",
    ],
)
def test_several_calls_come_in_order(text: str) -> None:
    assert find_calls(text) == (F, F)


def test_a_bracket_or_a_mark_inside_of_a_text_ends_nothing() -> None:
    text = 'So:\n{"name": "f", "arguments": {"a": "}\\"]{"}}\nDone.'
    assert find_calls(text) == (ToolCall("f", {"a": '}"]{'}),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "You have 30 days.",
        "I would call f with a = 1.",
        "The function f(a=1) would do it.",
        '{"name": "Anna", "age": 7}',
        '```json\n{"name": "Anna"}\n```',
        "```python\ndef f(a):\n    return a\n```",
        "```python\nx = f(a=1)\n```",
        "```sh\nls -l\n```",
        "{not json",
        '{"arguments": ["pro", "contra"]}',
        "<tool_call>",
        "```",
    ],
)
def test_prose_data_and_code_are_no_calls(text: str) -> None:
    assert find_calls(text) == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("pay(amount=10*10)", "an expression is not computed: 10[*]10"),
        ("```python\npay(amount=[x for x in y])\n```", "an expression is not computed"),
        ("pay(100)", "arguments must be named"),
        ("pay(amount=1, amount=100)", "not Python|given twice"),
        ('```json\n{"name": "pay", "arguments": {"amount": 1, "amount": 100}}\n```', "the key `amount` is given twice"),
        ('{"name": "pay", "arguments": {"amount": 1e999}}', "too large"),
        ('{"name": "pay", "arguments": {"amount": ' + "[" * 5000, "not JSON"),
        ('{"name": "pay", "arguments": {"amount": 1}', "not JSON"),
        ('{"name": "pay", "arguments": {}, "input": {}}', "ambiguous"),
    ],
)
def test_a_call_that_cannot_be_read_says_why(text: str, reason: str) -> None:
    with pytest.raises(MalformedCallError, match=reason):
        find_calls(text)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece",
    ["{", "[{", "\n{", "\n[ {", "}", "```", "```json\n{", "<tool_call>", "</tool_call>", '"', "\\", "f(a=", "f(a=1)\n",
     '{"name": "f", "arguments": {}}\n', "\n" + " " * 7, "a", "```a"],
)  # fmt: skip
def test_a_long_answer_is_read_in_bounded_time(piece: str) -> None:
    text = (piece * 100_000)[:100_000]
    try:
        find_calls(text)
    except DecodeError:
        return


def test_more_than_that_is_refused() -> None:
    with pytest.raises(DecodeError, match="longer than 100,000 characters"):
        find_calls(JSON + " " * 100_000)


@settings(deadline=None, max_examples=200)
@given(st.text("f(a=1){}[]\"'`\n:,<tool_call>/ json", max_size=60))
def test_any_text_is_calls_or_a_reason(text: str) -> None:
    try:
        calls = find_calls(text)
    except DecodeError:
        return
    assert all(isinstance(call, ToolCall) for call in calls)
