"""Suites of a team, run by pytest in a process of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Finished, ProjectFolder, lay_down

CASES = """
import pytest

@pytest.mark.evalkit(workflow="shop")
def test_shop(evalkit_case):
    assert evalkit_case.answer
"""


class Suite:
    """A project with tests beside it."""

    def __init__(self, project: ProjectFolder, pytester: pytest.Pytester) -> None:
        self.project = project
        self._pytester = pytester

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest on it."""
        return self._pytester.runpytest_subprocess("-p", "no:randomly", *arguments)

    def baseline(self) -> None:
        """Make the project as it is the baseline."""
        assert self.command("run", "--set-baseline", "main", "--no-report", "--quiet").code == 0

    def command(self, *arguments: str) -> Finished:
        """Run evalkit, in a process of its own: pytester takes back what a test has imported, numpy too."""
        return self.project.process(*arguments)

    def runs(self) -> int:
        """How many runs are in the store."""
        return len(list(self.project.path.glob(".evalkit/runs/*/run.json")))

    def test(self, text: str, name: str = "test_evals.py") -> None:
        """Write a test."""
        self.project.write(name, text)


def verdicts(result: pytest.RunResult) -> list[str]:
    """The lines of the section that ends a session, without those that say where the reports are."""
    text = "\n".join(result.outlines)
    found = re.search(r"^=+ evalkit =+\n((?:(?!=).*\n)*)", text, re.MULTILINE)
    lines = found.group(1).splitlines() if found else []
    return [line for line in lines if line and not line.startswith("report ")]


@pytest.fixture
def make_suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Suite]:
    """A suite with one test a case."""
    for name in ("CI", "GITHUB_ACTIONS", "GITHUB_REF_NAME", "PYTEST_ADDOPTS", "FORCE_COLOR", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def make(text: str = CASES, **keys: object) -> Suite:
        suite = Suite(lay_down(Path(pytester.path), **{"count": 12, **keys}), pytester)  # type: ignore[arg-type]
        suite.test(text)
        return suite

    return make
