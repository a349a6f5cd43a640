"""What a step of a CI job hands on: values for the next steps, and the job summary."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.gate.report import Report

__all__ = ["add_outputs", "add_summary", "outputs_of"]


def outputs_of(report: Report) -> dict[str, object]:
    """What later steps may want to know of verdicts: words and numbers of ours alone, so that no delimiter is needed.

    ``regressed`` and ``improved`` count cases over all workflows, ``cost-usd`` is in dollars and counts what the runs
    and the confirmation of their blocks have spent, ``run-id`` names the runs by blank.
    """
    spent = sum(item.cost_microusd + item.confirmation_microusd for item in report.verdicts)
    return {
        "verdict": report.verdict,
        "regressed": sum(item.counts.regressed for item in report.verdicts),
        "improved": sum(item.counts.improved for item in report.verdicts),
        "cost-usd": f"{spent / 1e6:.6f}",
        "run-id": " ".join(item.candidate_run for item in report.verdicts),
    }


def add_outputs(values: Mapping[str, object]) -> None:
    """Append lines ``name=value`` to the file ``GITHUB_OUTPUT``, where there is one."""
    path = os.environ.get("GITHUB_OUTPUT")
    if path:
        with open(path, "a", encoding="utf-8") as handle:
            handle.write("".join(f"{name}={value}\n" for name, value in values.items()))


def add_summary(report: Report) -> None:
    """Append the report to the job summary, where there is one."""
    from evalkit.gate.report import renderer
    from evalkit.github import write_summary

    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        write_summary(Path(path), lambda limit: renderer("markdown")(replace(report, limit=limit)))
