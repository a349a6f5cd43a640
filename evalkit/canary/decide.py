"""Promote, continue, hold or roll back: the order in which the monitors are heard."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evalkit.canary.monitor import Monitor, MonitorState
from evalkit.errors import EvalkitError, ExitCode
from evalkit.stats import zero_failures_bound
from evalkit.text import excerpt, log_safe

__all__ = ["DECISIONS", "CanaryDecision", "DecisionName", "decide", "run_hook"]

DecisionName: TypeAlias = Literal["promote", "continue", "hold", "roll back"]
DECISIONS: Mapping[DecisionName, ExitCode] = {
    "promote": ExitCode.PASS,
    "continue": ExitCode.CONTINUE,
    "hold": ExitCode.INCONCLUSIVE,
    "roll back": ExitCode.BLOCKED,
}
_COMPLETE = 0.99
_HOOK_SECONDS = 300
_STANDARD_ERROR = 2


@dataclass(frozen=True)
class CanaryDecision:
    """The answer to "may this canary go on?"."""

    workflow: str
    decision: DecisionName
    sentence: str
    control_requests: int
    canary_requests: int
    critical: tuple[str, ...]
    """Request ids of critical violations."""
    critical_bound: float
    """With none: the rate of critical violations that is ruled out at 95% confidence."""
    completeness: float
    monitors: tuple[MonitorState, ...]
    simulated: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """What the process says to the shell."""
        return DECISIONS[self.decision]


def decide(workflow: str, monitor: Monitor) -> CanaryDecision:
    """Judge what was seen so far. Call it after any request, as often as wanted: the tests allow it."""
    states = monitor.states()
    name, sentence = _decision(monitor, states)
    n = monitor.canary.requests
    return CanaryDecision(
        workflow=workflow,
        decision=name,
        sentence=sentence,
        control_requests=monitor.control.requests,
        canary_requests=n,
        critical=tuple(found.request_id for found in monitor.critical),
        critical_bound=zero_failures_bound(n),
        completeness=monitor.completeness,
        monitors=tuple(states),
        simulated=monitor.simulated,
    )


def _decision(monitor: Monitor, states: Sequence[MonitorState]) -> tuple[DecisionName, str]:
    spec, n = monitor.spec, monitor.canary.requests
    if monitor.critical:
        first = monitor.critical[0]
        rule, request = (log_safe(excerpt(text)) for text in (first.violation.rule, first.request_id))
        return "roll back", f"Critical violation of {rule} in request {request}, the first of {n:,} canary requests."
    assignment = next(state for state in states if state.name == "assignment")
    if assignment.status == "hold":  # the tests of the other monitors take the planned share for granted
        return "hold", assignment.sentence
    for state in states:
        if state.status == "roll_back":
            return "roll back", state.sentence
    if n == 0 or monitor.control.requests == 0:
        return "continue", "There are no requests of both arms yet."
    good = all(state.status == "promote" for state in states if state is not assignment)
    if good and n >= spec.min_requests:
        if monitor.completeness < _COMPLETE:
            return "hold", f"The outcome of only {monitor.completeness:.1%} of the canary's requests is known."
        bound = zero_failures_bound(n)
        clean = f"No critical violation in {n:,} canary requests: fewer than {bound:.2%} at 95% confidence."
        return "promote", f"{states[0].sentence} {clean}"
    if n >= spec.horizon:
        return "hold", f"{n:,} canary requests were not enough to decide."
    return "continue", f"{n:,} canary requests so far. {states[0].sentence}"


def run_hook(arguments: Sequence[str], decision: CanaryDecision) -> int:
    """Run the command of a decision: an argument list, no shell; ``{workflow}`` and ``{decision}`` are filled in.

    What it prints goes to standard error, so that a result on standard output stays one.

    Returns:
        Its exit code.

    Raises:
        EvalkitError: when it cannot be started or takes longer than five minutes.
    """
    filled = [
        part.replace("{workflow}", decision.workflow).replace("{decision}", decision.decision) for part in arguments
    ]
    try:
        done = subprocess.run(  # noqa: S603 - from the project's own file
            filled, check=False, timeout=_HOOK_SECONDS, stdout=_STANDARD_ERROR
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise EvalkitError(
            f"the hook for `{decision.decision}` did not run: {error}", key="canary", value=filled
        ) from None
    return done.returncode
