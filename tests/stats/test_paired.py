"""Paired comparisons against exact McNemar, brute force, Student's t and cluster-robust regression."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from evalkit.stats import holm, paired_difference, paired_share_difference, sign_flip_test, zero_failures_bound

Floats = NDArray[np.float64]


def _table(broke: int, fixed: int, both: int = 0, neither: int = 0) -> tuple[Floats, Floats]:
    before = [1.0] * broke + [0.0] * fixed + [1.0] * both + [0.0] * neither
    now = [0.0] * broke + [1.0] * fixed + [1.0] * both + [0.0] * neither
    return np.asarray(before), np.asarray(now)


def _brute_force(sums: Floats) -> tuple[float, float]:
    """P of a sum at most, and at least, the observed one over all signs."""
    values = np.abs(sums[sums != 0])
    signs = np.asarray(list(itertools.product((-1.0, 1.0), repeat=len(values))))
    drawn, observed = signs @ values, sums.sum()
    return float((drawn <= observed + 1e-12).mean()), float((drawn >= observed - 1e-12).mean())


# ── the sign-flip test ──────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 60), st.integers(0, 60))
def test_pass_and_fail_without_clusters_is_the_exact_mcnemar_test(broke: int, fixed: int) -> None:
    found = paired_difference(*_table(broke, fixed, both=5))
    if broke + fixed == 0:
        assert (found.p_worse, found.p_better) == (1.0, 1.0)
        return
    assert found.p_worse == pytest.approx(stats.binomtest(broke, broke + fixed, 0.5, "greater").pvalue, rel=1e-9)
    assert found.p_better == pytest.approx(stats.binomtest(fixed, broke + fixed, 0.5, "greater").pvalue, rel=1e-9)
    two_sided = float(mcnemar([[5, broke], [fixed, 0]], exact=True).pvalue)
    assert min(1.0, 2 * min(found.p_worse, found.p_better)) == pytest.approx(two_sided, rel=1e-9)
    assert found.method.startswith("exact sign-flip test")


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 12), st.lists(st.integers(-30, 30), min_size=1, max_size=10))
def test_sums_of_a_common_unit_give_the_exact_distribution(trials: int, counts: list[int]) -> None:
    sums = np.asarray(counts) / trials
    worse, better, method = sign_flip_test(sums)
    if not any(counts):
        assert (worse, better, method) == (1.0, 1.0, "no difference")
        return
    assert (worse, better) == pytest.approx(_brute_force(sums), abs=1e-12)
    assert method == "exact sign-flip test"


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-1, 1).filter(lambda x: abs(x) > 1e-3), min_size=2, max_size=10), st.integers(0, 3))
def test_sums_without_a_common_unit_are_drawn_and_close_to_the_truth(values: list[float], seed: int) -> None:
    sums = np.asarray([*values, math.pi / 10])
    worse, better, method = sign_flip_test(sums, seed=seed)
    exact = _brute_force(sums)
    assert method == "drawn sign-flip test"
    assert (worse, better) == pytest.approx(exact, abs=5 * 0.5 / math.sqrt(9_999))
    assert sign_flip_test(sums, seed=seed) == (worse, better, method)


def test_a_drawn_p_value_is_never_zero() -> None:
    sums = -(1 + np.sqrt(np.arange(2, 60)) / 10)
    worse, better, method = sign_flip_test(sums)
    assert method == "drawn sign-flip test"
    assert worse == pytest.approx(1 / 10_000)
    assert better == 1.0


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_the_order_of_the_clusters_does_not_matter(counts: list[int], chance: object) -> None:
    shuffled = list(counts)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sign_flip_test(np.asarray(shuffled) / 4)[:2] == pytest.approx(sign_flip_test(np.asarray(counts) / 4)[:2])


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_tiny_difference_in_the_first_cluster_hides_nothing() -> None:
    drops = [-1.0] * 20
    first, _, _ = sign_flip_test(np.asarray([-1e-10, *drops]))
    last, _, _ = sign_flip_test(np.asarray([*drops, -1e-10]))
    assert last < 1e-5
    assert first < 1e-5


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_huge_values_are_compared_too() -> None:
    worse, _, _ = sign_flip_test(np.asarray([-1e300] * 8))
    assert worse == pytest.approx(2**-8, abs=0.01)


# ── clusters and untouched cases ────────────────────────────────────────────────────────


def test_cases_of_one_cluster_are_one_piece_of_evidence() -> None:
    before, now = _table(broke=12, fixed=0, both=48)
    alone = paired_difference(before, now)
    together = paired_difference(before, now, np.repeat(np.arange(15), 4))
    assert alone.p_worse == pytest.approx(2**-12)
    assert together.p_worse == pytest.approx(2**-3)
    assert (alone.clusters, together.clusters, together.touched) == (60, 15, 60)
    assert together.low < alone.low
    assert together.delta == alone.delta == pytest.approx(-0.2)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
def test_names_of_clusters_do_not_matter(rows: list[tuple[bool, bool, int]]) -> None:
    before, now = (np.asarray([row[side] for row in rows], np.float64) for side in (0, 1))
    clusters = np.asarray([row[2] for row in rows])
    for one, other in (
        (paired_difference(before, now, clusters), paired_difference(before, now, 1000 - 7 * clusters)),
        (paired_difference(before, now), paired_difference(before, now, np.arange(len(rows))[::-1])),
    ):
        assert (one.clusters, one.method) == (other.clusters, other.method)
        assert (one.p_worse, one.low, one.high) == pytest.approx((other.p_worse, other.low, other.high), abs=1e-12)


def test_a_single_cluster_proves_nothing() -> None:
    before, now = _table(broke=0, fixed=0, both=100)
    found = paired_difference(before, now, np.zeros(100, np.int64))
    alone = paired_difference(before[:1], now[:1])
    assert (found.low, found.high) == (alone.low, alone.high)
    rates = np.full(100, 0.5)
    assert paired_difference(rates, rates - 0.25, np.zeros(100, np.int64)).low == -1.0


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10), st.integers(0, 10), st.integers(1, 30), st.integers(1, 200))
def test_untouched_cases_dilute_and_carry_no_doubt(broke: int, fixed: int, same: int, untouched: int) -> None:
    before, now = _table(broke, fixed, both=same)
    touched_only = paired_difference(before, now)
    n = len(before) + untouched
    mask = np.arange(n) < len(before)
    whole = paired_difference(
        np.concatenate([before, np.ones(untouched)]), np.concatenate([now, np.ones(untouched)]), touched=mask
    )
    share = len(before) / n
    assert (whole.n, whole.touched) == (n, len(before))
    for name in ("delta", "low", "high"):
        assert getattr(whole, name) == pytest.approx(getattr(touched_only, name) * share, abs=1e-12)
    assert (whole.p_worse, whole.broke, whole.fixed) == (touched_only.p_worse, broke, fixed)
    assert whole.candidate - whole.baseline == pytest.approx(whole.delta)


def test_nothing_touched_is_no_difference_at_all() -> None:
    found = paired_difference(np.asarray([1.0, 0.0]), np.asarray([1.0, 0.0]), touched=np.zeros(2, bool))
    assert (found.delta, found.low, found.high, found.p_worse, found.touched) == (0.0, 0.0, 0.0, 1.0, 0)
    assert found.method == "untouched"


def test_no_pairs_have_no_means_and_no_evidence() -> None:
    found = paired_difference(np.empty(0), np.empty(0))
    assert (found.n, found.p_worse, found.p_better) == (0, 1.0, 1.0)
    assert math.isnan(found.baseline)
    assert math.isnan(found.candidate)


# ── intervals ───────────────────────────────────────────────────────────────────────────


def test_pass_and_fail_get_tangos_interval() -> None:
    found = paired_difference(*_table(broke=9, fixed=3, both=60, neither=8), tail_low=0.1, tail_high=0.05)
    assert (found.low, found.high) == paired_share_difference(9, 3, 80, 0.1, 0.05)
    assert found.delta == pytest.approx(-6 / 80)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=3, max_size=60))
def test_rates_without_clusters_get_students_interval(rows: list[tuple[int, int]]) -> None:
    before, now = (np.asarray([1, *(row[side] for row in rows)]) / 3 for side in (0, 1))
    differences = now - before
    found = paired_difference(before, now, tail_low=0.1, tail_high=0.025)
    if differences.std() < 1e-9:
        mean = differences.mean()
        bounds = zero_failures_bound(len(before), 0.1), zero_failures_bound(len(before), 0.025)
        assert (found.low, found.high) == pytest.approx((mean - bounds[0], mean + bounds[1]))
        return
    error, freedom = stats.sem(differences), len(differences) - 1
    expected = (
        differences.mean() - stats.t.isf(0.1, freedom) * error,
        differences.mean() + stats.t.isf(0.025, freedom) * error,
    )
    assert (found.low, found.high) == pytest.approx((max(-1, expected[0]), min(1, expected[1])), abs=1e-9)


def test_clustered_interval_is_that_of_cluster_robust_regression() -> None:
    generator = np.random.default_rng(11)
    clusters = generator.integers(0, 25, 120)
    before = generator.integers(0, 4, 120) / 3
    now = np.clip(before + generator.integers(-1, 2, 25)[clusters] / 3, 0, 1)
    fit = sm.OLS(now - before, np.ones(120)).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    expected = fit.conf_int(alpha=0.1)[0]
    found = paired_difference(before, now, clusters, tail_low=0.05, tail_high=0.05)
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-9)
    assert found.delta == pytest.approx(fit.params[0])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 9)), min_size=4, max_size=50),
    st.sampled_from([1, 2]),
)
def test_exchanging_the_sides_mirrors_everything(rows: list[tuple[int, int, int]], parts: int) -> None:
    before, now = (np.minimum(np.asarray([row[side] for row in rows]) / parts, 1.0) for side in (0, 1))
    clusters = np.asarray([row[2] for row in rows])
    one = paired_difference(before, now, clusters, tail_low=0.1, tail_high=0.05)
    other = paired_difference(now, before, clusters, tail_low=0.05, tail_high=0.1)
    assert (one.p_worse, one.p_better) == pytest.approx((other.p_better, other.p_worse))
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-9)
    assert (one.broke, one.fixed, one.delta) == pytest.approx((other.fixed, other.broke, -other.delta))


# ── several tests ───────────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=12)
@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0])), min_size=1, max_size=30))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist(), abs=1e-12)


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]) == []


def test_a_scale_that_is_not_that_of_shares_is_not_cut_at_one() -> None:
    generator = np.random.default_rng(5)
    before = generator.normal(53, 2, 60)
    now = before - 41 + generator.normal(0, 1, 60)
    found = paired_difference(before, now)
    assert found.low < found.delta < found.high < -30


def test_without_any_change_nothing_is_known_of_a_scale_without_bounds() -> None:
    found = paired_difference(np.full(40, 53.0), np.full(40, 53.0))
    assert (found.low, found.high) == (-np.inf, np.inf)


def test_many_values_drawn_together_are_as_if_drawn_one_by_one() -> None:
    generator = np.random.default_rng(4)
    sums = generator.choice([1.0, 1 / 3, 0.5], 20_000) * np.where(generator.random(20_000) < 0.505, -1.0, 1.0)
    worse, better, method = sign_flip_test(sums)
    error = float(np.sqrt((sums**2).sum()))
    assert method == "drawn sign-flip test"
    assert worse == pytest.approx(float(special.ndtr(sums.sum() / error)), abs=0.02)
    assert worse + better == pytest.approx(1, abs=0.02)


def test_a_million_different_values_need_no_million_draws() -> None:
    generator = np.random.default_rng(5)
    sums = generator.normal(-0.001, 1.0, 1_000_000)
    worse, _, _ = sign_flip_test(sums)
    assert worse == pytest.approx(float(special.ndtr(sums.sum() / np.sqrt((sums**2).sum()))), abs=0.02)


@given(st.integers(1, 60), st.integers(0, 60), st.sampled_from([1.0, 0.5, 1 / 3]))
def test_equal_steps_are_the_exact_mcnemar_test(broke: int, fixed: int, step: float) -> None:
    sums = np.asarray([-step] * broke + [step] * fixed)
    worse, better, method = sign_flip_test(sums)
    assert method == "exact sign-flip test"
    assert worse == pytest.approx(float(special.bdtr(fixed, broke + fixed, 0.5)))
    assert better == pytest.approx(float(special.bdtr(broke, broke + fixed, 0.5)))


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])), min_size=2, max_size=40),
    st.integers(1, 9),
)
def test_cluster_numbers_may_be_large(pairs: list[tuple[float, float]], size: int) -> None:
    before, now = np.asarray(pairs).T
    numbers = np.arange(len(pairs)) // size
    assert paired_difference(before, now, numbers) == paired_difference(before, now, numbers * 1_000_003)


def test_no_case_that_broke_is_nought_and_not_minus_nought() -> None:
    found = paired_difference(*_table(broke=0, fixed=3, both=20))
    assert math.copysign(1, found.broke) == 1
    assert str(found.broke) == "0.0"
