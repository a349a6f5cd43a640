"""Timing helpers: CPU seconds, medians of several runs, two things measured in turn."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from evalkit.records import Case, Document, Expectation, Message

Row = Sequence[object]
Table = tuple[str, Sequence[str], Sequence[Row]]


def cpu_of(function: Callable[[], object]) -> float:
    """CPU seconds of a call in this process."""
    start = time.process_time()
    function()
    return time.process_time() - start


def cpu_of_command(*arguments: str) -> float:
    """CPU seconds of a command, its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def medians(count: int, *functions: Callable[[], float]) -> list[float]:
    """Medians of several measurements taken in turn, so that a change of the machine's speed hits all alike."""
    taken: list[list[float]] = [[] for _ in functions]
    for _ in range(count):
        for samples, function in zip(taken, functions, strict=True):
            samples.append(function())
    return [statistics.median(samples) for samples in taken]


def sample_case(number: int) -> Case:
    """A small case."""
    return Case(
        id=f"case-{number:07d}",
        input=(Message("user", f"How many days do I have to return item {number} of my order?"),),
        expect=Expectation(facts=(("30 days",),)),
        context=(
            Document("returns", f"Item {number} can be returned within 30 days of delivery.", "Returns", "2026-01-01"),
        ),
        intent=f"intent-{number % 7}",
    )


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder that goes however the benchmark ends."""
    with tempfile.TemporaryDirectory(prefix="evalkit-bench-") as folder:
        yield Path(folder)
