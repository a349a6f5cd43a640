"""Verdicts out of a JSON report: what one CI job hands to another, which need not trust it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evalkit import codec
from evalkit.errors import UsageError
from evalkit.gate.verdict import Verdict
from evalkit.text import excerpt, scrub_json

__all__ = ["MOST_BYTES", "read_exported"]

MOST_BYTES = 64 * 1024 * 1024
_MOST_WORKFLOWS = 200
_SCHEMA = "evalkit.report/1"


def read_exported(path: Path, *, most_bytes: int = MOST_BYTES) -> tuple[Verdict, ...]:
    """The verdicts in a file that ``--format json`` wrote. The file may be anybody's: only its shape is checked.

    Args:
        path: The file.
        most_bytes: A longer file is refused without being parsed.

    Raises:
        UsageError: when it cannot be read, is too long or is no such report.
    """
    try:
        with open(path, "rb") as handle:
            data = handle.read(most_bytes + 1)
    except OSError as error:
        raise UsageError(f"the report cannot be read: {error.strerror}", file=path) from None
    if len(data) > most_bytes:
        raise UsageError(f"the report has more than {most_bytes:,} bytes", file=path)
    fix = "write it with: evalkit report --format json"
    try:
        found: Any = scrub_json(json.loads(data))[0]
    except (ValueError, RecursionError):
        raise UsageError("not JSON", file=path, fix=fix) from None
    workflows = found.get("workflows") if isinstance(found, dict) and found.get("schema") == _SCHEMA else None
    if not isinstance(workflows, list) or not 0 < len(workflows) <= _MOST_WORKFLOWS:
        raise UsageError(f"not a JSON report of evalkit ({_SCHEMA}) with workflows in it", file=path, fix=fix)
    try:
        return tuple(codec.decode(Verdict, item) for item in workflows)
    except (codec.ValidationError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, codec.ValidationError) else {"loc": (), "msg": "too deep"}
        key = excerpt(".".join(map(str, first["loc"])), 200)
        raise UsageError(f"not a verdict: {first['msg']}", file=path, key=key or None, fix=fix) from None
