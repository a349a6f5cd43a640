"""``evalkit diff``."""

from __future__ import annotations

import click

from evalkit.cli.common import emit, format_option, get_project

__all__ = ["command"]


@click.command("diff")
@click.argument("before")
@click.argument("after")
@format_option("text", "json", "md")
def command(before: str, after: str, output: str) -> int:
    """Compare run AFTER with run BEFORE (ids or their beginnings, or baseline names), without judging.

    The exit code is 0 whatever the difference, and 4 where the runs cannot be compared.
    """
    from evalkit.errors import ExitCode
    from evalkit.gate.compare import compare_stored_runs

    verdict = compare_stored_runs(get_project(), before, after)
    if verdict.verdict == "NOT COMPARABLE":
        emit(output, [verdict])
        return int(ExitCode.NOT_COMPARABLE)
    emit(output, [verdict], judged=False)
    return int(ExitCode.PASS)
