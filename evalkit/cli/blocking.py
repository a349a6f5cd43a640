"""``evalkit show RUN --blocking``: every case behind the block, with what was asked and answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from evalkit.cli.common import stored_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.gate import CaseResult, Verdict
    from evalkit.store import RunFolder
    from evalkit.workflow import Project

__all__ = ["show_blocking"]


def show_blocking(project: Project, folder: RunFolder, output: str) -> None:
    """Print the cases that the blocking rules of the newest verdict on a run name, worst first.

    Raises:
        UsageError: when the run was not judged.
    """
    from evalkit import codec
    from evalkit.text import log_safe

    verdict = stored_verdict(project, folder)
    found = _blocking(verdict)
    if output == "json":
        data = [{"rules": rules, "case": codec.plain(case)} for rules, case in found]
        click.echo(json.dumps(data, indent=1))
        return
    for rules, case in found:
        click.echo("\n".join(_lines(rules, case)))
    if not found:
        click.echo("no case is behind a block")
    click.echo(log_safe(f"{verdict.verdict}: {' '.join(verdict.sentence.split())}"))


def _blocking(verdict: Verdict) -> list[tuple[list[str], CaseResult]]:
    """Each case that a blocking rule names, with the rules."""
    named: dict[str, list[str]] = {}
    for rule in verdict.blocking:
        for case_id in rule.cases:
            named.setdefault(case_id, []).append(rule.id)
    return [(named[case.case_id], case) for case in verdict.cases if case.case_id in named]


def _lines(rules: list[str], case: CaseResult) -> Iterator[str]:
    from evalkit.text import log_safe

    def safe(text: str) -> str:
        return log_safe(" ".join(text.split()))

    critical = "  critical" if case.critical else ""
    yield f"✖ {safe(case.case_id)}{critical}  {safe(', '.join(rules))}"
    for item in case.graders:
        if item.candidate is not None and item.candidate < 1:
            passed = "" if item.candidate == 0 else f" ({item.candidate:.0%} of trials pass)"
            yield f"    {safe(item.grader)}: {safe(item.label or 'failed').replace('_', ' ')}{passed}"
    yield f"    asked  {safe(case.question)}"
    before, now = (
        safe(" ".join([*calls, answer]))
        for calls, answer in (
            (case.baseline_calls, case.baseline_answer),
            (case.candidate_calls, case.candidate_answer),
        )
    )
    for mark, said in (("=", now),) if before == now else (("−", before), ("+", now)):
        if said:
            yield f"    {mark} {said}"
