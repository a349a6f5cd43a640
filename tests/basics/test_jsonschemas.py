from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import MappingProxyType
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.jsonschemas import Fault, schema_problems, value_faults, value_problems
from tests.basics.strategies import JSON

ORDER = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "pattern": "^K-[0-9]{4}$"},
        "amount": {"type": "number", "minimum": 0.01},
        "lines": {
            "type": "array",
            "items": {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]},
        },
    },
    "required": ["order"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "schema", [{}, {"type": "object"}, ORDER, MappingProxyType({"type": "object"}), {"description": "any"}]
)
def test_a_schema_for_arguments_has_no_problems(schema: Any) -> None:
    assert schema_problems(schema) == []


@pytest.mark.parametrize("schema", [None, True, [], "object", 5])
def test_what_is_no_object_is_no_schema_for_arguments(schema: Any) -> None:
    assert schema_problems(schema) == ["the parameters must be a JSON Schema object"]


@pytest.mark.parametrize("kind", ["array", "string", "null"])
def test_arguments_are_an_object(kind: str) -> None:
    assert schema_problems({"type": kind}) == ["the arguments of a tool are an object: `type: object`"]


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"type": "objekt"}, "(at type)"),
        ({"properties": {"a": {"type": "strng"}}}, "(at properties.a.type)"),
        ({"properties": {"a": {"pattern": "("}}}, "(at properties.a.pattern)"),
        ({"properties": []}, "(at properties)"),
        ({"required": "a"}, "(at required)"),
        ({"properties": {"a": {"minimum": "0"}}}, "(at properties.a.minimum)"),
        ({"properties": {"a": {"items": {"enum": 3}}}}, "(at properties.a.items.enum)"),
    ],
)
def test_what_is_no_json_schema_is_named_with_its_place(schema: Any, where: str) -> None:
    (problem,) = schema_problems(schema)
    assert problem.startswith("not JSON Schema: ")
    assert problem.endswith(where)


@pytest.mark.parametrize(
    ("value", "problems"),
    [
        ({"order": "K-2071"}, []),
        ({"order": "K-2071", "amount": 5, "lines": [{"sku": "a", "more": 1}]}, []),
        ({}, ["'order' is a required property"]),
        ({"order": "2071"}, ["order: '2071' does not match '^K-[0-9]{4}$'"]),
        ({"order": "K-2071", "amount": "5"}, ["amount: '5' is not of type 'number'"]),
        ({"order": "K-2071", "amount": True}, ["amount: True is not of type 'number'"]),
        ({"order": "K-2071", "lines": [{"sku": "a"}, {}]}, ["lines.1: 'sku' is a required property"]),
        ({"order": "K-2071", "x": 1}, ["Additional properties are not allowed ('x' was unexpected)"]),
        ("K-2071", ["'K-2071' is not of type 'object'"]),
        (None, ["None is not of type 'object'"]),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_path(value: Any, problems: list[str]) -> None:
    assert value_problems(ORDER, value) == problems


def test_all_problems_are_told_in_the_order_of_their_paths() -> None:
    problems = value_problems(ORDER, {"order": 1, "amount": -1, "lines": 3})
    assert [problem.partition(":")[0] for problem in problems] == ["amount", "lines", "order"]


def test_of_several_shapes_the_nearest_is_explained() -> None:
    schema = {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"q": {"minimum": 3}}}]}
    assert value_problems(schema, {"q": 1}) == ["q: 1 is less than the minimum of 3"]


def test_references_within_a_schema_are_followed() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/code"}}, "$defs": {"code": {"type": "string"}}}
    assert schema_problems(schema) == []
    assert value_problems(schema, {"a": 5}) == ["a: 5 is not of type 'string'"]


@pytest.mark.parametrize(("schema", "fits"), [(True, True), (False, False), ({}, True)])
def test_a_part_of_a_schema_may_be_true_or_false(schema: Any, fits: bool) -> None:
    assert (value_problems(schema, {"any": "thing"}) == []) is fits


def test_two_schemas_that_python_takes_for_equal_are_kept_apart() -> None:
    assert value_problems({"const": 1}, True) != []
    assert value_problems({"const": True}, True) == []
    assert value_problems({"const": True}, 1) != []


def test_a_schema_changed_after_its_first_use_counts_as_changed() -> None:
    schema = {"type": "string"}
    assert value_problems(schema, "a") == []
    schema["type"] = "integer"
    assert value_problems(schema, "a") == ["'a' is not of type 'integer'"]


SCHEMAS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["object", "string", "number", "array", "null", "boolean"]),
        "minimum": st.integers(-3, 3),
        "maxLength": st.integers(0, 3),
        "maxItems": st.integers(0, 2),
        "required": st.lists(st.sampled_from(["", "a"]), max_size=1),
        "additionalProperties": st.booleans(),
    },
)


@settings(deadline=None, max_examples=100)
@given(SCHEMAS, JSON)
def test_a_value_has_problems_exactly_when_the_reference_validator_refuses_it(
    schema: dict[str, Any], value: Any
) -> None:
    fits = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (value_problems(schema, value) == []) is fits


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#node", "$defs": {"n": {"$anchor": "node", "type": "string"}}},
        {"$ref": "code.json", "$defs": {"n": {"$id": "code.json", "type": "string"}}},
    ],
    ids=["anchor", "id"],
)
def test_references_by_anchor_and_id_are_followed(schema: dict[str, Any]) -> None:
    assert schema_problems(schema) == []
    assert value_problems(schema, 5) == ["5 is not of type 'string'"]


def test_a_reference_in_a_value_or_as_the_name_of_an_argument_is_none() -> None:
    schema = {"properties": {"$ref": {"type": "string"}}, "default": {"$ref": "#/nowhere"}}
    assert schema_problems(schema) == []
    assert value_problems(schema, {"$ref": "#/nowhere"}) == []


@pytest.mark.parametrize("schema", [{"$ref": "#/$defs/none"}, {"properties": {"a": {"$ref": "#/$defs/none"}}}])
def test_a_reference_that_leads_nowhere_is_a_problem_of_the_schema_and_of_every_value(schema: dict[str, Any]) -> None:
    assert schema_problems(schema) == ["not JSON Schema: `$ref: #/$defs/none` leads to nothing inside the schema"]
    assert value_problems(schema, {"a": 1}) == ["the schema refers to `/$defs/none`, which is not inside it"]


def test_a_schema_of_trees_is_one_and_a_schema_without_end_fits_no_value() -> None:
    tree = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    assert schema_problems(tree) == []
    assert value_problems(tree, {"child": {"child": {}}}) == []
    assert value_problems(tree, {"child": {"child": 1}}) == ["child.child: 1 is not of type 'object'"]
    assert "without end" in value_problems({"$ref": "#"}, {})[0]


@contextmanager
def schema_server() -> Iterator[tuple[str, list[str]]]:
    """A server of schemas on the loopback interface, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"type": "string"}')

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_a_schema_never_makes_evalkit_ask_an_address() -> None:
    with schema_server() as (address, asked):
        schema = {"$ref": f"{address}/s.json"}
        try:
            problems = [schema_problems(schema), value_problems(schema, 5)]
        finally:
            assert asked == []
    assert all(address in problem for (problem,) in problems)


@pytest.mark.parametrize(
    ("value", "path", "keyword"),
    [
        ({}, "", "required"),
        ({"order": 7}, "order", "type"),
        ({"order": "K-1"}, "order", "pattern"),
        ({"order": "K-1234", "amount": 0}, "amount", "minimum"),
        ({"order": "K-1234", "now": True}, "", "additionalProperties"),
        ({"order": "K-1234", "lines": [{"sku": "A"}, {"sku": 1}]}, "lines.1.sku", "type"),
    ],
)
def test_a_fault_says_where_it_is_and_which_keyword_does_not_hold(value: Any, path: str, keyword: str) -> None:
    (fault,) = value_faults(ORDER, value)
    assert (fault.path, fault.keyword) == (path, keyword)
    assert value_problems(ORDER, value) == [f"{path}: {fault.message}" if path else fault.message]


def test_a_reference_that_leads_nowhere_is_a_fault_of_every_value() -> None:
    found = value_faults({"properties": {"a": {"$ref": "#/$defs/none"}}}, {"a": 1})
    assert found == [Fault("", "$ref", "the schema refers to `/$defs/none`, which is not inside it")]


def test_a_format_is_an_annotation() -> None:
    assert value_faults({"properties": {"day": {"type": "string", "format": "date"}}}, {"day": "tomorrow"}) == []
