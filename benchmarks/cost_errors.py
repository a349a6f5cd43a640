"""False alarms and misses of the rule on cost, by simulation of the code that judges it.

The costs of the cases are log-normal (their logarithm has a standard deviation of .8), and those of a case vary from
trial to trial by a factor of the same kind. A candidate multiplies all costs; the limit is +10%.
"""

from __future__ import annotations

import numpy as np

from benchmarks.common import Table
from evalkit.gate.increases import status_of_mean
from evalkit.stats import log_ratio

ROUNDS = 1_000
LIMIT = 0.10


def measure() -> Table:
    """Shares of outcomes for each size, noise and true increase."""
    rows = []
    for n in (60, 300):
        cases, side = np.tile(np.arange(n), 2), np.repeat([False, True], n)
        for noise in (0.1, 0.3):
            for true in (1.0, 1.1, 1.2):
                generator = np.random.default_rng(20260101)
                counts = {"pass": 0, "block": 0, "inconclusive": 0}
                for _ in range(ROUNDS):
                    level = generator.lognormal(-4, 0.8, n)
                    before, now = (level * generator.lognormal(0, noise, n) for _ in range(2))
                    values = np.concatenate([before, true * now])
                    found = log_ratio(values, cases, side, margin=LIMIT, tail_low=0.025, tail_high=0.10)
                    counts[status_of_mean(found)] += 1
                shares = (f"{counts[key] / ROUNDS:.1%}" for key in ("pass", "block", "inconclusive"))
                rows.append([n, f"{noise:.0%}", f"+{true - 1:.0%}", *shares])
    title = f"Cost at most +10%, one trial a case on either side ({ROUNDS:,} rounds)"
    return title, ["cases", "noise of a trial", "true increase", "PASS", "BLOCKED", "INCONCLUSIVE"], rows
