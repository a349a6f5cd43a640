"""An LLM as a judge: by a rubric, in both orders, by several votes, and deaf to what the answer says about itself.

Zheng et al. 2023 (arXiv 2306.05685) name the biases of such judges; what is done about each is in ``docs/judge.md``.
"""

from evalkit.grading.judging.asking import Judge, JudgeError, PairJudgement, PointJudgement, Vote
from evalkit.grading.judging.hints import hints_to_a_judge
from evalkit.grading.judging.prompts import PROMPT_PARTS, Judged
from evalkit.grading.judging.rubrics import BUILT_IN, Rubric, make_rubric

__all__ = [
    "BUILT_IN",
    "PROMPT_PARTS",
    "Judge",
    "JudgeError",
    "Judged",
    "PairJudgement",
    "PointJudgement",
    "Rubric",
    "Vote",
    "hints_to_a_judge",
    "make_rubric",
]
