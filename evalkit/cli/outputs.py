"""What a step of a CI job hands on to the next ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.gate import Verdict
    from evalkit.gate.verdict import VerdictName

__all__ = ["step_outputs"]


def step_outputs(verdict: VerdictName, verdicts: Sequence[Verdict]) -> str:
    """Lines ``name=value`` for ``GITHUB_OUTPUT``: words and numbers of ours alone, so that no delimiter is needed.

    ``regressed`` and ``improved`` count cases over all workflows, ``cost-usd`` is in dollars and counts what the runs
    and the confirmation of their blocks have spent, ``run-id`` names the runs by blank.
    """
    spent = sum(item.cost_microusd + item.confirmation_microusd for item in verdicts)
    values = {
        "verdict": verdict,
        "regressed": sum(item.counts.regressed for item in verdicts),
        "improved": sum(item.counts.improved for item in verdicts),
        "cost-usd": f"{spent / 1e6:.6f}",
        "run-id": " ".join(item.candidate_run for item in verdicts),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())
