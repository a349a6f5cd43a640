"""The verdict as Markdown, for a pull-request comment and a job summary: verdict first, what to do last.

Model text stands only in fenced blocks whose fence is longer than any run of backticks inside.
"""

from __future__ import annotations

import re
from html import escape

from evalkit._version import __version__
from evalkit.gate import CaseResult, Verdict
from evalkit.gate.report import Report
from evalkit.quantities import format_money
from evalkit.text import excerpt, log_safe
from evalkit_reports.common import (
    SYMBOLS,
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

__all__ = ["LIMIT", "render"]

LIMIT = 60_000
"""Characters; a comment may have 65,536."""

_INLINE = 3
_ACCEPTED = 20
_LISTED = 40


def render(report: Report) -> str:
    """The report, shortened until it fits: first other cases, then diffs; never verdict, gate or next step."""
    for listed, inline, diffs in ((_LISTED, _INLINE, True), (10, 1, True), (0, 1, True), (0, 0, False)):
        text = _document(report, listed, inline, diffs)
        if len(text) <= LIMIT:
            return text
    whole_lines = text[: LIMIT - 80].rpartition("\n")[0]
    return f"{whole_lines}\n\n(truncated: the full text is in the report)\n"


def _document(report: Report, listed: int, inline: int, diffs: bool) -> str:
    lines = ["<!-- evalkit:sticky -->"]
    if not report.verdicts:
        lines.append("### ! evalkit: ERROR\nNo workflow was judged.")
    for verdict in report.ordered:
        lines += _workflow(verdict, listed, inline, diffs=diffs, judged=report.judged)
    links = []
    if report.report_path:
        links.append(f"report: `{_code(report.report_path)}`")
    if report.run_url:
        links.append(f"[run]({report.run_url})")
    if report.simulated:
        links.append("all models are simulated")
    lines.append(f"\n<sub>evalkit {__version__}{''.join(' · ' + link for link in links)}</sub>")
    return "\n".join(lines) + "\n"


def _workflow(verdict: Verdict, listed: int, inline: int, *, diffs: bool, judged: bool) -> list[str]:
    title = f"{SYMBOLS[verdict.verdict]} evalkit: {verdict.verdict}" if judged else "evalkit: comparison"
    lines = [f"### {title} · {_inline(verdict.workflow)}", ""]
    lines.append(_line(verdict.sentence))
    if judged and is_quiet(verdict):
        return [*lines, ""]
    cost = format_money(verdict.cost_microusd)
    lines += ["", f"{_line(headline(verdict))} · {made(verdict)} · {cost}", ""]
    lines += [f"> {_line(note)}" for note in open_notes(verdict)]
    lines += _gate(verdict, judged=judged)
    lines += [f"\n<sub>{_line(line)}</sub>" for line in history_lines(verdict)]
    lines += _accepted(verdict)
    lines += _groups(verdict)
    lines += _changes(verdict, diffs)
    lines += _cases(verdict, listed, inline)
    if judged:
        lines += _next_steps(verdict)
    return [*lines, ""]


def _gate(verdict: Verdict, *, judged: bool) -> list[str]:
    head, line = ("| rule |", "---|") if judged else ("|", "")
    lines = ["", f"| | gate | baseline | now | change {head}", f"|---|---|--:|--:|---|{line}"]
    for rule in rule_order(verdict.rules):
        cells = row(rule, judged=judged)
        name = _cell(excerpt(cells.name, 120))
        name = f"**{name}**" if rule.status == "block" else name
        values = [cells.baseline, cells.candidate, cells.change, *([cells.limit] if judged else [])]
        lines.append("| " + " | ".join([cells.symbol, name, *(_cell(value) for value in values)]) + " |")
    return lines


def _accepted(verdict: Verdict) -> list[str]:
    """Accepted regressions: whoever merges must have seen them."""
    if not verdict.acceptances:
        return []
    shown = [f"- {_inline(acceptance_text(item))}" for item in verdict.acceptances[:_ACCEPTED]]
    more = len(verdict.acceptances) - _ACCEPTED
    tail = [f"- … {more} more in the report"] if more > 0 else []
    return ["", f"**Accepted regressions** ({len(verdict.acceptances)})", *shown, *tail]


def _groups(verdict: Verdict) -> list[str]:
    """What broken cases share, where they share anything."""
    if not verdict.groups or verdict.groups[0].kind == "rest":
        return []
    shown = [
        f"- {group.size:,}: {_inline(group.sentence)} For example `{_code(group.example)}`" for group in verdict.groups
    ]
    return ["", "**What broken cases share**", *shown]


def _changes(verdict: Verdict, diffs: bool) -> list[str]:
    if not verdict.changes:
        return []
    total = len(verdict.configuration.components) if verdict.configuration else len(verdict.changes)
    lines = ["", f"**What changed** ({len(verdict.changes)} of {total} components)"]
    for change in verdict.changes:
        where = f" `{_code(excerpt(change.path, 200))}`" if change.path else ""
        lines.append(f"- {change.kind} {_inline(excerpt(change.name, 120))}{where}")
    if diffs:
        text = "\n".join(change.diff for change in verdict.changes if change.diff)
        shown = text.splitlines()
        if shown:
            cut = [*shown[:40], f"… {len(shown) - 40} more lines"] if len(shown) > 40 else shown
            lines += ["", "<details><summary>diff</summary>", "", *_fence("\n".join(cut), "diff"), "</details>"]
    return lines


def _cases(verdict: Verdict, listed: int, inline: int) -> list[str]:
    heading, cases = leading_cases(verdict)
    if not cases:
        return []
    lines = ["", f"**{heading} ({len(cases)})**"]
    for number, case in enumerate(cases[:inline]):
        lines += _case(case, opened=number == 0)
    rest = cases[inline:]
    if rest and listed:
        lines += [f"<details><summary>{len(rest)} more</summary>", ""]
        lines += [f"- `{_code(case.case_id)}` {_inline(reason(case))}" for case in rest[:listed]]
        if len(rest) > listed:
            lines.append(f"- … {len(rest) - listed} more in the report")
        lines += ["", "</details>"]
    return lines


def _case(case: CaseResult, *, opened: bool) -> list[str]:
    flag = " · critical" if case.critical else ""
    title = f"{SYMBOLS.get(case.status, '✖')} <code>{_html(case.case_id)}</code>{flag} · {_html(reason(case))}"
    before = excerpt(" ".join([*case.baseline_calls, case.baseline_answer]), 600)
    now = excerpt(" ".join([*case.candidate_calls, case.candidate_answer]), 600)
    said = f"  both: {now}" if before == now else f"- {before}\n+ {now}"
    body = f"  asked: {excerpt(case.question, 300)}\n{said}"
    return [f"<details{' open' if opened else ''}><summary>{title}</summary>", "", *_fence(body, "diff"), "</details>"]


def _next_steps(verdict: Verdict) -> list[str]:
    steps = next_steps(verdict)
    lines = [f"- {step.what}: `{_code(step.command)}`" if step.command else f"- {step.what}" for step in steps]
    return ["", "**What to do**", *lines] if lines else []


def _fence(text: str, language: str) -> list[str]:
    shown = log_safe(text)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", shown, fence, ""]


def _html(text: str) -> str:
    """Text in a line of HTML: a blank line in it would end the HTML."""
    return _neutral(escape(" ".join(log_safe(text).split()), quote=False))


def _line(text: str) -> str:
    """Text that begins a line of Markdown: no heading, no list, no rule."""
    return re.sub(r"^(\d*)([#+=.)-])", r"\1\\\2", _inline(text))


def _inline(text: str) -> str:
    """Text in a line of Markdown: nothing in it is markup, a mention or a reference."""
    plain = " ".join(log_safe(text).split()).replace("&", "&amp;")
    return _neutral(re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", plain))


def _neutral(text: str) -> str:
    """No mention of people, no reference to issues, no link."""
    broken = re.sub(
        r"([@#])(?=\w)|\b(GH|www)(?=[-.])", lambda match: f"{match.group()}\u200b", text, flags=re.IGNORECASE
    )
    return broken.replace("://", ":\u200b//")


def _cell(text: str) -> str:
    return _inline(text)


def _code(text: str) -> str:
    return " ".join(log_safe(text).split()).replace("`", "'").replace("|", "¦")
