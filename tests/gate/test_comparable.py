"""What differs between two runs and is not the change under test is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.gate.comparable import different_graders
from evalkit.records import GraderRef

from .world import World, make_cases, measured, passing, rule


def test_another_masking_is_not_comparable(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)}, redaction="1" * 64)
    candidate = world.run({"answer": passing(world.cases)}, version="2")
    verdict = world.judge(candidate, baseline)
    assert (verdict.verdict, verdict.exit_code) == ("NOT COMPARABLE", 4)
    assert verdict.sentence.startswith("The masking differs (`redaction:` in evalkit.yaml")
    assert rule(verdict, "answer").status == "not_comparable"
    told = world.judge(candidate, baseline, on_golden_change="common_cases")
    assert told.verdict == "PASS with notes"
    assert "The masking differs" in told.sentence


def test_golden_set_and_masking_are_both_named(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)}, redaction="1" * 64)
    others = make_cases(61)
    verdict = world.judge(world.run({"answer": passing(others)}, cases=others), baseline, cases=others)
    assert "The golden set differs" in verdict.sentence
    assert "The masking differs" in verdict.sentence


def test_another_workflow_is_named_alone(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)}, workflow="billing", redaction="1" * 64)
    verdict = world.judge(world.run({"answer": passing(world.cases)}), baseline)
    assert verdict.sentence == "The workflow differs: the baseline is of billing, this run of support."


@pytest.mark.parametrize(
    ("prices", "named"),
    [
        ({"small": "two", "large": "one"}, "Prices differ: `small` has another price"),
        ({"small": "two", "large": "two"}, "Prices differ: `large`, `small` have another price"),
    ],
)
def test_models_with_another_price_are_named(world: World, prices: dict[str, str], named: str) -> None:
    outcomes = {"answer": passing(world.cases), "cost": measured(world.cases, 0.01)}
    baseline = world.run(outcomes, model_prices={"small": "one", "large": "one"})
    verdict = world.judge(world.run(outcomes, prices="q" * 64, model_prices=prices), baseline, cost="+10%")
    assert rule(verdict, "cost").sentence.startswith(named)


def test_graders_that_differ_are_named(world: World) -> None:
    run = world.run({"answer": passing(world.cases)}).run
    kept, gone = GraderRef("kept", "1", "a"), GraderRef("gone", "1", "a")
    before = replace(run, graders=(kept, gone, GraderRef("raised", "1", "a"), GraderRef("tuned", "1", "a")))
    now = replace(
        run, graders=(kept, GraderRef("new", "1", "a"), GraderRef("raised", "2", "b"), GraderRef("tuned", "1", "b"))
    )
    told = different_graders(before, now)
    assert told == "new is new, gone is gone, raised: version 1, now 2, tuned: its parameters"
