"""The verdict as Markdown, for a pull-request comment and a job summary: verdict first, what to do last.

Model text stands only in fenced blocks whose fence is longer than any run of backticks inside.
"""

from __future__ import annotations

import re

from evalkit._version import __version__
from evalkit.gate import CaseResult, Verdict
from evalkit.gate.report import Report
from evalkit.gate.words import count_of
from evalkit.quantities import format_money
from evalkit.text import excerpt, visible
from evalkit_reports.common import SYMBOLS, blocking_cases, commit_of, headline, reason, row, rule_order

__all__ = ["LIMIT", "render"]

LIMIT = 60_000
"""Characters; a comment may have 65,536."""

_INLINE = 3
_LISTED = 40


def render(report: Report) -> str:
    """The report, shortened until it fits: first other cases, then diffs; never verdict, gate or next step."""
    for listed, inline, diffs in ((_LISTED, _INLINE, True), (10, 1, True), (0, 1, True), (0, 0, False)):
        text = _document(report, listed, inline, diffs)
        if len(text) <= LIMIT:
            return text
    return text[: LIMIT - 80] + "\n\n(truncated: the full text is in the report)\n"


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
    lines.append(f"{_inline(verdict.sentence)}")
    if judged and verdict.verdict == "PASS" and all(rule.touched == 0 for rule in verdict.rules):
        return [*lines, ""]
    trials = f"{count_of(verdict.trials, 'trial')} ({verdict.reused:,} reused) · {format_money(verdict.cost_microusd)}"
    lines += ["", f"{_inline(headline(verdict))} · {trials}", ""]
    lines += [f"> {_inline(note)}" for note in verdict.notes]
    lines += ["", "| | gate | baseline | now | change | rule |", "|---|---|--:|--:|---|---|"]
    for rule in rule_order(verdict.rules):
        cells = row(rule)
        name = f"**{_cell(cells.name)}**" if rule.status == "block" else _cell(cells.name)
        values = [cells.symbol, name, cells.baseline, cells.candidate, cells.change, cells.limit]
        lines.append("| " + " | ".join([values[0], values[1], *(_cell(value) for value in values[2:])]) + " |")
    lines += _changes(verdict, diffs)
    lines += _cases(verdict, listed, inline)
    lines += _next_step(verdict)
    return [*lines, ""]


def _changes(verdict: Verdict, diffs: bool) -> list[str]:
    if not verdict.changes:
        return []
    total = len(verdict.configuration.components) if verdict.configuration else len(verdict.changes)
    lines = ["", f"**What changed** ({len(verdict.changes)} of {total} components)"]
    for change in verdict.changes:
        where = f" `{_code(change.path)}`" if change.path else ""
        lines.append(f"- {change.kind} {_inline(change.name)}{where}")
    if diffs:
        text = "\n".join(change.diff for change in verdict.changes if change.diff)
        shown = text.splitlines()
        if shown:
            cut = [*shown[:40], f"… {len(shown) - 40} more lines"] if len(shown) > 40 else shown
            lines += ["", "<details><summary>diff</summary>", "", *_fence("\n".join(cut), "diff"), "</details>"]
    return lines


def _cases(verdict: Verdict, listed: int, inline: int) -> list[str]:
    cases = blocking_cases(verdict)
    if not cases:
        return []
    blocked = bool(verdict.blocking)
    lines = ["", f"**{'Cases behind the block' if blocked else 'Cases that got worse'} ({len(cases)})**"]
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
    body = f"  asked: {excerpt(case.question, 300)}\n- {before}\n+ {now}"
    return [f"<details{' open' if opened else ''}><summary>{title}</summary>", "", *_fence(body, "diff"), "</details>"]


def _next_step(verdict: Verdict) -> list[str]:
    if verdict.verdict in ("PASS", "PASS with notes"):
        return []
    ids = ",".join(case.case_id for case in blocking_cases(verdict)[:3])
    lines = ["", "**What to do**"]
    if verdict.verdict == "NOT COMPARABLE":
        lines.append(f"- make a baseline: `evalkit run {verdict.workflow} --set-baseline {verdict.baseline_name}`")
    elif verdict.verdict == "ERROR":
        lines.append("- see the errors, then run again: what finished is kept and not paid twice")
    elif verdict.verdict == "INCONCLUSIVE":
        lines.append(f"- get more evidence: `evalkit run {verdict.workflow} --trials 3`")
    if ids:
        lines.append(f"- run the cases again: `{_code(f'evalkit run {verdict.workflow} --cases {ids} --trials 5')}`")
    if verdict.candidate_run:
        lines.append(f"- look at them: `evalkit show {verdict.candidate_run}` (commit {commit_of(verdict.commit)})")
    return lines


def _fence(text: str, language: str) -> list[str]:
    shown = visible(text)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", shown, fence, ""]


def _html(text: str) -> str:
    escaped = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _neutral(escaped)


def _inline(text: str) -> str:
    """Text in a line of Markdown: nothing in it is markup, a mention or a reference."""
    return _neutral(re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", " ".join(visible(text).split())))


def _neutral(text: str) -> str:
    """No mention of people, no reference to issues, no link."""
    return re.sub(r"([@#])(?=\w)", "\\1\u200b", text).replace("://", ":\u200b//")


def _cell(text: str) -> str:
    return _inline(text)


def _code(text: str) -> str:
    return " ".join(visible(text).split()).replace("`", "'").replace("|", "¦")
