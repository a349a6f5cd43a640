"""``evalkit merge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.common import (
    ci_file_options,
    emit,
    format_option,
    from_here,
    get_project,
    report_text_option,
    write_for_ci,
)

if TYPE_CHECKING:
    from evalkit.gate.report import ReportText

__all__ = ["command"]


@click.command("merge")
@click.argument("places", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--workflow", "workflows", multiple=True, metavar="NAME", help="Only this workflow; can be repeated.")
@click.option("--baseline", metavar="NAME", help="Baseline name or run id.  [default: from evalkit.yaml]")
@click.option("--set-baseline", metavar="NAME", help="Accept the run into this baseline, as `evalkit run` does.")
@click.option("--report", "report_path", type=click.Path(path_type=Path), help="Where the HTML report goes.")
@report_text_option
@ci_file_options
@format_option()
def command(
    places: tuple[Path, ...],
    workflows: tuple[str, ...],
    baseline: str | None,
    set_baseline: str | None,
    report_path: Path | None,
    report_text: ReportText,
    junit: Path | None,
    sarif: Path | None,
    output: str,
) -> int:
    """Put the shards of a run together and judge the whole: the verdict is that of one machine.

    PLACES are the stores of the machines that ran `evalkit run --shard I/N`, or single runs; default this project's
    own store. Calls no model.
    """
    from evalkit.cli.run import with_baseline, worst_code
    from evalkit.session import merge_project, write_report

    project = get_project()
    outcomes = merge_project(project, places, workflows, baseline=baseline, set_baseline=set_baseline)
    verdicts = [with_baseline(outcome) for outcome in outcomes]
    written = from_here(write_report(project, verdicts, report_path, text=report_text))
    write_for_ci(verdicts, written, junit=junit, sarif=sarif)
    emit(output, verdicts, written)
    return worst_code([outcome.exit_code for outcome in outcomes])
