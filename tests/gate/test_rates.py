"""Pass rates as sums: those of a slice are those of its cases, however many cases there are."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.gate.axis import CaseAxis
from evalkit.gate.evidence import Evidence, Subject
from evalkit.gate.golden import CaseColumns, ListedCases, Slicing
from evalkit.gate.outcomes import Outcome, OutcomeTable
from evalkit.gate.pairs import GraderPairs, Side
from evalkit.gate.rates import RateComparison
from evalkit.store.arrays import texts

CASES = 70_001
"""More than are counted at a time."""
TABLE = OutcomeTable([Outcome(0, 0, 0, 0, 0, False), Outcome(1, 1, 0, 0, 0, False), Outcome(0, 1, 1, 0, 0, False)])


@pytest.fixture(params=[False, True], ids=["each case its own", "in clusters"])
def evidence(request: pytest.FixtureRequest) -> Evidence:
    draws = np.random.default_rng(1)
    axis = CaseAxis(texts(f"{number:06d}" for number in range(CASES)))
    before, now = (Side(draws.integers(0, 3, CASES).astype(np.uint8), TABLE) for _ in range(2))
    slicing = Slicing(draws.integers(-1, 3, CASES).astype(np.int32), ["a", "b", "c"])
    clusters = (np.arange(CASES) // 3).astype(np.int32) if request.param else None
    every, trials = axis.everything, np.ones(CASES, np.int32)
    return Evidence(
        subject=Subject("now", "before", "g", "d"),
        axis=axis,
        pairs={"answer": GraderPairs("answer", before, now)},
        golden=ListedCases(()),
        columns=CaseColumns(axis.ids, ~every, clusters, {"team": slicing}),
        known=every,
        seen=every,
        touched=draws.random(CASES) < 0.9,
        graders=(),
        trials=trials,
        baseline_trials=trials,
        rows=({}, {}),
    )


def test_the_sums_of_a_slice_are_those_of_its_cases(evidence: Evidence) -> None:
    comparison = RateComparison(evidence.pairs["answer"], evidence)
    found = dict(comparison.by_slice(evidence.columns.slices["team"]))
    assert found.keys() == {"a", "b", "c"}
    for value, sums in found.items():
        alone = comparison.within(evidence.in_slice(f"team={value}"))
        for field in ("n", "touched", "baseline", "candidate", "clusters", "square_sizes", "binary", "shares"):
            assert getattr(sums, field) == getattr(alone, field), (value, field)
        for field in ("moved", "moved_clusters", "moved_sizes"):
            assert getattr(sums, field).tolist() == getattr(alone, field).tolist(), (value, field)


def test_the_sums_of_all_cases_are_what_numpy_says(evidence: Evidence) -> None:
    pairs = evidence.pairs["answer"]
    before, now = pairs.before.rate, pairs.now.rate
    both = ~np.isnan(before) & ~np.isnan(now)
    sums = RateComparison(pairs, evidence).within()
    assert sums.n == int(both.sum())
    assert sums.touched == int((both & evidence.touched).sum())
    assert (sums.baseline, sums.candidate) == pytest.approx((before[both].mean(), now[both].mean()))
    moved = both & evidence.touched & (before != now)
    assert sums.moved.tolist() == (now - before)[moved].tolist()
    places, changes = RateComparison(pairs, evidence).worse()
    assert places.tolist() == np.flatnonzero(both & (now < before)).tolist()
    assert set(changes.tolist()) == {-1.0}
