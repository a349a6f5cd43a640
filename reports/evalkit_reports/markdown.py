"""The verdict as Markdown, for a pull-request comment and a job summary: verdict first, what to do last.

Model text stands only in fenced blocks whose fence is longer than any run of backticks inside; everything else
goes through :mod:`evalkit_reports.markdown_text`.
"""

from __future__ import annotations

from dataclasses import dataclass

from evalkit._version import __version__
from evalkit.fingerprint import short
from evalkit.gate import Verdict
from evalkit.gate.report import Report
from evalkit.quantities import format_money
from evalkit.text import excerpt
from evalkit_reports.common import (
    SYMBOLS,
    Row,
    acceptance_text,
    commit_of,
    headline,
    is_quiet,
    made,
    next_steps,
    open_notes,
    row,
    rule_order,
)
from evalkit_reports.markdown_cases import changes, leading, others
from evalkit_reports.markdown_folds import caveats, cost_and_latency, folded
from evalkit_reports.markdown_text import address, code, inline, line

__all__ = ["LIMIT", "render"]

LIMIT = 60_000
"""Characters; a comment may have 65,536."""

_RULES = 12
_NOTES = 3
_GROUPS = 8


@dataclass(frozen=True)
class _Detail:
    """How much of each part is told. Each stage of shortening tells less of one of them."""

    improved: int = 40
    caveats: bool = True
    others: int = 40
    listed: int = 40
    inline: int = 3
    diff_lines: int = 40
    bare: bool = False
    """Nothing folded and nothing fenced, so that it can be cut at any line."""


_STAGES = (
    _Detail(),
    _Detail(improved=0),
    _Detail(improved=0, caveats=False),
    _Detail(improved=0, caveats=False, others=10),
    _Detail(improved=0, caveats=False, others=0, listed=10),
    _Detail(improved=0, caveats=False, others=0, listed=0),
    _Detail(improved=0, caveats=False, others=0, listed=0, inline=1),
    _Detail(improved=0, caveats=False, others=0, listed=0, inline=0, diff_lines=20),
    _Detail(improved=0, caveats=False, others=0, listed=0, inline=0, diff_lines=0, bare=True),
)


def render(report: Report) -> str:
    """The report in at most ``report.limit`` characters, by default ``LIMIT``, shortened in stages until it fits.

    Improvements go first, then caveats, then other regressions, then the diffs of cases but for the first; never
    the verdict, the gate, what changed and the next step. Only with very many workflows is it cut at a line.
    """
    limit = LIMIT if report.limit is None else report.limit
    for number, detail in enumerate(_STAGES):
        text = _document(report, detail, shortened=number > 0)
        if len(text) <= limit:
            return text
    told = "(truncated: the full text is in the report)"
    whole_lines = text[: max(0, limit - len(told) - 3)].rpartition("\n")[0]
    return f"{whole_lines}\n\n{told}\n"


def _document(report: Report, detail: _Detail, *, shortened: bool) -> str:
    lines = [report.marker]
    several = len(report.verdicts) > 1 and report.judged
    if not report.verdicts:
        lines.append("### ! evalkit: ERROR\nNo workflow was judged.")
    if several:
        lines += _overview(report)
    for verdict in report.ordered:
        if not (several and is_quiet(verdict)):
            lines += _workflow(report, verdict, detail, several=several)
    if shortened:
        lines += ["", "(shortened: the full text is in the report)"]
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join([*lines, "", _footer(report)]) + "\n"


def _overview(report: Report) -> list[str]:
    """Several workflows: the worst verdict, then all of them in a line each."""
    ordered = report.ordered
    lines = [f"### {SYMBOLS[report.verdict]} evalkit: {report.verdict} · {len(ordered)} workflows", ""]
    for verdict in ordered:
        told = f": {inline(excerpt(verdict.sentence, 200))}" if is_quiet(verdict) else ""
        name = inline(excerpt(verdict.workflow, 120))
        lines.append(f"- {SYMBOLS[verdict.verdict]} **{name}** {verdict.verdict}{told}")
    return [*lines, ""]


def _workflow(report: Report, verdict: Verdict, detail: _Detail, *, several: bool) -> list[str]:
    title = f"{SYMBOLS[verdict.verdict]} evalkit: {verdict.verdict}" if report.judged else "evalkit: comparison"
    name = inline(excerpt(verdict.workflow, 120))
    lines = [f"{'####' if several else '###'} {title} · {name}", "", _lead(verdict, judged=report.judged)]
    if report.judged and is_quiet(verdict):
        return lines
    lines += ["", _compared(report, verdict), *_notes(verdict), ""]
    body = _body(report, verdict, detail)
    passed = verdict.verdict == "PASS" or (several and verdict.verdict == "PASS with notes")
    if report.judged and passed and not detail.bare:
        return [*lines, *folded("Gate, what changed, cost and latency", body), ""]
    return [*lines, *(body[1:] if body[:1] == [""] else body), ""]


def _notes(verdict: Verdict) -> list[str]:
    notes = open_notes(verdict)[:_NOTES]
    return ["", *(f"> {line(excerpt(note, 600))}" for note in notes)] if notes else []


def _body(report: Report, verdict: Verdict, detail: _Detail) -> list[str]:
    lines = _gate(verdict, judged=report.judged, bare=detail.bare)
    lines += _accepted(verdict, 3 if detail.bare else 20)
    lines += [] if detail.bare else _groups(verdict)
    lines += changes(verdict, detail.diff_lines)
    lines += leading(verdict, inline_cases=detail.inline, listed=detail.listed, report_url=report.report_url)
    if detail.others or detail.improved:
        lines += others(verdict, listed=detail.others, improved=detail.improved)
    if not detail.bare:
        lines += cost_and_latency(verdict)
    if detail.caveats:
        lines += caveats(verdict, open_notes(verdict)[_NOTES:])
    return lines + (_next_steps(verdict) if report.judged else [])


def _lead(verdict: Verdict, *, judged: bool) -> str:
    """What decided, first and in bold where it is no pass."""
    sentence = excerpt(verdict.sentence, 2_000)
    first, stop, rest = sentence.partition(". ")
    if not judged or verdict.verdict in ("PASS", "PASS with notes") or not first:
        return line(sentence)
    return f"**{inline(first + stop.strip())}**{' ' if stop else ''}{inline(rest)}".rstrip()


def _compared(report: Report, verdict: Verdict) -> str:
    """What was compared with what, from how many trials, at which price, and where more is."""
    parts = [line(excerpt(headline(verdict), 400)), made(verdict), format_money(verdict.cost_microusd)]
    links = (("report", address(report.report_url)), ("run", address(report.run_url)))
    parts += [f"[{name}]({url})" for name, url in links if url]
    return " · ".join(parts)


def _gate(verdict: Verdict, *, judged: bool, bare: bool) -> list[str]:
    """The rules as a table, those that decide first; of many that pass, the rest is folded."""
    rules = rule_order(verdict.rules)
    if not rules:
        return []
    deciding = sum(rule.status != "pass" for rule in rules)
    shown = min(max(_RULES, deciding), 20 if bare else len(rules))
    rows = [_row(row(rule, judged=judged), blocks=rule.status == "block", judged=judged) for rule in rules]
    head, ruler = ("| result |", "---|") if judged else ("|", "")
    head, ruler = f"| gate | baseline | now | change {head}", f"|---|--:|--:|---|{ruler}"
    lines = ["", head, ruler, *rows[:shown]]
    rest = rows[shown:]
    if rest and bare:
        return [*lines, "", f"… {len(rest)} more rules in the report"]
    if rest:
        lines += ["", *folded(f"{len(rest)} more rules", [head, ruler, *rest])]
    return lines


def _row(cells: Row, *, blocks: bool, judged: bool) -> str:
    name = inline(excerpt(cells.name, 120))
    limit = f": {cells.limit}" if cells.limit else ""
    result = [f"{cells.symbol} {cells.status}{inline(limit)}"] if judged else []
    values = [inline(value) for value in (cells.baseline, cells.candidate, cells.change)]
    return f"| {' | '.join([f'**{name}**' if blocks else name, *values, *result])} |"


def _accepted(verdict: Verdict, most: int) -> list[str]:
    """Accepted regressions: whoever merges must have seen them."""
    if not verdict.acceptances:
        return []
    shown = [f"- {inline(excerpt(acceptance_text(item), 600))}" for item in verdict.acceptances[:most]]
    more = len(verdict.acceptances) - most
    tail = [f"- … {more} more in the report"] if more > 0 else []
    return ["", f"**Accepted regressions** ({len(verdict.acceptances)})", *shown, *tail]


def _groups(verdict: Verdict) -> list[str]:
    """What broken cases share, where they share anything."""
    if not verdict.groups or verdict.groups[0].kind == "rest":
        return []
    shown = [
        f"- {group.size:,}: {inline(excerpt(group.sentence, 400))} For example `{code(excerpt(group.example, 200))}`"
        for group in verdict.groups[:_GROUPS]
    ]
    return ["", "**What broken cases share**", *shown]


def _next_steps(verdict: Verdict) -> list[str]:
    steps = next_steps(verdict)
    lines = [f"- {step.what}: `{code(step.command)}`" if step.command else f"- {step.what}" for step in steps]
    if verdict.verdict == "BLOCKED" and verdict.changes and lines:
        lines.insert(0, "- fix what changed: the diff above is the first lead")
    title = "Do one of" if verdict.verdict in ("BLOCKED", "INCONCLUSIVE") else "What to do"
    return ["", f"**{title}**", *lines] if lines else []


def _footer(report: Report) -> str:
    """What it was made of, for whoever wants to find it again: nothing in it depends on when it was written."""
    parts = [f"evalkit {__version__}"]
    for verdict in report.ordered[:3]:
        golden = f", golden set `{code(short(verdict.golden_set.digest))}`" if verdict.golden_set else ""
        parts.append(f"run `{code(excerpt(verdict.candidate_run, 40))}`, verdict `{code(short(verdict.id))}`{golden}")
    if len(report.verdicts) > 3:
        parts.append(f"{len(report.verdicts) - 3} more runs")
    if report.commit:
        parts.append(f"for {inline(commit_of(report.commit))}")
    if report.previous:
        parts.append(f"previous: {inline(excerpt(report.previous, 80))}")
    if report.report_path:
        parts.append(f"report: `{code(excerpt(report.report_path, 200))}`")
    url = address(report.run_url)
    if url and report.judged and all(map(is_quiet, report.verdicts)):  # otherwise it stands above
        parts.append(f"[run]({url})")
    if report.simulated:
        parts.append("all models are simulated")
    return f"<sub>{' · '.join(parts)}</sub>"
