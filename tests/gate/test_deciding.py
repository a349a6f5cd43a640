"""The sequential decision: what it answers, on what, and how often it is wrong."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import evalkit.gate.deciding as module
from evalkit.gate.deciding import Decision, Design, Evidence, Mode, Outcomes, decide
from evalkit.stats.anchor import History
from tests.stats.test_error_rates import golden_set, lowered

Floats = NDArray[np.float64]
Cases = NDArray[np.intp]
BARE = Design(floor="none")


class Source:
    """A simulated candidate that counts what it is asked, with a budget if wanted."""

    def __init__(self, rates: Floats, seed: int, budget: int | None = None):
        self.rates, self.generator, self.left = rates, np.random.default_rng(seed), budget
        self.asked: list[int] = []

    def __call__(self, cases: Cases) -> Floats:
        granted = cases if self.left is None else cases[: self.left]
        if self.left is not None:
            self.left -= len(granted)
        self.asked.extend(granted.tolist())
        return (self.generator.random(len(granted)) < self.rates[granted]).astype(np.float64)


def recorded(seed: int, runs: int = 20, count: int = 300) -> tuple[Floats, History]:
    generator = np.random.default_rng(seed)
    rates = golden_set(generator, count)
    return rates, History.of(np.full(count, runs), generator.binomial(runs, rates))


def always(value: float) -> Outcomes:
    return lambda cases: np.full(len(cases), value)


# ── the four verdicts ───────────────────────────────────────────────────────────────────


def test_the_example_of_the_documentation_runs() -> None:
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 8


def test_an_unchanged_candidate_passes_and_the_numbers_say_on_what() -> None:
    rates, history = recorded(1)
    source = Source(rates, 1)
    found = decide(history, source, design=BARE, seed=1)
    assert found.verdict == "pass"
    assert found.calls == found.trials == len(source.asked) < 300
    assert found.low is not None
    assert found.estimate is not None
    assert found.high is not None
    assert -0.05 < found.low < found.estimate < found.high
    assert found.llr is not None
    assert found.llr < -2
    assert (found.tau or 0) < 0.05 / 3
    assert (found.history_share, found.affected_share, found.more_calls) == (1.0, 1.0, None)
    assert "5 points" in found.reason


def test_a_worse_candidate_is_blocked_and_confirmed_by_a_fresh_baseline() -> None:
    rates, history = recorded(2)
    found = decide(history, Source(rates - 0.12, 1), baseline=Source(rates, 2), seed=1)
    assert (found.verdict, found.confirmed) == ("fail", True)
    assert found.confirmation_calls == 2 * len(found.evidence.pair_cases) > 0
    assert found.calls < 300
    unconfirmed = decide(history, Source(rates - 0.12, 1), seed=1)
    assert (unconfirmed.verdict, unconfirmed.confirmed, unconfirmed.confirmation_calls) == ("fail", None, 0)
    assert "no fresh baseline" in unconfirmed.reason


def test_a_vendor_that_changed_is_drift_and_not_the_candidate() -> None:
    rates, history = recorded(3)
    today = rates - 0.12
    found = decide(history, Source(today, 1), baseline=Source(today, 2), seed=1)
    assert (found.verdict, found.confirmed) == ("drift", False)


def test_a_budget_that_ends_is_inconclusive_and_says_how_many_more() -> None:
    rates, history = recorded(4)
    found = decide(history, Source(rates, 1, budget=37), design=BARE, seed=1)
    assert (found.verdict, found.calls, found.trials) == ("inconclusive", 37, 37)
    assert found.more_calls is not None
    assert 20 < found.more_calls < 250
    assert "budget" in found.reason
    nothing = decide(history, Source(rates, 1, budget=0), seed=1)
    assert (nothing.verdict, nothing.calls, nothing.estimate) == ("inconclusive", 0, None)
    assert nothing.more_calls is not None
    assert nothing.more_calls >= 300


def test_a_trial_without_a_score_never_passes() -> None:
    _, history = recorded(5)
    for mode in ("sequential", "strict", "fixed", "paired"):
        found = decide(history, always(np.nan), design=Design(mode=mode), baseline=always(1.0))
        assert found.verdict == "inconclusive"
        assert "without a score" in found.reason


def test_without_a_confirmation_that_finishes_a_block_is_not_final() -> None:
    rates, history = recorded(6)
    found = decide(history, Source(rates - 0.12, 1), baseline=Source(rates, 2, budget=5), seed=1)
    assert (found.verdict, found.confirmed) == ("inconclusive", None)
    assert "not yet confirmed" in found.reason
    assert (found.more_calls or 0) > 0


# ── what is compared ────────────────────────────────────────────────────────────────────


def test_cases_that_are_not_affected_are_not_run() -> None:
    rates, history = recorded(7)
    affected = np.arange(300) % 10 < 3
    source = Source(rates, 1)
    found = decide(history, source, affected=affected, seed=1)
    assert found.verdict == "pass"
    assert set(source.asked) == set(np.flatnonzero(affected).tolist())
    assert found.calls == 90
    assert found.affected_share == pytest.approx(0.3)
    untouched = decide(history, source, affected=np.zeros(300, bool))
    assert (untouched.verdict, untouched.calls, untouched.estimate) == ("pass", 0, 0.0)


def test_one_touched_case_that_could_not_reach_the_margin_is_run_once() -> None:
    rates, history = recorded(7)
    affected = np.arange(300) == int(rates.argmax())
    found = decide(history, Source(rates, 1), affected=affected, seed=1)
    assert (found.verdict, found.calls) == ("pass", 1)


def test_no_cases_are_not_a_pass() -> None:
    assert decide(History.of([], []), always(1.0)).verdict == "inconclusive"


def test_a_pass_waits_for_the_floor_and_a_block_does_not() -> None:
    rates, history = recorded(8)
    critical = np.arange(300) < 6
    for floor in ("all", "critical"):
        source = Source(rates, 1)
        found = decide(history, source, design=Design(floor=floor), critical=critical, seed=1)
        drawn = np.bincount(source.asked, minlength=300)
        assert found.verdict == "pass"
        assert drawn[:6].min() >= 5
        assert (drawn.min() >= 1) == (floor == "all")
    broken = decide(history, Source(rates - 0.15, 1), critical=critical, seed=1)
    assert broken.verdict == "fail"
    assert broken.calls < 150


def test_new_cases_are_run_though_there_is_nothing_to_compare_them_with() -> None:
    rates, history = recorded(9)
    trials, total = history.trials.copy(), history.total.copy()
    trials[:20] = total[:20] = 0
    source = Source(rates, 1)
    found = decide(History.of(trials, total), source, seed=1)
    assert found.verdict == "pass"
    assert set(range(20)) <= set(source.asked)
    assert found.history_share == pytest.approx(280 / 300)
    short = decide(History.of(trials, total), Source(rates, 1, budget=285), seed=1)
    assert short.verdict == "inconclusive"


def test_scores_between_nought_and_one_are_judged_too() -> None:
    generator = np.random.default_rng(10)
    level = generator.uniform(0.5, 0.9, 200)
    scores = np.clip(level + 0.1 * generator.standard_normal((15, 200)), 0, 1)
    history = History.of(np.full(200, 15), scores.sum(axis=0), (scores**2).sum(axis=0))

    def run(drop: float) -> Outcomes:
        return lambda cases: np.clip(level[cases] - drop + 0.1 * generator.standard_normal(len(cases)), 0, 1)

    assert decide(history, run(0.0), design=BARE, seed=1).verdict == "pass"
    found = decide(history, run(0.06), design=BARE, baseline=run(0.0), seed=2)
    assert found.verdict == "fail"
    assert found.calls < 100


# ── history that is too short ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("runs", [0, 1, 4])
def test_with_little_history_candidate_and_baseline_run_side_by_side(runs: int) -> None:
    rates, history = recorded(11, runs)
    alone = decide(history, Source(rates, 1))
    assert (alone.verdict, alone.calls) == ("inconclusive", 0)
    assert "history" in alone.reason
    found = decide(history, Source(rates, 1), baseline=Source(rates, 2), seed=1)
    assert found.verdict == "pass"
    assert found.method == "group-sequential test of pairs"
    assert found.baseline_calls == len(found.evidence.pair_cases) > 50
    assert found.low is not None
    assert found.low > -0.05
    worse = decide(history, Source(rates - 0.15, 1), baseline=Source(rates, 2), seed=1)
    assert (worse.verdict, worse.confirmation_calls) == ("fail", 0)


def test_a_margin_smaller_than_three_errors_of_the_history_is_not_judged_by_it() -> None:
    rates, history = recorded(12, runs=6, count=60)
    found = decide(history, Source(rates, 1), design=Design(margin=0.02))
    assert (found.verdict, found.calls) == ("inconclusive", 0)
    assert found.tau is not None
    assert 3 * found.tau > 0.02
    assert "times as much history" in found.reason


@pytest.mark.parametrize(("mode", "paired"), [("strict", False), ("strict", True), ("fixed", False), ("fixed", True)])
def test_every_mode_tells_a_large_drop_from_none(mode: Mode, paired: bool) -> None:
    rates, history = recorded(13, runs=2 if paired else 20)
    design = Design(mode=mode, floor="none")
    same = decide(history, Source(rates, 1), design=design, baseline=Source(rates, 2), seed=3)
    worse = decide(history, Source(rates - 0.15, 1), design=design, baseline=Source(rates, 2), seed=3)
    assert (same.verdict, worse.verdict) == ("pass", "fail")
    for found in (same, worse):
        assert ("pairs" in found.method) == paired
        assert found.low is not None
        assert found.high is not None
        assert found.low < (found.estimate or 0.0) < found.high
    assert (same.low or 0.0) > -0.05 - 0.01
    assert (worse.high or 0.0) < 0


def test_a_fixed_sample_has_a_size_that_does_not_depend_on_the_outcomes() -> None:
    rates, history = recorded(14)
    design = replace(BARE, mode="fixed")
    sizes = {decide(history, Source(rates - drop, 1), design=design).trials for drop in (0.0, 0.03, 0.2)}
    assert len(sizes) == 1
    assert 120 < sizes.pop() < 300


# ── evidence adds up ────────────────────────────────────────────────────────────────────


def same_numbers(one: Decision, other: Decision) -> bool:
    return (one.verdict, one.trials, one.estimate, one.llr) == (other.verdict, other.trials, other.estimate, other.llr)


@pytest.mark.parametrize("mode", ["sequential", "strict", "paired", "fixed"])
@pytest.mark.parametrize("drop", [0.0, 0.15])
def test_deciding_again_makes_no_call_and_gives_the_same_answer(mode: Mode, drop: float) -> None:
    rates, history = recorded(15)
    design = Design(mode=mode)
    first = decide(history, Source(rates - drop, 1), design=design, baseline=Source(rates, 2), seed=5)
    source, fresh = Source(rates, 3), Source(rates, 4)
    again = decide(history, source, design=design, baseline=fresh, earlier=first.evidence, seed=5)
    assert same_numbers(first, again)
    assert source.asked == fresh.asked == []
    assert again.calls == again.baseline_calls == again.confirmation_calls == 0


def test_a_decision_in_pieces_is_the_decision_in_one() -> None:
    rates, history = recorded(16)
    whole = decide(history, Source(rates, 1), seed=6)
    source = Source(rates, 1)
    evidence, calls = Evidence(), 0
    for _ in range(40):
        source.left = 17
        found = decide(history, source, earlier=evidence, seed=6)
        evidence, calls = found.evidence, calls + found.calls
        if found.verdict != "inconclusive":
            break
    assert same_numbers(whole, found)
    assert calls == whole.calls


def test_running_again_until_green_does_not_work() -> None:
    """Worse by the margin, five tries: as rarely green as in one, while dice that are thrown anew get there."""
    green = {True: 0, False: 0}
    for number in range(60):
        rates, history = recorded(100 + number)
        source = Source(lowered(rates, 0.05), number)
        for kept in (True, False):
            evidence = Evidence()
            for attempt in range(5):
                source.left = 300
                seed = number if kept else 1000 * attempt + number
                found = decide(history, source, design=BARE, earlier=evidence if kept else None, seed=seed)
                evidence = found.evidence
                if found.verdict == "pass":
                    green[kept] += 1
                    break
    assert green[True] / 60 <= 0.10 + 0.07
    assert green[False] > 2 * green[True]


# ── errors, small; benchmarks/gate_figures.py has the large simulation ──────────────────


def verdicts(count: int, change: Callable[[Floats], Floats], design: Design, drift: float = 0.0) -> list[Decision]:
    found = []
    for number in range(count):
        rates, history = recorded(1000 + number)
        today = lowered(rates, drift) if drift else rates
        source, fresh = Source(change(today), number), Source(today, 9000 + number)
        found.append(decide(history, source, design=design, baseline=fresh, seed=number))
    return found


def share(found: list[Decision], verdict: str) -> float:
    return sum(item.verdict == verdict for item in found) / len(found)


def test_false_alarms_and_calls_of_an_unchanged_candidate() -> None:
    found = verdicts(150, lambda rates: rates, BARE)
    assert share(found, "fail") <= 0.02
    assert share(found, "pass") >= 0.95
    assert 95 < float(np.mean([item.calls for item in found])) < 150


def test_a_drop_by_the_margin_is_found_and_confirmed() -> None:
    found = verdicts(150, lambda rates: lowered(rates, 0.05), BARE)
    assert share(found, "fail") >= 0.84
    assert share(found, "pass") <= 0.14
    assert 100 < float(np.mean([item.calls for item in found])) < 170


def test_a_drop_by_the_margin_passes_in_pairs_no_more_often_than_allowed() -> None:
    design = replace(BARE, mode="paired")
    found = verdicts(300, lambda rates: lowered(rates, 0.05), design)
    assert share(found, "pass") <= design.beta
    unchanged = verdicts(100, lambda rates: rates, design)
    assert share(unchanged, "fail") <= design.alpha
    assert share(unchanged, "pass") >= 0.9


def test_a_vendor_three_points_worse_seldom_blocks_an_unchanged_candidate() -> None:
    found = verdicts(100, lambda rates: rates, BARE, drift=0.03)
    assert share(found, "fail") <= 0.03
    assert share(found, "drift") > 0.4


# ── what cannot be right is refused ─────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "changes",
    [{"margin": 0.0}, {"margin": 1.0}, {"alpha": 0.6}, {"beta": 0.0}, {"look": 0}, {"cap": 0},
     {"critical_trials": 21}, {"looks": 0}, {"confirm_alpha": 0.0}],
)  # fmt: skip
def test_impossible_designs_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(Design(), **changes)  # type: ignore[arg-type]


def test_outcomes_that_are_no_scores_are_refused() -> None:
    _, history = recorded(17)
    with pytest.raises(ValueError, match="scores"):
        decide(history, always(1.5))
    with pytest.raises(ValueError, match="scores"):
        decide(history, lambda cases: np.ones(len(cases) + 1))


def test_masks_of_another_length_are_refused() -> None:
    _, history = recorded(18)
    with pytest.raises(ValueError, match="mask"):
        decide(history, always(1.0), affected=[True])
