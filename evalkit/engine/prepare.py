"""From a project to a candidate: everything read and checked, the run planned, nothing spent."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit._version import __version__
from evalkit.engine.grader_models import ProjectModels
from evalkit.engine.journal import JournalReader, PlanHead, is_written, read_head
from evalkit.engine.plan import Plan, make_plan, priced_models
from evalkit.engine.reuse import journal_places
from evalkit.engine.selection import parse_shard, select_cases
from evalkit.engine.targets import Targets, price_table
from evalkit.errors import ConfigError, UsageError
from evalkit.fingerprint import fingerprint
from evalkit.goldens import GoldenSet, load
from evalkit.grading import Grading, make_graders
from evalkit.grading.run import Recipe
from evalkit.providers import PriceTable
from evalkit.redaction import Redactor
from evalkit.store.runs import Runs, new_run_id
from evalkit.workflow import Project, Workflow, load_workflow

__all__ = ["Candidate", "RunOptions", "load_grading", "prepare", "resumed_options"]

_FRESH_US = 24 * 3600 * 1_000_000
"""For how long a fresh run that was cut off is gone on with when fresh trials are asked for again."""
_OWN = ("more", "earlier")
"""Options that nobody says: they follow from the workflow and from the rounds of its run."""


@dataclass(frozen=True)
class RunOptions:
    """What the command line says about a run.

    Args:
        cases: Ids to run; none means all.
        sample: Run only so many cases.
        trials: Trials of each case; default what the workflow says.
        fresh: Make every trial again, reuse none.
        concurrency: Trials at once; default what the project says.
        shard: ``i/n``: make only the i-th of n parts, to be merged with the others.
        resume: Go on with the run that was cut off; :func:`resumed_options` tells what was said of it.
        workflows: What is run together; to be gone on with together.
        more: Further trials of some cases, by id.
        earlier: Trials, calls and micro-dollars of the rounds of the run before this one.
    """

    cases: Sequence[str] = ()
    sample: int | None = None
    trials: int | None = None
    fresh: bool = False
    concurrency: int | None = None
    shard: str = ""
    resume: bool = False
    workflows: Sequence[str] = ()
    more: Mapping[str, int] = field(default_factory=dict)
    earlier: Sequence[int] = (0, 0, 0)


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
    head: PlanHead
    """Of the run that will be made, or of the one that is taken up."""
    journal: Path | None = None
    """The journal of the run that is taken up."""
    made: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """For each trial of the plan where that journal holds it; -1 where it does not."""
    read: int = 0
    """Bytes that the journal had then."""

    @property
    def resumed(self) -> int:
        """Trials that the run made before it was cut off."""
        return int((self.made >= 0).sum())


def load_grading(project: Project, workflow: Workflow) -> Grading:
    """The graders of a workflow as they are now.

    Raises:
        GraderError: when one is not there or refuses its parameters.
    """
    wanted = tuple((spec.use, spec.params) for spec in workflow.graders)
    graders = make_graders(wanted, project.root)
    asks = any(grader.needs_models for grader in graders)
    return Grading(graders, Recipe(wanted, project.root), ProjectModels(project, workflow) if asks else None)


def prepare(project: Project, name: str, targets: Targets, options: RunOptions | None = None) -> Candidate:
    """Read and check a workflow, its golden set and graders, and plan the run.

    A run of the same plan that was cut off is taken up; nobody else may be writing it.

    Raises:
        EvalkitError: the first mistake, of the kind it is.
    """
    runs = Runs(project.store)
    wanted = options or RunOptions()
    workflow = load_workflow(project, name, targets.identity)
    golden = load(workflow.golden_path, workflow.spec.golden_version)
    _check_variables(workflow, golden, targets)
    grading = load_grading(project, workflow)
    redactor = targets.redactor()
    prices = price_table(project)
    shard = parse_shard(wanted.shard) if wanted.shard else None
    selection = select_cases(golden, wanted.cases, wanted.sample, shard)
    identity = fingerprint(
        "plan",
        [
            __version__,
            workflow.configuration.fingerprint,
            golden.digest,
            [selection.text, selection.shard],
            wanted.trials or workflow.spec.trials,
            wanted.fresh,
            dict(wanted.more),
            grading.fingerprint,
            redactor.fingerprint,
            _price_prints(workflow, prices),
        ],
    )
    left = _left_journal(runs, name, identity)
    if left is not None and wanted.fresh and not wanted.resume and _is_old(left[1]):
        left = None
    if wanted.resume and left is None:
        raise UsageError(
            f"the run of {name} that was cut off is of another configuration, golden set or graders",
            key="--resume",
            fix="run without --resume: trials that nothing has changed for are kept all the same",
        )
    head = left[1] if left else _new_head(name, identity, workflow, grading, redactor, wanted)
    plan = make_plan(
        workflow,
        golden,
        runs,
        prices,
        redaction=redactor.fingerprint,
        selection=selection,
        trials=wanted.trials,
        more=wanted.more,
        fresh=wanted.fresh,
        without=head.run_id,
    )
    journal = left[0] if left else None
    made, read = _made(journal, plan)
    # its own trials before those of others: it ends as if it had not been cut off
    plan.origin[made >= 0] = -1
    return Candidate(project, workflow, golden, grading, redactor, prices, plan, runs, head, journal, made, read)


def _made(path: Path | None, plan: Plan) -> tuple[NDArray[np.int64], int]:
    """Where a journal holds the trials of a plan, and its size then."""
    nothing = np.full(plan.total, -1, np.int64), 0
    if path is None:
        return nothing
    try:
        journal = JournalReader(path)
    except FileNotFoundError:  # whoever executes the plan sees to it
        return nothing
    read = journal.size
    return journal_places(journal, plan.keys), read


def _check_variables(workflow: Workflow, golden: GoldenSet, targets: Targets) -> None:
    """Refuse a template of a target that needs a variable which not every case has.

    Raises:
        ConfigError: naming provider, place and variable.
    """
    for provider in sorted({pin.provider for pin in workflow.models.values()}):
        for name, place in targets.needed_variables(provider).items():
            if name not in golden.common_variables():
                raise ConfigError(
                    "undefined variable", file=workflow.file, key=f"providers.{provider}.{place}", value=name,
                    fix="give it to every case of the golden set, under `variables`, or leave it out",
                )  # fmt: skip


def _price_prints(workflow: Workflow, prices: PriceTable) -> dict[str, str]:
    """Hashes of the prices of the models; none where one has no price, which the plan says."""
    try:
        return prices.fingerprints_of(priced_models(workflow))
    except ConfigError:
        return {}


def _new_head(
    name: str, identity: str, workflow: Workflow, grading: Grading, redactor: Redactor, options: RunOptions
) -> PlanHead:
    return PlanHead(
        run_id=new_run_id(),
        created_us=time.time_ns() // 1000,
        workflow=name,
        plan=identity,
        redaction=redactor.fingerprint,
        grading=grading.fingerprint,
        configuration=workflow.configuration.fingerprint,
        options=_said(options),
    )


def _said(options: RunOptions) -> dict[str, Any]:
    """What of the options decides which trials a run has."""
    said = {key: value for key, value in asdict(options).items() if key not in ("resume", "concurrency") and value}
    if not any(options.earlier):
        said.pop("earlier")
    return {key: list(value) if isinstance(value, (list, tuple)) else value for key, value in said.items()}


def _left(runs: Runs, name: str) -> Iterator[tuple[Path, PlanHead]]:
    """Journals of runs of a workflow that were cut off, the newest first."""
    for path in reversed(runs.partial_journals()):
        head = read_head(path)
        if head is None or head.workflow != name or runs.folder(head.run_id) is not None:
            continue
        if not is_written(path):
            yield path, head


def _left_journal(runs: Runs, name: str, plan: str) -> tuple[Path, PlanHead] | None:
    return next(((path, head) for path, head in _left(runs, name) if head.plan == plan), None)


def resumed_options(
    runs: Runs, known: Sequence[str], asked: Sequence[str], options: RunOptions
) -> Mapping[str, RunOptions]:
    """With what to go on with the newest run that was cut off, and to make those that were asked for with it.

    Args:
        runs: The store.
        known: The workflows of the project.
        asked: Those that are to be gone on with; none means those that were asked for then.
        options: What is said now: nothing, or what was said then.

    Returns:
        The options of each workflow, in order.

    Raises:
        UsageError: when there is no such run, or it is not clear what to do about another workflow.
    """
    left = {name: [head for _, head in _left(runs, name)] for name in asked or known}
    heads = sorted((head for found in left.values() for head in found), key=lambda head: head.run_id)
    if not heads:
        raise UsageError(
            f"there is no run of {', '.join(left)} that was cut off",
            key="--resume", file=runs.root, fix="run without --resume",
        )  # fmt: skip
    now = _choice(_said(options))
    newest = next((head for head in reversed(heads) if now in ({}, _choice(head.options))), None)
    if newest is None:
        raise UsageError(
            "--resume goes on with what was said before", key="--resume", fix="leave the other options out"
        )
    said = _choice(newest.options)
    then = (newest.options or {}).get("workflows", [newest.workflow])
    names = tuple(asked) or tuple(name for name in known if name in then)
    wanted = replace(options, **{**said, "cases": tuple(said.get("cases", ())), "workflows": names})
    cut_off = {name: head for name in names for head in reversed(left[name]) if _choice(head.options) == said}
    for name in names:
        if name not in cut_off and wanted.fresh:
            raise UsageError(
                f"the run of {name} was not cut off, and --fresh was said: shall its trials be made again, or not?",
                key="--resume", fix=f"name the workflows that were: evalkit run --resume {' '.join(cut_off)}",
            )  # fmt: skip
    return {
        name: replace(wanted, resume=True, **_planned(cut_off[name]))
        if name in cut_off
        else replace(wanted, resume=False)
        for name in names
    }


def _planned(head: PlanHead) -> dict[str, Any]:
    """What evalkit itself has chosen for a run that was cut off: further trials, and what its rounds had spent."""
    return {key: value for key, value in (head.options or {}).items() if key in _OWN}


def _is_old(head: PlanHead) -> bool:
    """Whether trials that were made for this run are too old for somebody who wants fresh ones."""
    return time.time_ns() // 1000 - head.created_us > _FRESH_US


def _choice(said: Mapping[str, Any] | None) -> dict[str, Any]:
    """Of what was said, what chooses cases and trials."""
    return {key: value for key, value in (said or {}).items() if key not in ("workflows", *_OWN)}
