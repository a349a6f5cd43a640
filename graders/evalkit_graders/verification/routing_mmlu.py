"""Routing between a small and a large model on MMLU: the oracle's cost, a cascade's, and whether escalation helps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit.grading import Figure, Verification
from evalkit.stats import Estimate, bootstrap, share
from evalkit.stats.routing import cascade, escalation_helps, oracle_choice, routed
from evalkit_graders.routing import Routing

__all__ = ["VERIFICATION"]

FILE = "routing_mmlu.parquet"
SMALL, LARGE = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
Floats = NDArray[np.float64]


def _measure(folder: Path) -> Iterator[Figure]:
    right, cost = _tables(folder / FILE)
    n = len(right)
    best = oracle_choice(right, cost)
    rows = np.arange(n)
    steps = cascade(right, cost)
    spent = {"oracle": cost[rows, best], "perfect cascade": steps.spent}
    for name, values in (("Mixtral", right[:, 0]), ("gpt-4-1106", right[:, 1]), ("oracle", right[rows, best])):
        yield _figure(f"{name}: share right", share(int(values.sum()), n))
    for name, paid in spent.items():
        yield _figure(
            f"{name}: cost against gpt-4-1106 always",
            _change(paid, cost[:, 1]),
            "; costs are estimated from token counts",
        )
    yield _figure("perfect cascade: share escalated", share(int(steps.escalated.sum()), n))
    always = routed(right, cost, np.ones(n, np.intp))
    never = routed(right, cost, np.zeros(n, np.intp))
    yield _figure("gpt-4-1106 always: needless escalations", share(round(always.needless_escalations * n), n))
    yield _figure("Mixtral always: missed escalations", share(round(never.missed_escalations * n), n))
    gain = escalation_helps(right, cost, 0, 1)
    yield _figure("gain of gpt-4-1106 over Mixtral", Estimate(gain.gain, gain.low, gain.high, n))


def _tables(file: Path) -> tuple[Floats, Floats]:
    """Right and cost of both models, shape (prompts, 2), of the prompts that both answered."""
    import pandas as pd

    frame = pd.read_parquet(file, columns=["pid", "model", "quality", "cost_usd_est"])
    right, cost = (
        frame.pivot_table(index="pid", columns="model", values=name, aggfunc="first")[[SMALL, LARGE]]
        for name in ("quality", "cost_usd_est")
    )
    both = (right.notna() & cost.notna()).all(axis=1)
    return right[both].to_numpy(np.float64), cost[both].to_numpy(np.float64)


def _change(paid: Floats, always: Floats) -> Estimate:
    return bootstrap(lambda drawn: float(paid[drawn].sum() / always[drawn].sum() - 1), len(paid))


def _figure(measure: str, estimate: Estimate, note: str = "") -> Figure:
    return Figure.of(
        Routing,
        VERIFICATION.name,
        estimate,
        data=f"MMLU by two models (RouteLLM), {estimate.n:,} prompts",
        measure=measure,
        note=f"measures `evalkit.stats.routing` on a recorded table{note}",
    )


VERIFICATION = Verification(
    "routing_mmlu",
    (Routing.name,),
    (FILE,),
    "MMLU answered by Mixtral-8x7B and gpt-4-1106, published with RouteLLM (Apache-2.0); costs are estimated there.",
    _measure,
)
