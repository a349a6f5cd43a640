from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import records
from evalkit.records import Case, Component, Message, ModelCall, ToolEvent, Trace, Usage
from tests.basics.strategies import COUNT, MODEL_CALL

RECORDS = [kind for kind in vars(records).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)]


def _blank(kind: type[Any]) -> Any:
    required = [field for field in dataclasses.fields(kind) if _is_required(field)]
    return kind(**{field.name: () if "tuple" in str(field.type) else "" for field in required})


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_a_record_cannot_be_changed_or_extended(kind: type[Any]) -> None:
    record = _blank(kind)
    for field in dataclasses.fields(kind):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, field.name, "other")
    assert not hasattr(record, "__dict__")


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_two_records_do_not_share_a_default_dictionary(kind: type[Any]) -> None:
    first, second = _blank(kind), _blank(kind)
    for field in dataclasses.fields(kind):
        value = getattr(first, field.name)
        if isinstance(value, dict):
            assert value is not getattr(second, field.name)
    assert first == second


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_times_and_money_are_whole_numbers(kind: type[Any]) -> None:
    for name, annotation in get_type_hints(kind).items():
        if name.endswith(("_us", "_microusd")):
            assert annotation in {int, int | None}, f"{kind.__name__}.{name}"


def test_every_record_is_public() -> None:
    assert {kind.__name__ for kind in RECORDS} <= set(records.__all__)
    assert all(hasattr(records, name) for name in records.__all__)


@pytest.mark.parametrize("module", ["records", "fingerprint", "errors"])
def test_the_lowest_modules_import_nothing_of_ours_and_nothing_heavy(module: str) -> None:
    code = (
        f"import evalkit.{module}, sys; "
        "print(sorted({name for name in sys.modules if name.startswith('evalkit.')} "
        "- {'evalkit._version', 'evalkit.lazy'}), "
        "sorted({'pydantic', 'pyarrow', 'numpy', 'pandas', 'yaml'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == f"['evalkit.{module}'] []"


def test_a_case_without_cluster_is_its_own_cluster() -> None:
    assert Case("a", ()).cluster_key == "a"
    assert Case("a", (), cluster="invoice-7").cluster_key == "invoice-7"


def test_slice_keys_hold_the_built_in_keys_and_the_named_ones_and_no_empty_value() -> None:
    case = Case("a", (), intent="refund", risk="high", locale="de-DE", role="", slices={"channel": "mail", "team": ""})
    assert case.slice_keys == {"intent": "refund", "risk": "high", "locale": "de-DE", "channel": "mail"}


def test_a_named_slice_wins_over_the_built_in_one_of_the_same_name() -> None:
    assert Case("a", (), role="agent", slices={"role": "senior agent"}).slice_keys["role"] == "senior agent"
    assert "role" not in Case("a", (), role="agent", slices={"role": ""}).slice_keys


def test_a_component_is_known_by_kind_and_name() -> None:
    assert Component("prompt", "answer", "f" * 64).key == "prompt:answer"


@settings(deadline=None, max_examples=50)
@given(st.lists(MODEL_CALL, max_size=5))
def test_a_trace_sums_cost_time_and_tokens_of_all_its_model_calls(calls: list[ModelCall]) -> None:
    trace = Trace("w", "c", 0, "ok", model_calls=tuple(calls))
    assert trace.cost_microusd == sum(call.cost_microusd for call in calls)
    assert trace.latency_us == sum(call.latency_us for call in calls)
    assert trace.input_tokens == sum(call.usage.input_tokens for call in calls)
    assert trace.output_tokens == sum(call.usage.output_tokens for call in calls)


@settings(deadline=None, max_examples=30)
@given(COUNT, COUNT, COUNT)
def test_waits_and_retries_are_not_latency_and_cached_tokens_are_not_counted_twice(
    wire: int, waited: int, tokens: int
) -> None:
    usage = Usage(input_tokens=tokens, cached_tokens=tokens, output_tokens=tokens, reasoning_tokens=tokens)
    trace = Trace("w", "c", 0, "ok", model_calls=(ModelCall("m", latency_us=wire, waited_us=waited, usage=usage),))
    assert (trace.latency_us, trace.input_tokens, trace.output_tokens) == (wire, tokens, tokens)


def test_the_calls_of_a_trace_keep_order_and_ids_and_denied_calls() -> None:
    trace = Trace(
        "w", "c", 0, "ok",
        tool_events=(
            ToolEvent("refund", {"order": 7}, "1", verdict="deny", status="denied"),
            ToolEvent("lookup", "{not json", "2", status="error"),
            ToolEvent("lookup", [1, 2], "3"),
        ),
    )  # fmt: skip
    assert [(call.name, call.arguments, call.id) for call in trace.tool_calls] == [
        ("refund", {"order": 7}, "1"),
        ("lookup", {}, "2"),
        ("lookup", {}, "3"),
    ]


def test_what_a_case_asks_is_its_last_user_turn() -> None:
    turns = (Message("user", "first"), Message("assistant", "a"), Message("user", "last"), Message("tool", "t"))
    assert Case("a", turns).question == "last"
    assert Case("a", (Message("assistant", "hello"),)).question == Case("a", ()).question == ""


def test_records_with_equal_content_are_equal() -> None:
    assert Case("a", (Message("user", "x"),), variables={"n": 1}) == Case(
        "a", (Message("user", "x"),), variables={"n": 1}
    )
    assert Case("a", (Message("user", "x"),)) != Case("a", (Message("user", "y"),))
