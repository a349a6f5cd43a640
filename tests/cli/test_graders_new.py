"""`evalkit graders new` lays down a grader and a test that passes, and overwrites nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from evalkit.errors import ExitCode
from evalkit.store import Runs
from tests.conftest import ProjectFolder, clean_environment


@pytest.mark.parametrize(
    ("options", "says"), [([], "def grade("), (["--async"], "async def grade("), (["--run"], "def grade_case(")]
)
def test_what_is_laid_down_passes_its_test_and_can_be_used(
    project: ProjectFolder, options: list[str], says: str
) -> None:
    done = project.run("graders", "new", "short_enough", *options)
    assert done.code == 0
    assert "wrote graders/short_enough.py\nwrote tests/test_short_enough.py" in done.out
    text = (project.path / "graders/short_enough.py").read_text()
    assert f"    {says}" in text
    assert "class ShortEnough(" in text
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_short_enough.py"],
        check=False, cwd=project.path, env=clean_environment(), capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout
    assert "2 passed" in tested.stdout
    shown = project.run("graders", "show", "short_enough")
    assert shown.code == 0
    project.configure_workflow(graders=["refusal", "short_enough"])
    project.run("run")
    scores = Runs(project.path / ".evalkit").get("latest").scores()
    assert {score.status for score in scores if score.grader == "short_enough"} <= {"ok", "not_applicable"}


def test_nothing_is_overwritten(project: ProjectFolder) -> None:
    project.write("tests/test_polite.py", "# mine")
    done = project.run("graders", "new", "polite")
    assert (done.code, "there is already tests/test_polite.py" in done.err) == (ExitCode.USAGE, True)
    assert (project.path / "tests/test_polite.py").read_text() == "# mine"
    assert not (project.path / "graders/polite.py").exists()


@pytest.mark.parametrize("name", ["Polite", "2nd", "class", "too-eager", "../outside", "a" * 51, "ü", "__init__"])
def test_a_name_that_is_no_name_is_refused(project: ProjectFolder, name: str) -> None:
    done = project.run("graders", "new", name)
    assert (done.code, "lower case letters" in done.err) == (ExitCode.USAGE, True)
    assert not (project.path / "graders").exists()


def test_a_grader_that_is_there_already_is_named(project: ProjectFolder) -> None:
    done = project.run("graders", "new", "refusal")
    assert (done.code, "there is already a grader `refusal`" in done.err) == (ExitCode.USAGE, True)
    both = project.run("graders", "new", "polite", "--async", "--run")
    assert both.code == ExitCode.USAGE
