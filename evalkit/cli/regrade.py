"""``evalkit regrade``."""

from __future__ import annotations

import click

from evalkit.cli.common import get_project

__all__ = ["command"]


@click.command("regrade")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
def command(runs: tuple[str, ...]) -> None:
    """Grade stored RUNs (default the latest) with the graders as they are now.

    The models under test are not called. A grader that asks a model of its own, such as `judge`, asks only what it
    has not asked before, within the budgets of the workflow.

    The run gets a further set of scores beside those that it was made with.
    """
    from evalkit.engine.grader_models import ProjectModels
    from evalkit.engine.prepare import load_grading
    from evalkit.engine.regrade import regrade
    from evalkit.gate.words import count_of
    from evalkit.quantities import format_money
    from evalkit.session import sync_catalogue
    from evalkit.store import Runs
    from evalkit.workflow import load_workflow

    project = get_project()
    for name in runs or ("latest",):
        folder = Runs(project.store).get(name)
        workflow = load_workflow(project, folder.run.workflow)
        grading = load_grading(project, workflow)
        if folder.scores_path(grading.fingerprint).exists():
            click.echo(f"{folder.run.run_id}: already graded by these graders")
            continue
        made = regrade(folder, project.store, grading)
        asked = "no model called"
        if isinstance(grading.models, ProjectModels) and grading.models.paid.calls:
            paid = grading.models.paid
            asked = f"{count_of(paid.calls, 'reply', 'replies')} of judges for {format_money(paid.microusd)}"
        click.echo(f"{folder.run.run_id}: {made.scores:,} scores, {made.errors} errors, {asked}")
    sync_catalogue(project)
