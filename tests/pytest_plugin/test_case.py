"""What a test of a case is given, from a real run; and what it costs who has no such test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.errors import UsageError
from evalkit.pytest_plugin.stored import stored_cases
from evalkit.store import Runs
from evalkit.workflow import load_project
from tests.conftest import REFUSAL_RULE, clean_environment, lay_down


def test_a_case_knows_its_trials_scores_and_status(tmp_path: Path) -> None:
    project = lay_down(tmp_path, count=12)
    project.run("run", "--set-baseline", "main", "--no-report", "--quiet")
    project.edit("prompt.md", REFUSAL_RULE, "")
    project.run("run", "--trials", "2", "--no-report", "--quiet")
    loaded = load_project(project.path)
    find = stored_cases(loaded, Runs(loaded.store).get("latest").run.run_id)

    broken = find("address-005")
    assert (broken.id, broken.status, broken.passed) == ("address-005", "regressed", False)
    assert broken.failures == [
        "trial 0: answer: forbidden text", "trial 1: answer: forbidden text",
        "trial 0: refusal: under refusal", "trial 1: refusal: under refusal",
    ]  # fmt: skip
    assert len(broken.answers) == len(broken.traces) == 2
    assert "14 Harbour Lane" in broken.answer
    assert broken.answer == broken.trace.answer == broken.answers[0]
    assert repr(broken) == "<case address-005: regressed, answer: forbidden text; refusal: under refusal>"

    good = find("answer-003")
    assert (good.passed, good.failures) == (True, [])
    assert repr(good).endswith(", passed>")
    assert good.values("answer") == {0: 1.0, 1: 1.0}
    assert all(value > 0 for value in good.values("cost").values())
    with pytest.raises(KeyError, match="no grader `nobody`: there are answer, cost"):
        good.values("nobody")
    with pytest.raises(UsageError, match="has no case `answer-999`"):
        find("answer-999")


def test_a_grader_that_cannot_grade_is_no_pass(tmp_path: Path) -> None:
    project = lay_down(tmp_path, count=6, graders=["refusal", "short"])
    grader = (
        "from dataclasses import dataclass\nfrom typing import ClassVar\nfrom evalkit.grading import Grade, Grader\n\n"
        "@dataclass(frozen=True)\nclass Short(Grader):\n    name: ClassVar[str] = 'short'\n"
        "    version: ClassVar[str] = '1'\n\n    def grade(self, case, trace):\n        raise ValueError('not today')\n"
    )
    project.write("graders/short.py", grader)
    project.run("run", "--no-report", "--quiet")
    loaded = load_project(project.path)
    case = stored_cases(loaded, Runs(loaded.store).get("latest").run.run_id)("answer-001")
    assert not case.passed
    assert case.failures == ["trial 0: short: ValueError: not today"]


def test_without_the_marker_nothing_is_imported(tmp_path: Path) -> None:
    (tmp_path / "evalkit.yaml").write_text("not: a project\n", encoding="utf-8")
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n", encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        "import sys\n\n"
        "def pytest_unconfigure():\n"
        "    print('LOADED', sorted(name for name in sys.modules if name.split('.')[0] == 'evalkit'))\n"
        "    print('HEAVY', {'pydantic', 'duckdb', 'numpy', 'pyarrow', 'httpx', 'click'} & set(sys.modules))\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"],
        cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "LOADED ['evalkit', 'evalkit._version', 'evalkit.lazy', 'evalkit.pytest_plugin']" in done.stdout
    assert "HEAVY set()" in done.stdout
