"""The rules of a workflow, held against what a trial did."""

from evalkit_graders.policy.grader import Policy
from evalkit_graders.policy.rules import Rule

__all__ = ["Policy", "Rule"]
