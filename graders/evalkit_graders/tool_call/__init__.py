"""Were the right tools called, with valid and right arguments, in the right order, and no others?"""

from evalkit_graders.tool_call.grader import ToolCallValidity

__all__ = ["ToolCallValidity"]
