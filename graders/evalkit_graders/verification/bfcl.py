"""The Berkeley Function Calling Leaderboard: its cases as ours, and agreement with the verdicts of its checker.

Patil et al. (2025), The Berkeley Function Calling Leaderboard; the checker is ``bfcl_eval/eval_checker/ast_eval`` of
https://github.com/ShishirPatil/gorilla.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from evalkit.grading import Figure, Verification
from evalkit.records import (
    Case,
    Expectation,
    ExpectedCall,
    Message,
    Provenance,
    ToolEvent,
    ToolExpectation,
    ToolSpec,
    Trace,
)
from evalkit.stats import bootstrap, share
from evalkit.strictjson import load_json
from evalkit.toolcalls import RawCall
from evalkit_graders.tool_call import ToolCallValidity

__all__ = ["AS_BFCL", "VERIFICATION", "case_of", "native_calls"]

AS_BFCL = ToolCallValidity(text="lenient", numbers="strict", schema="ignore")
"""The grader as the leaderboard's checker compares."""

_CASES, _RESULTS, _MUTATIONS = "bfcl_v1_cases.parquet", "bfcl_v1_results.parquet", "bfcl_mutations.parquet"
_COLUMNS = ["case_id", "fc", "raw", "decoded", "bfcl_valid", "head_valid"]
_DEFAULT = "the default takes 5.0 for an integer and holds calls to the schema, and punctuation in texts counts"

_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}
_MOST = 200
"""Whole values that one accepted value of an object or list is spelled out to."""
_KEPT = frozenset({"items", "description", "enum", "required"})


def json_schema(schema: Any) -> Any:
    """BFCL's parameter descriptions as JSON Schema."""
    if isinstance(schema, list):
        return [json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            name = _TYPES.get(value.lower(), value.lower())
            if name is not None:
                result["type"] = name
        elif key == "properties":
            result[key] = {name: json_schema(inner) for name, inner in value.items()}
        elif key in _KEPT:
            result[key] = json_schema(value)
    return result


def spelled_out(value: Any) -> list[Any]:
    """Accepted values of an object: BFCL lists them key by key, we list whole values."""
    if isinstance(value, list):
        return [list(items) for items in itertools.islice(itertools.product(*map(spelled_out, value)), _MOST)]
    if not isinstance(value, dict):
        return [value]
    choices = [[(key, item) for option in options for item in spelled_out(option)] for key, options in value.items()]
    combinations = itertools.islice(itertools.product(*choices), _MOST)
    return [{key: item for key, item in combination if item != ""} for combination in combinations]


def expected_call(answer: Mapping[str, Mapping[str, list[Any]]], tools: Mapping[str, ToolSpec]) -> ExpectedCall:
    """A possible answer: ``{tool: {argument: [accepted value, …]}}``.

    An empty text among the accepted values means that the argument may be left out unless the tool requires it; for
    an argument that is a text, it is an accepted value as well.
    """
    name, arguments = next(iter(answer.items()))
    parameters = tools[name].parameters if name in tools else {}
    properties, required = parameters.get("properties", {}), parameters.get("required", ())
    accepted = {}
    for key, values in arguments.items():
        is_text = properties.get(key, {}).get("type") == "string"
        accepted[key] = tuple(item for value in values if is_text or value != "" for item in spelled_out(value))
    optional = tuple(key for key, values in arguments.items() if "" in values and key not in required)
    return ExpectedCall(name, accepted, optional)


def case_of(row: Mapping[str, Any]) -> Case:
    """A row of ``bfcl_v1_cases.parquet`` as a case.

    Raises:
        TypeError, AttributeError: where its possible answer is not a list of calls.
    """
    question = row["question"]
    if question.startswith("[["):
        question = json.loads(question)[0][0]["content"]
    tools = tuple(
        ToolSpec(tool["name"], tool.get("description", ""), json_schema(tool["parameters"]))
        for tool in json.loads(row["functions"])
    )
    answers = json.loads(row["possible_answer"]) if row["possible_answer"] else []
    path = tuple(expected_call(answer, {tool.name: tool for tool in tools}) for answer in answers)
    return Case(
        id=row["case_id"],
        input=(Message("user", question),),
        expect=Expectation(tools=ToolExpectation((path,))),
        tools=tools,
        intent=row["category"],
        provenance=Provenance(source="Berkeley Function Calling Leaderboard v1", reference=row["doc_source"] or ""),
    )


def native_calls(raw: str, tools: Iterable[ToolSpec]) -> tuple[RawCall, ...]:
    """The calls of a function-calling answer as archived, ``[{tool: arguments}, …]``; none where it is prose.

    Vendors take no dots in names and were given underscores for them.
    """
    names = {tool.name.replace(".", "_"): tool.name for tool in tools}
    try:
        items = load_json(raw)
    except ValueError:
        return ()
    pairs = (
        [pair for item in items if isinstance(item, dict) for pair in item.items()] if isinstance(items, list) else []
    )
    return tuple(RawCall(names.get(str(name), str(name)), arguments) for name, arguments in pairs)


def _events(calls: Iterable[RawCall]) -> tuple[ToolEvent, ...]:
    return tuple(_event(call) for call in calls)


def _event(call: RawCall) -> ToolEvent:
    if not isinstance(call.arguments, str):
        return ToolEvent(call.name, call.arguments)
    try:
        return ToolEvent(call.name, load_json(call.arguments or "{}"))
    except ValueError as error:
        return ToolEvent(call.name, call.arguments, schema_errors=(f"arguments are not JSON: {error}",))


@dataclass
class _Tally:
    """On which rows the grader says what the checker says."""

    agrees: list[bool]
    case_ids: list[str]

    def add(self, case_id: str, agrees: bool) -> None:
        self.agrees.append(agrees)
        self.case_ids.append(case_id)

    def figure(self, data: str, measure: str, goal: float | None = None, note: str = "") -> Figure:
        """The share, with an interval by case: models stumble over the same cases."""
        agrees = np.array(self.agrees, float)
        found = bootstrap(lambda rows: float(agrees[rows].mean()), len(agrees), clusters=self.case_ids)
        return Figure.of(AS_BFCL, "bfcl", found, data=data, measure=measure, goal=goal, note=note)


def measure(folder: Path) -> Iterator[Figure]:
    """Agreement with the checker, case by case. A case whose possible answer cannot be read counts as disagreement."""
    cases = _cases(folder)
    native, default, prompt = _Tally([], []), _Tally([], []), _Tally([], [])
    for row in pq.read_table(folder / _RESULTS, columns=_COLUMNS).to_pylist():
        case_id, case = row["case_id"], cases.get(row["case_id"])
        if row["fc"]:
            calls = native_calls(row["raw"] or "", case.tools) if case else ()
            native.add(case_id, _said(AS_BFCL, case, calls) is row["bfcl_valid"])
            default.add(case_id, _said(ToolCallValidity(), case, calls) is row["bfcl_valid"])
        elif row["decoded"] is not None:
            calls = native_calls(row["decoded"], case.tools) if case else ()
            prompt.add(case_id, _said(AS_BFCL, case, calls) is row["head_valid"])
    data = "BFCL v1, 27 models with native function calling"
    how = "text: lenient, numbers: strict, schema: ignore"
    yield native.figure(data, "agreement with the checker's verdict", 0.995, how)
    yield default.figure(data, "agreement with the checker's verdict, default parameters", None, _DEFAULT)
    yield prompt.figure(
        "BFCL v1, 9 models that write calls as text, decoded", "agreement with today's checker", None, how
    )
    yield from _mutations(folder, cases)


def _mutations(folder: Path, cases: Mapping[str, Case]) -> Iterator[Figure]:
    kinds: dict[str, _Tally] = {}
    together = _Tally([], [])
    for row in pq.read_table(folder / _MUTATIONS).to_pylist():
        case = cases.get(row["case_id"])
        calls = native_calls(row["calls"], case.tools) if case else ()
        agrees = _said(AS_BFCL, case, calls) is row["bfcl_valid"]
        for tally in (together, kinds.setdefault(row["mutation"], _Tally([], []))):
            tally.add(row["case_id"], agrees)
    data = f"BFCL v1, right answers with {len(kinds)} kinds of injected faults"
    yield together.figure(data, "agreement with the checker, injected faults", 0.995)
    kind, worst = min(kinds.items(), key=lambda item: sum(item[1].agrees) / len(item[1].agrees))
    low = share(sum(worst.agrees), len(worst.agrees))
    title = "agreement with the checker, worst kind of injected fault"
    yield Figure.of(AS_BFCL, "bfcl", low, data=data, measure=title, note=kind)


def _cases(folder: Path) -> dict[str, Case]:
    cases = {}
    for row in pq.read_table(folder / _CASES).to_pylist():
        with suppress(AttributeError, TypeError):
            cases[row["case_id"]] = case_of(row)
    return cases


def _said(grader: ToolCallValidity, case: Case | None, calls: Iterable[RawCall]) -> bool | None:
    if case is None:
        return None
    grade = grader.grade(case, Trace("bfcl", case.id, 0, "ok", tool_events=_events(calls)))
    return grade.passed if grade is not None else None


VERIFICATION = Verification(
    name="bfcl",
    graders=("tool_call",),
    files=(_CASES, _RESULTS, _MUTATIONS),
    about="Berkeley Function Calling Leaderboard v1 (2024-08-11), its checker's verdicts on recorded answers and on "
    "right answers with injected faults; cases under Apache-2.0, results without a stated licence.",
    measure=measure,
)
