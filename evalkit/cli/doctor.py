"""``evalkit doctor``."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from evalkit.cli.common import get_project

if TYPE_CHECKING:
    from evalkit.store import RunFolder
    from evalkit.workflow import Project

__all__ = ["command"]

_PACKAGES = ("duckdb", "pyarrow", "pandas", "pydantic", "httpx", "scikit-learn", "scipy", "numpy", "jinja2", "click")


@click.command("doctor")
@click.option("--rebuild", is_flag=True, help="Make the catalogue anew from the stored runs.")
def command(rebuild: bool) -> int:
    """Check the project, its files and its store; the first thing to run when something is odd."""
    from evalkit._version import __version__
    from evalkit.errors import EvalkitError, ExitCode
    from evalkit.gate.words import count_of
    from evalkit.store import Catalogue
    from evalkit.text import log_safe

    click.echo(f"evalkit {__version__} on Python {platform.python_version()}, {platform.system()}")
    click.echo("  " + ", ".join(f"{name} {version(name)}" for name in _PACKAGES))
    project = get_project()
    if rebuild:
        click.echo(f"✔ catalogue rebuilt: {count_of(Catalogue(project.store).rebuild(), 'run')}")
    worst = int(ExitCode.PASS)
    for name, check in _checks(project):
        try:
            click.echo(f"✔ {name}: {check()}")
        except EvalkitError as error:
            click.echo(log_safe(f"✖ {name}: {error}"))
            worst = worst or int(error.exit_code)
    click.echo("all is well" if worst == 0 else "something is wrong, see above")
    return worst


def _checks(project: Project) -> Iterator[tuple[str, Callable[[], str]]]:
    from evalkit.gate.words import count_of

    yield "project", lambda: f"{project.source.path}, {count_of(len(project.spec.workflows), 'workflow')}"
    yield "store", _store(project)
    yield "baselines", _baselines(project)
    yield "graders", _graders(project)
    for name in project.names():
        yield f"workflow {name}", _workflow(project, name)


def _graders(project: Project) -> Callable[[], str]:
    def check() -> str:
        from evalkit.grading import available

        found = available(project.root)
        for info in found.values():
            info.grader_class()
        return ", ".join(found)

    return check


def _workflow(project: Project, name: str) -> Callable[[], str]:
    def check() -> str:
        from evalkit.engine.prepare import prepare
        from evalkit.engine.targets import Targets
        from evalkit.errors import GoldenSetError
        from evalkit.fingerprint import short
        from evalkit.gate.words import count_of
        from evalkit.goldens import validate
        from evalkit.workflow.spec import ModelSpec

        targets = Targets(project)
        candidate = prepare(project, name, targets)
        for grader in candidate.grading.graders:
            for model in grader.models_asked():  # a key that is not there is an error of every score later
                targets.provider(ModelSpec(model=model).provider)
        findings = validate(candidate.golden, tools=candidate.workflow.tools)
        errors = [finding for finding in findings if finding.level == "error"]
        if errors:
            first = errors[0]
            raise GoldenSetError(
                f"{first.message} ({len(errors)} errors)", file=candidate.golden.path, key=first.case_id
            )
        configuration, golden = candidate.workflow.configuration, candidate.golden
        return (
            f"{count_of(len(configuration.components), 'component')} {short(configuration.fingerprint)}, "
            f"{golden.name}@{golden.version} with {count_of(golden.count, 'case')}"
        )

    return check


def _store(project: Project) -> Callable[[], str]:
    def check() -> str:
        from evalkit.gate.words import count_of
        from evalkit.store import Catalogue, Runs, Verdicts

        runs = Runs(project.store)
        runs.prepare()
        Catalogue(project.store).check()
        folders = runs.all()
        for folder in folders:
            _check_run(folder)
        verdicts = sum(1 for _ in Verdicts(project.store).all())
        left = len(runs.partial_journals())
        unfinished = f", {left} unfinished (run again to go on)" if left else ""
        return f"{project.store}, {count_of(len(folders), 'run')}, {count_of(verdicts, 'verdict')}{unfinished}"

    return check


def _check_run(folder: RunFolder) -> None:
    """That the record and its segments can be read and fit each other; of traces only that they are as many."""
    from evalkit.errors import StoreError
    from evalkit.store.segments import count_rows, read_segment_schema

    stated, found = folder.run.trials, folder.trials().num_rows
    if stated != found:
        raise StoreError(
            f"the run's record says {stated} trials, the segment holds {found}", file=folder.path,
            fix="bring the folder back from a copy, or remove it and run again",
        )  # fmt: skip
    folder.scores()
    traces = folder.path / "traces.parquet"
    read_segment_schema(traces)
    if count_rows(traces) != stated:
        raise StoreError(
            f"the run's record says {stated} trials, the segment holds {count_rows(traces)} traces", file=traces,
            fix="bring the folder back from a copy, or remove it and run again",
        )  # fmt: skip


def _baselines(project: Project) -> Callable[[], str]:
    def check() -> str:
        from evalkit.gate.compare import find_baseline
        from evalkit.store import Baselines

        known = Baselines(project.store).all()
        for baseline in known:
            find_baseline(project, baseline.workflow, baseline.name)
        return ", ".join(f"{baseline.name} of {baseline.workflow}" for baseline in known) or "none yet"

    return check
