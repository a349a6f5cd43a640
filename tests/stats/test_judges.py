"""Votes of judges: what both orders, and several votes, come to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats.judges import CHOICES, Choice, PairVotes, combine_orders, combine_points, credit, first_shown, longer

votes_of_one = st.sampled_from((*CHOICES, None))
pairs = st.builds(PairVotes, votes_of_one, votes_of_one)


@pytest.mark.parametrize(
    ("a_first", "b_first", "choice", "flip"),
    [
        ("a", "a", "a", False),
        ("b", "b", "b", False),
        ("tie", "tie", "tie", False),
        ("a", "b", "tie", True),
        ("b", "a", "tie", True),
        ("a", "tie", "tie", True),
        ("a", None, "tie", True),
        (None, None, "tie", True),
    ],
)
def test_an_answer_wins_in_both_orders_or_not_at_all(
    a_first: Choice | None, b_first: Choice | None, choice: Choice, flip: bool
) -> None:
    found = combine_orders([PairVotes(a_first, b_first)])
    assert (found.choice, found.order_flip) == (choice, flip)


def test_each_order_says_what_most_of_its_votes_say() -> None:
    votes = [PairVotes("a", "a"), PairVotes("a", "a"), PairVotes("b", "tie")]
    found = combine_orders(votes)
    assert (found.choice, found.order_flip) == ("a", False)
    assert found.strength == pytest.approx(3 / 6)
    assert combine_orders([PairVotes("a", "a"), PairVotes("b", "a"), PairVotes(None, "a")]).order_flip


@given(st.lists(pairs, min_size=1, max_size=7))
def test_names_of_the_answers_and_orders_do_not_matter(votes: list[PairVotes]) -> None:
    other: dict[Choice | None, Choice | None] = {"a": "b", "b": "a", "tie": "tie", None: None}
    found = combine_orders(votes)
    renamed = combine_orders([PairVotes(other[vote.b_first], other[vote.a_first]) for vote in votes])
    assert renamed.choice == other[found.choice]
    assert renamed.order_flip == found.order_flip
    assert renamed.strength == pytest.approx(-found.strength)


@given(st.lists(pairs, min_size=1, max_size=7))
def test_a_judge_who_names_what_is_shown_first_prefers_nothing(votes: list[PairVotes]) -> None:
    biased = [PairVotes("a", "b") for _ in votes]
    assert combine_orders(biased) == combine_orders([PairVotes("a", "b")])
    assert combine_orders(biased).choice == "tie"
    assert first_shown(biased).mean() == 1.0


def test_position_is_measured_on_votes_for_one_of_the_answers() -> None:
    votes = [PairVotes("a", "a"), PairVotes("b", "tie"), PairVotes(None, "b")]
    np.testing.assert_array_equal(first_shown(votes), [1, 0, 0, 1])


def test_credit_is_the_share_of_right_votes() -> None:
    assert [credit(PairVotes(*votes), "b") for votes in (("b", "b"), ("b", "a"), (None, "a"))] == [1.0, 0.5, 0.0]


def test_the_longer_answer_has_more_characters() -> None:
    assert [longer("ab", "a"), longer("a", "ab"), longer("ä", "a")] == ["a", "b", "tie"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_the_mean_of_votes_lies_among_them(votes: list[float]) -> None:
    found = combine_points(votes, 0.5)
    assert min(votes) <= found.mean <= max(votes) or found.mean == pytest.approx(votes[0])
    assert found.spread == max(votes) - min(votes)
    assert found.split == (any(vote < 0.5 for vote in votes) and any(vote >= 0.5 for vote in votes))


def test_equal_votes_have_their_own_mean() -> None:
    assert combine_points([0.1, 0.1, 0.1], 0.1).mean == 0.1


@pytest.mark.parametrize("call", [lambda: combine_orders([]), lambda: combine_points([])])
def test_nothing_is_not_put_together(call: object) -> None:
    with pytest.raises(ValueError, match="no votes"):
        call()  # type: ignore[operator]
