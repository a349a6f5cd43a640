"""Samples of openai/evals and rows of hosted evals become cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.goldens.importers import import_cases
from evalkit.records import Expectation, Message, ToolCall
from tests.goldens.importing import lines, problem, write


def test_samples_of_openai_evals(tmp_path: Path) -> None:
    chat = [
        {"role": "system", "content": "Answer briefly."},
        {"role": "system", "name": "example_user", "content": "2+2?"},
        {"role": "user", "content": [{"type": "text", "text": "Where is"}, {"type": "text", "text": "Paris?"}]},
        {"role": "assistant", "content": None,
         "tool_calls": [{"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"q": "Paris"}'}}]},
        {"role": "tool", "tool_call_id": "1", "content": "France"},
    ]  # fmt: skip
    path = write(
        tmp_path,
        "samples.jsonl",
        lines(
            {"input": chat, "ideal": ["France", "in France"], "level": "easy", "source": {"page": 1}},
            {"input": "2+2?", "ideal": 4, "level": "easy", "category": "math"},
            {"input": [{"role": "system", "content": "Once upon a"}], "ideal": "time", "level": "easy"},
        ),
    )
    cases, notes = import_cases(path)
    assert cases[0].input == (
        Message("user", "Where is\n\nParis?"),
        Message("assistant", "", (ToolCall("find", {"q": "Paris"}, "1"),)),
        Message("tool", "France", tool_call_id="1"),
    )
    assert cases[0].variables == {"system": "Answer briefly.\n\nexample_user: 2+2?"}
    assert cases[0].expect == Expectation(facts=(("France", "in France"),), answer="France")
    assert (cases[1].expect.facts, cases[1].intent) == ((("4",),), "math")
    assert (cases[2].input, cases[2].variables) == ((Message("user", "Once upon a"),), {})
    assert {case.slices["level"] for case in cases} == {"easy"}
    for part in ("system messages of 1 sample", "1 sample holds system messages only", "`source`"):
        assert any(part in note for note in notes), part


@pytest.mark.parametrize(
    "item",
    [
        {"input": "hi", "ideal": "yo"},
        {"question": "hi", "label": "yo"},
        {"input": "hi", "ground_truth": "yo"},
        {"query": "hi", "expected": "yo"},
        {"ticket_text": "hi", "correct_label": "yo", "language": "de"},
    ],
)
def test_rows_of_hosted_evals(tmp_path: Path, item: object) -> None:
    cases, notes = import_cases(write(tmp_path, "rows.jsonl", lines({"item": item, "sample": {"output_text": "x"}})))
    assert (cases[0].input[0].content, cases[0].expect.facts) == ("hi", (("yo",),))
    assert any("recorded outputs" in note for note in notes)


@pytest.mark.parametrize(
    ("second", "key", "message"),
    [
        ("[1]", None, "each line must hold a JSON object"),
        ('{"ideal": "x"}', "input", "nothing is asked"),
        ('{"item": {"a": "x", "b": "y"}}', "item.input", "nothing is asked"),
        ('{"item": "x"}', "item", "an item is an object"),
        ('{"input": "x", "ideal": []}', "ideal", "the right answer is empty"),
        ('{"input": "x", "ideal": ["a", " "]}', "ideal", "the right answer is empty"),
        ('{"input": "x", "ideal": {"a": 1}}', "ideal[0]", "this must be a text"),
        ('{"input": ["x"]}', "input[0]", "a message needs a `role`"),
        ('{"input": [{"role": "robot"}]}', "input[0].role", "an unknown role"),
        ('{"input": [{"role": "user", "content": [{"type": "image_url"}]}]}', "input[0].content[0]", "only texts"),
        ('{"input": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}', "input",
         "must come from the user"),
        ('{"input": []}', "input", "the case has no message"),
        ('{"input": "x", "ideal": NaN}', "ideal", "NaN and infinity"),
        ('{"input": "x", "ideal": 1e999}', "ideal", "NaN and infinity"),
        ('{"input": "x", "input": "y"}', None, "occurs twice"),
        ('{"input": "\\ud83d"}', "input", "lone surrogate"),
        ('{"input": "x"', None, "not valid JSON"),
        ('{"input": ' + "9" * 5000 + "}", None, "not valid JSON"),
        ('{"input": ' + "[" * 3000, None, "nested deeper"),
        ('{"input": "first"}', None, "asks the same as line 1"),
    ],
)  # fmt: skip
def test_a_bad_sample_is_refused_with_its_line(tmp_path: Path, second: str, key: str | None, message: str) -> None:
    first = json.dumps({"input": "first", "ideal": "x"})
    error = problem(write(tmp_path, "samples.jsonl", f"\ufeff{first}\r\n\r\n{second}\r\n"), "openai-evals")
    assert error.line == 3
    assert message in error.message
    assert error.key == key
