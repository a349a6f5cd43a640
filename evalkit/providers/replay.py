"""Recorded answers as a target: a Parquet file with one row a case and trial.

Columns: ``case_id`` and ``output`` are required; ``trial`` (0), ``tool_calls`` (JSON: a list of
``{"name", "arguments"}``, arguments as object or text, or calls, a message or a response as a vendor
returns it), ``finish_reason``, ``model``,
``input_tokens``, ``output_tokens``, ``latency_s``, ``cost_usd`` and ``error`` are read where
they exist. A recorded error makes the trial an error; a case without a row is one too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import ConfigError
from evalkit.fingerprint import fingerprint
from evalkit.providers.base import CallError, ChatRequest, ChatResponse, RequestedCall
from evalkit.records import Json, Usage
from evalkit.strictjson import load_json
from evalkit.toolcalls import DecodeError, RawCall, raw_calls

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Replay"]

_TEXTS = ("case_id", "output", "tool_calls", "finish_reason", "model", "error")
_COUNTS = ("trial", "input_tokens", "output_tokens")
_AMOUNTS = ("latency_s", "cost_usd")
_COLUMNS = (*_TEXTS, *_COUNTS, *_AMOUNTS)
_REQUIRED = ("case_id", "output")
_MOST = 10**9


class Replay:
    """A target that answers from a recording.

    Args:
        name: As configured.
        path: The Parquet file.

    Raises:
        ConfigError: when the file is missing or unreadable, lacks a column, has one of another type, a
            number that cannot be, or a trial twice.
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
        missing = [column for column in _REQUIRED if column not in table.column_names]
        if missing:
            others = ", ".join(name for name in _COLUMNS if name not in _REQUIRED)
            raise ConfigError(
                f"columns missing: {', '.join(missing)}",
                file=self._path,
                fix=f"a recording has the columns case_id and output, and may have {others}",
            )
        known = [name for name in _COLUMNS if name in table.column_names]
        rows: dict[tuple[str, int], dict[str, Any]] = {}
        for row in self._typed(table.select(known)).to_pylist():
            key = (self._case_id(row), self._count(row, "trial") or 0)
            if key in rows:
                raise ConfigError(f"trial {key[1]} of the case is recorded twice", file=self._path, value=key[0])
            rows[key] = {
                **{name: row.get(name) or "" for name in _TEXTS},
                **{name: self._count(row, name) for name in _COUNTS[1:]},
                **{name: self._amount(row, name) for name in _AMOUNTS},
            }
        return rows

    def _typed(self, table: pa.Table) -> pa.Table:
        """The columns as text and as floats; a text is not taken for a number, nor a number for a text."""
        import pyarrow as pa

        fields = []
        for field in table.schema:
            text = field.name in _TEXTS
            kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            fits = (_is_text if text else _is_number)(kind)
            if not fits:
                raise ConfigError(
                    f"a column of {kind}, where {'text' if text else 'numbers'} must be",
                    file=self._path,
                    key=field.name,
                )
            fields.append(pa.field(field.name, pa.string() if text else pa.float64()))
        # unsafe only where a number has more digits than a float, which is beyond what is taken below
        return table.cast(pa.schema(fields), safe=False)

    def _case_id(self, row: Mapping[str, Any]) -> str:
        if not row["case_id"]:
            raise ConfigError("a row names no case", file=self._path, key="case_id")
        return str(row["case_id"])

    def _amount(self, row: Mapping[str, Any], name: str) -> float | None:
        """A number of a row; None where there is none, which tables also write as NaN."""
        value: float | None = row.get(name)
        if value is None or value != value:  # noqa: PLR0124 - NaN alone differs from itself
            return None
        if not 0 <= value <= _MOST:
            raise ConfigError(
                f"not from 0 to {_MOST:,}, in case {row['case_id']}", file=self._path, key=name, value=value
            )
        return value

    def _count(self, row: Mapping[str, Any], name: str) -> int | None:
        value = self._amount(row, name)
        if value is not None and not value.is_integer():
            raise ConfigError(f"not a whole number, in case {row['case_id']}", file=self._path, key=name, value=value)
        return None if value is None else int(value)

    @cached_property
    def identity(self) -> Mapping[str, Json]:
        """The content of the recording."""
        rows = [[*key, row] for key, row in sorted(self._rows.items())]
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
        if row["error"]:
            raise CallError(f"{self._path.name}: recorded error: {row['error']}", kind="recorded")
        calls = _calls(row["tool_calls"])
        latency, cost = row["latency_s"], row["cost_usd"]
        tokens = row["input_tokens"], row["output_tokens"]
        return ChatResponse(
            text=row["output"],
            tool_calls=calls,
            finish_reason=row["finish_reason"] or ("tool_calls" if calls else "stop"),
            usage=Usage(tokens[0] or 0, tokens[1] or 0, source="none" if tokens == (None, None) else "recorded"),
            model=row["model"] or request.model,
            latency_us=round((latency or 0.0) * 1e6),
            timed=latency is not None,
            cost_microusd=None if cost is None else round(cost * 1e6),
            final=True,
        )


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    return any(fits(kind) for fits in (types.is_string, types.is_large_string, types.is_string_view, types.is_null))


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    return any(fits(kind) for fits in (types.is_integer, types.is_floating, types.is_decimal, types.is_null))


def _calls(text: str) -> tuple[RequestedCall, ...]:
    if not text:
        return ()
    try:
        items = load_json(text)
    except ValueError as error:
        return (RequestedCall("", text, error=f"the recorded calls are not JSON: {error}"),)
    try:
        calls = raw_calls(items)
    except DecodeError as error:
        return (RequestedCall("", text, error=f"the recorded calls are not calls: {error}"),)
    return tuple(_call(call) for call in calls)


def _call(call: RawCall) -> RequestedCall:
    if isinstance(call.arguments, str):
        return RequestedCall.decoded(call.name, call.arguments, call.id)
    return RequestedCall(call.name, call.arguments, call.id)
