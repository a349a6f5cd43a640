"""The verdict in a terminal: what changed, the gate, the broken cases, and the sentence last."""

from __future__ import annotations

import io

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from evalkit._version import __version__
from evalkit.gate import CaseResult, RuleResult, Verdict
from evalkit.gate.report import Report
from evalkit.gate.words import count_of
from evalkit.quantities import format_money
from evalkit.text import excerpt, log_safe
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
    console.print(_text(f"evalkit {__version__}{simulated}", "dim"))
    quiet = [verdict for verdict in report.ordered if report.judged and is_quiet(verdict)]
    for verdict in (verdict for verdict in report.ordered if verdict not in quiet):
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


def _workflow(console: Console, verdict: Verdict, *, judged: bool) -> None:
    console.print("")
    console.print(Text.assemble(_text(verdict.workflow, "bold"), _text(f"  {headline(verdict)}", "dim")))
    if verdict.baseline_run:
        changed = ", ".join(f"{change.kind} {change.name}" for change in verdict.changes) or "nothing"
        console.print(_text(f"  changed  {changed}"))
    calls = f"{count_of(verdict.model_calls, 'model call')}, {format_money(verdict.cost_microusd)}"
    console.print(_text(f"  made     {made(verdict)}, {calls}"))
    console.print("")
    _gate(console, verdict, judged=judged)
    for line in history_lines(verdict):
        console.print(_text(f"  history: {line}", "dim"))
    for note in open_notes(verdict):
        console.print(_text(f"  note: {note}", "yellow"))
    for item in verdict.acceptances[:_ACCEPTED]:
        style = "red" if item.state in ("expired", "refused") else "yellow"
        console.print(_text(f"  accepted: {acceptance_text(item)}", style))
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
        console.print(_text(f"  {group.size:>5,}  {group.sentence} For example {group.example}."))
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
        console.print(_text(f"  … {len(cases) - _CASES} more: evalkit show {verdict.candidate_run}", "dim"))


def _case(console: Console, case: CaseResult) -> None:
    name = _text(f"  {SYMBOLS.get(case.status, '✖')} {case.case_id}", "red")
    critical = _text("  critical" if case.critical else "", "bold red")
    console.print(Text.assemble(name, critical, _text(f"  {reason(case)}")))
    console.print(_text(f"      asked  {excerpt(case.question, 110)}", "dim"))
    before = " ".join([*case.baseline_calls, case.baseline_answer]).strip()
    now = " ".join([*case.candidate_calls, case.candidate_answer]).strip()
    for mark, style, said in (("=", "", now),) if before == now else (("−", "red", before), ("+", "green", now)):
        if said:
            console.print(_text(f"      {mark} {excerpt(said, 150)}", style))


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
