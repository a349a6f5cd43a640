"""What to do next: the same commands in every form that people read, and only such that help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from evalkit.gate import Verdict
from evalkit_reports.common import next_steps, row
from tests.conftest import lay_down

from .hostile import rendered
from .test_html import Page

KINDS = ["BLOCKED", "INCONCLUSIVE", "NOT COMPARABLE", "ERROR"]


def told(verdict: Verdict) -> list[str]:
    """The lines of the terminal that say what is next."""
    lines = [line for line in rendered("terminal", verdict).splitlines() if line.startswith("next ")]
    return [line.removeprefix("next").strip() for line in lines]


@pytest.mark.parametrize("kind", KINDS)
def test_terminal_comment_and_page_name_the_same_commands(stored: Mapping[str, Verdict], kind: str) -> None:
    verdict = stored[kind]
    steps = next_steps(verdict)
    markdown, page = rendered("markdown", verdict), Page(rendered("html", verdict)).text
    assert all(f"{step.what}: `{step.command}`" in markdown for step in steps if step.command)
    assert all(f"{step.what}: {step.command}" in page for step in steps if step.command)
    assert told(verdict) == [
        f"{step.command}  ({step.what})" if step.command else step.what for step in steps[:2]
    ]  # fmt: skip
    assert told(verdict)


def test_a_pass_a_comparison_and_a_run_that_became_the_baseline_need_nothing(stored: Mapping[str, Verdict]) -> None:
    accepted = replace(stored["NOT COMPARABLE"], became_baseline="main")
    assert told(stored["PASS"]) == told(accepted) == []
    compared = rendered("terminal", stored["BLOCKED"], judged=False) + rendered(
        "markdown", stored["BLOCKED"], judged=False
    )
    assert "next " not in compared
    assert "What to do" not in compared


def test_without_a_baseline_the_first_thing_is_to_make_one(stored: Mapping[str, Verdict]) -> None:
    assert told(stored["NOT COMPARABLE"])[0].startswith("evalkit run shop --set-baseline main")


def test_of_several_workflows_each_gets_one_line(stored: Mapping[str, Verdict]) -> None:
    shown = rendered("terminal", *(replace(verdict, workflow=kind.lower()) for kind, verdict in stored.items()))
    assert sum(line.startswith("next ") for line in shown.splitlines()) == len(stored) - 1


@pytest.mark.parametrize(("made", "asked"), [(1, 3), (2, 4), (5, 7)])
def test_more_trials_are_more_than_were_made(stored: Mapping[str, Verdict], made: int, asked: int) -> None:
    verdict = stored["INCONCLUSIVE"]
    varied = replace(verdict.cases[0], graders=tuple(replace(item, candidate=0.5) for item in verdict.cases[0].graders))
    assert verdict.golden_set is not None
    verdict = replace(verdict, trials=made * verdict.golden_set.cases, cases=(varied,))
    assert f"evalkit run shop --trials {asked}" in [step.command for step in next_steps(verdict)]
    accept = f'evalkit baseline set main {verdict.candidate_run} --reason "…"'
    assert accept in [step.command for step in next_steps(verdict)]


def test_more_trials_are_not_offered_where_they_never_differ(stored: Mapping[str, Verdict]) -> None:
    verdict = stored["INCONCLUSIVE"]
    assert verdict.golden_set is not None
    verdict = replace(verdict, trials=3 * verdict.golden_set.cases)
    assert "more cases in the golden set" in next_steps(verdict)[0].what
    assert not next_steps(verdict)[0].command


def test_after_a_part_of_the_golden_set_comes_the_whole(tmp_path_factory: pytest.TempPathFactory) -> None:
    project = lay_down(tmp_path_factory.mktemp("part"))
    project.run("run", "--set-baseline", "main", "--no-report")
    done = project.run("run", "--sample", "6", "--no-report")
    assert "INCONCLUSIVE" in done.out
    assert "next    evalkit run shop  (run the whole golden set)" in done.out
    first = project.run("run", "--set-baseline", "other", "--baseline", "other", "--no-report")
    assert "is baseline `other` now" in first.out
    assert "next " not in first.out


def test_a_rule_that_judged_nothing_is_no_pass(stored: Mapping[str, Verdict]) -> None:
    rule = next(rule for rule in stored["BLOCKED"].rules if rule.kind == "drop")
    empty = replace(rule, status="pass", n=0, baseline=None, candidate=None, delta=None, low=None, high=None)
    assert (row(empty).symbol, row(empty).status) == ("·", "nothing to judge")
    assert row(replace(rule, status="pass")).symbol == "✔"
    assert row(replace(rule, status="pass"), judged=False).symbol == "·"


@pytest.mark.parametrize("form", ["terminal", "markdown"])
def test_a_comparison_shows_neither_a_pass_nor_limits(stored: Mapping[str, Verdict], form: str) -> None:
    rules = tuple(replace(rule, status="pass") for rule in stored["BLOCKED"].rules)
    shown = rendered(form, replace(stored["BLOCKED"], rules=rules, verdict="PASS"), judged=False)
    gate = shown[: shown.index("critical cases") + 1]
    assert "✔" not in shown
    assert "·" in gate
    assert "rule" not in gate
    assert "no worse than" not in shown
