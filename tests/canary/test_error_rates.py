"""How often the whole canary is wrong and how soon it is right, by seeded simulation of its traffic.

Half of the traffic goes to the canary, 2% of the control's requests fail, and the canary is
judged after every hundred requests.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from evalkit.canary import Monitor, decide
from evalkit.workflow.gates import CanarySpec

from .traffic import Traffic


@dataclass(frozen=True)
class Ended:
    decision: str
    canary_requests: int
    why: str


def ended(traffic: Traffic, horizon: int = 2_000) -> Ended:
    """Look again and again until there is a decision."""
    monitor = Monitor(CanarySpec(share=0.5, horizon=horizon))
    for number, envelope in enumerate(traffic.requests(4 * horizon), 1):
        monitor.add(envelope)
        if number % 100 == 0:
            decision = decide("support", monitor)
            if decision.decision != "continue":
                return Ended(decision.decision, decision.canary_requests, decision.sentence)
    raise AssertionError("the horizon ends every canary")


def all_of(reps: int, **changes: float) -> list[Ended]:
    return [ended(Traffic(seed=seed, **changes)) for seed in range(reps)]


def share(found: list[Ended], decision: str) -> float:
    return sum(item.decision == decision for item in found) / len(found)


def test_an_equal_canary_is_promoted_and_seldom_rolled_back() -> None:
    found = all_of(60)
    assert share(found, "roll back") <= 0.05
    assert share(found, "promote") > 0.5


@pytest.mark.slow
def test_a_canary_that_is_never_promoted_is_seldom_rolled_back_up_to_the_horizon() -> None:
    """Failures are so few that nothing is proven of them: every monitor is peeked at up to the end."""
    found = [ended(Traffic(seed=seed, failure_rate=0.003)) for seed in range(30)]
    assert share(found, "roll back") <= 0.05
    assert share(found, "hold") > 0.5


@pytest.mark.parametrize(
    ("changes", "within", "why"),
    [
        ({"failures": 5.0}, 260, "fails more often"),
        ({"failures": 3.0}, 500, "fails more often"),
        ({"slower": 1.5}, 500, "is slower"),
        ({"dearer": 1.6}, 400, "is dearer"),
    ],
)
def test_a_worse_canary_is_rolled_back_soon(changes: dict[str, float], within: int, why: str) -> None:
    found = all_of(25, **changes)
    assert share(found, "roll back") >= 0.95
    assert sum(item.canary_requests for item in found) / len(found) < within
    assert sum(why in item.why for item in found) > 0.8 * len(found)


def test_a_canary_twice_as_bad_is_not_promoted() -> None:
    assert share(all_of(40, failures=2.0), "promote") <= 0.075


def test_unknown_outcomes_are_never_promoted() -> None:
    assert {item.decision for item in all_of(10, known=0.9)} <= {"hold"}


def test_a_share_that_is_not_the_planned_one_holds() -> None:
    found = all_of(20, share=0.4)
    assert share(found, "hold") >= 0.95
    assert all("Sample-ratio mismatch" in item.why for item in found if item.decision == "hold")
