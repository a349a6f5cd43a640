"""``evalkit baseline``."""

from __future__ import annotations

import datetime as dt
import json

import click

from evalkit.cli.common import format_option, get_project, table

__all__ = ["command"]


@click.group("baseline")
def command() -> None:
    """Set and list baselines: names for accepted runs, with their history."""


@command.command("set")
@click.argument("name")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--reason", default="", help="Why, for the record.")
def set_(name: str, runs: tuple[str, ...], reason: str) -> None:
    """Accept each RUN into baseline NAME of its workflow."""
    from evalkit.session import sync_catalogue
    from evalkit.store import Baselines, Runs

    project = get_project()
    folders = [Runs(project.store).get(run) for run in runs]
    for folder in folders:
        updated = Baselines(project.store).accept(name, folder.run, reason)
        click.echo(f"{updated.workflow}: {name} is run {folder.run.run_id} (of {len(updated.history)} accepted)")
    sync_catalogue(project)


@command.command("list")
@format_option("text", "json")
def list_(output: str) -> None:
    """List all baselines with their newest run."""
    from evalkit import codec
    from evalkit.store import Baselines

    baselines = Baselines(get_project().store).all()
    if output == "json":
        click.echo(json.dumps([codec.plain(baseline) for baseline in baselines], indent=1))
        return
    rows = []
    for baseline in baselines:
        newest = baseline.current
        if newest is not None:
            when = dt.datetime.fromtimestamp(newest.accepted_us / 1e6, tz=dt.UTC).strftime("%Y-%m-%d %H:%M")
            rows.append(
                [baseline.workflow, baseline.name, newest.run_id, when, str(len(baseline.history)), newest.reason]
            )
    headers = ["workflow", "baseline", "newest run", "accepted (UTC)", "runs", "reason"]
    click.echo(table(headers, rows) if rows else "no baselines yet: evalkit run --set-baseline main")
