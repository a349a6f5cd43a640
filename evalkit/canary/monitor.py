"""The sequential monitors of a canary: failures, slow answers, cost per success, assignment."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from evalkit.canary.envelope import Envelope, Violation
from evalkit.stats import percentile
from evalkit.stats.sequential import asymptotic_radius, log_e_rate_higher, log_e_rate_lower, log_e_share_differs
from evalkit.workflow.gates import CanarySpec

__all__ = ["Arm", "Critical", "Monitor", "MonitorState"]

_ROLLBACK_MONITORS = 3
"""Failures, latency and cost share the false roll-backs equally."""
_MISMATCH_ALPHA = 0.001


@dataclass
class Arm:
    """What is known of one arm."""

    requests: int = 0
    judged: int = 0
    failures: int = 0
    slow: int = 0
    latencies: list[int] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)
    successes_with_cost: list[int] = field(default_factory=list)

    @property
    def failure_rate(self) -> float:
        """Share of judged requests that failed."""
        return self.failures / self.judged if self.judged else math.nan

    @property
    def p95_us(self) -> float:
        """95th percentile of latency."""
        return percentile(np.asarray(self.latencies, np.float64), 0.95) if self.latencies else math.nan

    @property
    def cost_per_success(self) -> float:
        """Micro-dollars spent for each success; infinite without one."""
        wins = sum(self.successes_with_cost)
        return sum(self.costs) / wins if wins else math.inf


@dataclass(frozen=True)
class Critical:
    """A critical violation in the canary."""

    request_id: str
    violation: Violation


@dataclass(frozen=True)
class MonitorState:
    """A monitor now."""

    name: str
    status: Literal["quiet", "roll_back", "promote", "hold"]
    e_value: float | None
    threshold: float | None
    control: float | None
    canary: float | None
    unit: str
    sentence: str


class Monitor:
    """Counts of both arms, updated request by request, and what they say so far.

    Args:
        spec: The rules.
    """

    def __init__(self, spec: CanarySpec) -> None:
        self.spec = spec
        self.control = Arm()
        self.canary = Arm()
        self.critical: list[Critical] = []
        self.simulated = False
        self._threshold_us: float | None = None

    def add(self, envelope: Envelope) -> None:
        """Take in one request."""
        arm = self.canary if envelope.arm == "canary" else self.control
        arm.requests += 1
        self.simulated = self.simulated or envelope.simulated
        if envelope.success is not None:
            arm.judged += 1
            arm.failures += not envelope.success
            if envelope.cost_microusd is not None:
                arm.costs.append(envelope.cost_microusd)
                arm.successes_with_cost.append(int(envelope.success))
        if envelope.latency_us is not None:
            self._add_latency(arm, envelope.latency_us)
        if envelope.arm == "canary":
            self.critical += [
                Critical(envelope.request_id, found) for found in envelope.violations if found.severity == "critical"
            ]

    def _add_latency(self, arm: Arm, latency_us: int) -> None:
        """Slow is over the control's p95, frozen once enough of the control was seen; the canary gets the margin."""
        arm.latencies.append(latency_us)
        if self._threshold_us is None:
            if len(self.control.latencies) >= self.spec.p95_warmup:
                self._threshold_us = self.control.p95_us
            return
        limit = self._threshold_us * (1 + self.spec.p95_margin) if arm is self.canary else self._threshold_us
        arm.slow += latency_us > limit

    @property
    def completeness(self) -> float:
        """Share of the canary's requests whose outcome is known."""
        return self.canary.judged / self.canary.requests if self.canary.requests else 0.0

    def states(self) -> list[MonitorState]:
        """What every monitor says now."""
        return [self._failures(), self._latency(), self._cost(), self._assignment()]

    def _failures(self) -> MonitorState:
        spec, control, canary = self.spec, self.control, self.canary
        limit = _ROLLBACK_MONITORS / spec.alpha
        worse = math.exp(
            min(700, log_e_rate_higher(canary.failures, control.failures, spec.share, spec.max_failure_ratio))
        )
        better = math.exp(min(700, log_e_rate_lower(canary.failures, control.failures, spec.share, spec.promote_ratio)))
        rates = f"{_percent(canary.failure_rate)} against {_percent(control.failure_rate)}"
        if worse >= limit:
            return self._state("failures", "roll_back", worse, limit, f"The canary fails more often: {rates}.")
        if better >= 1 / spec.alpha:
            text = f"Failures are proven less than {spec.promote_ratio:g} times the control's: {rates}."
            return self._state("failures", "promote", better, 1 / spec.alpha, text)
        text = f"No difference in failures proven either way: {rates}."
        return self._state("failures", "quiet", worse, limit, text)

    def _state(
        self, name: str, status: Literal["quiet", "roll_back", "promote", "hold"], e: float, limit: float, text: str
    ) -> MonitorState:
        return MonitorState(name, status, e, limit, self.control.failure_rate, self.canary.failure_rate, "share", text)

    def _latency(self) -> MonitorState:
        spec = self.spec
        limit = _ROLLBACK_MONITORS / spec.alpha
        control, canary = self.control.p95_us / 1e6, self.canary.p95_us / 1e6
        if self._threshold_us is None:
            text = f"Waiting for {spec.p95_warmup} control requests to fix the threshold."
            return MonitorState("p95 latency", "quiet", None, limit, control, canary, "seconds", text)
        e = math.exp(min(700, log_e_rate_higher(self.canary.slow, self.control.slow, spec.share)))
        slow = f"p95 {canary:.3f} s against {control:.3f} s"
        if e >= limit:
            text = f"The canary is slower: {slow}, threshold {self._threshold_us / 1e6:.3f} s."
            return MonitorState("p95 latency", "roll_back", e, limit, control, canary, "seconds", text)
        within = canary <= control * (1 + spec.p95_margin)
        status: Literal["quiet", "promote"] = "promote" if within else "quiet"
        return MonitorState("p95 latency", status, e, limit, control, canary, "seconds", f"Not proven slower: {slow}.")

    def _cost(self) -> MonitorState:
        """Cost less what the successes may cost: above zero means dearer than allowed."""
        spec, control, canary = self.spec, self.control, self.canary
        before, now = control.cost_per_success / 1e6, canary.cost_per_success / 1e6
        text = f"${now:.4f} against ${before:.4f} per success, allowed +{spec.cost_margin:.0%}"
        name, unit = "cost per success", "dollars"
        if len(canary.costs) < 30 or len(control.costs) < 30 or not math.isfinite(before):
            return MonitorState(name, "quiet", None, None, before, now, unit, f"Too few requests yet: {text}.")
        excess, error = _excess(control, canary, 1 + spec.cost_margin)
        radius = asymptotic_radius(len(canary.costs), error, spec.alpha / _ROLLBACK_MONITORS)
        if excess - radius > 0:
            return MonitorState(name, "roll_back", None, None, before, now, unit, f"The canary is dearer: {text}.")
        within = now <= before * (1 + spec.cost_margin)
        status: Literal["quiet", "promote"] = "promote" if within else "quiet"
        return MonitorState(name, status, None, None, before, now, unit, f"Not proven dearer: {text}.")

    def _assignment(self) -> MonitorState:
        spec = self.spec
        total = self.control.requests + self.canary.requests
        observed = self.canary.requests / total if total else math.nan
        e = math.exp(min(700, log_e_share_differs(self.canary.requests, self.control.requests, spec.share)))
        limit = 1 / _MISMATCH_ALPHA
        broken = e >= limit
        text = (
            f"Sample-ratio mismatch: the canary got {_percent(observed)}, planned {_percent(spec.share)}."
            if broken
            else f"The canary got {_percent(observed)} of the traffic, planned {_percent(spec.share)}."
        )
        return MonitorState("assignment", "hold" if broken else "quiet", e, limit, spec.share, observed, "share", text)


def _excess(control: Arm, canary: Arm, factor: float) -> tuple[float, float]:
    """Mean of cost less allowed cost in the canary, and its standard error with that of the control's ratio."""
    cost, wins = np.asarray(control.costs, np.float64), np.asarray(control.successes_with_cost, np.float64)
    ratio = cost.sum() / wins.sum()
    ratio_error = float(np.std(cost - ratio * wins, ddof=1) / (wins.mean() * math.sqrt(len(cost))))
    theirs = np.asarray(canary.costs, np.float64)
    succeeded = np.asarray(canary.successes_with_cost, np.float64)
    excess = theirs - factor * ratio * succeeded
    own = float(np.std(excess, ddof=1) / math.sqrt(len(excess)))
    return float(excess.mean()), math.hypot(own, factor * ratio_error * float(succeeded.mean()))


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2%}"
