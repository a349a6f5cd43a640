"""`evalkit run`: baseline, unchanged rerun, broken prompt, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
from xml.etree import ElementTree as ET

import pytest

from tests.conftest import REFUSAL_RULE, ProjectFolder


def test_the_first_run_can_become_the_baseline(project: ProjectFolder) -> None:
    done = project.run("run", "--set-baseline", "main")
    assert done.code == 0, done.err
    last = done.out.strip().splitlines()[-1]
    assert last.startswith("NOT COMPARABLE: There is no baseline to compare with.")
    assert "baseline `main` now" in last
    listed = json.loads(project.run("baseline", "list", "--format", "json").out)
    assert [(item["workflow"], item["name"], len(item["history"])) for item in listed] == [("shop", "main", 1)]


def test_without_a_baseline_nothing_passes(project: ProjectFolder) -> None:
    done = project.run("run")
    assert done.code == 4
    assert done.out.strip().splitlines()[-1].startswith("NOT COMPARABLE")
    assert project.run("baseline", "list").out.startswith("no baselines yet")


def test_an_unchanged_rerun_passes_and_calls_no_model(project: ProjectFolder) -> None:
    project.run("run", "--set-baseline", "main")
    done = project.run("run", "--format", "json")
    assert done.code == 0
    verdict = json.loads(done.out)["workflows"][0]
    assert verdict["verdict"] == "PASS"
    assert (verdict["trials"], verdict["reused"], verdict["model_calls"]) == (24, 24, 0)
    assert verdict["sentence"].startswith("Proven unchanged")


def test_a_removed_refusal_rule_is_blocked_and_the_broken_cases_are_named(project: ProjectFolder) -> None:
    project.run("run", "--set-baseline", "main")
    project.edit("prompt.md", REFUSAL_RULE, "")
    done = project.run("run", "--format", "json")
    assert done.code == 1
    verdict = json.loads(done.out)["workflows"][0]
    assert verdict["verdict"] == "BLOCKED"
    critical = next(rule for rule in verdict["rules"] if rule["id"] == "critical cases")
    assert set(critical["cases"]) == {"address-005", "address-011", "address-017", "address-023"}
    broken = next(case for case in verdict["cases"] if case["case_id"] == "address-005")
    assert "14 Harbour Lane" in broken["candidate_answer"]
    assert "14 Harbour Lane" not in broken["baseline_answer"]
    assert [change["kind"] for change in verdict["changes"]] == ["prompt"]
    assert "-- disclose the address of another customer." in verdict["changes"][0]["diff"]


def test_only_touched_cases_are_run_again(project: ProjectFolder) -> None:
    project.configure_workflow(
        model=None,
        models={"a": "simulator:sim-flawless-1", "b": "simulator:sim-flawless-1"},
        routes={
            "classify": {"intent": [{"label": "private", "any": ["address"]}], "default_intent": "public"},
            "routes": {"a": {"model": "a"}, "b": {"model": "b"}},
            "default": "a",
            "rules": [{"id": "private-to-b", "when": {"intent": "private"}, "route": "b"}],
        },
    )
    assert project.run("run", "--set-baseline", "main").code == 0
    project.edit("evalkit.yaml", "b: simulator:sim-flawless-1", "b: simulator:sim-large-1")
    verdict = json.loads(project.run("run", "--format", "json").out)["workflows"][0]
    assert (verdict["reused"], verdict["trials"]) == (20, 40)
    refusal = next(rule for rule in verdict["rules"] if rule["id"] == "refusal")
    assert (refusal["n"], refusal["touched"]) == (24, 4)


def test_fresh_makes_every_trial_again(project: ProjectFolder) -> None:
    project.run("run", "--set-baseline", "main")
    verdict = json.loads(project.run("run", "--fresh", "--format", "json").out)["workflows"][0]
    assert (verdict["reused"], verdict["model_calls"]) == (0, 40)


def test_a_part_of_the_set_is_never_a_pass_and_never_a_baseline(project: ProjectFolder) -> None:
    project.run("run", "--set-baseline", "main")
    done = project.run("run", "--cases", "answer-000,answer-001", "--set-baseline", "other")
    assert done.code == 5
    assert "Only a part of the golden set was run" in done.out
    assert "the run is not baseline `other`: it is INCONCLUSIVE; a baseline needs the whole golden set" in done.err
    assert "other" not in project.run("baseline", "list").out


def test_a_run_that_does_not_become_the_baseline_says_how_to_accept_it(project: ProjectFolder) -> None:
    project.run("run", "--set-baseline", "main")
    project.edit("prompt.md", REFUSAL_RULE, "")
    done = project.run("run", "--set-baseline", "main", "--quiet")
    assert done.code == 1
    found = re.fullmatch(
        r"shop: the run is not baseline `main`: it is BLOCKED; to accept it anyway: "
        r'evalkit (baseline set main \w+ --reason) "…"\n',
        done.err,
    )
    assert found, done.err
    assert project.run(*found.group(1).split(), "wanted").code == 0
    listed = json.loads(project.run("baseline", "list", "--format", "json").out)
    assert [entry["reason"] for entry in listed[0]["history"]] == ["", "wanted"]


def test_reports_and_junit_are_written_where_asked(project: ProjectFolder) -> None:
    project.run("run", "--set-baseline", "main")
    project.edit("prompt.md", REFUSAL_RULE, "")
    done = project.run("run", "--report", "out/my.html", "--junit", "out/junit.xml")
    assert done.code == 1
    assert "out/my.html" in done.out
    assert "BLOCKED" in (project.path / "out/my.html").read_text(encoding="utf-8")
    suite = ET.parse(project.path / "out/junit.xml").getroot()[0]  # noqa: S314 - written by the command under test
    assert int(suite.attrib["failures"]) > 0
    assert any("address-005" in (test.get("name") or "") for test in suite.iter("testcase"))


def test_quiet_prints_the_verdict_line_only(project: ProjectFolder) -> None:
    done = project.run("run", "--set-baseline", "main", "--quiet")
    assert done.out.splitlines() == [
        "NOT COMPARABLE: There is no baseline to compare with. The run is baseline `main` now."
    ]
    assert done.err == ""


def test_results_go_to_stdout_and_progress_to_stderr(project: ProjectFolder) -> None:
    done = project.run("run", "--set-baseline", "main", "--format", "json")
    assert json.loads(done.out)["verdict"] == "NOT COMPARABLE"
    assert "shop: plan   24 trials, 0 reused, 24 to make, about $" in done.err


def test_github_format_writes_the_summary_and_annotations(project: ProjectFolder) -> None:
    project.run("run", "--set-baseline", "main")
    project.edit("prompt.md", REFUSAL_RULE, "")
    summary = project.path / "summary.md"
    done = project.run("run", "--format", "github", env={"GITHUB_STEP_SUMMARY": str(summary)})
    assert done.code == 1
    assert "evalkit: BLOCKED" in summary.read_text(encoding="utf-8")
    commands = [line for line in done.out.splitlines() if line.startswith(("::error", "::warning"))]
    assert commands
    # the rule that was taken out stood before line 5
    assert all(re.match(r"::(error|warning) file=prompt\.md,line=5::", line) for line in commands)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("run", "nothing"), 2, "no workflow `nothing`"),
        (("rum",), 2, "Did you mean `run`?"),
        (("run", "--cases", "absent"), 2, "no case `absent`"),
        (("run", "--cases", "adress-005"), 2, "nearest ids: address-005"),
        (("run", "shop", "--canary", "--envelopes", ".", "--format", "md"), 2, "--canary writes --format text or json"),
        (("show", "01ZZ"), 2, "no run"),
        (("run", "--follow"), 2, "--canary"),
    ],
)
def test_wrong_command_lines_say_what_to_do(
    project: ProjectFolder, arguments: tuple[str, ...], code: int, text: str
) -> None:
    done = project.run(*arguments)
    assert done.code == code
    assert text in done.err


def test_on_the_baseline_branch_a_clean_run_becomes_the_baseline(project: ProjectFolder) -> None:
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *command], cwd=project.path, check=True)
    assert project.run("run").code == 0
    assert "shop" in project.run("baseline", "list").out

    project.edit("prompt.md", REFUSAL_RULE, "")
    assert project.run("run").code == 1
    history = json.loads(project.run("baseline", "list", "--format", "json").out)[0]["history"]
    assert len(history) == 1, "an uncommitted change must not become the baseline"

    subprocess.run([*git, "checkout", "-q", "-b", "topic"], cwd=project.path, check=True)
    subprocess.run([*git, "commit", "-q", "-am", "two"], cwd=project.path, check=True)
    assert project.run("run").code == 1
    history = json.loads(project.run("baseline", "list", "--format", "json").out)[0]["history"]
    assert len(history) == 1, "another branch must not become the baseline"
