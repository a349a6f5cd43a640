"""Seeded chance: the same request gives the same answer, whatever the order or the machine."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from statistics import NormalDist

__all__ = ["Dice", "unit"]

_NORMAL = NormalDist()


def unit(*parts: str | int) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    digest = hashlib.blake2b("\x1f".join(str(part) for part in parts).encode("utf-8", "replace"), digest_size=8)
    return int.from_bytes(digest.digest(), "big") / 2**64


@dataclass(frozen=True)
class Dice:
    """Chance for one request to one model.

    How hard a decision is depends on the question alone, so that a case is hard for every model
    and stays hard when the prompt changes; which way it falls depends on the whole request.
    Four fifths of the questions are nearly always got right, one in twenty is a coin.
    """

    seed: int
    model: str
    question: str
    request: str

    def succeeds(self, decision: str, probability: float) -> bool:
        """Whether a decision comes out right, with this probability on average over questions."""
        hardness = _spread(unit(self.seed, decision, self.question))
        error = min(1.0, (1.0 - probability) * hardness)
        return unit(self.seed, self.model, decision, self.request) >= error

    def pick(self, decision: str, count: int) -> int:
        """An index below ``count``."""
        return int(unit(self.seed, self.model, "pick", decision, self.question) * count)

    def lognormal(self, median: float, sigma: float) -> float:
        """A log-normal draw."""
        quantile = min(max(unit(self.seed, self.model, "latency", self.request), 1e-9), 1 - 1e-9)
        return median * math.exp(sigma * _NORMAL.inv_cdf(quantile))


def _spread(position: float) -> float:
    """How many times the average error a question has; the mean over all positions is one."""
    if position < 0.80:
        return 0.15
    return 2.5 if position < 0.95 else 10.1
