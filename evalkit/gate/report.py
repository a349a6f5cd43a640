"""What a renderer gets, and where renderers come from: entry points of the group ``evalkit.reports``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import quote

from evalkit.errors import UsageError
from evalkit.gate.verdict import VERDICTS, Verdict, VerdictName, worst

if TYPE_CHECKING:
    from evalkit.gate.details import CaseDetails

__all__ = ["Renderer", "Report", "ReportText", "renderer", "renderers"]

GROUP = "evalkit.reports"
_LONGEST_NAMES = 300
ReportText: TypeAlias = Literal["changed", "all"]


@dataclass(frozen=True)
class Report:
    """Verdicts of one invocation, worst first, with what a renderer may want to know besides.

    Args:
        verdicts: One a workflow.
        report_path: Where the HTML report is, for the others to point at.
        run_url: Address of the CI run.
        judged: False for a mere comparison: there is no verdict.
        color: Whether terminal colours are wanted.
        width: Width of the terminal.
        limit: Most characters that the text may have, for a renderer that can shorten it; None is the renderer's own.
        report_url: Address of the HTML report, where it can be opened.
        source_root: The project's folder as seen from the root of its repository; empty where that is the same.
        folder: The project's folder on this machine, for looking up lines of changed files; empty where it is not here.
        name: What tells this project's comment from those of others on the same pull request.
        commit: The commit that the CI server says is judged.
        previous: What the comment that this one replaces said, as ``PASS at 51c0aa9``.
        details: By verdict id, where every case of it is found; for renderers that show more than a verdict holds.
        left_out: By verdict id, why its cases are not there.
        text: Of which cases texts and traces are wanted in the report: those that changed, or all.
    """

    verdicts: tuple[Verdict, ...]
    report_path: str = ""
    run_url: str = ""
    judged: bool = True
    color: bool = False
    width: int = 100
    limit: int | None = None
    report_url: str = ""
    source_root: str = ""
    folder: str = ""
    name: str = ""
    commit: str = ""
    previous: str = ""
    details: Mapping[str, CaseDetails] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    text: ReportText = "changed"

    @property
    def verdict(self) -> VerdictName:
        """The worst verdict."""
        return worst([verdict.verdict for verdict in self.verdicts])

    @property
    def marker(self) -> str:
        """The first line of its comment, by which it is found again: one comment for a project and a set of workflows.

        Names are percent-encoded, so that none can end the HTML comment.
        """
        names = ",".join(sorted(quote(verdict.workflow, safe="") for verdict in self.verdicts))
        if len(names) > _LONGEST_NAMES:
            names = f"sha256-{hashlib.sha256(names.encode()).hexdigest()[:32]}"
        place = quote(self.name or self.source_root, safe="/")
        return f"<!-- evalkit:sticky{f' project={place}' if place else ''} workflow={names} -->"

    @property
    def ordered(self) -> tuple[Verdict, ...]:
        """Verdicts, worst first, otherwise in the order given."""
        order = list(VERDICTS)
        return tuple(sorted(self.verdicts, key=lambda verdict: -order.index(verdict.verdict)))

    @property
    def simulated(self) -> bool:
        """Whether any answer came from a simulated model."""
        return any(verdict.simulated for verdict in self.verdicts)


Renderer: TypeAlias = Callable[[Report], str]


def renderers() -> list[str]:
    """Names of the installed renderers."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def renderer(name: str) -> Renderer:
    """A renderer by name.

    Raises:
        UsageError: when none is installed under that name.
    """
    for point in entry_points(group=GROUP, name=name):
        found: Renderer = point.load()
        return found
    raise UsageError(f"no renderer `{name}`", fix=f"there are {', '.join(renderers())}")
