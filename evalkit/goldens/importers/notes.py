"""What the person should know about an import, each thing said once and with its count."""

from __future__ import annotations

from evalkit.text import log_safe

__all__ = ["Notes"]


class Notes:
    """Collects notes in the order in which they first came up."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, text: str) -> None:
        """Say something once, however often it comes up."""
        self._counts[text, text] = 1

    def count(self, one: str, many: str) -> None:
        """Count something: ``one`` is said for a single case, ``many`` with its ``#`` as the number for more."""
        self._counts[one, many] = self._counts.get((one, many), 0) + 1

    def lines(self) -> list[str]:
        """The notes as text that is safe to show."""
        return [log_safe(one if n == 1 else many.replace("#", f"{n:,}", 1)) for (one, many), n in self._counts.items()]
