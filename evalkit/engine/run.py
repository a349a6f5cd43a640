"""Executing a plan: make, grade, journal, and put the run together."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic_core import from_json

from evalkit._version import __version__
from evalkit.engine.execute import Executor, Progress
from evalkit.engine.git import git_state
from evalkit.engine.grader_models import Paid, ProjectModels
from evalkit.engine.journal import Journal, JournalLock, JournalReader, lock_journal, read_entries
from evalkit.engine.lag import EventLoopLag
from evalkit.engine.memory import RememberedCalls
from evalkit.engine.plan import Plan, priced_models
from evalkit.engine.prepare import Candidate, RunOptions, prepare
from evalkit.engine.regrade import add_run_scores
from evalkit.engine.reuse import KEY_WIDTH
from evalkit.engine.sources import JournalSource, grade_reused, plan_sources
from evalkit.engine.spending import RunBudget
from evalkit.engine.targets import Targets
from evalkit.errors import BudgetError, StoreError
from evalkit.grading.workers import GradingWork
from evalkit.providers import Provider
from evalkit.records import Case, Run, Score, Trace
from evalkit.store.arrays import fixed_texts
from evalkit.store.cases import iter_cases_of, save_cases
from evalkit.store.merge import TrialSource, merge_chunks
from evalkit.store.runs import RunFolder
from evalkit.store.writer import Chunk
from evalkit.workflow import Workflow

__all__ = ["execute_plan"]


async def execute_plan(
    candidate: Candidate,
    targets: Targets,
    options: RunOptions | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> RunFolder:
    """Make the trials of a plan, grade all of them, and store the run.

    A run that was cut off and that another process has taken up since is planned again.

    Raises:
        ProviderError: when the target is not there.
        BudgetError: when a budget is spent.
        StorageError: when the disk does not take it.
        StoreError: when a trial that was to be reused is not there any more.
    """
    candidate.runs.prepare()
    with ExitStack() as held:
        wanted = options or RunOptions()
        candidate, lock = _held(candidate, targets, wanted, held)
        offsets = candidate.made.copy()
        spent = _Spent()
        if lock is not None:
            spent = await _make_trials(candidate, targets, wanted, lock, offsets, on_progress)
        if isinstance(candidate.grading.models, ProjectModels):
            candidate.grading.models.spent_before = spent.after(wanted.earlier).microusd
        _save_masked_cases(candidate)
        folder = _put_together(candidate, offsets, spent.after(wanted.earlier), wanted.earlier[0])
        _drop_used_journals(candidate)
    return folder


def _held(
    candidate: Candidate, targets: Targets, options: RunOptions, held: ExitStack
) -> tuple[Candidate, JournalLock | None]:
    """Hold the journal of a run until the run is finished; a run that makes nothing needs none."""
    while candidate.journal is not None or candidate.plan.to_make:
        path = _journal_path(candidate)
        lock = lock_journal(path, make=candidate.journal is None)
        if lock is not None:
            held.enter_context(lock)
            if candidate.journal is None or lock.size == candidate.read:
                return candidate, lock
            held.close()
        candidate = prepare(candidate.project, candidate.workflow.name, targets, options)
    return candidate, None


def _journal_path(candidate: Candidate) -> Path:
    if candidate.journal is not None:
        return candidate.journal
    return candidate.runs.partial_folder(candidate.head.run_id) / "journal.jsonl"


def _put_together(candidate: Candidate, offsets: NDArray[np.int64], spent: _Spent, made: int) -> RunFolder:
    """Write the run from what holds its trials; so many of the reused ones were made in its earlier rounds."""
    plan, runs, run_id = candidate.plan, candidate.runs, candidate.head.run_id
    with ExitStack() as stack:
        sources = _sources(candidate, offsets, stack)
        counts = _Counts(plan)
        writer = stack.enter_context(runs.writer(run_id, candidate.grading.fingerprint, candidate.grading.refs))
        for chunk in merge_chunks(plan.case_ids, sources, run_id):
            counts.add(chunk)
            writer.add(chunk)
        counts.check()

        def graded(folder: Path) -> None:
            add_run_scores(folder, run_id, candidate.grading, lambda: _masked_cases(candidate))

        return RunFolder(writer.finish(_record(candidate, counts, spent, made), graded))


async def _make_trials(
    candidate: Candidate,
    targets: Targets,
    options: RunOptions,
    lock: JournalLock,
    offsets: NDArray[np.int64],
    on_progress: Callable[[Progress], None] | None,
) -> _Spent:
    """Make what is to be made."""
    plan, workflow = candidate.plan, candidate.workflow
    path = _journal_path(candidate)
    loop = asyncio.get_running_loop()
    before = _spent(path)
    remembered = RememberedCalls.read(path)
    done = offsets >= 0
    progress = Progress(total=plan.total, reused=plan.reused, resumed=int(done.sum()))
    progress.budget_microusd = workflow.spec.budget.per_run
    executor: Executor | None = None

    def committed(size: int) -> None:
        if executor is not None:
            executor.committed(size, progress)

    paid = before.microusd + remembered.cost_microusd + options.earlier[2]
    with RunBudget(candidate.project, workflow, paid) as budget, GradingWork(candidate.grading) as work:

        def on_commit(size: int) -> None:
            if size >= 0:
                budget.sync()
            # the loop is closed when the last commit comes after a fault
            if not loop.is_closed():
                loop.call_soon_threadsafe(committed, size)

        journal = Journal(path, on_commit, lock)
        models = candidate.grading.models

        def on_paid(microusd: int) -> None:
            journal.paid(microusd)
            progress.model_calls += 1
            progress.cost_microusd += microusd

        executor = Executor(
            workflow=workflow,
            providers=budget.metered(_providers(targets, workflow), candidate.prices, before.dearest),
            prices=candidate.prices,
            redactor=candidate.redactor,
            grading=work,
            journal=journal,
            run_id=candidate.head.run_id,
            concurrency=options.concurrency or candidate.project.spec.concurrency,
            lag=EventLoopLag(),
            remembered=remembered,
            offsets=offsets,
            on_progress=on_progress,
            models=models.within(targets, budget, on_paid) if isinstance(models, ProjectModels) else None,
        )
        try:
            # what a program of the user prints must not get among the results
            with journal, redirect_stdout(sys.stderr):
                journal.begin(candidate.head)
                async with executor.lag:
                    await executor.run(plan.trials_to_make(done), progress)
        except BudgetError as spent:
            executor.committed(journal.size, progress)
            raise _stopped(spent, progress, paid) from None
        finally:
            # what the closing of the journal has brought to the disk
            executor.committed(journal.size, progress)
        return before.with_more(progress, executor.lag.percentile(0.99))


def _providers(targets: Targets, workflow: Workflow) -> Mapping[str, Provider]:
    spare = any(route.fallback is not None for route in workflow.routes.routes.values())
    return targets.providers({pin.provider for pin in workflow.models.values()}, wait_when_open=not spare)


def _stopped(spent: BudgetError, progress: Progress, paid: int) -> BudgetError:
    made = f"{progress.done + progress.resumed} of {progress.total - progress.reused} trials made"
    before = f", ${paid / 1e6:.4f} before" if paid else ""
    return BudgetError(
        f"{spent.message}: {made} for ${progress.cost_microusd / 1e6:.4f}{before}",
        file=spent.file,
        key=spent.key,
        value=spent.value,
        fix="raise the budget and go on: evalkit run --resume; what finished is kept and not paid twice",
    )


@dataclass
class _Spent:
    """What a run has asked of its targets: trials that were made again count too."""

    calls: int = 0
    microusd: int = 0
    dearest: dict[str, dict[str, int]] = field(default_factory=dict)
    """Micro-dollars of the dearest call, by provider and model."""
    lag_us: int = 0
    """99th percentile of the lag of the event loop."""

    def after(self, earlier: Sequence[int]) -> _Spent:
        """With what the earlier rounds of the run have asked."""
        _, calls, microusd = earlier
        return replace(self, calls=self.calls + calls, microusd=self.microusd + microusd)

    def with_more(self, progress: Progress, lag_us: int) -> _Spent:
        """What was asked before and since."""
        return _Spent(self.calls + progress.model_calls, self.microusd + progress.cost_microusd, lag_us=lag_us)


def _spent(path: Path) -> _Spent:
    """What the journal of a run tells; calls that are remembered count with the trial that will hold them."""
    total = _Spent()
    remembered: dict[str, dict[int, int]] = {}
    for entry in read_entries(path, "CJT"):
        row = entry.head
        if entry.kind == "J":
            total.calls += 1
            total.microusd += row["cost_microusd"]
            continue
        if entry.kind == "C":
            cost = from_json(entry.parts[1]).get("cost_microusd") or 0
            remembered.setdefault(row["key"], {})[row["step"]] = cost
            continue
        again = remembered.get(row["trial_key"], {}) if row["status"] != "ok" else {}
        total.calls += row["model_calls"] - len(again)
        total.microusd += row["cost_microusd"] - sum(again.values())
        for call in from_json(entry.parts[1])["model_calls"] if row["cost_microusd"] else ():
            known = total.dearest.setdefault(call["provider"], {})
            known[call["model"]] = max(known.get(call["model"], 1), call["cost_microusd"])
    return total


@dataclass
class _Counts:
    """What the record of a run counts; each trial must be the one that was planned for its place."""

    plan: Plan
    trials: int = 0
    errors: int = 0
    simulated: bool = False
    as_planned: bool = True

    def add(self, chunk: Chunk) -> None:
        keys = fixed_texts(chunk.trials.column("trial_key"), KEY_WIDTH)
        planned = self.plan.keys[self.trials : self.trials + len(keys)]
        self.as_planned = self.as_planned and np.array_equal(keys, planned)
        self.trials += chunk.trials.num_rows
        self.errors += pc.sum(pc.equal(chunk.trials.column("status"), "error")).as_py() or 0
        self.simulated = self.simulated or bool(pc.any(chunk.trials.column("simulated")).as_py())

    def check(self) -> None:
        """Refuse a run that lacks trials.

        Raises:
            StoreError: when it does.
        """
        if self.trials != self.plan.total or not self.as_planned:
            raise StoreError(
                f"{self.plan.total:,} trials were planned and {self.trials:,} found, or others: an earlier run was "
                "changed or removed meanwhile",
                file=self.plan.workflow.file, fix="run again: what is made is kept",
            )  # fmt: skip


def _masked_cases(candidate: Candidate) -> Iterator[Case]:
    return iter_cases_of(candidate.runs.root, candidate.golden.ref, candidate.redactor.fingerprint)


def _save_masked_cases(candidate: Candidate) -> None:
    """Keep the cases of the run, masked, so that it stays readable and gradable."""
    golden, redactor = candidate.golden, candidate.redactor
    masked = (redactor.case(case) for case, _ in golden.iter_cases())
    save_cases(candidate.runs.root, golden.ref, redactor.fingerprint, masked)


def _sources(candidate: Candidate, offsets: NDArray[np.int64], stack: ExitStack) -> list[TrialSource]:
    """What the run is put together from."""
    plan, grading = candidate.plan, candidate.grading

    def grade(traces: Sequence[Trace]) -> Sequence[Score]:
        ids = frozenset(trace.case_id for trace in traces)
        masked = {case.id: candidate.redactor.case(case) for case, _ in plan.golden.iter_cases(ids)}
        return grading.grade_all((masked[trace.case_id], trace) for trace in traces)

    grade_reused(plan, candidate.prices, grading, candidate.runs.root)
    sources = plan_sources(plan, candidate.prices, grading.refs, grading.fingerprint, grade)
    if (offsets >= 0).any():
        own = JournalReader(_journal_path(candidate))
        sources.append(JournalSource(own, offsets, plan.case_ids, plan.starts, grading.refs))
    for source in sources:
        if isinstance(source, JournalSource):
            stack.callback(source.journal.close)
    return sources


def _record(candidate: Candidate, counts: _Counts, spent: _Spent, made: int) -> Run:
    git = git_state(candidate.project.root)
    plan = candidate.plan
    models = candidate.grading.models
    # by graders of trials that were reused
    judged = models.paid if isinstance(models, ProjectModels) else Paid()
    return Run(
        run_id=candidate.head.run_id,
        workflow=candidate.workflow.name,
        created_us=candidate.head.created_us,
        finished_us=_now(),
        status="complete",
        configuration=candidate.redactor.configuration(candidate.workflow.configuration),
        golden_set=candidate.golden.ref,
        graders=candidate.grading.refs,
        grading=candidate.grading.fingerprint,
        prices=candidate.prices.fingerprint,
        model_prices=candidate.prices.fingerprints_of(priced_models(candidate.workflow)),
        evalkit=__version__,
        trials_per_case=plan.trials_per_case,
        trials=counts.trials,
        reused=max(0, plan.reused - made),
        errors=counts.errors,
        model_calls=spent.calls + judged.calls,
        cost_microusd=spent.microusd + judged.microusd,
        simulated=counts.simulated,
        selection=plan.selection.text,
        commit=git.commit,
        branch=git.branch,
        dirty=git.dirty,
        redaction=candidate.redactor.fingerprint,
        shard=plan.selection.shard,
        lag_us=spent.lag_us,
    )


def _drop_used_journals(candidate: Candidate) -> None:
    """A left journal goes when nobody writes it and all that it holds is in finished runs."""
    runs, redaction = candidate.runs, candidate.redactor.fingerprint
    runs.drop_partial(candidate.head.run_id)
    used = {reuse.run_id for reuse in candidate.plan.reuses if reuse.journal is not None}
    for journal in runs.partial_journals():
        name = journal.parent.name
        finished = runs.folder(name) is not None
        if name not in used and not finished:
            continue
        lock = lock_journal(journal)
        if lock is None:
            continue
        with lock:
            rows = (entry.head for entry in read_entries(journal, "FT"))
            keys = {row["trial_key"]: None for row in rows if row["status"] == "ok"}
            if finished or len(runs.find_trials(keys, redaction)) == len(keys):
                runs.drop_partial(name)


def _now() -> int:
    return time.time_ns() // 1000
