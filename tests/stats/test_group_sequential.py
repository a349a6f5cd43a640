"""Boundaries of several looks against published constants, and error rates against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from evalkit.stats.group_sequential import (
    Passage,
    SpendingTest,
    maximal_information,
    pocock_spending,
    stopped_interval,
)


def constant(looks: int, power: float) -> float:
    """The two-sided 5% constant of the boundaries ``c * (k / looks) ** power`` for the standardised statistic."""

    def excess(c: float) -> float:
        passage = Passage()
        for k in range(1, looks + 1):
            bound = c * (k / looks) ** power * math.sqrt(k)
            passage.look(k, -bound, bound)
        return float(sum(part.sum() for part in passage.stops(0.0))) - 0.05

    return float(optimize.brentq(excess, 1.5, 4))


@pytest.mark.parametrize(("looks", "published"), [(1, 1.960), (2, 2.178), (5, 2.413), (8, 2.512), (10, 2.555)])
def test_pocock_constants(looks: int, published: float) -> None:
    """Jennison and Turnbull 1999, table 2.1."""
    assert constant(looks, 0.0) == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize(("looks", "published"), [(2, 1.977), (4, 2.024), (5, 2.040), (10, 2.087)])
def test_obrien_fleming_constants(looks: int, published: float) -> None:
    """Jennison and Turnbull 1999, table 2.3."""
    assert constant(looks, -0.5) == pytest.approx(published, abs=6e-4)


def test_pocock_type_spending_bounds_of_one_side() -> None:
    """Lan and DeMets 1983; values of the program ld98 for five equal looks at 2.5%."""
    passage, spent, found = Passage(), 0.0, []
    for k in range(1, 6):
        aim = 0.025 * pocock_spending(k / 5)

        def excess(score: float, k: int = k, left: float = aim - spent) -> float:
            return passage.below(k, score, 0.0) - left

        score = float(optimize.brentq(excess, -30, 0))
        passage.look(k, score, math.inf)
        spent = float(passage.stops(0.0)[0].sum())
        found.append(-score / math.sqrt(k))
    assert found == pytest.approx([2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=2e-3)


def test_one_pass_answers_for_every_drift() -> None:
    chances = []
    for reference in (-1.0, 0.0, 0.7):
        passage = Passage(reference)
        for k in range(1, 5):
            passage.look(0.5 * k, -1.5, 2.0)
        chances.append(np.concatenate(passage.stops(0.4)))
    assert chances[0] == pytest.approx(chances[1], abs=1e-5)
    assert chances[2] == pytest.approx(chances[1], abs=1e-5)


def walks(
    generator: np.random.Generator, information: NDArray[np.float64], drift: float, count: int
) -> NDArray[np.float64]:
    steps = np.diff(information, prepend=0.0)
    drawn = generator.standard_normal((count, len(steps))) * np.sqrt(steps) + drift * steps
    return np.asarray(drawn.cumsum(axis=1))


def test_stops_are_those_of_simulated_walks() -> None:
    information = np.asarray([0.5, 1.2, 1.5, 3.0])
    low, high = np.asarray([-1.5, -1.0, -1.2, -0.5]), np.asarray([1.0, 1.5, 1.2, 2.0])
    passage = Passage()
    for time, below, above in zip(information.tolist(), low.tolist(), high.tolist(), strict=True):
        passage.look(time, below, above)
    assert passage.ever_below(0.3) == pytest.approx(passage.stops(0.3)[0].sum())
    scores = walks(np.random.default_rng(1), information, 0.3, 100_000)
    out = (scores <= low) | (scores >= high)
    first = np.where(out.any(axis=1), out.argmax(axis=1), -1)
    for k in range(4):
        stopped = scores[first == k, k]
        assert float((stopped <= low[k]).sum() / 100_000) == pytest.approx(passage.stops(0.3)[0][k], abs=0.006)
        assert float((stopped >= high[k]).sum() / 100_000) == pytest.approx(passage.stops(0.3)[1][k], abs=0.006)


@pytest.mark.parametrize("looks", [1, 3, 8])
def test_a_spending_test_has_the_errors_that_it_is_made_for(looks: int) -> None:
    margin, alpha, beta = 0.05, 0.05, 0.10
    maximal = maximal_information(margin, alpha, beta, looks)
    information = maximal * np.arange(1, looks + 1) / looks
    test = SpendingTest(margin, alpha, beta, maximal)
    bounds = np.asarray([test.look(time) for time in information.tolist()])
    assert bounds[-1, 0] == pytest.approx(bounds[-1, 1], abs=1e-4)
    for drift, failed in ((0.0, alpha), (-margin, 1 - beta)):
        scores = walks(np.random.default_rng(looks), information, drift, 40_000) / information
        low, high = scores <= bounds[:, 0], scores > bounds[:, 1]
        first = (low | high).argmax(axis=1)
        assert float(low[np.arange(40_000), first].mean()) == pytest.approx(failed, abs=0.006)


def test_one_look_is_the_fixed_sample() -> None:
    expected = ((stats.norm.ppf(0.95) + stats.norm.ppf(0.9)) / 0.05) ** 2
    assert maximal_information(0.05, 0.05, 0.10, 1) == pytest.approx(expected)
    assert expected * 0.05**2 == pytest.approx(8.564, abs=1e-3)


def test_information_must_grow() -> None:
    passage = Passage()
    passage.look(1.0, -1, 1)
    with pytest.raises(ValueError, match="grow"):
        passage.look(1.0, -1, 1)


# ── after stopping ──────────────────────────────────────────────────────────────────────


def test_after_one_look_the_interval_is_the_usual_one() -> None:
    middle, low, high = stopped_interval([4.0], [-math.inf], [math.inf], 2.0, (0.1, 0.05))
    assert middle == pytest.approx(0.5, abs=1e-4)
    assert low == pytest.approx(0.5 - stats.norm.ppf(0.9) / 2, abs=1e-4)
    assert high == pytest.approx(0.5 + stats.norm.ppf(0.95) / 2, abs=1e-4)


@pytest.mark.parametrize("drift", [-1.2, -0.5, 0.0])
def test_stopping_early_neither_biases_the_median_nor_the_coverage(drift: float) -> None:
    information = np.arange(1.0, 9.0)
    low, high = -2.5 - 0.5 * information, 2.0 - 0.5 * information
    scores = walks(np.random.default_rng(7), information, drift, 400)
    out = (scores <= low) | (scores >= high)
    stops = np.where(out.any(axis=1), out.argmax(axis=1), 7)
    naive, above, outside_low, outside_high = [], 0, 0, 0
    for path, k in zip(scores, stops.tolist(), strict=True):
        times = information[: k + 1].tolist()
        middle, start, end = stopped_interval(times, low.tolist(), high.tolist(), float(path[k]), (0.1, 0.05))
        naive.append(path[k] / information[k])
        above += middle > drift
        outside_low += start > drift
        outside_high += end < drift
    assert above / 400 == pytest.approx(0.5, abs=0.08)
    assert outside_low / 400 == pytest.approx(0.10, abs=0.05)
    assert outside_high / 400 == pytest.approx(0.05, abs=0.035)
    if drift == -1.2:
        # what it corrects: the plain estimate is too low more often than not
        assert float(np.mean(np.asarray(naive) > drift)) < 0.45
