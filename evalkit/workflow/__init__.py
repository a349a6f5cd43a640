"""Workflows: their files, their components and their fingerprints, and the running of one trial."""

from evalkit.workflow.load import load_workflow
from evalkit.workflow.project import Project, find_project, load_project
from evalkit.workflow.trial import run_trial
from evalkit.workflow.workflow import Workflow

__all__ = ["Project", "Workflow", "find_project", "load_project", "load_workflow", "run_trial"]
