"""Accepting regressions of a run, from Python."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from evalkit.errors import ConfigError, UsageError
from evalkit.gate import judge
from evalkit.gate.acceptance import load_acceptances
from evalkit.gate.accepting import Accepted, accept
from evalkit.gate.compare import find_baseline
from evalkit.gate.golden import StoredCases
from evalkit.gate.verdict import Verdict
from evalkit.store import Runs
from evalkit.workflow import Project, load_project, load_workflow
from tests.conftest import REFUSAL_RULE, ProjectFolder, sample_cases

TODAY = dt.date(2026, 11, 22)
BROKEN = [f"address-{number:03d}" for number in (5, 11, 17, 23)]


@pytest.fixture
def broken(make_project: Callable[..., ProjectFolder]) -> ProjectFolder:
    """A project whose prompt lost a rule: four cases of 24 are worse, one of them critical."""
    folder = make_project()
    folder.cases({**case, "critical": case["id"] == BROKEN[3], "risk": _risk(case)} for case in sample_cases(24))
    assert folder.run("run", "--set-baseline", "main", "--no-report", "--quiet").code == 0
    folder.edit("prompt.md", REFUSAL_RULE, "")
    assert folder.run("run", "--no-report", "--quiet").code == 1
    return folder


def _risk(case: dict[str, Any]) -> str:
    return "high" if case.get("critical") else "low"


def say(folder: ProjectFolder, *cases: str, **changes: Any) -> Accepted:
    said = {"cases": cases, "reason": "agreed", "owner": "jane", "today": TODAY, **changes}
    return accept(load_project(folder.path), **said)


def judged(project: Project, today: dt.date = TODAY) -> Verdict:
    """The latest run, with what the file accepts."""
    candidate = Runs(project.store).get("latest")
    run = candidate.run
    return judge(
        candidate,
        find_baseline(project, run.workflow, "main"),
        StoredCases(project.store, run.golden_set, run.redaction),
        load_workflow(project, run.workflow).gate,
        acceptances=load_acceptances(project, today).of(run.workflow),
    )


def test_what_was_accepted_leaves_the_margin_until_it_expires(broken: ProjectFolder) -> None:
    done = say(broken, *BROKEN[:3])
    assert [entry.expires for entry in done.entries] == [TODAY + dt.timedelta(days=30)] * 3
    assert done.entries[0].failures == {"answer": ("forbidden_text",), "refusal": ("under_refusal",)}
    assert list(done.entries[0].changed) == ["prompt:answer"]
    project = load_project(broken.path)
    verdict = judged(project)
    assert {item.state for item in verdict.acceptances} == {"used"}
    assert [rule.id for rule in verdict.blocking] == ["critical cases"]
    late = judged(project, TODAY + dt.timedelta(days=31))
    assert {item.state for item in late.acceptances} == {"expired"}
    assert "expired acceptances" in {rule.id for rule in late.blocking}


def test_saying_it_again_changes_no_byte(broken: ProjectFolder) -> None:
    say(broken, *BROKEN[:2])
    file = broken.path / "acceptances.yaml"
    before = file.read_bytes(), file.stat().st_mtime_ns
    later = say(broken, *BROKEN[:2], today=TODAY + dt.timedelta(days=3))
    assert not later.changed
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert later.entries[0].created == TODAY


def test_another_reason_or_date_takes_the_place_of_the_entry(broken: ProjectFolder) -> None:
    say(broken, *BROKEN[:2])
    done = say(broken, BROKEN[1], reason="agreed with sales", expires=dt.date(2026, 12, 1))
    assert done.changed
    first, second = done.acceptances.entries
    assert (first.reason, second.reason, second.expires) == ("agreed", "agreed with sales", dt.date(2026, 12, 1))


def test_an_expired_entry_is_renewed(broken: ProjectFolder) -> None:
    say(broken, BROKEN[0])
    later = TODAY + dt.timedelta(days=40)
    (entry,) = say(broken, BROKEN[0], today=later).acceptances.entries
    assert (entry.created, entry.expires) == (later, later + dt.timedelta(days=30))


def test_one_grader_and_then_another_make_one_entry(broken: ProjectFolder) -> None:
    (one,) = say(broken, BROKEN[0], graders=["refusal"]).acceptances.entries
    assert list(one.failures) == ["refusal"]
    (both,) = say(broken, BROKEN[0], graders=["answer"]).acceptances.entries
    assert list(both.failures) == ["answer", "refusal"]


def test_a_slice_leaves_out_whom_nobody_can_accept(broken: ProjectFolder) -> None:
    done = say(broken, slices=["risk=high"])
    assert done.left_out == (f"{BROKEN[3]}: it is a critical case",)
    assert done.entries[0].most == 3
    verdict = judged(load_project(broken.path))
    assert verdict.acceptances[0].cases == tuple(BROKEN[:3])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cases": [BROKEN[3]]}, "it is a critical case"),
        ({"cases": ["answer-000"]}, "not worse"),
        ({"cases": ["address-999"]}, "no case"),
        ({"cases": [BROKEN[0]], "graders": ["groundedness"]}, "not worse than in the baseline for groundedness"),
        ({"cases": [BROKEN[0]], "graders": ["cost"]}, "no grader `cost`"),
        ({"slices": ["risk=low"]}, "no case of slice"),
        ({"slices": ["risk=none"]}, "no case of the golden set is in slice"),
        ({"cases": [BROKEN[0]], "expires": dt.date(2027, 3, 1)}, "at most 90 days"),
        ({"cases": [BROKEN[0]], "expires": dt.date(2026, 11, 1)}, "at most 90 days"),
        ({}, "nothing to accept"),
    ],
)
def test_what_cannot_be_accepted_is_refused_and_nothing_written(
    broken: ProjectFolder, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        say(broken, **{"cases": (), **changes})
    assert not (broken.path / "acceptances.yaml").exists()


def test_a_run_that_was_compared_with_nothing_has_nothing_to_accept(project: ProjectFolder) -> None:
    project.run("run", "--no-report", "--quiet")
    with pytest.raises(UsageError, match="not compared"):
        say(project, "answer-000")


def test_a_critical_case_that_somebody_wrote_by_hand_is_an_error_with_its_line(broken: ProjectFolder) -> None:
    say(broken, BROKEN[0])
    broken.edit("acceptances.yaml", BROKEN[0], BROKEN[3])
    with pytest.raises(ConfigError, match="nobody can accept") as caught:
        judged(load_project(broken.path))
    assert (caught.value.line, caught.value.value) == (4, BROKEN[3])
    assert str(caught.value.file).endswith("acceptances.yaml")
