"""False alarms and power of the slice tests, by simulation of the code that judges them.

The world of :mod:`benchmarks.gate_errors`, twenty slices of 5% each beside the whole, and 20 runs of history. A
candidate is unchanged, or every case loses 5 points, or one slice collapses to a tenth of its pass rate, or 3% of the
stable cases break and as much is repaired elsewhere: then nothing changes on the whole, but the slices in which cases
broke are lower in truth, by some 7 points for each case, and a test of slices finds them. What a least drop does to
that is shown beside it. In the last world the cases of a document share its luck of the round.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Table
from benchmarks.gate_errors import lose, reshuffle, world
from evalkit.stats.permutation import SliceTests, slice_tests
from evalkit.stats.stable_cases import broken_stable_cases

HISTORY, SLICES, ALPHA = 20, 20, 0.05
LEAST_DROP = 0.25
CONFIGURATIONS = ((300, 1, 1_000, 150), (300, 3, 300, 150), (1000, 1, 200, 100))
"""Cases, trials a case, rounds without and with a change."""
CLUSTER_ROUNDS = 200

Floats = NDArray[np.float64]


def _slices(n: int) -> NDArray[np.bool_]:
    """The whole, and slices of 5% each."""
    number = np.arange(n)[:, None] * SLICES // n
    return np.hstack([np.ones((n, 1), bool), number == np.arange(SLICES)])


def _tested(scores: Floats, k: int, seed: int, clusters: NDArray[np.int64] | None = None) -> SliceTests:
    """The whole and the slices. Scores in the shape (cases, trials), the candidate's first."""
    n, trials = scores.shape
    return slice_tests(
        scores.reshape(-1, 1),
        np.repeat(np.arange(n), trials),
        np.tile(np.arange(trials) < k, n),
        _slices(n),
        clusters=clusters,
        rounds=np.tile(np.arange(trials), n),
        seed=seed,
    )


def _draw(generator: np.random.Generator, p: Floats, q: Floats, k: int) -> Floats:
    chances = np.hstack([np.repeat(q[:, None], k, axis=1), np.repeat(p[:, None], HISTORY, axis=1)])
    return (generator.random(chances.shape) < chances).astype(np.float64)


def _changed(generator: np.random.Generator, name: str, p: Floats) -> Floats:
    if name == "5 points worse":
        return lose(p, 0.05)
    if name == "a slice collapsed":
        return np.where(_slices(len(p))[:, 1], 0.1 * p, p)
    return reshuffle(generator, p) if name.startswith("reshuffled") else p


def _independent(n: int, k: int, name: str, rounds: int) -> list[object]:
    generator = np.random.default_rng(20261208)
    any_named = right = wrong = slices_named = large = warned = 0
    for number in range(rounds):
        p = world(generator, n)
        scores = _draw(generator, p, _changed(generator, name, p), k)
        found = _tested(scores, k, seed=number)
        named = found.adjusted[:, 0] <= ALPHA
        any_named += bool(named.any())
        slices_named += bool(named[1:].any())
        large += bool((named & (found.delta[:, 0] <= -LEAST_DROP))[1:].any())
        right += bool(named[1])
        wrong += bool(named[2:].any())
        passed = scores.astype(np.int64)
        warned += _warned(passed[:, :k].sum(axis=1), k, passed[:, k:].sum(axis=1))
    collapsed = name == "a slice collapsed"
    return [
        n,
        k,
        name,
        rounds,
        f"{any_named / rounds:.1%}",
        f"{slices_named / rounds:.1%}",
        f"{large / rounds:.1%}",
        f"{right / rounds:.1%}" if collapsed else "",
        f"{wrong / rounds:.1%}" if collapsed else "",
        f"{warned / rounds:.1%}",
    ]


def _warned(passed: NDArray[np.int64], k: int, history: NDArray[np.int64]) -> bool:
    """Whether more stable cases broke than chance explains."""
    each = np.ones(len(passed), np.int64)
    return bool(broken_stable_cases(passed, k * each, history, HISTORY * each).p_count <= ALPHA)


def _clustered(together: bool) -> list[object]:
    """Documents of five cases: in one round of ten a document fails all its cases."""
    generator, n, size = np.random.default_rng(20261209), 300, 5
    clusters = np.arange(n) // size
    named = slices_named = 0
    for number in range(CLUSTER_ROUNDS):
        p = world(generator, n)
        luck = generator.random((n // size, 1 + HISTORY)) < 0.9
        scores = _draw(generator, p, p, 1) * luck[clusters]
        found = _tested(scores, 1, seed=number, clusters=clusters if together else None).adjusted[:, 0] <= ALPHA
        named += bool(found.any())
        slices_named += bool(found[1:].any())
    name = f"unchanged, documents of 5 cases, {'moved together' if together else 'moved one by one'}"
    shares = [f"{count / CLUSTER_ROUNDS:.1%}" for count in (named, slices_named)]
    return [n, 1, name, CLUSTER_ROUNDS, *shares, "", "", "", ""]


def measure() -> Table:
    """Shares of rounds in which something was named."""
    names = ("unchanged", "5 points worse", "a slice collapsed", "reshuffled, no net change")
    rows = [
        _independent(n, k, name, unchanged if name == "unchanged" else changed)
        for n, k, unchanged, changed in CONFIGURATIONS
        for name in names
    ]
    rows += [_clustered(together) for together in (True, False)]
    title = f"The whole and {SLICES} slices of 5% each, {HISTORY} runs of history: max-T, 1,999 permutations"
    headers = [
        "cases",
        "trials",
        "candidate",
        "rounds",
        "any named",
        "any slice named",
        f"... that is {100 * LEAST_DROP:.0f} points lower",
        "right slice named",
        "a wrong slice named",
        "more stable cases broke than by chance",
    ]
    return title, headers, rows
