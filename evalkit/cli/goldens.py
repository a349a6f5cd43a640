"""``evalkit goldens``."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.common import format_option, get_project, note, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.goldens import Card, Finding, GoldenSet
    from evalkit.workflow import Workflow

__all__ = ["command"]

PATH = click.Path(path_type=Path)


@click.group("goldens")
def command() -> None:
    """Golden sets: versioned sets of cases. A set is a folder with a card, or one file."""


@command.command("validate")
@click.argument("sets", nargs=-1, type=PATH)
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@format_option("text", "json")
def validate_(sets: tuple[Path, ...], strict: bool, output: str) -> int:
    """Check SETS (default all of the project): schema, duplicates, expectations, tools, slices, the card."""
    from evalkit.errors import ExitCode
    from evalkit.goldens import validate

    findings: list[tuple[str, Finding]] = []
    for name, golden, workflow in _sets(sets):
        documents = workflow.corpus.documents if workflow and workflow.corpus else ()
        found = validate(
            golden,
            tools=workflow.tools if workflow else (),
            corpus_ids=frozenset(document.id for document in documents),
        )
        findings += [(name, finding) for finding in found]
        note(f"{name}: {golden.name}@{golden.version}, {golden.table.num_rows:,} cases, content {golden.digest[:12]}")
    if output == "json":
        click.echo(json.dumps([{"set": name, **_plain(finding)} for name, finding in findings], indent=1))
    elif findings:
        rows = [[f.level, f.rule, f.case_id or f.key, f.message] for _, f in findings]
        click.echo(table(["level", "rule", "case", "finding"], rows))
    errors = sum(finding.level == "error" for _, finding in findings)
    warnings = sum(finding.level == "warning" for _, finding in findings)
    notes = len(findings) - errors - warnings
    if output == "text":
        click.echo(f"{errors} errors, {warnings} warnings, {notes} notes")
    return int(ExitCode.GOLDEN_SET) if errors or (strict and warnings) else int(ExitCode.PASS)


def _plain(finding: Finding) -> dict[str, str]:
    return {key: getattr(finding, key) for key in ("level", "rule", "message", "case_id", "key")}


def _sets(paths: tuple[Path, ...]) -> Iterator[tuple[str, GoldenSet, Workflow | None]]:
    """The sets to check, each with its workflow where a project is at hand."""
    from evalkit.errors import ConfigError
    from evalkit.goldens import load
    from evalkit.workflow import load_workflow

    try:
        project = get_project()
        workflows = {name: load_workflow(project, name) for name in project.names()}
    except ConfigError:
        if not paths:
            raise
        workflows = {}
    for path in paths:
        owner = next((w for w in workflows.values() if w.golden_path.resolve() == path.resolve()), None)
        yield str(path), load(path), owner
    if not paths:
        for name, workflow in workflows.items():
            yield name, load(workflow.golden_path, workflow.spec.golden_version), workflow


@command.command("show")
@click.argument("golden_set", metavar="SET", type=PATH)
@click.argument("case_id", metavar="[CASE]", required=False)
@click.option("--version", help="Version; default the newest.")
def show(golden_set: Path, case_id: str | None, version: str | None) -> None:
    """Show what SET holds, or one CASE of it."""
    from collections import Counter

    from evalkit.goldens import case_to_json, load

    golden = load(golden_set, version)
    if case_id is not None:
        click.echo(json.dumps(case_to_json(golden.case(case_id)), ensure_ascii=False, indent=2))
        return
    click.echo(f"{golden.name}@{golden.version} · {golden.table.num_rows:,} cases · content {golden.digest}")
    if golden.card:
        card = golden.card
        click.echo(f"owner {card.owner} <{card.contact}> · {card.licence} · refresh due {card.refresh_due}")
    counts: dict[str, Counter[str]] = {"expected": Counter(case.expect.behaviour for case in golden.cases)}
    for case in golden.cases:
        for key, value in case.slice_keys.items():
            counts.setdefault(key, Counter())[value] += 1
    critical = sum(case.critical for case in golden.cases)
    tools = sum(case.expect.tools is not None for case in golden.cases)
    turns = sum(len(case.input) > 1 for case in golden.cases)
    click.echo(f"critical {critical} · expecting something of tools {tools} · multi-turn {turns}")
    for key, values in counts.items():
        click.echo(f"{key}: " + ", ".join(f"{value} {count}" for value, count in values.most_common(20)))


@command.command("diff")
@click.argument("before", type=PATH)
@click.argument("after", type=PATH)
@click.option("--before-version", help="Version of BEFORE; default the newest.")
@click.option("--after-version", help="Version of AFTER; default the newest.")
def diff_(before: Path, after: Path, before_version: str | None, after_version: str | None) -> None:
    """Compare two golden sets, or two versions of one, case by case."""
    from evalkit.goldens import diff, load

    result = diff(load(before, before_version), load(after, after_version))
    for case in result.added:
        click.echo(f"+ {case.id}")
    for case in result.removed:
        click.echo(f"− {case.id}")
    for change in result.changed:
        click.echo(f"~ {change.case_id}: {', '.join(change.keys)}")
    click.echo(
        f"{result.before} → {result.after}: {len(result.added)} added, {len(result.removed)} removed, "
        f"{len(result.changed)} changed, {result.unchanged} unchanged"
    )


@command.command("build")
@click.argument("source", type=PATH)
@click.option("--to", "folder", type=PATH, required=True, help="Folder of the golden set.")
@click.option("--version", required=True, help="Version to build, for example 2026.11.0.")
@click.option("--note", "changelog", default="", help="What changed and why, for the changelog.")
@click.option("--owner", help="For a new card.")
@click.option("--contact", help="For a new card.")
@click.option("--licence", default="Apache-2.0", show_default=True, help="For a new card.")
def build_(
    source: Path, folder: Path, version: str, changelog: str, owner: str | None, contact: str | None, licence: str
) -> None:
    """Build a version of a golden set from SOURCE (JSON lines) and enter it into the card."""
    from evalkit.goldens import load_jsonl

    golden = _build(load_jsonl(source), folder, version, changelog, _card(folder, owner, contact, licence))
    click.echo(f"{golden.name}@{golden.version}: {golden.table.num_rows:,} cases, content {golden.digest}")


def _build(cases, folder: Path, version: str, changelog: str, card: Card) -> GoldenSet:  # type: ignore[no-untyped-def]
    from evalkit.errors import GoldenSetError
    from evalkit.goldens import build, from_cases, validate

    checked = from_cases(card.name, version, cases)
    errors = [finding for finding in validate(checked) if finding.level == "error"]
    if errors:
        first = errors[0]
        raise GoldenSetError(
            f"{first.message} ({len(errors)} errors in all)", key=f"{first.case_id}: {first.key}",
            fix="evalkit goldens validate lists them",
        )  # fmt: skip
    return build(cases, folder, version, card=card, note=changelog)


def _card(folder: Path, owner: str | None, contact: str | None, licence: str) -> Card:
    from evalkit.goldens import Card, read_card

    if (folder / "card.yaml").exists():
        return read_card(folder)
    if not owner or not contact:
        raise click.UsageError(f"{folder} has no card yet: give --owner and --contact")
    due = dt.date.today() + dt.timedelta(days=31)
    return Card(name=folder.name, owner=owner, contact=contact, licence=licence, refresh_due=due)


@command.command("import")
@click.argument("source", type=PATH)
@click.option("--from", "kind", help="Format of SOURCE; default by its content.")
@click.option("--to", "folder", type=PATH, help="Folder of the golden set to build; without it JSON lines are printed.")
@click.option("--version", default="imported", show_default=True, help="Version to build.")
@click.option("--owner", help="For a new card.")
@click.option("--contact", help="For a new card.")
@click.option("--licence", default="Apache-2.0", show_default=True, help="For a new card.")
def import_(
    source: Path,
    kind: str | None,
    folder: Path | None,
    version: str,
    owner: str | None,
    contact: str | None,
    licence: str,
) -> None:
    """Import cases from SOURCE: JSON lines, CSV, Parquet, a promptfoo test file, OpenAI evals samples."""
    from evalkit.goldens import dump_jsonl
    from evalkit.goldens.importers import import_cases

    cases, notes = import_cases(source, kind)
    for text in notes:
        note(f"note: {text}")
    if folder is None:
        click.echo(dump_jsonl(cases), nl=False)
        return
    golden = _build(cases, folder, version, f"imported from {source.name}", _card(folder, owner, contact, licence))
    click.echo(f"{golden.name}@{golden.version}: {golden.table.num_rows:,} cases, content {golden.digest}")


@command.command("export")
@click.argument("golden_set", metavar="SET", type=PATH)
@click.option("--version", help="Version; default the newest.")
@click.option("-o", "--output", type=PATH, help="File to write; default standard output.")
def export(golden_set: Path, version: str | None, output: Path | None) -> None:
    """Write the cases of SET as JSON lines, for editing; `goldens build` makes them a version again."""
    from evalkit.atomic import write_text
    from evalkit.goldens import dump_jsonl, load

    text = dump_jsonl(load(golden_set, version).cases)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_text(output, text)
        note(f"wrote {output}")
