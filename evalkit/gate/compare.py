"""Judging a stored run against a baseline: find it, grade it alike, judge, keep the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from evalkit import codec
from evalkit.engine.confirmation import PairStore
from evalkit.engine.prepare import load_grading
from evalkit.engine.regrade import regrade
from evalkit.errors import ConfigError, GraderError, NotComparableError, StoreError, UsageError
from evalkit.gate.acceptance import load_acceptances
from evalkit.gate.axis import CaseAxis
from evalkit.gate.comparable import different_graders
from evalkit.gate.details import StoredDetails
from evalkit.gate.evidence import Recorder
from evalkit.gate.fresh_pairs import FreshPairs, read_pairs
from evalkit.gate.golden import StoredCases
from evalkit.gate.history import RecordedTrials, history_runs, read_history
from evalkit.gate.judging import Limits, judge
from evalkit.gate.regrading import grade_failures_again
from evalkit.gate.verdict import RuleResult, Verdict
from evalkit.gate.words import count_of, points
from evalkit.grading import Grading
from evalkit.records import Case
from evalkit.review import GraderAgreement, agreement_of, check_grader
from evalkit.store import Baselines, RunFolder, Runs, Verdicts
from evalkit.store.cases import load_cases
from evalkit.workflow import Project, Workflow, load_workflow
from evalkit.workflow.gates import GateSpec

__all__ = [
    "cases_of",
    "compare_stored_runs",
    "details_of",
    "find_baseline",
    "find_run",
    "judge_stored_run",
    "load_verdict",
    "newest_grading",
]

_PAST_RUNS = 12
"""Earlier runs that a report shows beside a verdict."""


def find_baseline(project: Project, workflow: str, name: str, not_run: str = "") -> RunFolder | None:
    """The newest run of a baseline, or the run whose id is given; None where there is none.

    Args:
        project: The project.
        workflow: The workflow.
        name: Name of a baseline, or the beginning of a run id.
        not_run: A run that is no baseline for itself.

    Raises:
        StoreError: when a baseline names a run that is not in the store.
    """
    runs = Runs(project.store)
    known = Baselines(project.store).get(workflow, name)
    if known is None:
        try:
            folder = runs.get(name)
        except UsageError:
            return None
        return folder if folder.run.workflow == workflow and folder.run.run_id != not_run else None
    history = [entry for entry in known.history if entry.run_id != not_run]
    if not history:
        return None
    try:
        return runs.get(history[-1].run_id)
    except UsageError:
        raise StoreError(
            f"baseline `{name}` of {workflow} stands on run {history[-1].run_id}, which is not in the store",
            file=project.store,
            fix=f"accept another run: evalkit baseline set {name} RUN, or bring the run's folder back",
        ) from None


def judge_stored_run(
    project: Project,
    candidate: RunFolder,
    baseline_name: str | None = None,
    *,
    workflow: Workflow | None = None,
    grading: Grading | None = None,
) -> Verdict:
    """Judge a stored run by the gate of its workflow and keep the verdict.

    What was graded with other graders than those of now is graded again from its traces: the run, the baseline and
    the runs that the history is read from. The models under test are not called; a grader that asks a model asks it.

    Args:
        project: The project.
        candidate: The run to judge.
        baseline_name: Name of a baseline or beginning of a run id; default the project's baseline.
        workflow: The workflow, where it is loaded already.
        grading: The graders that the candidate was graded with, where they are made already.

    Raises:
        NotComparableError: when the baseline was graded with others, and those of now cannot be made.
        BudgetError: when the budget of a grader is spent.
        ConfigError: for an acceptance that names what is not there, or that nobody can accept.
    """
    loaded = workflow or load_workflow(project, candidate.run.workflow)
    grading = grading or _grading_now(project, loaded)
    candidate = _graded_now(project, candidate, grading)
    run = candidate.run
    name = baseline_name or project.spec.baseline.name
    baseline = find_baseline(project, run.workflow, name, not_run=run.run_id)
    if baseline is not None:
        _grade_alike(project, candidate, baseline, loaded, grading)
    if loaded.gate.critical is not None:
        grade_failures_again(
            Runs(project.store), candidate, baseline, _stored_cases(project, candidate),
            lambda: grading or load_grading(project, loaded),
        )  # fmt: skip
    verdict = judge(
        candidate,
        baseline,
        _stored_cases(project, candidate),
        loaded.gate,
        baseline_name=name,
        limits=Limits(loaded.spec.slo.p95, loaded.spec.budget.per_trial),
        acceptances=load_acceptances(project).of(run.workflow),
        history=None if baseline is None else _recorder(project, candidate, baseline, loaded, grading),
        agreement=_agreement(project, loaded, grading),
    )
    Verdicts(project.store).save(verdict.id, codec.encode(verdict))
    return verdict


def _agreement(project: Project, workflow: Workflow, grading: Grading | None) -> dict[str, GraderAgreement]:
    """How far the graders of which the gate asks it agree with people.

    Raises:
        ConfigError: when one of them is no grader of the workflow.
    """
    names = list(workflow.gate.agreement)
    if not names:
        return {}
    made = grading or load_grading(project, workflow)
    for name in names:
        try:
            check_grader(workflow.name, made, name)
        except UsageError as error:
            raise ConfigError(
                error.message, file=project.root / "evalkit.yaml", key=f"gate.agreement.{name}", fix=error.fix
            ) from None
    return agreement_of(project, workflow.name, made, names)


def _recorder(
    project: Project, candidate: RunFolder, baseline: RunFolder, workflow: Workflow, grading: Grading | None
) -> Recorder:
    def read(axis: CaseAxis) -> RecordedTrials | None:
        spec = workflow.gate.history
        used = history_runs(Runs(project.store), candidate, baseline, axis, spec)
        for folder in used:
            _grade_history(project, candidate, folder, workflow, grading)
        recorded = read_history(used, candidate, baseline, axis, spec.min_trials)
        if recorded is None or not workflow.gate.confirm:
            return recorded
        return replace(recorded, fresh=_fresh_pairs(project, candidate, baseline, workflow, grading, axis))

    return read


def _fresh_pairs(
    project: Project,
    candidate: RunFolder,
    baseline: RunFolder,
    workflow: Workflow,
    grading: Grading | None,
    axis: CaseAxis,
) -> FreshPairs:
    """What is in the store of both configurations run side by side."""
    run = candidate.run
    if run.configuration.fingerprint == baseline.run.configuration.fingerprint:
        return FreshPairs(possible=False)
    store = PairStore.of(project.store, candidate, baseline)
    now, before = store.newest("candidate"), store.newest("baseline")
    found = FreshPairs()
    if now is not None and before is not None:
        for folder in (now, before):
            _grade_alike(project, candidate, folder, workflow, grading)
        days = workflow.gate.history.days
        found = read_pairs(now, before, run.grading, axis, created_us=run.created_us, days=days)
    calls, cost = store.paid
    return replace(found, why=store.why, calls=calls, cost_microusd=cost)


def compare_stored_runs(project: Project, before: str, after: str) -> Verdict:
    """Compare two stored runs of a workflow: every number of a verdict, and no judgement.

    A rule's status is ``note`` where the difference is more than chance explains, else ``pass``.

    Args:
        project: The project.
        before: Run id, its beginning, ``latest``, or the name of a baseline.
        after: The same.

    Raises:
        UsageError: when a run is not found, or the runs are of different workflows.
        NotComparableError: when they were graded with different graders that are not there any more.
    """
    candidate = find_run(project, after)
    baseline = find_run(project, before, candidate.run.workflow)
    if baseline.run.workflow != candidate.run.workflow:
        raise UsageError(f"run {before} is of {baseline.run.workflow}, run {after} of {candidate.run.workflow}")
    workflow = load_workflow(project, candidate.run.workflow)
    grading = _grading_now(project, workflow)
    candidate = _graded_now(project, candidate, grading)
    _grade_alike(project, candidate, baseline, workflow, grading)
    spec = GateSpec(critical=None, min_cases=1, on_golden_change="common_cases", cost=0.0)
    verdict = judge(candidate, baseline, _stored_cases(project, candidate), spec, baseline_name=before)
    rules = tuple(_unjudged(rule) for rule in verdict.rules)
    if verdict.verdict == "NOT COMPARABLE":
        return verdict
    drops = [rule for rule in rules if rule.kind == "drop"]
    if drops and not any(rule.n for rule in drops):
        nothing = "The runs have no case in common that a quality grader judged in both."
        return replace(verdict, rules=rules, verdict="NOT COMPARABLE", sentence=nothing)
    return replace(verdict, rules=rules, verdict="PASS", sentence=_difference(verdict))


def _grading_now(project: Project, workflow: Workflow) -> Grading | None:
    """The graders of now; None where they cannot be made any more, which whoever needs them is told."""
    try:
        return load_grading(project, workflow)
    except GraderError:
        return None


def _graded_now(project: Project, folder: RunFolder, grading: Grading | None) -> RunFolder:
    """The run with the scores of the graders of now; it is graded by them where it has none.

    Where these cannot be made any more, what it was graded with stands.
    """
    if grading is None or grading.fingerprint == folder.run.grading:
        return folder
    if not folder.scores_path(grading.fingerprint).exists():
        regrade(folder, project.store, grading)
    return RunFolder(folder.path, grading.fingerprint)


def newest_grading(project: Project, folder: RunFolder) -> RunFolder:
    """The run with the scores of the graders of now, where it has been graded by them; nothing is graded for it."""
    if len(folder.gradings()) < 2:
        return folder
    wanted = load_grading(project, load_workflow(project, folder.run.workflow)).fingerprint
    return RunFolder(folder.path, wanted) if folder.scores_path(wanted).exists() else folder


def _difference(verdict: Verdict) -> str:
    moved = [
        f"{rule.grader} {points(rule.delta)}"
        for rule in verdict.rules
        if rule.kind == "drop" and rule.delta is not None
    ]
    counts = verdict.counts
    total = verdict.golden_set.cases if verdict.golden_set else 0
    return (
        f"{', '.join(moved) or 'no quality grader'}; {counts.regressed} regressed, {counts.improved} improved "
        f"of {count_of(total, 'case')}."
    )


def find_run(project: Project, name: str, workflow: str = "") -> RunFolder:
    """The newest run of a baseline, of this workflow where one is named; else the run by its id, as `Runs.get` does.

    Raises:
        UsageError: when there is none, or more than one.
    """
    for baseline in Baselines(project.store).all():
        if baseline.name == name and workflow in ("", baseline.workflow) and baseline.current is not None:
            return Runs(project.store).get(baseline.current.run_id)
    return Runs(project.store).get(name)


def _unjudged(rule: RuleResult) -> RuleResult:
    if rule.low is None or rule.high is None or rule.delta is None:
        return replace(rule, status="pass", limit=None)
    nothing = 1.0 if rule.unit != "share" else 0.0
    return replace(rule, status="pass" if rule.low <= nothing <= rule.high else "note", limit=None)


def _grade_alike(
    project: Project, candidate: RunFolder, baseline: RunFolder, workflow: Workflow, grading: Grading | None
) -> None:
    if baseline.scores_path(candidate.run.grading).exists():
        return
    made = grading or load_grading(project, workflow)
    if made.fingerprint != candidate.run.grading:
        raise NotComparableError(
            f"baseline {baseline.run.run_id} was graded with other graders than run {candidate.run.run_id} "
            f"({different_graders(baseline.run, candidate.run)}), and the graders have changed since",
            fix=f"grade the run again: evalkit regrade {candidate.run.run_id}",
        )
    regrade(baseline, project.store, made)


def _grade_history(
    project: Project, candidate: RunFolder, folder: RunFolder, workflow: Workflow, grading: Grading | None
) -> None:
    """As the two that are compared, where that is possible; a run that cannot be graded again is no history."""
    with suppress(NotComparableError, GraderError, StoreError):
        _grade_alike(project, candidate, folder, workflow, grading)


def cases_of(project: Project, folder: RunFolder) -> Sequence[Case]:
    """The masked cases that a run was made on."""
    return load_cases(project.store, folder.run.golden_set, folder.run.redaction)


def _stored_cases(project: Project, folder: RunFolder) -> StoredCases:
    return StoredCases(project.store, folder.run.golden_set, folder.run.redaction)


def details_of(project: Project, verdict: Verdict) -> StoredDetails:
    """Where a report finds every case of a verdict; what cannot be read is told when it is read.

    Raises:
        StoreError: when one of its runs is not in the store any more.
    """
    runs = Runs(project.store)
    found: dict[str, RunFolder] = {}
    for run_id in filter(None, (verdict.candidate_run, verdict.baseline_run)):
        folder = runs.folder(run_id)
        if folder is None:
            raise StoreError(f"run {run_id} is not in the store", file=project.store, fix="bring its folder back")
        found[run_id] = folder
    candidate = newest_grading(project, found[verdict.candidate_run])
    earlier = (folder for folder in runs.newest_first(verdict.workflow) if folder.path.name < verdict.candidate_run)
    whole = (folder for folder in earlier if folder.run.selection == "all" and not folder.run.shard)
    known = Baselines(project.store).get(verdict.workflow, project.spec.baseline.name)
    return StoredDetails(
        root=project.store,
        candidate=candidate,
        baseline=None if verdict.verdict == "NOT COMPARABLE" else found.get(verdict.baseline_run),
        past=tuple(islice(whole, _PAST_RUNS))[::-1],
        accepted=frozenset(entry.run_id for entry in known.history) if known else frozenset(),
    )


def load_verdict(project: Project, run_id: str) -> Verdict | None:
    """The newest stored verdict on a run."""
    data = Verdicts(project.store).of_run(run_id)
    return codec.decode(Verdict, data) if data is not None else None
