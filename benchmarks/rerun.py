"""An unchanged rerun: everything is known, no model is called."""

from __future__ import annotations

from pathlib import Path

from benchmarks.common import Table, cpu_of, make_project, medians, scratch_folder
from evalkit import load_project, run_project

COUNT = 2_000


def measure() -> Table:
    """Trials a CPU second of a first run and of unchanged reruns."""
    with scratch_folder() as folder:
        make_project(folder, COUNT)
        project = load_project(folder)
        first = cpu_of(lambda: run_project(project, set_baseline="main"))
        (again,) = medians(3, lambda: cpu_of(lambda: _unchanged(folder)))
    rows = [
        ["first run, simulated model in process", f"{first:.2f}", f"{COUNT / first:,.0f}"],
        ["unchanged rerun", f"{again:.2f}", f"{COUNT / again:,.0f}"],
    ]
    return f"Runs of {COUNT:,} trials, four graders", ["what", "CPU s", "trials a CPU s"], rows


def _unchanged(folder: Path) -> None:
    outcome = run_project(load_project(folder))[0]
    if outcome.verdict.model_calls or outcome.verdict.verdict != "PASS":
        raise AssertionError(f"not an unchanged rerun: {outcome.verdict.sentence}")
