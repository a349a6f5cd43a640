"""Configurations between a baseline and a candidate: their parts, and where those come from."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from evalkit.engine.counterfactual import Counterfactuals, change_units
from evalkit.engine.targets import Targets
from evalkit.records import Component, Configuration
from evalkit.store import Runs
from evalkit.workflow import load_project
from tests.conftest import PROMPT, REFUSAL_RULE, ProjectFolder


def configuration(**fingerprints: str) -> Configuration:
    parts = [(*key.split("__"), digest) for key, digest in sorted(fingerprints.items())]
    return Configuration("shop", "f", tuple(Component(kind, name, digest) for kind, name, digest in parts))


def test_each_changed_component_is_a_change() -> None:
    before = configuration(model__a="1", prompt__answer="1", tool__pay="1", tool__old="1")
    after = configuration(model__a="1", prompt__answer="2", tool__pay="2", tool__new="1")
    assert change_units(before, after) == {
        key: frozenset({key}) for key in ("prompt:answer", "tool:new", "tool:old", "tool:pay")
    }


def test_a_model_that_comes_belongs_to_the_routes_that_name_it() -> None:
    before = configuration(model__a="1", model__b="1", prompt__answer="1", routes__table="1")
    after = configuration(model__a="2", model__c="1", prompt__answer="1", prompt__long="1", routes__table="2")
    assert change_units(before, after) == {
        "model:a": frozenset({"model:a"}),
        "routes:table + model:b + model:c + prompt:long": frozenset(
            {"routes:table", "model:b", "model:c", "prompt:long"}
        ),
    }


TOOLS = """- name: pay
  description: Pays money back.
  parameters: {type: object, properties: {amount: {type: number}}, required: [amount]}
  side_effect: money
- name: find
  parameters: {type: object, properties: {id: {type: string}}}
"""
POLICIES = """rules:
  - id: small
    point: act
    tools: pay
    when: [{field: arguments.amount, op: gt, value: 100}]
    effect: deny
    tests:
      - {facts: {tool: pay, arguments.amount: 200}, applies: true}
      - {facts: {tool: pay, arguments.amount: 20}, applies: false}
"""
ROUTES = """routes:
  small: {model: small}
  large: {model: large, prompt: long}
default: small
rules:
  - {id: long, when: {turns_over: 4}, route: large}
escalate:
  - {id: empty, from: small, when: {empty_answer: true}, to: large}
"""


def everything(folder: ProjectFolder) -> None:
    """A workflow with a component of each kind."""
    folder.write("tools.yaml", TOOLS)
    folder.write("policies.yaml", POLICIES)
    folder.write("routes.yaml", ROUTES)
    folder.write("prompts/answer.md", PROMPT)
    folder.write("prompts/rules.md", "Be short.\nBe kind.")
    folder.write("prompts/long.md", "{% include 'rules.md' %}\n" + PROMPT)
    folder.write("prompts/user.md", "Question: {{ question }}\n")
    spec = yaml.safe_load((folder.path / "evalkit.yaml").read_text())["workflows"]["shop"]
    kept = {key: value for key, value in spec.items() if key not in ("prompt", "model")}
    changes = {
        "prompts": {"answer": "prompts/answer.md", "long": {"system": "prompts/long.md", "user": "prompts/user.md"}},
        "models": {
            "small": "simulator:sim-flawless-1",
            "large": {"model": "simulator:sim-flawless-1", "params": {"temperature": 0.5}},
        },
        "routes": "routes.yaml",
        "tools": "tools.yaml",
        "policies": "policies.yaml",
        "contract": {"success": "solved", "allowed_tools": ["pay", "find"]},
        "max_steps": 4,
    }
    folder.configure(workflows={"shop": {**kept, **changes}})


def change_everything(folder: ProjectFolder) -> None:
    for name, old, new in (
        ("tools.yaml", "Pays money back.", "Pays."),
        ("policies.yaml", "value: 100", "value: 150"),
        ("routes.yaml", "turns_over: 4", "turns_over: 6"),
        ("prompts/rules.md", "Be short.", "Be brief."),
        ("prompts/answer.md", REFUSAL_RULE, "- disclose an address.\n"),
        ("evalkit.yaml", "temperature: 0.5", "temperature: 0.9"),
        ("evalkit.yaml", "max_steps: 4", "max_steps: 5"),
    ):
        folder.edit(name, old, new)


def mixed(folder: ProjectFolder, *names: str) -> Configuration:
    """The configuration of the baseline with some changes."""
    project = load_project(folder.path)
    baseline, candidate = Runs(project.store).all()

    async def make() -> Configuration:
        with Counterfactuals(project, candidate, baseline, candidate.run.grading) as made:
            assert set(names) <= made.units.keys()
            async with Targets(project) as targets:
                return made._mixture(frozenset(names), targets).configuration

    return asyncio.run(make())


CHANGED = [
    "contract:contract", "model:large", "policies:rules", "prompt:answer", "prompt:long", "routes:table", "tool:pay",
]  # fmt: skip


@pytest.fixture
def two_runs(make_project: Callable[..., ProjectFolder]) -> ProjectFolder:
    folder = make_project()
    everything(folder)
    assert folder.run("run", "--set-baseline", "main", "--no-report", "--quiet").code == 0
    change_everything(folder)
    folder.run("run", "--no-report", "--quiet")
    return folder


def test_a_mixture_has_each_component_of_the_side_it_is_to_have(two_runs: ProjectFolder) -> None:
    project = load_project(two_runs.path)
    baseline, candidate = (folder.run.configuration for folder in Runs(project.store).all())
    assert list(change_units(baseline, candidate)) == CHANGED
    assert mixed(two_runs) == baseline
    assert mixed(two_runs, *CHANGED) == candidate
    old, new = ({part.key: part.fingerprint for part in side.components} for side in (baseline, candidate))
    for name in CHANGED:
        assert {part.key: part.fingerprint for part in mixed(two_runs, name).components} == {**old, name: new[name]}


def test_both_sides_can_be_of_the_past(two_runs: ProjectFolder) -> None:
    project = load_project(two_runs.path)
    baseline, candidate = (folder.run.configuration for folder in Runs(project.store).all())
    for name in ("prompts/answer.md", "prompts/long.md"):
        two_runs.write(name, "Another prompt.")
    two_runs.edit("tools.yaml", "name: pay", "name: refund")
    two_runs.edit("policies.yaml", "effect: deny", "effect: needs_approval")
    two_runs.configure_workflow(contract={"allowed_tools": ["refund", "find"]}, max_steps=9)
    assert mixed(two_runs).fingerprint == baseline.fingerprint
    assert mixed(two_runs, *CHANGED).fingerprint == candidate.fingerprint


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_what_a_run_keeps_masked_comes_from_git(make_project: Callable[..., ProjectFolder]) -> None:
    folder = make_project()
    contact = "Write to jane.doe@example.com for help.\n"
    folder.write("prompt.md", contact + PROMPT)
    git(folder.path, "init", "-q", "-b", "main")
    git(folder.path, "add", "evalkit.yaml", "prompt.md", "cases.jsonl")
    git(folder.path, "commit", "-q", "-m", "one")
    assert folder.run("run", "--set-baseline", "main", "--no-report", "--quiet").code == 0
    folder.write("prompt.md", PROMPT)
    folder.configure_workflow(model={"model": "simulator:sim-flawless-1", "params": {"temperature": 0.1}})
    folder.run("run", "--no-report", "--quiet")
    baseline = Runs(load_project(folder.path).store).all()[0].run.configuration
    assert "jane.doe" not in "".join(part.content for part in baseline.components)
    assert mixed(folder).fingerprint == baseline.fingerprint
