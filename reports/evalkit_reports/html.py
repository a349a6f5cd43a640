"""The report for reviewers: one HTML file, no request, a first screen that is legible without styles and scripts.

Everything from models, cases and files goes through autoescaping with control and
bidirectional characters made visible; a content policy allows the one style sheet and the one
script by their hashes. Where the cases of a verdict can be read, the script is an explorer of
all of them, and their data follows it (:mod:`evalkit_reports.explorer`).
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from evalkit._version import __version__
from evalkit.fingerprint import short
from evalkit.gate import CaseResult, SliceResult, Verdict
from evalkit.gate.details import CaseIndex
from evalkit.gate.report import Report
from evalkit.gate.verdict import FailureGroup, GraderResult
from evalkit.gate.words import amount, count_of, interval, points, share
from evalkit.quantities import format_money
from evalkit.text import excerpt, visible
from evalkit_reports.blocks import element
from evalkit_reports.charts import forest_plot
from evalkit_reports.common import (
    SYMBOLS,
    acceptance_text,
    commit_of,
    cut,
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
from evalkit_reports.explorer import MOST_BYTES, Explorer, explore
from evalkit_reports.heat import heat_table
from evalkit_reports.pictures import distribution, trends
from evalkit_reports.routes import ROUTE_HEADS, route_rows
from evalkit_reports.worddiff import Piece, word_diff

__all__ = ["render"]

_TEXT = 20_000
_SLICES = 24
_CASES = 400
_WORST = 20
"""Cases on the first screen where the explorer has all of them."""
_FULL = 40
"""Cases of a group whose texts are shown at length: a report stays a file that a browser opens."""


def render(report: Report) -> str:
    """The report as one HTML document; the same report gives the same bytes."""
    told = [verdict for verdict in report.ordered if verdict.id in report.details]
    room = MOST_BYTES[report.text] // max(1, len(told))
    explorers = {item.id: explore(item, report.details[item.id], report.text, room) for item in told}
    style, script = _file("report.css"), _script() if told else ""
    several = len(report.verdicts) > 1
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            sections=[_section(verdict, report, explorers.get(verdict.id), several) for verdict in report.ordered],
            style=Markup(style),  # noqa: S704 - a file of this package
            script=Markup(script),  # noqa: S704 - files of this package
            policy=_policy(style, script),
            version=__version__,
            simulated=report.simulated,
            explored=bool(told),
            workflows=[verdict.workflow for verdict in told],
            listed=sum(item.listed for item in explorers.values()),
        )
    )
    before, _, after = page.rpartition("@@BLOCKS@@\n")
    parts = [
        element(f"w{place}-{name}", packed)
        for place, verdict in enumerate(told)
        for name, packed in explorers[verdict.id].blocks.items()
    ]
    return "".join([before, *parts, after])


def _policy(style: str, script: str) -> str:
    allowed = (
        f"script-src {_hash(script)}; require-trusted-types-for 'script'; trusted-types 'none'; " if script else ""
    )
    return f"default-src 'none'; {allowed}style-src {_hash(style)}; img-src data:; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _script() -> str:
    """The files of the script as one, without indentation and comments."""
    files = sorted(
        (file for file in resources.files("evalkit_reports").joinpath("script").iterdir() if file.name.endswith(".js")),
        key=lambda file: file.name,
    )
    lines = (line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines())
    kept = "\n".join(line for line in lines if line and not line.startswith("//"))
    return f"(() => {{\n'use strict';\n{kept}\n}})();"


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
    environment.globals |= {"symbols": SYMBOLS, "count_of": count_of, "route_heads": ROUTE_HEADS}
    environment.filters |= {"short": short, "share": share, "points": points, "money": format_money, "when": _when}
    return environment


def _file(name: str) -> str:
    return resources.files("evalkit_reports").joinpath("templates", name).read_text(encoding="utf-8")


def _when(microseconds: int) -> str:
    moment = dt.datetime.fromtimestamp(microseconds / 1e6, tz=dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _section(verdict: Verdict, report: Report, explorer: Explorer | None, several: bool) -> dict[str, Any]:
    rules = rule_order(verdict.rules)
    heading, leading = leading_cases(verdict)
    return {
        "verdict": verdict,
        "headline": headline(verdict),
        "commit": commit_of(verdict.commit),
        "baseline_commit": commit_of(verdict.baseline_commit),
        "made": made(verdict),
        "notes": open_notes(verdict),
        "steps": next_steps(verdict) if report.judged else [],
        "accepted": [(item.state, acceptance_text(item)) for item in verdict.acceptances],
        "failure_groups": [(group, _lift(group)) for group in verdict.groups],
        "rules": [(rule, row(rule, judged=report.judged)) for rule in rules],
        "plot": Markup(forest_plot(rules, judged=report.judged)),  # noqa: S704 - built and escaped in charts.py
        "slices": [_slice(item) for item in _interesting(verdict.slices)],
        "small_slices": sum(item.small for item in verdict.slices),
        "all_slices": len(verdict.slices),
        "heat": heat_table(verdict.slices, verdict.workflow if several else ""),
        "leading": _group(heading, leading, _CASES if explorer is None else _WORST),
        "groups": _other_groups(verdict, leading) if explorer is None else [],
        "explorer": explorer,
        "why_not": report.left_out.get(verdict.id, ""),
        **_pictures(None if explorer is None else report.details[verdict.id].index),
        "routes": route_rows(verdict),
        "quiet": is_quiet(verdict),
    }


def _other_groups(verdict: Verdict, leading: Sequence[CaseResult]) -> list[dict[str, Any]]:
    """The cases that do not lead, where no explorer has them."""
    named = {case.case_id for case in leading}
    others = [case for case in verdict.cases if case.case_id not in named]
    groups = [
        _group("Other regressions", [case for case in others if case.status in ("regressed", "error")]),
        _group("Improvements", [case for case in others if case.status == "improved"]),
        _group(
            "Flaky, new and failing as before",
            [case for case in others if case.status not in ("regressed", "error", "improved")],
        ),
    ]
    return [group for group in groups if group["cases"]]


def _pictures(index: CaseIndex | None) -> dict[str, Any]:
    """Pictures of what a verdict does not hold: measurements of all cases, and earlier runs."""
    if index is None:
        return {"distributions": [], "trends": [], "past": 0}
    drawn = [(column.grader, distribution(column)) for column in index.graders if not column.quality]
    return {
        "distributions": [(name, Markup(picture)) for name, picture in drawn if picture],  # noqa: S704 - escaped in pictures.py
        "trends": [(name, Markup(picture), *rest) for name, picture, *rest in trends(index)],  # noqa: S704 - the same
        "past": len(index.past),
    }


def _group(title: str, cases: list[CaseResult], most: int = _CASES) -> dict[str, Any]:
    """Cases under a heading with their true number, of which so many are shown."""
    shown = [_case(case, _TEXT if place < _FULL else _TEXT // 10) for place, case in enumerate(cases[:most])]
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
    before, now = cut(case.baseline_answer, limit), cut(case.candidate_answer, limit)
    pieces = word_diff(before, now)
    return {
        "case": case,
        "reason": reason(case),
        "question": cut(case.question, limit),
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
