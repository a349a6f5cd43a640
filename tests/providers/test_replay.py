"""Recorded answers as a target: columns, types, trials, and recordings that are none."""

from __future__ import annotations

import asyncio
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.errors import ConfigError, ExitCode
from evalkit.providers import CallError, ChatRequest, ChatResponse, Provider, Replay, RequestedCall
from evalkit.records import Usage

ROW: dict[str, Any] = {
    "case_id": "c",
    "trial": 0,
    "output": "30 days",
    "tool_calls": json.dumps([{"name": "lookup", "arguments": {"order": "K-1"}}]),
    "finish_reason": "stop",
    "model": "m-recorded",
    "input_tokens": 120,
    "output_tokens": 30,
    "latency_s": 1.25,
    "cost_usd": 0.000123,
    "error": None,
}


def recording(folder: Path, *rows: dict[str, Any], **columns: Any) -> Path:
    path = folder / "answers.parquet"
    names = {name for row in rows for name in row}
    table = {name: [row.get(name) for row in rows] for name in sorted(names)} | columns
    pq.write_table(pa.table(table), path)
    return path


def replay(folder: Path, *rows: dict[str, Any], case_id: str = "c", trial: int = 0) -> ChatResponse:
    target = Replay("replay", recording(folder, *rows))
    request = ChatRequest("m-asked", (), case_id=case_id, trial=trial, seed=99)
    return asyncio.run(target.complete(request))


def test_a_full_row_is_the_answer(tmp_path: Path) -> None:
    assert replay(tmp_path, ROW) == ChatResponse(
        text="30 days",
        tool_calls=(RequestedCall("lookup", {"order": "K-1"}),),
        finish_reason="stop",
        usage=Usage(120, 30, source="recorded"),
        model="m-recorded",
        latency_us=1_250_000,
        timed=True,
        cost_microusd=123,
        final=True,
    )


def test_two_columns_are_enough_and_nothing_is_made_up(tmp_path: Path) -> None:
    assert replay(tmp_path, {"case_id": "c", "output": "x"}) == ChatResponse(
        text="x",
        finish_reason="stop",
        usage=Usage(source="none"),
        model="m-asked",
        latency_us=0,
        timed=False,
        final=True,
    )


def test_trials_are_told_apart(tmp_path: Path) -> None:
    rows = [{"case_id": case, "trial": trial, "output": f"{case}{trial}"} for case in "ab" for trial in (0, 1)]
    assert replay(tmp_path, *rows, case_id="b", trial=1).text == "b1"


@pytest.mark.parametrize("trial", [None, math.nan], ids=["null", "nan"])
def test_a_row_without_a_trial_is_the_first(tmp_path: Path, trial: float | None) -> None:
    """Tables write a missing number as NaN, so it says nothing, in this column as in the others."""
    assert replay(tmp_path, {"case_id": "c", "trial": trial, "output": "first"}).text == "first"


@pytest.mark.parametrize(("case_id", "trial"), [("d", 0), ("c", 1), ("", 0), ("C", 0)])
def test_a_trial_that_is_not_recorded_is_an_error(tmp_path: Path, case_id: str, trial: int) -> None:
    with pytest.raises(CallError) as caught:
        replay(tmp_path, ROW, case_id=case_id, trial=trial)
    assert (caught.value.kind, caught.value.fatal) == ("not_recorded", False)
    assert f"answers.parquet: case {case_id}, trial {trial} is not recorded" in str(caught.value)


def test_a_recorded_error_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"answers\.parquet: recorded error: overloaded") as caught:
        replay(tmp_path, {**ROW, "error": "overloaded"})
    assert caught.value.kind == "recorded"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"output": None}, {"text": ""}),
        ({"finish_reason": None}, {"finish_reason": "tool_calls"}),
        ({"finish_reason": None, "tool_calls": None}, {"finish_reason": "stop"}),
        ({"model": None}, {"model": "m-asked"}),
        ({"latency_s": None}, {"latency_us": 0, "timed": False}),
        ({"latency_s": math.nan}, {"latency_us": 0, "timed": False}),
        ({"latency_s": 0.0}, {"latency_us": 0, "timed": True}),
        ({"cost_usd": None}, {"cost_microusd": None}),
        ({"cost_usd": math.nan}, {"cost_microusd": None}),
        ({"cost_usd": 0.0}, {"cost_microusd": 0}),
        ({"input_tokens": None}, {"usage": Usage(0, 30, source="recorded")}),
        ({"input_tokens": None, "output_tokens": None}, {"usage": Usage(source="none")}),
        ({"input_tokens": 7.0, "output_tokens": math.nan}, {"usage": Usage(7, 0, source="recorded")}),
        ({"tool_calls": ""}, {"tool_calls": ()}),
        ({"tool_calls": "[]"}, {"tool_calls": ()}),
        ({"tool_calls": '[{"name": "f"}]'}, {"tool_calls": (RequestedCall("f", {}),)}),
        (
            {"tool_calls": '[{"name": "f", "arguments": "{\\"a\\": 1}"}]'},
            {"tool_calls": (RequestedCall("f", {"a": 1}),)},
        ),
        ({"tool_calls": '[{"name": "f", "arguments": ""}]'}, {"tool_calls": (RequestedCall("f", {}),)}),
    ],
)
def test_what_a_row_says(tmp_path: Path, change: dict[str, Any], expected: dict[str, Any]) -> None:
    response = replay(tmp_path, {**ROW, **change})
    assert {name: getattr(response, name) for name in expected} == expected


def test_calls_that_are_no_json_are_kept_as_they_came(tmp_path: Path) -> None:
    (call,) = replay(tmp_path, {**ROW, "tool_calls": "lookup(1)"}).tool_calls
    assert (call.name, call.arguments) == ("", "lookup(1)")
    assert str(call.error).startswith("the recorded calls are not JSON")
    (call,) = replay(tmp_path, {**ROW, "tool_calls": '[{"name": "f", "arguments": "{"}]'}).tool_calls
    assert (call.name, call.arguments) == ("f", "{")
    assert str(call.error).startswith("arguments are not JSON")


def test_the_identity_is_the_content(tmp_path: Path) -> None:
    first, second = {**ROW, "case_id": "a"}, {**ROW, "case_id": "b"}
    (tmp_path / "elsewhere").mkdir()

    def identity(*rows: dict[str, Any], folder: Path = tmp_path, name: str = "replay") -> Any:
        return Replay(name, recording(folder, *rows)).identity

    before = identity(first, second)
    assert before["kind"] == "replay"
    assert identity(second, first) == before
    assert identity(first, second, folder=tmp_path / "elsewhere", name="old") == before
    assert identity({**first, "note": 1}, {**second, "note": 2}) == before
    assert identity({**first, "input_tokens": 120.0}, second) == before
    assert identity(first, {**second, "output": "31 days"}) != before
    assert identity(first) != before
    assert isinstance(Replay("replay", tmp_path / "answers.parquet"), Provider)


# ── recordings that are none ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"case_id": "c"}], "columns missing: output"),
        ([{"text": "c"}], "columns missing: case_id, output"),
        ([{"case_id": "c", "output": "x"}] * 2, "trial 0 of the case is recorded twice"),
        ([{"case_id": "c", "output": "x", "trial": t} for t in (1, 1)], "trial 1 of the case is recorded twice"),
        ([{"case_id": "c", "output": "x", "trial": t} for t in (None, 0)], "trial 0 of the case is recorded twice"),
    ],
)
def test_a_file_that_is_no_recording(tmp_path: Path, rows: list[dict[str, Any]], says: str) -> None:
    path = recording(tmp_path, *rows)
    with pytest.raises(ConfigError, match=says) as caught:
        Replay("replay", path)
    assert caught.value.exit_code is ExitCode.CONFIG
    assert caught.value.file == str(path)
    if "missing" in says:
        assert str(caught.value.fix).startswith("a recording has the columns case_id and output")
    else:
        assert caught.value.value == "c"


@pytest.mark.parametrize("content", [None, b"", b"case_id,output\n"])
def test_a_file_that_is_no_parquet(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(ConfigError, match="not a readable recording"):
        Replay("replay", tmp_path / "x.parquet")


def test_an_empty_recording_answers_nothing(tmp_path: Path) -> None:
    path = recording(tmp_path, case_id=pa.array([], pa.string()), output=pa.array([], pa.string()))
    target = Replay("replay", path)
    assert target.identity["kind"] == "replay"
    with pytest.raises(CallError, match="is not recorded"):
        asyncio.run(target.complete(ChatRequest("m", (), case_id="c")))


def test_calls_are_taken_as_a_vendor_returned_them(tmp_path: Path) -> None:
    chat = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]
    anthropic = {
        "content": [{"type": "text", "text": "."}, {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}]
    }
    for calls in (chat, anthropic):
        found = replay(tmp_path, {**ROW, "tool_calls": json.dumps(calls)}).tool_calls
        assert found == (RequestedCall("f", {"a": 1}, "c1"),)
    broken = [{"type": "function", "function": {"name": "f", "arguments": '{"a": '}}]
    (call,) = replay(tmp_path, {**ROW, "tool_calls": json.dumps(broken)}).tool_calls
    assert (call.name, str(call.error).startswith("arguments are not JSON")) == ("f", True)


@pytest.mark.parametrize(
    "calls",
    [
        '{"text": "f"}',
        "[7]",
        '[{"arguments": {}}]',
        "null",
        "7",
        '"f()"',
        '[{"name": 7}]',
        '[{"name": "f", "arguments": "NaN"}]',
    ],
)
def test_json_that_is_no_calls_is_kept_as_it_came(tmp_path: Path, calls: str) -> None:
    (call,) = replay(tmp_path, {**ROW, "tool_calls": calls}).tool_calls
    assert call.error is not None
    assert isinstance(call.name, str)


@pytest.mark.parametrize(
    "change",
    [{"latency_s": "1.2"}, {"cost_usd": "0.1"}, {"input_tokens": "12"}, {"output": 7}, {"model": 7}, {"tool_calls": 7}],
)
def test_a_column_of_the_wrong_type_is_a_config_error(tmp_path: Path, change: dict[str, Any]) -> None:
    path = recording(tmp_path, {**ROW, **change})
    with pytest.raises(ConfigError, match=next(iter(change))) as caught:
        Replay("replay", path)
    assert caught.value.file == str(path)


def test_columns_as_other_tools_write_them_are_read(tmp_path: Path) -> None:
    path = recording(
        tmp_path,
        case_id=pa.array(["c"]).dictionary_encode(),
        output=pa.array(["x"], pa.large_string()),
        model=pa.array(["m"], pa.string_view()),
        cost_usd=pa.array([Decimal("0.25")]),
        latency_s=pa.array([None]),
    )
    response = asyncio.run(Replay("replay", path).complete(ChatRequest("m-asked", (), case_id="c")))
    assert (response.text, response.model, response.cost_microusd, response.timed) == ("x", "m", 250_000, False)


@pytest.mark.parametrize(
    "rows",
    [
        [{"case_id": 7, "output": "x"}],
        [{"case_id": None, "output": "x"}, {"case_id": "c", "output": "y"}],
        [{"case_id": "c", "output": "x", "trial": 1.7}],
        [{"case_id": "c", "output": "x", "trial": -1}],
    ],
    ids=["number as id", "no id", "half a trial", "trial before the first"],
)
def test_rows_that_no_trial_can_have_are_a_config_error(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = recording(tmp_path, *rows)
    with pytest.raises(ConfigError, match=r"answers\.parquet"):
        Replay("replay", path)


@pytest.mark.parametrize(
    "change",
    [
        {"latency_s": -1.0},
        {"cost_usd": -0.5},
        {"input_tokens": -3},
        {"output_tokens": 2.5},
        {"cost_usd": math.inf},
        {"output_tokens": 2**62},
    ],
)
def test_numbers_that_nothing_can_measure_are_a_config_error(tmp_path: Path, change: dict[str, Any]) -> None:
    (column,) = change
    with pytest.raises(ConfigError, match=column) as caught:
        replay(tmp_path, {**ROW, **change})
    assert (caught.value.key, caught.value.value) == (column, change[column])
