"""Agreement figures against scikit-learn and scipy, and their intervals by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from evalkit.stats import auroc, average_precision, bootstrap, confusion, kappa, share, wilson

ITEMS = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=4, max_size=60).filter(
    lambda items: len({truth for truth, _ in items}) == 2
)


@given(ITEMS)
def test_auroc_and_average_precision_are_those_of_scikit_learn(items: list[tuple[bool, int]]) -> None:
    truth, value = zip(*items, strict=True)
    assert auroc(truth, value) == pytest.approx(metrics.roc_auc_score(truth, value))
    assert average_precision(truth, value) == pytest.approx(metrics.average_precision_score(truth, value))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=6, max_size=60))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    truth, said = zip(*pairs, strict=True)
    table = confusion(truth, said, "abc")
    assert table.tolist() == metrics.confusion_matrix(truth, said, labels=list("abc")).tolist()
    ours = kappa(table)
    if np.isnan(ours):
        assert len(set(truth) | set(said)) == 1
    else:
        assert ours == pytest.approx(metrics.cohen_kappa_score(truth, said, labels=list("abc")))


@pytest.mark.parametrize(("truth", "value"), [([True, True], [1, 2]), ([True, False], [1, float("nan")]), ([], [])])
def test_auroc_needs_both_classes_and_numbers(truth: list[bool], value: list[float]) -> None:
    with pytest.raises(ValueError, match="both classes"):
        auroc(truth, value)


def test_a_share_has_wilsons_interval() -> None:
    found = share(18, 20)
    assert (found.value, found.n) == (0.9, 20)
    assert (found.low, found.high) == wilson(18, 20)
    with pytest.raises(ValueError, match="no items"):
        share(0, 0)


def test_a_label_that_is_not_expected_is_refused() -> None:
    with pytest.raises(ValueError, match="not among"):
        confusion(["yes"], ["perhaps"], ["yes", "no"])


def test_the_bootstrap_covers_and_knows_clusters() -> None:
    rng = np.random.default_rng(4)
    held = wide = 0
    for _ in range(60):
        level = rng.beta(2, 2, 40)
        right = (rng.random((40, 5)) < level[:, None]).ravel()
        clusters = list(np.repeat(np.arange(40), 5))
        mean = lambda items, right=right: float(right[items].mean())  # noqa: E731
        whole = bootstrap(mean, 200, clusters=clusters, draws=200, seed=1)
        single = bootstrap(mean, 200, draws=200, seed=1)
        held += whole.low <= 0.5 <= whole.high
        wide += whole.high - whole.low > single.high - single.low
    assert held >= 50
    assert wide >= 58


def test_equal_seeds_give_equal_intervals_and_an_undefined_figure_is_refused() -> None:
    truth = np.array([True, False, True, False, False, True])
    value = np.arange(6.0)
    figure = lambda items: auroc(truth[items], value[items])  # noqa: E731
    assert bootstrap(figure, 6, draws=50) == bootstrap(figure, 6, draws=50)
    with pytest.raises(ValueError, match="both classes"):
        bootstrap(lambda items: auroc(truth[items] | True, value[items]), 6, draws=50)
