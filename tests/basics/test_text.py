from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evalkit.text import excerpt, log_safe, scrub, scrub_json, visible
from tests.basics.strategies import JSON, exact

ANY_TEXT = st.text(st.characters(exclude_categories=[]))
EVERY_CHARACTER = [chr(point) for point in range(0x110000)]
LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


@settings(deadline=None, max_examples=200)
@given(ANY_TEXT)
def test_scrubbed_text_is_utf_8_and_differs_only_where_a_surrogate_stood(text: str) -> None:
    clean, count = scrub(text)
    assert clean.encode("utf-8").decode("utf-8") == clean
    lone = [unicodedata.category(character) == "Cs" for character in text]
    assert count == sum(lone)
    assert clean == "".join("\ufffd" if bad else character for character, bad in zip(text, lone, strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("", 0)),
        ("plain", ("plain", 0)),
        ("\ud800", ("\ufffd", 1)),
        ("\ud83d\ude00", ("\ufffd\ufffd", 2)),
        ("a\udfffb\ufffdc", ("a\ufffdb\ufffdc", 1)),
        ("\U0001f600\x00ü", ("\U0001f600\x00ü", 0)),
    ],
)
def test_scrub_counts_each_lone_surrogate(text: str, expected: tuple[str, int]) -> None:
    assert scrub(text) == expected


@settings(deadline=None, max_examples=100)
@given(JSON)
def test_clean_json_comes_back_as_it_was(value: Any) -> None:
    clean, count = scrub_json(value)
    assert (exact(clean), count) == (exact(value), 0)


def test_scrub_json_reaches_every_string_and_key_and_counts_them() -> None:
    value = {"a\ud800": ["x\ud800\ud801", ("y", {"k": "\udc00", "n": 1.0, "t": True, "z": None})]}
    clean, count = scrub_json(value)
    assert clean == {"a\ufffd": ["x\ufffd\ufffd", ["y", {"k": "\ufffd", "n": 1.0, "t": True, "z": None}]]}
    assert count == 4
    assert exact(clean["a\ufffd"][1][1]) == exact({"k": "\ufffd", "n": 1.0, "t": True, "z": None})


def test_scrub_json_loses_no_value_when_two_keys_become_alike() -> None:
    one, other = "\ud800", "\ud801"
    clean, _ = scrub_json({one: "first", other: "second"})
    assert "first" in json.dumps(clean)
    assert "second" in json.dumps(clean)


def invisible_by_unicode() -> Iterator[str]:
    """Controls, bidirectional controls, zero-width characters and tags, by the Unicode database."""
    bidirectional = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    for character in EVERY_CHARACTER:
        if character in "\t\n":
            continue
        name = unicodedata.name(character, "")
        if (
            unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
            or unicodedata.bidirectional(character) in bidirectional
            or "ZERO WIDTH" in name
            or name.startswith("TAG ")
            or name in {"LEFT-TO-RIGHT MARK", "RIGHT-TO-LEFT MARK", "ARABIC LETTER MARK", "WORD JOINER", "SOFT HYPHEN"}
        ):
            yield character


def test_every_character_that_cannot_be_seen_is_shown_by_its_number() -> None:
    hidden = list(invisible_by_unicode())
    assert len(hidden) > 2048 + 64
    wrong = [character for character in hidden if visible(f"a{character}b") != f"a⟦U+{ord(character):04X}⟧b"]
    assert [hex(ord(character)) for character in wrong] == []


@pytest.mark.parametrize(
    "character",
    ["\u034f", "\u115f", "\u3164", "\uffa0", "\u180b", "\U0001d173", "\U0001bca0", "\U000e0100", "\U000e01ef"],
    ids=[
        "joiner",
        "filler-jamo",
        "filler",
        "half-filler",
        "mongolian",
        "music",
        "shorthand",
        "selector",
        "selector-end",
    ],
)
def test_other_characters_without_width_are_shown_too(character: str) -> None:
    assert visible(f"a{character}b") == f"a⟦U+{ord(character):04X}⟧b"


@settings(deadline=None, max_examples=200)
@given(ANY_TEXT)
@example("\x1b[2J\u202ecod\u202c\t\n\r")
def test_visible_text_is_printable_utf_8_and_stays_as_it_is(text: str) -> None:
    shown = visible(text)
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert not set(shown) & ({chr(point) for point in range(32)} - {"\t", "\n"})
    assert visible(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\tb\nc",
        "Grüße, ça va? ¿Sí?",
        "שלום עולם",
        "日本語",
        "e\u0301\u0302\u0303\u0304",
        "⟦U+202E⟧",
        "\U0001f600",
        "❤\ufe0f",
    ],
)
def test_text_that_everybody_can_see_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize("mark", ["\u0301", "\u0e48", "\u0489", "\u20dd", "\u0e47", "\u0e31"])
def test_stacked_marks_are_cut_after_the_fourth(mark: str) -> None:
    assert visible("a" + mark * 50 + "b" + mark) == "a" + mark * 4 + "b" + mark


def test_a_grapheme_joiner_does_not_let_more_marks_through() -> None:
    assert visible("a" + ("\u0301" * 4 + "\u034f") * 10).count("\u0301") == 4


@pytest.mark.parametrize(
    "line",
    [
        "::error file=a.py::gone",
        "  ::add-mask::x",
        "\t::stop-commands::t",
        "\u3000::set-output name=a::b",
        "fine\n::warning::second line",
        "fine\n\n  \n ::warning::after blank lines",
        "\r::error::carriage return",
        "\u2028::error::line separator",
        "\ufeff::error::byte order mark",
        "##[error]legacy",
        "text ##[group]legacy in the middle",
        "###[error]three",
        "##\u200b[error]split by a zero-width space",
        "::\u0301error::x",
    ],
)
def test_no_log_command_survives(line: str) -> None:
    safe = log_safe(line)
    assert "##[" not in safe
    assert not any(part.lstrip().startswith("::") for part in safe.splitlines())


@settings(deadline=None, max_examples=300)
@given(
    st.text(
        st.sampled_from([":", "#", "[", " ", "\n", "\r", "\t", "a", "\u0301", "\u200b", "\u2028", "\u3000", "\x1b"])
    )
)
def test_no_mixture_makes_a_log_command(text: str) -> None:
    safe = log_safe(text)
    assert "##[" not in safe
    assert "\x1b" not in safe
    assert not any(part.lstrip().startswith("::") for part in safe.splitlines())


@pytest.mark.parametrize("text", ["a::b", "std::vector", "see #[1] and # [2]", "x :: y", "[##]"])
def test_colons_and_hashes_elsewhere_stay(text: str) -> None:
    assert log_safe(text) == text


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from("ab \t\u00a0\u3000" + LINE_ENDS), max_size=30), st.integers(1, 12))
def test_an_excerpt_is_one_line_within_the_limit_and_says_when_it_was_cut(text: str, limit: int) -> None:
    line = excerpt(text, limit)
    whole = " ".join(text.split())
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    if len(whole) <= limit:
        assert line == whole
    else:
        assert line.endswith("…")
        assert whole.startswith(line[:-1])
        assert len(line) >= limit - 1


def test_an_excerpt_keeps_160_characters_unless_told() -> None:
    assert excerpt("x" * 160) == "x" * 160
    assert excerpt("x" * 161) == "x" * 159 + "…"
    assert excerpt(" a \n b\u2028c ") == "a b c"
