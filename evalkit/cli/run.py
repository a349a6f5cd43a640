"""``evalkit run``: the main job, and with ``--canary`` the one before a rollout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.common import (
    case_options,
    ci_file_options,
    emit,
    emit_last_line,
    format_option,
    from_here,
    get_project,
    note,
    report_text_option,
    run_options,
    write_for_ci,
)
from evalkit.errors import TerminatedError

if TYPE_CHECKING:
    from evalkit.gate import Verdict
    from evalkit.gate.report import ReportText
    from evalkit.records import Run
    from evalkit.session import Outcome

__all__ = ["command", "with_baseline", "worst_code"]


@click.command("run")
@click.argument("workflows", nargs=-1)
@click.option(
    "--baseline", metavar="NAME", help="Baseline name or run id to compare with.  [default: from evalkit.yaml]"
)
@click.option(
    "--set-baseline",
    metavar="NAME",
    help="Accept the run into this baseline: one of the whole set that passes, or has nothing to be compared with.",
)
@click.option("--report", "report_path", type=click.Path(path_type=Path), help="Where the HTML report goes.")
@report_text_option
@click.option("--no-report", is_flag=True, help="Write no HTML report.")
@ci_file_options
@click.option("--quiet", is_flag=True, help="Print the verdict line only.")
@click.option("--resume", is_flag=True, help="Go on with the run that was cut off, with the options it was given.")
@format_option()
@case_options
@click.option("--canary", is_flag=True, help="Judge a canary from the envelopes of both arms instead.")
@click.option("--envelopes", type=click.Path(path_type=Path, file_okay=False), help="With --canary: folder that grows.")
@click.option("--follow", is_flag=True, help="With --canary: wait for more envelopes until there is a decision.")
@click.option(
    "--poll", type=click.FloatRange(0.05, 3600), default=5.0, show_default=True, help="With --follow: seconds."
)
@click.option("--hooks/--no-hooks", default=True, help="With --canary: run the roll-back or promotion command.")
def command(
    workflows: tuple[str, ...],
    baseline: str | None,
    set_baseline: str | None,
    report_path: Path | None,
    report_text: ReportText,
    no_report: bool,
    junit: Path | None,
    sarif: Path | None,
    quiet: bool,
    output: str,
    cases: str | None,
    sample: int | None,
    trials: int | None,
    fresh: bool,
    concurrency: int | None,
    shard: str | None,
    resume: bool,
    canary: bool,
    envelopes: Path | None,
    follow: bool,
    poll: float,
    hooks: bool,
) -> int:
    """Run the golden sets of WORKFLOWS (default all) and judge the result against the baseline.

    Trials that an earlier run has made under equal conditions are reused. On the baseline's
    branch, in a clean checkout, a run that passes becomes the baseline.
    """
    if canary:
        from evalkit.cli.canary import run_canary

        return run_canary(workflows, envelopes, follow=follow, poll=poll, hooks=hooks, output=output)
    if envelopes is not None or follow:
        raise click.UsageError("--envelopes and --follow go with --canary")
    from evalkit.cli.progress import ProgressDisplay
    from evalkit.session import resumed_shard, run_project, run_shard, write_report

    project = get_project()
    options = run_options(
        cases=cases, sample=sample, trials=trials, fresh=fresh, concurrency=concurrency, shard=shard, resume=resume
    )
    if resume:
        shard = resumed_shard(project, workflows, options)
    if shard and (baseline or set_baseline or report_path or junit or sarif):
        raise click.UsageError("a shard is judged with the others: give these options to `evalkit merge`")
    display = ProgressDisplay(quiet=quiet)
    try:
        if shard:
            return _run_shard(run_shard(project, workflows, options, listener=display.tell))
        outcomes = run_project(
            project, workflows, options, baseline=baseline, set_baseline=set_baseline, listener=display.tell
        )
    except (KeyboardInterrupt, TerminatedError):
        display.stop()
        note(f"{display.kept()}; go on with: evalkit run --resume")
        raise
    finally:
        display.stop()
    if set_baseline:
        _tell_refused(outcomes, set_baseline)
    verdicts = [with_baseline(outcome) for outcome in outcomes]
    written = "" if no_report else from_here(write_report(project, verdicts, report_path, text=report_text))
    write_for_ci(verdicts, written, junit=junit, sarif=sarif)
    if quiet and output == "text":
        emit_last_line(verdicts)
    else:
        emit(output, verdicts, written)
    codes = [outcome.exit_code for outcome in outcomes]
    return worst_code(codes)


def _run_shard(runs: list[Run]) -> int:
    """Say what was made; whether it is good is said when the shards are together."""
    for run in runs:
        click.echo(
            f"{run.workflow}: shard {run.shard} is run {run.run_id}: {run.trials:,} trials, {run.reused:,} reused, "
            f"{run.errors:,} errors, ${run.cost_microusd / 1e6:.4f}; put the shards together: evalkit merge"
        )
    return 0


def _tell_refused(outcomes: list[Outcome], name: str) -> None:
    """Say which runs did not become the baseline that was asked for, and what can be done about each."""
    for outcome in outcomes:
        run = outcome.run.run
        if outcome.became_baseline:
            continue
        if run.selection != "all":
            fix = "a baseline needs the whole golden set: run it without --cases and --sample"
        elif run.errors:
            fix = f"{run.errors} trials did not finish: run it again"
        else:
            fix = f'to accept it anyway: evalkit baseline set {name} {run.run_id} --reason "…"'
        note(f"{run.workflow}: the run is not baseline `{name}`: it is {outcome.verdict.verdict}; {fix}")


def with_baseline(outcome: Outcome) -> Verdict:
    """The verdict, saying too that the run is the baseline now."""
    if not outcome.became_baseline:
        return outcome.verdict
    sentence = f"{outcome.verdict.sentence} The run is baseline `{outcome.became_baseline}` now."
    return replace(outcome.verdict, sentence=sentence)


def worst_code(codes: list[int]) -> int:
    """Blocked before anything else, then not comparable, error, inconclusive; pass only when all pass."""
    for code in (1, 4, 3, 5):
        if code in codes:
            return code
    return max(codes, default=3)
