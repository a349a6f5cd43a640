"""Whole commands as functions: what the command line does, without the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from evalkit import codec
from evalkit.atomic import write_text
from evalkit.engine.execute import Progress
from evalkit.engine.git import git_state
from evalkit.engine.loop import run_loop
from evalkit.engine.prepare import Candidate, RunOptions, load_grading, prepare, resumed_options
from evalkit.engine.run import execute_plan
from evalkit.engine.shards import find_shards, merge_shards
from evalkit.engine.spending import spent_today
from evalkit.engine.targets import Targets, price_table
from evalkit.engine.touched import count_touched, further_trials
from evalkit.errors import EvalkitError, StoreBusyError, UsageError
from evalkit.gate import Verdict
from evalkit.gate.compare import details_of, find_baseline, judge_stored_run
from evalkit.gate.confirming import confirm_block
from evalkit.gate.details import CaseDetails
from evalkit.gate.report import Report, ReportText, renderer
from evalkit.goldens import load
from evalkit.providers import Provider
from evalkit.records import Run
from evalkit.simulator import Simulator
from evalkit.store import Baselines, Catalogue, RunFolder, Runs, Verdicts
from evalkit.workflow import Project, load_workflow, run_trial

__all__ = [
    "Outcome",
    "PlanSummary",
    "explain_case",
    "merge_project",
    "plan_project",
    "resumed_shard",
    "run_project",
    "run_shard",
    "sync_catalogue",
    "write_report",
]

Listener = Callable[[str, Progress], None]
Finished = TypeVar("Finished")


@dataclass(frozen=True)
class Outcome:
    """A workflow that was run and judged."""

    run: RunFolder
    verdict: Verdict

    @property
    def became_baseline(self) -> str:
        """Name of the baseline that the run was accepted into, if any."""
        return self.verdict.became_baseline

    @property
    def exit_code(self) -> int:
        """What the verdict says; a first run that was made to be the baseline did what was asked."""
        first = self.became_baseline and not self.verdict.baseline_run
        return 0 if first and self.verdict.verdict == "NOT COMPARABLE" else int(self.verdict.exit_code)


@dataclass(frozen=True)
class PlanSummary:
    """What a run would do."""

    workflow: str
    golden_set: str
    cases: int
    trials: int
    to_make: int
    reused: int
    resumed: int
    """Trials that a run made before it was cut off, which this one goes on with."""
    touched: int
    calls: int
    """Model calls, about."""
    estimate_microusd: int
    budget_microusd: int | None
    day_microusd: int
    """Spent today by this workflow, where it has a budget for the day."""
    day_budget_microusd: int | None
    baseline: str
    changed: tuple[str, ...]


def run_project(
    project: Project,
    names: Sequence[str] = (),
    options: RunOptions | None = None,
    *,
    baseline: str | None = None,
    set_baseline: str | None = None,
    listener: Listener | None = None,
) -> list[Outcome]:
    """Run workflows, judge each against its baseline, keep verdicts, and accept runs into the baseline where due.

    On the baseline's git branch, in a clean checkout, a run that passes becomes the baseline; so
    does a first one whose absolute rules hold.

    Args:
        project: The project.
        names: Workflows; none means all.
        options: Which cases and trials.
        baseline: Name of a baseline or beginning of a run id to compare with.
        set_baseline: Accept into this baseline the runs of a whole set that pass, or that nothing can be compared with.
        listener: Told of the progress of each workflow.

    Raises:
        EvalkitError: of the kind of the first mistake; nothing is half-written.
    """
    Runs(project.store).prepare()
    Catalogue(project.store).check()
    Verdicts(project.store).check()
    of_branch = _branch_baseline(project)
    wanted = options or RunOptions()
    said = _options_of(project, tuple(names), wanted)
    if any(item.shard for item in said.values()):
        raise UsageError("a shard is judged with the others", key="shard", fix="run it with run_shard, then merge")

    def judged(candidate: Candidate, folder: RunFolder) -> Outcome:
        workflow, grading = candidate.workflow, candidate.grading
        return Outcome(folder, judge_stored_run(project, folder, baseline, workflow=workflow, grading=grading))

    outcomes = run_loop(
        _run_each(project, said, _concurrency(project, wanted), listener, judged, _next_round, baseline)
    )
    outcomes = [_confirmed(project, item, baseline, said[item.verdict.workflow], listener) for item in outcomes]
    return _accepted(project, outcomes, set_baseline, of_branch)


def _next_round(outcome: Outcome, options: RunOptions) -> RunOptions | None:
    """How to go on where more trials would settle what is open, and nobody has said how many to make."""
    run, more = outcome.run.run, dict(options.more)
    if options.trials is not None or run.selection != "all" or not outcome.verdict.next_trials:
        return None
    for case_id, count in outcome.verdict.next_trials.items():
        more[case_id] = more.get(case_id, 0) + count
    earlier = (run.trials - run.reused, run.model_calls, run.cost_microusd)
    return replace(options, more=more, earlier=earlier, fresh=False, resume=False)


def _confirmed(
    project: Project, outcome: Outcome, baseline: str | None, options: RunOptions, listener: Listener | None
) -> Outcome:
    """A block that stands on history, confirmed beside a fresh baseline; whoever says how many trials gets no more."""
    if options.trials is not None:
        return outcome
    folder, name = outcome.run, outcome.verdict.workflow
    told = None if listener is None else lambda progress: listener(name, progress)
    verdict = confirm_block(
        project, folder, outcome.verdict, lambda: judge_stored_run(project, folder, baseline),
        concurrency=options.concurrency, on_progress=told,
    )  # fmt: skip
    return replace(outcome, verdict=verdict)


def run_shard(
    project: Project,
    names: Sequence[str] = (),
    options: RunOptions | None = None,
    *,
    listener: Listener | None = None,
) -> list[Run]:
    """Make one of several parts of a run; nothing is judged before they are together (:func:`merge_project`).

    Raises:
        EvalkitError: of the kind of the first mistake.
    """
    Runs(project.store).prepare()
    wanted = options or RunOptions()
    said = _options_of(project, tuple(names), wanted)
    return run_loop(
        _run_each(project, said, _concurrency(project, wanted), listener, lambda _candidate, folder: folder.run)
    )


def merge_project(
    project: Project,
    places: Sequence[Path] = (),
    names: Sequence[str] = (),
    *,
    baseline: str | None = None,
    set_baseline: str | None = None,
) -> list[Outcome]:
    """Put shards together, judge the whole, keep verdicts, and accept runs into the baseline as :func:`run_project`.

    Args:
        project: The project.
        places: Stores or runs of other machines; default the project's store.
        names: Workflows; none means all that have shards there.
        baseline: Name of a baseline or beginning of a run id to compare with.
        set_baseline: Accept into this baseline what may be accepted.

    Raises:
        UsageError: when a shard is missing.
        EvalkitError: of the kind of the first mistake.
    """
    runs = Runs(project.store)
    outcomes = []
    for shards in find_shards(runs, places, names):
        workflow = load_workflow(project, shards.run.workflow)
        folder = merge_shards(runs, shards, partial(load_grading, project, workflow))
        outcomes.append(Outcome(folder, judge_stored_run(project, folder, baseline, workflow=workflow)))
    return _accepted(project, outcomes, set_baseline, _branch_baseline(project))


def _accepted(
    project: Project, outcomes: Sequence[Outcome], wanted: str | None, of_branch: str | None
) -> list[Outcome]:
    """Accept the runs that may be into a baseline, and enter everything into the catalogue.

    Args:
        project: The project.
        outcomes: What was run and judged.
        wanted: The baseline that was asked for.
        of_branch: The baseline that this checkout keeps, for runs that were made of it.
    """
    finished = []
    commit = git_state(project.root).commit if of_branch and not wanted else ""
    for outcome in outcomes:
        run = outcome.run.run
        mine = run.commit == commit and run.branch == project.spec.baseline.branch and not run.dirty
        accept_into = wanted or (of_branch if mine else "")
        accepted = accept_into if accept_into and _acceptable(outcome.verdict, run) else ""
        verdict = outcome.verdict
        if accepted:
            Baselines(project.store).accept(accepted, run)
            verdict = replace(verdict, became_baseline=accepted)
            Verdicts(project.store).save(verdict.id, codec.encode(verdict))
        finished.append(replace(outcome, verdict=verdict))
    sync_catalogue(project)
    return finished


def _concurrency(project: Project, options: RunOptions) -> int:
    return options.concurrency or project.spec.concurrency


def resumed_shard(project: Project, names: Sequence[str], options: RunOptions) -> str:
    """Which shard the run that is gone on with is; empty where it is none.

    Raises:
        UsageError: when there is no run to go on with.
    """
    return next(iter(_options_of(project, tuple(names), options).values())).shard


def _options_of(project: Project, names: tuple[str, ...], options: RunOptions) -> dict[str, RunOptions]:
    """The options of each workflow that is run."""
    chosen = project.names(names)
    if not options.resume:
        return dict.fromkeys(chosen, replace(options, workflows=chosen))
    return dict(resumed_options(Runs(project.store), project.names(()), chosen if names else (), options))


async def _run_each(
    project: Project,
    said: Mapping[str, RunOptions],
    concurrency: int,
    listener: Listener | None,
    finish: Callable[[Candidate, RunFolder], Finished],
    further: Callable[[Finished, RunOptions], RunOptions | None] = lambda _finished, _options: None,
    baseline: str | None = None,
) -> list[Finished]:
    """Prepare all workflows, so that a mistake in one is found before anything is spent; then run one after another.

    Args:
        project: The project.
        said: The options of each workflow.
        concurrency: Trials at once.
        listener: Told of the progress.
        finish: What is made of a run.
        further: The options of another round, which goes on where the run ended; None where none is needed.
        baseline: What the runs will be compared with; default the project's baseline.
    """
    async with Targets(project, connections=concurrency) as targets:
        candidates = [_prepared(project, name, targets, said[name], baseline) for name in said]
        finished = []
        for prepared, planned in candidates:
            candidate, options = prepared, planned
            while True:
                folder = await execute_plan(candidate, targets, options, _told(candidate, listener))
                result = finish(candidate, folder)
                again = further(result, options)
                if again is None:
                    break
                candidate, options = prepare(project, candidate.workflow.name, targets, again), again
            finished.append(result)
    return finished


def _prepared(
    project: Project, name: str, targets: Targets, options: RunOptions, baseline: str | None = None
) -> tuple[Candidate, RunOptions]:
    """A workflow ready to run, with the further trials that its gate will ask for whatever comes out."""
    candidate = prepare(project, name, targets, options)
    whole = options.trials is None and not options.resume and candidate.plan.selection.text == "all"
    gate = candidate.workflow.gate
    against = find_baseline(project, name, baseline or project.spec.baseline.name) if whole else None
    if against is None or gate.critical is None:
        return candidate, options
    if against.run.golden_set.digest != candidate.golden.digest and gate.on_golden_change != "common_cases":
        return candidate, options
    more = further_trials(candidate.plan, against, gate.critical_trials)
    if not more:
        return candidate, options
    options = replace(options, more=more)
    return prepare(project, name, targets, options), options


def _told(candidate: Candidate, listener: Listener | None) -> Callable[[Progress], None] | None:
    if listener is None:
        return None
    name = candidate.workflow.name
    budget = candidate.workflow.spec.budget.per_run
    plan = candidate.plan
    begun = Progress(plan.total, plan.reused, candidate.resumed, budget_microusd=budget)
    if begun.to_make:
        begun.estimate_microusd = plan.estimate(candidate.prices, candidate.runs, begun.to_make).microusd
    listener(name, begun)
    return lambda progress: listener(name, progress)


def _branch_baseline(project: Project) -> str | None:
    """The baseline that this checkout keeps: on its branch, with nothing uncommitted."""
    git = git_state(project.root)
    keeps = bool(git.commit) and git.branch == project.spec.baseline.branch and not git.dirty and not git.proposed
    return project.spec.baseline.name if keeps else None


def _acceptable(verdict: Verdict, run: Run) -> bool:
    """A run of the whole set that passed; or one that could not be compared, and of which no rule is open or broken."""
    open_rules = {rule.status for rule in verdict.rules} & {"inconclusive", "error", "block"}
    good = verdict.verdict in ("PASS", "PASS with notes") or (verdict.verdict == "NOT COMPARABLE" and not open_rules)
    return good and run.selection == "all"


def plan_project(project: Project, names: Sequence[str] = (), options: RunOptions | None = None) -> list[PlanSummary]:
    """What running the workflows would do and cost; nothing is spent."""
    return run_loop(_plan_all(project, tuple(names), options or RunOptions()))


async def _plan_all(project: Project, names: tuple[str, ...], options: RunOptions) -> list[PlanSummary]:
    async with Targets(project) as targets:
        return [_summary(project, _prepared(project, name, targets, options)[0]) for name in project.names(names)]


def _summary(project: Project, candidate: Candidate) -> PlanSummary:
    plan = candidate.plan
    to_make = plan.to_make - candidate.resumed
    estimate = plan.estimate(candidate.prices, candidate.runs, to_make)
    name = project.spec.baseline.name
    baseline = find_baseline(project, candidate.workflow.name, name)
    changed: tuple[str, ...] = ()
    touched = plan.cases
    if baseline is not None:
        from evalkit.gate.changes import component_changes

        changes = component_changes(baseline.run.configuration, candidate.workflow.configuration)
        changed = tuple(f"{change.kind} {change.name}" for change in changes)
        touched = count_touched(plan, baseline)
    return PlanSummary(
        workflow=candidate.workflow.name,
        golden_set=f"{candidate.golden.name}@{candidate.golden.version}",
        cases=plan.cases,
        trials=plan.total,
        to_make=to_make,
        reused=plan.reused,
        resumed=candidate.resumed,
        touched=touched,
        calls=estimate.calls,
        estimate_microusd=estimate.microusd,
        budget_microusd=candidate.workflow.spec.budget.per_run,
        day_microusd=spent_today(project, candidate.workflow.name),
        day_budget_microusd=candidate.workflow.spec.budget.per_day,
        baseline=f"{name} ({baseline.run.run_id})" if baseline else "",
        changed=changed,
    )


def sync_catalogue(project: Project) -> bool:
    """Enter what is new into the catalogue; False when another process holds it, and the next command will."""
    try:
        Catalogue(project.store).sync()
    except StoreBusyError:
        return False
    return True


def write_report(
    project: Project, verdicts: Sequence[Verdict], path: Path | None = None, *, text: ReportText = "changed",
    judged: bool = True,
) -> Path:  # fmt: skip
    """Write the HTML report; default under the project's reports folder, named after the run.

    Args:
        project: The project, whose store holds the runs.
        verdicts: What the report is about.
        path: The file.
        text: Of which cases the report holds texts and traces: those that changed, or all.
        judged: False for a mere comparison.
    """
    target = path or project.reports / f"{verdicts[0].candidate_run if verdicts else 'empty'}.html"
    if path is None and not project.reports.exists():
        write_text(project.reports / ".gitignore", "*\n")
    write_text(target, html_report(project, verdicts, text=text, judged=judged))
    return target


def html_report(
    project: Project, verdicts: Sequence[Verdict], *, text: ReportText = "changed", judged: bool = True
) -> str:
    """The HTML report, with the cases of its verdicts as far as the store tells of them; see :func:`write_report`."""
    details: dict[str, CaseDetails] = {}
    left_out: dict[str, str] = {}
    for verdict in verdicts:
        try:
            found = details_of(project, verdict)
            _ = found.index  # is read here: what cannot be read is left out as a whole
        except EvalkitError as error:  # the verdict stands without them, and the report says what it lacks
            left_out[verdict.id] = error.message
        else:
            details[verdict.id] = found
    return renderer("html")(Report(tuple(verdicts), details=details, left_out=left_out, text=text, judged=judged))


async def explain_case(project: Project, name: str, case_id: str, model: str = "") -> list[str]:
    """Run one case against the simulated models in process and tell why each call was answered as it was.

    Args:
        project: The project.
        name: The workflow.
        case_id: The case.
        model: A simulated model to use instead of those of the routes.
    """
    workflow = load_workflow(project, name)
    case = load(workflow.golden_path, workflow.spec.golden_version).case(case_id)
    if model:
        pins = {
            key: pin.model_copy(update={"model": f"{pin.provider}:{model}"}) for key, pin in workflow.models.items()
        }
        workflow = replace(workflow, models=pins)
    lines: list[str] = []
    simulator = Simulator(on_reply=lambda request, reply: lines.append(f"{request.model}: {reply.explanation}"))
    providers: dict[str, Provider] = {pin.provider: simulator for pin in workflow.models.values()}
    trace = await run_trial(workflow, case, 0, providers, price_table(project))
    routes = [f"route {step.route} by {step.rule}" for step in trace.route]
    tools = [f"tool {event.name}: {event.status}" for event in trace.tool_events]
    failed = [f"error: {trace.error.message}"] if trace.error else []
    return [f"intent {trace.intent or '–'}, risk {trace.risk or '–'}", *routes, *lines, *tools, *failed, trace.answer]
