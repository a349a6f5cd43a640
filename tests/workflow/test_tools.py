"""Tool definitions: the forms that are read, schemas that are none, and what a recorded tool answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import ConfigError, ExitCode, ToolSchemaError
from evalkit.records import RecordedTool, ToolSpec
from evalkit.workflow.tools import find_recorded, load_tools, matches

from .world import case_of, write_files

SCHEMA = {"type": "object", "properties": {"order": {"type": "string", "pattern": "^K-[0-9]+$"}}, "required": ["order"]}
LOOKUP = {"name": "lookup", "description": "Find an order", "parameters": SCHEMA}
EXPECTED = ToolSpec("lookup", "Find an order", SCHEMA)


def load(folder: Path, content: Any, name: str = "tools.json") -> tuple[ToolSpec, ...]:
    write_files(folder, {name: content if isinstance(content, str) else json.dumps(content)})
    return load_tools(folder / name)


@pytest.mark.parametrize(
    "content",
    [
        LOOKUP,
        [LOOKUP],
        {"type": "function", "function": LOOKUP},
        [{"type": "function", "function": {**LOOKUP, "strict": True}}],
        {**LOOKUP, "side_effect": "read"},
    ],
)
def test_the_forms_of_a_definition_are_the_same(tmp_path: Path, content: Any) -> None:
    assert load(tmp_path, content) == (EXPECTED,)


def test_yaml_says_the_same_as_json(tmp_path: Path) -> None:
    text = (
        "- name: lookup\n  description: Find an order\n  parameters:\n    type: object\n    required: [order]\n"
        "    properties: {order: {type: string, pattern: '^K-[0-9]+$'}}\n"
    )
    assert load(tmp_path, text, "tools.yaml") == load(tmp_path, text, "tools.yml") == (EXPECTED,)


def test_a_folder_is_all_its_definition_files_in_order_of_their_names(tmp_path: Path) -> None:
    files = {
        "tools/b.json": json.dumps({"name": "second"}),
        "tools/a.yaml": "[{name: first}, {name: also first}]",
        "tools/c.yml": "name: third",
        "tools/notes.md": "name: no tool",
    }
    write_files(tmp_path, files)
    assert [tool.name for tool in load_tools(tmp_path / "tools")] == ["first", "also first", "second", "third"]


def test_defaults_of_a_tool(tmp_path: Path) -> None:
    assert load(tmp_path, {"name": "ping"}) == (ToolSpec("ping", "", {}, "read"),)


@pytest.mark.parametrize(
    ("content", "says", "key"),
    [
        ({"description": "no name"}, "a tool needs a name", None),
        ({"name": ""}, "a tool needs a name", None),
        ("7", "a tool needs a name", None),
        ("[[]]", "a tool needs a name", None),
        ("null", "a tool needs a name", None),
        ({"name": "t", "parmeters": {}}, "nexpected", "parmeters"),
        ({"name": 7}, "valid string", "name"),
        ({"name": "t", "side_effect": "boom"}, "'none', 'read', 'write' or 'money'", "side_effect"),
        ({"name": "t", "parameters": []}, "valid dictionary", "parameters"),
        ({"name": "t", "parameters": {"type": "array"}}, "`type: object`", "t.parameters"),
        ({"name": "t", "parameters": {"type": "objekt"}}, "not JSON Schema", "t.parameters"),
        (
            {"name": "t", "parameters": {"properties": {"a": {"minimum": "0"}}}},
            "at properties.a.minimum",
            "t.parameters",
        ),
        ({"name": "t", "parameters": {"properties": {"a": {"pattern": "("}}}}, "is not a 'regex'", "t.parameters"),
        ({"name": "t", "parameters": {"required": "a"}}, "at required", "t.parameters"),
        ([LOOKUP, LOOKUP], "the tool name occurs twice", "name"),
        ([], "no tool definitions here", None),
        ("{", "not valid JSON", None),
        ("", "not valid JSON", None),
    ],
)
def test_a_definition_that_is_none_is_refused(tmp_path: Path, content: Any, says: str, key: str | None) -> None:
    with pytest.raises(ToolSchemaError) as caught:
        load(tmp_path, content)
    assert caught.value.exit_code is ExitCode.TOOL_SCHEMA
    assert says in str(caught.value)
    assert caught.value.file == str(tmp_path / "tools.json")
    assert caught.value.key == key


def test_a_name_twice_in_a_folder_names_the_second_file(tmp_path: Path) -> None:
    write_files(tmp_path, {"tools/a.json": json.dumps(LOOKUP), "tools/b.yaml": "name: lookup"})
    with pytest.raises(ToolSchemaError, match="occurs twice") as caught:
        load_tools(tmp_path / "tools")
    assert (caught.value.file, caught.value.value) == (str(tmp_path / "tools" / "b.yaml"), "lookup")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nope\.json: cannot read the file: No such file"):
        load_tools(tmp_path / "nope.json")
    with pytest.raises(ToolSchemaError, match=r"no tool definitions here\n  fix:   add a \.json or \.yaml file"):
        load_tools(tmp_path / "nope")
    (tmp_path / "latin.json").write_bytes(b'{"name": "\xfc"}')
    with pytest.raises(ToolSchemaError, match="not valid JSON"):
        load_tools(tmp_path / "latin.json")


@pytest.mark.parametrize("default", ["NaN", "Infinity"])
def test_numbers_that_json_does_not_have_are_refused(tmp_path: Path, default: str) -> None:
    with pytest.raises(ToolSchemaError, match="not valid JSON"):
        load(tmp_path, f'{{"name": "t", "parameters": {{"properties": {{"a": {{"default": {default}}}}}}}}}')


def test_dates_in_a_yaml_schema_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolSchemaError, match="2026"):
        load(tmp_path, "name: t\nparameters: {properties: {day: {default: 2026-01-01}}}\n", "tools.yaml")


@pytest.mark.parametrize("reference", ["#/$defs/order", "#missing", "https://example.org/order.json"])
def test_a_reference_to_nothing_is_refused(tmp_path: Path, reference: str) -> None:
    with pytest.raises(ToolSchemaError, match=r"order|missing"):
        load(tmp_path, {"name": "t", "parameters": {"properties": {"order": {"$ref": reference}}}})


# ── recorded results ────────────────────────────────────────────────────────────────────────


def answer(recorded: list[RecordedTool], arguments: Any, name: str = "lookup") -> Any:
    found = find_recorded(case_of(recorded_tools=tuple(recorded)), name, arguments)
    return found.result if found else None


def test_the_recording_that_says_most_about_the_arguments_answers() -> None:
    recorded = [
        RecordedTool("lookup", "any"),
        RecordedTool("lookup", "order", {"order": "K-1"}),
        RecordedTool("lookup", "both", {"order": "K-1", "deep": True}),
        RecordedTool("other", "wrong tool", {"order": "K-1", "deep": True, "x": 1}),
    ]
    assert answer(recorded, {"order": "K-1", "deep": True, "x": 1}) == "both"
    assert answer(recorded, {"order": "K-1"}) == "order"
    assert answer(recorded, {"order": "K-2"}) == "any"
    assert answer(recorded[1:], {"order": "K-2"}) is None
    assert answer(recorded, {}, "unknown") is None


def test_recordings_without_arguments_answer_whatever_comes() -> None:
    for arguments in (None, "not json", [1], {}, {"a": 1}):
        assert answer([RecordedTool("lookup", "any")], arguments) == "any"
        assert answer([RecordedTool("lookup", "none", {})], arguments) == (
            "none" if isinstance(arguments, dict) else None
        )


def test_of_two_equal_recordings_the_first_answers() -> None:
    assert answer([RecordedTool("lookup", 1, {"a": 1}), RecordedTool("lookup", 2, {"a": 1})], {"a": 1}) == 1


@pytest.mark.parametrize(
    ("given_value", "wanted", "same"),
    [
        (5, 5.0, True),
        (5, "5", False),
        (True, 1, False),
        (1, True, False),
        (False, 0, False),
        (True, True, True),
        (" K-1 ", "k-1", True),
        ("STRASSE", "straße", True),
        ("é", "e\u0301", False),
        ("", None, False),
        (None, None, True),
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        ({"a": 1}, {"a": 1.0}, True),
    ],
)
def test_equality_as_a_tool_sees_it(given_value: Any, wanted: Any, same: bool) -> None:
    assert matches(given_value, wanted) is same


@pytest.mark.parametrize(
    ("given_value", "wanted", "same"),
    [([True], [1], False), ({"a": True}, {"a": 1}, False), (["K-1 "], ["k-1"], True), ({"a": "X"}, {"a": "x"}, True)],
)
def test_equality_inside_lists_and_objects_is_the_same(given_value: Any, wanted: Any, same: bool) -> None:
    assert matches(given_value, wanted) is same


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=80)
@given(JSON, JSON)
def test_equality_is_reflexive_and_symmetric(left: Any, right: Any) -> None:
    assert matches(left, left)
    assert matches(left, right) is matches(right, left)
