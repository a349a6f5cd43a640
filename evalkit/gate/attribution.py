"""Which of several changes breaks what broke: delta debugging, and Shapley shares where changes interact.

Pure: an oracle says of a set of changes which share of the broken cases fails when just these are applied to the
baseline. The smallest set that breaks is found by ddmin (Zeller and Hildebrandt 2002, IEEE TSE 28(2), section 3); where
that is not the whole story, changes get Shapley shares (Shapley 1953), exact over all sets of a few changes, else from
permutations drawn with a seed (Castro, Gómez and Tejada 2009).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Literal, TypeAlias

import numpy as np

__all__ = ["Attribution", "Oracle", "attribute", "ddmin", "shapley_exact", "shapley_sampled"]

Changes: TypeAlias = frozenset[str]
Oracle: TypeAlias = Callable[[Changes], float]
"""Share of the broken cases, from 0 to 1, that fails with just these changes."""
Kind: TypeAlias = Literal["single", "together", "either", "several", "none"]

_BREAKS = 0.5
"""A set breaks when it has at least this share of the effect of all changes."""
_LEAST = 0.2
"""Effect of all changes, in share of the broken cases, below which there is nothing to attribute."""
_SLIGHT = 0.2
"""Share of the effect that may be left over without asking further."""


@dataclass(frozen=True)
class Attribution:
    """What the changes have to do with it."""

    kind: Kind
    """``single``: one change breaks it. ``together``: only all of the causes do. ``either``: each of several sets
    does by itself. ``several``: each breaks a part. ``none``: it does not come from the changes."""
    causes: tuple[str, ...]
    """The changes that break it: the smallest set, or of several sets all."""
    sets: tuple[tuple[str, ...], ...] = ()
    """Smallest sets that break it, each by itself."""
    effect: float = 0.0
    """Share of the broken cases that all changes together break."""
    explained: float = 0.0
    """Share of the effect that the causes have by themselves."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Share of each change in the effect; they add up to what the changes that take part explain."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Standard errors of shares that were sampled."""
    exact: bool = True
    """Whether the shares are those of all sets, and not of some permutations."""
    asked: tuple[tuple[tuple[str, ...], float], ...] = ()
    """What the oracle said of each set, in the order in which it was asked."""


class _Memory:
    """An oracle that is asked each thing once."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.said: dict[Changes, float] = {}

    def __call__(self, changes: Changes) -> float:
        if changes not in self.said:
            share = float(self._oracle(changes))
            if not 0 <= share <= 1:
                raise ValueError(f"an oracle says a share from 0 to 1, and not {share}")
            self.said[changes] = share
        return self.said[changes]

    def told(self, order: Sequence[str]) -> tuple[tuple[tuple[str, ...], float], ...]:
        """What it said, the changes of each set in this order."""
        return tuple((tuple(c for c in order if c in names), share) for names, share in self.said.items())


def attribute(
    changes: Sequence[str],
    oracle: Oracle,
    *,
    exact_up_to: int = 5,
    permutations: int = 16,
    seed: int = 0,
) -> Attribution:
    """Find the changes that break what broke.

    Args:
        changes: Names of the changes, each once. Their order decides between equals.
        oracle: Says which share of the broken cases fails with a set of them; asked once for each set.
        exact_up_to: Up to so many interacting changes Shapley shares are exact, which asks for all their sets.
        permutations: Beyond that, so many permutations are drawn.
        seed: For drawing them.

    Raises:
        ValueError: when a change is named twice, or the oracle says what is no share.
    """
    if len(set(changes)) != len(changes):
        raise ValueError("a change is named twice")
    ask = _Memory(oracle)
    everything = frozenset(changes)
    base = ask(frozenset())
    effect = ask(everything) - base
    if effect < _LEAST:
        return Attribution("none", (), effect=effect, asked=ask.told(changes))

    def share_of(names: Changes) -> float:
        return (ask(names) - base) / effect

    def breaks(names: Changes) -> bool:
        return share_of(names) >= _BREAKS

    sets = _smallest_sets(changes, breaks)
    first = frozenset(sets[0])
    rest = everything - first
    left = share_of(rest) if rest else 0.0
    if len(first) == 1 and len(sets) == 1 and left <= _SLIGHT and abs(share_of(first) - 1) <= _SLIGHT:
        shares = {change: float(change in first) for change in changes}
        return Attribution("single", sets[0], tuple(sets), effect, share_of(first), shares, asked=ask.told(changes))
    players = _players(changes, sets, share_of)
    exact = len(players) <= exact_up_to
    errors: dict[str, float] = {}
    if exact:
        values = shapley_exact(players, share_of)
    else:
        values, errors = shapley_sampled(players, share_of, permutations=permutations, seed=seed)
    shares = {change: values.get(change, 0.0) for change in changes}
    kind = _kind(sets, share_of)
    named = frozenset().union(*sets)
    if kind == "several":
        named |= {change for change in changes if shares[change] >= _SLIGHT / 2}
    causes = tuple(change for change in changes if change in named)
    return Attribution(kind, causes, tuple(sets), effect, share_of(named), shares, errors, exact, ask.told(changes))


def _players(changes: Sequence[str], sets: Sequence[tuple[str, ...]], share_of: Oracle) -> list[str]:
    """The changes that take part: those of the smallest sets where they tell the whole story, else all."""
    union = frozenset().union(*sets)
    outside = frozenset(changes) - union
    whole = abs(share_of(union) - 1) <= _SLIGHT / 2 and (not outside or abs(share_of(outside)) <= _SLIGHT / 2)
    return [change for change in changes if change in union or not whole]


def _smallest_sets(changes: Sequence[str], breaks: Callable[[Changes], bool]) -> list[tuple[str, ...]]:
    """Smallest sets that break, none of which shares a change with another."""
    found: list[tuple[str, ...]] = []
    remaining = list(changes)
    while remaining and breaks(frozenset(remaining)):
        smallest = ddmin(remaining, breaks)
        found.append(tuple(smallest))
        remaining = [change for change in remaining if change not in smallest]
    return found


def _kind(sets: Sequence[tuple[str, ...]], share_of: Oracle) -> Kind:
    if len(sets) > 1:
        return "either" if all(share_of(frozenset(found)) >= 1 - _SLIGHT for found in sets) else "several"
    alone = [share_of(frozenset({change})) for change in sets[0]]
    needed = len(sets[0]) > 1 and share_of(frozenset(sets[0])) >= 1 - _SLIGHT and max(alone) <= _SLIGHT
    return "together" if needed else "several"


def ddmin(changes: Sequence[str], breaks: Callable[[Changes], bool]) -> list[str]:
    """A smallest set that breaks: without any one of its changes it does not.

    Args:
        changes: Changes that break together.
        breaks: Whether a set of them does.
    """
    current, pieces = list(changes), 2
    while len(current) > 1:
        parts = _parts(current, min(pieces, len(current)))
        part = next((part for part in parts if breaks(frozenset(part))), None)
        if part is not None:
            current, pieces = part, 2
            continue
        others = ([change for change in current if change not in part] for part in parts)
        rest = next((rest for rest in others if len(parts) > 2 and breaks(frozenset(rest))), None)
        if rest is not None:
            current, pieces = rest, max(pieces - 1, 2)
            continue
        if len(parts) == len(current):
            break
        pieces = min(2 * pieces, len(current))
    return current


def _parts(changes: Sequence[str], count: int) -> list[list[str]]:
    """So many parts of nearly equal size, in order."""
    ends = [round(number * len(changes) / count) for number in range(count + 1)]
    return [list(changes[start:end]) for start, end in pairwise(ends)]


def shapley_exact(players: Sequence[str], value: Oracle) -> dict[str, float]:
    """Shapley value of each player of a game, from the values of all 2^n sets.

    Args:
        players: Their names.
        value: Value of a set of them.
    """
    n = len(players)
    shares = dict.fromkeys(players, 0.0)
    for player in players:
        others = [other for other in players if other != player]
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for chosen in combinations(others, size):
                without = frozenset(chosen)
                shares[player] += weight * (value(without | {player}) - value(without))
    return shares


def shapley_sampled(
    players: Sequence[str], value: Oracle, *, permutations: int, seed: int = 0
) -> tuple[dict[str, float], dict[str, float]]:
    """Shapley values from permutations, each with its reverse, and their standard errors.

    Args:
        players: Their names.
        value: Value of a set of them.
        permutations: How many are drawn; an odd number is rounded up.
        seed: For drawing them.
    """
    generator = np.random.default_rng(seed)
    gains = []
    for _ in range(max(1, (permutations + 1) // 2)):
        order = generator.permutation(len(players)).tolist()
        pair = [_gains(players, direction, value) for direction in (order, order[::-1])]
        gains.append(np.mean(pair, axis=0))
    table = np.asarray(gains)
    spread = table.std(axis=0, ddof=1) / math.sqrt(len(table)) if len(table) > 1 else np.full(len(players), math.nan)
    return (
        dict(zip(players, table.mean(axis=0).tolist(), strict=True)),
        dict(zip(players, spread.tolist(), strict=True)),
    )


def _gains(players: Sequence[str], order: Sequence[int], value: Oracle) -> list[float]:
    """What each player adds when they come in this order."""
    gains = [0.0] * len(players)
    here: Changes = frozenset()
    before = value(here)
    for place in order:
        here |= {players[place]}
        after = value(here)
        gains[place] = after - before
        before = after
    return gains
