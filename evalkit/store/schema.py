"""Columns of the Parquet segments of a run, and rows to and from records.

A run is a folder with ``run.json``, ``trials.parquet``, ``traces.parquet`` and one
``scores-<grading>.parquet`` for each set of graders it was graded with. Rows are in canonical
order: case, grader, trial.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from evalkit import codec
from evalkit.fingerprint import canonical_json
from evalkit.records import GraderRef, Score, Trace

__all__ = [
    "SCORE_SCHEMA",
    "TRACE_SCHEMA",
    "TRIAL_SCHEMA",
    "StoredTrial",
    "graders_metadata",
    "score_row",
    "scores_from_rows",
    "scores_table",
    "table_graders",
    "table_scores",
    "traces_from_json",
    "traces_table",
    "trial_row",
    "trials_from_rows",
    "trials_table",
]

TRIAL_SCHEMA = pa.schema(
    [
        ("run_id", pa.string()),
        ("case_id", pa.string()),
        ("trial", pa.int32()),
        ("case_digest", pa.string()),
        ("trial_key", pa.string()),
        ("status", pa.string()),
        ("source_run", pa.string()),
        ("route", pa.string()),
        ("rule", pa.string()),
        ("model", pa.string()),
        ("intent", pa.string()),
        ("risk", pa.string()),
        ("finish_reason", pa.string()),
        ("model_calls", pa.int32()),
        ("attempts", pa.int32()),
        ("tool_calls", pa.int32()),
        ("denied", pa.int32()),
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("cost_microusd", pa.int64()),
        ("latency_us", pa.int64()),
        ("waited_us", pa.int64()),
        ("started_us", pa.int64()),
        ("error_kind", pa.string()),
        ("error", pa.string()),
        ("simulated", pa.bool_()),
        ("lag_us", pa.int64()),
    ]
)
TRACE_SCHEMA = pa.schema(
    [("run_id", pa.string()), ("case_id", pa.string()), ("trial", pa.int32()), ("trace_json", pa.string())]
)
SCORE_SCHEMA = pa.schema(
    [
        ("run_id", pa.string()),
        ("case_id", pa.string()),
        ("trial", pa.int32()),
        ("grader", pa.string()),
        ("version", pa.string()),
        ("fingerprint", pa.string()),
        ("status", pa.string()),
        ("value", pa.float64()),
        ("passed", pa.bool_()),
        ("label", pa.string()),
        ("severity", pa.string()),
        ("evidence_json", pa.string()),
        ("review", pa.string()),
    ]
)
REGRADE_SCHEMA = pa.schema(
    [*SCORE_SCHEMA, ("trial_key", pa.string()), ("source_run", pa.string()), ("attempt", pa.int32())]
)
"""A score that was given again, of the output that a run has made under a key."""


_GRADERS = b"evalkit.graders"


@dataclass(frozen=True, slots=True)
class StoredTrial:
    """A finished trial: its trace, its key, and the run that executed it."""

    trace: Trace
    case_digest: str
    key: str
    source_run: str


def trials_table(run_id: str, trials: Iterable[StoredTrial]) -> pa.Table:
    """One row a trial, in the order given."""
    return trials_from_rows(run_id, [trial_row(trial) for trial in trials])


def trial_row(stored: StoredTrial) -> dict[str, Any]:
    """A row of the trials segment but for its run."""
    trace = stored.trace
    last = trace.route[-1] if trace.route else None
    calls, events = trace.model_calls, trace.tool_events
    return {
        "case_id": trace.case_id,
        "trial": trace.trial,
        "case_digest": stored.case_digest,
        "trial_key": stored.key,
        "status": trace.status,
        "source_run": stored.source_run,
        "route": last.route if last else "",
        "rule": last.rule if last else "",
        "model": last.model if last else "",
        "intent": trace.intent,
        "risk": trace.risk,
        "finish_reason": trace.finish_reason,
        "model_calls": len(calls),
        "attempts": sum(call.attempts for call in calls),
        "tool_calls": len(events),
        "denied": sum(event.verdict != "allow" for event in events),
        "input_tokens": trace.input_tokens,
        "output_tokens": trace.output_tokens,
        "cost_microusd": trace.cost_microusd,
        "latency_us": trace.latency_us,
        "waited_us": sum(call.waited_us for call in calls),
        "lag_us": trace.lag_us,
        "started_us": trace.started_us,
        "error_kind": trace.error.kind if trace.error else "",
        "error": trace.error.message if trace.error else "",
        "simulated": trace.simulated,
    }


def trials_from_rows(run_id: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The trials segment of a run from its rows, in the order given."""
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in list(TRIAL_SCHEMA)[1:]]
    return pa.Table.from_arrays([_repeated(run_id, len(rows)), *columns], schema=TRIAL_SCHEMA)


def _repeated(text: str, times: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), times)


def traces_table(run_id: str, trials: Iterable[StoredTrial]) -> pa.Table:
    """The traces as JSON, in the order given."""
    return traces_from_json(
        [(stored.trace.case_id, stored.trace.trial, codec.encode(stored.trace)) for stored in trials], run_id
    )


def traces_from_json(rows: Sequence[tuple[str, int, bytes]], run_id: str = "") -> pa.Table:
    """The traces segment of a run from case, trial and JSON of each, in the order given."""
    columns = [
        _repeated(run_id, len(rows)),
        pa.array([case_id for case_id, _, _ in rows], pa.string()),
        pa.array([trial for _, trial, _ in rows], pa.int32()),
        pa.array([text for _, _, text in rows], pa.binary()).cast(pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=TRACE_SCHEMA)


def score_row(score: Score) -> list[Any]:
    """A row of the scores segment but for its run, in the order of the columns."""
    return [
        score.case_id,
        score.trial,
        score.grader,
        score.version,
        score.fingerprint,
        score.status,
        score.value,
        score.passed,
        score.label,
        score.severity,
        canonical_json(score.evidence).decode() if score.evidence else "{}",
        score.review,
    ]


def scores_table(run_id: str, graders: Sequence[GraderRef], scores: Iterable[Score]) -> pa.Table:
    """One row a score, in canonical order; the graders are in the metadata of the schema."""
    ordered = sorted(scores, key=lambda score: (score.case_id, score.grader, score.trial))
    table = scores_from_rows(run_id, [score_row(score) for score in ordered])
    return table.replace_schema_metadata(graders_metadata(graders))


def scores_from_rows(run_id: str, rows: Sequence[Sequence[Any]]) -> pa.Table:
    """The scores segment of a run from its rows, in the order given, without the graders."""
    fields = list(SCORE_SCHEMA)[1:]
    columns = zip(*rows, strict=True) if rows else [()] * len(fields)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, fields, strict=True)]
    return pa.Table.from_arrays([_repeated(run_id, len(rows)), *arrays], schema=SCORE_SCHEMA)


def graders_metadata(graders: Sequence[GraderRef]) -> dict[bytes, bytes]:
    """What the schema of a scores segment says of its graders."""
    return {_GRADERS: canonical_json(codec.plain(tuple(graders)))}


def table_graders(schema: pa.Schema) -> tuple[GraderRef, ...]:
    """The graders of a scores segment, from the metadata of its schema; none where they are not stated."""
    content = (schema.metadata or {}).get(_GRADERS)
    return codec.decode(tuple[GraderRef, ...], content) if content else ()


def table_scores(table: pa.Table) -> list[Score]:
    """Scores of a segment."""
    names = [field.name for field in SCORE_SCHEMA if field.name not in ("run_id", "evidence_json", "review")]
    columns = [table.column(name).to_pylist() for name in (*names, "evidence_json", "review")]
    return [
        Score(
            **dict(zip(names, values, strict=True)),
            evidence={} if evidence == "{}" else json.loads(evidence),
            review=review or "",
        )
        for *values, evidence, review in zip(*columns, strict=True)
    ]
