"""The SQL that recomputes a rule's numbers from the catalogue. Shown to people, never run by the gate itself."""

from __future__ import annotations

from evalkit.workflow.gates import GateRule

__all__ = ["critical_sql", "limit_sql", "pair_sql"]


def pair_sql(rule: GateRule, baseline_run: str, candidate_run: str, grading: str) -> str:
    """Size, means and difference of the paired cases of a rule."""
    column = "rate" if rule.metric == "pass_rate" else "value"
    lines = [
        f"SELECT count(*) AS n, avg(b.{column}) AS baseline, avg(c.{column}) AS candidate,",
        f"       avg(c.{column} - b.{column}) AS delta",
        "FROM case_scores AS b JOIN case_scores AS c USING (grading, grader, case_id)",
        f"WHERE b.run_id = '{baseline_run}' AND c.run_id = '{candidate_run}'",
        f"  AND b.{column} IS NOT NULL AND c.{column} IS NOT NULL",
        *_where(rule, grading),
    ]
    return "\n".join(lines) + ";"


def limit_sql(rule: GateRule, candidate_run: str, grading: str) -> str:
    """Size and value of the candidate for a floor or ceiling."""
    column = "rate" if rule.metric == "pass_rate" else "value"
    measures = {"p50": f"quantile_disc({column}, 0.5)", "p95": f"quantile_disc({column}, 0.95)"}
    lines = [
        f"SELECT count({column}) AS n, {measures.get(rule.metric, f'avg({column})')} AS candidate",
        "FROM case_scores",
        f"WHERE run_id = '{candidate_run}'",
        *_where(rule, grading),
    ]
    return "\n".join(lines) + ";"


def critical_sql(candidate_run: str, grading: str) -> str:
    """Critical cases that fail a quality grader."""
    lines = [
        "SELECT DISTINCT s.case_id",
        "FROM scores AS s JOIN cases AS k USING (case_id) JOIN runs AS r USING (run_id)",
        f"WHERE s.run_id = '{candidate_run}' AND s.grading = '{grading[:12]}' AND k.golden_digest = r.golden_digest",
        "  AND k.critical AND s.quality AND (s.status = 'error' OR NOT s.passed)",
    ]
    return "\n".join(lines) + ";"


def _where(rule: GateRule, grading: str) -> list[str]:
    lines = [f"  AND grading = '{grading[:12]}' AND grader = '{_quote(rule.grader)}'"]
    if rule.slice:
        key, _, value = rule.slice.partition("=")
        lines.append("  AND case_id IN (SELECT case_id FROM case_slices")
        lines.append(f"                  WHERE key = '{_quote(key)}' AND value = '{_quote(value)}')")
    return lines


def _quote(text: str) -> str:
    return text.replace("'", "''")
