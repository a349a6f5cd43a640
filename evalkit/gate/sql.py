"""The SQL that recomputes a rule's numbers from the catalogue. Shown to people, never run by the gate itself."""

from __future__ import annotations

from evalkit.gate.evidence import Subject
from evalkit.workflow.gates import GateRule

__all__ = ["common_lines", "critical_sql", "critical_trials_sql", "limit_sql", "pair_sql", "quoted", "slice_lines"]

_OF_TRIALS = {"p50": "quantile_disc(value, 0.5)", "p95": "quantile_disc(value, 0.95)", "max": "max(value)"}


def pair_sql(rule: GateRule, subject: Subject) -> str:
    """Size, means and difference of the paired cases of a rule."""
    column = "rate" if rule.metric == "pass_rate" else "value"
    lines = [
        f"SELECT count(*) AS n, avg(b.{column}) AS baseline, avg(c.{column}) AS candidate,",
        f"       avg(c.{column} - b.{column}) AS delta",
        "FROM case_scores AS b JOIN case_scores AS c USING (grading, grader, case_id)",
        f"WHERE b.run_id = '{subject.baseline_run}' AND c.run_id = '{subject.candidate_run}'",
        f"  AND b.{column} IS NOT NULL AND c.{column} IS NOT NULL",
        "  AND b.errors = 0",
        *_where(rule, subject),
    ]
    return "\n".join([*lines, *common_lines(subject)]) + ";"


def common_lines(subject: Subject) -> list[str]:
    """The condition that a case is the same in both golden sets, where they differ."""
    if not subject.common_only:
        return []
    return [
        "  AND case_id IN (SELECT case_id FROM trials AS t JOIN trials AS u USING (case_id, case_digest)",
        f"                  WHERE t.run_id = '{subject.baseline_run}' AND u.run_id = '{subject.candidate_run}')",
    ]


def limit_sql(rule: GateRule, subject: Subject) -> str:
    """Size and value of the candidate for a floor or ceiling: of trials for percentiles and maxima, else of cases."""
    column = "rate" if rule.metric == "pass_rate" else "value"
    measure = _OF_TRIALS.get(rule.metric)
    lines = [
        f"SELECT count({column}) AS n, {measure or f'avg({column})'} AS candidate",
        "FROM scores" if measure else "FROM case_scores",
        f"WHERE run_id = '{subject.candidate_run}'" + (" AND status = 'ok'" if measure else ""),
        *_where(rule, subject),
    ]
    return "\n".join(lines) + ";"


def critical_sql(subject: Subject, *, asked_again: bool = False, earlier: bool = False) -> str:
    """Critical cases that fail a quality grader.

    Args:
        subject: What is judged.
        asked_again: Whether graders were asked again: failures that they did not confirm are left out.
        earlier: Whether trials count that earlier runs of the candidate made under the same keys.
    """
    own = f"s.run_id = '{subject.candidate_run}'"
    lines = ["SELECT DISTINCT s.case_id", "FROM scores AS s JOIN cases AS k USING (case_id)"]
    if earlier:
        lines.append("  JOIN trials AS t USING (run_id, case_id, trial)")
        own = f"t.trial_key IN (SELECT trial_key FROM trials WHERE run_id = '{subject.candidate_run}')"  # noqa: S608
    lines += [
        f"WHERE {own} AND s.grading = '{subject.grading[:12]}'",
        f"  AND k.golden_digest = '{subject.golden_digest}'",
        "  AND k.critical AND s.quality AND s.status = 'ok' AND NOT s.passed",
    ]
    if asked_again:
        segment = f".evalkit/runs/{subject.candidate_run}/regrades-{subject.grading[:12]}.parquet"
        lines += [
            "  AND (s.case_id, s.trial, s.grader) NOT IN (",
            f"    SELECT (case_id, trial, grader) FROM read_parquet('{segment}')",  # noqa: S608 - shown, never run here
            "    GROUP BY case_id, trial, grader HAVING count(*) FILTER (NOT passed) < 2)",
        ]
    return "\n".join(lines) + ";"


def critical_trials_sql(subject: Subject, wanted: int) -> str:
    """Critical cases whose trials are not the baseline's and fewer than wanted, and the fewest of them."""
    lines = [
        "SELECT count(*) AS n, min(trials) AS candidate FROM (",
        "  SELECT t.case_id, count(*) AS trials",
        "  FROM trials AS t JOIN cases AS k USING (case_id)",
        "  LEFT JOIN trials AS b ON b.case_id = t.case_id AND b.trial_key = t.trial_key",
        f"    AND b.source_run = t.source_run AND b.run_id = '{subject.baseline_run}'",
        f"  WHERE t.run_id = '{subject.candidate_run}' AND k.golden_digest = '{subject.golden_digest}' AND k.critical",
        f"  GROUP BY t.case_id HAVING count(*) < {wanted} AND count(b.run_id) < count(*))",
    ]
    return "\n".join(lines) + ";"


def _where(rule: GateRule, subject: Subject) -> list[str]:
    of_grader = f"  AND grading = '{subject.grading[:12]}' AND grader = '{quoted(rule.grader)}'"
    return [of_grader, *slice_lines(rule, subject)]


def slice_lines(rule: GateRule, subject: Subject) -> list[str]:
    """The condition that a case is in the slice of a rule, where it has one."""
    if not rule.slice:
        return []
    key, _, value = rule.slice.partition("=")
    return [
        "  AND case_id IN (SELECT case_id FROM case_slices",
        f"                  WHERE key = '{quoted(key)}' AND value = '{quoted(value)}'",
        f"                    AND golden_digest = '{subject.golden_digest}')",
    ]


def quoted(text: str) -> str:
    """A text as it stands between quotes."""
    return text.replace("'", "''")
