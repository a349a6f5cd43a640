"""Outcomes by case: drawn once, kept together, asked for only where they are missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evalkit.gate.draws import Bank, turns

NONE = np.empty(0, np.intp)


@given(st.lists(st.integers(0, 5), max_size=40))
def test_turns_count_earlier_entries_of_the_same_case(order: list[int]) -> None:
    expected = [order[:place].count(case) for place, case in enumerate(order)]
    assert turns(np.asarray(order, np.intp)).tolist() == expected


def test_what_is_there_is_not_asked_for_again() -> None:
    asked: list[list[int]] = []

    def source(cases: NDArray[np.intp]) -> NDArray[np.float64]:
        asked.append(cases.tolist())
        return cases / 10.0

    bank = Bank([source], np.asarray([3, 3]), [np.asarray([0.9, 0.8])])
    found = bank.take(np.asarray([3, 1, 3, 3]), np.asarray([0, 0, 1, 2]))
    assert found[:, 0].tolist() == [0.9, 0.1, 0.8, 0.3]
    assert asked == [[1, 3]]
    assert (bank.calls, bank.cases) == (2, [3, 3, 1, 3])


def test_two_sources_stay_together_and_end_with_the_shorter() -> None:
    bank = Bank([lambda cases: np.ones(len(cases)), lambda cases: 0.0 * cases[:1]], NONE, [np.empty(0), np.empty(0)])
    found = bank.take(np.asarray([4, 5, 6]), np.asarray([0, 0, 0]))
    assert found.tolist() == [[1.0, 0.0]]
    assert bank.exhausted
    assert (bank.calls, bank.cases) == (1, [4])


def test_a_trial_without_a_score_is_counted_and_not_kept() -> None:
    bank = Bank([lambda cases: np.where(cases == 1, np.nan, 1.0)], NONE, [np.empty(0)])
    assert len(bank.take(np.asarray([0, 1, 2]), np.asarray([0, 0, 0]))) == 1
    assert (bank.unscored, bank.calls, bank.cases) == (1, 3, [0, 2])


def test_evidence_of_unequal_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Bank([lambda cases: cases], np.asarray([1, 2]), [np.asarray([1.0])])
