"""The SQL that recomputes how much a measurement grew. Shown to people, never run by the gate itself."""

from __future__ import annotations

from evalkit.gate.evidence import Subject
from evalkit.gate.sql import common_lines, quoted, slice_lines
from evalkit.workflow.gates import GateRule

__all__ = ["increase_sql"]

_ENDS = "-- The interval: evalkit.stats.noninferiority.{function} on the rows of `side`."
_QUANTILE = {"p50": 0.5, "p95": 0.95}


def increase_sql(rule: GateRule, subject: Subject) -> str:
    """Size, both sides and their ratio, of a rule with ``max_increase``."""
    if rule.metric == "per_success":
        return _per_success(rule, subject)
    return _percentile(rule, subject) if rule.metric in _QUANTILE else _mean(rule, subject)


def _mean(rule: GateRule, subject: Subject) -> str:
    lines = [
        _ENDS.format(function="log_ratio"),
        "WITH side AS (",
        "  SELECT run_id, case_id, avg(value) AS value, max(value) = 0 AS nothing,",
        "         CASE WHEN min(value) > 0 THEN avg(ln(nullif(value, 0))) END AS log",
        "  FROM scores",
        *_measured(rule, subject),
        "  GROUP BY run_id, case_id",
        ")",
        "SELECT count(*) AS n, avg(b.value) AS baseline, avg(c.value) AS candidate,",
        "       exp(avg(CASE WHEN b.nothing AND c.nothing THEN 0 ELSE c.log - b.log END)) AS delta,",
        "       avg(c.value) / avg(b.value) AS mean_ratio",
        *_pairs(subject),
        *slice_lines(rule, subject),
        *common_lines(subject),
    ]
    return "\n".join(lines) + ";"


def _percentile(rule: GateRule, subject: Subject) -> str:
    quantile = f"quantile_disc(value, {_QUANTILE[rule.metric]})"
    before, now = (f"{quantile} FILTER (run_id = '{run}')" for run in (subject.baseline_run, subject.candidate_run))
    lines = [
        _ENDS.format(function="percentile_ratio"),
        "WITH measured AS (",
        "  SELECT run_id, case_id, trial, value, k.cluster",
        "  FROM scores",
        "  LEFT JOIN (SELECT case_id, cluster FROM cases",
        f"             WHERE golden_digest = '{subject.golden_digest}') AS k USING (case_id)",
        *_measured(rule, subject),
        *slice_lines(rule, subject),
        *common_lines(subject),
        "  QUALIFY min(run_id) OVER (PARTITION BY case_id) <> max(run_id) OVER (PARTITION BY case_id)"
        if subject.baseline_run != subject.candidate_run
        else "",
        "), side AS (",
        "  SELECT * FROM measured",
        "  QUALIFY row_number() OVER (PARTITION BY run_id, coalesce(cluster, case_id) ORDER BY case_id, trial) = 1",
        ")",
        f"SELECT count(*) FILTER (run_id = '{subject.candidate_run}') AS n,",
        f"       {before} AS baseline,",
        f"       {now} AS candidate,",
        "       candidate / baseline AS delta",
        "FROM side",
    ]
    return "\n".join(line for line in lines if line) + ";"


def _per_success(rule: GateRule, subject: Subject) -> str:
    measure = f"grader = '{quoted(rule.grader)}' AND status = 'ok' AND isfinite(value)"
    lines = [
        _ENDS.format(function="cost_per_success_ratio"),
        "WITH judged AS (",
        "  SELECT run_id, case_id, trial,",
        f"         max(value) FILTER ({measure}) AS cost,",
        "         min(CASE WHEN status = 'error' OR NOT passed THEN 0.0 WHEN passed THEN 1.0 END)",
        "           FILTER (quality) AS good",
        "  FROM scores",
        f"  WHERE {_runs(subject)} AND grading = '{subject.grading[:12]}' AND status <> 'not_applicable'",
        "  GROUP BY run_id, case_id, trial",
        "), side AS (",
        "  SELECT run_id, case_id, avg(cost) AS cost, avg(good) AS success FROM judged",
        "  WHERE cost IS NOT NULL AND good IS NOT NULL GROUP BY run_id, case_id",
        ")",
        "SELECT count(*) AS n, avg(b.cost) / avg(b.success) AS baseline, avg(c.cost) / avg(c.success) AS candidate,",
        "       candidate / baseline AS delta",
        *_pairs(subject),
        *slice_lines(rule, subject),
        *common_lines(subject),
    ]
    return "\n".join(lines) + ";"


def _runs(subject: Subject) -> str:
    return f"run_id IN ('{subject.baseline_run}', '{subject.candidate_run}')"


def _measured(rule: GateRule, subject: Subject) -> list[str]:
    return [
        f"  WHERE {_runs(subject)} AND grading = '{subject.grading[:12]}'",
        f"    AND grader = '{quoted(rule.grader)}' AND status = 'ok' AND isfinite(value)",
    ]


def _pairs(subject: Subject) -> list[str]:
    return [
        "FROM side AS b JOIN side AS c USING (case_id)",
        f"WHERE b.run_id = '{subject.baseline_run}' AND c.run_id = '{subject.candidate_run}'",
    ]
