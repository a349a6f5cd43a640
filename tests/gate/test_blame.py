"""Blame on runs of a simulated model: what is named, what it costs, and what is not paid twice."""

from __future__ import annotations

import pytest

from evalkit.errors import BudgetError, NotComparableError, StoreError, UsageError
from evalkit.gate.blame import Asked, blame
from evalkit.store import Runs
from evalkit.workflow import load_project
from tests.conftest import REFUSAL_RULE, ProjectFolder, sample_cases

POLITE = ("You are a shop assistant.", "You are a polite shop assistant.")
CITE = "- Answer only from the documents below and cite their ids in [brackets].\n"


def test_the_component_is_named_with_its_calls_and_cost(broken: ProjectFolder) -> None:
    told: list[Asked] = []
    project = load_project(broken.path)
    runs = [folder.path.name for folder in Runs(project.store).all()]
    found = blame(project, listener=told.append)
    assert (found.attribution.kind, found.attribution.causes) == ("single", ("prompt:answer",))
    assert found.changes == ("model:default", "prompt:answer")
    assert found.cases == ("address-005", "address-011", "address-017", "address-023")
    assert found.sentence.startswith("prompt:answer breaks 100.0% of 4 broken cases by itself")
    assert [(item.changes, item.share) for item in told] == [
        ((), 0.0),
        (("model:default", "prompt:answer"), 1.0),
        (("model:default",), 0.0),
        (("prompt:answer",), 1.0),
    ]
    assert found.calls == sum(item.calls for item in told) == 16, "four configurations on four cases, and nothing more"
    assert found.cost_microusd == sum(item.cost_microusd for item in told) > 0
    assert [folder.path.name for folder in Runs(project.store).all()] == runs, "counterfactuals are no runs"


def test_asked_again_nothing_is_paid_again(broken: ProjectFolder) -> None:
    project = load_project(broken.path)
    first, second = blame(project), blame(project)
    assert (second.calls, second.cost_microusd) == (0, 0)
    assert second.attribution == first.attribution


def test_the_project_may_have_moved_on(broken: ProjectFolder) -> None:
    """Both sides of the prompt come from what the runs have kept."""
    broken.write("prompt.md", "Something else.")
    broken.configure_workflow(model="simulator:sim-small-1")
    assert blame(load_project(broken.path)).attribution.causes == ("prompt:answer",)


def test_few_cases_and_no_confirmation_are_cheaper(broken: ProjectFolder) -> None:
    found = blame(load_project(broken.path), cases=["address-011", "address-017"], most=1, confirm=False)
    assert (found.cases, found.broken, found.calls) == (("address-011",), 2, 2)
    assert found.attribution.causes == ("prompt:answer",)


def test_a_single_change_is_named_without_a_call(project: ProjectFolder) -> None:
    project.run("run", "--set-baseline", "main", "--no-report", "--quiet")
    project.edit("prompt.md", REFUSAL_RULE, "")
    project.run("run", "--no-report", "--quiet")
    found = blame(load_project(project.path))
    assert (found.attribution.causes, found.calls, found.asked) == (("prompt:answer",), 0, ())
    assert found.sentence == "Only prompt:answer has changed: nothing else can have broken 4 broken cases."


def test_the_budget_of_a_run_holds_for_all_together(broken: ProjectFolder) -> None:
    broken.configure_workflow(budget={"per_run": "$0.001"})
    project = load_project(broken.path)
    with pytest.raises(BudgetError, match="budget"):
        blame(project)
    spent = sum(folder.run.cost_microusd for folder in Runs(project.store / "counterfactual").all())
    assert spent <= 1_000
    broken.configure_workflow(budget={"per_run": "$1"})
    assert blame(load_project(broken.path)).attribution.causes == ("prompt:answer",)


def test_where_nothing_got_worse_nobody_is_to_blame(project: ProjectFolder) -> None:
    project.run("run", "--set-baseline", "main", "--no-report", "--quiet")
    project.edit("prompt.md", *POLITE)
    project.run("run", "--no-report", "--quiet")
    with pytest.raises(UsageError, match="nobody is to blame"):
        blame(load_project(project.path))


def test_without_a_baseline_there_is_no_blame(project: ProjectFolder) -> None:
    project.run("run", "--no-report", "--quiet")
    with pytest.raises(UsageError, match="not compared with a baseline"):
        blame(load_project(project.path))


def test_other_graders_or_cases_are_not_comparable(broken: ProjectFolder) -> None:
    broken.configure_workflow(graders=["refusal", "answer"])
    with pytest.raises(NotComparableError, match="graders"):
        blame(load_project(broken.path))
    broken.configure_workflow(graders=["refusal", "answer", "groundedness", "cost", "latency"])
    broken.cases(sample_cases(23))
    with pytest.raises(NotComparableError, match="golden set"):
        blame(load_project(broken.path))


def test_a_component_that_is_nowhere_is_named_with_what_to_do(broken: ProjectFolder) -> None:
    """A masked prompt is not the prompt that was run."""
    contact = "Mail to jane.doe@example.com for help.\n"
    broken.write("prompt.md", contact + (broken.path / "prompt.md").read_text())
    broken.run("run", "--no-report", "--quiet")
    broken.edit("prompt.md", contact, "")
    with pytest.raises(StoreError, match="prompt:answer") as caught:
        blame(load_project(broken.path))
    assert "git fetch" in str(caught.value.fix)


def test_two_rules_in_two_components_that_either_break(broken: ProjectFolder) -> None:
    """A prompt without its rule, and a model that keeps to no rule at all."""
    broken.configure_workflow(model="simulator:sim-small-1")
    broken.run("run", "--no-report", "--quiet")
    found = blame(load_project(broken.path), most=6)
    assert "prompt:answer" in found.attribution.causes
    assert sum(found.attribution.shares.values()) > 0.8
