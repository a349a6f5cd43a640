"""Answers as a broken or hostile target could give them: samples in which places are replaced or missing."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from evalkit.providers import CallError
from evalkit.providers.dialect import Reply

__all__ = ["DOCUMENTED", "assert_read_or_refused", "mutated", "places"]

DOCUMENTED = (KeyError, IndexError, TypeError, AttributeError, ValueError, CallError)
"""What a dialect may raise for an answer that is none."""

_ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10**13)
    | st.floats()
    | st.sampled_from(["", "x", "text", "tool_use", "error", "message_stop", "STOP", "type", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "name", "error", "message", "index", "x"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a JSON value, its own included."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


@st.composite
def mutated(draw: st.DrawFn, sample: Any, most: int = 2) -> Any:
    """The sample with one place or more replaced by anything, removed, or doubled."""
    box = [copy.deepcopy(sample)]
    for _ in range(draw(st.integers(1, most))):
        path = draw(st.sampled_from(list(places(box, ()))[1:]))
        outer: Any = box
        for key in path[:-1]:
            outer = outer[key]
        how = draw(st.sampled_from(["replace", "replace", "remove", "double"]))
        if how == "replace" or len(path) == 1:
            outer[path[-1]] = draw(_ANYTHING)
        elif how == "remove":
            del outer[path[-1]]
        elif isinstance(outer, list):
            outer.insert(path[-1], copy.deepcopy(outer[path[-1]]))
    return box[0]


def assert_read_or_refused(read: Callable[[], Reply]) -> None:
    """Whatever comes is one of the documented faults, or an answer made of what its fields say."""
    try:
        reply = read()
    except DOCUMENTED:
        return
    assert all(type(text) is str for text in (reply.text, reply.finish_reason, reply.model, reply.system_fingerprint))
    for call in reply.tool_calls:
        assert type(call.name) is str
        assert type(call.id) is str
        assert call.error is None or type(call.error) is str
    usage = reply.usage
    counts = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens)
    assert all(type(count) is int and count >= 0 for count in (*counts, usage.reasoning_tokens))
    assert usage.cached_tokens + usage.cache_write_tokens <= usage.input_tokens
    assert usage.reasoning_tokens <= usage.output_tokens
