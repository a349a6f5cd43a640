"""Tool calls as vendors return them and as models write them into text: read, never evaluated.

``decode`` is the strict reader of a system that takes calls from text; ``read_calls`` takes the JSON of any vendor;
``find_calls`` looks for calls in an answer, in fences and prose too.
"""

from evalkit.toolcalls.find import find_calls
from evalkit.toolcalls.refusal import DecodeError, MalformedCallError
from evalkit.toolcalls.shapes import RawCall, raw_calls, read_calls
from evalkit.toolcalls.text import decode

__all__ = ["DecodeError", "MalformedCallError", "RawCall", "decode", "find_calls", "raw_calls", "read_calls"]
