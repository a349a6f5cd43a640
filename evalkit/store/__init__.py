"""The store: runs as immutable Parquet segments, baselines, verdicts, and the DuckDB catalogue over them.

Names are imported when they are first used: reading runs does not load DuckDB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.lazy import lazy_names

if TYPE_CHECKING:
    from evalkit.store.baselines import Accepted, Baseline, Baselines
    from evalkit.store.catalogue import Catalogue
    from evalkit.store.runs import RunFolder, Runs
    from evalkit.store.verdicts import Verdicts

_HOMES = {
    "Accepted": "evalkit.store.baselines",
    "Baseline": "evalkit.store.baselines",
    "Baselines": "evalkit.store.baselines",
    "Catalogue": "evalkit.store.catalogue",
    "RunFolder": "evalkit.store.runs",
    "Runs": "evalkit.store.runs",
    "Verdicts": "evalkit.store.verdicts",
}

__all__ = ["Accepted", "Baseline", "Baselines", "Catalogue", "RunFolder", "Runs", "Verdicts"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, __all__)
