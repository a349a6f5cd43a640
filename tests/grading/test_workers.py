"""Grading in worker processes: the same rows in the same order, whatever a grader does to its process."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import GraderError
from evalkit.grading import Grading, make_graders
from evalkit.grading import workers as module
from evalkit.grading.run import Recipe
from evalkit.grading.workers import GradingWork, Workers
from evalkit.records import Case, Expectation, Message, Trace, TraceError

SLOW = '''import asyncio
import os
import time
from dataclasses import dataclass
from typing import ClassVar
from evalkit.grading import Grade, Grader


@dataclass(frozen=True)
class Slow(Grader):
    """Counts for a while."""

    name: ClassVar[str] = "slow"
    version: ClassVar[str] = "1"
    loops: int = 20_000

    def grade(self, case, trace):
        with open("pids.txt", "a") as file:
            file.write(f"{os.getpid()}\\n")
        print("a line that is no answer", flush=True)
        os.write(1, b"[]\\n")
        if trace.answer == "exit":
            os._exit(3)
        if trace.answer == "hang":
            time.sleep(600)
        if trace.answer == "raise":
            raise ValueError("\\u00fc")
        total = sum(number % 7 for number in range(self.loops))
        return Grade(total / 7, label=trace.answer[:9], evidence={"total": total, "x": [1.5, None, {"b": "\\u00fc"}]})


@dataclass(frozen=True)
class Waiting(Grader):
    name: ClassVar[str] = "waiting"
    version: ClassVar[str] = "1"

    async def grade(self, case, trace):
        await asyncio.sleep(0)
        return Grade.check(os.getpid() == int(os.environ["HERE"]))
'''
WANTED: tuple[tuple[str, dict[str, Any]], ...] = (("answer", {}), ("waiting", {}), ("slow", {"loops": 3_000}))


@pytest.fixture
def grading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Grading:
    (tmp_path / "graders").mkdir()
    (tmp_path / "graders" / "slow.py").write_text(SLOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERE", str(os.getpid()))
    monkeypatch.setattr(module, "cores", lambda: 2)
    return Grading(make_graders(WANTED, tmp_path), Recipe(WANTED, tmp_path))


def trials(*answers: str) -> list[tuple[Case, Trace]]:
    expect = Expectation(facts=(("30 days", "a month"),))
    return [
        (
            Case(f"case-{number}", (Message("user", "How\nlong \u2028?"),), expect, variables={"x": [1, None]}),
            Trace("w", f"case-{number}", 0, "ok", answer),
        )
        for number, answer in enumerate(answers)
    ]


def pids() -> set[int]:
    return {int(line) for line in Path("pids.txt").read_text().split()}


def test_the_rows_are_those_of_this_process_and_more_than_one_other_made_them(grading: Grading) -> None:
    some = trials(*["30 days \u00e9\n", "raise", "x" * 300_000, "never"] * 10)
    failed = Trace("w", "case-0", 1, "error", error=TraceError("timeout", "none"))
    some.insert(3, (some[0][0], failed))
    here = grading.grade_all(some)
    Path("pids.txt").unlink()
    with Workers(grading, 2) as workers:
        rows = grading.with_waiting(some, workers.grade_all(some))
        assert rows == here
        assert pids() == workers.pids
        assert len(workers.pids) == 2
        assert os.getpid() not in workers.pids
    assert {row.status for row in rows} == {"ok", "error"}
    assert all(row.passed for row in rows if row.grader == "waiting" and row.status == "ok"), "they are asked here"


def test_a_worker_that_dies_costs_its_trial_and_no_other(grading: Grading) -> None:
    some = trials(*["30 days"] * 5, "exit", *["a month"] * 6)
    with Workers(grading, 2) as workers:
        rows = workers.grade_all(some)
    assert [len(of_trial) for of_trial in rows] == [2] * 12
    dead = [row for of_trial in rows for row in of_trial if row.status == "error"]
    assert [(row.case_id, row.grader) for row in dead] == [("case-5", "answer"), ("case-5", "slow")]
    assert "the worker process ended while it graded" in str(dead[0].evidence["error"])


def test_closing_ends_a_worker_that_hangs(grading: Grading) -> None:
    workers = Workers(grading, 1)
    faults: list[BaseException] = []

    def grade() -> None:
        try:
            workers.grade(trials("hang"))
        except GraderError as error:
            faults.append(error)

    thread = threading.Thread(target=grade)
    thread.start()
    while not Path("pids.txt").exists():
        thread.join(0.01)
    workers.close()
    thread.join(60)
    assert [str(fault) for fault in faults] == ["grading was stopped"]
    for pid in workers.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_graders_that_have_changed_meanwhile_are_refused(grading: Grading, tmp_path: Path) -> None:
    (tmp_path / "graders" / "slow.py").write_text(SLOW.replace("% 7", "% 8"))
    with Workers(grading, 1) as workers, pytest.raises(GraderError, match="have changed since"):
        workers.grade(trials("30 days"))


def test_processes_are_started_where_they_pay(grading: Grading, monkeypatch: pytest.MonkeyPatch) -> None:
    some = trials(*["30 days"] * 40)
    expected = grading.grade_all(some)
    for worth, shared in ((1e9, False), (0.0, True)):
        monkeypatch.setattr(module, "WORTH", worth)
        with GradingWork(grading) as work:
            assert work.grade_all(some, len(some)) == expected
            assert (work.workers is not None) is shared
    with GradingWork(Grading(grading.graders)) as work:
        assert work.grade_all(some, len(some)) == expected
        assert work.workers is None, "nobody has said how to make them"
