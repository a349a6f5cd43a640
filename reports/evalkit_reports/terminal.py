"""The verdict in a terminal: what changed, the gate, the broken cases, and the sentence last."""

from __future__ import annotations

import io
import shlex

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from evalkit._version import __version__
from evalkit.gate import CaseResult, RuleResult, Verdict
from evalkit.gate.report import Report
from evalkit.gate.words import count_of
from evalkit.quantities import format_money
from evalkit.text import log_safe
from evalkit_reports.common import (
    NOTHING_JUDGED,
    SYMBOLS,
    Row,
    acceptance_text,
    headline,
    history_lines,
    is_quiet,
    leading_cases,
    made,
    next_steps,
    open_notes,
    reason,
    row,
    rule_order,
)
from evalkit_reports.excerpts import cut, cut_pair

__all__ = ["render"]

_STYLES = {
    "BLOCKED": "bold red",
    "ERROR": "bold red",
    "NOT COMPARABLE": "bold yellow",
    "INCONCLUSIVE": "bold yellow",
    "PASS with notes": "bold green",
    "PASS": "bold green",
    "block": "red",
    "error": "red",
    "inconclusive": "yellow",
    "not_comparable": "yellow",
    "note": "yellow",
    "pass": "green",
}
_CASES = 3
_GROUPS = 4
_ACCEPTED = 5
_SAID = 150
"""Cells of what was asked or said, at most; less where the terminal is narrow."""


def render(report: Report) -> str:
    """The report as text, with colours when they are wanted. The last line is the verdict."""
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=max(60, report.width),
        force_terminal=report.color,
        no_color=not report.color,
        color_system="standard" if report.color else None,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )
    simulated = " · simulated models" if report.simulated else ""
    quiet = [verdict for verdict in report.ordered if report.judged and is_quiet(verdict)]
    told = [verdict for verdict in report.ordered if verdict not in quiet]
    alone = told[0] if len(report.verdicts) == len(told) == 1 else None
    subject = f" · {alone.workflow} · {headline(alone)}" if alone else ""
    console.print(_text(f"evalkit {__version__}{subject}{simulated}", "dim" if alone is None else "bold"))
    for verdict in told:
        if verdict is not alone:
            console.print("")
            console.print(Text.assemble(_text(verdict.workflow, "bold"), _text(f"  {headline(verdict)}", "dim")))
        _workflow(console, verdict, judged=report.judged)
    if quiet:
        console.print("")
    for verdict in quiet:
        name = _text(f"{SYMBOLS[verdict.verdict]} {verdict.workflow}", _STYLES[verdict.verdict])
        console.print(Text.assemble(name, _text(f"  {verdict.verdict}: {verdict.sentence}")))
    if report.report_path:
        console.print("")
        console.print(_text(f"report  {report.report_path}", "dim"))
    if report.judged:
        _next(console, report)
    console.print("")
    _last_line(console, report)
    return "".join(f"{line.rstrip(' ')}\n" for line in buffer.getvalue().splitlines())


def _text(text: str, style: str = "") -> Text:
    """Every text goes through here: nothing in it is a command to the terminal or to a CI log."""
    return Text(log_safe(" ".join(text.split("\n"))), style=style)


def _next(console: Console, report: Report) -> None:
    """What to do about one workflow, or the first thing to do about each."""
    found = [steps for steps in map(next_steps, report.ordered) if steps]
    chosen = found[0][:2] if len(found) == 1 else [steps[0] for steps in found]
    if chosen and not report.report_path:
        console.print("")
    for step in chosen:
        told = _text(f"  ({step.what})" if step.command else "", "dim")
        console.print(Text.assemble(_text(f"next    {step.command or step.what}"), told))


def _paragraph(console: Console, label: str, text: str, style: str = "") -> None:
    """A label and a text, whose further lines begin below its first: a terminal would begin them at the edge."""
    lead = _text(label)
    lines = _text(text).wrap(console, max(20, console.width - lead.cell_len))
    for number, line in enumerate(lines):
        # what was within a line may begin one now, as a command to a CI log must
        shown = Text.assemble(lead if number == 0 else " " * lead.cell_len, _text(line.plain))
        shown.stylize(style)
        console.print(shown)


def _workflow(console: Console, verdict: Verdict, *, judged: bool) -> None:
    if verdict.baseline_run:
        changed = ", ".join(f"{change.kind} {change.name}" for change in verdict.changes) or "nothing"
        _paragraph(console, "  changed  ", changed)
    calls = f"{count_of(verdict.model_calls, 'model call')}, {format_money(verdict.cost_microusd)}"
    console.print(_text(f"  made     {made(verdict)}, {calls}"))
    console.print("")
    _gate(console, verdict, judged=judged)
    for line in history_lines(verdict):
        _paragraph(console, "  history: ", line, "dim")
    for note in open_notes(verdict):
        _paragraph(console, "  note: ", note, "yellow")
    for item in verdict.acceptances[:_ACCEPTED]:
        style = "red" if item.state in ("expired", "refused") else "yellow"
        _paragraph(console, "  accepted: ", acceptance_text(item), style)
    if len(verdict.acceptances) > _ACCEPTED:
        console.print(_text(f"  accepted: … {len(verdict.acceptances) - _ACCEPTED} more in the report", "yellow"))
    _groups(console, verdict)
    _cases(console, verdict)


def _groups(console: Console, verdict: Verdict) -> None:
    """What broken cases share, where they share anything."""
    if not verdict.groups or verdict.groups[0].kind == "rest":
        return
    console.print("")
    console.print(_text("  what broken cases share", "bold"))
    for group in verdict.groups[:_GROUPS]:
        _paragraph(console, f"  {group.size:>5,}  ", f"{group.sentence} For example {group.example}.")
    if len(verdict.groups) > _GROUPS:
        console.print(_text(f"  … {len(verdict.groups) - _GROUPS} more groups in the report", "dim"))


def _gate(console: Console, verdict: Verdict, *, judged: bool) -> None:
    """The rules as a table, without the limits where it would not fit, and as a list where that does not either."""
    unbounded = console.options.update(width=10_000)
    for limits in (True, False) if judged else (False,):
        table = _gate_table(verdict, limits=limits, judged=judged)
        if Measurement.get(console, unbounded, table).maximum <= console.width:
            console.print(table)
            return
    for rule in rule_order(verdict.rules):
        cells = row(rule, judged=judged)
        console.print(_text(f"  {cells.symbol} {cells.name}", _style(rule, cells)))
        console.print(_text(f"      {cells.baseline} → {cells.candidate}  {cells.change}".rstrip()))


def _style(rule: RuleResult, cells: Row) -> str:
    return "dim" if cells.symbol == NOTHING_JUDGED else _STYLES[rule.status]


def _gate_table(verdict: Verdict, *, limits: bool, judged: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", collapse_padding=True)
    table.add_column("  gate", no_wrap=True)
    for name in ("baseline", "candidate"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("change", "rule") if limits else ("change",):
        table.add_column(name, no_wrap=True)
    for rule in rule_order(verdict.rules):
        cells = row(rule, judged=judged)
        first = Text.assemble(_text(f"  {cells.symbol} ", _style(rule, cells)), _text(cells.name))
        values = [cells.baseline, cells.candidate, cells.change, *([cells.limit] if limits else [])]
        table.add_row(first, *(_text(value) for value in values))
    return table


def _cases(console: Console, verdict: Verdict) -> None:
    heading, cases = leading_cases(verdict)
    if not cases:
        return
    console.print("")
    console.print(_text(f"  {heading[0].lower()}{heading[1:]} ({len(cases)})", "bold"))
    for case in cases[:_CASES]:
        _case(console, case)
    if len(cases) > _CASES:
        which = " --blocking" if verdict.blocking else ""
        command = shlex.join(["evalkit", "show", verdict.candidate_run])
        console.print(_text(f"  … {len(cases) - _CASES:,} more: {command}{which}", "dim"))


def _case(console: Console, case: CaseResult) -> None:
    name = _text(f"  {SYMBOLS.get(case.status, '✖')} {case.case_id}", "red")
    critical = _text("  critical" if case.critical else "", "bold red")
    console.print(Text.assemble(name, critical, _text(f"  {reason(case)}")))
    room = min(_SAID, console.width - 8)
    if case.question:
        console.print(_text(f"      asked  {cut(log_safe(case.question), room - 5)}", "dim"))
    before = log_safe(" ".join([*case.baseline_calls, case.baseline_answer]).strip())
    now = log_safe(" ".join([*case.candidate_calls, case.candidate_answer]).strip())
    if before == now:
        lines = [("=", "", cut(now, room))]
    else:
        earlier, later = cut_pair(before, now, room)
        lines = [("−", "red", earlier), ("+", "green", later)]
    for mark, style, said in lines:
        if said:
            console.print(_text(f"      {mark} {said}", style))


def _last_line(console: Console, report: Report) -> None:
    if not report.judged:
        console.print(_text(" ".join(verdict.sentence for verdict in report.verdicts)))
        return
    worst = next(iter(report.ordered), None)
    if worst is None:
        sentence = ": No workflow was judged."
    elif len(report.verdicts) == 1:
        sentence = f": {worst.sentence}"
    else:
        parts = " · ".join(f"{verdict.workflow} {verdict.verdict}" for verdict in report.ordered)
        told = "." if report.verdict == "PASS" else f": {worst.workflow}: {worst.sentence}"
        sentence = f"{told} [{parts}]"
    console.print(Text.assemble(_text(report.verdict, _STYLES[report.verdict]), _text(sentence)))
