"""Grading in worker processes, where graders are the bottleneck: the same rows, on all cores.

A worker is a fresh Python that makes the graders from their names and parameters, as the run did, and reads cases and
traces as JSON. A program of the user's is never imported again by it, and what graders print goes to standard error.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import IO, Self, cast

from evalkit import codec
from evalkit.errors import GraderError
from evalkit.grading.models import GraderModels
from evalkit.grading.rows import error_row
from evalkit.grading.run import Grading, grade_each
from evalkit.records import Case, Score, Trace

__all__ = ["GradingWork", "Workers", "main"]

SLOW = 0.005
"""CPU seconds of grading a trial that hold up the calls that are in flight: more than a slice of the event loop."""
WORTH = 3.0
"""CPU seconds of grading that are left, from which on it pays to start processes."""
_LEARNED = 8
"""Trials after which it is known how long grading takes."""
_SAMPLED = 16
"""One of so many trials is timed after that: asking for the time costs as much as a cheap grader."""
_SMOOTHING = 0.1
_BATCH = 8
"""Trials that a worker is given at a time."""
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    "from evalkit.grading.workers import main; main()"
)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _DeadWorkerError(Exception):
    """A worker ended before it answered."""


class _Worker:
    """One process, asked by one thread at a time."""

    def __init__(self, grading: Grading) -> None:
        assert grading.recipe is not None, "whoever starts workers has looked"  # noqa: S101
        # not in the terminal's group: Ctrl-C is for us, and we end it
        self.process = subprocess.Popen(  # noqa: S603 - our own Python
            [sys.executable, "-c", _BOOT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        plain = grading.only({ref.name for grader, ref in grading.of_trials if not grader.is_async})
        assert plain.recipe is not None  # noqa: S101 - as above
        root, wanted = plain.recipe.root, plain.recipe.wanted
        said = {"root": str(root) if root else None, "wanted": wanted, "fingerprint": plain.fingerprint}
        self._send([json.dumps(sys.path).encode(), json.dumps(said).encode()])
        fault = json.loads(self._line())
        if fault:
            self.end()
            raise GraderError(f"graders cannot be made in a worker process: {fault}")

    def grade(self, trials: Sequence[tuple[bytes, bytes]]) -> list[tuple[Score, ...]]:
        """The rows of each trial, of the graders that do not wait."""
        self._send([b"%d" % len(trials), *(part for trial in trials for part in trial)])
        return [codec.decode(tuple[Score, ...], self._line()) for _ in trials]

    def _send(self, lines: Sequence[bytes]) -> None:
        try:
            pipe = cast(IO[bytes], self.process.stdin)
            pipe.write(b"\n".join(lines) + b"\n")
            pipe.flush()
        except OSError:
            raise _DeadWorkerError from None

    def _line(self) -> bytes:
        line = cast(IO[bytes], self.process.stdout).readline()
        if not line.endswith(b"\n"):
            raise _DeadWorkerError
        return line

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                cast(IO[bytes], pipe).close()
        self.process.wait()


class Workers:
    """Worker processes, started as they are needed. Use as a context manager.

    Args:
        grading: The graders; they are made again in each worker.
        processes: How many at most; default one a core.
    """

    def __init__(self, grading: Grading, processes: int = 0) -> None:
        self._grading = grading
        self.processes = processes or cores()
        self.threads = ThreadPoolExecutor(self.processes, "evalkit-graders")
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._alive: set[_Worker] = set()
        self._closed = False
        self.pids: set[int] = set()
        """Of the processes that were started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, whatever they do."""
        self._closed = True
        for worker in list(self._alive):
            worker.process.kill()
        self.threads.shutdown(wait=True, cancel_futures=True)
        for worker in list(self._alive):
            worker.end()

    def grade(self, trials: Sequence[tuple[Case, Trace]]) -> list[tuple[Score, ...]]:
        """The rows of some trials by the graders that do not wait, in order.

        A trial during which the worker dies has error rows; the others are graded all the same.

        Raises:
            GraderError: when the graders cannot be made in a worker, or are others there.
        """
        try:
            return self._ask([(codec.encode(case), codec.encode(trace)) for case, trace in trials])
        except _DeadWorkerError:
            if self._closed:
                raise GraderError("grading was stopped") from None
            if len(trials) > 1:
                return [rows for trial in trials for rows in self.grade([trial])]
            (_, trace), refs = trials[0], self._grading.of_trials
            why = "the worker process ended while it graded: did a grader exit, crash, or take all memory?"
            return [tuple(error_row(ref, trace, why, "worker process") for grader, ref in refs if not grader.is_async)]

    def grade_all(self, trials: Sequence[tuple[Case, Trace]]) -> list[tuple[Score, ...]]:
        """As :meth:`grade`, on all processes at once."""
        size = max(1, min(_BATCH, len(trials) // self.processes))
        batches = [trials[start : start + size] for start in range(0, len(trials), size)]
        return [rows for some in self.threads.map(self.grade, batches) for rows in some]

    def _ask(self, trials: Sequence[tuple[bytes, bytes]]) -> list[tuple[Score, ...]]:
        if self._closed:
            raise _DeadWorkerError
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:
            worker = _Worker(self._grading)
            self._alive.add(worker)
            self.pids.add(worker.process.pid)
        try:
            rows = worker.grade(trials)
        except BaseException:
            self._alive.discard(worker)
            worker.end()
            raise
        self._idle.put(worker)
        return rows


class GradingWork:
    """Grading that learns how long it takes, and is shared among worker processes where that pays.

    Use as a context manager. Project graders and shipped ones can be made anew in a worker; graders that were given as
    objects cannot, and are called here.

    Args:
        grading: The graders.
    """

    def __init__(self, grading: Grading) -> None:
        self.grading = grading
        self.workers: Workers | None = None
        self._seconds = 0.0
        self._graded = 0
        plain = any(not grader.is_async for grader, _ in grading.of_trials)
        self._can_share = plain and grading.recipe is not None and cores() > 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.workers is not None:
            self.workers.close()

    @property
    def holds_up(self) -> bool:
        """Whether grading a trial here would hold up an event loop for too long."""
        return self._can_share and self._graded >= _LEARNED and self._seconds > SLOW

    def grade(self, case: Case, trace: Trace) -> tuple[Score, ...]:
        """Grade a trial here, and learn how long it takes."""
        if not self._can_share or (self._graded >= _LEARNED and self._graded % _SAMPLED):
            self._graded += 1
            return self.grading.grade(case, trace)
        began = time.thread_time()
        scores = self.grading.grade(case, trace)
        self._learn(time.thread_time() - began, 1)
        return scores

    async def grade_async(self, case: Case, trace: Trace, models: GraderModels | None = None) -> tuple[Score, ...]:
        """Grade a trial without holding up the event loop; ``models`` is for graders that need them.

        Raises:
            BudgetError: when the budget of a grader is spent.
            CancelledError: when the caller is cancelled.
        """
        if not self.holds_up:
            return await self.grading.grade_async(case, trace, models=models)
        shared = self._shared()
        loop = asyncio.get_running_loop()
        (rows,) = await loop.run_in_executor(shared.threads, shared.grade, [(case, trace)])
        return await self.grading.grade_async(case, trace, rows, models)

    def grade_all(self, trials: Iterable[tuple[Case, Trace]], left: int) -> list[Score]:
        """Grade some of so many stored trials that are left, in order.

        Raises:
            BudgetError: when the budget of a grader is spent.
        """
        given = list(trials)
        if not self._can_share:
            return self.grading.grade_all(given)
        scores: list[Score] = []
        while given and (self._graded < _LEARNED or self._seconds * left < WORTH):
            some, given = given[:_LEARNED], given[_LEARNED:]
            began = time.thread_time()
            scores += self.grading.grade_all(some)
            self._learn(time.thread_time() - began, len(some))
            left -= len(some)
        if not given:
            return scores
        shared = self._shared().grade_all(given)
        return scores + self.grading.with_waiting(given, shared)

    def _learn(self, seconds: float, trials: int) -> None:
        each = seconds / trials
        weight = max(_SMOOTHING, trials / (self._graded + trials))
        self._seconds += weight * (each - self._seconds)
        self._graded += trials

    def _shared(self) -> Workers:
        if self.workers is None:
            self.workers = Workers(self.grading)
        return self.workers


def main() -> None:
    """What a worker does: reads batches of cases and traces from standard input until it ends."""
    from pathlib import Path

    from evalkit.grading.discover import make_graders

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a grader prints, also past Python, must not get among the answers
    lines = sys.stdin.buffer
    said = json.loads(lines.readline())
    fault = ""
    try:
        root = Path(said["root"]) if said["root"] else None
        grading = Grading(make_graders([(name, params) for name, params in said["wanted"]], root))
        fault = "" if grading.fingerprint == said["fingerprint"] else "they have changed since they were loaded"
    except GraderError as error:
        fault = str(error)
    answers.write(json.dumps(fault).encode() + b"\n")
    answers.flush()
    if fault:
        return
    while head := lines.readline():
        # all of a batch is read before the first answer: else both sides could wait for the other to read
        batch = [(lines.readline(), lines.readline()) for _ in range(int(head))]
        for texts in batch:
            case, trace = codec.decode(Case, texts[0]), codec.decode(Trace, texts[1])
            rows = grade_each([(grader, ref, case, trace) for grader, ref in grading.of_trials])
            answers.write(codec.encode(tuple(rows)) + b"\n")
        answers.flush()
