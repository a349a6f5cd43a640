"""The graders of a workflow against the labels of its people, from what is stored."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from evalkit.engine.prepare import load_grading
from evalkit.errors import UsageError
from evalkit.grading import Grading
from evalkit.records import Case, Score
from evalkit.review.agreement import (
    Agreement,
    GraderAgreement,
    find_labelled,
    measure_accuracy,
    measure_agreement,
    powered,
)
from evalkit.review.labels import HumanLabel, Labels, SaidOfCase, output_of, read_label_file
from evalkit.store import RunFolder, Runs
from evalkit.store.cases import load_cases
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
    found = {}
    for name in names:
        one = _alone(grading, name)
        labelled, lost = find_labelled(labels, one, _runs(project, workflow), _cases(project))
        found[name] = measure_accuracy(one.refs[0], labelled, lost)
    return found


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
    found, passed, said = [], {}, {}
    for name in names:
        one = _alone(grading, name)
        labelled, lost = find_labelled(labels, one, _runs(project, workflow, folder), _cases(project))
        found.append(measure_agreement(one.refs[0], labelled, lost))
        mean = powered(labelled, _scores(project, folder, grading, name), _clusters(project, folder))
        if mean is not None:
            passed[name], said[name] = mean
    return Agreement(workflow, tuple(found), passed, said, folder.run.run_id)


def fit_grader(project: Project, workflow: str, name: str) -> str:
    """Text of a file that fits a grader to the labels of a workflow.

    Raises:
        UsageError: for a grader that is not the workflow's or that learns nothing, and where labels are too few.
    """
    grading = load_grading(project, load_workflow(project, workflow))
    check_grader(workflow, grading, name)
    one = _alone(grading, name)
    labelled, _ = find_labelled(Labels(project.root).of(workflow), one, _runs(project, workflow), _cases(project))
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


def _cases(project: Project) -> Callable[[RunFolder], Mapping[str, Case]]:
    def of(folder: RunFolder) -> Mapping[str, Case]:
        cases = load_cases(project.store, folder.run.golden_set, folder.run.redaction)
        return {case.id: case for case in cases}

    return of


def _clusters(project: Project, folder: RunFolder) -> dict[str, str]:
    return {case_id: case.cluster_key for case_id, case in _cases(project)(folder).items()}


def _scores(project: Project, folder: RunFolder, grading: Grading, name: str) -> list[Score]:
    """What the grader of now says of a run: as stored, or graded for this once."""
    if folder.scores_path(grading.fingerprint).exists():
        return [score for score in folder.scores(grading.fingerprint) if score.grader == name]
    one, cases = _alone(grading, name), _cases(project)(folder)
    return one.grade_all((cases[trace.case_id], trace) for trace in folder.traces())
