"""The measurement on the leaderboard, on rows made up in the format of its files."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.grading import Figure
from evalkit.records import ExpectedCall, ToolSpec
from evalkit.toolcalls import RawCall
from evalkit_graders.verification.bfcl import VERIFICATION, case_of, native_calls, spelled_out

TOOL = {
    "name": "parcel.price",
    "description": "Price of a parcel.",
    "parameters": {
        "type": "dict",
        "properties": {
            "kilos": {"type": "integer"},
            "length": {"type": "float"},
            "to": {"type": "string"},
            "sides": {"type": "tuple", "items": {"type": "float"}},
            "extra": {"type": "any", "optional": True},
        },
        "required": ["kilos", "to"],
    },
}


def case_row(case_id: str, possible: Any, category: str = "simple") -> dict[str, Any]:
    answers = None if possible is None else json.dumps(possible)
    return {
        "case_id": case_id, "category": category, "question": "What is it?", "functions": json.dumps([TOOL]),
        "possible_answer": answers, "doc_source": None,
    }  # fmt: skip


POSSIBLE = [{"parcel.price": {"kilos": [2], "length": [1.5, ""], "to": ["Bern", ""], "extra": ["", "air"]}}]


def test_a_case_is_converted_with_its_schema_and_its_answers() -> None:
    made = case_of(case_row("simple_0", POSSIBLE))
    assert made.tools == (
        ToolSpec(
            "parcel.price",
            "Price of a parcel.",
            {
                "type": "object",
                "properties": {
                    "kilos": {"type": "integer"},
                    "length": {"type": "number"},
                    "to": {"type": "string"},
                    "sides": {"type": "array", "items": {"type": "number"}},
                    "extra": {},
                },
                "required": ["kilos", "to"],
            },
        ),
    )
    assert made.expect.tools is not None
    ((call,),) = made.expect.tools.alternatives
    accepted = {"kilos": (2,), "length": (1.5,), "to": ("Bern", ""), "extra": ("air",)}
    assert call == ExpectedCall("parcel.price", accepted, ("length", "extra"))


def test_no_possible_answer_means_that_nothing_is_to_be_called() -> None:
    made = case_of(case_row("irrelevance_0", None, "irrelevance"))
    assert made.expect.tools is not None
    assert made.expect.tools.alternatives == ((),)


def test_values_of_objects_listed_key_by_key_are_spelled_out() -> None:
    assert spelled_out({"a": [1, 2], "b": ["x", ""]}) == [{"a": 1, "b": "x"}, {"a": 1}, {"a": 2, "b": "x"}, {"a": 2}]
    assert spelled_out([{"a": [1]}, 3]) == [[{"a": 1}, 3]]


def test_calls_of_the_archive_are_read_under_the_names_of_the_tools() -> None:
    raw = json.dumps([{"parcel_price": '{"kilos": 2}'}, {"other": {}}])
    found = native_calls(raw, [ToolSpec("parcel.price")])
    assert found == (RawCall("parcel.price", '{"kilos": 2}'), RawCall("other", {}))
    assert native_calls("It costs 7 francs.", []) == native_calls("7", []) == ()


GOOD, FLOAT = '{"kilos": 2, "to": "bern"}', '{"kilos": 2.0, "to": "Bern"}'


def result(case_id: str, calls: Any, valid: bool, *, fc: bool = True) -> dict[str, Any]:
    text = calls if isinstance(calls, str) else json.dumps(calls)
    decoded = None if fc or isinstance(calls, str) else text
    return {"case_id": case_id, "fc": fc, "raw": text, "decoded": decoded, "bfcl_valid": valid, "head_valid": valid}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figure]:
    folder = tmp_path_factory.mktemp("bfcl")
    cases = [
        case_row("simple_0", POSSIBLE),
        case_row("irrelevance_0", None, "irrelevance"),
        case_row("simple_1", [{"parcel.price": [[], ""]}]),
    ]
    results = [
        result("simple_0", [{"parcel_price": GOOD}], True),
        result("simple_0", [{"parcel_price": FLOAT}], False),
        result("simple_0", [{"parcel_price": '{"kilos": 2, "to"'}], False),
        result("simple_0", "It costs 7 francs.", False),
        result("irrelevance_0", "I cannot know.", True),
        result("irrelevance_0", [{"parcel_price": GOOD}], False),
        result("simple_0", [{"parcel_price": GOOD}], False),
        result("simple_1", [{"parcel_price": GOOD}], False),
        result("simple_0", [{"parcel.price": json.loads(GOOD)}], True, fc=False),
        result("simple_0", "parcel.price(", False, fc=False),
    ]
    mutations = [
        {"case_id": "simple_0", "mutation": kind, "calls": calls, "bfcl_valid": valid}
        for kind, calls, valid in [
            ("identity", '[{"parcel.price": {"kilos": 2, "to": "Bern"}}]', True),
            ("int_as_float", '[{"parcel.price": {"kilos": 2.0, "to": "Bern"}}]', False),
            ("no_call", "[]", False),
            ("extra_arg", '[{"parcel.price": {"kilos": 2, "to": "Bern", "extra": "air"}}]', False),
            ("extra_arg", '[{"parcel.price": {"kilos": 2, "to": "Bern", "what": 1}}]', False),
        ]
    ]
    for name, rows in zip(VERIFICATION.files, (cases, results, mutations), strict=True):
        pq.write_table(pa.Table.from_pylist(rows), folder / name)
    assert not VERIFICATION.missing(folder)
    return {figure.measure: figure for figure in VERIFICATION.measure(folder)}


@pytest.mark.parametrize(
    ("name", "n", "value"),
    [
        ("agreement with the checker's verdict", 8, 6 / 8),
        ("agreement with the checker's verdict, default parameters", 8, 5 / 8),
        ("agreement with today's checker", 1, 1.0),
        ("agreement with the checker, injected faults", 5, 4 / 5),
        ("agreement with the checker, worst kind of injected fault", 2, 1 / 2),
    ],
)
def test_agreement_is_counted_case_by_case(measured: dict[str, Figure], name: str, n: int, value: float) -> None:
    found = measured[name]
    assert found.n == n
    assert found.value == pytest.approx(value)
    assert found.low <= found.value <= found.high
    assert (found.grader, found.verification) == ("tool_call", "bfcl")


def test_the_worst_kind_of_fault_is_named(measured: dict[str, Figure]) -> None:
    assert measured["agreement with the checker, worst kind of injected fault"].note == "extra_arg"
