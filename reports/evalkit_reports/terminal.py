"""The verdict in a terminal: what changed, the gate, the broken cases, and the sentence last."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evalkit._version import __version__
from evalkit.gate import CaseResult, Verdict
from evalkit.gate.report import Report
from evalkit.gate.words import count_of
from evalkit.quantities import format_money
from evalkit.text import excerpt, log_safe
from evalkit_reports.common import SYMBOLS, blocking_cases, headline, reason, row, rule_order

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
        soft_wrap=True,
    )
    simulated = " · simulated models" if report.simulated else ""
    console.print(Text(f"evalkit {__version__}{simulated}", style="dim"))
    quiet = [verdict for verdict in report.ordered if _is_quiet(verdict)]
    for verdict in (verdict for verdict in report.ordered if not _is_quiet(verdict)):
        _workflow(console, verdict)
    for verdict in quiet:
        quiet_line = Text("\n" if verdict is quiet[0] else "")
        quiet_line.append(f"{SYMBOLS[verdict.verdict]} {verdict.workflow}", style=_STYLES[verdict.verdict])
        console.print(quiet_line.append(f"  {verdict.verdict}: {verdict.sentence}"))
    if report.report_path:
        console.print(Text(f"\nreport  {report.report_path}", style="dim"))
    _last_line(console, report)
    return buffer.getvalue()


def _is_quiet(verdict: Verdict) -> bool:
    """A workflow that nothing happened to gets one line."""
    return verdict.verdict == "PASS" and all(rule.touched == 0 for rule in verdict.rules)


def _workflow(console: Console, verdict: Verdict) -> None:
    console.print(Text(f"\n{verdict.workflow}", style="bold").append(f"  {headline(verdict)}", style="not bold dim"))
    changed = ", ".join(f"{change.kind} {change.name}" for change in verdict.changes) or "nothing"
    console.print(Text(f"  changed  {changed}"))
    trials = f"{count_of(verdict.trials, 'trial')}, {verdict.reused:,} reused"
    calls = f"{count_of(verdict.model_calls, 'model call')}, {format_money(verdict.cost_microusd)}"
    console.print(Text(f"  made     {trials}, {calls}\n"))
    console.print(_gate_table(verdict))
    for note in verdict.notes:
        console.print(Text(f"  note: {log_safe(note)}", style="yellow"))
    _cases(console, verdict)


def _gate_table(verdict: Verdict) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", collapse_padding=True)
    table.add_column("  gate", no_wrap=True)
    for name in ("baseline", "candidate"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("change", no_wrap=True)
    table.add_column("rule", no_wrap=True)
    for rule in rule_order(verdict.rules):
        cells = row(rule)
        first = Text("  ").append(f"{cells.symbol} ", style=_STYLES[rule.status]).append(log_safe(cells.name))
        table.add_row(first, cells.baseline, cells.candidate, cells.change, log_safe(cells.limit))
    return table


def _cases(console: Console, verdict: Verdict) -> None:
    cases = blocking_cases(verdict)
    if not cases:
        return
    blocked = any(rule.status == "block" for rule in verdict.rules)
    title = "cases behind the block" if blocked else "cases that got worse"
    console.print(Text(f"\n  {title} ({len(cases)})", style="bold"))
    for case in cases[:_CASES]:
        _case(console, case)
    if len(cases) > _CASES:
        console.print(Text(f"  … {len(cases) - _CASES} more: evalkit show {verdict.candidate_run}", style="dim"))


def _case(console: Console, case: CaseResult) -> None:
    head = Text("  ").append(f"{SYMBOLS.get(case.status, '✖')} {log_safe(case.case_id)}", style="red")
    if case.critical:
        head.append("  critical", style="bold red")
    console.print(head.append(f"  {log_safe(reason(case))}"))
    console.print(Text(f"      asked  {log_safe(excerpt(case.question, 110))}", style="dim"))
    for mark, style, answer, calls in (
        ("−", "red", case.baseline_answer, case.baseline_calls),
        ("+", "green", case.candidate_answer, case.candidate_calls),
    ):
        said = " ".join([*calls, answer]).strip()
        if said:
            console.print(Text(f"      {mark} {log_safe(excerpt(said, 150))}", style=style))


def _last_line(console: Console, report: Report) -> None:
    if not report.judged:
        console.print(Text("\n" + " ".join(verdict.sentence for verdict in report.verdicts)))
        return
    if len(report.verdicts) == 1:
        only = report.verdicts[0]
        console.print(
            Text(f"\n{only.verdict}", style=_STYLES[only.verdict]).append(f": {only.sentence}", style="not bold")
        )
        return
    parts = [f"{verdict.workflow} {verdict.verdict}" for verdict in report.ordered]
    worst = next(iter(report.ordered), None)
    sentence = f": {worst.workflow}: {worst.sentence}" if worst and report.verdict != "PASS" else ""
    last = Text(f"\n{report.verdict}", style=_STYLES[report.verdict])
    console.print(last.append(f"{sentence or '.'} [{' · '.join(parts)}]", style="not bold"))
