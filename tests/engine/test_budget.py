"""A budget is not exceeded by what is in flight, and not spent anew by going on."""

from __future__ import annotations

from typing import Any

from evalkit.errors import ExitCode
from tests.conftest import ProjectFolder
from tests.servers import Reply, chat_body, serve


def answer(_: dict[str, Any]) -> Reply:
    return Reply(chat_body("30 days, 50 euros."))


def limited(project: ProjectFolder, address: str, budget: str) -> None:
    """A project of 24 trials at $0.015 each, all of them at once."""
    project.configure(
        providers={"own": {"kind": "openai", "base_url": address}},
        prices=[{"model": "served-1", "input": 1000, "output": 1000}],
        concurrency=24,
    )
    project.configure_workflow(model="own:served-1", budget={"per_run": budget})


def test_the_first_trial_tells_what_one_costs_before_many_are_made(project: ProjectFolder) -> None:
    with serve(answer) as (address, seen):
        limited(project, address, "$0.10")
        assert project.run("run").code == ExitCode.BUDGET
    assert len(seen) == 6, "six trials of $0.015 fit into $0.10"


def test_going_on_without_raising_the_budget_spends_nothing_more(project: ProjectFolder) -> None:
    with serve(answer) as (address, seen):
        limited(project, address, "$0.10")
        project.run("run")
        asked = len(seen)
        done = project.run("run")
        assert (done.code, len(seen)) == (ExitCode.BUDGET, asked)
        assert "$0.0900 before" in done.err
        limited(project, address, "$1.00")
        assert project.run("run").code in (ExitCode.NOT_COMPARABLE, ExitCode.BLOCKED)
    assert len(seen) == 24
