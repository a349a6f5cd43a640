"""``evalkit diff``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.common import emit, format_option, from_here, get_project, report_text_option

if TYPE_CHECKING:
    from evalkit.gate.report import ReportText

__all__ = ["command"]


@click.command("diff")
@click.argument("before")
@click.argument("after")
@click.option("--report", "report_path", type=click.Path(path_type=Path), help="Write an HTML report here.")
@report_text_option
@format_option("text", "json", "md")
def command(before: str, after: str, report_path: Path | None, report_text: ReportText, output: str) -> int:
    """Compare run AFTER with run BEFORE (ids or their beginnings, or baseline names), without judging.

    The exit code is 0 whatever the difference, and 4 where the runs cannot be compared.
    """
    from evalkit.errors import ExitCode
    from evalkit.gate.compare import compare_stored_runs
    from evalkit.session import write_report

    project = get_project()
    verdict = compare_stored_runs(project, before, after)
    incomparable = verdict.verdict == "NOT COMPARABLE"  # which is a judgement
    written = ""
    if report_path is not None:
        written = from_here(write_report(project, [verdict], report_path, text=report_text, judged=incomparable))
    emit(output, [verdict], written, judged=incomparable)
    return int(ExitCode.NOT_COMPARABLE if incomparable else ExitCode.PASS)
