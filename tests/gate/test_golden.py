"""Columns of the golden set are the same from the store and from memory, and as the cases say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.gate.axis import CaseAxis
from evalkit.gate.golden import CaseColumns, ListedCases, StoredCases
from evalkit.goldens import from_cases
from evalkit.records import Case, Message
from evalkit.store.arrays import texts
from evalkit.store.cases import save_cases

words = st.sampled_from(["", "a", "b", "de-DE"])
cases = st.lists(
    st.builds(
        Case,
        id=st.text("abcé\U0001f600-", min_size=1, max_size=4),
        input=st.just((Message("user", "what?"),)),
        critical=st.booleans(),
        cluster=words,
        intent=words,
        locale=words,
        role=words,
        slices=st.dictionaries(st.sampled_from(["team", "intent", "locale"]), words),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda case: case.id,
)


def stated(columns: CaseColumns) -> dict[str, tuple[bool, dict[str, str]]]:
    """Of each case what the columns say, but for its cluster."""
    return {
        name: (
            bool(columns.critical[place]),
            {key: item.values[item.codes[place]] for key, item in columns.slices.items() if item.codes[place] >= 0},
        )
        for place, name in enumerate(columns.ids.to_pylist())
    }


def cluster_numbers(listed: list[Case]) -> list[int]:
    _, numbers = np.unique(np.asarray([case.cluster_key for case in listed]), return_inverse=True)
    return [int(number) for number in numbers]


@settings(deadline=None, max_examples=40)
@given(cases)
def test_columns_say_what_the_cases_say(tmp_path_factory: pytest.TempPathFactory, listed: list[Case]) -> None:
    root = tmp_path_factory.mktemp("store")
    golden = from_cases("support", "1.0.0", listed)
    save_cases(root, golden.ref, "r", golden.cases)
    ordered = sorted(listed, key=lambda case: case.id)
    expected = {case.id: (case.critical, case.slice_keys) for case in ordered}
    for source in (ListedCases(listed), StoredCases(root, golden.ref, "r")):
        columns = source.columns()
        assert stated(columns) == expected
        assert list(stated(columns)) == [case.id for case in ordered]
        if any(case.cluster for case in listed):
            assert columns.clusters is not None
            assert columns.clusters.tolist() == cluster_numbers(ordered)
        else:
            assert columns.clusters is None
        assert source.load([listed[0].id, "not there"]) == {listed[0].id: listed[0]}
        assert source.load([]) == {}


def test_cases_that_the_golden_set_lacks_are_clusters_of_their_own() -> None:
    listed = [Case(name, (), cluster="pair", critical=True, intent="x") for name in ("b", "d")]
    axis = CaseAxis.of(texts(["a", "b"]), texts(["b", "c", "d"]))
    columns = ListedCases(listed).columns().over(axis)
    assert axis.names(axis.everything) == ("a", "b", "c", "d")
    assert columns.critical.tolist() == [False, True, False, True]
    assert columns.clusters is not None
    assert columns.clusters.tolist() == [1, 0, 2, 0]
    assert columns.slices["intent"].codes.tolist() == [-1, 0, -1, 0]
