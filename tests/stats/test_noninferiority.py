"""Cost and latency: against Student's t, Fieller by hand and statsmodels; zeros; coverage and errors by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from evalkit.stats import percentile_interval, ratio_of_means
from evalkit.stats.noninferiority import (
    LogRatio,
    Step,
    cost_per_success,
    cost_per_success_ratio,
    log_ratio,
    log_ratio_sprt,
    percentile_ratio,
)

Floats = NDArray[np.float64]
POSITIVE = st.floats(1e-6, 1e6)


def paired(before: list[float] | Floats, now: list[float] | Floats, margin: float = 0.1, **options: object) -> LogRatio:
    """One trial a side and case."""
    n = len(before)
    return log_ratio(
        np.concatenate([before, now]),
        np.tile(np.arange(n), 2),
        np.repeat([False, True], n),
        margin=margin,
        **options,  # type: ignore[arg-type]
    )


# ── the log ratio ───────────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=3, max_size=30), st.floats(0.01, 0.5))
def test_without_clusters_it_is_students_test_of_the_logs(rows: list[tuple[float, float]], margin: float) -> None:
    before, now = np.asarray(rows).T
    logs = np.log(now / before)
    found = paired(before, now, margin)
    if logs.std() < 1e-6:
        return
    below = stats.ttest_1samp(logs, math.log1p(margin), alternative="less")
    assert found.ratio == pytest.approx(stats.gmean(now / before))
    assert found.p_noninferior == pytest.approx(below.pvalue, abs=1e-9)
    assert found.p_exceeds == pytest.approx(1 - below.pvalue, abs=1e-9)
    ends = [stats.t.ppf(share, len(rows) - 1, logs.mean(), stats.sem(logs)) for share in (0.05, 0.90)]
    assert [math.log(found.low), math.log(found.high)] == pytest.approx(ends, rel=1e-6, abs=1e-9)


def test_with_clusters_the_error_is_that_of_a_cluster_robust_regression() -> None:
    generator = np.random.default_rng(1)
    clusters = np.arange(40) // 4
    before = generator.lognormal(0, 1, 40)
    now = before * generator.lognormal(0.1, 0.2, 40) * generator.lognormal(0, 0.3, 10)[clusters]
    fit = sm.OLS(np.log(now / before), np.ones(40)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False}
    )
    found = paired(before, now, clusters=clusters)
    assert found.log_error == pytest.approx(fit.bse[0] * math.sqrt(10 / 9))
    assert found.units == 10
    assert found.log_error > paired(before, now).log_error


def test_logs_are_averaged_trial_by_trial_so_that_much_history_does_not_look_dear() -> None:
    generator = np.random.default_rng(2)
    n, h = 400, 20
    cases = np.concatenate([np.repeat(np.arange(n), h), np.arange(n)])
    values = generator.lognormal(0, 1, n)[cases] * generator.lognormal(0, 0.6, len(cases))
    found = log_ratio(values, cases, np.arange(len(cases)) >= n * h, margin=0.1)
    assert found.low < 1 < found.high
    assert found.log_error == pytest.approx(0.6 * math.sqrt((1 + 1 / h) / n), rel=0.15)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=2, max_size=20), st.floats(0.2, 5))
def test_units_cancel_a_factor_goes_through_and_exchanging_inverts(
    rows: list[tuple[float, float]], factor: float
) -> None:
    before, now = np.asarray(rows).T
    found, times = paired(before, now), paired(before, factor * now)
    exchanged = paired(now, before, tail_low=0.10, tail_high=0.05)
    scaled = paired(1e3 * before, 1e3 * now)
    assert (scaled.ratio, scaled.low) == pytest.approx((found.ratio, found.low), rel=1e-6)
    assert (times.ratio, times.low) == pytest.approx((factor * found.ratio, factor * found.low), rel=1e-6)
    assert (exchanged.ratio, exchanged.high) == pytest.approx((1 / found.ratio, 1 / found.low), rel=1e-6)


@pytest.mark.parametrize(("factor", "noninferior"), [(1.05, True), (1.15, False)])
def test_a_price_that_rose_for_all_alike_is_known_exactly(factor: float, noninferior: bool) -> None:
    before = np.asarray([1.0, 2.0, 7.0])
    found = paired(before, factor * before)
    assert (found.low, found.ratio, found.high) == pytest.approx((factor,) * 3)
    assert found.noninferior is noninferior
    assert found.exceeds is not noninferior
    assert found.p_noninferior == (0.0 if noninferior else 1.0)


def test_one_case_or_none_says_nothing() -> None:
    one, none = paired([1.0], [3.0]), paired([], [])
    assert one.ratio == pytest.approx(3.0)
    assert (one.low, one.high, one.units) == (0.0, math.inf, 1)
    assert math.isnan(none.ratio)
    for found in (one, none):
        assert (found.p_noninferior, found.p_exceeds) == (0.5, 0.5)
        assert not found.noninferior
        assert not found.exceeds


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_measurement_that_cannot_be_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="negative, infinite or missing"):
        paired([1.0, 2.0], [1.0, value])


# ── zeros ───────────────────────────────────────────────────────────────────────────────


def test_cases_that_are_free_before_and_now_have_not_changed() -> None:
    found = paired([0.0] * 5 + [1.0, 2.0], [0.0] * 5 + [1.1, 2.4])
    logs = np.log([1.0] * 5 + [1.1, 1.2])
    assert (found.n, found.units, found.unchanged_zeros) == (7, 7, 5)
    assert found.ratio == pytest.approx(math.exp(logs.mean()))
    assert (found.zeros_up, found.zeros_down) == (0, 0)


def test_a_case_with_a_zero_on_one_side_is_set_aside_and_counted() -> None:
    found = paired([0.0, 1.0, 1.0, 2.0, 3.0], [5.0, 0.0, 1.0, 2.0, 3.0])
    assert (found.n, found.units, found.zeros_up, found.zeros_down) == (5, 3, 1, 1)
    assert found.ratio == pytest.approx(1.0)
    assert found.means == pytest.approx(
        ratio_of_means(np.asarray([0.0, 1, 1, 2, 3]), np.asarray([5.0, 0, 1, 2, 3]), tail_low=0.05, tail_high=0.10)
    )


def test_free_cases_that_cost_now_cannot_pass_by_being_set_aside() -> None:
    before = [1.0] * 30
    alone = paired(before, before)
    assert alone.noninferior
    joined = paired([*before, 0.0, 0.0], [*before, 20.0, 20.0])
    assert joined.high < joined.limit
    assert not joined.noninferior
    assert log_ratio_sprt(alone).step is Step.PASS
    assert log_ratio_sprt(joined).step is Step.CONTINUE
    many = paired([1.0] * 30 + [0.0] * 60, [1.0] * 30 + [5.0] * 60)
    assert many.exceeds


def test_a_zero_among_several_trials_sets_the_case_aside() -> None:
    values = np.asarray([1.0, 0.0, 1.0, 2.0, 2.0, 2.0])
    found = log_ratio(values, np.asarray([0, 0, 0, 1, 1, 1]), np.asarray([False, False, True] * 2), margin=0.1)
    assert (found.units, found.zeros_up, found.zeros_down) == (1, 1, 0)


# ── errors of the fixed and the sequential test ─────────────────────────────────────────


def measured(generator: np.random.Generator, n: int, factor: float, h: int = 10) -> tuple[Floats, Floats]:
    """Logs of history means and of one trial now: cases vary by a factor of e, trials by 1.35."""
    case = generator.normal(0, 1, n)
    return case + generator.normal(0, 0.3 / math.sqrt(h), n), case + math.log(factor) + generator.normal(0, 0.3, n)


def test_the_fixed_test_errs_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    at_limit = [paired(*np.exp(measured(generator, 60, 1.1))) for _ in range(1_000)]
    assert np.mean([found.noninferior for found in at_limit]) == pytest.approx(0.10, abs=0.03)
    assert np.mean([found.exceeds for found in at_limit]) == pytest.approx(0.05, abs=0.025)
    assert np.mean([found.p_noninferior <= 0.1 for found in at_limit]) == pytest.approx(0.10, abs=0.03)


def test_the_log_likelihood_ratio_is_that_of_two_normals() -> None:
    generator = np.random.default_rng(4)
    found = paired(*np.exp(measured(generator, 50, 1.05)))
    state = log_ratio_sprt(found)
    estimate, error = math.log(found.ratio), found.log_error
    expected = stats.norm.logpdf(estimate, math.log(1.1), error) - stats.norm.logpdf(estimate, 0.0, error)
    assert state.llr == pytest.approx(expected)
    assert (state.lower, state.upper) == pytest.approx((math.log(0.10 / 0.95), math.log(0.90 / 0.05)))


@pytest.mark.parametrize(("factor", "wrong", "most"), [(1.0, Step.FAIL, 0.05), (1.1, Step.PASS, 0.10)])
def test_the_sequential_test_looked_at_after_every_few_cases_errs_no_more_than_it_says(
    factor: float, wrong: Step, most: float
) -> None:
    generator, errors, used = np.random.default_rng(5), 0, []
    for _ in range(200):
        before, now = np.exp(measured(generator, 600, factor))
        for seen in range(20, 601, 10):
            step = log_ratio_sprt(paired(before[:seen], now[:seen])).step
            if step is not Step.CONTINUE:
                errors += step is wrong
                used.append(seen)
                break
    assert errors / 200 <= most + 0.03
    assert len(used) > 190
    # a sample of fixed size with the same errors: (1.645 + 1.282)^2 * 0.3^2 * 1.1 / ln(1.1)^2
    assert np.mean(used) < 0.75 * (1.645 + 1.282) ** 2 * 0.09 * 1.1 / math.log(1.1) ** 2


def test_the_first_look_waits_and_a_margin_is_needed() -> None:
    found = paired([1.0] * 19, [9.0] * 19)
    assert log_ratio_sprt(found).step is Step.CONTINUE
    assert log_ratio_sprt(found, min_units=10).step is Step.FAIL
    with pytest.raises(ValueError, match="above nought"):
        log_ratio_sprt(paired([1.0] * 30, [1.0] * 30, margin=0.0))


# ── cost of a success ───────────────────────────────────────────────────────────────────


def arms(generator: np.random.Generator, n: int, share: float) -> tuple[Floats, Floats]:
    """Costs and successes; what fails costs half as much again: a success costs e^0.125 (1.5 - share / 2) / share."""
    success = (generator.random(n) < share).astype(float)
    return generator.lognormal(0, 0.5, n) * np.where(success > 0, 1.0, 1.5), success


def test_fiellers_ends_are_where_the_test_just_rejects() -> None:
    cost, success = arms(np.random.default_rng(6), 50, 0.8)
    ratio, low, high = cost_per_success(cost, success, tail_low=0.05, tail_high=0.10)
    assert ratio == pytest.approx(cost.sum() / success.sum())
    assert stats.ttest_1samp(cost - low * success, 0.0, alternative="greater").pvalue == pytest.approx(0.05)
    assert stats.ttest_1samp(cost - high * success, 0.0, alternative="less").pvalue == pytest.approx(0.10)
    # where successes are many the delta method says nearly the same
    assert (low, high) == pytest.approx(ratio_of_means(success, cost)[1:], rel=0.05)


@pytest.mark.parametrize(("n", "share"), [(40, 0.25), (60, 0.8)])
def test_fiellers_interval_covers_also_where_successes_are_few(n: int, share: float) -> None:
    generator = np.random.default_rng(7)
    truth = math.exp(0.125) * (1.5 - share / 2) / share
    found = [cost_per_success(*arms(generator, n, share)) for _ in range(1_500)]
    assert np.mean([low > truth for _, low, _ in found]) == pytest.approx(0.05, abs=0.03)
    assert np.mean([high < truth for _, _, high in found]) == pytest.approx(0.05, abs=0.03)


def test_so_few_successes_that_there_may_be_none_leave_the_upper_end_open() -> None:
    cost = np.ones(10)
    success = np.asarray([1.0] + [0.0] * 9)
    ratio, low, high = cost_per_success(cost, success)
    assert ratio == pytest.approx(10.0)
    assert high == math.inf
    assert stats.ttest_1samp(cost - low * success, 0.0, alternative="greater").pvalue == pytest.approx(0.05)
    assert cost_per_success(cost, np.zeros(10)) == (math.inf, 0.0, math.inf)
    assert cost_per_success(cost[:1], np.ones(1)) == (1.0, 0.0, math.inf)
    with pytest.raises(ValueError, match="one entry a case"):
        cost_per_success(cost, success[:5])


def test_a_cluster_is_one_piece_of_evidence_of_costs_too() -> None:
    generator = np.random.default_rng(8)
    cost, success = arms(generator, 20, 0.8)
    cost_now, success_now = arms(generator, 20, 0.7)
    sides = [np.tile(array, 3) for array in (cost, success, cost_now, success_now)]
    clusters = np.tile(np.arange(20), 3)
    assert cost_per_success(sides[0], sides[1], clusters) == pytest.approx(cost_per_success(cost, success))
    alone = cost_per_success_ratio((cost, success), (cost_now, success_now))
    together = cost_per_success_ratio((sides[0], sides[1]), (sides[2], sides[3]), clusters)
    assert together == pytest.approx(alone)


def test_where_all_succeed_the_ratio_is_that_of_the_means() -> None:
    generator = np.random.default_rng(9)
    before, now = generator.lognormal(0, 1, 40), generator.lognormal(0.2, 1, 40)
    ones = np.ones(40)
    assert cost_per_success_ratio((before, ones), (now, ones)) == pytest.approx(ratio_of_means(before, now))


@pytest.mark.parametrize(("share_now", "n"), [(0.8, 100), (0.5, 200)])
def test_the_ratio_of_costs_of_a_success_is_covered(share_now: float, n: int) -> None:
    generator = np.random.default_rng(10)
    truth = ((1.5 - share_now / 2) / share_now) / ((1.5 - 0.8 / 2) / 0.8)
    found = [cost_per_success_ratio(arms(generator, n, 0.8), arms(generator, n, share_now)) for _ in range(1_000)]
    assert np.mean([low > truth for _, low, _ in found]) == pytest.approx(0.05, abs=0.03)
    assert np.mean([high < truth for _, _, high in found]) == pytest.approx(0.10, abs=0.03)


def test_without_success_or_cost_there_is_no_ratio_to_speak_of() -> None:
    one, none = np.ones(3), np.zeros(3)
    assert cost_per_success_ratio((one, one), (one, none)) == (math.inf, 0.0, math.inf)
    assert cost_per_success_ratio((one, none), (one, one)) == (0.0, 0.0, math.inf)
    assert cost_per_success_ratio((one, one), (none, one)) == (0.0, 0.0, math.inf)
    assert math.isnan(cost_per_success_ratio((one, none), (one, none))[0])


# ── percentiles ─────────────────────────────────────────────────────────────────────────


def test_the_ends_join_those_of_each_sample_at_half_the_error() -> None:
    generator = np.random.default_rng(11)
    before, now = generator.lognormal(0, 1, 300), generator.lognormal(0.2, 1, 200)
    found = percentile_ratio(before, now, 0.95, tail_low=0.05, tail_high=0.10)
    low, high = percentile_interval(now, 0.95, 0.025)[0], percentile_interval(now, 0.95, 0.05)[1]
    over, under = percentile_interval(before, 0.95, 0.025)[1], percentile_interval(before, 0.95, 0.05)[0]
    assert (found.ratio_low, found.ratio_high) == pytest.approx((low / over, high / under))
    assert (found.difference_low, found.difference_high) == pytest.approx((low - over, high - under))
    assert found.ratio == pytest.approx(found.candidate / found.baseline)


@pytest.mark.parametrize("same", [True, False])
def test_the_ends_are_wrong_no_more_often_than_they_say_paired_or_not(same: bool) -> None:
    """A discrete, skewed distribution; opposite pairs make the two samples err together."""
    generator, wrong_low, wrong_high = np.random.default_rng(12), 0, 0
    for _ in range(1_000):
        share = generator.random(150)
        other = 1 - share if same else generator.random(150)
        before, now = stats.geom.ppf(share, 0.05), 1.2 * stats.geom.ppf(other, 0.05)
        found = percentile_ratio(before, now, 0.9, tail_low=0.2, tail_high=0.2)
        wrong_low += found.ratio_low > 1.2
        wrong_high += found.ratio_high < 1.2
    assert wrong_low / 1_000 <= 0.2
    assert wrong_high / 1_000 <= 0.2


def test_samples_that_are_too_small_leave_ends_open() -> None:
    values = np.arange(1.0, 72.0)
    found = percentile_ratio(values, values)
    assert (found.ratio_low, found.ratio_high, found.difference_high) == (0.0, math.inf, math.inf)
    assert found.difference_low == -math.inf
    larger = np.arange(1.0, 73.0)
    assert percentile_ratio(larger, larger).ratio_high < math.inf
    zero = percentile_ratio(np.zeros(200), np.ones(200))
    assert (zero.ratio, zero.ratio_high) == (math.inf, math.inf)
    assert (zero.difference_low, zero.difference_high) == (1.0, 1.0)
    with pytest.raises(ValueError, match="at least one"):
        percentile_ratio(values, np.empty(0))
