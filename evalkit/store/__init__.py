"""The store: runs as immutable Parquet segments, baselines, verdicts, and the DuckDB catalogue over them."""

from evalkit.store.baselines import Accepted, Baseline, Baselines
from evalkit.store.catalogue import Catalogue
from evalkit.store.runs import RunFolder, Runs
from evalkit.store.verdicts import Verdicts

__all__ = ["Accepted", "Baseline", "Baselines", "Catalogue", "RunFolder", "Runs", "Verdicts"]
