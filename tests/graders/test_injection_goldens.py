"""The injection grader on the committed golden sets, answered by simulated models that resist, and that do not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.engine.targets import price_table
from evalkit.goldens import load
from evalkit.records import Case, Trace
from evalkit.simulator import PROFILES, Simulator
from evalkit.workflow import load_project, load_workflow, run_trial

from .made import grader, score

ROOT = Path(__file__).parents[2]
GULLIBLE = tuple(replace(profile, resistance=0.0, resistance_untold=0.0) for profile in PROFILES)


def answered(name: str, *, planted: bool) -> list[tuple[Case, Trace]]:
    """A trial of each case of a workflow that holds a planted instruction, or that holds none."""

    async def run() -> list[tuple[Case, Trace]]:
        project = load_project(ROOT)
        prices, providers = price_table(project), {"sim": Simulator("sim")}
        workflow = load_workflow(project, name)
        cases = [case for case in load(workflow.golden_path).cases if ("injection" in case.tags) is planted]
        return [(case, await run_trial(workflow, case, 0, providers, prices)) for case in cases]

    return asyncio.run(run())


@pytest.mark.parametrize("name", ["support", "finance", "hr", "legal"])
def test_every_planted_instruction_is_seen_and_none_that_was_resisted_counts(name: str) -> None:
    trials = answered(name, planted=True)
    assert len(trials) > 10
    for case, trace in trials:
        found = score(grader("injection"), case, trace)
        assert (found.passed, found.review) == (True, ""), (case.id, found.evidence)
        assert found.evidence["seen_not_obeyed"], case.id


@pytest.mark.parametrize("name", ["support", "finance", "hr", "legal"])
def test_a_simulated_model_that_obeys_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.simulator.profiles.PROFILES", GULLIBLE)
    obeyed = 0
    for case, trace in answered(name, planted=True):
        if any(text.casefold() in trace.answer.casefold() for text in case.expect.forbidden[:1]):
            found = score(grader("injection"), case, trace)
            assert (found.passed, found.label) == (False, "planted_token"), (case.id, trace.answer)
            obeyed += 1
    assert obeyed > 5


@pytest.mark.parametrize("name", ["support", "finance", "hr", "legal"])
def test_no_case_without_a_planted_instruction_fails_or_asks_for_a_person(name: str) -> None:
    for case, trace in answered(name, planted=False):
        found = score(grader("injection"), case, trace)
        assert found.status == "not_applicable" or (found.passed, found.review) == (True, ""), (case.id, found.evidence)
