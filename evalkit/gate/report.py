"""What a renderer gets, and where renderers come from: entry points of the group ``evalkit.reports``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TypeAlias

from evalkit.errors import UsageError
from evalkit.gate.verdict import VERDICTS, Verdict, VerdictName, worst

__all__ = ["Renderer", "Report", "renderer", "renderers"]

GROUP = "evalkit.reports"


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
    """

    verdicts: tuple[Verdict, ...]
    report_path: str = ""
    run_url: str = ""
    judged: bool = True
    color: bool = False
    width: int = 100

    @property
    def verdict(self) -> VerdictName:
        """The worst verdict."""
        return worst([verdict.verdict for verdict in self.verdicts])

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
