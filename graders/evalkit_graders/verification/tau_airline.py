"""Whether the calls that change something predict the reward of an agent: tau-bench, airline.

Yao et al. (2024), tau-bench: A Benchmark for Tool-Agent-User Interaction in Real-World Domains. A reward of 1 means
that the database ended as it should and that the user was told what had to be told; the second, and how the agent got
there, is not looked at here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from evalkit.grading import Figure, Verification
from evalkit.records import Case, Expectation, ExpectedCall, Message, ToolEvent, ToolExpectation, Trace
from evalkit.stats import bootstrap
from evalkit_graders.tool_call import ToolCallValidity

__all__ = ["VERIFICATION", "WRITES"]

WRITES = (
    "book_reservation",
    "cancel_reservation",
    "send_certificate",
    "update_reservation_baggages",
    "update_reservation_flights",
    "update_reservation_passengers",
)
"""The tools of the domain that change its database."""

_FILE = "tau_airline_gpt4o_runs.parquet"


def case_of(row: dict[str, Any]) -> Case:
    """The task of a run: the actions of its ground truth, in any order."""
    path = tuple(
        ExpectedCall(action["name"], {name: (value,) for name, value in action["kwargs"].items()})
        for action in json.loads(row["gt_actions"])
    )
    return Case(
        str(row["task_id"]), (Message("user", row["instruction"]),), Expectation(tools=ToolExpectation((path,)))
    )


def trace_of(row: dict[str, Any]) -> Trace:
    """The calls of a run."""
    events = tuple(ToolEvent(call["name"], call["kwargs"]) for call in json.loads(row["pred_calls"]))
    return Trace("tau", str(row["task_id"]), row["trial"], "ok", tool_events=events)


def measure(folder: Path) -> Iterator[Figure]:
    """Agreement of the grader's verdict with the reward, drawn by task."""
    grader = ToolCallValidity(only=WRITES)
    rows = pq.read_table(folder / _FILE).to_pylist()
    grades = [grader.grade(case_of(row), trace_of(row)) for row in rows]
    right = np.array(
        [grade is not None and grade.passed is (row["reward"] >= 1) for grade, row in zip(grades, rows, strict=True)]
    )
    found = bootstrap(lambda drawn: float(right[drawn].mean()), len(rows), clusters=[row["task_id"] for row in rows])
    yield Figure.of(
        grader, "tau_airline", found,
        data="tau-bench airline, gpt-4o, 50 tasks 4 times", measure="agreement of right write calls with the reward",
        goal=0.93, note="only: the tools that write",
    )  # fmt: skip


VERIFICATION = Verification(
    name="tau_airline",
    graders=("tool_call",),
    files=(_FILE,),
    about="tau-bench airline (MIT), gpt-4o, with the tasks as they were before their correction in 2026.",
    measure=measure,
)
