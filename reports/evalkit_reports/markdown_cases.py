"""What changed and the cases behind a verdict, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from evalkit.fingerprint import short
from evalkit.gate import CaseResult, SliceResult, Verdict
from evalkit.gate.verdict import ComponentChange
from evalkit.gate.words import count_of, points, share
from evalkit.text import excerpt
from evalkit_reports.common import SYMBOLS, leading_cases, reason
from evalkit_reports.markdown_folds import folded
from evalkit_reports.markdown_text import address, code, fence, html, inline

__all__ = ["changes", "leading", "others"]

_UNFOLDED = 14
"""Lines of a diff that are shown at once."""
_LONGEST_LINE = 300
_LONGEST_ANSWER = 600
_SHARED_START = 160
"""Characters that two answers may share before their start is left out."""
_SLICES = 8
_CHANGES = 20


def changes(verdict: Verdict, diff_lines: int) -> list[str]:
    """The components that differ, with the diff of their contents in at most so many lines."""
    if not verdict.changes:
        return []
    total = len(verdict.configuration.components) if verdict.configuration else len(verdict.changes)
    lines = ["", f"**What changed** ({len(verdict.changes)} of {count_of(total, 'component')})"]
    lines += [_change(change) for change in verdict.changes[:_CHANGES]]
    if len(verdict.changes) > _CHANGES:
        lines.append(f"- … {len(verdict.changes) - _CHANGES} more in the report")
    text = [
        _short_line(part) for change in verdict.changes[:_CHANGES] if change.diff for part in change.diff.splitlines()
    ]
    if not text or not diff_lines:
        return lines
    cut = [*text[:diff_lines], f"… {len(text) - diff_lines} more lines"] if len(text) > diff_lines else text
    block = fence("\n".join(cut), "diff")
    return [*lines, "", *(block if len(cut) <= _UNFOLDED else folded("diff", block))]


def _short_line(text: str) -> str:
    """A line of a diff, its indentation kept."""
    return text if len(text) <= _LONGEST_LINE else text[: _LONGEST_LINE - 1] + "…"


def _change(change: ComponentChange) -> str:
    where = f" `{code(excerpt(change.path, 200))}`" if change.path else ""
    before, after = (short(value) if value else "–" for value in (change.before, change.after))
    signs = [line[:1] for line in change.diff.splitlines()]
    size = f"+{signs.count('+')} −{signs.count('-')} lines, " if {"+", "-"} & set(signs) else ""
    return f"- {change.kind} {inline(excerpt(change.name, 120))}{where}: {size}{inline(before)} → {inline(after)}"


def leading(verdict: Verdict, *, inline_cases: int, listed: int, report_url: str) -> list[str]:
    """The cases that a reviewer must see: some with their evidence, the others by name, folded."""
    heading, cases = leading_cases(verdict)
    if not cases:
        return []
    lines = ["", f"**{heading} ({len(cases)})**"]
    for number, case in enumerate(cases[:inline_cases]):
        lines += _case(case, report_url, opened=number == 0)
    rest = cases[inline_cases:]
    return [*lines, *folded(f"{len(rest)} more", _list(rest, listed))] if rest and listed else lines


def others(verdict: Verdict, *, listed: int, improved: int) -> list[str]:
    """Everything else that moved, folded: by slice, what got worse elsewhere, what got better."""
    shown = {case.case_id for case in leading_cases(verdict)[1]}
    worse = [case for case in verdict.cases if case.status == "regressed" and case.case_id not in shown]
    better = [case for case in verdict.cases if case.status == "improved"]
    counts = verdict.counts
    told = [
        count_of(len(worse), "other regression") if worse else "",
        count_of(counts.improved, "improvement") if counts.improved else "",
        f"{counts.flaky:,} flaky (not counted)" if counts.flaky else "",
    ]
    body = _slices(verdict.slices) if listed else []
    if listed and worse:
        body += ["**Got worse**", "", *_list(worse, listed), ""]
    if improved and better:
        body += ["**Got better**", "", *_list(better, improved), ""]
    title = " · ".join(filter(None, told))
    return folded(title or "By slice", body) if body else []


def _list(cases: Sequence[CaseResult], most: int) -> list[str]:
    lines = [f"- `{code(excerpt(case.case_id, 200))}` {inline(reason(case))}" for case in cases[:most]]
    return [*lines, f"- … {len(cases) - most:,} more in the report"] if len(cases) > most else lines


def _slices(slices: Sequence[SliceResult]) -> list[str]:
    """The slices that fell most."""
    fallen = sorted((item for item in slices if item.delta < 0), key=lambda item: item.delta)[:_SLICES]
    if not fallen:
        return []
    lines = ["| slice | grader | cases | baseline | now | change |", "|---|---|--:|--:|--:|---|"]
    for item in fallen:
        mark = "" if item.high < 0 else "~ "
        cells = [
            inline(excerpt(f"{item.key}={item.value}", 80)), inline(excerpt(item.grader, 60)),
            f"{item.n:,}{' (few)' if item.small else ''}", share(item.baseline), share(item.candidate),
            inline(f"{mark}{points(item.delta)}"),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _case(case: CaseResult, report_url: str, *, opened: bool) -> list[str]:
    flag = " · critical" if case.critical else ""
    name = html(excerpt(case.case_id, 200))
    title = f"{SYMBOLS.get(case.status, '✖')} <code>{name}</code>{flag} · {html(reason(case))}"
    before = " ".join(" ".join([*case.baseline_calls, case.baseline_answer]).split())
    now = " ".join(" ".join([*case.candidate_calls, case.candidate_answer]).split())
    if before == now:
        said = f"  both: {excerpt(now, _LONGEST_ANSWER)}"
    else:
        skipped = _shared_start(before, now)
        old, new = (("… " if skipped else "") + text[skipped:] for text in (before, now))
        said = f"- {excerpt(old, _LONGEST_ANSWER)}\n+ {excerpt(new, _LONGEST_ANSWER)}"
    body = f"  asked: {excerpt(case.question, 300)}\n{said}"
    lines = [*fence(body, "diff"), _place(case, report_url), ""]
    return [f"<details{' open' if opened else ''}><summary>{title}</summary>", "", *lines, "</details>"]


def _shared_start(before: str, now: str) -> int:
    """How much of a long start, the same in both answers, to leave out: what differs must be seen."""
    same = next((i for i, (a, b) in enumerate(zip(before, now, strict=False)) if a != b), min(len(before), len(now)))
    if same <= _SHARED_START:
        return 0
    return max(0, before.rfind(" ", 0, same - _SHARED_START // 2) + 1)


def _place(case: CaseResult, report_url: str) -> str:
    """What kind of case it is, the way it took, and where all of it is."""
    told = [excerpt(f"{key}={value}", 80) for key, value in list(case.slices.items())[:4]]
    route = excerpt(case.route, 60)
    if case.baseline_route and case.baseline_route != case.route:
        route = f"{excerpt(case.baseline_route, 60)} → {route}"
    text = inline(" · ".join([*told, *([f"route {route}"] if route else [])]))
    url = address(report_url)
    link = f"[open in the report]({url}#case={quote(case.case_id, safe='')})" if url else ""
    return " · ".join(filter(None, [f"<sub>{text}</sub>" if text else "", link]))
