"""What commands share: the project, option bundles, output."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from evalkit.engine.prepare import RunOptions
    from evalkit.gate import Verdict
    from evalkit.gate.report import Report
    from evalkit.store import RunFolder
    from evalkit.workflow import Project

__all__ = [
    "case_options",
    "ci_file_options",
    "emit",
    "emit_last_line",
    "format_option",
    "from_here",
    "get_project",
    "ids_of",
    "make_report",
    "note",
    "report_text_option",
    "run_options",
    "stored_verdict",
    "table",
    "write_for_ci",
]

Command = TypeVar("Command", bound=Callable[..., Any])
_PROJECT = "evalkit.project"
FORMATS = ("text", "json", "md", "github")


def from_here(path: Path) -> str:
    """A path as somebody in the current folder would write it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def get_project() -> Project:
    """The project that the command line names, or the one around the current folder."""
    from evalkit.workflow import load_project

    context = click.get_current_context()
    named = context.find_root().obj
    project = load_project(Path(named) if named else None)
    context.meta[_PROJECT] = project
    return project


def format_option(*formats: str) -> Callable[[Command], Command]:
    """``--format``: how results are written to standard output."""
    return click.option(
        "--format", "output", type=click.Choice(formats or FORMATS), default="text", show_default=True,
        help="How results are written to standard output.",
    )  # fmt: skip


def report_text_option(function: Command) -> Command:
    """``--report-text``: how much an HTML report holds."""
    return click.option(
        "--report-text", type=click.Choice(("changed", "all")), default="changed", show_default=True,
        help="Of which cases the HTML report holds texts and traces.",
    )(function)  # fmt: skip


def ci_file_options(function: Command) -> Command:
    """Options of files for CI servers; see :func:`write_for_ci`."""
    for decorate in (
        click.option("--sarif", type=click.Path(path_type=Path), help="Write SARIF for code scanning here."),
        click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML here."),
    ):
        function = decorate(function)
    return function


def case_options(function: Command) -> Command:
    """Options that choose cases and trials; see :func:`run_options`."""
    for decorate in (
        click.option("--shard", metavar="I/N", help="Run only the I-th of N parts, for `evalkit merge`."),
        click.option("--concurrency", type=click.IntRange(1, 4096), help="Trials at once."),
        click.option("--fresh", is_flag=True, help="Make every trial again, reuse none."),
        click.option("--trials", type=click.IntRange(1, 100), help="Trials of each case."),
        click.option("--sample", type=click.IntRange(1), help="Run only so many cases, always the same ones."),
        click.option("--cases", metavar="IDS", help="Run only these cases, by comma."),
    ):
        function = decorate(function)
    return function


def run_options(
    *,
    cases: str | None,
    sample: int | None,
    trials: int | None,
    fresh: bool,
    concurrency: int | None,
    shard: str | None,
    resume: bool = False,
) -> RunOptions:
    """The options of :func:`case_options` as one value."""
    from evalkit.engine.prepare import RunOptions

    ids = tuple(ids_of(cases or ""))
    return RunOptions(ids, sample, trials, fresh, concurrency, shard or "", resume)


def ids_of(text: str) -> list[str]:
    """Ids written by comma."""
    return [part.strip() for part in text.split(",") if part.strip()]


def stored_verdict(project: Project, folder: RunFolder, name: str = "") -> Verdict:
    """The newest verdict on a stored run.

    Args:
        project: The project.
        folder: The run.
        name: What the user calls it; default its id.

    Raises:
        UsageError: when it was not judged.
    """
    from evalkit.errors import UsageError
    from evalkit.gate.compare import load_verdict

    verdict = load_verdict(project, folder.run.run_id)
    if verdict is None:
        called = name or folder.run.run_id
        raise UsageError(f"run {called} was not judged", fix=f"judge it: evalkit gate {called}")
    return verdict


def note(text: str) -> None:
    """A line for the person: to standard error, so that results stay clean."""
    click.echo(text, err=True)


def make_report(verdicts: Sequence[Verdict], report_path: str = "", *, judged: bool = True) -> Report:
    """A report for a renderer, fit to where the output goes."""
    from evalkit.gate.report import Report

    context = click.get_current_context(silent=True)
    project: Project | None = context.meta.get(_PROJECT) if context else None
    return Report(
        verdicts=tuple(verdicts),
        source_root=_source_root(project.root) if project else "",
        folder=str(project.root) if project else "",
        report_path=report_path,
        run_url=_run_url(),
        judged=judged,
        color=_wants_color(),
        width=shutil.get_terminal_size((100, 40)).columns if sys.stdout.isatty() else 140,
    )


def _source_root(folder: Path) -> str:
    """A folder as seen from the root of its repository; empty at the root and outside of one."""
    here = folder.resolve()
    for parent in (here, *here.parents):
        if (parent / ".git").exists():
            return "/".join(here.relative_to(parent).parts)
    return ""


def _wants_color() -> bool:
    """Colours in a terminal that shows them. NO_COLOR wins; FORCE_COLOR other than 0 asks for them anywhere."""
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR", "")
    if forced:
        return forced.lower() not in ("0", "false")
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")


def _run_url() -> str:
    server, repository, run = (os.environ.get(f"GITHUB_{name}") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""


def emit(output: str, verdicts: Sequence[Verdict], report_path: str = "", *, judged: bool = True) -> None:
    """Write verdicts to standard output in the asked-for format; ``github`` also fills the job summary."""
    from evalkit.gate.report import renderer

    report = make_report(verdicts, report_path, judged=judged)
    if output == "github":
        _emit_github(report)
        return
    name = {"text": "terminal", "md": "markdown", "json": "json"}[output]
    click.echo(renderer(name)(report), nl=False, color=report.color)


def write_for_ci(verdicts: Sequence[Verdict], report_path: str, **files: Path | None) -> None:
    """Write the report in the forms, by renderer, for which there is a file."""
    from evalkit.atomic import write_text
    from evalkit.gate.report import renderer

    for name, path in files.items():
        if path is not None:
            write_text(path, renderer(name)(make_report(verdicts, report_path)))


def emit_last_line(verdicts: Sequence[Verdict]) -> None:
    """Write the line with which the text ends: the verdict and its sentence."""
    from evalkit.gate.report import renderer

    report = make_report(verdicts)
    click.echo(renderer("terminal")(report).splitlines()[-1], color=report.color)


def _emit_github(report: Report) -> None:
    """Summary, outputs, the text where the runner reads no commands, and the annotations."""
    from evalkit.cli.outputs import add_outputs, add_summary, outputs_of
    from evalkit.gate.report import renderer
    from evalkit.github import annotate, shielded

    add_summary(report)
    add_outputs(outputs_of(report))
    click.echo(shielded(renderer("terminal")(report)), nl=False, color=report.color)
    for line in annotate(report):
        click.echo(line)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain table: a line a row, columns as wide as they need, numbers to the right."""
    from evalkit.text import log_safe

    cells = [[log_safe(" ".join(str(cell).split())) for cell in line] for line in rows]
    widths = [max(len(header), *(len(line[index]) for line in cells), 0) for index, header in enumerate(headers)]
    right = [
        bool(cells) and all(line[index][:1].isdigit() or line[index][:1] in "$–-−+" for line in cells if line[index])
        for index in range(len(headers))
    ]

    def fit(line: Sequence[str]) -> str:
        parts = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return "\n".join([fit(headers), *(fit(line) for line in cells)])
