"""From a project to a finished run: load, plan, execute, grade, store."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evalkit._version import __version__
from evalkit.engine.execute import Executor, Progress
from evalkit.engine.git import git_state
from evalkit.engine.journal import Journal, is_written, read_journal
from evalkit.engine.plan import Plan, make_plan, priced_models, select_cases
from evalkit.engine.targets import Targets, price_table
from evalkit.errors import EvalkitError
from evalkit.goldens import GoldenSet, load
from evalkit.grading import Grading, make_graders
from evalkit.providers import PriceTable
from evalkit.records import Case, Run, Score
from evalkit.redaction import Redactor
from evalkit.store.cases import save_cases
from evalkit.store.runs import RunFolder, Runs, new_run_id
from evalkit.store.schema import StoredTrial
from evalkit.workflow import Project, Workflow, load_workflow

__all__ = ["Candidate", "RunOptions", "execute_plan", "load_grading", "prepare", "regrade"]


@dataclass(frozen=True)
class RunOptions:
    """What the command line says about a run.

    Args:
        cases: Ids to run; none means all.
        sample: Run only so many cases.
        trials: Trials of each case; default what the workflow says.
        fresh: Make every trial again, reuse none.
        concurrency: Trials at once; default what the project says.
    """

    cases: Sequence[str] = ()
    sample: int | None = None
    trials: int | None = None
    fresh: bool = False
    concurrency: int | None = None


@dataclass(frozen=True)
class Candidate:
    """A workflow made ready to run: everything read and checked, nothing spent."""

    project: Project
    workflow: Workflow
    golden: GoldenSet
    grading: Grading
    redactor: Redactor
    prices: PriceTable
    plan: Plan
    runs: Runs


def load_grading(project: Project, workflow: Workflow) -> Grading:
    """The graders of a workflow as they are now.

    Raises:
        GraderError: when one is not there or refuses its parameters.
    """
    return Grading(make_graders([(spec.use, spec.params) for spec in workflow.graders], project.root))


def prepare(project: Project, name: str, targets: Targets, options: RunOptions | None = None) -> Candidate:
    """Read and check a workflow, its golden set and graders, and plan the run.

    Raises:
        EvalkitError: the first mistake, of the kind it is.
    """
    wanted = options or RunOptions()
    workflow = load_workflow(project, name, targets.identity)
    golden = load(workflow.golden_path, workflow.spec.golden_version)
    grading = load_grading(project, workflow)
    redactor = targets.redactor()
    prices = price_table(project)
    runs = Runs(project.store)
    chosen, selection = select_cases(golden, wanted.cases, wanted.sample)
    plan = make_plan(
        workflow,
        golden,
        runs,
        prices,
        redaction=redactor.fingerprint,
        cases=chosen,
        selection=selection,
        trials=wanted.trials,
        fresh=wanted.fresh,
    )
    return Candidate(project, workflow, golden, grading, redactor, prices, plan, runs)


async def execute_plan(
    candidate: Candidate,
    targets: Targets,
    options: RunOptions | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> RunFolder:
    """Make the trials of a plan, grade all of them, and store the run.

    Raises:
        ProviderError: when the target is not there.
        BudgetError: when the budget is spent.
        StorageError: when the disk does not take it.
    """
    wanted = options or RunOptions()
    workflow, plan, runs = candidate.workflow, candidate.plan, candidate.runs
    runs.prepare()
    run_id, started = new_run_id(), _now()
    progress = Progress(total=plan.total, reused=len(plan.reused))
    made: list[StoredTrial] = []
    if plan.to_make:
        with Journal(runs.partial_folder(run_id) / "journal.jsonl") as journal:
            executor = Executor(
                workflow=workflow,
                providers=targets.providers({pin.provider for pin in workflow.models.values()}),
                prices=candidate.prices,
                redactor=candidate.redactor,
                journal=journal,
                run_id=run_id,
                concurrency=wanted.concurrency or candidate.project.spec.concurrency,
                budget_microusd=workflow.spec.budget.per_run,
                spent_before=plan.resumed_microusd,
                on_progress=on_progress,
            )
            made = await executor.run(plan.to_make, progress)
    trials = [*plan.reused, *made]
    masked = {case.id: candidate.redactor.case(case) for case in candidate.golden.cases}
    scores = [
        score for stored in trials for score in candidate.grading.grade(masked[stored.trace.case_id], stored.trace)
    ]
    save_cases(runs.root, candidate.golden.ref, candidate.redactor.fingerprint, list(masked.values()))
    run = _record(candidate, run_id, started, trials, progress)
    folder = runs.finish(run, trials, scores)
    _drop_used_journals(runs, trials, run_id, candidate.redactor.fingerprint)
    return folder


def _record(candidate: Candidate, run_id: str, started: int, trials: Sequence[StoredTrial], progress: Progress) -> Run:
    git = git_state(candidate.project.root)
    return Run(
        run_id=run_id,
        workflow=candidate.workflow.name,
        created_us=started,
        finished_us=_now(),
        status="complete",
        configuration=candidate.redactor.configuration(candidate.workflow.configuration),
        golden_set=candidate.golden.ref,
        graders=candidate.grading.refs,
        grading=candidate.grading.fingerprint,
        prices=candidate.prices.fingerprint,
        model_prices=candidate.prices.fingerprints_of(priced_models(candidate.workflow)),
        evalkit=__version__,
        trials_per_case=candidate.plan.trials_per_case,
        trials=len(trials),
        reused=len(candidate.plan.reused),
        errors=sum(stored.trace.status == "error" for stored in trials),
        model_calls=progress.model_calls,
        cost_microusd=progress.cost_microusd,
        simulated=any(stored.trace.simulated for stored in trials),
        selection=candidate.plan.selection,
        commit=git.commit,
        branch=git.branch,
        dirty=git.dirty,
        redaction=candidate.redactor.fingerprint,
    )


def _drop_used_journals(runs: Runs, trials: Sequence[StoredTrial], run_id: str, redaction: str) -> None:
    """A left journal goes when nobody writes it and all that it holds is in finished runs."""
    runs.drop_partial(run_id)
    sources = {stored.source_run for stored in trials}
    for journal in runs.partial_journals():
        if journal.parent.name not in sources or is_written(journal):
            continue
        keys = {stored.key: None for stored in read_journal(journal, redaction) if stored.trace.status == "ok"}
        if len(runs.find_trials(keys, redaction)) == len(keys):
            runs.drop_partial(journal.parent.name)


def regrade(folder: RunFolder, cases: Sequence[Case], grading: Grading) -> list[Score]:
    """Grade a stored run with a set of graders, from its traces, without calling any model; the scores are stored too.

    Raises:
        EvalkitError: when a trace has no case.
    """
    by_id = {case.id: case for case in cases}
    scores: list[Score] = []
    for trace in folder.traces():
        case = by_id.get(trace.case_id)
        if case is None:
            raise EvalkitError(f"run {folder.run.run_id} holds a trace of case `{trace.case_id}`, whose case is gone")
        scores += grading.grade(case, trace)
    folder.add_scores(grading.fingerprint, grading.refs, scores)
    return scores


def _now() -> int:
    return time.time_ns() // 1000
