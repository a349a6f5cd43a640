"""Making the trials of a plan: so many at once, each masked, graded and journalled as soon as it is finished."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.engine.journal import Journal
from evalkit.engine.plan import PlannedTrial
from evalkit.errors import BudgetError, ProviderError
from evalkit.providers import PriceTable, Provider
from evalkit.records import TraceError
from evalkit.redaction import Redactor
from evalkit.store.schema import StoredTrial
from evalkit.workflow import Workflow, run_trial

__all__ = ["Executor", "Progress"]

_UNREACHABLE = 5
"""So many failures to connect in a row, and no success before, mean that the target is not there."""


@dataclass
class Progress:
    """Where an execution is, for whoever waits."""

    total: int
    reused: int = 0
    done: int = 0
    errors: int = 0
    model_calls: int = 0
    cost_microusd: int = 0


@dataclass
class Executor:
    """Makes trials.

    Args:
        workflow: The candidate.
        providers: Targets by name.
        prices: What calls cost.
        redactor: Applied to every trace before it goes anywhere.
        journal: Where finished trials go at once.
        run_id: The run they belong to.
        concurrency: Trials at once.
        budget_microusd: Stop before more than this is spent; the first trial is made alone to learn what one costs.
        spent_before: Micro-dollars of each trial that was made before the run was cut off.
        on_progress: Called after every trial.
    """

    workflow: Workflow
    providers: Mapping[str, Provider]
    prices: PriceTable
    redactor: Redactor
    journal: Journal
    run_id: str
    concurrency: int
    budget_microusd: int | None = None
    spent_before: Sequence[int] = ()
    on_progress: Callable[[Progress], None] | None = None
    finished: list[StoredTrial] = field(default_factory=list)
    _fatal: TraceError | None = None
    _unreachable: int = 0
    _spent: int = 0
    _dearest: int = 0
    _in_flight: int = 0

    async def run(self, trials: Sequence[PlannedTrial], progress: Progress) -> list[StoredTrial]:
        """Make the trials; the results are in no particular order.

        Raises:
            ProviderError: when the target is not there or refuses us; what finished is in the journal.
            BudgetError: when the budget is spent; what finished is in the journal.
            StorageError: when the journal cannot be written.
        """
        queue = iter(trials)
        self._spent, self._dearest = sum(self.spent_before), max(self.spent_before, default=0)
        if self.budget_microusd is not None:
            await self._worker(itertools.islice(queue, 1), progress)
        workers = [
            asyncio.create_task(self._worker(queue, progress)) for _ in range(min(self.concurrency, len(trials)))
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
        if self._fatal is not None:
            raise ProviderError(
                self._shown(self._fatal.message),
                fix="what finished is kept: run again when the target answers",
            )
        if len(self.finished) < len(trials):
            raise BudgetError(
                f"the budget of ${(self.budget_microusd or 0) / 1e6:.2f} is spent: "
                f"{len(self.finished)} of {len(trials)} trials made for ${progress.cost_microusd / 1e6:.4f}"
                + (f", ${self._spent / 1e6:.4f} before" if self._spent else ""),
                key="budget.per_run",
                fix="raise the budget and run again: what finished is kept and not paid twice",
            )
        return self.finished

    def _shown(self, message: str) -> str:
        """A fault of the target for whoever runs evalkit: the address that it begins with stays legible."""
        address, colon, rest = message.partition(": ") if message.startswith("http") else ("", "", message)
        return self.redactor.keys(address) + colon + self.redactor.text(rest)

    async def _worker(self, queue: Iterator[PlannedTrial], progress: Progress) -> None:
        while self._fatal is None and self._affordable(progress):
            planned = next(queue, None)
            if planned is None:
                return
            self._in_flight += 1
            try:
                trace = await run_trial(self.workflow, planned.case, planned.trial, self.providers, self.prices)
            finally:
                self._in_flight -= 1
            self._watch(trace.error, bool(trace.model_calls and trace.model_calls[-1].status == "ok"))
            stored = StoredTrial(self.redactor.trace(trace), planned.case_digest, planned.key, self.run_id)
            self.journal.append(stored, self.redactor.fingerprint)
            self.finished.append(stored)
            self._dearest = max(self._dearest, trace.cost_microusd)
            progress.done += 1
            progress.errors += trace.status == "error"
            progress.model_calls += len(trace.model_calls)
            progress.cost_microusd += trace.cost_microusd
            if self.on_progress is not None:
                self.on_progress(progress)

    def _affordable(self, progress: Progress) -> bool:
        """Whether one more trial fits, taking those in flight to be as dear as the dearest so far."""
        if self.budget_microusd is None:
            return True
        reserved = (self._in_flight + 1) * self._dearest
        return self._spent + progress.cost_microusd + max(reserved, 1) <= self.budget_microusd

    def _watch(self, error: TraceError | None, answered: bool) -> None:
        if error is not None and error.kind == "fatal":
            self._fatal = self._fatal or error
        if answered:
            self._unreachable = -1
        elif error is not None and error.kind == "connect" and self._unreachable >= 0:
            self._unreachable += 1
            if self._unreachable >= _UNREACHABLE:
                self._fatal = self._fatal or error
