"""Does the answer hold what it must, is it what it must be, and is nothing in it that must not?"""

from evalkit_graders.answer.grader import Answer

__all__ = ["Answer"]
