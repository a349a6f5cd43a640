"""Made-up traffic of both arms of a rollout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evalkit import codec
from evalkit.canary import Envelope


@dataclass(frozen=True)
class Traffic:
    """What the arms are like; the canary's numbers are relative to the control's."""

    share: float = 0.5
    failure_rate: float = 0.02
    failures: float = 1.0
    slower: float = 1.0
    dearer: float = 1.0
    known: float = 1.0
    """Share of requests whose outcome is known."""
    seed: int = 0

    def requests(self, count: int, start: int = 0) -> Iterator[Envelope]:
        """So many requests of both arms together, in order of arrival."""
        generator = np.random.default_rng([self.seed, start])
        canary = generator.random(count) < self.share
        failed = generator.random(count) < self.failure_rate * np.where(canary, self.failures, 1.0)
        known = generator.random(count) < self.known
        seconds = 0.8 * generator.lognormal(0, 0.6, count) * np.where(canary, self.slower, 1.0)
        dollars = 0.002 * generator.lognormal(0, 1, count) * np.where(canary, self.dearer, 1.0)
        rows = zip(canary, failed, known, (seconds * 1e6).astype(int), (dollars * 1e6).astype(int), strict=True)
        for number, (in_canary, wrong, told, latency, cost) in enumerate(rows, start):
            yield Envelope(
                request_id=f"r{number}",
                arm="canary" if in_canary else "control",
                success=not wrong if told else None,
                latency_us=int(latency),
                cost_microusd=int(cost),
            )


def line(envelope: Envelope | dict[str, Any]) -> bytes:
    """One line of an envelope file."""
    return json.dumps(envelope if isinstance(envelope, dict) else codec.plain(envelope)).encode() + b"\n"


def write(path: Path, envelopes: Iterable[Envelope | dict[str, Any]]) -> Path:
    """Add lines to an envelope file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as handle:
        handle.write(b"".join(line(envelope) for envelope in envelopes))
    return path
