"""Tool calls that went wrong: by constructed traces."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.records import ToolEvent
from evalkit_graders.tool_health import ToolHealth

from .made import case, score, trace


def event(name: str = "lookup", arguments: Any = None, **fields: Any) -> ToolEvent:
    return ToolEvent(name, {"id": 1} if arguments is None else arguments, **{"result": "found", **fields})


@pytest.mark.parametrize(
    ("events", "share", "faults"),
    [
        ([event()], 0.0, {}),
        ([event(), event(arguments={"id": 2})], 0.0, {}),
        ([event(status="error", error="timeout")], 1.0, {"error": 1}),
        ([event(status="denied", verdict="deny"), event("other")], 0.5, {"denied": 1}),
        ([event(arguments="{broken")], 1.0, {"malformed": 1}),
        ([event(schema_errors=("id: not a number",))], 1.0, {"malformed": 1}),
        ([event(schema_errors=("x",), status="error", error="e")], 1.0, {"malformed": 1}),
        ([event(), event()], 0.5, {"repeated": 1}),
        ([event(), event(result="changed")], 0.0, {}),
        ([event(status="error", error="e"), event()], 1.0, {"error": 1, "repeated": 1}),
        ([event(status="error", error="e"), event(arguments={"id": 2})], 0.5, {"error": 1}),
        ([event("a"), event("b"), event("a"), event("b", result=1)], 0.25, {"repeated": 1}),
        ([event(status="not_run", result=None)], 0.0, {}),
    ],
)
def test_the_value_is_the_share_of_calls_that_went_wrong(
    events: list[ToolEvent], share: float, faults: dict[str, int]
) -> None:
    found = score(ToolHealth(), case(), trace(tool_events=tuple(events)))
    assert (found.status, found.value, found.passed, found.label) == ("ok", share, None, "")
    assert {key: item for key, item in found.evidence.items() if key not in ("calls", "first")} == faults
    assert found.evidence["calls"] == len(events)


@pytest.mark.parametrize(("most", "passed", "label"), [(0.5, True, ""), (0.49, False, "error"), (0.0, False, "error")])
def test_the_threshold_itself_passes(most: float, passed: bool, label: str) -> None:
    events = (event(status="error", error="e"), event("other"))
    found = score(ToolHealth(max_share=most), case(), trace(tool_events=events))
    assert (found.passed, found.label) == (passed, label)
    assert found.evidence["first"] == ["lookup: error"]


def test_without_a_call_there_is_nothing_to_say() -> None:
    assert score(ToolHealth(max_share=0.0), case(), trace("x")).status == "not_applicable"
    assert not ToolHealth.quality
