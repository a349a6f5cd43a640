"""``evalkit runs``."""

from __future__ import annotations

import datetime as dt
import json

import click

from evalkit.cli.common import format_option, get_project, table

__all__ = ["command"]


@click.command("runs")
@click.argument("workflow", required=False)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Newest so many.")
@format_option("text", "json")
def command(workflow: str | None, limit: int, output: str) -> None:
    """List runs, of WORKFLOW or of all, newest first."""
    from evalkit import codec
    from evalkit.quantities import format_money
    from evalkit.store import Runs, Verdicts

    project = get_project()
    folders = Runs(project.store).all(workflow)[-limit:][::-1]
    if workflow and not folders:
        project.names((workflow,))
    if output == "json":
        click.echo(json.dumps([codec.plain(folder.run) for folder in folders], indent=1))
        return
    judged = sorted(Verdicts(project.store).all(), key=lambda verdict: int(verdict["created_us"]))
    verdicts = {verdict["candidate_run"]: str(verdict["verdict"]) for verdict in judged}
    rows = []
    for folder in folders:
        run = folder.run
        made = dt.datetime.fromtimestamp(run.created_us / 1e6, tz=dt.UTC).strftime("%Y-%m-%d %H:%M")
        rows.append(
            [
                run.run_id,
                run.workflow,
                made,
                run.commit[:7] + ("*" if run.dirty else ""),
                f"{run.trials:,}",
                f"{run.reused:,}",
                str(run.errors),
                format_money(run.cost_microusd),
                verdicts.get(run.run_id, ""),
            ]
        )
    headers = ["run", "workflow", "made (UTC)", "commit", "trials", "reused", "errors", "spent", "verdict"]
    click.echo(table(headers, rows) if rows else "no runs yet: evalkit run")
