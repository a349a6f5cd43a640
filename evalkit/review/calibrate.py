"""The graders of a workflow against the labels of its people, from what is stored."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from evalkit.engine.prepare import load_grading
from evalkit.errors import UsageError
from evalkit.grading import Grading
from evalkit.records import Case, GoldenSetRef, Score
from evalkit.review.agreement import (
    Agreement,
    GraderAgreement,
    Labelled,
    find_labelled,
    measure_accuracy,
    measure_agreement,
    powered,
    random_part,
)
from evalkit.review.labels import HumanLabel, Labels, SaidOfCase, output_of, read_label_file
from evalkit.stats import PoweredMean
from evalkit.store import RunFolder, Runs
from evalkit.store.cases import iter_cases_of
from evalkit.workflow import Project, load_workflow

__all__ = ["agreement_of", "calibrate", "check_grader", "fit_grader", "labels_of_file"]

_RUNS = 50
"""Newest runs of a workflow in which labelled outputs are looked for."""


def check_grader(workflow: str, grading: Grading, name: str) -> None:
    """Refuse the name of what is no grader of a workflow.

    Raises:
        UsageError: when it is none; the fix names those that there are.
    """
    known = [ref.name for ref in grading.refs]
    if name not in known:
        raise UsageError(f"workflow {workflow} has no grader `{name}`", fix=f"its graders: {', '.join(known)}")


def agreement_of(project: Project, workflow: str, grading: Grading, names: Sequence[str]) -> dict[str, GraderAgreement]:
    """How often graders say what the labels of a workflow say; those that nobody labelled have ``n`` 0.

    Counts and accuracy, as a gate needs them at every verdict; everything else is :func:`calibrate`'s.

    Args:
        project: The project.
        workflow: Its workflow.
        grading: The graders of now.
        names: Of which of them.

    Raises:
        UsageError: for a grader that sees several trials.
        ConfigError: for a file of labels that holds something else.
        StoreError: when a run cannot be read.
    """
    labels = Labels(project.root).of(workflow)
    outputs = _labelled(project, workflow, grading, names, labels)
    return {one.refs[0].name: measure_accuracy(one.refs[0], labelled, lost) for one, labelled, lost in outputs}


def calibrate(
    project: Project, workflow: str, *, graders: Sequence[str] = (), run: str = "", file: Path | None = None
) -> Agreement:
    """Everything that labels say of the graders of a workflow.

    Args:
        project: The project.
        workflow: Its workflow.
        graders: Only these; default all that somebody labelled.
        run: The run whose true share of good answers is estimated, and that a file's labels are of; default the newest.
        file: Further labels: JSON lines, CSV or Parquet with ``case_id`` and ``passed``.

    Raises:
        UsageError: when there is no run or no label, or a grader is not one of the workflow's.
        ConfigError: for a file of labels that holds something else.
    """
    loaded = load_workflow(project, workflow)
    grading = load_grading(project, loaded)
    for name in graders:
        check_grader(workflow, grading, name)
    folder = _run(project, workflow, run)
    further = [] if file is None else labels_of_file(folder, read_label_file(file), graders, file)
    labels = [*Labels(project.root).of(workflow), *further]
    names = list(graders) or [ref.name for ref in grading.refs if any(label.grader == ref.name for label in labels)]
    if not names:
        raise UsageError(
            f"nobody has labelled answers of {workflow}",
            fix="choose some: evalkit review queue --sample 50 --export FILE; then evalkit review add FILE",
        )
    found: list[GraderAgreement] = []
    random: dict[str, list[Labelled]] = {}
    for one, labelled, lost in _labelled(project, workflow, grading, names, labels, folder):
        found.append(measure_agreement(one.refs[0], labelled, lost))
        if part := random_part(labelled):
            random[one.refs[0].name] = part
    shares = _true_shares(project, folder, grading, random) if random else {}
    return Agreement(
        workflow,
        tuple(found),
        passed={name: mean for name, (mean, _) in shares.items()},
        said={name: said for name, (_, said) in shares.items()},
        run=folder.run.run_id,
    )


def fit_grader(project: Project, workflow: str, name: str) -> str:
    """Text of a file that fits a grader to the labels of a workflow.

    Raises:
        UsageError: for a grader that is not the workflow's or that learns nothing, and where labels are too few.
    """
    grading = load_grading(project, load_workflow(project, workflow))
    check_grader(workflow, grading, name)
    ((one, labelled, _),) = _labelled(project, workflow, grading, [name], Labels(project.root).of(workflow))
    try:
        return type(one.graders[0]).fit(
            [(item.case, item.trace) for item in labelled],
            [item.label.passed for item in labelled],
            [item.case.cluster_key for item in labelled],
        )
    except NotImplementedError:
        raise UsageError(f"grader `{name}` learns nothing from labels") from None
    except ValueError as error:
        raise UsageError(f"grader `{name}` cannot be fitted: {error}", fix="label more: evalkit review queue") from None


def labels_of_file(
    folder: RunFolder, rows: Sequence[SaidOfCase], graders: Sequence[str], file: Path, by: str = ""
) -> list[HumanLabel]:
    """Rows of a file as labels of the outputs of a run.

    Raises:
        UsageError: for a case or trial that the run does not have, an output that is another now, or a row that names
            no grader where more than one could be meant.
    """
    traces = {(trace.case_id, trace.trial): trace for trace in folder.traces(sorted({row.case_id for row in rows}))}
    today = dt.datetime.now(dt.UTC).date().isoformat()
    found = []
    for row in rows:
        trace = traces.get((row.case_id, row.trial))
        if trace is None:
            raise UsageError(
                f"run {folder.run.run_id} has no trial {row.trial} of case `{row.case_id}`",
                file=file,
                fix="name the run that was looked at: --run RUN",
            )
        output = output_of(trace)
        if row.output and row.output != output:
            raise UsageError(
                f"case `{row.case_id}` has another answer in run {folder.run.run_id} than the one that was labelled",
                file=file,
                fix="name the run that was looked at: --run RUN",
            )
        grader = row.grader or (graders[0] if len(graders) == 1 else "")
        if not grader:
            raise UsageError(
                f"the row of case `{row.case_id}` names no grader",
                file=file,
                fix="add a column `grader`, or --grader NAME",
            )
        found.append(
            HumanLabel(
                grader=grader, case_id=row.case_id, output=output, passed=row.passed, label=row.label,
                by=row.by or by, day=today, chosen=row.chosen, note=row.note,
            )
        )  # fmt: skip
    return found


def _alone(grading: Grading, name: str) -> Grading:
    """One grader.

    Raises:
        UsageError: for one that sees several trials: no single output tells what it says.
    """
    one = grading.only({name})
    if one.of_runs:
        raise UsageError(f"grader `{name}` looks at several trials together, and labels are of single answers")
    return one


def _run(project: Project, workflow: str, name: str) -> RunFolder:
    if name:
        return Runs(project.store).get(name)
    newest = next(Runs(project.store).newest_first(workflow), None)
    if newest is None:
        raise UsageError(f"there is no run of {workflow} yet", fix="make one: evalkit run")
    return newest


def _runs(project: Project, workflow: str, first: RunFolder | None = None) -> Iterable[RunFolder]:
    newest = itertools.islice(Runs(project.store).newest_first(workflow), _RUNS)
    return newest if first is None else itertools.chain([first], newest)


def _labelled(
    project: Project,
    workflow: str,
    grading: Grading,
    names: Iterable[str],
    labels: Sequence[HumanLabel],
    first: RunFolder | None = None,
) -> Iterator[tuple[Grading, list[Labelled], int]]:
    """Each grader alone, the labelled outputs as it grades them, and how many labels are of outputs in no run.

    Raises:
        UsageError: for a grader that sees several trials.
    """
    ids = {label.case_id for label in labels}

    @cache
    def load(golden: GoldenSetRef, redaction: str) -> Mapping[str, Case]:
        return {case.id: case for case in iter_cases_of(project.store, golden, redaction, ids)}

    def cases(folder: RunFolder) -> Mapping[str, Case]:
        return load(folder.run.golden_set, folder.run.redaction)

    for name in names:
        one = _alone(grading, name)
        yield one, *find_labelled(labels, one, _runs(project, workflow, first), cases)


def _true_shares(
    project: Project, folder: RunFolder, grading: Grading, random: Mapping[str, Sequence[Labelled]]
) -> dict[str, tuple[PoweredMean, float]]:
    """By grader the share of a run's cases that people would pass, and the share that it passes itself."""
    cases = {case.id: case for case in iter_cases_of(project.store, folder.run.golden_set, folder.run.redaction)}
    clusters = {case_id: case.cluster_key for case_id, case in cases.items()}
    scores: dict[str, list[Score]] = {name: [] for name in random}
    for score in _scores(folder, grading, cases, random):
        if score.grader in scores:
            scores[score.grader].append(score)
    return {name: powered(part, scores[name], clusters) for name, part in random.items()}


def _scores(folder: RunFolder, grading: Grading, cases: Mapping[str, Case], names: Container[str]) -> Iterable[Score]:
    """What the graders of now say of a run: as stored, those of others too, or graded for this once."""
    if folder.scores_path(grading.fingerprint).exists():
        return folder.scores(grading.fingerprint)
    return grading.only(names).grade_all((cases[trace.case_id], trace) for trace in folder.traces())
