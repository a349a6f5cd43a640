from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import subprocess
import sys
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.fingerprint import canonical_json, combine, fingerprint, fingerprint_bytes, short
from tests.basics.strategies import JSON, exact

SMALL: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 0.0, 1.0, -0.0, "", "0", "1", "null", "[]", "a,b"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["", "a", "b"]), inner, max_size=2),
    max_leaves=3,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"null"),
        (True, b"true"),
        (49, b"49"),
        (49.0, b"49.0"),
        (0.1 + 0.2, b"0.30000000000000004"),
        (1e22, b"1e+22"),
        (-0.0, b"-0.0"),
        (10**30, b"1" + b"0" * 30),
        ([], b"[]"),
        ((1, (2,)), b"[1,[2]]"),
        ({}, b"{}"),
        ({"b": 1, "a": [1, {"d": None, "c": "x"}]}, b'{"a":[1,{"c":"x","d":null}],"b":1}'),
        ('"\\/\n\x00\x7f', b'"\\"\\\\/\\n\\u0000\x7f"'),
        ("ü", b'"\xc3\xbc"'),
        ("u\u0308", b'"u\xcc\x88"'),
        ("\U0001f600", b'"\xf0\x9f\x98\x80"'),
        ("\ud83d\ude00", b'"\xed\xa0\xbd\xed\xb8\x80"'),
        ("\ud800", b'"\xed\xa0\x80"'),
    ],
)
def test_the_canonical_form_is_this(value: Any, expected: bytes) -> None:
    assert canonical_json(value) == expected


def test_keys_are_sorted_by_code_point_and_not_by_utf_16_unit() -> None:
    assert canonical_json({"\U00010000": 1, "\uffff": 2, "z": 3}) == '{"z":3,"\uffff":2,"\U00010000":1}'.encode()


@settings(deadline=None, max_examples=200)
@given(JSON)
def test_the_canonical_form_reads_back_as_the_same_value(value: Any) -> None:
    assert exact(json.loads(canonical_json(value))) == exact(value)


@settings(deadline=None, max_examples=300)
@given(SMALL, SMALL)
def test_two_values_have_the_same_bytes_only_when_they_are_the_same(left: Any, right: Any) -> None:
    assert (canonical_json(left) == canonical_json(right)) == (exact(left) == exact(right))


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(), st.integers(), max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(value: dict[str, int], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert fingerprint("d", dict(items)) == fingerprint("d", value)


def test_any_mapping_counts_as_an_object_at_any_depth() -> None:
    frozen = MappingProxyType({"a": [MappingProxyType({"b": 1})]})
    assert canonical_json(frozen) == b'{"a":[{"b":1}]}'


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_have_are_refused_at_any_depth(number: float) -> None:
    for value in (number, [1, [number]], {"a": {"b": number}}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical_json(value)


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", dt.date(2026, 1, 1), object(), {"a": b"x"}, {b"key": 1}])
def test_what_is_not_json_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        canonical_json(value)


@pytest.mark.parametrize(("key", "text"), [(1, "1"), (1.5, "1.5"), (True, "true"), (None, "null")])
def test_a_key_that_is_no_string_counts_as_the_text_that_json_makes_of_it(key: object, text: str) -> None:
    """The limit: two such keys are not told apart from their texts. Files from people cannot have them."""
    assert canonical_json({key: "a"}) == canonical_json({text: "a"})


def test_a_fingerprint_is_sha_256_over_domain_and_canonical_form() -> None:
    expected = hashlib.sha256(b'evalkit/1/component/prompt\x00{"text":"Hello"}').hexdigest()
    assert fingerprint("component/prompt", {"text": "Hello"}) == expected
    assert fingerprint_bytes("component/prompt", b'{"text":"Hello"}') == expected


def test_the_domain_keeps_equal_content_apart() -> None:
    assert len({fingerprint_bytes(domain, b"x") for domain in ("", "a", "ab", "component/prompt", "policy")}) == 5
    assert fingerprint_bytes("ab", b"c") != fingerprint_bytes("a", b"bc")


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    value = {"z": [1, 1.0, True], "a": {"ü": None, "b": "x"}}
    code = f"from evalkit.fingerprint import fingerprint; print(fingerprint('d', {value!r}))"
    shown = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    assert shown == {fingerprint("d", value)}


PARTS = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4)


@settings(deadline=None, max_examples=100)
@given(PARTS, st.randoms(use_true_random=False))
def test_combining_ignores_the_order_of_the_parts(parts: dict[str, str], random: Any) -> None:
    shuffled = list(parts.items())
    random.shuffle(shuffled)
    assert combine("d", (part for part in shuffled)) == combine("d", parts.items())


@settings(deadline=None, max_examples=200)
@given(PARTS, PARTS)
def test_combining_other_parts_gives_another_fingerprint(left: dict[str, str], right: dict[str, str]) -> None:
    assert (combine("d", left.items()) == combine("d", right.items())) == (left == right)


def test_combining_tells_names_from_fingerprints_and_domains_apart() -> None:
    assert combine("d", [("a", "b")]) != combine("d", [("b", "a")])
    assert combine("d", [("a", "b")]) != combine("e", [("a", "b")])
    assert combine("d", []) != combine("d", [("", "")])


@pytest.mark.parametrize("second", ["1", "2"])
def test_a_name_that_occurs_twice_is_refused(second: str) -> None:
    with pytest.raises(ValueError, match="twice"):
        combine("d", [("prompt", "1"), ("model", "x"), ("prompt", second)])


def test_short_is_a_beginning_of_the_digest() -> None:
    digest = fingerprint("d", 1)
    assert short(digest) == digest[:12]
    assert short(digest, 8) == digest[:8]
    assert short("abc") == "abc"
