"""``evalkit accept``."""

from __future__ import annotations

import datetime as dt
import re

import click

from evalkit.cli.common import from_here, get_project, ids_of, note

__all__ = ["command"]


@click.command("accept")
@click.argument("run_id", metavar="[RUN]", default="latest")
@click.option("--case", "cases", multiple=True, metavar="IDS", help="Case that may be worse; several by comma.")
@click.option("--slice", "slices", multiple=True, metavar="KEY=VALUE", help="Slice whose cases may be worse.")
@click.option("--grader", "graders", multiple=True, help="Only as this grader sees it.  [default: all that see it]")
@click.option("--reason", required=True, help="Why this may be worse for a time; a reviewer reads it.")
@click.option("--owner", required=True, help="Who answers for it.")
@click.option("--expires", metavar="DATE|DAYS", help="Last day, as 2026-12-31 or 30d.  [default: in 30 days]")
@click.option(
    "--most", type=click.IntRange(1), help="Of a slice: so many cases may be worse.  [default: as many as are]"
)
def command(
    run_id: str,
    cases: tuple[str, ...],
    slices: tuple[str, ...],
    graders: tuple[str, ...],
    reason: str,
    owner: str,
    expires: str | None,
    most: int | None,
) -> None:
    """Accept regressions of judged run RUN (default the latest) for a time, into acceptances.yaml.

    The file belongs into the pull request. An entry holds for the failure that was looked at: the
    same content of the case, the same kind of failure, the same change. Critical cases and policy
    cases cannot be accepted.
    """
    from evalkit.gate.accepting import accept

    if most is not None and not slices:
        raise click.UsageError("--most goes with --slice")
    done = accept(
        get_project(),
        run_id,
        cases=ids_of(",".join(cases)),
        slices=slices,
        graders=graders,
        reason=reason,
        owner=owner,
        expires=_last_day(expires),
        most=most,
    )
    for entry in done.entries:
        kinds = ", ".join(f"{grader}: {' or '.join(found)}" for grader, found in entry.failures.items())
        click.echo(f"{entry.workflow}: {entry.subject} may fail until {entry.expires} ({kinds}), {entry.owner}")
    for text in done.left_out:
        note(f"not accepted, nobody can: {text}")
    where = from_here(done.acceptances.path)
    if not done.changed:
        note(f"{where} says so already")
        return
    note(f"written to {where}: commit it, and judge again: evalkit gate {run_id}")


def _last_day(text: str | None) -> dt.date | None:
    """A day, or so many days from today (UTC)."""
    if text is None:
        return None
    days = re.fullmatch(r"(\d{1,3})d", text.strip())
    if days:
        return dt.datetime.now(dt.UTC).date() + dt.timedelta(days=int(days[1]))
    try:
        return dt.date.fromisoformat(text.strip())
    except ValueError:
        raise click.BadParameter(f"`{text}` is no day: write 2026-12-31 or 30d", param_hint="--expires") from None
