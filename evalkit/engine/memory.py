"""Finished calls of unfinished trials: a trial of several calls that is cut off, or fails, goes on where it was."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from evalkit import codec
from evalkit.engine.journal import Journal, read_entries
from evalkit.providers import ChatResponse
from evalkit.redaction import Redactor

__all__ = ["RememberedCalls", "TrialMemory"]


@dataclass
class RememberedCalls:
    """What the journal of a run holds of its unfinished trials, by key, then by number of the call."""

    calls: dict[str, dict[int, tuple[str, bytes]]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> RememberedCalls:
        """The calls of a journal that its good trials do not hold: those of trials that were cut off or failed."""
        calls: dict[str, dict[int, tuple[str, bytes]]] = {}
        for entry in read_entries(path, "CT"):
            head = entry.head
            if entry.kind == "C" and len(entry.parts) == 2:
                calls.setdefault(head["key"], {})[head["step"]] = (head["digest"], entry.parts[1])
            elif entry.kind == "T" and head["status"] == "ok":
                calls.pop(head["trial_key"], None)
        return cls(calls)

    @property
    def cost_microusd(self) -> int:
        """What they have cost, as far as their answers say."""
        return sum(_decode(text).cost_microusd or 0 for steps in self.calls.values() for _, text in steps.values())


@dataclass(frozen=True, slots=True)
class TrialMemory:
    """The memory of one trial; see :class:`evalkit.workflow.trial.CallMemory`.

    An answer that holds something to be masked is not kept, because the call after it needs the true text: such a
    call is made again.
    """

    key: str
    known: RememberedCalls
    journal: Journal
    redactor: Redactor

    def recall(self, step: int, digest: str) -> ChatResponse | None:
        """The answer of a call that was made before the run was cut off, if it asked the same."""
        steps = self.known.calls.get(self.key)
        found = None if steps is None else steps.get(step)
        return _decode(found[1]) if found is not None and found[0] == digest else None

    def remember(self, step: int, digest: str, response: ChatResponse) -> None:
        """Write the answer of a call that others follow to the journal."""
        masked: Counter[str] = Counter()
        self.redactor.value(codec.plain(response), masked)
        if not masked:
            self.journal.remember(self.key, step, digest, response)


def _decode(text: bytes) -> ChatResponse:
    return codec.decode(ChatResponse, text)
