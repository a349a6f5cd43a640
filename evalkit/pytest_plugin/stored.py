"""Cases of a stored run, with their trials."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from evalkit.errors import UsageError
from evalkit.gate.compare import cases_of, load_verdict
from evalkit.pytest_plugin.case import EvaluatedCase
from evalkit.records import Score
from evalkit.store import Runs
from evalkit.workflow import Project

__all__ = ["stored_cases"]


def stored_cases(project: Project, run_id: str) -> Callable[[str], EvaluatedCase]:
    """How to get at a case of a run by its id. Scores are read once, the traces of a case when it is asked for."""
    folder = Runs(project.store).get(run_id)
    cases = {case.id: case for case in cases_of(project, folder)}
    verdict = load_verdict(project, run_id)
    statuses: dict[str, str] = {case.case_id: case.status for case in verdict.cases} if verdict else {}
    scores: dict[str, list[Score]] = defaultdict(list)
    for score in folder.scores():
        scores[score.case_id].append(score)
    quality = frozenset(ref.name for ref in folder.run.graders if ref.quality)

    def find(case_id: str) -> EvaluatedCase:
        traces = tuple(folder.traces([case_id]))
        if case_id not in cases or not traces:
            raise UsageError(f"run {run_id} has no case `{case_id}`", fix=f"evalkit show {run_id} --all")
        status = statuses.get(case_id, "unchanged")
        return EvaluatedCase(cases[case_id], traces, tuple(scores[case_id]), quality, run_id, status)

    return find
