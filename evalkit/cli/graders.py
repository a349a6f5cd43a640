"""``evalkit graders``."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import click

from evalkit.cli.common import format_option, table

__all__ = ["command"]


@click.group("graders", invoke_without_command=True)
@format_option("text", "json")
@click.pass_context
def command(context: click.Context, output: str) -> None:
    """List graders with their versions, or show one."""
    if context.invoked_subcommand is not None:
        return
    from evalkit.grading import available

    rows = []
    for name, info in available(_root()).items():
        kind = info.grader_class()
        summary = (inspect.getdoc(kind) or "").partition("\n")[0]
        rows.append([name, kind.version, "quality" if kind.quality else "measure", _from_here(info.origin), summary])
    if output == "json":
        keys = ("name", "version", "kind", "origin", "summary")
        click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=1))
    else:
        click.echo(table(["grader", "version", "kind", "from", "what it checks"], rows))


def _root() -> Path | None:
    """The project's root where there is a project: its own graders are listed too."""
    from evalkit.errors import ConfigError
    from evalkit.workflow import find_project

    named = click.get_current_context().find_root().obj
    try:
        return find_project(Path(named) if named else None).parent
    except ConfigError:
        if named:
            raise
        return None


def _from_here(origin: str) -> str:
    """A project's file as the user would type it; the name and version of a package as they are."""
    path = Path(origin)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else origin


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Show what grader NAME does, and its parameters."""
    from evalkit.errors import GraderError
    from evalkit.grading import available
    from evalkit.grading.discover import describe

    known = available(_root())
    if name not in known:
        raise GraderError(f"no grader `{name}`", fix=f"graders here: {', '.join(known)}")
    kind = known[name].grader_class()
    click.echo(f"{name} {kind.version} ({_from_here(known[name].origin)})\n")
    click.echo(inspect.getdoc(kind) or "")
    click.echo(f"\n{inspect.getdoc(kind.grade) or ''}\n")
    rows = [list(row) for row in describe(kind)]
    click.echo(table(["parameter", "type", "default"], rows) if rows else "no parameters")
