"""``evalkit review``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.common import format_option, from_here, get_project, note, table

if TYPE_CHECKING:
    from evalkit.review import HumanLabel, QueueItem
    from evalkit.store import RunFolder
    from evalkit.workflow import Project

__all__ = ["command"]

run_option = click.option(
    "--run", "run", default="latest", show_default=True, metavar="RUN", help="Answers of this run."
)


@click.group("review")
def command() -> None:
    """Let people look at answers, and keep what they say in labels/ beside evalkit.yaml."""


@command.command("queue")
@run_option
@click.option("--grader", "graders", multiple=True, help="Only as this grader asks.  [default: all quality graders]")
@click.option(
    "--sample", type=click.IntRange(0), default=0, show_default=True,
    help="Draw so many further cases for each grader: only these say something of cases that nobody looks at.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Equal seeds draw equal cases.")
@click.option(
    "--export", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write them to FILE, a line each, with `passed` to be filled in.",
)  # fmt: skip
@format_option("text", "json")
def queue(run: str, graders: tuple[str, ...], sample: int, seed: int, file: Path | None, output: str) -> None:
    """List answers that nobody has labelled: those that graders are not sure of, then drawn ones."""
    from evalkit.atomic import write_text
    from evalkit.gate.compare import cases_of
    from evalkit.review import Labels, review_queue

    project, folder = _run(run)
    cases = {case.id: case for case in cases_of(project, folder)}
    labels = Labels(project.root).of(folder.run.workflow)
    items = review_queue(folder, cases, labels, graders=graders, sample=sample, seed=seed)
    if output == "json":
        click.echo(json.dumps([asdict(item) for item in items], indent=1, ensure_ascii=False))
    else:
        click.echo(table(["grader", "case", "says", "why", "answer"], [_row(item) for item in items]))
    if file is not None:
        write_text(file, "".join(f"{item.row()}\n" for item in items))
        where = from_here(file)
        note(f"{len(items)} answers written to {where}: fill in `passed`, then: evalkit review add {where}")


def _row(item: QueueItem) -> list[str]:
    from evalkit.text import excerpt

    shown = excerpt(item.answer, 60) or item.calls[:60]
    return [item.grader, item.case_id, item.said or "nothing", item.why or "drawn", shown]


@command.command("add")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@run_option
@click.option("--grader", help="Whose question the labels answer, where the file does not say.")
@click.option("--by", default="", metavar="NAME", help="Who labelled, where the file does not say.")
def add(file: Path, run: str, grader: str | None, by: str) -> None:
    """Take up labels from FILE: JSON lines, CSV or Parquet with `case_id` and `passed`."""
    from evalkit.review import read_label_file
    from evalkit.review.calibrate import labels_of_file

    project, folder = _run(run)
    rows = read_label_file(file)
    _keep(project, folder, labels_of_file(folder, rows, [grader] if grader else [], file, by))


@command.command("label")
@click.argument("case_ids", nargs=-1, required=True, metavar="CASE...")
@click.option("--grader", required=True, help="Whose question is answered.")
@click.option("--good/--bad", "passed", required=True, default=None, help="Whether the answer is good.")
@run_option
@click.option("--trial", type=click.IntRange(0), default=0, show_default=True, help="Which trial of the case.")
@click.option("--by", default="", metavar="NAME", help="Who says so.")
@click.option("--note", "text", default="", help="Why.")
def label(case_ids: tuple[str, ...], grader: str, passed: bool, run: str, trial: int, by: str, text: str) -> None:
    """Label the answers to CASEs as good or bad."""
    from evalkit.review.calibrate import labels_of_file
    from evalkit.review.labels import SaidOfCase

    project, folder = _run(run)
    rows = [
        SaidOfCase(case_id=case_id, trial=trial, passed=passed, grader=grader, by=by, note=text, chosen="review")
        for case_id in case_ids
    ]
    _keep(project, folder, labels_of_file(folder, rows, [grader], Path("command line")))


def _run(name: str) -> tuple[Project, RunFolder]:
    from evalkit.store import Runs

    project = get_project()
    return project, Runs(project.store).get(name)


def _keep(project: Project, folder: RunFolder, labels: Sequence[HumanLabel]) -> None:
    from evalkit.errors import UsageError
    from evalkit.review import Labels

    known = [ref.name for ref in folder.run.graders]
    for item in labels:
        if item.grader not in known:
            raise UsageError(
                f"run {folder.run.run_id} has no grader `{item.grader}`", fix=f"its graders: {', '.join(known)}"
            )
    path = Labels(project.root).add(folder.run.workflow, labels)
    counts = Counter((item.grader, item.passed) for item in labels)
    for grader in dict.fromkeys(item.grader for item in labels):
        click.echo(f"{grader}: {counts[grader, True]} good, {counts[grader, False]} bad")
    note(f"written to {from_here(path)}: commit it; what they say of the graders: evalkit calibrate")
