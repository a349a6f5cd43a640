"""The cases that runs were made on, masked, one file a golden set version: stored runs stay readable and gradable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.atomic import atomic_path
from evalkit.errors import StoreError
from evalkit.goldens.schema import cases_to_table, table_to_cases
from evalkit.records import Case, GoldenSetRef

__all__ = ["cases_path", "load_cases", "save_cases"]


def cases_path(root: Path, digest: str, redaction: str) -> Path:
    """Where the cases of a golden set version, masked by these rules, are kept."""
    return root / "cases" / f"{digest[:16]}-{redaction[:8]}.parquet"


def save_cases(root: Path, golden: GoldenSetRef, redaction: str, cases: Sequence[Case]) -> None:
    """Keep the masked cases of a golden set version; a version is written once."""
    path = cases_path(root, golden.digest, redaction)
    if path.exists():
        return
    with atomic_path(path) as partial:
        pq.write_table(cases_to_table(cases), partial, compression="zstd")


def load_cases(root: Path, golden: GoldenSetRef, redaction: str) -> list[Case]:
    """The masked cases of a golden set version.

    Raises:
        StoreError: when they are not there or not readable.
    """
    path = cases_path(root, golden.digest, redaction)
    try:
        return table_to_cases(pq.read_table(path))
    except FileNotFoundError:
        raise StoreError(f"the cases of {golden.name}@{golden.version} are not in the store", file=path) from None
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"not readable: {str(error).splitlines()[0]}", file=path) from None
