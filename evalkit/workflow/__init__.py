"""Workflows: their files, their components and their fingerprints, and the running of one trial.

Names are imported when they are first used: reading a gate does not load what a trial needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.lazy import lazy_names

if TYPE_CHECKING:
    from evalkit.workflow.load import load_workflow
    from evalkit.workflow.project import Project, find_project, load_project
    from evalkit.workflow.trial import run_trial
    from evalkit.workflow.workflow import Prepared, Workflow

_HOMES = {
    "Prepared": "evalkit.workflow.workflow",
    "Project": "evalkit.workflow.project",
    "Workflow": "evalkit.workflow.workflow",
    "find_project": "evalkit.workflow.project",
    "load_project": "evalkit.workflow.project",
    "load_workflow": "evalkit.workflow.load",
    "run_trial": "evalkit.workflow.trial",
}

__all__ = ["Prepared", "Project", "Workflow", "find_project", "load_project", "load_workflow", "run_trial"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, __all__)
