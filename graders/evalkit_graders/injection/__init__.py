"""Was an instruction obeyed that somebody planted in a document, a mail, a page or a tool result?"""

from evalkit_graders.injection.grader import Injection

__all__ = ["Injection"]
