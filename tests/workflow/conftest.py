"""Workflows of a project on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evalkit.workflow import Workflow, load_project, load_workflow

from .world import Make, one_file


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a one-file project and load its workflow; a second call replaces the first."""

    def build(
        workflow: str = "",
        *,
        project: str = "",
        files: Mapping[str, str] | None = None,
        identity: Callable[[str], Mapping[str, Any]] | None = None,
    ) -> Workflow:
        return load_workflow(load_project(one_file(tmp_path, workflow, project, files)), "w", identity)

    return build
