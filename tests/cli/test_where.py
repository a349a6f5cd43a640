"""Where a command is called: outside a project, below one, with its path given."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.errors import ExitCode
from tests.conftest import ProjectFolder
from tests.store.conftest import Judged

NEED_A_PROJECT = [
    ("plan",), ("run",), ("diff", "a", "b"), ("gate",), ("report",), ("show",), ("runs",), ("baseline", "list"),
    ("baseline", "set", "main", "x"), ("regrade",), ("doctor",), ("simulate", "explain", "w", "c"),
]  # fmt: skip
NEED_NONE = [
    ("graders",),
    ("graders", "show", "refusal"),
    ("schema", "case"),
    ("simulate", "models"),
    ("completion", "zsh"),
]


@pytest.mark.parametrize("arguments", NEED_A_PROJECT, ids=" ".join)
def test_outside_a_project_it_is_said_how_to_make_one(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = ProjectFolder(tmp_path).run(*arguments)
    assert done.code == ExitCode.CONFIG
    assert f"{tmp_path}: no evalkit.yaml here or above" in done.err
    assert "make one: evalkit init" in done.err
    assert list(tmp_path.iterdir()) == [], "a command that cannot work leaves nothing behind"


@pytest.mark.parametrize("arguments", NEED_NONE, ids=" ".join)
def test_what_needs_no_project_works_anywhere(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = ProjectFolder(tmp_path).run(*arguments)
    assert (done.code, done.err) == (0, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [("runs",), ("show",), ("baseline", "list"), ("diff", "main", "latest"), ("plan",)], ids=" ".join
)
def test_below_a_project_and_with_its_path_it_is_the_same(
    judged: Judged, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    root = judged.folder.path
    below, elsewhere = ProjectFolder(root / "a/b"), ProjectFolder(tmp_path)
    below.path.mkdir(parents=True, exist_ok=True)
    here = judged.folder.run(*arguments)
    assert here.code == 0
    assert below.run(*arguments) == here
    assert elsewhere.run("-C", str(root), *arguments) == here
    assert below.run("--project", "../../evalkit.yaml", *arguments) == here
    assert list(below.path.iterdir()) == []


def test_a_run_from_below_keeps_store_and_report_with_the_project(copied: ProjectFolder) -> None:
    below = ProjectFolder(copied.path / "below")
    below.path.mkdir()
    assert below.run("run").code == ExitCode.BLOCKED
    assert list(below.path.iterdir()) == []
    assert len(copied.run("runs").out.splitlines()) == 4
    assert len(list((copied.path / "reports/out").glob("*.html"))) == 1


def test_a_file_that_the_user_names_is_relative_to_where_they_are(copied: ProjectFolder) -> None:
    below = ProjectFolder(copied.path / "below")
    below.path.mkdir()
    below.run("run", "--report", "r.html", "--junit", "j.xml")
    below.run("report", "--format", "md", "-o", "m.md")
    assert sorted(path.name for path in below.path.iterdir()) == ["j.xml", "m.md", "r.html"]


@pytest.mark.parametrize(
    ("path", "says"), [("nowhere", "no evalkit.yaml here or above"), ("cases.jsonl", "not valid YAML")]
)
def test_a_path_that_is_no_project_is_refused(project: ProjectFolder, path: str, says: str) -> None:
    (project.path / "evalkit.yaml").rename(project.path / "other.yaml")
    done = project.run("-C", path, "runs")
    assert done.code == ExitCode.CONFIG
    assert says in done.err
    assert project.run("-C", "other.yaml", "plan").code == 0, "a project file may have another name"
