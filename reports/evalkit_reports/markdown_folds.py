"""What a reviewer may want to know besides, as Markdown that is folded."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.gate import Verdict
from evalkit.gate.words import count_of
from evalkit.quantities import format_money
from evalkit.text import excerpt
from evalkit_reports.common import history_lines, made
from evalkit_reports.markdown_text import inline
from evalkit_reports.routes import ROUTE_HEADS, route_rows

__all__ = ["caveats", "cost_and_latency", "folded"]

_MOST = 20
_MEASURED = ("seconds", "dollars")


def folded(title: str, lines: Sequence[str]) -> list[str]:
    """Lines behind a title to click on. The title is ours: text from outside goes through ``html`` first."""
    shown = list(lines)
    while shown and not shown[-1]:
        shown.pop()
    while shown and not shown[0]:
        shown.pop(0)
    return [f"<details><summary>{title}</summary>", "", *shown, "", "</details>"] if shown else []


def cost_and_latency(verdict: Verdict) -> list[str]:
    """What it costs and how long it takes, by the rules that say so, and what this run cost."""
    measured = [rule for rule in verdict.rules if rule.unit in _MEASURED or rule.grader == "tokens"]
    lines = [f"- {inline(excerpt(rule.sentence, 400))}" for rule in measured[:_MOST]]
    spent = f"{count_of(verdict.model_calls, 'model call')}, {format_money(verdict.cost_microusd)}"
    lines.append(f"- this run: {made(verdict)}, {spent}")
    if verdict.confirmation_calls:
        again = f"{count_of(verdict.confirmation_calls, 'call')}, {format_money(verdict.confirmation_microusd)}"
        lines.append(f"- of the candidate and a fresh baseline side by side: {again}")
    rows = route_rows(verdict)
    if rows:
        cells = [[inline(excerpt(cell, 60)) for cell in row] for row in rows]
        lines += ["", _line(ROUTE_HEADS), "|---|--:|--:|--:|--:|", *map(_line, cells)]
    return folded("Cost and latency", lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def caveats(verdict: Verdict, notes: Sequence[str]) -> list[str]:
    """What the verdict does not cover, or rests on besides the two runs."""
    told = [*notes, *history_lines(verdict)]
    if verdict.counts.error:
        told.append(f"{count_of(verdict.counts.error, 'case')} could not be judged: a trial or a grader failed")
    if verdict.counts.flaky:
        told.append(f"{count_of(verdict.counts.flaky, 'case')} pass in some trials and fail in others: not counted")
    if verdict.counts.new or verdict.counts.removed:
        told.append(f"{verdict.counts.new:,} new and {verdict.counts.removed:,} removed cases are not compared")
    few = {(item.key, item.value): item.n for item in verdict.slices if item.small}
    for (key, value), cases in list(few.items())[:_MOST]:
        told.append(f"slice {excerpt(f'{key}={value}', 80)} has {count_of(cases, 'case')}: too few to judge")
    if len(few) > _MOST:
        told.append(f"… {len(few) - _MOST} more slices with too few cases")
    idle = [rule.id for rule in verdict.rules if rule.n == 0 and rule.baseline is None and rule.candidate is None]
    if idle:
        told.append(f"nothing to judge for {excerpt(', '.join(idle), 300)}")
    if verdict.simulated:
        told.append("answers come from simulated models")
    return folded("Not covered, caveats", [f"- {inline(excerpt(text, 400))}" for text in told])
