"""evalkit: regression tests for LLM workflows.

Golden sets are run through a workflow's configuration, graded, and compared with a baseline; the
gate says whether the change may merge. Everything the command line does is a function here::

    from evalkit import load_project, run_project

    outcomes = run_project(load_project(), ["support"])
    print(outcomes[0].verdict.verdict, outcomes[0].verdict.sentence)

Names are imported when they are first used, so that ``import evalkit`` is instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit._version import __version__
from evalkit.lazy import lazy_names

if TYPE_CHECKING:
    from evalkit.engine.prepare import RunOptions
    from evalkit.errors import EvalkitError, ExitCode
    from evalkit.gate import Verdict, judge
    from evalkit.gate.compare import compare_stored_runs, judge_stored_run
    from evalkit.goldens import GoldenSet, build, load
    from evalkit.grading import Grade, Grader, RunGrader
    from evalkit.records import Case, Document, Expectation, Message, Run, Score, Trace
    from evalkit.session import Outcome, plan_project, run_project, write_report
    from evalkit.store import Baselines, Catalogue, Runs
    from evalkit.workflow import Project, Workflow, load_project, load_workflow

_HOMES = {
    "Baselines": "evalkit.store",
    "Case": "evalkit.records",
    "Catalogue": "evalkit.store",
    "Document": "evalkit.records",
    "EvalkitError": "evalkit.errors",
    "ExitCode": "evalkit.errors",
    "Expectation": "evalkit.records",
    "GoldenSet": "evalkit.goldens",
    "Grade": "evalkit.grading",
    "Grader": "evalkit.grading",
    "Message": "evalkit.records",
    "Outcome": "evalkit.session",
    "Project": "evalkit.workflow",
    "Run": "evalkit.records",
    "RunGrader": "evalkit.grading",
    "RunOptions": "evalkit.engine.prepare",
    "Runs": "evalkit.store",
    "Score": "evalkit.records",
    "Trace": "evalkit.records",
    "Verdict": "evalkit.gate",
    "Workflow": "evalkit.workflow",
    "build": "evalkit.goldens",
    "compare_stored_runs": "evalkit.gate.compare",
    "judge": "evalkit.gate",
    "judge_stored_run": "evalkit.gate.compare",
    "load": "evalkit.goldens",
    "load_project": "evalkit.workflow",
    "load_workflow": "evalkit.workflow",
    "plan_project": "evalkit.session",
    "run_project": "evalkit.session",
    "write_report": "evalkit.session",
}

__all__ = [
    "Baselines",
    "Case",
    "Catalogue",
    "Document",
    "EvalkitError",
    "ExitCode",
    "Expectation",
    "GoldenSet",
    "Grade",
    "Grader",
    "Message",
    "Outcome",
    "Project",
    "Run",
    "RunGrader",
    "RunOptions",
    "Runs",
    "Score",
    "Trace",
    "Verdict",
    "Workflow",
    "__version__",
    "build",
    "compare_stored_runs",
    "judge",
    "judge_stored_run",
    "load",
    "load_project",
    "load_workflow",
    "plan_project",
    "run_project",
    "write_report",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, __all__)
