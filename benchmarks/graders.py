"""Answers that each grader judges in a CPU second, on the committed golden sets."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import Table, cpu_of
from evalkit.engine.targets import price_table
from evalkit.errors import GraderError
from evalkit.goldens import load
from evalkit.grading import RunGrader, available, grader_ref, make_graders
from evalkit.grading.over_run import grade_run
from evalkit.grading.run import grade_trial
from evalkit.records import Case, Trace
from evalkit.simulator import Simulator
from evalkit.workflow import load_project, load_workflow, run_trial

ROOT = Path(__file__).resolve().parent.parent


def names() -> list[str]:
    """The shipped graders that can be made without parameters and ask no model."""
    found = []
    for name, info in available().items():
        kind = info.grader_class()
        if info.origin.startswith("evalkit") and not kind.is_async and kind.deterministic:
            with suppress(GraderError):
                make_graders([(name, {})])
                found.append(name)
    return found


async def traces() -> list[tuple[Case, Trace]]:
    """A trace of every case of two workflows, from the simulated models in process."""
    project = load_project(ROOT)
    prices, providers = price_table(project), {"sim": Simulator("sim")}
    found = []
    for name in ("support", "hr"):
        workflow = load_workflow(project, name)
        cases = load(workflow.golden_path).cases
        found += [(case, await run_trial(workflow, case, 0, providers, prices)) for case in cases]
    return found


def grade_all(name: str, pairs: list[tuple[Case, Trace]]) -> None:
    """Grade every trace with one grader; one of runs sees two trials of each case."""
    (grader,) = make_graders([(name, {})])
    ref = grader_ref(grader)
    if isinstance(grader, RunGrader):
        cases = ((case, (trace, replace(trace, trial=1))) for case, trace in pairs[: len(pairs) // 2])
        for _ in grade_run(grader, ref, cases):
            pass
        return
    for case, trace in pairs:
        grade_trial(grader, ref, case, trace)


def measure() -> Table:
    """One row a grader: answers of these traces a CPU second."""
    pairs = asyncio.run(traces())
    rows = []
    for name in names():
        grade_all(name, pairs[:5])
        seconds = cpu_of(partial(grade_all, name, pairs))
        rows.append([name, f"{len(pairs) / seconds:,.0f}"])
    return f"Graders on {len(pairs)} traces", ["grader", "answers a CPU s"], rows


def grounded(rows: Sequence[dict[str, Any]]) -> float:
    """Answers that groundedness judges in a CPU second."""
    from evalkit_graders.groundedness.sources import read_sources
    from evalkit_graders.verification.grounded import graded

    read_sources.cache_clear()
    return len(rows) / cpu_of(partial(graded, rows))


def main() -> None:
    """Groundedness on RAGTruth, first in an order in which no answer has the sources of the one before."""
    from evalkit_graders.verification.grounded import read_rows

    rows = list(read_rows(Path(sys.argv[1]) / "ragtruth.parquet"))
    apart = random.Random(1).sample(rows, len(rows))
    grounded(apart[:20])
    print(f"sources of its own for each answer: {grounded(apart):.0f} answers a CPU second")
    print(f"the answers to a prompt together: {grounded(rows):.0f} answers a CPU second")


if __name__ == "__main__":
    main()
