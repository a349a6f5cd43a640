"""Calls written as text: round trips, strictness, and that nothing is ever evaluated."""

from __future__ import annotations

import json
import keyword
import warnings
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.records import ToolCall
from evalkit.toolcalls import DecodeError, MalformedCallError, decode

PARTS = r"[a-z_][a-z0-9_]{0,6}(\.[a-z_][a-z0-9_]{0,4}){0,2}"
NAMES: st.SearchStrategy[str] = st.from_regex(PARTS, fullmatch=True).filter(
    lambda name: not any(map(keyword.iskeyword, name.split(".")))
)
KEYS = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True).filter(lambda key: not keyword.iskeyword(key))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
CALLS = st.lists(st.tuples(NAMES, st.dictionaries(KEYS, VALUES, max_size=4)), min_size=1, max_size=4)


def same(left: Any, right: Any) -> bool:
    """Equal in value and in type, all the way down: True is not 1, and 1 is not 1.0."""
    return repr(left) == repr(right)


@settings(deadline=None, max_examples=70)
@given(CALLS, st.booleans(), st.sampled_from(["", " ", "\n\t "]))
def test_python_calls_come_back_as_they_were_written(
    calls: list[tuple[str, dict[str, Any]]], brackets: bool, padding: str
) -> None:
    written = ", ".join(f"{name}({', '.join(f'{k}={v!r}' for k, v in args.items())})" for name, args in calls)
    text = f"{padding}[{written}]{padding}" if brackets else f"{padding}{written}{padding}"
    decoded = decode(text, "python")
    assert [call.name for call in decoded] == [name for name, _ in calls]
    assert all(same(dict(call.arguments), args) for call, (_, args) in zip(decoded, calls, strict=True))


@settings(deadline=None, max_examples=50)
@given(CALLS, st.sampled_from(["arguments", "parameters"]), st.booleans())
def test_json_calls_come_back_as_they_were_written(
    calls: list[tuple[str, dict[str, Any]]], key: str, ascii_only: bool
) -> None:
    data = [{"name": name, key: args} for name, args in calls]
    decoded = decode(json.dumps(data if len(data) > 1 else data[0], ensure_ascii=ascii_only), "json")
    assert [call.name for call in decoded] == [name for name, _ in calls]
    assert all(same(call.arguments, args) for call, (_, args) in zip(decoded, calls, strict=True))


@settings(deadline=None, max_examples=200)
@given(
    st.text(max_size=60)
    | st.text("f(x=1,){}[]'\"\\*.:-+`# \n", max_size=40)
    | st.from_regex(r"\[?[a-z]{1,3}\([a-z]=[^)]{0,12}\)\]?", fullmatch=True),
    st.sampled_from(["python", "json"]),
)
def test_any_text_is_calls_or_a_reason(text: str, form: Literal["python", "json"]) -> None:
    try:
        calls = decode(text, form)
    except DecodeError:
        return
    assert all(isinstance(call, ToolCall) and isinstance(call.name, str) for call in calls)
    json.dumps([dict(call.arguments) for call in calls])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", []),
        ("f()", [("f", {})]),
        ("f(a=1), g.h(b='x')", [("f", {"a": 1}), ("g.h", {"b": "x"})]),
        ("[f(a=-1, b=-2.5, c=--3)]", [("f", {"a": -1, "b": -2.5, "c": 3})]),
        ("f(a=(1, 2), b={3}, c=[])", [("f", {"a": [1, 2], "b": [3], "c": []})]),
        ("f(a={'k': {'l': None}, 1: True})", [("f", {"a": {"k": {"l": None}, "1": True}})]),
        ("f(a='it' 's', b='''x\ny''')", [("f", {"a": "its", "b": "x\ny"})]),
        ("f(a=true, b=null)", [("f", {"a": "true", "b": "null"})]),
        ("f(a=x, b=g(1), c=x.y, d=+4)", [("f", {"a": "x", "b": "g(1)", "c": "x.y", "d": 4})]),
        ("größe(maß='ü')", [("größe", {"maß": "ü"})]),
    ],
)
def test_python_forms(text: str, expected: list[tuple[str, dict[str, Any]]]) -> None:
    assert [(call.name, call.arguments) for call in decode(text, "python")] == expected


@pytest.mark.parametrize(
    ("form", "text", "reason"),
    [
        ("python", "```python\n[f(a=1)]\n```", "wrapped in a code fence"),
        ("json", '  ```json\n[{"name": "f"}]\n```', "wrapped in a code fence"),
        ("python", "Sure! Here it is: f(a=1)", "not Python call syntax"),
        ("python", "I cannot do that.", "not Python call syntax"),
        ("python", "f", "not a call"),
        ("python", "[f(a=1), 'x']", "not a call"),
        ("python", "[[f()]]", "not a call"),
        ("python", "f(1)", "arguments must be named"),
        ("python", "f(*[1])", "arguments must be named"),
        ("python", "f(**{'a': 1})", "arguments must be named"),
        ("python", "f()(a=1)", "not a name"),
        ("python", "'f'.g(a=1)", "not a name"),
        ("python", "f(a=1)] + [g()", "not a list of calls"),
        ("python", "f(a=1); g()", "not Python call syntax"),
        ("python", "[f(a=1)", "not Python call syntax"),
        ("python", "f(a=1)\x00", "not Python call syntax"),
        ("python", "f(a='\ud800')", "not Python call syntax"),
        ("python", "f(a=" + "9" * 5000 + ")", "not Python call syntax"),
        ("python", "f(a=" + "(" * 300 + ")" * 300 + ")", "not Python call syntax"),
        ("python", "x := f()", "not a call"),
        ("python", "f(a=1) for f in g", "not a list of calls"),
        ("json", "", "not JSON"),
        ("json", "f(a=1)", "not JSON"),
        ("json", "{'name': 'f'}", "not JSON"),
        ("json", '{"name": "f"} {"name": "g"}', "not JSON"),
        ("json", "7", "a call needs a name"),
        ("json", '{"name": "f", "arguments": {"a": NaN}}', "not JSON: NaN is no JSON number"),
        ("json", '{"name": "f", "arguments": {"a": 1e999}}', "not JSON: 1e999 is too large"),
        ("json", '{"name": "f", "name": "g"}', "not JSON: the key `name` is given twice"),
        ("json", '{"name": "f", "arguments": {"a": 1, "a": 2}}', "not JSON: the key `a` is given twice"),
        ("json", '{"name": "f", "arguments": {}, "parameters": {}}', "`f` is ambiguous"),
        ("python", "f(a={'k': 1, 'k': 2})", "the key `k` is given twice"),
        ("python", "f(a={1: 1, '1': 2})", "the key `1` is given twice"),
        ("python", "f(a=[i for i in x])", "an expression is not computed: [i for i in x]"),
        ("python", "f(a=2*3)", "an expression is not computed: 2*3"),
        ("python", "f(a=-True)", "an expression is not computed: -True"),
        ("python", "f(a=...)", "an expression is not computed: ..."),
        ("python", "f(a=b'x')", "an expression is not computed: b'x'"),
        ("python", "f(a={**other})", "an expression is not computed: {**other}"),
        ("json", '{"function": "f"}', "a call needs a name"),
        ("json", '[{"name": 7}]', "a call needs a name"),
        ("json", '{"name": "f", "arguments": "{}"}', "the arguments of a call are an object"),
        ("json", '{"name": "f", "arguments": null}', "the arguments of a call are an object"),
        ("python", "f(a='" + "x" * 100_000 + "')", "longer than 100,000 characters"),
        ("json", " " * 100_001, "longer than 100,000 characters"),
    ],
)
def test_anything_but_calls_is_refused_with_a_reason(form: Literal["python", "json"], text: str, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(text, form)
    assert str(caught.value).startswith(reason)


HOSTILE = [
    "__import__('pathlib').Path({path!r}).touch()",
    "open({path!r}, 'w')",
    "exec(\"open({path!r}, 'w')\")",
    "[open({path!r}, 'w') for _ in 'x']",
    "(lambda: open({path!r}, 'w'))()",
    "(x := open({path!r}, 'w'))",
    "f\"{{open({path!r}, 'w')}}\"",
    "9 ** 9 ** 9",
    "'x' * 10 ** 12",
    "().__class__.__base__.__subclasses__()",
]


PLAIN_CALLS = HOSTILE[1:3]
"""Of these only a call: text like any name, and not run either."""


@pytest.mark.parametrize("expression", HOSTILE)
@pytest.mark.parametrize("place", ["{0}", "[{0}]", "{{'k': {0}}}", "{{{0}: 1}}"])
def test_an_expression_is_refused_or_stays_text_and_nothing_runs(tmp_path: Path, expression: str, place: str) -> None:
    target = tmp_path / "touched"
    hostile = expression.format(path=str(target))
    written = f"pay(amount={place.format(hostile)})"
    if expression in PLAIN_CALLS:
        assert hostile in repr(decode(written, "python")[0].arguments).replace("\\\\", "\\").replace("\\'", "'")
    else:
        with pytest.raises(MalformedCallError, match="an expression is not computed"):
            decode(written, "python")
    assert not target.exists()


@pytest.mark.parametrize("text", ["pay({0})", "{0}", "[{0}]", "{0}(a=1)", "pay(**{0})", "@{0}"])
@pytest.mark.parametrize("expression", HOSTILE[:4])
def test_an_expression_in_any_other_place_does_not_run_either(tmp_path: Path, text: str, expression: str) -> None:
    target = tmp_path / "touched"
    with pytest.raises(DecodeError):
        decode(text.format(expression.format(path=str(target))), "python")
    assert not target.exists()


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("json", "[" * 50_000),
        ("json", '{"name": "f", "arguments": {"a": ' + "[" * 20_000 + "]" * 20_000 + "}}"),
        ("json", '{"name": "f", "arguments": {"a": ' + "[" * 101 + "]" * 101 + "}}"),
        ("python", "f(a=" + "[" * 101 + "]" * 101 + ")"),
    ],
    ids=["open lists", "nested lists", "more than a hundred", "more than a hundred in Python"],
)
def test_deep_nesting_is_refused(form: Literal["python", "json"], text: str) -> None:
    with pytest.raises(DecodeError):
        decode(text, form)


@pytest.mark.parametrize("written", ["1+" * 800 + "1", "not " * 800 + "1"])
def test_a_deep_expression_is_refused_like_any_other(written: str) -> None:
    with pytest.raises(DecodeError):
        decode(f"f(x={written})", "python")


def test_a_long_name_is_text_and_may_be_that_of_a_tool() -> None:
    written = "a" + ".a" * 800
    assert decode(f"f(x={written}), {written}()", "python") == (ToolCall("f", {"x": written}), ToolCall(written))


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("python", "f(a=1e999)"),
        ("python", "f(a=0x" + "f" * 5000 + ")"),
    ],
    ids=["overflow", "hexadecimal"],
)
def test_a_number_that_json_cannot_hold_is_refused(form: Literal["python", "json"], text: str) -> None:
    with pytest.raises(DecodeError, match="an argument is no JSON value"):
        decode(text, form)


def test_what_is_decoded_does_not_depend_on_the_filters_for_warnings() -> None:
    for action in ("ignore", "error"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            assert decode(r"f(path='C:\data')", "python") == (ToolCall("f", {"path": r"C:\data"}),)


def test_an_argument_twice_is_refused() -> None:
    with pytest.raises(DecodeError, match="the argument `amount` is given twice"):
        decode("pay(amount=1, amount=5000)", "python")


@pytest.mark.parametrize("written", ["ä . ö", "g(\r\n  1)", "größe.maß('ß')", "g( a = 1 )"])
def test_a_name_or_a_call_stays_exactly_as_written(written: str) -> None:
    assert decode(f"f(ü=1,\n  a={written})", "python")[0].arguments["a"] == written


def test_an_empty_name_is_none() -> None:
    with pytest.raises(DecodeError, match="a call needs a name"):
        decode('{"name": "", "arguments": {}}', "json")
