"""``evalkit run --canary``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.common import get_project, note, table

if TYPE_CHECKING:
    from evalkit.canary import CanaryDecision
    from evalkit.workflow.gates import CanarySpec

__all__ = ["run_canary"]


def run_canary(
    workflows: tuple[str, ...], envelopes: Path | None, *, follow: bool, poll: float, hooks: bool, output: str
) -> int:
    """Judge the canary of one workflow; with ``follow`` again and again until there is a decision."""
    from evalkit.canary import FolderSource, Monitor, decide

    if len(workflows) != 1:
        raise click.UsageError("--canary judges one workflow: name it")
    if output not in ("text", "json"):
        raise click.UsageError(f"--canary writes --format text or json, not {output}")
    if envelopes is None:
        raise click.UsageError("--canary needs --envelopes FOLDER")
    spec = _spec(workflows[0])
    source, monitor = FolderSource(envelopes, workflows[0]), Monitor(spec)
    while True:
        for envelope in source.read():
            monitor.add(envelope)
            if monitor.critical:
                break
        decision = decide(workflows[0], monitor)
        if not follow or decision.decision != "continue":
            break
        note(f"{decision.workflow}: {decision.sentence}")
        time.sleep(poll)
    try:
        if source.repeated:
            note(f"{source.repeated} repeated request ids were passed over")
        _print(decision, output)
    finally:  # a reader that went away must not keep a canary in traffic
        code = _finish(decision, spec, hooks=hooks)
    return code


def _spec(workflow: str) -> CanarySpec:
    from evalkit.workflow import load_workflow
    from evalkit.workflow.gates import CanarySpec

    project = get_project()
    project.names((workflow,))
    return load_workflow(project, workflow).spec.canary or CanarySpec()


def _print(decision: CanaryDecision, output: str) -> None:
    from evalkit import codec
    from evalkit.gate.words import amount

    if output == "json":
        data = {**json.loads(codec.encode(decision)), "exit_code": int(decision.exit_code)}
        click.echo(json.dumps(data, indent=1, allow_nan=False))
        return
    simulated = " · simulated" if decision.simulated else ""
    click.echo(
        f"canary of {decision.workflow}: {decision.canary_requests:,} canary and "
        f"{decision.control_requests:,} control requests{simulated}"
    )
    rows = [
        [
            state.name,
            amount(state.control, state.unit),
            amount(state.canary, state.unit),
            "–" if state.e_value is None else f"{state.e_value:.3g} of {state.threshold:.0f}",
            state.sentence,
        ]
        for state in decision.monitors
    ]
    click.echo(table(["monitor", "control", "canary", "evidence", "in words"], rows))
    click.echo(f"{decision.decision.upper()}: {decision.sentence}")


def _finish(decision: CanaryDecision, spec: CanarySpec, *, hooks: bool) -> int:
    from evalkit.canary import run_hook
    from evalkit.errors import EvalkitError, ExitCode

    hook = {"roll back": spec.on_rollback, "promote": spec.on_promote}.get(decision.decision, ())
    if not (hooks and hook):
        return int(decision.exit_code)
    try:
        code = run_hook(hook, decision)
        note(f"hook {hook[0]} ended with {code}")
        if code == 0:
            return int(decision.exit_code)
    except EvalkitError as error:
        note(f"error: {error}")
    note("the hook failed: the decision stands, act on it by hand")
    return int(ExitCode.BLOCKED if decision.decision == "roll back" else ExitCode.ERROR)
