"""The catalogue's tables, built up version by version. A migration is never changed once released."""

from __future__ import annotations

__all__ = ["LATEST", "MIGRATIONS"]

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE runs (
            run_id VARCHAR, workflow VARCHAR, created_us BIGINT, finished_us BIGINT, status VARCHAR,
            configuration VARCHAR, golden_name VARCHAR, golden_version VARCHAR, golden_digest VARCHAR,
            grading VARCHAR, prices VARCHAR, evalkit VARCHAR, trials_per_case INTEGER, trials INTEGER,
            reused INTEGER, errors INTEGER, model_calls BIGINT, cost_microusd BIGINT, simulated BOOLEAN,
            selection VARCHAR, commit_id VARCHAR, branch VARCHAR, dirty BOOLEAN, redaction VARCHAR
        )
        """,
        "CREATE TABLE configurations (configuration VARCHAR, workflow VARCHAR)",
        """
        CREATE TABLE components (
            configuration VARCHAR, kind VARCHAR, name VARCHAR, fingerprint VARCHAR, path VARCHAR, content VARCHAR
        )
        """,
        """
        CREATE TABLE cases (
            golden_digest VARCHAR, case_id VARCHAR, critical BOOLEAN, cluster VARCHAR, behaviour VARCHAR,
            intent VARCHAR, risk VARCHAR, locale VARCHAR, role VARCHAR, tenant VARCHAR, question VARCHAR
        )
        """,
        "CREATE TABLE case_slices (golden_digest VARCHAR, case_id VARCHAR, key VARCHAR, value VARCHAR)",
        """
        CREATE TABLE trials (
            run_id VARCHAR, case_id VARCHAR, trial INTEGER, case_digest VARCHAR, trial_key VARCHAR,
            status VARCHAR, source_run VARCHAR, route VARCHAR, rule VARCHAR, model VARCHAR, intent VARCHAR,
            risk VARCHAR, finish_reason VARCHAR, model_calls INTEGER, attempts INTEGER, tool_calls INTEGER,
            denied INTEGER, input_tokens BIGINT, output_tokens BIGINT, cost_microusd BIGINT,
            latency_us BIGINT, waited_us BIGINT, started_us BIGINT, error_kind VARCHAR, error VARCHAR,
            simulated BOOLEAN
        )
        """,
        """
        CREATE TABLE scores (
            run_id VARCHAR, grading VARCHAR, case_id VARCHAR, trial INTEGER, grader VARCHAR, version VARCHAR,
            fingerprint VARCHAR, quality BOOLEAN, status VARCHAR, value DOUBLE, passed BOOLEAN, label VARCHAR,
            severity VARCHAR, evidence_json VARCHAR
        )
        """,
        "CREATE TABLE traces (run_id VARCHAR, case_id VARCHAR, trial INTEGER, trace_json VARCHAR)",
        """
        CREATE TABLE verdicts (
            verdict_id VARCHAR, workflow VARCHAR, verdict VARCHAR, sentence VARCHAR, candidate_run VARCHAR,
            baseline_run VARCHAR, baseline_name VARCHAR, created_us BIGINT
        )
        """,
        """
        CREATE TABLE verdict_rules (
            verdict_id VARCHAR, rule VARCHAR, status VARCHAR, grader VARCHAR, metric VARCHAR, slice VARCHAR,
            n BIGINT, baseline DOUBLE, candidate DOUBLE, delta DOUBLE, low DOUBLE, high DOUBLE, p DOUBLE,
            bound DOUBLE, sentence VARCHAR, sql VARCHAR
        )
        """,
        """
        CREATE TABLE baselines (
            workflow VARCHAR, name VARCHAR, position INTEGER, run_id VARCHAR, configuration VARCHAR,
            golden_digest VARCHAR, accepted_us BIGINT, reason VARCHAR
        )
        """,
        """
        CREATE VIEW case_scores AS
        SELECT run_id, grading, grader, case_id, count(*) AS trials,
               avg(CASE WHEN status = 'error' OR NOT passed THEN 0.0 WHEN passed THEN 1.0 END) AS rate,
               avg(value) FILTER (status = 'ok') AS value,
               count(*) FILTER (status = 'error') AS errors
        FROM scores WHERE status <> 'not_applicable'
        GROUP BY run_id, grading, grader, case_id
        """,
    ),
    (
        "DROP TABLE traces",
        "ALTER TABLE trials ADD COLUMN lag_us BIGINT",
        "ALTER TABLE runs ADD COLUMN shard VARCHAR",
        "ALTER TABLE runs ADD COLUMN lag_us BIGINT",
        "CREATE TABLE gradings (run_id VARCHAR, grading VARCHAR, scores BIGINT)",
        "INSERT INTO gradings SELECT run_id, grading, count(*) FROM scores GROUP BY run_id, grading",
    ),
    ("ALTER TABLE scores ADD COLUMN review VARCHAR",),
)
"""Statements of each version, oldest first."""

LATEST = len(MIGRATIONS)
