"""``evalkit show``."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import click

from evalkit.cli.common import format_option, get_project, table

if TYPE_CHECKING:
    from evalkit.gate import Verdict
    from evalkit.records import Case, ExpectedCall, Run, Score, Trace
    from evalkit.store import RunFolder
    from evalkit.workflow import Project

__all__ = ["command"]


@click.command("show")
@click.argument("run_id", metavar="[RUN]", default="latest")
@click.argument("case_id", metavar="[CASE]", required=False)
@click.option("--all", "everything", is_flag=True, help="List the other cases too.")
@click.option("--blocking", is_flag=True, help="Only the cases behind the block, with what was asked and answered.")
@format_option("text", "json")
def command(run_id: str, case_id: str | None, everything: bool, blocking: bool, output: str) -> None:
    """Show RUN (an id, or a baseline name; default the latest): cases that changed or fail, or one CASE's trace."""
    if blocking and (everything or case_id is not None):
        raise click.UsageError("--blocking lists cases by itself: leave out CASE and --all")
    project = get_project()
    folder = _find(project, run_id)
    if blocking:
        from evalkit.cli.blocking import show_blocking

        show_blocking(project, folder, output)
    elif case_id is None:
        _show_run(project, folder, everything=everything, output=output)
    else:
        _show_case(project, folder, case_id, output)


def _find(project: Project, name: str) -> RunFolder:
    from evalkit.errors import UsageError
    from evalkit.gate.compare import cases_of, find_run
    from evalkit.store import Runs

    try:
        return find_run(project, name)
    except UsageError:
        if Runs(project.store).all() and any(
            case.id == name for case in cases_of(project, find_run(project, "latest"))
        ):
            raise UsageError(
                f"`{name}` is a case and not a run", fix=shlex.join(["evalkit", "show", "latest", name])
            ) from None
        raise


def _show_run(project: Project, folder: RunFolder, *, everything: bool, output: str) -> None:
    from evalkit import codec
    from evalkit.gate.compare import cases_of, load_verdict
    from evalkit.gate.words import count_of

    run = folder.run
    verdict = load_verdict(project, run.run_id)
    if output == "json":
        data = {"run": codec.plain(run), "verdict": codec.plain(verdict) if verdict else None}
        click.echo(json.dumps(data, indent=1))
        return
    golden = run.golden_set
    simulated = " · simulated models" if run.simulated else ""
    trials = count_of(run.trials, "trial")
    click.echo(f"run {run.run_id} · {run.workflow} · {golden.name}@{golden.version} · {trials}{simulated}")
    scores = folder.scores()
    click.echo(_grader_table(run, scores))
    critical = {case.id for case in cases_of(project, folder) if case.critical}
    rows = _case_rows(verdict, _failures(run, scores), critical, scores if everything else [])
    click.echo(table(["status", "", "case", "fails now"], rows) if rows else "no case changed, and none fails")
    if verdict is not None:
        click.echo(f"{verdict.verdict}: {verdict.sentence}")


def _grader_table(run: Run, scores: list[Score]) -> str:
    from evalkit.gate.words import share

    rows = []
    for ref in run.graders:
        mine = [score for score in scores if score.grader == ref.name and score.status != "not_applicable"]
        passed = [score.passed for score in mine if score.passed is not None or score.status == "error"]
        rate = sum(value is True for value in passed) / len(passed) if passed else None
        values = [score.value for score in mine if score.value is not None]
        mean = f"{sum(values) / len(values):.4g}" if values else "–"
        errors = sum(score.status == "error" for score in mine)
        rows.append([ref.name, ref.version, f"{len(mine):,}", share(rate), mean, str(errors)])
    return table(["grader", "version", "scores", "passed", "mean value", "errors"], rows)


def _failures(run: Run, scores: list[Score]) -> dict[str, dict[str, str]]:
    """What fails on a quality grader in some trial: case to grader to label."""
    quality = {ref.name for ref in run.graders if ref.quality}
    found: dict[str, dict[str, str]] = {}
    for score in scores:
        if score.grader in quality and (score.status == "error" or score.passed is False):
            found.setdefault(score.case_id, {})[score.grader] = score.label or score.status
    return found


def _case_rows(
    verdict: Verdict | None, failures: dict[str, dict[str, str]], critical: set[str], others: list[Score]
) -> list[list[str]]:
    """Cases as the verdict has them, worst first, then those that fail as before, then all others."""
    from evalkit.text import excerpt

    statuses: dict[str, str] = {case.case_id: case.status for case in verdict.cases} if verdict else {}
    for case_id in sorted(failures):
        statuses.setdefault(case_id, "fails")
    for case_id in sorted({score.case_id for score in others}):
        statuses.setdefault(case_id, "passes")
    rows = []
    for case_id, status in statuses.items():
        why = ", ".join(
            f"{grader}: {label.replace('_', ' ')}" for grader, label in sorted(failures.get(case_id, {}).items())
        )
        rows.append([status, "critical" if case_id in critical else "", case_id, excerpt(why, 90)])
    return rows


def _show_case(project: Project, folder: RunFolder, case_id: str, output: str) -> None:
    from evalkit import codec
    from evalkit.errors import UsageError
    from evalkit.gate.compare import cases_of

    case = next((case for case in cases_of(project, folder) if case.id == case_id), None)
    traces = list(folder.traces([case_id]))
    if case is None or not traces:
        raise UsageError(
            f"run {folder.run.run_id} has no case `{case_id}`", fix=f"evalkit show {folder.run.run_id} --all"
        )
    scores = [score for score in folder.scores() if score.case_id == case_id]
    if output == "json":
        data = {
            "case": codec.plain(case),
            "traces": [codec.plain(trace) for trace in traces],
            "scores": [codec.plain(score) for score in scores],
        }
        click.echo(json.dumps(data, indent=1))
        return
    click.echo(_describe_case(case))
    for trace in traces:
        click.echo(_describe_trace(trace, [score for score in scores if score.trial == trace.trial]))


def _describe_case(case: Case) -> str:
    from evalkit import codec
    from evalkit.text import log_safe

    keys = " · ".join(f"{key} {value}" for key, value in case.slice_keys.items())
    lines = [f"case {case.id}{'  CRITICAL' if case.critical else ''}", f"  {keys} · tenant {case.tenant}"]
    lines += [f"  {turn.role}: {turn.content}" for turn in case.input]
    lines.append(f"  expected: {case.expect.behaviour}")
    if case.expect.facts:
        lines.append("  must say: " + "; ".join(" | ".join(fact) for fact in case.expect.facts))
    if case.expect.forbidden:
        lines.append("  must not say: " + "; ".join(case.expect.forbidden))
    if case.expect.citations:
        lines.append("  must cite: " + "; ".join(case.expect.citations))
    if case.expect.match:
        stated = codec.plain(case.expect.match, exclude_defaults=True)
        lines.append("  must be: " + json.dumps(stated, ensure_ascii=False))
    tools = case.expect.tools
    if tools and tools.alternatives:
        between = " then " if tools.order == "strict" else " and "
        sequences = [between.join(map(_expected_call, calls)) or "none" for calls in tools.alternatives]
        lines.append("  calls: " + " | ".join(sequences))
    if tools and tools.forbidden:
        lines.append("  must not call: " + "; ".join(tools.forbidden))
    return log_safe("\n".join(lines))


def _expected_call(call: ExpectedCall) -> str:
    """A call with the accepted values of each argument: ``refund(order="K-1", amount=10|10.0)``."""
    arguments = []
    for name, values in call.arguments.items():
        accepted = "|".join(json.dumps(value, ensure_ascii=False) for value in values)
        arguments.append(f"{name}{'?' if name in call.optional else ''}={accepted}")
    return f"{call.name}({', '.join([*arguments, *(f'{name}=…' for name in call.free)])})"


def _describe_trace(trace: Trace, scores: list[Score]) -> str:
    from evalkit.quantities import format_duration, format_money
    from evalkit.text import excerpt, log_safe

    simulated = ", simulated" if trace.simulated else ""
    lines = [f"trial {trace.trial}: {trace.status}{simulated}, intent {trace.intent or '–'}, risk {trace.risk or '–'}"]
    for step in trace.route:
        came = f", after {step.escalated_from}" if step.escalated_from else ""
        lines.append(f"  route     {step.route} on {step.model} by rule {step.rule}{came}")
    lines += [
        f"  document  {doc.id} ({doc.date or 'no date'}{'' if doc.trusted else ', untrusted'})"
        for doc in trace.documents
    ]
    for call in trace.model_calls:
        tokens = f"{call.usage.input_tokens}+{call.usage.output_tokens} tokens"
        lines.append(
            f"  call      {call.model}: {call.finish_reason or call.status}, {tokens}, "
            f"{format_money(call.cost_microusd)}, {format_duration(call.latency_us)}"
            + (f", first token {format_duration(call.ttft_us)}" if call.ttft_us is not None else "")
            + (f", waited {format_duration(call.waited_us)}" if call.waited_us > 1000 else "")
        )
        for failure in call.failures:
            began = format_duration(failure.after_us)
            lines.append(f"            attempt at {began} failed: {failure.kind}, {excerpt(failure.message, 160)}")
    for event in trace.tool_events:
        why = f": {excerpt(event.error, 160)}" if event.error else ""
        lines.append(
            f"  tool      {event.name} {json.dumps(event.arguments, ensure_ascii=False)} → {event.status}{why}"
        )
        lines.append(f"            {excerpt(json.dumps(event.result, ensure_ascii=False), 160)}")
    for decision in trace.policy_decisions:
        if decision.verdict != "allow" or decision.rule not in ("default", ""):
            lines.append(f"  policy    {decision.point} {decision.subject}: {decision.verdict} by {decision.rule}")
    if trace.error:
        lines.append(f"  error     {trace.error.kind}: {trace.error.message}")
    lines.append(f"  answer    {trace.answer}")
    for score in scores:
        if score.status == "not_applicable":
            continue
        mark = "!" if score.status == "error" else "✖" if score.passed is False else "✔" if score.passed else "·"
        value = "" if score.value is None else f" {score.value:.4g}"
        detail = excerpt(json.dumps(score.evidence, ensure_ascii=False), 200) if score.passed is not True else ""
        review = f"(for a person: {score.review})" if score.review else ""
        words = (f"{score.grader}{value}", score.label, detail, review)
        lines.append(f"  {mark} {' '.join(word for word in words if word)}")
    return log_safe("\n".join(lines))
