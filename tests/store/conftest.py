"""A store with two judged runs, made once; a test that changes it takes a copy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.conftest import ONE_TRIAL, REFUSAL_RULE, ProjectFolder, lay_down


@dataclass(frozen=True)
class Judged:
    """A project, and what `evalkit run --format json` said of its baseline and of a broken prompt."""

    folder: ProjectFolder
    baseline: dict[str, Any]
    broken: dict[str, Any]

    @property
    def store(self) -> Path:
        """Its store."""
        return self.folder.path / ".evalkit"


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Two trials of 24 cases, accepted as `main`; then the same without the refusal rule, which is blocked."""
    folder = lay_down(tmp_path_factory.mktemp("judged") / "project", model="sim-small-1", trials=2, gate=ONE_TRIAL)
    reports = []
    for code in (0, 1):
        done = folder.run("run", "--set-baseline", "main", "--format", "json", "--no-report")
        assert done.code == code, done.err
        reports.append(json.loads(done.out))
        folder.edit("prompt.md", REFUSAL_RULE, "") if code == 0 else None
    return Judged(folder, *(report["workflows"][0] for report in reports))


@pytest.fixture
def copied(judged: Judged, tmp_path: Path) -> ProjectFolder:
    """The judged project, to be changed."""
    return ProjectFolder(Path(shutil.copytree(judged.folder.path, tmp_path / "copied")))


Tables = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def read_tables() -> Callable[[Path], Tables]:
    """Reads every table and view of a catalogue, as a user would: with DuckDB alone."""

    def read(store: Path) -> Tables:
        with duckdb.connect(str(store / "evalkit.duckdb"), read_only=True) as connection:
            names = connection.execute("SELECT table_name FROM information_schema.tables").fetchall()
            return {
                name: connection.execute(f"FROM {name} SELECT * ORDER BY ALL").fetchall()
                for (name,) in sorted(names)
                if name != "evalkit_schema"
            }

    return read
