"""Pages of the stored verdicts: HTML without scripts, in which no text is more than text."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evalkit.gate.words import amount, commit_of
from evalkit.quantities import format_money
from evalkit.text import visible
from evalkit.view.history import MOST, Judgement, RulePoint
from evalkit.view.trend import MOST_POINTS, trend

__all__ = ["index_page", "style_digest", "workflow_page", "workflow_path"]

_SIGNS = {"PASS": "✔", "PASS with notes": "✔", "INCONCLUSIVE": "?", "BLOCKED": "✖", "NOT COMPARABLE": "≠", "ERROR": "!"}


class _Signs(dict[str, str]):
    """A verdict of another version of evalkit has no sign."""

    def __missing__(self, key: str) -> str:
        return "·"


def workflow_path(name: str) -> str:
    """Where the page of a workflow is."""
    return f"/workflows/{quote(name, safe='')}"


@cache
def _style() -> str:
    return (files("evalkit.view") / "templates" / "style.css").read_text(encoding="utf-8")


def style_digest() -> str:
    """The style's hash, for a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("evalkit.view", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "shown": visible,
        "commit": lambda item: visible(commit_of(item.commit)),
        "moment": _moment,
        "money": format_money,
        "amount": amount,
        "workflow_path": workflow_path,
    }
    environment.globals |= {"signs": _Signs(_SIGNS), "style": Markup(_style()), "most": MOST}  # noqa: S704 - ours
    return environment


def _moment(microseconds: int) -> str:
    try:
        return dt.datetime.fromtimestamp(microseconds / 1e6, tz=dt.UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return "–"


def index_page(
    project: str, latest: Sequence[Judgement], reports: Mapping[str, str], others: Sequence[tuple[str, str]]
) -> str:
    """The first page.

    Args:
        project: Its name.
        latest: The newest verdict of each workflow.
        reports: Address of the report of a run, by run id.
        others: Name and address of the other reports.
    """
    template = _environment().get_template("index.html.j2")
    return template.render(title=visible(project), latest=latest, reports=reports, others=others)


def workflow_page(name: str, items: Sequence[Judgement], reports: Mapping[str, str]) -> str:
    """The history of a workflow.

    Args:
        name: The workflow.
        items: Its verdicts, newest first.
        reports: Address of the report of a run, by run id.
    """
    by_rule: dict[str, list[tuple[Judgement, RulePoint]]] = {}
    for item in reversed([item for item in items if not item.part]):
        for rule in item.rules:
            by_rule.setdefault(rule.id, []).append((item, rule))
    trends = [
        (rule_id, Markup(picture), points[-MOST_POINTS:][::-1])  # noqa: S704 - made of numbers and escaped texts
        for rule_id, points in by_rule.items()
        if (picture := trend(rule_id, points))
    ]
    template = _environment().get_template("workflow.html.j2")
    api = f"/api{workflow_path(name)}"
    return template.render(title=visible(name), items=items, reports=reports, trends=trends, api=api)
