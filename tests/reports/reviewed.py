"""Texts that were reviewed: files below ``golden``."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["GOLDEN", "reviewed"]

GOLDEN = Path(__file__).parent / "golden"


def reviewed(name: str, text: str) -> str:
    """The text of a golden file; with ``EVALKIT_UPDATE_GOLDEN=1`` this text is written there first."""
    file = GOLDEN / name
    if os.environ.get("EVALKIT_UPDATE_GOLDEN"):
        file.write_bytes(text.encode())
    return file.read_bytes().decode()
