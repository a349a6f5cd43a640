"""What a run that was cut off has paid for beside its graded trials: nothing of it is asked for again.

A trial of several calls that is cut off, or fails, goes on where it was; one that waited for its graders is graded.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from evalkit import codec
from evalkit.engine.journal import Journal, read_entries
from evalkit.providers import ChatResponse
from evalkit.records import Trace
from evalkit.redaction import Redactor

__all__ = ["RememberedCalls", "TrialMemory"]


@dataclass
class RememberedCalls:
    """What the journal of a run holds of its unfinished trials, by key, then by number of the call."""

    calls: dict[str, dict[int, tuple[str, bytes]]] = field(default_factory=dict)
    ungraded: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Finished trials that wait for their graders, by key: micro-dollars, the trace as JSON."""

    @classmethod
    def read(cls, path: Path) -> RememberedCalls:
        """The calls of a journal that its good trials do not hold, and its good trials that are not graded."""
        calls: dict[str, dict[int, tuple[str, bytes]]] = {}
        ungraded: dict[str, tuple[int, bytes]] = {}
        for entry in read_entries(path, "CFT"):
            head = entry.head
            if entry.kind == "C" and len(entry.parts) == 2:
                calls.setdefault(head["key"], {})[head["step"]] = (head["digest"], entry.parts[1])
            elif entry.kind in "FT" and head["status"] == "ok":
                calls.pop(head["trial_key"], None)
                ungraded.pop(head["trial_key"], None)
                if entry.kind == "F":
                    ungraded[head["trial_key"]] = (head["cost_microusd"], entry.parts[1])
        return cls(calls, ungraded)

    def trial(self, key: str) -> tuple[Trace, bytes] | None:
        """A finished trial that is not graded, masked, and as JSON."""
        known = self.ungraded.pop(key, None)
        return None if known is None else (codec.decode(Trace, known[1]), known[1])

    @property
    def cost_microusd(self) -> int:
        """What they have cost, as far as their answers say."""
        calls = sum(_decode(text).cost_microusd or 0 for steps in self.calls.values() for _, text in steps.values())
        return calls + sum(cost for cost, _ in self.ungraded.values())


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
