from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import ExitCode, GoldenSetError
from evalkit.goldens import case_from_json, case_to_json, dump_jsonl, load_jsonl
from evalkit.records import Case, Expectation, Message
from evalkit.text import log_safe
from tests.goldens.strategies import RICH, case


def lines(folder: Path, text: str | bytes) -> Path:
    path = folder / "cases.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder: Path, text: str | bytes) -> GoldenSetError:
    path = lines(folder, text)
    with pytest.raises(GoldenSetError) as caught:
        load_jsonl(path)
    assert caught.value.file == str(path)
    assert caught.value.exit_code == ExitCode.GOLDEN_SET
    return caught.value


GOOD = '{"id": "a", "input": "x"}\n'


def test_the_short_forms_mean_the_long_ones(tmp_path: Path) -> None:
    short = {"id": "a", "input": "x", "expect": {"facts": ["one", ["two", "2"], []]}}
    long = {"id": "a", "input": [{"role": "user", "content": "x"}], "expect": {"facts": [["one"], ["two", "2"], []]}}
    expected = Case("a", (Message("user", "x"),), Expectation(facts=(("one",), ("two", "2"), ())))
    path = lines(tmp_path, json.dumps(short) + "\n" + json.dumps(long))
    assert load_jsonl(path) == [expected, expected]


def test_blank_lines_and_foreign_line_ends_are_skipped_and_counted(tmp_path: Path) -> None:
    text = '\n{"id": "a", "input": "x"}\r\n \t\n{"id": "b", "input": "x"}'
    assert [item.id for item in load_jsonl(lines(tmp_path, text))] == ["a", "b"]
    assert refused(tmp_path, text + "\n\n{").line == 6


def test_line_separators_inside_a_text_do_not_end_a_line(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\nh\r"
    assert load_jsonl(lines(tmp_path, dump_jsonl([case(text=text)])))[0].input[0].content == text


@pytest.mark.parametrize("text", ["", "\n", " \n\t\n"])
def test_a_file_without_cases_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).message == "the file is empty: there are no cases in it"


@pytest.mark.parametrize(
    ("line", "message", "key"),
    [
        ("{", "not valid JSON: ", None),
        ("{'id': 'a'}", "not valid JSON: ", None),
        ("[]", "each line must hold a JSON object", None),
        ('"text"', "each line must hold a JSON object", None),
        ("null", "each line must hold a JSON object", None),
        ('{"id": "a"}', "the key `input` is missing", "a: input"),
        ('{"input": "x"}', "the key `id` is missing", "?: id"),
        ('{"id": 5, "input": "x"}', "input should be a valid string", "5: id"),
        ('{"id": "a", "input": 5}', "input should be a list", "a: input"),
        ('{"id": "a", "input": [5]}', "input should be an object", "a: input[0]"),
        ('{"id": "a", "input": "x", "risk": "huge"}', "input should be 'low', 'medium', 'high' or", "a: risk"),
        ('{"id": "a", "input": [{"role": "bot"}]}', "input should be 'system', 'user',", "a: input[0].role"),
        ('{"id": "a", "input": "x", "critical": "maybe"}', "input should be a valid boolean", "a: critical"),
        ('{"id": "a", "input": "x", "tags": "one"}', "input should be a list", "a: tags"),
        ('{"id": "a", "input": "x", "slices": {"k": 1}}', "input should be a valid string", "a: slices.k"),
        ('{"id": "a", "input": "x", "expect": {"facts": "one"}}', "input should be a list", "a: expect.facts"),
        ('{"id": "a", "input": "x", "expect": {"facts": [1]}}', "input should be a list", "a: expect.facts[0]"),
        ('{"id": "a", "input": "x", "variables": []}', "input should be an object", "a: variables"),
        ('{"id": "a", "input": "x", "variables": {"n": [NaN]}}', "NaN and infinity are not JSON", "variables.n[0]"),
        ('{"id": "a", "input": "x", "variables": {"n": -Infinity}}', "NaN and infinity are not JSON", "variables.n"),
        ('{"id": "a", "input": "x", "variables": {"n": 1e999}}', "NaN and infinity are not JSON", "variables.n"),
        ('{"id": "a", "input": "\\ud800\\udfff\\ud800"}', "a lone surrogate in the text", "input"),
        ('{"id": "a", "input": "x", "variables": {"\\udc00": 1}}', "a lone surrogate in the text", "variables"),
    ],
)  # fmt: skip
def test_a_case_that_does_not_fit_is_named_with_line_and_key(
    tmp_path: Path, line: str, message: str, key: str | None
) -> None:
    error = refused(tmp_path, GOOD + "\n" + line + "\n" + GOOD)
    assert error.message.startswith(message)
    assert (error.line, error.key) == (3, key)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"exect": {}}, "exect"),
        ({"expect": {"fact": []}}, "expect.fact"),
        (
            {"expect": {"tools": {"alternatives": [[{"name": "t", "args": {}}]]}}},
            "expect.tools.alternatives[0][0].args",
        ),
        ({"context": [{"id": "d", "text": "x", "body": ""}]}, "context[0].body"),
        ({"provenance": {"url": ""}}, "provenance.url"),
        ({"tools": [{"name": "t", "schema": {}}]}, "tools[0].schema"),
        ({"recorded_tools": [{"name": "t", "results": {}}]}, "recorded_tools[0].results"),
    ],
)
def test_an_unknown_key_is_named_and_the_way_to_the_known_ones(tmp_path: Path, data: dict[str, Any], key: str) -> None:
    error = refused(tmp_path, json.dumps({"id": "a", "input": "x", **data}))
    assert error.message == f"unknown key `{key.rpartition('.')[2]}`"
    assert (error.line, error.key) == (1, f"a: {key}")
    assert error.fix == "`evalkit schema case` prints the keys"


def test_the_offending_value_is_shown(tmp_path: Path) -> None:
    assert "  value: 'huge'" in str(refused(tmp_path, '{"id": "a", "input": "x", "risk": "huge"}'))


def test_a_file_that_is_not_utf_8_says_where(tmp_path: Path) -> None:
    error = refused(tmp_path, GOOD.encode() + b'{"id": "\xe4"}')
    assert (error.message, error.line) == (f"not UTF-8 text (byte {len(GOOD) + 8})", 2)
    assert refused(tmp_path, GOOD.encode("utf-16")).message == "not UTF-8 but UTF-16 text"


def test_a_byte_order_mark_does_not_count(tmp_path: Path) -> None:
    path = lines(tmp_path, b"\xef\xbb\xbf" + GOOD.encode())
    assert [item.id for item in load_jsonl(path)] == ["a"]


@pytest.mark.parametrize("name", ["missing.jsonl", ".", "cases.jsonl/below"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    lines(tmp_path, GOOD)
    with pytest.raises(GoldenSetError, match="cannot read the file") as caught:
        load_jsonl(tmp_path / name)
    assert caught.value.file == str(tmp_path / name)


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 20_000 + "]" * 20_000], ids=["digits", "depth"])
def test_json_beyond_the_limits_of_python_is_refused_with_its_line(tmp_path: Path, value: str) -> None:
    error = refused(tmp_path, GOOD + f'{{"id": "b", "input": "x", "variables": {{"n": {value}}}}}')
    assert error.line == 2


@pytest.mark.parametrize(
    "text",
    ['{"id": "a", "id": "b", "input": "x"}', '{"id": "a", "input": "x", "expect": {"facts": ["1"], "facts": []}}'],
)
def test_a_key_that_occurs_twice_is_refused(tmp_path: Path, text: str) -> None:
    assert "twice" in refused(tmp_path, text).message


def test_defaults_are_left_out_and_keys_come_in_the_order_of_a_case() -> None:
    assert case_to_json(case(text="x")) == {"id": "a", "input": "x"}
    assert list(case_to_json(RICH)) == [
        "id", "input", "expect", "context", "tools", "recorded_tools", "variables", "tenant", "role", "locale",
        "intent", "risk", "critical", "cluster", "slices", "tags", "provenance", "notes",
    ]  # fmt: skip


def test_single_wordings_are_written_as_plain_texts() -> None:
    data = case_to_json(case(expect=Expectation(facts=(("one",), ("two", "2"), ()))))
    assert data["expect"]["facts"] == ["one", ["two", "2"], []]


@pytest.mark.parametrize(
    "message",
    [Message("assistant", "x"), Message("user"), Message("user", "x", tool_call_id="1"), Message("system", "x")],
)
def test_only_a_plain_message_of_the_user_is_shortened(message: Message) -> None:
    data = case_to_json(Case("a", (message,)))
    assert isinstance(data["input"], list)
    assert case_from_json(data) == Case("a", (message,))


def test_an_empty_message_of_the_user_comes_back_from_both_forms() -> None:
    assert case_from_json({"id": "a", "input": ""}) == case_from_json({"id": "a", "input": [{"role": "user"}]})


def test_the_data_given_is_left_as_it_was() -> None:
    data = {"id": "a", "input": "x", "expect": {"facts": ["one"]}}
    before = json.dumps(data)
    case_from_json(data)
    assert json.dumps(data) == before


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(min_size=1, max_size=6), unique=True, max_size=6))
def test_cases_are_dumped_in_the_order_of_their_ids_one_a_line(ids: list[str]) -> None:
    text = dump_jsonl(case(case_id) for case_id in ids)
    assert [json.loads(line)["id"] for line in text.split("\n")[:-1]] == sorted(ids)
    assert text.endswith("\n") or not ids


def test_letters_are_written_as_they_are() -> None:
    text = "Grüße 日本 30\xa0jours\u202f! e\u0301 👍"
    assert text in dump_jsonl([case(text=text)])


HOSTILE = "\x1b[31mred \x9b1A \u202egnol\u200bz \ufeff\x7f \U000e0041 ##[error]x ::warning::\r\n"


def test_what_a_terminal_or_a_log_would_obey_is_escaped_and_comes_back(tmp_path: Path) -> None:
    member = case(HOSTILE, HOSTILE, variables={HOSTILE: [HOSTILE]})
    text = dump_jsonl([member])
    assert log_safe(text) == text
    assert text.count("\n") == 1
    assert load_jsonl(lines(tmp_path, text)) == [member]


def test_cases_given_as_data_are_checked_like_those_of_a_file() -> None:
    assert case_from_json({"id": "a", "input": "x", "tags": ("one",)}).tags == ("one",)
    for bad, key in ((float("nan"), "variables.n"), ({1}, "variables.n"), ("\ud800", "variables.n")):
        with pytest.raises(GoldenSetError) as caught:
            case_from_json({"id": "a", "input": "x", "variables": {"n": bad}})
        assert (caught.value.file, caught.value.key) == (None, key)
    with pytest.raises(GoldenSetError, match="a case is a JSON object"):
        case_from_json([])
