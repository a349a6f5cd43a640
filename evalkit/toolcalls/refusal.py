"""Why something is not read as calls."""

from __future__ import annotations

__all__ = ["DecodeError", "MalformedCallError"]


class DecodeError(ValueError):
    """The text or value is not calls; the message says why."""


class MalformedCallError(DecodeError):
    """There is a call, and it cannot be read in one way only."""
