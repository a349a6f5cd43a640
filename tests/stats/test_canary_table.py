"""The request counts and error rates of the specification's canary tables, by seeded simulation.

Every hundred canary requests the canary is looked at; it has 5% of the traffic, and 1% of the
control's requests fail. Where an e-value crosses its limit is asked of the library once for
every number of events; simulated paths are compared with that bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.stats.sequential import asymptotic_radius, log_e_rate_higher, log_e_rate_lower

SHARE, BATCH, HORIZON, RATE = 0.05, 100, 15_000, 0.01
Counts = NDArray[np.int64]


def bound(log_e: Callable[[int, int], float], events: int, alpha: float, *, upper: bool) -> Counts:
    """For each number of events the fewest in the canary that cross, or the number below which it crosses."""
    limit, here, found = math.log(1 / alpha), 0, []
    for n in range(events + 1):
        while here <= n and (log_e(here, n - here) >= limit) is not upper:
            here += 1
        found.append(here)
    return np.asarray(found)


@dataclass(frozen=True)
class Outcome:
    decided: float
    """Share of the canaries that were decided within the horizon."""
    requests: float
    """Mean number of canary requests until then."""


def simulated(ratio: float, limits: Counts, *, upper: bool, reps: int = 500, incident: float = 1.0) -> Outcome:
    generator = np.random.default_rng(1000)
    looks = HORIZON // BATCH
    rates = np.full(looks, RATE)
    rates[looks // 2 : looks // 2 + 15] *= incident
    canary = generator.binomial(BATCH, rates * ratio, (reps, looks)).cumsum(axis=1)
    control = generator.binomial(round(BATCH * (1 - SHARE) / SHARE), rates, (reps, looks)).cumsum(axis=1)
    limit = limits[canary + control]
    crossed = canary >= limit if upper else canary < limit
    ever = crossed.any(axis=1)
    first = (crossed.argmax(axis=1) + 1) * BATCH
    return Outcome(float(ever.mean()), float(first[ever].mean()) if ever.any() else math.inf)


@pytest.fixture(scope="module")
def accusing() -> Counts:
    return bound(lambda a, b: log_e_rate_higher(a, b, SHARE), 4500, 0.05, upper=True)


# ── failures ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("ratio", "published"), [(2.0, 1219), (5.0, 182)])
def test_more_failures_are_found_within_the_published_requests(
    accusing: Counts, ratio: float, published: float
) -> None:
    found = simulated(ratio, accusing, upper=True)
    assert found.decided == 1.0
    assert found.requests == pytest.approx(published, rel=0.10)


def test_an_equal_canary_is_seldom_accused_though_looked_at_150_times(accusing: Counts) -> None:
    assert simulated(1.0, accusing, upper=True).decided <= 0.05


def test_an_incident_that_hits_both_arms_accuses_nobody(accusing: Counts) -> None:
    assert simulated(1.0, accusing, upper=True, incident=3.0).decided <= 0.05


def test_a_naive_test_at_every_look_would_accuse_a_third() -> None:
    """The world is one in which peeking matters: the published rate of a z-test at every look is 34.8%."""
    generator = np.random.default_rng(1000)
    looks = HORIZON // BATCH
    canary = generator.binomial(BATCH, RATE, (300, looks)).cumsum(axis=1)
    control = generator.binomial(19 * BATCH, RATE, (300, looks)).cumsum(axis=1)
    n = BATCH * np.arange(1, looks + 1)
    pooled = (canary + control) / (20 * n)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (canary / n - control / (19 * n)) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / (19 * n)))
    assert (z > 1.645).any(axis=1).mean() > 0.25


@pytest.mark.parametrize(("margin", "published"), [(1.5, 3926), (2.0, 1291)])
def test_an_equal_canary_is_promoted_within_the_published_requests(margin: float, published: float) -> None:
    limits = bound(lambda a, b: log_e_rate_lower(a, b, SHARE, margin), 3600, 0.05, upper=False)
    found = simulated(1.0, limits, upper=False)
    assert found.decided > 0.97
    assert found.requests < 1.25 * published
    assert simulated(margin, limits, upper=False).decided <= 0.05


# ── cost ────────────────────────────────────────────────────────────────────────────────


def dearer(factor: float, reps: int, tuned_for: int = 500) -> Outcome:
    """Log-normal costs with four control requests for each of the canary, looked at every hundred up to 10,000."""
    generator = np.random.default_rng(77)
    n = np.arange(BATCH, 10_001, BATCH)
    found = []
    for _ in range(reps):
        canary = factor * generator.lognormal(0, 1, n[-1])
        control = generator.lognormal(0, 1, 4 * n[-1])
        means, errors = [], []
        for values, counts in ((canary, n), (control, 4 * n)):
            mean = values.cumsum()[counts - 1] / counts
            means.append(mean)
            errors.append(((values**2).cumsum()[counts - 1] / counts - mean**2) / counts)
        excess, error = means[0] - means[1], np.sqrt(errors[0] + errors[1])
        radius = [asymptotic_radius(int(k), float(e), 0.05, tuned_for) for k, e in zip(n, error, strict=True)]
        over = np.flatnonzero(excess > np.asarray(radius))
        if len(over):
            found.append(int(n[over[0]]))
    return Outcome(len(found) / reps, float(np.mean(found)) if found else math.inf)


@pytest.mark.parametrize(("factor", "published"), [(1.10, 2667), (1.20, 1144)])
def test_a_dearer_canary_is_found_within_the_published_requests(factor: float, published: float) -> None:
    found = dearer(factor, 100)
    assert found.decided == 1.0
    assert found.requests < published


def test_an_equally_dear_canary_is_seldom_accused() -> None:
    assert dearer(1.0, 300).decided <= 0.05


@pytest.mark.slow
def test_an_equally_dear_canary_is_seldom_accused_whatever_the_tuning() -> None:
    for tuned_for in (100, 2_000):
        assert dearer(1.0, 300, tuned_for).decided <= 0.05
