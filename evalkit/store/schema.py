"""Columns of the Parquet segments of a run, and rows to and from records.

A run is a folder with ``run.json``, ``trials.parquet``, ``traces.parquet`` and one
``scores-<grading>.parquet`` for each set of graders it was graded with. Rows are in canonical
order: case, grader, trial.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from evalkit import codec
from evalkit.fingerprint import canonical_json
from evalkit.records import GraderRef, Score, Trace

__all__ = [
    "SCORE_SCHEMA",
    "TRACE_SCHEMA",
    "TRIAL_SCHEMA",
    "StoredTrial",
    "scores_table",
    "table_graders",
    "table_scores",
    "traces_table",
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
    ]
)


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
    return pa.Table.from_pylist([_trial_row(run_id, trial) for trial in trials], schema=TRIAL_SCHEMA)


def _trial_row(run_id: str, stored: StoredTrial) -> dict[str, object]:
    trace = stored.trace
    last = trace.route[-1] if trace.route else None
    return {
        "run_id": run_id,
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
        "model_calls": len(trace.model_calls),
        "attempts": sum(call.attempts for call in trace.model_calls),
        "tool_calls": len(trace.tool_events),
        "denied": sum(event.verdict != "allow" for event in trace.tool_events),
        "input_tokens": trace.input_tokens,
        "output_tokens": trace.output_tokens,
        "cost_microusd": trace.cost_microusd,
        "latency_us": trace.latency_us,
        "waited_us": sum(call.waited_us for call in trace.model_calls),
        "started_us": trace.started_us,
        "error_kind": trace.error.kind if trace.error else "",
        "error": trace.error.message if trace.error else "",
        "simulated": trace.simulated,
    }


def traces_table(run_id: str, trials: Iterable[StoredTrial]) -> pa.Table:
    """The traces as JSON, in the order given."""
    rows = [
        {
            "run_id": run_id,
            "case_id": stored.trace.case_id,
            "trial": stored.trace.trial,
            "trace_json": codec.encode(stored.trace).decode(),
        }
        for stored in trials
    ]
    return pa.Table.from_pylist(rows, schema=TRACE_SCHEMA)


def scores_table(run_id: str, graders: Sequence[GraderRef], scores: Iterable[Score]) -> pa.Table:
    """One row a score, in canonical order; the graders are in the metadata of the schema."""
    ordered = sorted(scores, key=lambda score: (score.case_id, score.grader, score.trial))
    rows = [
        {
            "run_id": run_id,
            "case_id": score.case_id,
            "trial": score.trial,
            "grader": score.grader,
            "version": score.version,
            "fingerprint": score.fingerprint,
            "status": score.status,
            "value": score.value,
            "passed": score.passed,
            "label": score.label,
            "severity": score.severity,
            "evidence_json": canonical_json(score.evidence).decode(),
        }
        for score in ordered
    ]
    metadata = {_GRADERS: canonical_json(codec.plain(tuple(graders)))}
    return pa.Table.from_pylist(rows, schema=SCORE_SCHEMA.with_metadata(metadata))


def table_graders(schema: pa.Schema) -> tuple[GraderRef, ...]:
    """The graders of a scores segment, from the metadata of its schema; none where they are not stated."""
    content = (schema.metadata or {}).get(_GRADERS)
    return codec.decode(tuple[GraderRef, ...], content) if content else ()


def table_scores(table: pa.Table) -> list[Score]:
    """Scores of a segment."""
    return [
        Score(
            case_id=row["case_id"],
            trial=row["trial"],
            grader=row["grader"],
            version=row["version"],
            fingerprint=row["fingerprint"],
            status=row["status"],
            value=row["value"],
            passed=row["passed"],
            label=row["label"],
            severity=row["severity"],
            evidence=json.loads(row["evidence_json"]),
        )
        for row in table.to_pylist()
    ]
