"""Delta debugging and Shapley shares on constructed interactions."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.gate.attribution import Attribution, attribute, ddmin, shapley_exact, shapley_sampled

NAMES = ["contract", "model", "policies", "prompt", "routes", "tools"]


class World:
    """An oracle that counts what it is asked."""

    def __init__(self, share: Callable[[frozenset[str]], float]) -> None:
        self._share = share
        self.asked: Counter[frozenset[str]] = Counter()

    def __call__(self, changes: frozenset[str]) -> float:
        self.asked[changes] += 1
        return self._share(changes)


def breaks(*sets: Iterable[str]) -> World:
    """All cases fail when any of the sets is applied."""
    return World(lambda changes: float(any(changes >= set(found) for found in sets)))


def ask(world: World, names: list[str] | None = None, **options: int) -> Attribution:
    found = attribute(NAMES if names is None else names, world, **options)
    assert max(world.asked.values()) == 1, "nothing is paid twice"
    assert {frozenset(names): share for names, share in found.asked} == {
        changes: world._share(changes) for changes in world.asked
    }
    return found


@pytest.mark.parametrize("cause", NAMES)
def test_a_single_cause_is_named_and_has_it_all(cause: str) -> None:
    world = breaks([cause])
    found = ask(world)
    assert (found.kind, found.causes, found.explained) == ("single", (cause,), 1.0)
    assert found.shares == {name: float(name == cause) for name in NAMES}
    assert len(world.asked) <= 9


def test_of_two_changes_four_questions_are_enough() -> None:
    world = breaks(["prompt"])
    assert ask(world, ["model", "prompt"]).causes == ("prompt",)
    assert len(world.asked) == 4


def test_two_that_are_needed_together_share_alike() -> None:
    found = ask(breaks(["model", "tools"]))
    assert (found.kind, found.causes, found.sets) == ("together", ("model", "tools"), (("model", "tools"),))
    assert found.shares == pytest.approx({name: 0.5 * (name in ("model", "tools")) for name in NAMES})
    assert found.exact


def test_three_that_are_needed_together() -> None:
    found = ask(breaks(["contract", "prompt", "tools"]))
    assert (found.kind, found.causes) == ("together", ("contract", "prompt", "tools"))
    assert found.shares["prompt"] == pytest.approx(1 / 3)


def test_either_of_two_suffices() -> None:
    found = ask(breaks(["model"], ["routes"]))
    assert (found.kind, found.causes, set(found.sets)) == ("either", ("model", "routes"), {("model",), ("routes",)})
    assert found.shares["model"] == found.shares["routes"] == pytest.approx(0.5)


def test_one_alone_or_two_together() -> None:
    found = ask(breaks(["model"], ["routes", "tools"]))
    assert found.kind == "either"
    assert set(found.sets) == {("model",), ("routes", "tools")}
    # Shapley 1953 on v = max(m, r and t): the one that needs no other has two thirds
    assert found.shares["model"] == pytest.approx(2 / 3)
    assert found.shares["routes"] == found.shares["tools"] == pytest.approx(1 / 6)


def test_parts_broken_by_several_changes_have_their_parts() -> None:
    parts = {"prompt": 0.5, "model": 0.25, "tools": 0.25}
    found = ask(World(lambda changes: sum(parts.get(name, 0.0) for name in changes)))
    assert (found.kind, found.causes) == ("several", ("model", "prompt", "tools"))
    assert found.shares == pytest.approx({name: parts.get(name, 0.0) for name in NAMES}, abs=1e-9)


def test_a_change_that_repairs_has_a_negative_share() -> None:
    world = World(lambda changes: 0.9 * ("model" in changes) - 0.4 * ("prompt" in changes and "model" in changes))
    found = ask(world, ["model", "prompt", "tools"])
    assert "model" in found.causes
    assert found.shares["prompt"] < 0 < found.shares["model"]
    assert sum(found.shares.values()) == pytest.approx(1.0)


def test_what_fails_without_the_changes_too_is_nobodys_fault() -> None:
    for world in (World(lambda _: 0.9), World(lambda changes: 0.1 * len(changes) / len(NAMES))):
        found = ask(world)
        assert (found.kind, found.causes, found.shares) == ("none", (), {})
        assert len(world.asked) == 2


def test_noise_does_not_hide_a_single_cause() -> None:
    right = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        noise: dict[frozenset[str], float] = {}

        def share(
            changes: frozenset[str],
            generator: np.random.Generator = generator,
            noise: dict[frozenset[str], float] = noise,
        ) -> float:
            rate = 0.9 if "prompt" in changes else 0.08
            return noise.setdefault(changes, float(generator.binomial(20, rate)) / 20)

        right += ask(World(share)).causes == ("prompt",)
    assert right >= 190


def test_of_many_changes_shares_are_sampled_with_a_seed() -> None:
    names = [f"change-{number}" for number in range(9)]
    weights = {name: (number + 1) / 45 for number, name in enumerate(names)}

    def world() -> World:
        return World(lambda changes: sum(weights[name] for name in changes) ** 2 * 0.999)

    found = ask(world(), names, permutations=64, seed=3)
    assert (found.kind, found.exact) == ("several", False)
    assert found.shares == ask(world(), names, permutations=64, seed=3).shares
    assert sum(found.shares.values()) == pytest.approx(1.0)
    exact = shapley_exact(names, lambda changes: sum(weights[name] for name in changes) ** 2)
    for name in names:
        assert abs(found.shares[name] - exact[name]) <= 5 * found.errors[name] + 1e-9


def test_one_change_needs_no_more_than_the_two_ends() -> None:
    world = breaks(["model"])
    assert ask(world, ["model"]).causes == ("model",)
    assert len(world.asked) == 2


def test_wrong_questions_and_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        attribute(["a", "a"], lambda _: 1.0)
    with pytest.raises(ValueError, match="share"):
        attribute(["a"], lambda _: float("nan"))


@given(st.sets(st.sampled_from(NAMES), min_size=1), st.sets(st.sampled_from(NAMES), min_size=1))
def test_what_delta_debugging_finds_breaks_and_is_smallest(one: set[str], other: set[str]) -> None:
    def test(changes: frozenset[str]) -> bool:
        return changes >= one or changes >= other

    found = ddmin(NAMES, test)
    assert test(frozenset(found))
    assert not any(test(frozenset(found) - {change}) for change in found)
    assert set(found) in (one, other)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=16, max_size=16))
def test_shapley_shares_are_those_of_the_definition(values: list[float]) -> None:
    """Against the mean over all orders (Shapley 1953), of which the formula over sets is a regrouping."""
    players = ["a", "b", "c", "d"]
    sets = [frozenset(chosen) for size in range(5) for chosen in itertools.combinations(players, size)]
    value = dict(zip(sets, values, strict=True)).__getitem__
    orders = list(itertools.permutations(players))
    mean = dict.fromkeys(players, 0.0)
    for order in orders:
        for place, player in enumerate(order):
            mean[player] += (value(frozenset(order[: place + 1])) - value(frozenset(order[:place]))) / len(orders)
    exact = shapley_exact(players, value)
    assert exact == pytest.approx(mean, abs=1e-9)
    sampled, _ = shapley_sampled(players, value, permutations=8, seed=1)
    assert sum(sampled.values()) == pytest.approx(value(frozenset(players)) - value(frozenset()), abs=1e-9)
