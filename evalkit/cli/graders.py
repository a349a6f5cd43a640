"""``evalkit graders``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.common import format_option, note, table
from evalkit.cli.graders_new import command as new

if TYPE_CHECKING:
    from evalkit.grading import Figure, Grader

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


command.add_command(new)


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
    from evalkit.grading import RunGrader, available
    from evalkit.grading.discover import describe

    known = available(_root())
    if name not in known:
        raise GraderError(f"no grader `{name}`", fix=f"graders here: {', '.join(known)}")
    kind = known[name].grader_class()
    click.echo(f"{name} {kind.version} ({_from_here(known[name].origin)})\n")
    click.echo(inspect.getdoc(kind) or "")
    method = kind.method() if issubclass(kind, RunGrader) else kind.grade
    click.echo(f"\n{inspect.getdoc(method) or ''}\n")
    rows = [list(row) for row in describe(kind)]
    click.echo(table(["parameter", "type", "default"], rows) if rows else "no parameters")
    _show_agreement(kind)


def _show_agreement(kind: type[Grader]) -> None:
    from evalkit.grading.verification import stated_figures

    figures = stated_figures(kind)
    if figures:
        click.echo("\nAgreement with people or a reference (evalkit graders verify)\n")
        click.echo(table(_FIGURES, [_figure_row(figure) for figure in figures]))
    if kind.blind:
        click.echo("\nBlind spots\n" + "".join(f"\n- {line}" for line in kind.blind))


_FIGURES = ("measure", "data", "n", "value", "95% interval", "goal")


def _figure_row(figure: Figure) -> list[str]:
    return [
        figure.measure, figure.data, f"{figure.n:,}", f"{figure.value:.3f}", f"[{figure.low:.3f}, {figure.high:.3f}]",
        "" if figure.goal is None else f"{figure.goal:g}",
    ]  # fmt: skip


@command.command("verify")
@click.argument("names", nargs=-1, metavar="[GRADER]...")
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="DIR",
    help="Folder with the labelled data.",
)  # fmt: skip
@click.option(
    "--write", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Put the measured figures into FILE (agreement.yaml of the package) instead of checking what is stated.",
)  # fmt: skip
@format_option("text", "json")
def verify(names: tuple[str, ...], data: Path, write: Path | None, output: str) -> None:
    """Measure how well GRADERs (default all) agree with human labels or a reference checker.

    Exits with 1 where a figure is not the one that is stated. Data that is not there is skipped, and said to be.
    """
    from evalkit.errors import GraderError
    from evalkit.grading.verification import verifications

    known = verifications()
    named = sorted({grader for item in known.values() for grader in item.graders})
    for name in names:
        if name not in named:
            raise GraderError(f"nothing measures `{name}`", fix=f"measured here: {', '.join(named)}")
    measured: list[Figure] = []
    for item in known.values():
        if names and not set(names) & set(item.graders):
            continue
        if missing := item.missing(data):
            note(f"skipped {item.name}: {', '.join(missing)} not found in {data}")
            continue
        note(f"{item.name}: {item.about}")
        measured += (figure for figure in item.measure(data) if not names or figure.grader in names)
    if output == "json":
        click.echo(json.dumps([figure.model_dump() for figure in measured], indent=1))
    else:
        click.echo(table(["grader", *_FIGURES], [[figure.grader, *_figure_row(figure)] for figure in measured]))
    if write:
        _write(write, measured)
    else:
        _check(measured)


def _write(file: Path, measured: Sequence[Figure]) -> None:
    """Figures that were measured take the place of those of the same measurement and grader; the others stay."""
    from evalkit.atomic import write_text
    from evalkit.grading.verification import dump_figures, read_figures

    before = read_figures(file.read_text(encoding="utf-8"), str(file)) if file.exists() else ()
    again = {(figure.grader, figure.verification) for figure in measured}
    kept = [figure for figure in before if (figure.grader, figure.verification) not in again]
    write_text(file, dump_figures([*kept, *measured]))


def _check(measured: Sequence[Figure]) -> None:
    from evalkit.grading import available
    from evalkit.grading.verification import differences, stated_figures

    known = available()
    stated = [
        figure
        for name in sorted({figure.grader for figure in measured})
        if name in known
        for figure in stated_figures(known[name].grader_class())
    ]
    wrong = list(differences(measured, stated))
    for line in wrong:
        note(line)
    if wrong:
        raise click.exceptions.Exit(1)
