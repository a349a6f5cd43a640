"""Several commands at once in one project: nothing is lost, nothing is there twice, nothing is half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from evalkit.errors import ExitCode
from evalkit.store import Catalogue, Runs
from tests.conftest import ProjectFolder, clean_environment
from tests.store.conftest import Judged, Tables

Reader = Callable[[Path], Tables]


def start(project: ProjectFolder, *arguments: str) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "evalkit", *arguments],
        cwd=project.path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_runs_a_rebuild_and_a_baseline_at_once_leave_a_whole_store(
    judged: Judged, copied: ProjectFolder, tmp_path: Path, read_tables: Reader
) -> None:
    """Two checkouts that share a store, as CI jobs do on one machine, while somebody else works on it."""
    second = ProjectFolder(tmp_path / "second")
    for name in ("evalkit.yaml", "prompt.md", "cases.jsonl"):
        second.write(name, (copied.path / name).read_text(encoding="utf-8"))
    second.configure(store=str(copied.path / ".evalkit"))
    for project, greeting in ((copied, "a friendly"), (second, "a terse")):
        project.edit("prompt.md", "You are a", f"You are {greeting}")
    runs = [start(project, "run", "--no-report", "--format", "json") for project in (copied, second)]
    others = [start(copied, "doctor", "--rebuild"), start(copied, "baseline", "set", "prod", "latest")]
    verdicts = []
    for process in runs:
        out, err = process.communicate(timeout=110)
        assert process.returncode == ExitCode.BLOCKED, err
        verdicts.append(json.loads(out)["workflows"][0])
    for process in others:
        out, err = process.communicate(timeout=110)
        assert process.returncode == 0, out + err

    assert [(verdict["trials"], verdict["reused"]) for verdict in verdicts] == [(48, 0), (48, 0)]
    store = copied.path / ".evalkit"
    stored = Runs(store)
    assert len(stored.all()) == 4
    assert not stored.partial_journals()
    for verdict, word in zip(verdicts, ("friendly", "terse"), strict=True):
        components = stored.get(verdict["candidate_run"]).run.configuration.components
        assert [word in part.content for part in components if part.kind == "prompt"] == [True]
    Catalogue(store).sync()
    entered = read_tables(store)
    Catalogue(store).rebuild()
    assert read_tables(store) == entered, "what was entered while others wrote is what the files say"
    assert [len(entered[name]) for name in ("runs", "trials", "scores", "verdicts")] == [4, 192, 960, 4]
    assert {row[1] for row in entered["baselines"]} == {"main", "prod"}
