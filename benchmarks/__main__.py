"""Run all measurements, or those named: ``python -m benchmarks startup golden``."""

from __future__ import annotations

import importlib
import platform
import sys

NAMES = (
    "startup",
    "golden",
    "trials",
    "waiting",
    "rerun",
    "memory",
    "compare",
    "report",
    "graders",
    "gate_errors",
    "gate_rounds",
    "gate_figures",
    "slice_errors",
    "critical_errors",
    "cost_errors",
)


def main() -> None:
    """Print one table a measurement."""
    print(f"Python {platform.python_version()}, {platform.machine()}, CPU seconds, medians\n")
    for name in sys.argv[1:] or NAMES:
        title, headers, rows = importlib.import_module(f"benchmarks.{name}").measure()
        print(f"### {title}\n")
        print("| " + " | ".join(headers) + " |")
        print("|" + "---|" * len(headers))
        for row in rows:
            print("| " + " | ".join(str(cell) for cell in row) + " |")
        print(flush=True)


if __name__ == "__main__":
    main()
