"""``evalkit blame``."""

from __future__ import annotations

import json

import click

from evalkit.cli.common import format_option, get_project, ids_of, note, table

__all__ = ["command"]


@click.command("blame")
@click.argument("run_id", metavar="[RUN]", default="latest")
@click.option("--cases", metavar="IDS", help="Only these of the broken cases, by comma.")
@click.option("--most", type=click.IntRange(1), default=30, show_default=True, help="Look at so many broken cases.")
@click.option("--trials", type=click.IntRange(1, 100), help="Trials of each case.  [default: as in the run]")
@click.option("--confirm/--no-confirm", default=True, help="Run baseline and candidate anew first.")
@click.option("--seed", type=int, default=0, show_default=True, help="For drawing permutations of many changes.")
@format_option("text", "json")
def command(
    run_id: str, cases: str | None, most: int, trials: int | None, confirm: bool, seed: int, output: str
) -> None:
    """Find out which of several changed components breaks the cases that run RUN (default the latest) broke.

    Runs the baseline with some of the changes applied, on the broken cases only. What is known is
    not paid again; the workflow's budgets hold.
    """
    from evalkit import codec
    from evalkit.gate.blame import Asked, blame
    from evalkit.quantities import format_money
    from evalkit.text import log_safe

    def tell(item: Asked) -> None:
        name = ", ".join(item.changes) or "the baseline"
        note(log_safe(f"{name}: {item.share:.0%} fail; {item.calls} calls, {format_money(item.cost_microusd)}"))

    ids = ids_of(cases or "")
    found = blame(get_project(), run_id, cases=ids, most=most, trials=trials, confirm=confirm, seed=seed, listener=tell)
    if output == "json":
        click.echo(json.dumps(codec.plain(found), indent=1))
        return
    attribution = found.attribution
    if attribution.shares:
        rows = [
            [name, f"{attribution.shares.get(name, 0.0):.0%}", "✖" if name in attribution.causes else ""]
            for name in sorted(found.changes, key=lambda name: (-attribution.shares.get(name, 0.0), name))
        ]
        click.echo(table(["change", "share", "to blame"], rows))
        click.echo("")
    if found.unstable:
        click.echo(log_safe(f"did not break again: {', '.join(found.unstable)}"))
    if found.simulated:
        click.echo("all models are simulated")
    click.echo(log_safe(found.sentence))
