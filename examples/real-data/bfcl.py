"""An upgrade of gpt-4o on 1,240 tool-calling prompts (BFCL v1), in prompt mode and in function-calling mode.

    python examples/real-data/bfcl.py DATA [OUT]

DATA holds ``bfcl_v1_cases.parquet`` and ``bfcl_v1_results.parquet``. In prompt mode the newer
model wraps its calls in code fences, which the system's parser does not read: BLOCKED by
tool-call validity. In function-calling mode the same upgrade is not blocked. For each run the share
of cases is printed on which our verdict is the leaderboard's: as published in 2024, and by its
checker of today.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from archive import Archive, read_rows, require, verdicts

from evalkit.records import Case, Expectation, ExpectedCall, Message, Provenance, ToolExpectation, ToolSpec

TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}
LIMIT = 200
KEYS = ("bfcl_valid", "head_valid")
OLD, NEW = "gpt-4o-2024-05-13", "gpt-4o-2024-08-06"


def json_schema(schema: Any) -> Any:
    """BFCL's parameter descriptions as JSON Schema."""
    if isinstance(schema, list):
        return [json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key != "optional"}
    result: dict[str, Any] = {}
    for key, value in kept.items():
        if key == "type" and isinstance(value, str):
            name = TYPES.get(value.lower(), value.lower())
            if name is not None:
                result["type"] = name
        elif key == "properties":
            result[key] = {name: json_schema(inner) for name, inner in value.items()}
        elif key in ("items", "description", "enum", "required"):
            result[key] = json_schema(value)
    return result


def spell_out(value: Any) -> list[Any]:
    """Accepted values of an object: BFCL lists them key by key, we list whole values."""
    if isinstance(value, list):
        return [list(items) for items in itertools.islice(itertools.product(*map(spell_out, value)), LIMIT)]
    if not isinstance(value, dict):
        return [value]
    choices = [[(key, item) for option in options for item in spell_out(option)] for key, options in value.items()]
    combinations = itertools.islice(itertools.product(*choices), LIMIT)
    return [{key: item for key, item in combination if item != ""} for combination in combinations]


def expected_call(call: dict[str, dict[str, list[Any]]]) -> ExpectedCall:
    """A possible answer: an empty text among the accepted values means that the argument may be left out."""
    name, arguments = next(iter(call.items()))
    accepted = {
        key: tuple(item for value in values if value != "" for item in spell_out(value))
        for key, values in arguments.items()
    }
    return ExpectedCall(name, accepted, tuple(key for key, values in arguments.items() if "" in values))


def case(row: dict[str, Any]) -> Case:
    """One prompt of the leaderboard."""
    question = row["question"]
    if question.startswith("[["):
        question = json.loads(question)[0][0]["content"]
    tools = tuple(
        ToolSpec(tool["name"], tool.get("description", ""), json_schema(tool["parameters"]))
        for tool in json.loads(row["functions"])
    )
    answers = json.loads(row["possible_answer"]) if row["possible_answer"] else []
    path = tuple(expected_call(answer) for answer in answers)
    return Case(
        id=row["case_id"],
        input=(Message("user", question),),
        expect=Expectation(tools=ToolExpectation((path,))),
        tools=tools,
        intent=row["category"],
        provenance=Provenance(source="Berkeley Function Calling Leaderboard v1", reference=row["doc_source"] or ""),
    )


def native_calls(raw: str, names: dict[str, str]) -> str | None:
    """The calls of a function-calling answer as JSON; OpenAI writes an underscore for a dot in names."""
    try:
        items = json.loads(raw)
    except ValueError:
        return None
    if not isinstance(items, list):
        return None
    calls = [
        {"name": names.get(name, name), "arguments": arguments}
        for item in items
        if isinstance(item, dict)
        for name, arguments in item.items()
    ]
    return json.dumps(calls)


def answers(rows: list[dict[str, Any]], cases: dict[str, Case], *, native: bool) -> Iterator[dict[str, Any]]:
    """The recording of one model."""
    for row in rows:
        names = {tool.name.replace(".", "_"): tool.name for tool in cases[row["case_id"]].tools}
        raw = row["raw"] or ""
        calls = native_calls(raw, names) if native else None
        yield {**row, "output": "" if calls else raw, "tool_calls": calls}


def main(data: Path, out: Path) -> None:
    """Both upgrades."""
    require(data, "bfcl_v1_cases.parquet", "bfcl_v1_results.parquet")
    cases = {}
    for row in read_rows(data / "bfcl_v1_cases.parquet"):
        try:
            cases[row["case_id"]] = case(row)
        except (AttributeError, TypeError):
            print(f"left out {row['case_id']}: its possible answer is not a list of calls")
    columns = [
        "case_id",
        "model",
        "raw",
        "bfcl_valid",
        "head_valid",
        "input_tokens",
        "output_tokens",
        "latency_s",
        "cost_usd",
    ]
    results = read_rows(data / "bfcl_v1_results.parquet", columns)
    for mode, suffix, form in (("prompt mode", "", "python"), ("function calling", "-FC", "native")):
        print(f"\n== {OLD} to {NEW}, {mode}")
        settings = {"tool_calls": form, "graders": ["tool_call", "cost", "latency"]}
        folder = out / mode.replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        archive = Archive(folder, f"bfcl-{mode.split()[0]}", settings)
        archive.add_cases(cases.values(), licence="Apache-2.0")
        theirs = {}
        for model in (OLD + suffix, NEW + suffix):
            mine = [row for row in results if row["model"] == model and row["case_id"] in cases]
            theirs[model] = mine
            archive.add_answers(model, answers(mine, cases, native=form == "native"))
        before = archive.run(OLD + suffix, as_baseline=True)
        after = archive.run(NEW + suffix)
        archive.show(after.verdict)
        for model, outcome in ((OLD + suffix, before), (NEW + suffix, after)):
            ours = verdicts(outcome.run, "tool_call")
            published, today = (sum(ours[r["case_id"]] == r[key] for r in theirs[model]) / len(ours) for key in KEYS)
            print(f"{model}: agrees with the leaderboard on {published:.1%}, with its checker of today on {today:.1%}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) == 3 else scratch))
