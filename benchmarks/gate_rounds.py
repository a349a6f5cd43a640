"""False alarms, misses and calls of the rule that judges stored runs: history, in rounds, every touched case first.

The world is that of :mod:`benchmarks.gate_errors`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Table
from benchmarks.gate_errors import lose, reshuffle, world
from evalkit.gate.deciding import Design, decide
from evalkit.stats.anchor import History

SEED = 20261122
ROUNDS = 400


@dataclass(frozen=True)
class Setting:
    """A world, a change and a gate."""

    cases: int = 300
    runs: int = 20
    touched: float = 1.0
    """Share of the cases that the change touches."""
    drop: float = 0.0
    """Of the whole set's pass rate."""
    margin: float = 0.05
    graders: int = 1
    """That share the false alarms."""
    reshuffled: bool = False

    @property
    def name(self) -> str:
        """For the table."""
        change = f"{100 * self.drop:g} points worse" if self.drop else "unchanged"
        return "reshuffled, no net change" if self.reshuffled else change


def measure() -> Table:
    """Shares of verdicts, and mean calls, in each setting."""
    sizes = [(300, 20), (120, 20), (300, 5)]
    settings = [Setting(cases, runs, drop=drop) for cases, runs in sizes for drop in (0.0, 0.02, 0.05, 0.10)]
    settings += [Setting(reshuffled=True)]
    settings += [Setting(touched=0.3, drop=drop) for drop in (0.0, 0.05)]
    settings += [Setting(graders=4, drop=drop) for drop in (0.0, 0.05)]
    settings += [Setting(margin=0.02, drop=drop) for drop in (0.0, 0.02)]
    rows = [_row(setting) for setting in settings]
    title = f"Judging in rounds, every touched case once first, alpha 5%, beta 10% ({ROUNDS} rounds a row)"
    return title, [
        "cases", "runs", "touched", "margin", "graders", "candidate", "PASS", "BLOCKED", "open", "mean calls",
        "truth below / above the interval (10% / 5%)",
    ], rows  # fmt: skip


def _row(setting: Setting) -> list[object]:
    generator = np.random.default_rng(SEED)
    verdicts: Counter[str] = Counter()
    calls, below, above = 0, 0, 0
    for number in range(ROUNDS):
        before = world(generator, setting.cases)
        now, affected = _changed(generator, before, setting)
        draws = np.random.default_rng([SEED, number])

        def candidate(
            cases: NDArray[np.intp], now: NDArray[np.float64] = now, draws: np.random.Generator = draws
        ) -> NDArray[np.bool_]:
            return draws.random(len(cases)) < now[cases]

        history = History.of(np.full(setting.cases, setting.runs), generator.binomial(setting.runs, before))
        design = Design(mode="rounds", margin=setting.margin, alpha=0.05 / setting.graders)
        decision = decide(history, candidate, design=design, affected=affected, seed=number)
        verdicts[decision.verdict] += 1
        calls += decision.calls
        truth = float((now - before).mean())
        below += decision.low is not None and truth < decision.low
        above += decision.high is not None and truth > decision.high
    shares = [f"{verdicts[name] / ROUNDS:.1%}" for name in ("pass", "fail", "inconclusive")]
    return [
        setting.cases, setting.runs, f"{setting.touched:.0%}", f"{100 * setting.margin:g} pt", setting.graders,
        setting.name, *shares, round(calls / ROUNDS), f"{below / ROUNDS:.1%} / {above / ROUNDS:.1%}",
    ]  # fmt: skip


def _changed(
    generator: np.random.Generator, before: NDArray[np.float64], setting: Setting
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    affected = np.arange(setting.cases) < round(setting.touched * setting.cases)
    if setting.reshuffled:
        return reshuffle(generator, before), affected
    now = before.copy()
    if setting.drop:
        now[affected] = lose(before[affected], setting.drop / setting.touched)
    return now, affected
