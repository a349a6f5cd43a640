"""Judging in rounds: every needed trial first, all of them together, then more of the cases that vary."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.gate.deciding import Decision, Design, Evidence, decide
from evalkit.stats.anchor import History

Floats = NDArray[np.float64]
CASES, RUNS = 150, 20


def world(seed: int, count: int = CASES) -> Floats:
    """Four fifths of the cases nearly always pass, the others vary."""
    generator = np.random.default_rng(seed)
    return np.where(generator.random(count) < 0.8, generator.beta(60, 1, count), generator.beta(2, 2, count))


def decided(seed: int, drop: float = 0.0, **given: Any) -> Decision:
    rates = world(seed)
    generator = np.random.default_rng(1000 + seed)
    now = np.clip(rates - drop, 0, 1)
    design = Design(mode="rounds", **given.pop("design", {}))

    def candidate(cases: NDArray[np.intp]) -> NDArray[np.bool_]:
        return generator.random(len(cases)) < now[cases]

    history = History.of(np.full(CASES, RUNS), generator.binomial(RUNS, rates))
    return decide(history, candidate, design=design, seed=seed, **given)


def nobody(cases: NDArray[np.intp]) -> Floats:
    return np.empty(0)


def test_errors_are_as_designed() -> None:
    unchanged = Counter(decided(seed).verdict for seed in range(120))
    worse = Counter(decided(seed, 0.07).verdict for seed in range(120))
    assert unchanged["fail"] <= 4
    assert unchanged["pass"] >= 112
    assert worse["pass"] <= 8
    assert worse["fail"] >= 110


def test_every_case_is_run_before_anything_is_judged_and_the_varying_ones_again() -> None:
    again = np.zeros(CASES)
    for seed in range(40):
        decision = decided(seed, 0.03)
        counts = np.bincount(decision.evidence.cases, minlength=CASES)
        assert counts.min() >= 1
        again += np.where(counts > 1, world(seed) * (1 - world(seed)), 0)
        assert decision.calls == decision.trials == counts.sum()
    assert again.sum() > 0


def test_affected_cases_alone_are_run() -> None:
    affected = np.arange(CASES) < 40
    decision = decided(3, affected=affected)
    assert set(decision.evidence.cases.tolist()) == set(range(40))
    assert decision.verdict == "pass"


def test_critical_cases_are_run_as_often_as_is_asked_for() -> None:
    critical = np.arange(CASES) < 3
    counts = np.bincount(decided(3, critical=critical).evidence.cases, minlength=CASES)
    assert counts[:3].tolist() == [5, 5, 5]


def test_judging_again_what_was_drawn_says_the_same_without_a_call() -> None:
    for seed in range(20):
        rates = world(seed)
        generator = np.random.default_rng(1000 + seed)
        history = History.of(np.full(CASES, RUNS), generator.binomial(RUNS, rates))
        first = decided(seed, 0.04)
        again = decide(history, nobody, design=Design(mode="rounds"), earlier=first.evidence, seed=seed)
        assert (again.verdict, again.calls, again.trials) == (first.verdict, 0, first.trials)


def test_what_is_open_names_the_trials_that_would_be_made_next() -> None:
    rates = np.full(CASES, 0.9)
    history = History.of(np.full(CASES, RUNS), np.full(CASES, 18.0))
    everything = np.arange(CASES)
    outcomes = (np.random.default_rng(8).random(CASES) < rates - 0.02).astype(float)
    decision = decide(
        history, nobody, design=Design(mode="rounds"), earlier=Evidence(everything, outcomes), seed=1
    )  # fmt: skip
    assert decision.verdict == "inconclusive"
    assert decision.more_calls == len(decision.next_cases) >= 10
    nothing = decide(history, nobody, design=Design(mode="rounds"), seed=1)
    assert sorted(nothing.next_cases.tolist()) == everything.tolist()


def test_where_the_most_trials_of_a_case_settle_nothing_no_more_are_asked_for() -> None:
    history = History.of(np.full(30, 100), np.full(30, 50.0))
    generator = np.random.default_rng(2)
    decision = decide(
        history,
        lambda cases: generator.random(len(cases)) < 0.47,
        design=Design(mode="rounds", margin=0.05, cap=2, critical_trials=1),
    )
    assert decision.verdict == "inconclusive"
    assert decision.more_calls is None
    assert len(decision.next_cases) == 0


@pytest.mark.parametrize("drop", [0.0, 0.10])
def test_the_estimate_is_the_mean_of_the_cases(drop: float) -> None:
    decision = decided(5, drop)
    cases, outcomes = decision.evidence.cases, decision.evidence.outcomes
    counts = np.bincount(cases, minlength=CASES)
    means = np.bincount(cases, outcomes, minlength=CASES) / counts
    generator = np.random.default_rng(1005)
    history = generator.binomial(RUNS, world(5)) / RUNS
    assert decision.estimate == pytest.approx(float((means - history).mean()), abs=0.01)
    assert decision.low is not None
    assert decision.high is not None
    assert decision.low < -drop * 0.8 < decision.high + 0.02
