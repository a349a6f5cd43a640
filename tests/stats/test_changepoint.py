"""Change points in a row of runs: false alarms, power, the place, and what is no change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evalkit.stats.changepoint import ChangePoint, newest_change

Floats = np.ndarray[Any, np.dtype[np.float64]]


def rates(generator: np.random.Generator, cases: int) -> Floats:
    """The world of the specification: most cases nearly always pass, some never, some vary."""
    kind = generator.choice(3, size=cases, p=[0.80, 0.08, 0.12])
    parts = [generator.beta(60, 1, cases), generator.beta(1, 30, cases), generator.beta(2, 2, cases)]
    return np.choose(kind, parts)


def found(generator: np.random.Generator, by_run: Floats, **options: Any) -> ChangePoint | None:
    """Draw one trial of each run and case; ``by_run`` has the shape (runs, cases)."""
    runs, cases = np.indices(by_run.shape)
    return newest_change(cases.ravel(), runs.ravel(), generator.random(by_run.size) < by_run.ravel(), **options)


def shifted(p: Floats, *shifts: tuple[int, float]) -> Floats:
    """So many runs after one another with every rate moved by so much."""
    return np.concatenate([np.tile(np.clip(p + shift, 0, 1), (count, 1)) for count, shift in shifts])


def test_a_steady_history_has_no_change_point() -> None:
    generator = np.random.default_rng(11)
    alarms = sum(
        found(generator, shifted(rates(generator, 100), (20, 0.0)), level=0.05) is not None for _ in range(400)
    )
    assert alarms / 400 <= 0.05
    assert not any(found(generator, shifted(rates(generator, 100), (20, 0.0))) for _ in range(400))


def test_days_that_differ_are_no_change() -> None:
    generator = np.random.default_rng(12)
    alarms = 0
    for _ in range(300):
        p, days = rates(generator, 200), generator.normal(0, 0.03, 20)
        alarms += found(generator, np.clip(p + days[:, None], 0, 1), level=0.05) is not None
    assert alarms / 300 <= 0.05 + 0.025


@pytest.mark.parametrize(("drop", "after", "power"), [(0.10, 10, 0.97), (0.05, 10, 0.90), (0.10, 5, 0.90)])
def test_a_drop_is_found_where_it_is(drop: float, after: int, power: float) -> None:
    generator = np.random.default_rng(13)
    changes = [found(generator, shifted(rates(generator, 300), (20 - after, 0.0), (after, -drop))) for _ in range(60)]
    there = [change for change in changes if change is not None]
    assert len(there) / 60 >= power
    assert np.mean([abs(change.run - (20 - after)) <= 1 for change in there]) >= 0.9
    assert np.mean([change.shift for change in there]) < -0.6 * drop


def test_of_two_changes_the_newest_counts() -> None:
    generator = np.random.default_rng(14)
    change = found(generator, shifted(rates(generator, 300), (10, 0.0), (10, -0.2), (10, -0.4)))
    assert change is not None
    assert abs(change.run - 20) <= 1


def test_there_are_enough_runs_on_both_sides() -> None:
    generator = np.random.default_rng(15)
    p = rates(generator, 300)
    late = found(generator, shifted(p, (20, 0.0), (5, -0.5)), least=5)
    assert late is not None
    assert late.run == 20
    assert found(generator, shifted(p, (5, 0.0), (4, -0.5)), least=5) is None


def test_few_coins_that_fall_alike_are_no_change() -> None:
    p = np.ones((10, 50))
    p[5:, 0] = 0.0
    assert found(np.random.default_rng(16), p) is None
    p[5:, :25] = 0.0
    change = found(np.random.default_rng(16), p)
    assert change is not None
    assert change.run == 5


def test_runs_of_some_cases_stand_in_the_row_with_whole_ones() -> None:
    generator = np.random.default_rng(17)
    hard = np.r_[np.full(50, 0.98), np.full(50, 0.3)]
    runs, cases = np.indices((20, 100))
    kept = (runs < 10) | (cases >= 50)
    scores = generator.random((20, 100)) < hard
    assert newest_change(cases[kept], runs[kept], scores[kept]) is None, "harder cases are no drop"


def test_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="shape"):
        newest_change([0, 1], [0], [1.0])
    with pytest.raises(ValueError, match="least"):
        newest_change([0], [0], [1.0], least=1)
