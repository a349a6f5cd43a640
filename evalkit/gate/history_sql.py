"""The SQL that recomputes what a margin by history stands on. Shown to people, never run by the gate itself."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.gate.evidence import Subject
from evalkit.gate.history import executed_sql
from evalkit.gate.sql import common_lines, quoted, slice_lines
from evalkit.workflow.gates import GateRule

__all__ = ["history_sql"]

_TEXT = """\
-- One row of `compared` is a case: its recorded trials (history, before) and the candidate's (drawn, after). Estimate,
-- interval and further trials are those of evalkit.gate.decide(History.of(history, history * before), ...,
-- affected=touched, earlier=Evidence(cases, scores)) on these rows, with the scores in the order of `scored`.
{executed}, scored AS (
  SELECT case_id, candidate, CASE WHEN s.status = 'error' THEN 0.0 ELSE s.passed::DOUBLE END AS score
  FROM executed JOIN scores AS s USING (run_id, case_id, trial)
  WHERE s.grading = '{grading}' AND s.grader = '{grader}'
    AND (s.status = 'error' AND candidate OR s.status <> 'error' AND s.passed IS NOT NULL)
  ORDER BY case_id, source_run, trial
), changed AS (
  SELECT case_id FROM trials WHERE run_id IN ('{base}', '{mine}')
  GROUP BY case_id, trial_key, source_run HAVING count(DISTINCT run_id) < 2
), compared AS (
  SELECT case_id, rate, case_id IN (SELECT case_id FROM changed) AS touched,
         count(score) FILTER (NOT candidate) AS history, avg(score) FILTER (NOT candidate) AS before,
         count(score) FILTER (candidate) AS drawn, avg(score) FILTER (candidate) AS after
  FROM case_scores LEFT JOIN scored USING (case_id)
  WHERE run_id = '{mine}' AND grading = '{grading}' AND grader = '{grader}' AND rate IS NOT NULL
  GROUP BY case_id, rate
)
SELECT count(*) AS n, count(*) FILTER (touched) AS touched,
       avg(CASE WHEN touched THEN before ELSE rate END) AS baseline,
       avg(CASE WHEN touched THEN after ELSE rate END) AS candidate,
       median(history) FILTER (touched) AS history, sum(drawn) FILTER (touched) AS drawn
FROM compared
WHERE (NOT touched OR history > 0 AND drawn > 0)"""


def history_sql(rule: GateRule, subject: Subject, runs: Sequence[str]) -> str:
    """Cases, rates, recorded and drawn trials of a margin that is judged by history.

    Args:
        rule: The margin.
        subject: What is compared with what.
        runs: Runs that the history was read from, the two that are compared included.
    """
    used = ", ".join(f"'{quoted(run)}'" for run in runs)
    text = _TEXT.format(
        executed=executed_sql(
            trials=f"(SELECT * FROM trials WHERE run_id IN ({used}))",  # noqa: S608 - shown, never run here
            base=f"'{subject.baseline_run}'",
            mine=f"'{subject.candidate_run}'",
        ),
        base=subject.baseline_run,
        mine=subject.candidate_run,
        grading=subject.grading[:12],
        grader=quoted(rule.grader),
    )
    return "\n".join([text, *slice_lines(rule, subject), *common_lines(subject)]) + ";"
