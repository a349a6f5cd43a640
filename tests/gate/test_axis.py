"""Ids of cases: in pieces, as expected or not, sorted or not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.gate.axis import CaseAxis, IdCollector, rising
from evalkit.store.arrays import texts

pieces = st.lists(st.lists(st.sampled_from(["", "a", "b", "é", "\U0001f600"]), max_size=4), max_size=5)


@given(pieces, st.lists(st.sampled_from(["", "a", "b"]), max_size=6))
def test_collected_ids_are_those_of_the_pieces(given_pieces: list[list[str]], expected: list[str]) -> None:
    every = [name for piece in given_pieces for name in piece]
    for known in (None, texts(expected), texts(every), texts([*every, "z"]), texts(["before", *every]).slice(1)):
        collector = IdCollector(known)
        for piece in given_pieces:
            collector.add(texts(["cut off", *piece, "too"]).slice(1, len(piece)))
        assert collector.joined().to_pylist() == every


def test_ids_that_are_expected_are_not_kept_twice() -> None:
    expected = texts(["a", "b", "c"])
    collector = IdCollector(expected)
    collector.add(texts(["a", "b"]))
    collector.expect(1)
    assert collector.joined() is expected
    with pytest.raises(ValueError, match="not expected"):
        collector.expect(1)


@pytest.mark.parametrize(
    ("ids", "expected"), [([], True), (["a"], True), (["a", "b"], True), (["a", "a"], False), (["b", "a"], False)]
)
def test_rising_ids_are_sorted_and_distinct(ids: list[str], expected: bool) -> None:
    assert rising(texts(ids)) is expected


def test_an_axis_of_the_same_ids_is_made_of_the_first() -> None:
    first, other = texts(["a", "b"]), texts(["a", "b"])
    assert CaseAxis.of(first, other, first).ids is first
    assert CaseAxis.of(first, texts(["b", "c"])).ids.to_pylist() == ["a", "b", "c"]
