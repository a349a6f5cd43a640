"""Reading, digesting and validating a golden set."""

from __future__ import annotations

from benchmarks.common import Table, cpu_of, medians, sample_case, scratch_folder
from evalkit.goldens import GoldenSet, from_cases, load, validate
from evalkit.goldens.digest import case_digests
from evalkit.goldens.goldenset import write_parquet

COUNT = 20_000


def measure() -> Table:
    """CPU seconds for each step."""
    golden = from_cases("bench", "1", (sample_case(number) for number in range(COUNT)))
    small = from_cases("bench", "1", (sample_case(number) for number in range(2_000)))

    def cases() -> None:
        _ = GoldenSet("bench", "1", golden.table).cases

    with scratch_folder() as folder:
        path = folder / "bench.parquet"
        write_parquet(golden.table, path)
        read, digest, build, check = medians(
            3,
            lambda: cpu_of(lambda: load(path)),
            lambda: cpu_of(lambda: case_digests(golden.table)),
            lambda: cpu_of(cases),
            lambda: cpu_of(lambda: validate(small)),
        )
    rows = [
        ["read the Parquet file", f"{read:.2f}", f"{COUNT / read:,.0f}"],
        ["canonical digest of every case", f"{digest:.2f}", f"{COUNT / digest:,.0f}"],
        ["cases as Python objects", f"{build:.2f}", f"{COUNT / build:,.0f}"],
        ["validate, near duplicates included (2,000 cases)", f"{check:.2f}", f"{2_000 / check:,.0f}"],
    ]
    return f"Golden set of {COUNT:,} cases", ["what", "CPU s", "cases a CPU s"], rows
