"""Grading: the grader contract, where graders come from, and the one place that calls them."""

from evalkit.grading.contract import Grade, Grader, Grades, RunGrader, grader_ref
from evalkit.grading.discover import GraderInfo, available, make_graders, project_path
from evalkit.grading.run import Grading, grade_trial
from evalkit.grading.verification import Figure, Verification

__all__ = [
    "Figure",
    "Grade",
    "Grader",
    "GraderInfo",
    "Grades",
    "Grading",
    "RunGrader",
    "Verification",
    "available",
    "grade_trial",
    "grader_ref",
    "make_graders",
    "project_path",
]
