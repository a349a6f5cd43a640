"""An upgrade of gpt-4o on 1,240 tool-calling prompts (BFCL v1), in prompt mode and in function-calling mode.

    python examples/real-data/bfcl.py DATA [OUT]

DATA holds ``bfcl_v1_cases.parquet`` and ``bfcl_v1_results.parquet``. In prompt mode the newer
model wraps its calls in code fences, which the system's parser does not read: BLOCKED by
tool-call validity. In function-calling mode the same upgrade is not blocked. For each run the share
of cases is printed on which our verdict is the leaderboard's: as published in 2024, and by its
checker of today.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from archive import Archive, read_rows, require, verdicts

from evalkit.records import Case
from evalkit_graders.verification.bfcl import case_of, native_calls

KEYS = ("bfcl_valid", "head_valid")
OLD, NEW = "gpt-4o-2024-05-13", "gpt-4o-2024-08-06"
AS_BFCL = {"use": "tool_call", "params": {"text": "lenient", "numbers": "strict"}}
"""Values as the leaderboard's checker compares them; arguments are held to the schema as well."""


def answers(rows: list[dict[str, Any]], cases: dict[str, Case], *, native: bool) -> Iterator[dict[str, Any]]:
    """The recording of one model."""
    for row in rows:
        raw = row["raw"] or ""
        found = native_calls(raw, cases[row["case_id"]].tools) if native else ()
        calls = json.dumps([{"name": call.name, "arguments": call.arguments} for call in found]) if found else None
        yield {**row, "output": "" if calls else raw, "tool_calls": calls}


def main(data: Path, out: Path) -> None:
    """Both upgrades."""
    require(data, "bfcl_v1_cases.parquet", "bfcl_v1_results.parquet")
    cases = {}
    for row in read_rows(data / "bfcl_v1_cases.parquet"):
        try:
            cases[row["case_id"]] = case_of(row)
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
        settings = {"tool_calls": form, "graders": [AS_BFCL, "cost", "latency"]}
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
