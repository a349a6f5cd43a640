"""Making the trials of a plan: so many at once, each masked, graded and journalled as soon as it is finished."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evalkit.engine.journal import Journal
from evalkit.engine.lag import EventLoopLag
from evalkit.engine.memory import RememberedCalls, TrialMemory
from evalkit.engine.plan import PlannedTrial
from evalkit.engine.turns import Turns
from evalkit.errors import BudgetError, ProviderError
from evalkit.grading.models import GraderModels
from evalkit.grading.workers import GradingWork
from evalkit.providers import PriceTable, Provider
from evalkit.records import Case, Score, Trace, TraceError
from evalkit.redaction import Redactor
from evalkit.store.schema import StoredTrial
from evalkit.workflow import Workflow, run_trial

__all__ = ["Executor", "Progress"]

_UNREACHABLE = 5
"""So many failures to connect in a row, and no success before, mean that the target is not there."""
_MOST_UNCOMMITTED = 10_000
"""Finished trials that wait for a slow disk before no further ones are begun."""


@dataclass
class Progress:
    """Where an execution is, for whoever waits. What is counted is on the disk."""

    total: int
    reused: int = 0
    resumed: int = 0
    """Trials of this run that were made before it was cut off."""
    done: int = 0
    errors: int = 0
    model_calls: int = 0
    cost_microusd: int = 0
    budget_microusd: int | None = None
    in_flight: int = 0
    estimate_microusd: int | None = None
    """What was expected of the trials to make, before the first of them."""
    grader_errors: dict[str, int] = field(default_factory=dict)
    """Scores that a grader could not give, by grader; each grader is there once a trial was graded."""

    @property
    def to_make(self) -> int:
        """Trials that this process makes."""
        return self.total - self.reused - self.resumed


@dataclass(frozen=True, slots=True)
class _Done:
    """A finished trial that is to be counted when the disk has it."""

    end: int
    """Of its line in the journal."""
    error: bool
    model_calls: int
    cost_microusd: int
    scores: tuple[tuple[str, bool], ...]
    """Each grader, and whether it failed."""


@dataclass
class Executor:
    """Makes trials.

    Args:
        workflow: The candidate.
        providers: Targets by name.
        prices: What calls cost.
        redactor: Applied to every trace before it goes anywhere.
        grading: The graders, shared among processes where they would hold up the calls in flight.
        journal: Where finished trials go at once; its commits are to be told to :meth:`committed`.
        run_id: The run they belong to.
        concurrency: Trials at once.
        lag: Measures how far times can be trusted.
        remembered: Finished calls of trials that were cut off.
        offsets: Filled with the place of each trial's line in the journal.
        on_progress: Called whenever more is on the disk.
        models: For graders that ask models.
    """

    workflow: Workflow
    providers: Mapping[str, Provider]
    prices: PriceTable
    redactor: Redactor
    grading: GradingWork
    journal: Journal
    run_id: str
    concurrency: int
    lag: EventLoopLag
    remembered: RememberedCalls
    offsets: NDArray[np.int64]
    on_progress: Callable[[Progress], None] | None = None
    models: GraderModels | None = None
    _stop: ProviderError | BudgetError | None = None
    _unreachable: int = 0
    _uncommitted: deque[_Done] = field(default_factory=deque)
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _masked: tuple[str, Case] | None = None
    _turns: Turns = field(default_factory=Turns)

    async def run(self, trials: Iterator[PlannedTrial], progress: Progress) -> None:
        """Make the trials; what is finished is in the journal, whatever happens.

        Raises:
            ProviderError: when the target is not there or refuses us.
            BudgetError: when a budget is spent.
            StorageError: when the journal cannot be written.
        """
        self._room.set()
        workers = [
            asyncio.create_task(self._worker(trials, progress)) for _ in range(min(self.concurrency, progress.to_make))
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            # the journal is closed next: nobody may write any more
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*workers, return_exceptions=True)
        if self._stop is not None:
            raise self._stop

    def committed(self, size: int, progress: Progress) -> None:
        """Count the trials whose lines end before this byte of the journal: they are on the disk.

        -1 says that nothing gets there any more: whoever waits for room learns it from the journal.
        """
        counted = False
        while self._uncommitted and self._uncommitted[0].end <= size:
            trial = self._uncommitted.popleft()
            counted = True
            progress.done += 1
            progress.errors += trial.error
            progress.model_calls += trial.model_calls
            progress.cost_microusd += trial.cost_microusd
            for grader, failed in trial.scores:
                progress.grader_errors[grader] = progress.grader_errors.get(grader, 0) + failed
        if len(self._uncommitted) < _MOST_UNCOMMITTED or size < 0:
            self._room.set()
        if counted and self.on_progress is not None:
            self.on_progress(progress)

    async def _worker(self, trials: Iterator[PlannedTrial], progress: Progress) -> None:
        while self._stop is None:
            await self._room.wait()
            self.journal.check()
            planned = next(trials, None)
            if planned is None:
                return
            try:
                await self._make(planned, progress)
            except BudgetError as spent:
                self._stop = self._stop or spent
                return

    async def _make(self, planned: PlannedTrial, progress: Progress) -> None:
        """Make a trial and grade it.

        Raises:
            BudgetError: when a budget is spent, that of a grader perhaps.
        """
        waiting = self.remembered.trial(planned.key)
        if waiting is None:
            waiting = await self._finished(planned, progress)
        if waiting is not None:
            masked, encoded = waiting
            scores = await self.grading.grade_async(self._case(planned.prepared.case), masked, self.models)
            self._append(planned, masked, encoded, scores)

    async def _finished(self, planned: PlannedTrial, progress: Progress) -> tuple[Trace, bytes] | None:
        """Make a trial; where its graders must be waited for, it is kept and given back, masked, and as JSON."""
        progress.in_flight += 1
        try:
            trace = await run_trial(
                self.workflow,
                planned.prepared.case,
                planned.trial,
                self.providers,
                self.prices,
                memory=TrialMemory(planned.key, self.remembered, self.journal, self.redactor),
                lag=self.lag,
                prepared=planned.prepared,
            )
        finally:
            progress.in_flight -= 1
        self._watch(trace.error, bool(trace.model_calls and trace.model_calls[-1].status == "ok"))
        try:
            await self._turns.wait()
        finally:
            # what was paid for is kept, whoever is cancelled
            waiting = self._keep(planned, trace)
            self._turns.done()
        return waiting

    def _keep(self, planned: PlannedTrial, trace: Trace) -> tuple[Trace, bytes] | None:
        masked, encoded = self.redactor.encoded(trace)
        if (self.grading.grading.is_async or self.grading.holds_up) and trace.status == "ok":
            self.journal.hold(self._stored(planned, masked), encoded)
            return masked, encoded
        self._append(planned, masked, encoded, self.grading.grade(self._case(planned.prepared.case), masked))
        return None

    def _append(self, planned: PlannedTrial, masked: Trace, encoded: bytes, scores: Sequence[Score]) -> None:
        start, end = self.journal.append(self._stored(planned, masked), scores, encoded)
        self.offsets[planned.place] = start
        graded = tuple((score.grader, score.status == "error") for score in scores)
        done = _Done(end, masked.status == "error", len(masked.model_calls), masked.cost_microusd, graded)
        self._uncommitted.append(done)
        if len(self._uncommitted) >= _MOST_UNCOMMITTED:
            self._room.clear()

    def _stored(self, planned: PlannedTrial, masked: Trace) -> StoredTrial:
        return StoredTrial(masked, planned.case_digest, planned.key, self.run_id)

    def _case(self, case: Case) -> Case:
        """The masked case; repeats of one case come one after another."""
        if self._masked is None or self._masked[0] != case.id:
            self._masked = (case.id, self.redactor.case(case))
        return self._masked[1]

    def _watch(self, error: TraceError | None, answered: bool) -> None:
        if error is not None and error.kind == "fatal":
            self._give_up(error)
        if answered:
            self._unreachable = -1
        elif error is not None and error.kind == "connect" and self._unreachable >= 0:
            self._unreachable += 1
            if self._unreachable >= _UNREACHABLE:
                self._give_up(error)

    def _give_up(self, error: TraceError) -> None:
        """A fault of the target, for whoever runs evalkit: the address that it begins with stays legible."""
        message = error.message
        address, colon, rest = message.partition(": ") if message.startswith("http") else ("", "", message)
        shown = self.redactor.keys(address) + colon + self.redactor.text(rest)
        fix = "what finished is kept: run again when the target answers"
        self._stop = self._stop or ProviderError(shown, fix=fix)
