"""``evalkit calibrate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.common import format_option, from_here, get_project, note, table

if TYPE_CHECKING:
    from evalkit.review import Agreement, GraderAgreement
    from evalkit.stats import Estimate
    from evalkit.workflow import Project

__all__ = ["command"]


@click.command("calibrate")
@click.argument("workflow", required=False)
@click.option("--grader", "graders", multiple=True, help="Only this grader.  [default: all that somebody labelled]")
@click.option("--run", "run", default="", metavar="RUN", help="Estimate the true share of this run.  [default: newest]")
@click.option(
    "--labels", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="Further labels of the run's answers: JSON lines, CSV or Parquet with `case_id` and `passed`.",
)  # fmt: skip
@click.option(
    "--fit", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Fit the one --grader to the labels of the project and write FILE, for its parameter `calibration`.",
)  # fmt: skip
@format_option("text", "json")
def command(
    workflow: str | None, graders: tuple[str, ...], run: str, file: Path | None, fit: Path | None, output: str
) -> None:
    """Hold the graders of WORKFLOW against labels of people: agreement, bias, thresholds, and the true share.

    Labels come from labels/ beside evalkit.yaml (evalkit review) and from --labels. Nothing is
    written but with --fit, and no model under test is called.
    """
    from evalkit import codec
    from evalkit.review import calibrate

    project = get_project()
    name = workflow or _only(sorted(project.spec.workflows))
    if fit is not None:
        _fit(project, name, graders, fit)
        return
    found = calibrate(project, name, graders=graders, run=run, file=file)
    if output == "json":
        click.echo(json.dumps(codec.plain(found), indent=1))
        return
    click.echo("\n\n".join(_said(found, item) for item in found.graders))


def _fit(project: Project, workflow: str, graders: tuple[str, ...], file: Path) -> None:
    from evalkit.atomic import write_text
    from evalkit.review.calibrate import fit_grader

    if len(graders) != 1:
        raise click.UsageError("--fit goes with one --grader")
    write_text(file, fit_grader(project, workflow, graders[0]))
    note(f"written to {from_here(file)}: give it to {graders[0]} as `calibration`, by its path from evalkit.yaml")


def _only(names: list[str]) -> str:
    from evalkit.errors import UsageError

    if len(names) == 1:
        return names[0]
    raise UsageError("the project has several workflows", fix=f"name one: {', '.join(names)}")


def _said(found: Agreement, item: GraderAgreement) -> str:
    (good_good, good_bad), (bad_good, bad_bad) = item.counts
    lines = [f"{item.grader} {item.version}: {item.n} labels" + _left_out(item)]
    if not item.n:
        return lines[0]
    rows = [["people say good", str(good_good), str(good_bad)], ["people say bad", str(bad_good), str(bad_bad)]]
    lines += [table(["", "it passes", "it fails"], rows), ""]
    figures = [
        ["agreement", _share(item.accuracy)],
        ["kappa", _number(item.kappa)],
        ["bad answers found", _share(item.found)],
        ["good answers failed", _share(item.false_alarms)],
        ["AUROC of its value", _number(item.auroc)],
        ["passes more than people", _points(item.bias)],
    ]
    figures += [[f"  model {name}", _points(bias)] for name, bias in item.by_model.items() if len(item.by_model) > 1]
    figures += [[f"  {name}", _points(bias)] for name, bias in item.by_slice.items()]
    if item.threshold is not None:
        limit = item.threshold
        figures.append(["best threshold", f"{limit.value:.3f} [{limit.low:.3f}, {limit.high:.3f}]"])
        figures.append(["  balanced accuracy there", _share(limit.accuracy)])
    if (mean := found.passed.get(item.grader)) is not None:
        figures.append(["good by the grader alone", f"{found.said[item.grader]:.1%}"])
        alone = mean.labels_alone
        figures.append(["good by random labels alone", f"{alone[0]:.1%} [{alone[1]:.1%}, {alone[2]:.1%}]"])
        figures.append(["good, both together", f"{mean.value:.1%} [{mean.low:.1%}, {mean.high:.1%}]"])
    lines.append(table(["", "with 95% interval"], [row for row in figures if row[1]]))
    return "\n".join(lines)


def _left_out(item: GraderAgreement) -> str:
    parts = [f"{item.lost} more are of answers that no stored run holds"] if item.lost else []
    parts += [f"of {item.undecided} it says nothing, which counts as disagreement"] if item.undecided else []
    return "".join(f"; {part}" for part in parts)


def _share(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


def _number(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _points(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    value, low, high = (f"{100 * item:+.1f}" for item in (estimate.value, estimate.low, estimate.high))
    return f"{value} points [{low}, {high}]"
