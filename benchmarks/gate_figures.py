"""What the sequential gate costs and how often it errs, by simulation of :func:`evalkit.gate.decide`.

The world is that of :mod:`benchmarks.gate_errors`: 300 cases with 20 recorded runs each, unless a row says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Table
from benchmarks.gate_errors import lose, reshuffle, world
from evalkit.gate.deciding import Decision, Design, Outcomes, decide
from evalkit.stats.anchor import History

CASES, RUNS, SEED = 300, 20, 20261207
PAIRED_SEED = 20261211
"""Of the paired test, of which a constant was set with the other seed."""
OTHERS = 300
"""Repetitions of what has no goal; goals have 1,000, and the two that all hangs on 3,000."""
PAIRED, PAIRED_AGAIN = {5: 409, 2: 2009}, {5: 818, 2: 4018}
"""Calls of a paired t test for 5% false alarms and 90% power, with a stored baseline and with one that is run again."""
BARE = Design(floor="none")
Rates = NDArray[np.float64]
Change = Callable[[np.random.Generator, Rates], Rates]


@dataclass(frozen=True)
class Setting:
    """One simulated situation."""

    change: Change
    design: Design = BARE
    runs: int = RUNS
    touched: float = 1.0
    drift: float = 0.0
    """Points that the vendor lost since the history was recorded."""
    fresh: bool = False
    """Whether there is a fresh baseline."""
    world: Callable[[np.random.Generator, int], Rates] = world
    budget: int | None = None
    """Calls of each try; default as many as are asked for."""
    tries: int = 1
    """How often it is run, until it passes."""
    repetitions: int = 1000
    seed: int = SEED


def unchanged(_: np.random.Generator, rates: Rates) -> Rates:
    return rates


def drop(points: float) -> Change:
    return lambda _, rates: lose(rates, points / 100)


def collapse(generator: np.random.Generator, rates: Rates) -> Rates:
    """A slice of 5% of the cases falls to a tenth."""
    now = rates.copy()
    now[generator.choice(len(rates), len(rates) // 20, replace=False)] *= 0.1
    return now


def noisy(generator: np.random.Generator, count: int) -> Rates:
    """Cases that vary more: the mean of p(1 - p) is about .10."""
    kind = generator.choice(3, count, p=[0.55, 0.05, 0.40])
    return np.choose(kind, [generator.beta(12, 2, count), generator.beta(1, 30, count), generator.beta(2, 1.5, count)])


def trials(generator: np.random.Generator, rates: Rates) -> Outcomes:
    """A source of outcomes."""
    return lambda cases: (generator.random(len(cases)) < rates[cases]).astype(np.float64)


def limited(source: Outcomes, calls: int) -> Outcomes:
    """The source with a budget."""
    left = calls

    def run(cases: NDArray[np.intp]) -> NDArray[np.float64]:
        nonlocal left
        granted = cases[:left]
        left -= len(granted)
        return np.asarray(source(granted), np.float64)

    return run


def decisions(setting: Setting) -> Iterator[tuple[Decision, float]]:
    """Decisions on so many simulated candidates, each with the true change against the history."""
    generator = np.random.default_rng(setting.seed)
    for number in range(setting.repetitions):
        rates = setting.world(generator, CASES)
        affected = np.arange(CASES) < round(setting.touched * CASES)
        history = History.of(np.full(CASES, setting.runs), generator.binomial(setting.runs, rates))
        today = lose(rates, setting.drift / 100) if setting.drift else rates
        changed = setting.change(generator, today) if setting.touched == 1 else _packed(setting, today, affected)
        candidate = trials(generator, changed)
        decision: Decision | None = None
        for _ in range(setting.tries):
            decision = decide(
                history,
                candidate if setting.budget is None else limited(candidate, setting.budget),
                design=setting.design,
                affected=affected,
                baseline=trials(generator, today) if setting.fresh else None,
                earlier=decision.evidence if decision is not None else None,
                seed=number,
            )
            if decision.verdict == "pass":
                break
        assert decision is not None
        yield decision, float((changed - rates).mean())


def _packed(setting: Setting, rates: Rates, affected: NDArray[np.bool_]) -> Rates:
    """The same loss of the whole set, packed into the cases that are affected."""
    generator = np.random.default_rng(0)
    lost = float((rates - setting.change(generator, rates)).mean())
    now = rates.copy()
    if lost:
        now[affected] = lose(rates[affected], lost * len(rates) / float(affected.sum()))
    return now


@dataclass(frozen=True)
class Summary:
    """Shares of verdicts and mean calls of a setting."""

    blocked: float
    passed: float
    drift: float
    calls: float
    """Mean trials of the candidate, whatever the verdict."""
    confirmation: float
    """Mean trials to confirm, where it was tried."""
    below: float
    """How often the truth was below the interval."""
    above: float
    """How often it was above."""
    estimate_high: float
    """How often the estimate was above the truth: half, where it is median-unbiased."""


def summary(setting: Setting) -> Summary:
    """Simulate a setting."""
    found = list(decisions(setting))
    verdicts = np.asarray([item.verdict for item, _ in found])
    confirmation = np.asarray([item.confirmation_calls for item, _ in found], np.float64)
    ends = np.asarray([(item.low, item.estimate, item.high, truth) for item, truth in found], np.float64)
    return Summary(
        blocked=float(np.mean(verdicts == "fail")),
        passed=float(np.mean(verdicts == "pass")),
        drift=float(np.mean(verdicts == "drift")),
        calls=float(np.mean([item.trials for item, _ in found])),
        confirmation=float(confirmation[confirmation > 0].mean()) if bool(confirmation.any()) else 0.0,
        below=float(np.mean(ends[:, 3] < ends[:, 0])),
        above=float(np.mean(ends[:, 3] > ends[:, 2])),
        estimate_high=float(np.mean(ends[:, 1] > ends[:, 3])),
    )


Met = Callable[[Summary], bool]


def goals() -> Iterator[tuple[str, Setting, str, Met]]:
    """What is to be reached: name, setting, goal in words, and whether a summary reaches it."""
    two = replace(BARE, margin=0.02)
    yield (
        "unchanged",
        Setting(unchanged),
        "false alarm ≤ 2%, ≤ 125 calls",
        lambda s: s.blocked <= 0.02 and s.calls <= 125,
    )
    yield (
        "5 points worse",
        Setting(drop(5), repetitions=3000),
        "power ≥ 92%, ≤ 145 calls",
        lambda s: s.blocked >= 0.92 and s.calls <= 145,
    )
    yield "2-point margin: unchanged", Setting(unchanged, two), "≤ 690 calls", lambda s: s.calls <= 690
    yield "2-point margin: 2 points worse", Setting(drop(2), two), "≤ 890 calls", lambda s: s.calls <= 890
    some = Setting(unchanged, Design(), touched=0.3)
    yield "30% touched, each run once: unchanged", some, "≤ 90 calls", lambda s: s.calls <= 90
    yield "reshuffled, no net change", Setting(reshuffle), "blocks ≤ 6%", lambda s: s.blocked <= 0.06
    vendor = Setting(unchanged, drift=3, fresh=True)
    yield "unchanged, vendor 3 points worse, confirmed", vendor, "blocks ≤ 1%", lambda s: s.blocked <= 0.01
    again = Setting(drop(2), Design(margin=0.02), budget=300, tries=5)
    yield "2 points worse, run again until green, 5 x 300", again, "passes ≤ 3%", lambda s: s.passed <= 0.03


def others() -> Iterator[tuple[str, Setting]]:
    """What has no goal of its own."""
    yield "unchanged, run again until green, 5 x 300", Setting(unchanged, Design(margin=0.02), budget=300, tries=5)
    yield "5 points worse, confirmed", Setting(drop(5), fresh=True)
    yield "5 points worse, each run once, confirmed", Setting(drop(5), Design(), fresh=True)
    yield "unchanged, each run once", Setting(unchanged, Design())
    yield "30% touched, each run once: 5 points worse", Setting(drop(5), Design(), touched=0.3)
    yield "unchanged, vendor 3 points worse, not confirmed", Setting(unchanged, drift=3)
    yield "a slice of 5% collapses, 3.5-point margin", Setting(collapse, replace(BARE, margin=0.035))
    yield "10 points worse, 10-point margin", Setting(drop(10), replace(BARE, margin=0.1))
    for runs in (5, 10, 50):
        yield f"{runs} runs of history: unchanged", Setting(unchanged, runs=runs)
        yield f"{runs} runs of history: 5 points worse", Setting(drop(5), runs=runs)
    yield "noisy cases: unchanged", Setting(unchanged, world=noisy)
    yield "noisy cases: 5 points worse", Setting(drop(5), world=noisy)
    for mode in ("fixed", "paired", "strict"):
        design = Design(floor="none", mode=mode)
        seed = PAIRED_SEED if mode == "paired" else SEED
        yield f"{mode}: unchanged", Setting(unchanged, design, fresh=mode == "paired", seed=seed)
        yield f"{mode}: 5 points worse", Setting(drop(5), design, fresh=mode == "paired", seed=seed)


def measure() -> Table:
    """Every goal, then what else there is to know."""
    rows: list[list[object]] = []
    for name, setting, goal, met in goals():
        found = summary(setting)
        rows.append([name, goal, "met" if met(found) else "MISSED", *_cells(found), _ratio(name, setting, found)])
    for name, setting in others():
        fewer = replace(setting, repetitions=min(setting.repetitions, OTHERS))
        rows.append([name, "", "", *_cells(summary(fewer)), ""])
    title = f"The sequential gate: {CASES} cases, {RUNS} runs of history, 5-point margin, no floor unless said"
    verdicts = ["BLOCKED", "PASS", "drift"]
    interval = ["truth below interval (≤ 10%)", "truth above (≤ 5%)", "estimate above truth"]
    headers = ["candidate", "goal", "", *verdicts, "calls", "to confirm", *interval, "paired t: stored, again"]
    return title, headers, rows


def _cells(found: Summary) -> list[str]:
    shares = [f"{share:.1%}" for share in (found.blocked, found.passed, found.drift)]
    interval = [f"{share:.1%}" for share in (found.below, found.above, found.estimate_high)]
    return [*shares, f"{found.calls:.0f}", f"{found.confirmation:.0f}" if found.confirmation else "", *interval]


def _ratio(name: str, setting: Setting, found: Summary) -> str:
    """How many times fewer calls than paired t tests."""
    margin = round(100 * setting.design.margin)
    if "run again" in name or "vendor" in name or "reshuffled" in name:
        return ""
    return f"{PAIRED[margin] / found.calls:.1f} x, {PAIRED_AGAIN[margin] / found.calls:.1f} x"
