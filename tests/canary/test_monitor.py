"""What the monitors say of traffic that is known, and in which order they are heard."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from evalkit.canary import CanaryDecision, Envelope, Monitor, MonitorState, Violation, decide
from evalkit.stats import zero_failures_bound
from evalkit.stats.sequential import log_e_rate_higher, log_e_rate_lower, log_e_share_differs
from evalkit.workflow.gates import CanarySpec


def spec(**keys: Any) -> CanarySpec:
    return CanarySpec.model_validate({"share": 0.5, "p95_warmup": 20, **keys})


def requests(arm: str, count: int, *, failures: int = 0, unknown: int = 0, **fields: Any) -> Iterator[Envelope]:
    """So many requests of an arm: the failures first, the unknown outcomes last; 1 s and $0.01 each."""
    for number in range(count):
        success = None if number >= count - unknown else number >= failures
        known = {"latency_us": 1_000_000, "cost_microusd": 10_000, **fields}
        yield Envelope(f"{arm}-{number}", arm, success=success, **known)  # type: ignore[arg-type]


def both(control: Iterable[Envelope], canary: Iterable[Envelope], **keys: Any) -> Monitor:
    monitor = Monitor(spec(**keys))
    for envelope in (*control, *canary):
        monitor.add(envelope)
    return monitor


def state(decision: CanaryDecision, name: str) -> MonitorState:
    return next(found for found in decision.monitors if found.name == name)


def decided(control: Iterable[Envelope], canary: Iterable[Envelope], **keys: Any) -> CanaryDecision:
    return decide("support", both(control, canary, **keys))


# ── the four decisions ──────────────────────────────────────────────────────────────────


def test_nothing_yet_goes_on() -> None:
    decision = decided([], [])
    assert (decision.decision, decision.exit_code) == ("continue", 7)
    assert (decision.control_requests, decision.canary_requests, decision.completeness) == (0, 0, 0.0)
    assert decision.critical_bound == 1.0


def test_one_arm_alone_goes_on() -> None:
    assert decided(requests("control", 3), []).decision == "continue"
    assert decided([], requests("canary", 3)).decision == "continue"


def test_as_good_as_the_control_is_promoted() -> None:
    decision = decided(requests("control", 1000, failures=30), requests("canary", 1000, failures=20))
    assert (decision.decision, decision.exit_code) == ("promote", 0)
    assert decision.critical_bound == zero_failures_bound(1000)
    assert f"fewer than {zero_failures_bound(1000):.2%} at 95% confidence" in decision.sentence
    assert {found.name: found.status for found in decision.monitors} == {
        "failures": "promote", "p95 latency": "promote", "cost per success": "promote", "assignment": "quiet",
    }  # fmt: skip


def test_no_difference_proven_either_way_goes_on_until_the_horizon() -> None:
    arms = {"control": list(requests("control", 300, failures=3)), "canary": list(requests("canary", 300, failures=3))}
    going = decided(**arms, horizon=301)
    assert (going.decision, going.exit_code) == ("continue", 7)
    assert "No difference in failures proven" in going.sentence
    over = decided(**arms, horizon=300)
    assert (over.decision, over.exit_code) == ("hold", 5)
    assert over.sentence == "300 canary requests were not enough to decide."


def test_more_failures_are_rolled_back_with_their_evidence() -> None:
    decision = decided(requests("control", 1000, failures=10), requests("canary", 1000, failures=40))
    assert (decision.decision, decision.exit_code) == ("roll back", 1)
    assert decision.sentence == "The canary fails more often: 4.00% against 1.00%."
    failures = state(decision, "failures")
    assert failures.e_value == pytest.approx(math.exp(log_e_rate_higher(40, 10, 0.5)))
    assert (failures.threshold, failures.control, failures.canary) == (60.0, 0.01, 0.04)


def test_so_much_more_may_be_allowed() -> None:
    arms = {
        "control": list(requests("control", 1000, failures=20)),
        "canary": list(requests("canary", 1000, failures=50)),
    }
    assert decided(**arms).decision == "roll back"
    assert decided(**arms, max_failure_ratio=2.5, promote_ratio=3.0).decision != "roll back"


def test_evidence_for_promotion_is_the_mirrored_test() -> None:
    decision = decided(requests("control", 1000, failures=40), requests("canary", 1000, failures=40))
    failures = state(decision, "failures")
    assert (failures.status, failures.threshold) == ("promote", 20.0)
    assert failures.e_value == pytest.approx(math.exp(log_e_rate_lower(40, 40, 0.5, 2.0)))


def test_too_few_canary_requests_are_not_promoted_however_good() -> None:
    arms = {
        "control": list(requests("control", 199, failures=60)),
        "canary": list(requests("canary", 199, failures=10)),
    }
    assert decided(**arms).decision == "continue"
    assert decided(**arms, min_requests=199).decision == "promote"


# ── critical violations ─────────────────────────────────────────────────────────────────


def test_the_first_critical_violation_ends_it() -> None:
    leak = Violation("no_addresses", "critical", "an address")
    canary = [*requests("canary", 5), Envelope("bad", "canary", success=True, violations=(Violation("tone"), leak))]
    decision = decided(requests("control", 5), canary)
    assert (decision.decision, decision.exit_code, decision.critical) == ("roll back", 1, ("bad",))
    assert "no_addresses in request bad" in decision.sentence


def test_a_critical_violation_is_heard_before_everything_else() -> None:
    leak = Envelope("bad", "canary", violations=(Violation("leak", "critical"),))
    canary = [*requests("canary", 1000, failures=500), leak]
    assert "Critical violation of leak" in decided(requests("control", 20), canary).sentence


def test_the_names_in_a_sentence_cannot_break_its_line() -> None:
    leak = Violation("a\x1b[2Jrule", "critical")
    canary = [Envelope("r\n##[error]\u202e\nPROMOTE: all is well " + "x" * 500, "canary", violations=(leak,))]
    sentence = decided([], canary).sentence
    assert sentence.isprintable()
    assert "a⟦U+001B⟧[2Jrule in request r ##⟦error]⟦U+202E⟧ PROMOTE" in sentence
    assert len(sentence) < 300


@pytest.mark.parametrize(
    ("arm", "severity"), [("control", "critical"), ("canary", "major"), ("canary", "minor"), ("canary", "none")]
)
def test_other_violations_do_not_end_it(arm: str, severity: str) -> None:
    found = Envelope("x", arm, success=True, violations=(Violation("rule", severity),))  # type: ignore[arg-type]
    decision = decided([*requests("control", 3), found], requests("canary", 3))
    assert (decision.decision, decision.critical) == ("continue", ())


# ── latency ─────────────────────────────────────────────────────────────────────────────


def test_slow_is_over_the_frozen_threshold_of_the_control() -> None:
    monitor = both(requests("control", 19), [])
    assert "Waiting for 20 control requests" in state(decide("support", monitor), "p95 latency").sentence
    for envelope in requests("control", 21):
        monitor.add(envelope)
    for seconds, slow in ((1.0, 0), (1.05, 0), (1.0501, 1), (30.0, 2)):
        monitor.add(Envelope(f"c{seconds}", "canary", latency_us=round(seconds * 1e6)))
        assert monitor.canary.slow == slow
    monitor.add(Envelope("slow control", "control", latency_us=1_000_001))
    assert monitor.control.slow == 1


def test_a_slower_canary_is_rolled_back() -> None:
    decision = decided(requests("control", 500), requests("canary", 500, latency_us=1_200_000))
    assert (decision.decision, decision.exit_code) == ("roll back", 1)
    assert decision.sentence == "The canary is slower: p95 1.200 s against 1.000 s, threshold 1.000 s."
    assert state(decision, "p95 latency").e_value == pytest.approx(math.exp(log_e_rate_higher(500, 0, 0.5)))


def test_a_slow_hour_of_both_arms_is_nobodys_fault() -> None:
    monitor = both(requests("control", 200, failures=20), requests("canary", 200, failures=10))
    for number in range(600):
        arm = "canary" if number % 2 else "control"
        monitor.add(Envelope(f"slow-{number}", arm, success=True, latency_us=9_000_000, cost_microusd=10_000))  # type: ignore[arg-type]
    assert state(decide("support", monitor), "p95 latency").status == "promote"


def test_without_latencies_nothing_is_promoted() -> None:
    arms = [list(requests(arm, 1000, failures=30, latency_us=None)) for arm in ("control", "canary")]
    assert decided(*arms).decision == "continue"


# ── cost ────────────────────────────────────────────────────────────────────────────────


def test_a_dearer_canary_is_rolled_back() -> None:
    decision = decided(requests("control", 400), requests("canary", 400, cost_microusd=12_000))
    assert (decision.decision, decision.exit_code) == ("roll back", 1)
    assert decision.sentence == "The canary is dearer: $0.0120 against $0.0100 per success, allowed +10%."


@pytest.mark.parametrize(("cost", "status"), [(10_999, "promote"), (11_001, "roll_back")])
def test_the_margin_of_cost_is_kept(cost: int, status: str) -> None:
    decision = decided(requests("control", 400), requests("canary", 400, cost_microusd=cost))
    assert state(decision, "cost per success").status == status


def test_failures_make_a_success_dearer() -> None:
    decision = decided(requests("control", 400), requests("canary", 400, failures=100), max_failure_ratio=1000)
    cost = state(decision, "cost per success")
    assert cost.canary == pytest.approx(0.01 / 0.75)
    assert cost.status == "roll_back"


def test_a_canary_that_never_succeeds_costs_without_end() -> None:
    decision = decided(requests("control", 40), requests("canary", 40, failures=40))
    cost = state(decision, "cost per success")
    assert (cost.canary, cost.status) == (math.inf, "roll_back")


def test_too_few_costs_say_nothing() -> None:
    decision = decided(requests("control", 400), requests("canary", 29, cost_microusd=99_000))
    assert state(decision, "cost per success").status == "quiet"


# ── assignment and completeness ─────────────────────────────────────────────────────────


def test_a_broken_assignment_holds() -> None:
    decision = decided(requests("control", 900), requests("canary", 600))
    assert (decision.decision, decision.exit_code) == ("hold", 5)
    assert decision.sentence == "Sample-ratio mismatch: the canary got 40.00%, planned 50.00%."
    assignment = state(decision, "assignment")
    assert assignment.e_value == pytest.approx(math.exp(log_e_share_differs(600, 900, 0.5)))
    assert assignment.threshold == 1000


def test_no_traffic_to_the_control_is_a_broken_assignment() -> None:
    decision = decided([], requests("canary", 40))
    assert (decision.decision, state(decision, "assignment").status) == ("hold", "hold")


def test_a_broken_assignment_does_not_accuse_a_canary_that_fails_less() -> None:
    decision = decided(
        requests("control", 8000, failures=160), requests("canary", 2000, failures=38), share=0.05, promote_ratio=3.0
    )
    assert state(decision, "assignment").status == "hold"
    assert decision.decision == "hold"


def test_a_broken_assignment_is_heard_before_a_roll_back() -> None:
    """The tests of the other monitors take the planned share for granted: without it they prove nothing."""
    decision = decided(requests("control", 900, failures=9), requests("canary", 600, failures=300))
    assert state(decision, "failures").status == "roll_back"
    assert (decision.decision, decision.sentence) == ("hold", state(decision, "assignment").sentence)


def test_unknown_outcomes_hold_a_promotion() -> None:
    control = list(requests("control", 1000, failures=40))
    assert decided(control, requests("canary", 1000, failures=20, unknown=10)).decision == "promote"
    decision = decided(control, requests("canary", 1000, failures=20, unknown=11))
    assert (decision.decision, decision.exit_code) == ("hold", 5)
    assert decision.completeness == pytest.approx(0.989)
    assert "98.9%" in decision.sentence


def test_unknown_outcomes_count_neither_way() -> None:
    monitor = both([], requests("canary", 10, failures=3, unknown=4))
    assert (monitor.canary.requests, monitor.canary.judged, monitor.canary.failures) == (10, 6, 3)
    assert monitor.canary.failure_rate == 0.5


# ── the record ──────────────────────────────────────────────────────────────────────────


def test_simulated_traffic_is_called_so() -> None:
    assert decided(requests("control", 2), requests("canary", 2)).simulated is False
    assert decided(requests("control", 2), requests("canary", 2, simulated=True)).simulated is True


def test_looking_changes_nothing() -> None:
    monitor = both(requests("control", 100, failures=5), requests("canary", 100, failures=5))
    assert decide("support", monitor) == decide("support", monitor)
