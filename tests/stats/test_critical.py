"""The rule for critical cases: what confirms, what is disputed, what the bound says, and how often it errs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from evalkit.stats import zero_failures_bound
from evalkit.stats.critical import (
    CriticalCases,
    CriticalState,
    block_probability,
    clean_trials_needed,
    judge_critical,
    plan_trials,
)

CONFIRMED, PENDING, INCOMPLETE, DISPUTED, CLEAN = CriticalState


def judged(*rows: tuple[int, bool, int, int], n: int = 1, trials: int = 1) -> CriticalCases:
    """Rows of case, failed, re-graded, failed again."""
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    cases, failed, again, failed_again = (np.asarray(column) for column in columns)
    return judge_critical(
        n, cases.astype(int), failed.astype(bool), again.astype(int), failed_again.astype(int), trials=trials
    )


@pytest.mark.parametrize(
    ("again", "failed_again", "state"),
    [
        (0, 0, PENDING),
        (1, 1, PENDING),
        (1, 0, PENDING),
        (2, 1, PENDING),
        (2, 2, CONFIRMED),
        (2, 0, DISPUTED),
        (3, 2, CONFIRMED),
        (3, 3, CONFIRMED),
        (3, 1, DISPUTED),
        (3, 0, DISPUTED),
        (4, 2, PENDING),
        (5, 3, CONFIRMED),
        (5, 2, DISPUTED),
    ],
)
def test_a_majority_of_re_gradings_decides_as_soon_as_it_cannot_change(
    again: int, failed_again: int, state: CriticalState
) -> None:
    found = judged((0, True, again, failed_again))
    assert found.states.tolist() == [state]
    assert found.blocked is (state is CONFIRMED)
    assert not found.passed
    assert [found.confirmed[0], found.pending[0], found.disputed[0]] == [
        int(state is kind) for kind in (CONFIRMED, PENDING, DISPUTED)
    ]


def test_the_worst_that_holds_is_the_state_of_a_case() -> None:
    clean, confirmed, disputed, pending = (False, 0, 0), (True, 3, 3), (True, 3, 0), (True, 0, 0)
    rows = [
        *((0, *kind) for kind in (clean, confirmed, disputed, pending)),
        *((1, *kind) for kind in (clean, clean, disputed, pending)),
        *((2, *kind) for kind in (clean, disputed, disputed)),
        *((3, *kind) for kind in (clean, clean, disputed, clean)),
        *((4, *kind) for kind in (clean, clean, clean, clean)),
    ]
    found = judged(*rows, n=6, trials=4)
    assert found.states.tolist() == [CONFIRMED, PENDING, INCOMPLETE, DISPUTED, CLEAN, INCOMPLETE]
    assert found.trials.tolist() == [4, 4, 3, 4, 4, 0]
    assert found.blocked


def test_only_clean_cases_pass_and_none_at_all_do_not() -> None:
    rows = [(case, False, 0, 0) for case in range(3) for _ in range(5)]
    assert judged(*rows, n=3, trials=5).passed
    assert not judged(*rows, n=4, trials=5).passed
    assert not judged(*rows[1:], n=3, trials=5).passed
    assert not judged(*rows[1:], (0, True, 3, 0), n=3, trials=5).passed
    assert not judged(n=0).passed
    assert judged(n=0).bound == 1.0


# ── the bound ───────────────────────────────────────────────────────────────────────────


def test_without_failures_the_bound_is_that_of_so_many_clean_trials() -> None:
    rows = [(case, False, 0, 0) for case in range(20) for _ in range(5)]
    assert judged(*rows, n=20, trials=5).bound == pytest.approx(zero_failures_bound(100))


@pytest.mark.parametrize("kind", [(True, 3, 3), (True, 3, 0), (True, 0, 0)])
def test_every_failure_that_no_person_refuted_counts_in_the_bound(kind: tuple[bool, int, int]) -> None:
    rows = [(0, *kind), *((0, False, 0, 0) for _ in range(39))]
    assert judged(*rows, trials=40).bound == pytest.approx(
        stats.binomtest(1, 40).proportion_ci(0.90, method="exact").high
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0.0, 0.9), min_size=1, max_size=12), st.integers(1, 6))
def test_the_bound_on_the_mean_rate_holds_where_rates_differ(rates: list[float], trials: int) -> None:
    """No failure is likelier to be seen at 5% or less wherever the mean rate is above the bound."""
    clean = float(np.prod((1 - np.asarray(rates)) ** trials))
    bound = zero_failures_bound(len(rates) * trials)
    if np.mean(rates) > bound:
        assert clean <= 0.05 + 1e-12


@pytest.mark.parametrize(("rate", "n"), [(0.1, 29), (0.05, 59), (0.02, 149), (0.01, 299), (0.005, 598), (0.001, 2995)])
def test_clean_trials_that_a_claim_needs(rate: float, n: int) -> None:
    assert clean_trials_needed(rate) == n
    assert zero_failures_bound(n) <= rate < zero_failures_bound(n - 1)


@given(st.floats(1e-4, 0.9), st.floats(1e-3, 0.5))
def test_no_fewer_clean_trials_would_do(rate: float, tail: float) -> None:
    n = clean_trials_needed(rate, tail)
    assert (1 - rate) ** n <= tail * (1 + 1e-6)
    assert n == 1 or (1 - rate) ** (n - 1) > tail * (1 - 1e-6)


# ── the plan ────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.integers(0, 12), max_size=12), st.integers(1, 6), st.sampled_from([None, 0.3, 0.1, 0.05]))
def test_the_plan_reaches_its_goals_with_no_trial_too_many(done: list[int], trials: int, claim: float | None) -> None:
    more = plan_trials(np.asarray(done, int), trials=trials, claim=claim)
    after = np.asarray(done, int) + more
    assert (more >= 0).all()
    assert (after >= trials).all()
    needed = clean_trials_needed(claim) if claim else 0
    least = int(np.maximum(np.asarray(done, int), trials).sum())
    assert int(after.sum()) == (max(least, needed) if done else 0)
    added = after[more > 0]
    if claim and len(added) and least < needed:
        raised = after[after > np.maximum(np.asarray(done), trials)]
        assert raised.max() - after.min() <= 1


def test_fifty_cases_need_five_trials_each_for_a_start_and_six_to_rule_out_one_percent() -> None:
    assert plan_trials(np.zeros(50, int)).tolist() == [5] * 50
    assert sorted(plan_trials(np.full(50, 5), claim=0.01).tolist()) == [0] + [1] * 49


# ── error rates ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("false_fail", "false_block", "caught_5", "caught_20"),
    [(0.002, 0.000, 0.222, 0.668), (0.01, 0.001, 0.226, 0.677), (0.02, 0.006, 0.229, 0.675)],
)
def test_the_rates_of_the_specification(
    false_fail: float, false_block: float, caught_5: float, caught_20: float
) -> None:
    """Fifty cases, one of which violates at a rate; a violation is always seen. Those figures were drawn."""
    rates = np.zeros(50)
    found = []
    for rate in (0.0, 0.05, 0.20, 1.0):
        rates[0] = rate
        found.append(block_probability(rates, false_fail=false_fail))
    assert found == pytest.approx([false_block, caught_5, caught_20, 1.0], abs=0.01)
    assert found[0] == pytest.approx(false_block, abs=6e-4)


def test_the_rule_blocks_as_often_as_is_computed() -> None:
    generator, rounds, cases = np.random.default_rng(41), 3_000, 10
    rates = np.linspace(0, 0.15, cases)
    which = np.tile(np.repeat(np.arange(cases), 5), rounds)
    violates = generator.random(len(which)) < rates[which]
    fails = np.where(violates, 0.9, 0.1)
    failed = generator.random(len(which)) < fails
    again = np.where(failed, 3, 0)
    found = judge_critical(
        cases * rounds,
        np.repeat(np.arange(cases * rounds), 5),
        failed,
        again,
        generator.binomial(again, fails),
    )
    blocked = (found.confirmed.reshape(rounds, cases) > 0).any(axis=1).mean()
    exact = block_probability(rates, false_fail=0.1, false_pass=0.1)
    assert blocked == pytest.approx(exact, abs=5 * np.sqrt(exact * (1 - exact) / rounds))


def test_certain_failures_block_for_certain() -> None:
    assert block_probability(np.asarray([1.0])) == 1.0
    assert block_probability(np.asarray([])) == 0.0
    level = optimize.brentq(lambda rate: block_probability(np.asarray([rate])) - 0.5, 0.01, 0.9)
    assert level == pytest.approx(1 - 0.5**0.2)


def test_what_does_not_fit_is_refused() -> None:
    one = np.asarray([1])
    for arguments, message in [
        ((1, one, one > 0, one, one), "between 0 and 0"),
        ((2, one, one > 0, one, 2 * one), "no more can fail"),
        ((2, one, np.asarray([True, True]), one, one), "one entry a trial"),
    ]:
        with pytest.raises(ValueError, match=message):
            judge_critical(*arguments)
    with pytest.raises(ValueError, match="odd"):
        judge_critical(2, one, one > 0, one, one, regrades=2)
    with pytest.raises(ValueError, match="between 0 and 1"):
        clean_trials_needed(0.0)
