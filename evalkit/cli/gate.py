"""``evalkit gate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.common import emit, format_option, from_here, get_project, report_text_option

if TYPE_CHECKING:
    from evalkit.gate.report import ReportText

__all__ = ["command"]


@click.command("gate")
@click.argument("run_id", metavar="[RUN]", default="latest")
@click.option("--baseline", metavar="NAME", help="Baseline name or run id.  [default: from evalkit.yaml]")
@click.option("--report", "report_path", type=click.Path(path_type=Path), help="Write an HTML report here.")
@report_text_option
@format_option()
def command(run_id: str, baseline: str | None, report_path: Path | None, report_text: ReportText, output: str) -> int:
    """Judge stored run RUN (default the latest) by the gate as it is now. Calls no model under test."""
    from evalkit.gate.compare import judge_stored_run
    from evalkit.session import sync_catalogue, write_report
    from evalkit.store import Runs

    project = get_project()
    verdict = judge_stored_run(project, Runs(project.store).get(run_id), baseline)
    sync_catalogue(project)
    written = from_here(write_report(project, [verdict], report_path, text=report_text)) if report_path else ""
    emit(output, [verdict], written)
    return int(verdict.exit_code)
