"""The verdicts as JSON, for machines."""

from __future__ import annotations

import json

from evalkit import codec
from evalkit._version import __version__
from evalkit.gate.report import Report
from evalkit.gate.verdict import VERDICTS

__all__ = ["render"]


def render(report: Report) -> str:
    """One object: the overall verdict with its exit code, and every workflow's verdict in full.

    A number that is not finite, such as the open end of an interval, is null: JSON has none. A
    command to a CI log inside a text is written with an escape, which reads as the same text.
    """
    data = {
        "schema": "evalkit.report/1",
        "evalkit": __version__,
        "verdict": report.verdict,
        "exit_code": int(VERDICTS[report.verdict]),
        "simulated": report.simulated,
        "report": report.report_path,
        "workflows": [json.loads(codec.encode(verdict)) for verdict in report.ordered],
    }
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, indent=1)
    return text.replace("##[", "\\u0023#[") + "\n"
