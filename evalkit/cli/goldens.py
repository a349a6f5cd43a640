"""``evalkit goldens``."""

from __future__ import annotations

import datetime as dt
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.common import format_option, get_project, note, table

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

    from evalkit.goldens import Card, Finding, GoldenSet
    from evalkit.goldens.diff import GoldenDiff, KeyChange
    from evalkit.records import Case
    from evalkit.workflow import Workflow

__all__ = ["command"]

PATH = click.Path(path_type=Path)
_VALUES = 20
"""Values of one key that `show` names; the others are counted."""


@click.group("goldens")
def command() -> None:
    """Golden sets: versioned sets of cases. A set is a folder with a card, or one file."""


def _line(text: str) -> str:
    """Foreign text as one line that a terminal and a CI log can take."""
    from evalkit.text import excerpt, log_safe

    return log_safe(excerpt(text, 400))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _built(golden: GoldenSet) -> str:
    size = _count(golden.count, "case")
    return _line(f"{golden.name}@{golden.version}: {size}, content {golden.digest}")


@command.command("validate")
@click.argument("sets", nargs=-1, type=PATH)
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@click.option(
    "--near-duplicates/--no-near-duplicates",
    default=None,
    help="Look for near copies, in very large sets too: the work grows with the square of the cases.  "
    "[default: in sets of up to 20,000 cases]",
)
@format_option("text", "json")
def validate_(sets: tuple[Path, ...], strict: bool, near_duplicates: bool | None, output: str) -> int:
    """Check SETS (default all of the project): schema, duplicates, expectations, tools, slices, the card."""
    from evalkit.errors import ExitCode
    from evalkit.goldens import load_and_validate
    from evalkit.goldens.jsonl import safe_json

    findings: list[tuple[str, Finding]] = []
    for name, location, version, workflow in _sets(sets):
        documents = workflow.corpus.documents if workflow and workflow.corpus else ()
        golden, found = load_and_validate(
            location,
            version,
            tools=workflow.tools if workflow else (),
            corpus_ids=frozenset(document.id for document in documents),
            near_duplicates=near_duplicates,
        )
        findings += [(name, finding) for finding in found]
        alone = "" if workflow else ", without the tools and documents of a workflow"
        size = _count(golden.count, "case")
        note(_line(f"{name}: {golden.name}@{golden.version}, {size}, content {golden.digest[:12]}{alone}"))
    levels = [finding.level for _, finding in findings]
    if output == "json":
        click.echo(safe_json([{"set": name, **_plain(finding)} for name, finding in findings], indent=1))
    else:
        if findings:
            click.echo(_findings(findings))
        click.echo(", ".join(_count(levels.count(level), level) for level in ("error", "warning", "note")))
    failed = "error" in levels or (strict and "warning" in levels)
    return int(ExitCode.GOLDEN_SET) if failed else int(ExitCode.PASS)


def _plain(finding: Finding) -> dict[str, str]:
    return {key: getattr(finding, key) for key in ("level", "rule", "message", "case_id", "key")}


def _findings(findings: Sequence[tuple[str, Finding]]) -> str:
    """A table of findings; it names the sets where there are several."""
    rows = [[name, f.level, f.rule, ": ".join(filter(None, (f.case_id, f.key))), f.message] for name, f in findings]
    headers = ["set", "level", "rule", "where", "finding"]
    first = 0 if len({name for name, _ in findings}) > 1 else 1
    return table(headers[first:], [[_line(cell) for cell in row[first:]] for row in rows])


def _sets(paths: tuple[Path, ...]) -> Iterator[tuple[str, Path, str | None, Workflow | None]]:
    """The sets to check, where they are, in which version, each with its workflow where a project is at hand."""
    workflows = _workflows(needed=not paths)
    for path in paths:
        here = (path.resolve(), path.resolve().parent)
        owner = next((workflow for workflow in workflows.values() if workflow.golden_path.resolve() in here), None)
        yield str(path), path, None, owner
    if not paths:
        for name, workflow in workflows.items():
            yield name, workflow.golden_path, workflow.spec.golden_version, workflow


def _workflows(*, needed: bool) -> dict[str, Workflow]:
    from evalkit.errors import ConfigError
    from evalkit.workflow import load_workflow

    try:
        project = get_project()
    except ConfigError:
        if needed:
            raise
        return {}
    try:
        return {name: load_workflow(project, name) for name in project.names()}
    except ConfigError as error:
        if needed:
            raise
        note(_line(f"note: the project cannot be read, and its tools and documents are not checked: {error}"))
        return {}


@command.command("show")
@click.argument("golden_set", metavar="SET", type=PATH)
@click.argument("case_id", metavar="[CASE]", required=False)
@click.option("--version", help="Version; default the newest.")
@format_option("text", "json")
def show(golden_set: Path, case_id: str | None, version: str | None, output: str) -> None:
    """Show what SET holds, or one CASE of it (always as JSON)."""
    from evalkit.goldens import case_to_json, load
    from evalkit.goldens.jsonl import safe_json

    golden = load(golden_set, version)
    if case_id is not None:
        click.echo(safe_json(case_to_json(golden.case(case_id)), indent=2))
    elif output == "json":
        click.echo(safe_json(_summary(golden), indent=1))
    else:
        click.echo("\n".join(_line(line) for line in _description(golden)))
        counts = _counts(golden)
        width = max(map(len, counts))
        for key, values in counts.items():
            click.echo(f"{_line(key).ljust(width)}  {_line(_most_common(values))}")


def _counts(golden: GoldenSet) -> dict[str, Counter[str]]:
    """How many cases have which expectation, slice and tag."""
    from collections import Counter

    counts: dict[str, Counter[str]] = {"expected": Counter()}
    for case, _ in golden.iter_cases():
        counts["expected"][case.expect.behaviour] += 1
        for key, value in {**case.slice_keys, "tenant": case.tenant}.items():
            counts.setdefault(key, Counter())[value] += 1
        for tag in case.tags:
            counts.setdefault("tags", Counter())[tag] += 1
    return counts


def _most_common(values: Counter[str]) -> str:
    named = ", ".join(f"{value} {count}" for value, count in values.most_common(_VALUES))
    rest = len(values) - _VALUES
    return f"{named} and {rest:,} more" if rest > 0 else named


def _figures(golden: GoldenSet) -> dict[str, int]:
    figures = {"critical": 0, "with tool calls": 0, "with documents": 0, "conversations": 0}
    for case, _ in golden.iter_cases():
        figures["critical"] += case.critical
        figures["with tool calls"] += case.expect.tools is not None and any(case.expect.tools.alternatives)
        figures["with documents"] += bool(case.context)
        figures["conversations"] += len(case.input) > 1
    return figures


def _description(golden: GoldenSet) -> Iterator[str]:
    yield f"{golden.name}@{golden.version} · {_count(golden.count, 'case')} · content {golden.digest}"
    if golden.card:
        card = golden.card
        yield from textwrap.wrap(card.description, 100)
        yield f"owner {card.owner} <{card.contact}> · {card.licence} · refresh due {card.refresh_due}"
        for change in card.changelog:
            if change.version == golden.version:
                yield f"built {change.date}" + (f": {change.note}" if change.note else "")
    yield " · ".join(f"{name} {number:,}" for name, number in _figures(golden).items())


def _summary(golden: GoldenSet) -> dict[str, Any]:
    card = golden.card.model_dump(mode="json", exclude={"changelog"}) if golden.card else None
    return {
        "name": golden.name,
        "version": golden.version,
        "digest": golden.digest,
        "cases": golden.count,
        "card": card,
        **{name.replace(" ", "_"): number for name, number in _figures(golden).items()},
        "counts": {key: dict(values.most_common()) for key, values in _counts(golden).items()},
    }


@command.command("diff")
@click.argument("before", type=PATH)
@click.argument("after", type=PATH)
@click.option("--before-version", help="Version of BEFORE; default the newest.")
@click.option("--after-version", help="Version of AFTER; default the newest.")
@format_option("text", "json")
def diff_(before: Path, after: Path, before_version: str | None, after_version: str | None, output: str) -> None:
    """Compare two golden sets, or two versions of one, case by case."""
    from evalkit.goldens import diff, load
    from evalkit.goldens.jsonl import safe_json

    result = diff(load(before, before_version), load(after, after_version))
    click.echo(safe_json(_diff_json(result), indent=1) if output == "json" else "\n".join(_diff_lines(result)))


def _diff_json(result: GoldenDiff) -> dict[str, Any]:
    return {
        "before": result.before,
        "after": result.after,
        "added": [case.id for case in result.added],
        "removed": [case.id for case in result.removed],
        "changed": [{"case_id": change.case_id, "keys": list(change.keys)} for change in result.changed],
        "unchanged": result.unchanged,
    }


def _diff_lines(result: GoldenDiff) -> Iterator[str]:
    for sign, cases in (("+", result.added), ("−", result.removed)):
        for case in cases:
            yield _line(f"{sign} {case.id}")
    for change in result.changed:
        yield _line(f"~ {change.case_id}")
        for value in change.values:
            yield "    " + _line(f"{value.key}: {_change(value)}")
    yield _line(
        f"{result.before} → {result.after}: {len(result.added)} added, {len(result.removed)} removed, "
        f"{len(result.changed)} changed, {result.unchanged} unchanged"
    )


def _change(value: KeyChange) -> str:
    """Both values, cut to where they begin to differ."""
    from evalkit.text import excerpt

    pairs = enumerate(zip(value.before, value.after, strict=False))
    same = next((index for index, (old, new) in pairs if old != new), 0)
    start = same - 20 if same > 40 else 0
    lead = "…" if start else ""
    old, new = (lead + excerpt(text[start:], 70) if text else "(none)" for text in (value.before, value.after))
    return f"{old} → {new}"


@command.command("build")
@click.argument("source", type=PATH)
@click.option("--to", "folder", type=PATH, required=True, help="Folder of the golden set.")
@click.option("--version", required=True, help="Version to build, for example 2026.11.0.")
@click.option("--note", "changelog", default="", help="What changed and why, for the changelog.")
@click.option("--owner", help="For a new card.")
@click.option("--contact", help="For a new card.")
@click.option("--licence", default="LicenseRef-Proprietary", show_default=True, help="For a new card.")
def build_(
    source: Path, folder: Path, version: str, changelog: str, owner: str | None, contact: str | None, licence: str
) -> None:
    """Build a version of a golden set from SOURCE (JSON lines) and enter it into the card."""
    from evalkit.goldens import load_jsonl

    click.echo(_build(load_jsonl(source), source, folder, version, changelog, _card(folder, owner, contact, licence)))


def _build(cases: list[Case], source: Path, folder: Path, version: str, changelog: str, card: Card) -> str:
    """Build and say what was built; cases with errors are refused, all errors named."""
    from evalkit.errors import GoldenSetError
    from evalkit.goldens import build, from_cases, validate

    checked = from_cases(card.name, version, cases, path=source)
    errors = [(str(source), finding) for finding in validate(checked) if finding.level == "error"]
    if errors:
        note(_findings(errors))
        raise GoldenSetError(
            f"{_count(len(errors), 'error')} in the cases: nothing was built",
            file=source,
            fix="correct the cases named above",
        )
    return _built(build(cases, folder, version, card=card, note=changelog))


def _card(folder: Path, owner: str | None, contact: str | None, licence: str) -> Card:
    from evalkit.goldens import Card, read_card

    if (folder / "card.yaml").exists():
        if owner or contact:
            note(_line(f"note: {folder / 'card.yaml'} is there already: owner and contact stay as it says"))
        return read_card(folder)
    if not owner or not contact:
        raise click.UsageError(f"{folder} has no card yet: give --owner and --contact")
    due = dt.date.today() + dt.timedelta(days=31)
    note(
        _line(
            f"note: a new card, {folder / 'card.yaml'}, says licence {licence} and refresh due {due}: correct it there"
        )
    )
    return Card(name=folder.resolve().name, owner=owner, contact=contact, licence=licence, refresh_due=due)


@command.command("import")
@click.argument("source", type=PATH)
@click.option("--from", "kind", help="Format of SOURCE; default by its content.")
@click.option("--to", "folder", type=PATH, help="Folder of the golden set to build; without it JSON lines are printed.")
@click.option("--version", default="imported", show_default=True, help="Version to build.")
@click.option("--owner", help="For a new card.")
@click.option("--contact", help="For a new card.")
@click.option("--licence", default="LicenseRef-Proprietary", show_default=True, help="For a new card.")
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
    card = _card(folder, owner, contact, licence)
    click.echo(_build(cases, source, folder, version, f"imported from {source.name}", card))


@command.command("export")
@click.argument("golden_set", metavar="SET", type=PATH)
@click.option("--version", help="Version; default the newest.")
@click.option("-o", "--output", type=PATH, help="File to write; default standard output.")
def export(golden_set: Path, version: str | None, output: Path | None) -> None:
    """Write the cases of SET as JSON lines, for editing; `goldens build` makes them a version again."""
    from evalkit.atomic import atomic_path
    from evalkit.goldens import dump_jsonl, load

    lines = (dump_jsonl([case]) for case, _ in load(golden_set, version).iter_cases())
    if output is None:
        for line in lines:
            click.echo(line, nl=False)
        return
    with atomic_path(output) as partial, partial.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
        file.writelines(lines)
    note(_line(f"wrote {output}"))
