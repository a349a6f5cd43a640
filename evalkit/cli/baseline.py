"""``evalkit baseline``."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from evalkit.cli.common import format_option, get_project, note, table

if TYPE_CHECKING:
    from evalkit.store.baselines import Baseline

__all__ = ["command"]

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group("baseline")
def command() -> None:
    """Set, list, export and import baselines: names for accepted runs, with their history."""


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


def export_options(function: Command) -> Command:
    """Which baselines, and how much of their histories."""
    for decorate in (
        click.option(
            "--runs", type=click.IntRange(1), default=50, show_default=True, help="Newest runs of each that go along."
        ),
        click.option("--name", help="Name of the baselines.  [default: from evalkit.yaml]"),
    ):
        function = decorate(function)
    return function


digest_option = click.option("--sha256", default="", metavar="HEX", help="Digest that the archive must have.")


@command.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@export_options
@format_option("text", "json")
def export(file: Path, name: str | None, runs: int, output: str) -> None:
    """Write baselines of all workflows with their runs into FILE, for another machine.

    The file is a tar archive with a manifest of digests; the same baselines make the same bytes. It holds masked
    traces and cases, no verdicts and no journals.
    """
    from evalkit.store.archive import export_baselines

    project = get_project()
    done = export_baselines(project.store, file, name or project.spec.baseline.name, runs=runs)
    if output == "json":
        said = {"file": str(file), "sha256": done.sha256, "bytes": done.size, "runs": done.runs}
        click.echo(json.dumps({**said, "workflows": [item.workflow for item in done.baselines]}, indent=1))
        return
    _tell(done.baselines)
    click.echo(f"{file}: {done.runs} runs, {done.size:,} bytes\nsha256 {done.sha256}")


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@digest_option
def import_(file: Path, sha256: str) -> None:
    """Bring the baselines in FILE, their runs and cases into this project's store.

    Every digest is checked before anything is changed, and nothing is overwritten: a run that is there already must
    be the same, and histories are joined.
    """
    from evalkit.session import sync_catalogue
    from evalkit.store.importing import import_baselines

    project = get_project()
    done = import_baselines(project.store, file, sha256)
    sync_catalogue(project)
    _tell(done.baselines)
    click.echo(f"{file}: {done.runs} runs, {done.new_runs} of them new here")


@command.command("push")
@click.argument("place")
@export_options
def push(place: str, name: str | None, runs: int) -> None:
    """Keep baselines at PLACE: branch:NAME of the repository's origin, release:TAG, or a file.

    What PLACE holds is joined with what is here, so that two machines that push at once lose nothing.
    """
    from evalkit.engine.keeping import push_baselines
    from evalkit.session import sync_catalogue

    project = get_project()
    done = push_baselines(project, place, name, runs=runs)
    sync_catalogue(project)
    _tell(done.baselines)
    click.echo(f"{place}: {done.runs} runs, {done.size:,} bytes\nsha256 {done.sha256}")


@command.command("pull")
@click.argument("place")
@digest_option
def pull(place: str, sha256: str) -> int:
    """Bring the baselines that are kept at PLACE into this project's store; see `push` and `import`.

    The archive must have the digest that PLACE names, or the one that is given. Exit code 4 where PLACE holds none.
    """
    from evalkit.engine.keeping import pull_baselines
    from evalkit.session import sync_catalogue

    project = get_project()
    done = pull_baselines(project, place, sha256)
    if done is None:
        note(f"there is no baseline at {place} yet: evalkit baseline push {place}")
        return 4
    sync_catalogue(project)
    _tell(done.baselines)
    click.echo(f"{place}: {done.runs} runs, {done.new_runs} of them new here")
    return 0


def _tell(baselines: tuple[Baseline, ...]) -> None:
    for baseline in baselines:
        current = baseline.current
        run = current.run_id if current is not None else "–"
        click.echo(f"{baseline.workflow}: {baseline.name} is run {run} (of {len(baseline.history)} accepted)")
