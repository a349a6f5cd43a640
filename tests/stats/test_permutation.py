"""Max-T over slices and graders against full enumeration, hypergeometric, McNemar, CMH and scipy; its error rates."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.multitest import multipletests

from evalkit.stats import permutation, sign_flip_test
from evalkit.stats.permutation import SliceTests, expand_counts, slice_tests
from evalkit.stats.stable_cases import broken_stable_cases

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ALPHA = 0.05


def drawn_error(draws: int, p: float = 0.5) -> float:
    """Five standard errors of a drawn p-value."""
    return 5 * math.sqrt(max(p * (1 - p), 0.01) / draws)


def rectangle(n: int, k: int, h: int) -> tuple[Ints, NDArray[np.bool_], Ints]:
    """Case numbers, sides and rounds of k candidate trials and h of history for each of n cases."""
    rounds = np.tile(np.concatenate([np.arange(k), np.arange(h)]), n)
    return np.repeat(np.arange(n), k + h), np.tile(np.arange(k + h) < k, n), rounds


def one_slice(scores: Floats, n: int, k: int, h: int, **options: object) -> SliceTests:
    cases, candidate, _ = rectangle(n, k, h)
    return slice_tests(
        np.asarray(scores, float).reshape(-1, 1),
        cases,
        candidate,
        np.ones((n, 1), bool),
        min_slice=1,
        **options,  # type: ignore[arg-type]
    )


# ── one slice, one grader ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("k", "h", "passed", "history"), [(5, 20, 2, 18), (1, 20, 0, 20), (3, 5, 1, 3), (12, 4, 9, 4)])
def test_one_case_of_pass_and_fail_is_hypergeometric(k: int, h: int, passed: int, history: int) -> None:
    rows = [1] * passed + [0] * (k - passed) + [1] * history + [0] * (h - history)
    found = one_slice(np.asarray(rows), 1, k, h, permutations=20_000)
    exact = stats.hypergeom.cdf(passed, k + h, passed + history, k)
    assert found.p[0, 0] == pytest.approx(exact, abs=drawn_error(20_000, exact))
    spread = stats.hypergeom.std(k + h, passed + history, k)
    assert found.z[0, 0] == pytest.approx((passed - stats.hypergeom.mean(k + h, passed + history, k)) / spread)


def test_one_case_of_general_scores_is_scipys_permutation_test() -> None:
    generator = np.random.default_rng(3)
    now, before = generator.random(4) * 0.8, generator.random(8)
    exact = stats.permutation_test(
        (now, before), lambda a, b: a.mean() - b.mean(), alternative="less", n_resamples=math.inf
    ).pvalue
    found = one_slice(np.concatenate([now, before]), 1, 4, 8, permutations=20_000)
    assert found.p[0, 0] == pytest.approx(exact, abs=drawn_error(20_000, exact))
    assert found.delta[0, 0] == pytest.approx(now.mean() - before.mean())


@pytest.mark.parametrize(("broke", "fixed"), [(9, 2), (5, 0), (3, 3), (1, 6)])
def test_one_trial_against_one_is_the_exact_mcnemar_test(broke: int, fixed: int) -> None:
    pairs = [(0, 1)] * broke + [(1, 0)] * fixed + [(1, 1)] * 6 + [(0, 0)] * 2
    found = one_slice(np.asarray(pairs).ravel(), len(pairs), 1, 1, permutations=20_000)
    exact, _, method = sign_flip_test(np.asarray([now - before for now, before in pairs], float))
    assert method == "exact sign-flip test"
    assert found.p[0, 0] == pytest.approx(exact, abs=drawn_error(20_000, exact))


@pytest.mark.parametrize("k", [1, 3])
def test_z_is_the_root_of_the_cochran_mantel_haenszel_statistic(k: int) -> None:
    generator, n, h = np.random.default_rng(5), 40, 12
    chances = generator.beta(3, 1, n)
    scores = (generator.random((n, k + h)) < chances[:, None]).astype(float)
    found = one_slice(scores.ravel(), n, k, h, permutations=1)
    tables = [[[row[:k].sum(), k - row[:k].sum()], [row[k:].sum(), h - row[k:].sum()]] for row in scores]
    cmh = StratifiedTable([np.asarray(table, float) for table in tables]).test_null_odds(correction=False)
    assert found.z[0, 0] ** 2 == pytest.approx(cmh.statistic)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 10_000))
def test_the_scale_is_the_standard_deviation_over_all_choices(k: int, h: int, seed: int) -> None:
    values = np.random.default_rng(seed).random(k + h)
    found = one_slice(values, 1, k, h, permutations=1)
    sums = [
        values[list(chosen)].mean() - np.delete(values, chosen).mean()
        for chosen in itertools.combinations(range(k + h), k)
    ]
    assert found.delta[0, 0] / found.z[0, 0] == pytest.approx(np.std(sums))


# ── several together ────────────────────────────────────────────────────────────────────


def enumerated(
    scores: Floats, n: int, k: int, h: int, slices: NDArray[np.bool_], together: list[list[int]]
) -> tuple[Floats, Floats]:
    """Unadjusted and step-down p over every possible choice, with loops and nothing clever."""
    shaped = scores.reshape(n, k + h, -1)
    choices = list(itertools.combinations(range(k + h), k))

    def sums(pick: list[tuple[int, ...]]) -> Floats:
        total = np.zeros((slices.shape[1], shaped.shape[2]))
        for group, chosen in zip(together, pick, strict=True):
            for case in group:
                rest = [row for row in range(k + h) if row not in chosen]
                change = shaped[case, list(chosen)].mean(axis=0) - shaped[case, rest].mean(axis=0)
                total[slices[case]] += change
        return total.ravel()

    drawn = np.asarray([sums(list(pick)) for pick in itertools.product(choices, repeat=len(together))])
    observed = sums([tuple(range(k))] * len(together))
    scale = drawn.std(axis=0)
    z, now = drawn / scale, observed / scale
    p = (z <= now + 1e-9).mean(axis=0)
    order = np.argsort(now)
    adjusted, running = np.empty(len(now)), 0.0
    for rank, place in enumerate(order):
        running = max(running, float((z[:, order[rank:]].min(axis=1) <= now[place] + 1e-9).mean()))
        adjusted[place] = running
    return p, adjusted


@pytest.mark.parametrize("together", [[[0], [1], [2], [3]], [[0, 1], [2], [3]], [[0, 3], [1, 2]], [[0, 1, 2, 3]]])
@pytest.mark.parametrize("binary", [True, False])
def test_adjusted_values_are_those_of_full_enumeration(together: list[list[int]], binary: bool) -> None:
    generator, n, k, h = np.random.default_rng(11), 4, 2, 3
    scores = generator.random((n * (k + h), 2))
    scores[:, 1] = 0.5 * scores[:, 0] + 0.5 * scores[:, 1]
    cases, candidate, rounds = rectangle(n, k, h)
    scores[candidate & (cases < 2)] -= 0.25
    if binary:
        scores = (scores > 0.4).astype(float)
    slices = np.asarray([[1, 1, 0], [1, 1, 1], [1, 0, 1], [1, 0, 0]], bool)
    clusters = np.empty(n, int)
    for number, group in enumerate(together):
        clusters[group] = number
    found = slice_tests(
        scores, cases, candidate, slices, clusters=clusters, rounds=rounds, min_slice=1, permutations=10_000
    )
    p, adjusted = enumerated(scores, n, k, h, slices, together)
    assert found.p.ravel() == pytest.approx(p, abs=drawn_error(10_000))
    assert found.adjusted.ravel() == pytest.approx(adjusted, abs=drawn_error(10_000))
    assert found.units[:, 0].tolist() == [
        sum(bool(set(group) & set(np.flatnonzero(slices[:, number]).tolist())) for group in together)
        for number in range(3)
    ]


def world(generator: np.random.Generator, n: int) -> Floats:
    kind = generator.choice(3, n, p=[0.80, 0.08, 0.12])
    return np.choose(kind, [generator.beta(60, 1, n), generator.beta(1, 30, n), generator.beta(2, 2, n)])


def drawn_trials(
    generator: np.random.Generator, p: Floats, q: Floats, k: int, h: int
) -> tuple[Floats, Ints, NDArray[np.bool_]]:
    cases, candidate, _ = rectangle(len(p), k, h)
    chances = np.where(candidate, q[cases], p[cases])
    return (generator.random(len(cases)) < chances).astype(float)[:, None], cases, candidate


def test_a_grader_that_says_the_same_as_another_costs_nothing() -> None:
    """Graders of a trial move together: a copy adds no independent chance of a false alarm."""
    generator = np.random.default_rng(13)
    p = world(generator, 120)
    scores, cases, candidate = drawn_trials(generator, p, np.where(np.arange(120) < 12, 0.1 * p, p), 1, 10)
    slices = np.arange(120)[:, None] // 12 == np.arange(10)
    alone = slice_tests(scores, cases, candidate, slices, permutations=499)
    thrice = slice_tests(np.repeat(scores, 3, axis=1), cases, candidate, slices, permutations=499)
    assert thrice.adjusted == pytest.approx(np.repeat(alone.adjusted, 3, axis=1))
    assert alone.adjusted.min() < ALPHA


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 6))
def test_what_is_shown_does_not_depend_on_order_and_what_is_adjusted_is_not_smaller(seed: int, k: int, h: int) -> None:
    generator = np.random.default_rng(seed)
    cases, candidate, rounds = rectangle(24, k, h)
    scores = generator.random((len(cases), 2)).round(1)
    slices = generator.random((24, 5)) < 0.5
    clusters = generator.integers(0, 12, 24)
    found = slice_tests(scores, cases, candidate, slices, clusters=clusters, rounds=rounds, permutations=99)
    mixed = generator.permutation(len(cases))
    again = slice_tests(
        scores[mixed], cases[mixed], candidate[mixed], slices, clusters=clusters, rounds=rounds[mixed], permutations=99
    )
    for name in ("cases", "units", "baseline", "candidate", "delta", "z", "p", "adjusted", "tested"):
        assert getattr(again, name) == pytest.approx(getattr(found, name), nan_ok=True)
    assert (found.adjusted >= found.p - 1e-12).all()
    assert (found.p > 0).all()
    ranked = np.argsort(found.z.ravel())
    ranked = ranked[found.tested.ravel()[ranked]]
    assert (np.diff(found.adjusted.ravel()[ranked]) >= 0).all()


def test_small_slices_are_shown_and_take_no_part() -> None:
    generator = np.random.default_rng(17)
    p = world(generator, 60)
    scores, cases, candidate = drawn_trials(generator, p, np.where(np.arange(60) < 9, 0.0, p), 3, 10)
    large = np.zeros((60, 2), bool)
    large[10:30, 0] = large[30:60, 1] = True
    small = np.zeros((60, 1), bool)
    small[:9] = True
    without = slice_tests(scores, cases, candidate, large, permutations=299)
    found = slice_tests(scores, cases, candidate, np.hstack([large, small]), permutations=299)
    assert found.tested.ravel().tolist() == [True, True, False]
    assert found.adjusted[:2] == pytest.approx(without.adjusted)
    assert (found.p[2, 0], found.adjusted[2, 0]) == (1.0, 1.0)
    assert found.candidate[2, 0] == 0.0
    assert found.delta[2, 0] == pytest.approx(-scores[(cases < 9) & ~candidate].mean())
    judged = slice_tests(scores, cases, candidate, np.hstack([large, small]), permutations=299, min_slice=9)
    assert judged.adjusted[2, 0] < ALPHA


def test_batches_bound_memory_and_change_nothing_but_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(19)
    p = world(generator, 100)
    scores, cases, candidate = drawn_trials(generator, p, np.where(np.arange(100) < 10, 0.6 * p, p), 2, 10)
    slices = np.arange(100)[:, None] // 10 == np.arange(10)
    whole = slice_tests(scores, cases, candidate, slices, permutations=4_000)
    monkeypatch.setattr(permutation, "_BATCH_BYTES", 50_000)
    pieces = slice_tests(scores, cases, candidate, slices, permutations=4_000)
    assert pieces.z == pytest.approx(whole.z)
    assert pieces.p == pytest.approx(whole.p, abs=2 * drawn_error(4_000))
    assert slice_tests(scores, cases, candidate, slices, permutations=99, seed=1).p == pytest.approx(
        slice_tests(scores, cases, candidate, slices, permutations=99, seed=1).p
    )


def test_cases_count_alike_whatever_the_number_of_their_trials() -> None:
    scores = np.asarray([[1.0]] * 6 + [[1.0]] * 4 + [[0.0]] + [[1.0]] * 4)
    cases = np.asarray([0] * 10 + [1] * 5)
    candidate = np.asarray([True] * 6 + [False] * 4 + [True] + [False] * 4)
    found = slice_tests(scores, cases, candidate, np.ones((2, 1), bool), min_slice=1)
    assert found.delta[0, 0] == pytest.approx(-0.5)
    assert found.p[0, 0] == pytest.approx(1 / 5, abs=drawn_error(1_999))


# ── what is compared ────────────────────────────────────────────────────────────────────


def test_what_the_graders_did_not_both_judge_is_left_out_and_counted() -> None:
    cases, candidate, _ = rectangle(4, 2, 3)
    scores = np.ones((20, 2))
    scores[cases == 0, 1] = np.nan  # the second grader never applies to the first case
    scores[(cases == 1) & candidate, 1] = np.nan  # and no longer to the second
    scores[12, 0] = np.nan  # one trial of history without a score
    keep = ~((cases == 3) & candidate)  # the last case was not tried now
    found = slice_tests(scores[keep], cases[keep], candidate[keep], np.ones((4, 1), bool), min_slice=1)
    assert found.compared.tolist() == [[True, False], [True, False], [True, True], [False, False]]
    assert found.cases.tolist() == [[3, 1]]
    assert found.left_out == 1 + 3


def test_a_round_that_lacks_a_case_of_its_cluster_is_left_out() -> None:
    cases, candidate, rounds = rectangle(3, 1, 4)
    lacking = (cases == 1) & ~candidate & (rounds == 2)
    keep = ~lacking
    found = slice_tests(
        np.ones((14, 1)),
        cases[keep],
        candidate[keep],
        np.ones((3, 1), bool),
        clusters=np.asarray([7, 7, 8]),
        rounds=rounds[keep],
        min_slice=1,
    )
    assert found.left_out == 1
    assert found.cases[0, 0] == 3
    assert found.units[0, 0] == 2


def test_nothing_that_varies_is_no_evidence() -> None:
    found = one_slice(np.full(50 * 6, 0.1 + 0.2), 50, 1, 5)
    assert (found.z[0, 0], found.p[0, 0], found.adjusted[0, 0]) == (0.0, 1.0, 1.0)
    assert found.tested[0, 0]


def test_without_trials_nothing_is_tested() -> None:
    found = slice_tests(np.empty((0, 1)), np.empty(0, int), np.empty(0, bool), np.ones((3, 2), bool), min_slice=0)
    assert not found.tested.any()
    assert found.adjusted.tolist() == [[1.0], [1.0]]
    assert np.isnan(found.delta).all()


def test_what_does_not_fit_is_refused() -> None:
    cases, candidate, rounds = rectangle(2, 1, 2)
    scores, slices = np.ones((6, 1)), np.ones((2, 1), bool)
    with pytest.raises(ValueError, match="pass rounds"):
        slice_tests(scores, cases, candidate, slices, clusters=np.zeros(2, int))
    with pytest.raises(ValueError, match="same round"):
        slice_tests(scores, cases, candidate, slices, clusters=np.zeros(2, int), rounds=0 * rounds)
    with pytest.raises(ValueError, match="between 0 and 0"):
        slice_tests(scores, cases, candidate, slices[:1])
    with pytest.raises(ValueError, match="infinite"):
        slice_tests(scores * np.inf, cases, candidate, slices)
    with pytest.raises(ValueError, match="5 scores"):
        slice_tests(scores[:5], cases, candidate, slices)
    with pytest.raises(ValueError, match="3 cluster numbers"):
        slice_tests(scores, cases, candidate, slices, clusters=np.arange(3))


# ── error rates ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("k", [1, 3])
def test_an_unchanged_candidate_seldom_has_a_slice_named(k: int) -> None:
    """Twenty slices of 15 cases, where normal approximations name one in 16% of the rounds."""
    generator = np.random.default_rng(100 + k)
    slices = np.arange(300)[:, None] // 15 == np.arange(20)
    alarms = 0
    for number in range(300):
        p = world(generator, 300)
        found = slice_tests(*drawn_trials(generator, p, p, k, 20), slices, permutations=199, seed=number)
        alarms += found.adjusted.min() <= ALPHA
    assert alarms / 300 <= ALPHA + 0.03


def test_a_collapsed_slice_is_found_and_seldom_another() -> None:
    generator = np.random.default_rng(23)
    slices = np.arange(300)[:, None] // 15 == np.arange(20)
    right = wrong = 0
    for number in range(100):
        p = world(generator, 300)
        q = np.where(np.arange(300) < 15, 0.1 * p, p)
        found = slice_tests(*drawn_trials(generator, p, q, 1, 20), slices, permutations=199, seed=number).adjusted
        right += found[0, 0] <= ALPHA
        wrong += found[1:].min() <= ALPHA
    assert right >= 99
    assert wrong <= 12


def test_clusters_that_share_a_rounds_luck_keep_the_level_only_when_they_move_together() -> None:
    """Whatever goes wrong in a round goes wrong for all ten cases of the cluster."""
    generator = np.random.default_rng(29)
    clusters = np.repeat(np.arange(12), 10)
    slices = clusters[:, None] // 4 == np.arange(3)
    cases, candidate, rounds = rectangle(120, 1, 10)
    naive = moved = 0
    for number in range(200):
        luck = (generator.random((12, 11)) < 0.7).astype(float)
        scores = luck[clusters[cases], np.where(candidate, 10, rounds)][:, None]
        naive += slice_tests(scores, cases, candidate, slices, permutations=199, seed=number).adjusted.min() <= ALPHA
        moved += (
            slice_tests(
                scores, cases, candidate, slices, clusters=clusters, rounds=rounds, permutations=199, seed=number
            ).adjusted.min()
            <= ALPHA
        )
    assert moved / 200 <= ALPHA + 0.035
    assert naive / 200 > 0.3


# ── counts, and stable cases that broke ─────────────────────────────────────────────────

COUNTS = st.tuples(st.integers(0, 4), st.integers(0, 8)).flatmap(
    lambda kh: st.tuples(st.integers(0, kh[0]), st.just(kh[0]), st.integers(0, kh[1]), st.just(kh[1]))
)


@given(st.lists(COUNTS, min_size=1, max_size=8))
def test_rows_made_of_counts_have_these_counts(rows: list[tuple[int, int, int, int]]) -> None:
    scores, cases, candidate = expand_counts(*np.asarray(rows).T)
    for number, (passed, trials, history_passed, history_trials) in enumerate(rows):
        now, before = (cases == number) & candidate, (cases == number) & ~candidate
        assert (scores[now].sum(), now.sum()) == (passed, trials)
        assert (scores[before].sum(), before.sum()) == (history_passed, history_trials)


def test_counts_that_cannot_be_are_refused() -> None:
    two = np.asarray([2])
    with pytest.raises(ValueError, match="more passes"):
        expand_counts(np.asarray([3]), two, two, two)
    with pytest.raises(ValueError, match="passes"):
        broken_stable_cases(np.asarray([3]), two, two, two)


def test_broken_stable_cases_are_listed_with_fishers_p_in_the_order_of_benjamini_and_hochberg() -> None:
    passed = np.asarray([3, 0, 1, 0, 2, 0, 3, 0])
    trials = np.asarray([3, 3, 3, 3, 3, 1, 3, 3])
    before = np.asarray([20, 20, 20, 19, 20, 20, 8, 9])
    runs = np.asarray([20, 20, 20, 20, 20, 20, 20, 9])
    found = broken_stable_cases(passed, trials, before, runs)
    # the fifth passes mostly, the seventh was not stable, the last has too little history
    assert found.cases.tolist() == [1, 3, 2, 5]
    assert found.stable == 6
    exact = [
        stats.fisher_exact([[c, k - c], [s, h - s]], alternative="less").pvalue
        for c, k, s, h in zip(passed[:6], trials[:6], before[:6], runs[:6], strict=True)
    ]
    assert found.p == pytest.approx([exact[case] for case in found.cases])
    bh = multipletests(exact, method="fdr_bh")[1]
    assert found.adjusted == pytest.approx([bh[case] for case in found.cases])


def test_how_many_would_be_listed_by_chance_is_counted_over_all_choices() -> None:
    """Which two of the nine trials are the candidate's: every way of it, for both cases."""
    outcomes = [[0, 0, 1, 1, 1, 1, 1, 1, 1], [0, 1, 1, 0, 1, 1, 1, 1, 1]]
    arguments = np.asarray([[sum(row[:2]), 2, sum(row[2:]), 7] for row in outcomes]).T
    found = broken_stable_cases(*arguments, stable=0.8, min_history=5)

    def chance(row: list[int]) -> float:
        picks = list(itertools.combinations(range(9), 2))
        hits = 0
        for pick in picks:
            now, rest = [row[i] for i in pick], [row[i] for i in range(9) if i not in pick]
            hits += sum(now) < 1 and sum(rest) >= 0.8 * 7
        return hits / len(picks)

    chances = [chance(row) for row in outcomes]
    assert found.cases.tolist() == [0]
    assert found.expected == pytest.approx(sum(chances))
    assert found.p_count == pytest.approx(1 - (1 - chances[0]) * (1 - chances[1]))


def test_the_length_of_the_list_tells_broken_cases_from_chance() -> None:
    generator = np.random.default_rng(31)
    chance, broken = [], []
    for _ in range(150):
        p = world(generator, 300)
        q = p.copy()
        q[generator.choice(np.flatnonzero(p > 0.9), 8, replace=False)] = 0.02
        history = generator.binomial(20, p)
        ones, twenties = np.ones(300, int), np.full(300, 20)
        chance.append(broken_stable_cases(generator.binomial(1, p), ones, history, twenties))
        broken.append(broken_stable_cases(generator.binomial(1, q), ones, history, twenties))
    assert np.mean([item.p_count <= ALPHA for item in chance]) <= ALPHA + 0.03
    assert np.mean([len(item.cases) for item in chance]) == pytest.approx(
        np.mean([item.expected for item in chance]), rel=0.2
    )
    assert np.mean([item.p_count <= ALPHA for item in broken]) > 0.9
