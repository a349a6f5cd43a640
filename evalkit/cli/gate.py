"""``evalkit gate``."""

from __future__ import annotations

import click

from evalkit.cli.common import emit, format_option, get_project

__all__ = ["command"]


@click.command("gate")
@click.argument("run_id", metavar="[RUN]", default="latest")
@click.option("--baseline", metavar="NAME", help="Baseline name or run id.  [default: from evalkit.yaml]")
@format_option()
def command(run_id: str, baseline: str | None, output: str) -> int:
    """Judge stored run RUN (default the latest) by the gate as it is now. Calls no model under test."""
    from evalkit.gate.compare import judge_stored_run
    from evalkit.session import sync_catalogue
    from evalkit.store import Runs

    project = get_project()
    verdict = judge_stored_run(project, Runs(project.store).get(run_id), baseline)
    sync_catalogue(project)
    emit(output, [verdict])
    return int(verdict.exit_code)
