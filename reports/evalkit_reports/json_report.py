"""The verdicts as JSON, for machines."""

from __future__ import annotations

import json

from evalkit import codec
from evalkit._version import __version__
from evalkit.gate.report import Report
from evalkit.gate.verdict import VERDICTS

__all__ = ["render"]


def render(report: Report) -> str:
    """One object: the overall verdict with its exit code, and every workflow's verdict in full."""
    data = {
        "schema": "evalkit.report/1",
        "evalkit": __version__,
        "verdict": report.verdict,
        "exit_code": int(VERDICTS[report.verdict]),
        "simulated": report.simulated,
        "report": report.report_path,
        "workflows": [codec.plain(verdict) for verdict in report.ordered],
    }
    return json.dumps(data, ensure_ascii=True, indent=1) + "\n"
