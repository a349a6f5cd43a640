"""The SQL that recomputes what a margin by history stands on. Shown to people, never run by the gate itself."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.gate.evidence import Subject
from evalkit.gate.sql import common_lines, quoted, slice_lines
from evalkit.workflow.gates import GateRule

__all__ = ["history_sql"]

_TEXT = """\
-- One row of `compared` is a case: its recorded trials (history, before) and the candidate's (drawn, after). Estimate,
-- interval and further trials are those of evalkit.gate.decide(History.of(history, history * before), ...,
-- affected=touched, earlier=Evidence(cases, scores)) on these rows, with the scores in the order of `scored`.
WITH runs_used AS (
  SELECT unnest([{runs}]) AS run_id
), family AS (
  SELECT run_id, case_id, arg_min(trial_key, trial) AS family
  FROM trials JOIN runs_used USING (run_id) GROUP BY run_id, case_id
), base AS (
  SELECT case_id, family FROM family WHERE run_id = '{base}'
), mine AS (
  SELECT case_id, family FROM family WHERE run_id = '{mine}'
), executed AS (
  SELECT t.run_id, t.case_id, t.trial, t.source_run,
         f.family IS NOT DISTINCT FROM m.family AND (
           f.family IS DISTINCT FROM b.family
           OR (bool_or(t.run_id = '{mine}') OVER same AND NOT bool_or(t.run_id = '{base}') OVER same)
         ) AS candidate
  FROM trials AS t JOIN runs_used USING (run_id) JOIN family AS f USING (run_id, case_id)
  LEFT JOIN base AS b USING (case_id) LEFT JOIN mine AS m USING (case_id)
  WHERE (f.family = b.family OR f.family = m.family) AND t.status = 'ok'
  WINDOW same AS (PARTITION BY t.trial_key, t.source_run)
  QUALIFY row_number() OVER (PARTITION BY t.trial_key, t.source_run ORDER BY t.run_id) = 1
), scored AS (
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
    text = _TEXT.format(
        runs=", ".join(f"'{quoted(run)}'" for run in runs),
        base=subject.baseline_run,
        mine=subject.candidate_run,
        grading=subject.grading[:12],
        grader=quoted(rule.grader),
    )
    return "\n".join([text, *slice_lines(rule, subject), *common_lines(subject)]) + ";"
