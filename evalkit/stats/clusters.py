"""Clusters: items that stand or fall together, named by a key each."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["numbered"]


def numbered(clusters: Iterable[Hashable]) -> NDArray[np.intp]:
    """The number of each item's cluster, from 0 on, in the order in which they come first."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in clusters], np.intp)
