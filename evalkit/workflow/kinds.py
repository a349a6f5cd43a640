"""Kinds of targets: how each is written, what it needs, and what evalkit expects of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

__all__ = ["IN_PROCESS", "PROGRAMS", "SELF_CONTAINED", "WRITTEN", "Kind", "needed_key", "written_kind"]

Kind: TypeAlias = Literal[
    "openai", "openai-responses", "azure", "anthropic", "gemini", "app", "python", "command", "simulator", "replay"
]

PROGRAMS: frozenset[str] = frozenset({"app", "python", "command"})
"""Programs of the user: they are given what a prompt is given, and may know no tokens."""
SELF_CONTAINED: frozenset[str] = PROGRAMS | {"replay"}
"""Kinds that need no prompt, and whose answers say what they cost."""
IN_PROCESS: frozenset[str] = frozenset({"simulator", "replay"})
"""Kinds that cannot be overloaded and do not fail for a moment."""
WRITTEN: Mapping[str, Kind] = {"http://": "app", "https://": "app", "python:": "python", "command:": "command"}
"""How targets begin that are written straight into a workflow, where nothing is declared under ``providers:``."""

_STARTS = tuple(WRITTEN)
_NEEDED: Mapping[str, str | None] = {"replay": "path", "simulator": None, "python": "target", "command": "command"}


def needed_key(kind: str) -> str | None:
    """The key that a declaration of this kind cannot do without, if any."""
    return _NEEDED.get(kind, "base_url")


def written_kind(provider: str) -> Kind | None:
    """The kind of a target that is written straight into a workflow; None for a name."""
    if not provider.startswith(_STARTS):
        return None
    return next(kind for start, kind in WRITTEN.items() if provider.startswith(start))
