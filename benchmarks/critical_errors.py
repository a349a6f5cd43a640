"""False blocks and catches of the rule for critical cases, by simulation of the code that judges them.

Fifty critical cases, five trials each; one of them may violate at a rate. The grader fails an output that is right now
and then; where it errs both ways it passes a violation as often. Gradings err independently.
"""

from __future__ import annotations

import numpy as np

from benchmarks.common import Table
from evalkit.stats.critical import CriticalState, block_probability, judge_critical

CASES, TRIALS, REGRADES = 50, 5, 3
ROUNDS, AT_ONCE = 40_000, 4_000


def _simulate(rate: float, false_fail: float, false_pass: float) -> tuple[float, float]:
    """Share of rounds that block, and that block or send a case to review."""
    generator = np.random.default_rng(20261210)
    cases = np.repeat(np.arange(CASES * AT_ONCE), TRIALS)
    blocked = stopped = 0
    for _ in range(ROUNDS // AT_ONCE):
        violates = (cases % CASES == 0) & (generator.random(len(cases)) < rate)
        fails = np.where(violates, 1 - false_pass, false_fail)
        failed = generator.random(len(cases)) < fails
        again = np.where(failed, REGRADES, 0)
        found = judge_critical(CASES * AT_ONCE, cases, failed, again, generator.binomial(again, fails))
        states = found.states.reshape(AT_ONCE, CASES)
        blocked += int((states == CriticalState.CONFIRMED).any(axis=1).sum())
        stopped += int((states != CriticalState.CLEAN).any(axis=1).sum())
    return blocked / ROUNDS, stopped / ROUNDS


def measure() -> Table:
    """Shares of rounds, simulated and computed."""
    rows = []
    for error, both in ((0.002, False), (0.01, False), (0.01, True), (0.02, False), (0.02, True)):
        row: list[object] = [f"{error:.1%}", "both ways" if both else "false failures only"]
        for rate in (0.0, 0.05, 0.20, 1.0):
            false_pass = error if both else 0.0
            simulated, stopped = _simulate(rate, error, false_pass)
            rates = np.zeros(CASES)
            rates[0] = rate
            exact = block_probability(rates, false_fail=error, false_pass=false_pass)
            row.append(f"{simulated:.2%} ({exact:.2%})")
            if rate == 0.0:
                review = f"{stopped - simulated:.1%}"
        rows.append([*row, review])
    title = (
        f"{CASES} critical cases, {TRIALS} trials, failures re-graded {REGRADES} times ({ROUNDS:,} rounds; computed)"
    )
    headers = ["grader errs", "how", "false block", "blocks at 5%", "at 20%", "at 100%", "review only, no violation"]
    return title, headers, rows
