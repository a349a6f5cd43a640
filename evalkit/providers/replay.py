"""Recorded answers as a target: a Parquet file with one row a case and trial.

Columns: ``case_id`` and ``output`` are required; ``trial`` (0), ``tool_calls`` (JSON list of
``{"name", "arguments"}``, arguments as object or text), ``finish_reason``, ``model``,
``input_tokens``, ``output_tokens``, ``latency_s``, ``cost_usd`` and ``error`` are read where
they exist. A recorded error makes the trial an error; a case without a row is one too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from evalkit.errors import ConfigError
from evalkit.fingerprint import fingerprint
from evalkit.providers.base import CallError, ChatRequest, ChatResponse, RequestedCall
from evalkit.records import Json, Usage

__all__ = ["Replay"]

_COLUMNS = (
    "case_id",
    "trial",
    "output",
    "tool_calls",
    "finish_reason",
    "model",
    "input_tokens",
    "output_tokens",
    "latency_s",
    "cost_usd",
    "error",
)


class Replay:
    """A target that answers from a recording.

    Args:
        name: As configured.
        path: The Parquet file.

    Raises:
        ConfigError: when the file is missing, unreadable, lacks a column, or has a trial twice.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._rows = self._read()

    def _read(self) -> dict[tuple[str, int], dict[str, Any]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self._path)
        except (pa.ArrowException, OSError) as error:
            raise ConfigError(f"not a readable recording: {str(error).splitlines()[0]}", file=self._path) from None
        missing = [column for column in ("case_id", "output") if column not in table.column_names]
        if missing:
            raise ConfigError(
                f"columns missing: {', '.join(missing)}",
                file=self._path,
                fix="a recording has the columns case_id and output, and may have " + ", ".join(_COLUMNS[1:]),
            )
        rows: dict[tuple[str, int], dict[str, Any]] = {}
        for row in table.select([name for name in _COLUMNS if name in table.column_names]).to_pylist():
            key = (row["case_id"], int(row.get("trial") or 0))
            if key in rows:
                raise ConfigError(f"trial {key[1]} of the case is recorded twice", file=self._path, value=key[0])
            rows[key] = row
        return rows

    @cached_property
    def identity(self) -> Mapping[str, Json]:
        """The content of the recording."""
        rows = [[case_id, trial, repr(sorted(row.items()))] for (case_id, trial), row in sorted(self._rows.items())]
        return {"kind": "replay", "content": fingerprint("recording", rows)}

    async def aclose(self) -> None:
        """Nothing to release."""

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """The recorded answer of the trial.

        Raises:
            CallError: when the trial is not recorded, or was recorded as an error.
        """
        row = self._rows.get((request.case_id, request.trial))
        if row is None:
            raise CallError(
                f"{self._path.name}: case {request.case_id}, trial {request.trial} is not recorded", kind="not_recorded"
            )
        if row.get("error"):
            raise CallError(f"{self._path.name}: recorded error: {row['error']}", kind="recorded")
        calls = _calls(row.get("tool_calls"))
        latency, cost = _number(row.get("latency_s")), _number(row.get("cost_usd"))
        tokens = [_number(row.get("input_tokens")), _number(row.get("output_tokens"))]
        known = any(count is not None for count in tokens)
        return ChatResponse(
            text=row["output"] or "",
            tool_calls=calls,
            finish_reason=row.get("finish_reason") or ("tool_calls" if calls else "stop"),
            usage=Usage(int(tokens[0] or 0), int(tokens[1] or 0), source="recorded" if known else "none"),
            model=row.get("model") or request.model,
            latency_us=round((latency or 0.0) * 1e6),
            timed=latency is not None,
            cost_microusd=None if cost is None else round(cost * 1e6),
            final=True,
        )


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _calls(text: str | None) -> tuple[RequestedCall, ...]:
    if not text:
        return ()
    try:
        items = json.loads(text)
    except ValueError as error:
        return (RequestedCall("", text, error=f"the recorded calls are not JSON: {error}"),)
    return tuple(_call(item) for item in items)


def _call(item: Mapping[str, Any]) -> RequestedCall:
    arguments = item.get("arguments", {})
    if not isinstance(arguments, str):
        return RequestedCall(item["name"], arguments)
    try:
        return RequestedCall(item["name"], json.loads(arguments or "{}"))
    except ValueError as error:
        return RequestedCall(item["name"], arguments, error=f"arguments are not JSON: {error}")
