"""The report for reviewers: one HTML file, no request, no script, legible without styles.

Everything from models, cases and files goes through autoescaping with control and
bidirectional characters made visible; a content policy allows the one style sheet by its hash.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from evalkit._version import __version__
from evalkit.fingerprint import short
from evalkit.gate import CaseResult, SliceResult, Verdict
from evalkit.gate.report import Report
from evalkit.gate.verdict import FailureGroup, GraderResult
from evalkit.gate.words import amount, count_of, interval, points, share
from evalkit.quantities import format_money
from evalkit.text import excerpt, visible
from evalkit_reports.charts import forest_plot
from evalkit_reports.common import (
    SYMBOLS,
    acceptance_text,
    commit_of,
    headline,
    is_quiet,
    leading_cases,
    made,
    next_steps,
    open_notes,
    reason,
    row,
    rule_order,
)
from evalkit_reports.worddiff import Piece, word_diff

__all__ = ["render"]

_TEXT = 20_000
_SLICES = 24
_CASES = 400
_FULL = 40
"""Cases of a group whose texts are shown at length: a report stays a file that a browser opens."""


def render(report: Report) -> str:
    """The report as one HTML document; the same report gives the same bytes."""
    style = _file("report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            sections=[_section(verdict) for verdict in report.ordered],
            style=Markup(style),  # noqa: S704 - a file of this package
            policy=policy,
            version=__version__,
            simulated=report.simulated,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evalkit_reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.globals |= {"symbols": SYMBOLS, "count_of": count_of}
    environment.filters |= {"short": short, "share": share, "points": points, "money": format_money, "when": _when}
    return environment


def _file(name: str) -> str:
    return resources.files("evalkit_reports").joinpath("templates", name).read_text(encoding="utf-8")


def _when(microseconds: int) -> str:
    moment = dt.datetime.fromtimestamp(microseconds / 1e6, tz=dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _section(verdict: Verdict) -> dict[str, Any]:
    rules = rule_order(verdict.rules)
    heading, leading = leading_cases(verdict)
    named = {case.case_id for case in leading}
    others = [case for case in verdict.cases if case.case_id not in named]
    regressed = [case for case in others if case.status in ("regressed", "error")]
    improved = [case for case in others if case.status == "improved"]
    rest = [case for case in others if case.status not in ("regressed", "error", "improved")]
    groups = [
        _group("Other regressions", regressed),
        _group("Improvements", improved),
        _group("Flaky, new and failing as before", rest),
    ]
    return {
        "verdict": verdict,
        "headline": headline(verdict),
        "commit": commit_of(verdict.commit),
        "baseline_commit": commit_of(verdict.baseline_commit),
        "made": made(verdict),
        "notes": open_notes(verdict),
        "steps": next_steps(verdict),
        "accepted": [(item.state, acceptance_text(item)) for item in verdict.acceptances],
        "failure_groups": [(group, _lift(group)) for group in verdict.groups],
        "rules": [(rule, row(rule)) for rule in rules],
        "plot": Markup(forest_plot(rules)),  # noqa: S704 - built and escaped in charts.py
        "slices": [_slice(item) for item in _interesting(verdict.slices)],
        "small_slices": sum(item.small for item in verdict.slices),
        "all_slices": len(verdict.slices),
        "leading": _group(heading, leading),
        "groups": [group for group in groups if group["cases"]],
        "quiet": is_quiet(verdict),
    }


def _group(title: str, cases: list[CaseResult]) -> dict[str, Any]:
    """Cases under a heading with their true number, of which so many are shown."""
    shown = [_case(case, _TEXT if place < _FULL else _TEXT // 10) for place, case in enumerate(cases[:_CASES])]
    return {"title": title, "total": len(cases), "cases": shown, "left_out": len(cases) - len(shown)}


def _interesting(slices: tuple[SliceResult, ...]) -> list[SliceResult]:
    moved = [item for item in slices if not item.small and item.delta != 0]
    return sorted(moved, key=lambda item: item.delta)[:_SLICES]


def _lift(group: FailureGroup) -> str:
    """How much more frequent it is among the broken cases."""
    if group.kind == "rest" or not group.of_others:
        return ""
    return f"{group.lift:,.1f} ×" if group.lift is not None else "no other case"


def _slice(item: SliceResult) -> dict[str, Any]:
    return {
        "item": item,
        "before": share(item.baseline),
        "now": share(item.candidate),
        "change": f"{points(item.delta)} {interval(item.low, item.high)}",
        "worse": item.high < 0,
        "better": item.low > 0,
    }


def _case(case: CaseResult, limit: int) -> dict[str, Any]:
    before, now = _cut(case.baseline_answer, limit), _cut(case.candidate_answer, limit)
    pieces = word_diff(before, now)
    return {
        "case": case,
        "reason": reason(case),
        "question": _cut(case.question, limit),
        "before": _side(pieces, "gone"),
        "now": _side(pieces, "new"),
        "same": case.baseline_answer == case.candidate_answer,
        "graders": [
            (item, amount(item.baseline, "share"), amount(item.candidate, "share"), _why(item)) for item in case.graders
        ],
    }


def _side(pieces: list[Piece], kind: str) -> list[tuple[bool, str]]:
    """One side of a diff: pairs of whether the text is only there, and the text. Blanks at its end are not marked."""
    side = []
    for piece in pieces:
        if piece.kind == kind:
            words = piece.text.rstrip()
            side += [(True, words), (False, piece.text[len(words) :])]
        elif piece.kind == "same":
            side.append((False, piece.text))
    return [(only, text) for only, text in side if text]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters; the rest is in the store)"


def _why(item: GraderResult) -> str:
    """Label and evidence of a grader that does not pass now."""
    if item.candidate == 1:
        return ""
    label = item.label.replace("_", " ")
    return ": ".join(part for part in (label, _evidence(item.evidence)) if part)


def _evidence(evidence: Mapping[str, Any]) -> str:
    parts = []
    for key, value in evidence.items():
        if isinstance(value, list):
            text = "; ".join(str(item.get("text", item)) if isinstance(item, dict) else str(item) for item in value[:5])
        else:
            text = str(value)
        if text:
            parts.append(f"{key.replace('_', ' ')}: {excerpt(text, 400)}")
    return " · ".join(parts)
