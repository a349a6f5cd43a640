"""What a run will cost, about: from the requests of some of its cases and the answers of earlier runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.providers import PriceTable
from evalkit.records import Case, Usage
from evalkit.store.runs import RunFolder
from evalkit.workflow import Workflow
from evalkit.workflow.kinds import SELF_CONTAINED

__all__ = ["SAMPLE", "Estimate", "brings_costs", "estimate_cases"]

SAMPLE = 256
"""Cases that an estimate looks at."""
_OUTPUT_TOKENS = 150
"""Assumed for a call where no earlier run tells."""
_CHARACTERS = 4
"""Of a token, about."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Model calls and micro-dollars, about."""

    calls: int = 0
    microusd: int = 0


def brings_costs(workflow: Workflow, provider: str) -> bool:
    """Whether what a call costs comes with its answer: from a recording, or from a program of the user."""
    return workflow.kind_of(provider) in SELF_CONTAINED


def estimate_cases(
    workflow: Workflow, cases: Sequence[Case], prices: PriceTable, trials: int, newest: RunFolder | None
) -> Estimate:
    """Calls and cost of so many trials that are like those of the given cases.

    Args:
        workflow: The workflow.
        cases: Some of the cases to run.
        prices: What models cost.
        trials: How many trials will be made.
        newest: A run of the workflow: its trials tell how many calls one takes and how long answers are.
    """
    if not cases or not trials:
        return Estimate()
    per_trial, output = _experience(newest)
    calls = cost = 0.0
    for case in cases:
        prepared = workflow.prepared(case)
        pin = workflow.model_of(prepared.choice.route)
        with_tools = bool(case.tools or workflow.tools) and workflow.spec.tool_calls == "native"
        here = per_trial or (2 if with_tools else 1)
        calls += here
        if brings_costs(workflow, pin.provider):
            continue
        tokens = sum(len(message.content) for message in prepared.messages(prepared.choice.route)) / _CHARACTERS
        usage = Usage(input_tokens=round(tokens * here), output_tokens=round(output * here))
        cost += prices.find(pin.name).cost_microusd(usage)
    return Estimate(round(calls / len(cases) * trials), round(cost / len(cases) * trials))


def _experience(newest: RunFolder | None) -> tuple[float, float]:
    """Calls a trial and output tokens a call of a run; no calls where nothing is known."""
    if newest is None:
        return 0.0, _OUTPUT_TOKENS
    table = newest.trials(["model_calls", "output_tokens"])
    calls, tokens = (sum(table.column(name).to_pylist()) for name in ("model_calls", "output_tokens"))
    if not calls:
        return 0.0, _OUTPUT_TOKENS
    return calls / table.num_rows, tokens / calls
