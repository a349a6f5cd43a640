"""False alarms and misses of a margin rule, by simulation of the code that judges it.

The world is that of stable golden sets: four fifths of the cases nearly always pass, some nearly
always fail, an eighth are anything between (mean pass rate about .85). A candidate is unchanged,
or every case loses the same number of points, or 3% of the stable cases break and as much is
repaired elsewhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Table
from evalkit.stats import paired_difference

ROUNDS = 1_000
ALPHA, BETA, MARGIN = 0.05, 0.10, 0.05


def world(generator: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Pass probability of each case."""
    kind = generator.choice(3, size=n, p=[0.80, 0.08, 0.12])
    draws = np.stack([generator.beta(60, 1, n), generator.beta(1, 30, n), generator.beta(2, 2, n)])
    return np.asarray(draws[kind, np.arange(n)])


def lose(p: NDArray[np.float64], points: float) -> NDArray[np.float64]:
    """Every case loses the same, as far as it has it, so that the mean falls by ``points``."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if np.mean(p - np.clip(p - middle, 0, 1)) < points else (low, middle)
    return np.clip(p - low, 0, 1)


def reshuffle(generator: np.random.Generator, p: NDArray[np.float64]) -> NDArray[np.float64]:
    """3% of the stable cases break; cases that failed are repaired until the mean is as before."""
    now = p.copy()
    stable = np.flatnonzero(p > 0.9)
    now[generator.choice(stable, size=max(1, round(0.03 * len(stable))), replace=False)] = 0.02
    missing = p.mean() - now.mean()
    failing = generator.permutation(np.flatnonzero(p < 0.6))
    for index in failing:
        if missing <= 0:
            break
        gain = min(0.97 - now[index], missing * len(p))
        now[index] += gain
        missing -= gain / len(p)
    return now


def decide(before: NDArray[np.float64], now: NDArray[np.float64]) -> str:
    """The margin rule of the gate."""
    result = paired_difference(before, now, tail_low=BETA, tail_high=ALPHA)
    if result.p_worse <= ALPHA and result.low <= -MARGIN:
        return "block"
    return "pass" if result.low > -MARGIN else "inconclusive"


def measure() -> Table:
    """Shares of verdicts in each world."""
    rows = []
    for n in (120, 300, 1000):
        for name in ("unchanged", "2 points worse", "5 points worse", "10 points worse", "reshuffled, no net change"):
            generator = np.random.default_rng(20260101)
            counts = {"pass": 0, "block": 0, "inconclusive": 0}
            for _ in range(ROUNDS):
                p = world(generator, n)
                q = p
                if name.startswith("reshuffled"):
                    q = reshuffle(generator, p)
                elif name != "unchanged":
                    q = lose(p, float(name.split()[0]) / 100)
                before, now = generator.random(n) < p, generator.random(n) < q
                counts[decide(before.astype(float), now.astype(float))] += 1
            rows.append([n, name, *(f"{counts[key] / ROUNDS:.1%}" for key in ("pass", "block", "inconclusive"))])
    title = f"A 5-point margin, one trial a case, one run as baseline ({ROUNDS:,} rounds)"
    return title, ["cases", "candidate", "PASS", "BLOCKED", "INCONCLUSIVE"], rows
