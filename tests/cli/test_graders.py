"""`evalkit graders`: what is installed, what the project has of its own, and the parameters."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import ProjectFolder
from tests.grading.conftest import HEADER, grader_source


def test_the_projects_own_graders_are_listed_with_their_file(project: ProjectFolder) -> None:
    project.write("graders/polite.py", HEADER + grader_source())
    listed = {item["name"]: item for item in json.loads(project.run("graders", "--format", "json").out)}
    assert listed["polite"]["origin"] == "graders/polite.py"
    assert listed["refusal"]["origin"].startswith("evalkit ")


def test_a_broken_project_file_does_not_hide_the_projects_graders(project: ProjectFolder) -> None:
    project.write("graders/polite.py", HEADER + grader_source())
    project.write("evalkit.yaml", "workflows: [")
    assert "graders/polite.py" in project.run("graders").out


def test_without_a_project_the_installed_ones_are_listed(tmp_path: Path) -> None:
    done = ProjectFolder(tmp_path).run("graders")
    assert (done.code, "refusal" in done.out) == (0, True)
    named = ProjectFolder(tmp_path).run("-C", "nowhere", "graders")
    assert (named.code, "evalkit init" in named.err) == (10, True)


def test_parameters_are_shown_with_their_defaults(project: ProjectFolder) -> None:
    body = "words: list[str] = field(default_factory=list)\n    most: int = 3\n    least: int = field(kw_only=True)"
    source = HEADER.replace("import dataclass", "import dataclass, field") + grader_source(body=body)
    project.write("graders/polite.py", source)
    rows = [line.split() for line in project.run("graders", "show", "polite").out.splitlines()[-3:]]
    assert rows == [["words", "list[str]", "[]"], ["most", "int", "3"], ["least", "int", "required"]]


def test_a_grader_that_cannot_be_imported_is_named(project: ProjectFolder) -> None:
    project.write("graders/polite.py", "import sys\nsys.exit(0)\n")
    done = project.run("graders")
    assert done.code == 14
    assert "SystemExit: 0" in done.err
    assert "polite.py" in done.err
