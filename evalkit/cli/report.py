"""``evalkit report``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.common import get_project, make_report, report_text_option, stored_verdict

if TYPE_CHECKING:
    from evalkit.gate.report import ReportText

__all__ = ["command"]

_ENDINGS = {"html": "html", "md": "markdown", "junit": "junit", "json": "json", "sarif": "sarif", "text": "terminal"}


@click.command("report")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--format", "output", type=click.Choice(sorted(_ENDINGS)), default="html", show_default=True)
@click.option("-o", "--output", "path", type=click.Path(path_type=Path), help="File to write; `-` is standard output.")
@report_text_option
def command(runs: tuple[str, ...], output: str, path: Path | None, report_text: ReportText) -> None:
    """Write the report of the stored verdicts on RUNs (default the latest run) again."""
    from evalkit.atomic import write_text
    from evalkit.gate.report import renderer
    from evalkit.session import write_report
    from evalkit.store import Runs

    project = get_project()
    stored = Runs(project.store)
    verdicts = [stored_verdict(project, stored.get(name)) for name in runs or ("latest",)]
    if output == "html" and (path is None or str(path) != "-"):
        click.echo(str(write_report(project, verdicts, path, text=report_text)))
        return
    report = make_report(verdicts)
    if path is not None and str(path) != "-":
        report = replace(report, color=False)
    text = renderer(_ENDINGS[output])(report)
    if path is None or str(path) == "-":
        click.echo(text, nl=False, color=report.color)
    else:
        write_text(path, text)
        click.echo(str(path))
