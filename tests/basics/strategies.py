"""Hypothesis strategies and helpers that several files of this folder use."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from evalkit.records import (
    Message,
    ModelCall,
    PolicyDecision,
    RetrievedDocument,
    RouteStep,
    ToolCall,
    ToolEvent,
    Trace,
    TraceError,
    Usage,
)

TEXT = st.text(max_size=12)
COUNT = st.integers(0, 2**40)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)

_CALL = st.builds(ToolCall, name=TEXT, arguments=OBJECT, id=TEXT)
_MESSAGE = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=TEXT,
    tool_calls=st.lists(_CALL, max_size=2).map(tuple),
    tool_call_id=st.none() | TEXT,
)
_EVENT = st.builds(
    ToolEvent,
    name=TEXT,
    arguments=JSON,
    id=TEXT,
    schema_errors=st.lists(TEXT, max_size=2).map(tuple),
    verdict=st.sampled_from(["allow", "deny", "needs_approval"]),
    status=st.sampled_from(["ok", "error", "denied", "not_run"]),
    result=JSON,
    error=st.none() | TEXT,
    step=COUNT,
)
MODEL_CALL = st.builds(
    ModelCall,
    model=TEXT,
    usage=st.builds(Usage, input_tokens=COUNT, output_tokens=COUNT, source=st.sampled_from(["provider", "none"])),
    cost_microusd=COUNT,
    latency_us=COUNT,
    ttft_us=st.none() | COUNT,
    status=st.sampled_from(["ok", "error"]),
    error=st.none() | TEXT,
    priced=st.booleans(),
)
_DOCUMENT = st.builds(
    RetrievedDocument,
    id=TEXT,
    text=TEXT,
    date=st.none() | TEXT,
    trusted=st.booleans(),
    score=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
_DECISION = st.builds(
    PolicyDecision,
    point=st.sampled_from(["retrieve", "act"]),
    subject=TEXT,
    verdict=st.sampled_from(["allow", "deny"]),
    severity=st.sampled_from(["none", "critical"]),
)
TRACES = st.builds(
    Trace,
    workflow=TEXT,
    case_id=TEXT,
    trial=COUNT,
    status=st.sampled_from(["ok", "error"]),
    answer=TEXT,
    route=st.lists(st.builds(RouteStep, TEXT, TEXT, TEXT, st.none() | TEXT), max_size=2).map(tuple),
    documents=st.lists(_DOCUMENT, max_size=2).map(tuple),
    messages=st.lists(_MESSAGE, max_size=2).map(tuple),
    model_calls=st.lists(MODEL_CALL, max_size=2).map(tuple),
    tool_events=st.lists(_EVENT, max_size=2).map(tuple),
    policy_decisions=st.lists(_DECISION, max_size=2).map(tuple),
    error=st.none() | st.builds(TraceError, TEXT, TEXT),
    simulated=st.booleans(),
    redactions=st.dictionaries(TEXT, COUNT, max_size=2),
)


def exact(value: object) -> str:
    """A text that tells 1, 1.0 and True apart, which ``==`` does not, and ignores the order of keys."""
    return json.dumps(value, sort_keys=True)
