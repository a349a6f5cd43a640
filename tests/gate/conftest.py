"""A fresh store for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from .world import World, make_cases


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Sixty cases and an empty store."""
    return World(tmp_path / "store", make_cases(60))
