"""Which slices got worse? Slices and graders tested together by max-T over a stratified permutation.

Hypothesis, of a slice and a grader: for every case of the slice, the candidate's trials and those of history are
exchangeable, which is to say that nothing changed there. Then, given a case's pooled outcomes, any ``k`` of its
``k + H`` trials were as likely to be the candidate's as those that were. So each permutation draws, for every case, the
``k`` candidate trials from the pool (the stratified, or conditional, permutation test; for pass and fail a case's
draw is hypergeometric and the statistic is that of Cochran, Mantel and Haenszel). All graders of a trial move with it,
so their dependence is kept, and slices that overlap share the draws. The family-wise error is held by the step-down
max-T of Westfall and Young (1993, "Resampling-Based Multiple Testing", algorithm 4.1; Ge, Dudoit and Speed 2003,
TEST 12:1, box 2): subset pivotality holds, because a permutation touches a slice only through its own cases.

**Clusters.** Cases that share a source document, template or conversation may share chance as well: what goes wrong
with the document in one round goes wrong for all of them. Such cases may not be drawn one by one. What can be exchanged
is a *round* of the cluster: one trial of each of its cases, made together. Each permutation draws ``k`` of the
cluster's ``k + H`` rounds, for all its cases at once. It is assumed that rounds are exchangeable as a whole: nothing is
shared between two rounds that is not shared by all of them. That is why rounds have to be named (``rounds``), and why a
round that lacks one of the cluster's cases is left out: it cannot stand in for a whole one. Numbering the trials of one
run as several rounds assumes that what they share is shared by the trial, not by the run. A single cluster can
therefore never bring a p-value below ``1 / C(k + H, k)``, however many cases it has.

**What the test does not say.** With ``H`` much larger than ``k`` a rejection means that the slice's outcomes do not
look like those of history, in the direction of worse on average. Cases, or clusters, that a change shakes up without
lowering the mean are not exchangeable either; the false alarms under such a change are measured in
``benchmarks/slice_errors.py``. Where the number of candidate trials was itself decided by looking at outcomes, the
level is approximate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SliceTests", "expand_counts", "slice_tests"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_PERMUTATIONS = 1_999
_BATCH_BYTES = 16 * 2**20
"""Memory that a batch of permutations may take."""
_ROUNDING = 1e-9
"""Standardised sums that differ by less are equal but for the order of addition."""


@dataclass(frozen=True)
class SliceTests:
    """Numbers of each slice and grader, arrays of shape (slices, graders). Below zero is worse."""

    cases: Ints
    """Cases compared: those with trials of both sides that the grader judged."""
    units: Ints
    """Independent clusters among them."""
    baseline: Floats
    """Mean over the cases of each case's mean in history; NaN without cases."""
    candidate: Floats
    """The same of the candidate."""
    delta: Floats
    """Candidate minus baseline."""
    z: Floats
    """The difference over its standard deviation under permutation; zero where nothing varies."""
    p: Floats
    """Chance of a drop at least this large under permutation, of this slice and grader alone; 1 where not tested."""
    adjusted: Floats
    """The same adjusted for all that were tested: where it is at most 5%, reject; 1 where not tested."""
    tested: Bools
    """False for slices that are too small: their numbers are to be shown, not judged."""
    compared: Bools
    """Which cases were compared on which grader, shape (cases, graders)."""
    left_out: int
    """Trials that took no part: without a score that its case's other trials have, in an incomplete round of a
    cluster, or of a case that the other side did not try."""
    permutations: int


def slice_tests(
    scores: Floats,
    cases: NDArray[np.integer[Any]],
    candidate: Bools,
    slices: Bools,
    *,
    clusters: NDArray[np.integer[Any]] | None = None,
    rounds: NDArray[np.integer[Any]] | None = None,
    min_slice: int = 10,
    permutations: int = _PERMUTATIONS,
    seed: int = 0,
) -> SliceTests:
    """Test every slice and grader for a drop, one-sided, with the family-wise error held over all of them.

    One row is one trial. Every case counts alike, whatever the number of its trials: the statistic is the sum over the
    slice of candidate mean minus history mean, over its exact standard deviation under permutation. The paired case,
    against the trials of one concurrent baseline run, is the same with that run as the history; with one trial
    on either side it is the sign-flip test of the differences.

    Args:
        scores: Score of each trial by each grader, usually in [0, 1], shape (trials, graders). NaN where a grader does
            not apply to the case, or gave no score.
        cases: Case number of each trial, from nought, shape (trials,).
        candidate: Whether a trial is the candidate's; the others are history. Shape (trials,).
        slices: Which cases belong to which slice, shape (cases, slices). Slices may overlap; all cases is a slice too.
        clusters: Cluster number of each case, shape (cases,); default every case is its own.
        rounds: Number of the round in which each trial was made, shape (trials,): trials of a cluster with the same
            number, on the same side, move together. Needed where a cluster has several cases. Numbers need only be
            unique within a case and side.
        min_slice: Slices with fewer compared cases are not tested.
        permutations: Number of draws; 1,999 or more for a verdict.
        seed: For the draws.

    Raises:
        ValueError: For shapes that do not fit, infinite scores, a cluster of several cases without rounds, or two
            trials of a case in the same round.
    """
    scores = np.asarray(scores, np.float64)
    slices = np.asarray(slices, bool)
    _check(scores, np.asarray(cases), np.asarray(candidate), slices, permutations)
    pool = _Pool.of(scores, np.asarray(cases, np.int64), np.asarray(candidate, bool), len(slices), clusters, rounds)
    membership = slices.astype(np.float64)
    counts = (membership.T @ pool.compared).astype(np.int64)
    tested = counts >= max(1, min_slice)
    deviation = np.sqrt(pool.variance(slices))
    # what rounding alone leaves is no variance
    scale = np.where(deviation > _ROUNDING, deviation, np.inf)
    sums = membership.T @ pool.differences
    z = sums / scale
    p, adjusted = _p_values(pool, membership, scale, z, tested, permutations, seed)
    with np.errstate(invalid="ignore"):
        baseline = membership.T @ pool.history / np.where(counts > 0, counts, np.nan)
        delta = sums / np.where(counts > 0, counts, np.nan)
    return SliceTests(
        cases=counts,
        units=_units(pool, slices),
        baseline=baseline,
        candidate=baseline + delta,
        delta=delta,
        z=z,
        p=p,
        adjusted=adjusted,
        tested=tested,
        compared=pool.compared,
        left_out=len(scores) - int(pool.trials.sum()),
        permutations=permutations,
    )


def _check(scores: Floats, cases: NDArray[Any], candidate: NDArray[Any], slices: Bools, permutations: int) -> None:
    if scores.ndim != 2 or slices.ndim != 2:
        raise ValueError("scores must have the shape (trials, graders) and slices the shape (cases, slices)")
    if not len(scores) == len(cases) == len(candidate):
        raise ValueError(
            f"{len(scores)} scores, {len(cases)} case numbers, {len(candidate)} sides: one of each a trial"
        )
    if len(cases) and not 0 <= int(cases.min()) <= int(cases.max()) < len(slices):
        raise ValueError(f"case numbers must lie between 0 and {len(slices) - 1}, the rows of slices")
    if np.isinf(scores).any():
        raise ValueError("a score is infinite")
    if permutations < 1:
        raise ValueError("at least one permutation is needed")


# ── what is exchanged ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Pool:
    """Pooled trials of each case in rows, the candidate's first, and how they may be exchanged.

    Within a unit, a case or a cluster, row ``j`` of every case belongs to the same round.
    """

    values: Floats
    """Deviation of each trial from its case's pooled mean, times ``1/k + 1/H``: the sum over the candidate's trials is
    candidate mean minus history mean. Shape (kept trials, graders), nought where a grader is not compared."""
    first: Ints
    """First row of each case, shape (cases,)."""
    trials: Ints
    """Rows of each case; nought for one that is not compared."""
    chosen: Ints
    """Those of the candidate, k."""
    unit: Ints
    """Unit of each case."""
    compared: Bools
    history: Floats
    """Mean of each case in history, nought where not compared, shape (cases, graders)."""
    differences: Floats
    """Candidate mean minus history mean, the same."""

    @classmethod
    def of(
        cls,
        scores: Floats,
        cases: Ints,
        candidate: Bools,
        n: int,
        clusters: NDArray[np.integer[Any]] | None,
        rounds: NDArray[np.integer[Any]] | None,
    ) -> _Pool:
        unit = np.arange(n) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
        if len(unit) != n:
            raise ValueError(f"{len(unit)} cluster numbers for {n} cases")
        compared = _both_sides(~np.isnan(scores), cases, candidate, n)
        keep = _complete_rows(scores, compared, cases)
        if rounds is not None and len(rounds) != len(cases):
            raise ValueError(f"{len(rounds)} rounds for {len(cases)} trials")
        # where a case is its own unit every trial is a round
        number = np.arange(len(cases)) if rounds is None else np.asarray(rounds, np.int64)
        if clusters is not None and int(np.bincount(unit, minlength=1).max(initial=0)) > 1:
            if rounds is None:
                raise ValueError("cases of one cluster move together only in named rounds: pass rounds")
            keep = _complete_rounds(keep, cases, candidate, number, unit)
        compared = compared & _both_sides(keep[:, None], cases, candidate, n)
        keep &= np.asarray(compared.any(axis=1))[cases]
        order = np.flatnonzero(keep)
        order = order[np.lexsort((number[order], ~candidate[order], cases[order]))]
        trials = np.bincount(cases[order], minlength=n)
        chosen = np.bincount(cases[order], weights=candidate[order], minlength=n).astype(np.int64)
        first = np.concatenate([[0], np.cumsum(trials)[:-1]]).astype(np.int64)
        values, of_row = np.where(compared[cases[order]], scores[order], 0.0), cases[order]
        totals, now = _sums(values, of_row, n), _sums(values * candidate[order][:, None], of_row, n)
        k, h = np.maximum(chosen, 1)[:, None], np.maximum(trials - chosen, 1)[:, None]
        history = (totals - now) / h
        centred = (values - (totals / np.maximum(trials, 1)[:, None])[of_row]) * (1.0 / k + 1.0 / h)[of_row]
        # equal scores leave rounding behind, which is not a deviation
        centred[np.abs(centred) < 1e-12] = 0.0
        return cls(centred, first, trials, chosen, unit, compared, history, now / k - history)

    def variance(self, slices: Bools) -> Floats:
        """Variance of each slice's sum under permutation, shape (slices, graders).

        The sum of ``k`` of ``B`` values drawn without replacement varies by ``k (B - k) / B`` times their variance
        (Cochran 1977, theorem 2.2); the values are those of a unit's rounds, summed over its cases in the slice.
        """
        k, size = self.chosen, np.maximum(self.trials, 2)
        factor = (k * (size - k) / (size * (size - 1.0)))[:, None]
        if int(np.bincount(self.unit, minlength=1).max(initial=0)) <= 1:
            squares = _sums(self.values**2, np.repeat(np.arange(len(k)), self.trials), len(k))
            return np.asarray(slices.T.astype(np.float64) @ (squares * factor))
        # all cases of a unit that are compared have the same rounds: number these by the rows of the first of them
        of_row = np.repeat(np.arange(len(k)), self.trials)
        lead = np.full(int(self.unit.max()) + 1, -1)
        held = np.flatnonzero(self.trials)[::-1]
        lead[self.unit[held]] = held
        place = self.first[lead[self.unit[of_row]]] + np.arange(len(of_row)) - self.first[of_row]
        order = np.argsort(place, kind="stable")
        order = order[self.values[order].any(axis=1)]
        found = np.zeros((slices.shape[1], self.values.shape[1]))
        for number in range(slices.shape[1]):
            rows = order[slices[of_row[order], number]]
            if len(rows):
                begins = np.flatnonzero(np.diff(place[rows], prepend=-1))
                together = np.add.reduceat(self.values[rows], begins, axis=0)
                found[number] = factor[of_row[rows[begins]], 0] @ together**2
        return found


def _sums(values: Floats, groups: Ints, count: int) -> Floats:
    """Sums of rows by group, shape (groups, columns)."""
    columns = [np.bincount(groups, weights=column, minlength=count) for column in values.T]
    return np.stack(columns, axis=1) if columns else np.zeros((count, 0))


def _both_sides(valid: Bools, cases: Ints, candidate: Bools, n: int) -> Bools:
    """Which cases have valid trials on both sides, by column, shape (n, columns)."""
    now = _sums((valid & candidate[:, None]).astype(np.float64), cases, n)
    before = _sums((valid & ~candidate[:, None]).astype(np.float64), cases, n)
    return (now > 0) & (before > 0)


def _complete_rows(scores: Floats, compared: Bools, cases: Ints) -> Bools:
    """Trials that have a score from every grader that is compared on their case."""
    wanted = compared[cases]
    return np.asarray(wanted.any(axis=1) & ~(wanted & np.isnan(scores)).any(axis=1))


def _complete_rounds(keep: Bools, cases: Ints, candidate: Bools, rounds: Ints, unit: Ints) -> Bools:
    """Trials of rounds in which every case of the cluster was tried that has trials on both sides."""
    both = _both_sides(keep[:, None], cases, candidate, len(unit))[:, 0]
    size = np.bincount(unit[both], minlength=int(unit.max()) + 1)
    rows = np.flatnonzero(keep & both[cases] & (size[unit[cases]] > 1))
    whole = keep & both[cases] & (size[unit[cases]] <= 1)
    _, number = np.unique(rounds[rows], return_inverse=True)
    round_of_side = 2 * number + candidate[rows]
    span = 2 * len(rows) + 2
    if len(np.unique(cases[rows] * span + round_of_side)) < len(rows):
        raise ValueError("two trials of a case stand in the same round")
    of_unit = unit[cases[rows]]
    _, where, count = np.unique(of_unit * span + round_of_side, return_inverse=True, return_counts=True)
    whole[rows[count[where] == size[of_unit]]] = True
    return whole


def _units(pool: _Pool, slices: Bools) -> Ints:
    """Independent clusters among the compared cases of each slice, shape (slices, graders)."""
    count = int(pool.unit.max(initial=-1)) + 1
    found = np.zeros((slices.shape[1], pool.compared.shape[1]), np.int64)
    for number in range(slices.shape[1]):
        for grader in range(pool.compared.shape[1]):
            held = pool.unit[slices[:, number] & pool.compared[:, grader]]
            found[number, grader] = np.count_nonzero(np.bincount(held, minlength=count))
    return found


# ── the draws ───────────────────────────────────────────────────────────────────────────


def _p_values(
    pool: _Pool, membership: Floats, scale: Floats, z: Floats, tested: Bools, permutations: int, seed: int
) -> tuple[Floats, Floats]:
    """P of each slice and grader alone, and adjusted for all that are tested, step-down."""
    p, adjusted = np.ones(z.shape), np.ones(z.shape)
    places = np.flatnonzero(tested.ravel())
    if not len(places):
        return p, adjusted
    # the largest drop last, so that a running minimum runs over what is not yet rejected
    places = places[np.argsort(-z.ravel()[places], kind="stable")]
    observed = z.ravel()[places] + _ROUNDING
    alone, together = np.zeros(len(places), np.int64), np.zeros(len(places), np.int64)
    for drawn in _draw_sums(pool, membership, permutations, np.random.default_rng(seed)):
        ordered = (drawn / scale).reshape(len(drawn), -1)[:, places]
        alone += (ordered <= observed).sum(axis=0)
        together += (np.minimum.accumulate(ordered, axis=1) <= observed).sum(axis=0)
    p.ravel()[places] = (1 + alone) / (1 + permutations)
    steps = (1 + together) / (1 + permutations)
    adjusted.ravel()[places] = np.maximum.accumulate(steps[::-1])[::-1]
    return p, adjusted


def _draw_sums(pool: _Pool, membership: Floats, permutations: int, generator: np.random.Generator) -> Iterator[Floats]:
    """Sums of the slices under permutation, in batches of shape (some permutations, slices, graders)."""
    from scipy import sparse  # costs a quarter of a second, which most commands need not wait for

    graders = pool.values.shape[1]
    moving = _sums(np.abs(pool.values), np.repeat(np.arange(len(pool.trials)), pool.trials), len(pool.trials))
    active = np.flatnonzero(moving.any(axis=1))
    if not len(active):
        yield np.zeros((permutations, membership.shape[1], graders))
        return
    # of two complementary choices the smaller is drawn: deviations of a case add up to nought
    size, chosen = pool.trials[active], pool.chosen[active]
    flipped = chosen > size - chosen
    chosen = np.where(flipped, size - chosen, chosen)
    signs = np.ones(len(pool.trials))
    signs[active[flipped]] = -1.0
    values = pool.values * np.repeat(signs, pool.trials)[:, None]
    # units with the most draws first, the cases of each side by side: later draws concern a leading part only
    order = np.lexsort((pool.unit[active], -chosen))
    active, size, chosen = active[order], size[order], chosen[order]
    begins = np.diff(pool.unit[active], prepend=-1) != 0
    rank, by_unit = np.cumsum(begins) - 1, np.flatnonzero(begins)
    slices = sparse.csr_array(membership[active].T)
    share = 8 * len(active) * (3 * graders + 2) + 8 * int(chosen[by_unit].sum()) + 24 * membership.shape[1] * graders
    batch = max(1, min(permutations, _BATCH_BYTES // share))
    for start in range(0, permutations, batch):
        count = min(batch, permutations - start)
        held = np.zeros((len(active), count, graders))
        for pick in _draw_rounds(size[by_unit], chosen[by_unit], count, generator):
            reached = int(np.searchsorted(rank, len(pick)))
            rows = pool.first[active[:reached], None] + pick[rank[:reached]]
            held[:reached] += values.take(rows, axis=0)
        sums = slices @ held.reshape(len(active), count * graders)
        yield np.moveaxis(sums.reshape(membership.shape[1], count, graders), 1, 0)


def _draw_rounds(size: Ints, chosen: Ints, count: int, generator: np.random.Generator) -> Iterator[Ints]:
    """Draw ``chosen`` of ``size`` places without replacement for every unit, ``count`` times (Floyd's algorithm).

    Units are in falling order of ``chosen``. Yields one place of each set a time, for the leading units that have so
    many, shape (units, count).
    """
    drawn: list[Ints] = []
    for step in range(int(chosen.max(initial=0))):
        reached = int(np.count_nonzero(chosen > step))
        top = (size[:reached] - chosen[:reached] + step)[:, None]
        pick = (generator.random((reached, count)) * (top + 1)).astype(np.int64)
        taken = np.zeros(pick.shape, bool)
        for earlier in drawn:
            taken |= earlier[:reached] == pick
        pick = np.where(taken, top, pick)
        drawn.append(pick)
        yield pick


def expand_counts(
    passed: NDArray[np.integer[Any]],
    trials: NDArray[np.integer[Any]],
    history_passed: NDArray[np.integer[Any]],
    history_trials: NDArray[np.integer[Any]],
) -> tuple[Floats, Ints, Bools]:
    """Rows for :func:`slice_tests` from counts of passes, where one grader decides and no cases are clustered.

    Args:
        passed: Passes of the candidate, shape (cases,).
        trials: Trials of the candidate.
        history_passed: Passes in history.
        history_trials: Trials in history.

    Returns:
        Scores of shape (trials, 1), case numbers, and sides.
    """
    counts = np.stack([passed, trials - passed, history_passed, history_trials - history_passed], axis=1)
    if (counts < 0).any():
        raise ValueError("there cannot be more passes than trials")
    kinds = np.repeat(np.tile(np.arange(4), len(counts)), counts.ravel())
    cases = np.repeat(np.arange(len(counts)), counts.sum(axis=1)).astype(np.int64)
    return (kinds % 2 == 0).astype(np.float64)[:, None], cases, kinds < 2


# ── stable cases that broke ─────────────────────────────────────────────────────────────
