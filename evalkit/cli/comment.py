"""``evalkit comment``."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.common import format_option, get_project, make_report, stored_verdict
from evalkit.cli.outputs import add_outputs, add_summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.gate import Verdict
    from evalkit.gate.report import Report
    from evalkit.github import Place, Posted, PullRequest

__all__ = ["command"]

_FOREIGN = "This is what the run of the pull request itself reports, which the pull request could have changed."
_REASONS = {
    "created": "the comment was made",
    "updated": "the comment was brought up to date",
    "unchanged": "the comment says the same already",
    "unwanted": "a clean pass, and no comment to bring up to date; --when always makes one",
    "superseded": "the comment has a newer verdict already",
    "denied": "the token may not comment here",
    "failed": "the comment could not be written",
    "no pull request": "this event is about no pull request",
    "never": "not asked for",
}


@click.command("comment")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--from", "exported", type=click.Path(path_type=Path, dir_okay=False),
    help="Take the verdicts from this JSON report instead, which may be anybody's: after a fork's run.",
)  # fmt: skip
@click.option(
    "--when", type=click.Choice(["changed", "always", "never"]), default="changed", show_default=True,
    help="changed: of a clean pass only where there is a comment already.",
)  # fmt: skip
@click.option("--pr", "number", type=click.IntRange(1), help="The pull request.  [default: that of the event]")
@click.option("--name", metavar="TEXT", default="", help="Tells this comment from another project's of the same names.")
@click.option("--report-url", metavar="URL", default="", help="Where the HTML report can be opened.")
@click.option("--summary/--no-summary", default=True, help="Write the job summary where the comment cannot be written.")
@click.option("--dry-run", is_flag=True, help="Print the comment, and ask nobody anything.")
@format_option("text", "json")
def command(
    runs: tuple[str, ...],
    exported: Path | None,
    when: str,
    number: int | None,
    name: str,
    report_url: str,
    summary: bool,
    dry_run: bool,
    output: str,
) -> int:
    """Say the verdicts on RUNs on the pull request, in one comment that is edited in place.

    Default are the newest run and those of the other workflows on the same commit. Works in a GitHub workflow on
    pull_request, merge_group and workflow_run, by the variables GITHUB_*; the token comes from GITHUB_TOKEN and
    needs `pull-requests: write`. Judges nothing: the exit code is 0 when the comment is as it should be, or may not be
    written (a pull request from a fork), and 19 when it could not be written.
    """
    from evalkit.github import place_of

    if exported and runs:
        raise click.UsageError("give runs or --from, not both")
    verdicts = _exported(exported) if exported else _stored(runs)
    report = replace(make_report(verdicts), report_url=report_url, name=name, color=False)
    if dry_run:
        click.echo(_render(report, None), nl=False)
        return 0
    if when == "never":
        return _tell(output, "never", "", "")
    place = place_of(os.environ)
    report = _of_event(report, place)
    posted, report = _post(place, report, number, always=when == "always")
    if posted is None:
        return _tell(output, "no pull request", "", "")
    if posted.action in ("denied", "failed") and summary:
        add_summary(report)
    return _tell(output, posted.action, posted.url, posted.reason)


def _exported(path: Path) -> Sequence[Verdict]:
    from evalkit.gate.exported import read_exported

    return [replace(verdict, notes=(_FOREIGN, *verdict.notes)) for verdict in read_exported(path)]


def _stored(runs: tuple[str, ...]) -> Sequence[Verdict]:
    """The newest stored verdicts on runs; without runs those on the newest commit that anything was run of."""
    from evalkit.errors import UsageError
    from evalkit.gate.compare import load_verdict
    from evalkit.store import Runs

    project = get_project()
    stored = Runs(project.store)
    if runs:
        return [stored_verdict(project, stored.get(name), name) for name in runs]
    newest = [next(stored.newest_first(name), None) for name in project.names()]
    verdicts = [load_verdict(project, folder.run.run_id) for folder in newest if folder is not None]
    judged = sorted((verdict for verdict in verdicts if verdict is not None), key=lambda verdict: -verdict.created_us)
    if not judged:
        raise UsageError("there is no verdict in the store", fix="make one: evalkit run")
    return [verdict for verdict in judged if verdict.commit == judged[0].commit]


def _of_event(report: Report, place: Place) -> Report:
    """For a run that follows another one, the other one is what people want to look at."""
    run = place.payload.get("workflow_run")
    url = run.get("html_url") if place.event == "workflow_run" and isinstance(run, dict) else None
    return replace(report, run_url=url) if isinstance(url, str) else report


def _post(place: Place, report: Report, number: int | None, *, always: bool) -> tuple[Posted | None, Report]:
    from evalkit.github import Api, ApiError, Comment, Posted, PullRequest, find_pull_request, post

    with Api(place.api_url, place.repository, place.token) as api:
        pull: PullRequest | None
        try:
            pull = PullRequest(number) if number else find_pull_request(place, api)
        except ApiError as error:
            return Posted("denied" if error.denied else "failed", reason=error.message), report
        if pull is None:
            return None, report
        report = replace(report, commit=_commit(report, pull))
        comment = Comment(
            marker=report.marker,
            verdict=report.verdict,
            commit=report.commit,
            at_us=min(max(verdict.created_us for verdict in report.verdicts), time.time_ns() // 1_000),
            render=lambda limit, previous: _render(replace(report, previous=previous), limit),
            always=always or report.verdict != "PASS",
        )
        return post(api, pull.number, comment), report


def _commit(report: Report, pull: PullRequest) -> str:
    """The head of the pull request, as people know it, rather than its merge with the base."""
    return pull.head or next((verdict.commit for verdict in report.verdicts if verdict.commit), "")


def _render(report: Report, limit: int | None) -> str:
    from evalkit.gate.report import renderer

    return renderer("markdown")(replace(report, limit=limit))


def _tell(output: str, action: str, url: str, reason: str) -> int:
    """Say what became of the comment: to people, to later steps, and by the exit code."""
    from evalkit.errors import ExitCode
    from evalkit.github import escape_data

    add_outputs({"comment": action})
    told = f"{_REASONS[action]}{f': {reason}' if reason else ''}"
    if output == "json":
        click.echo(json.dumps({"comment": action, "url": url, "reason": reason}))
    else:
        click.echo(f"{told}{f' ({url})' if url else ''}")
        if os.environ.get("GITHUB_ACTIONS") and action in ("denied", "failed"):
            level = "notice" if action == "denied" else "warning"
            click.echo(f"::{level}::{escape_data(f'evalkit: {told}. The text is in the job summary.')}")
    return int(ExitCode.NOT_POSTED) if action == "failed" else int(ExitCode.PASS)
