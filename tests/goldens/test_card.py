from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evalkit.errors import ConfigError, ExitCode
from evalkit.goldens import Card, Change, read_card, write_card
from tests.goldens.strategies import card

TEXT = """\
name: shop
owner: team
contact: team@example.com
licence: MIT
refresh_due: 2026-12-31
"""
PRINTED = st.characters(codec="utf-8", exclude_characters="\x85")
"""PyYAML writes the character NEXT LINE so that it reads back as a space."""
VERSIONS = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z._-]{0,8}", fullmatch=True)
CHANGES = st.builds(
    Change,
    version=VERSIONS,
    date=st.dates(),
    digest=st.text("0123456789abcdef", max_size=64),
    cases=st.integers(1, 10**9),
    note=st.text(PRINTED, max_size=20),
)
CARDS = st.builds(
    Card,
    name=st.text(PRINTED, max_size=10),
    description=st.text(PRINTED, max_size=120),
    owner=st.text(PRINTED, max_size=10),
    contact=st.text(PRINTED, max_size=10),
    licence=st.text(PRINTED, max_size=10),
    refresh_due=st.dates(),
    languages=st.lists(st.text(PRINTED, max_size=5), max_size=3).map(tuple),
    min_slice=st.integers(1, 100),
    allow_similar=st.lists(st.tuples(st.text(PRINTED, max_size=5), st.text(PRINTED, max_size=5)), max_size=2).map(
        tuple
    ),
    changelog=st.lists(CHANGES, max_size=2).map(tuple),
)


def refused(folder: Path, text: str) -> ConfigError:
    (folder / "card.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_card(folder)
    assert caught.value.file == str(folder / "card.yaml")
    assert caught.value.exit_code == ExitCode.CONFIG
    return caught.value


@settings(deadline=None, max_examples=60)
@given(CARDS)
def test_any_card_comes_back_from_its_file(tmp_path_factory: pytest.TempPathFactory, given_card: Card) -> None:
    folder = tmp_path_factory.mktemp("card")
    write_card(folder, given_card)
    assert read_card(folder) == given_card


def test_a_card_is_written_for_people(tmp_path: Path) -> None:
    entry = Change(version="1.0", date=dt.date(2026, 11, 22), digest="ab" * 32, cases=3, note="Größere Menge")
    write_card(tmp_path, card(description="Rückgaben", changelog=(entry,)))
    text = (tmp_path / "card.yaml").read_text(encoding="utf-8")
    assert list(yaml.safe_load(text)) == [
        "name",
        "description",
        "owner",
        "contact",
        "licence",
        "refresh_due",
        "changelog",
    ]
    assert "description: Rückgaben\n" in text
    assert "  note: Größere Menge\n" in text
    assert "min_slice" not in text


def test_a_short_card_has_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text(TEXT, encoding="utf-8")
    read = read_card(tmp_path)
    assert read == card()
    assert (read.min_slice, read.latest, read.languages, read.allow_similar) == (8, None, (), ())


def test_the_latest_version_is_the_first_of_the_changelog() -> None:
    entries = [
        Change(version=name, date=dt.date(2026, 1, day), digest="", cases=1) for day, name in ((1, "9"), (2, "10"))
    ]
    assert card(changelog=entries).latest == "9"
    assert card(changelog=entries[::-1]).latest == "10"


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        (TEXT.replace("owner: team\n", ""), None, "owner", "the key `owner` is missing"),
        (TEXT.replace("MIT", "5"), 4, "licence", "input should be a valid string"),
        (TEXT.replace("2026-12-31", "soon"), 5, "refresh_due", "input should be a valid date"),
        (TEXT + "min_slice: 0\n", 6, "min_slice", "input should be greater than or equal to 1"),
        (TEXT + "licens: MIT\n", 6, "licens", "unknown key `licens`"),
        (TEXT + "allow_similar:\n- [a, b, c]\n", 7, "allow_similar[0]", "tuple should have at most 2 items"),
        (TEXT + "changelog:\n- version: '1'\n  date: 2026-01-01\n  digest: ab\n  cases: 0\n", 10, "changelog[0].cases",
         "input should be greater than or equal to 1"),
        (TEXT + "name: twice\n", 6, "name", "the key occurs twice"),
        ("- a\n", 1, None, "the file must hold keys and values"),
    ],
)  # fmt: skip
def test_a_card_that_does_not_fit_is_named_with_line_and_key(
    tmp_path: Path, text: str, line: int | None, key: str | None, message: str
) -> None:
    error = refused(tmp_path, text)
    assert error.message.startswith(message)
    assert (error.line, error.key) == (line, key)


@pytest.mark.parametrize("version", ["../1", "a/b", "''", ".x", "-x", "a b", "ü", "a\\b"])
def test_a_version_that_is_no_file_name_is_refused(tmp_path: Path, version: str) -> None:
    entry = f"changelog:\n- version: {version}\n  date: 2026-01-01\n  digest: ab\n  cases: 1\n"
    error = refused(tmp_path, TEXT + entry)
    assert error.message == "a version is a file name: letters, digits, dot, dash and underscore"
    assert (error.line, error.key) == (7, "changelog[0].version")


def test_half_a_pair_of_twins_is_refused_as_what_it_is(tmp_path: Path) -> None:
    error = refused(tmp_path, TEXT + "allow_similar:\n- [a, b]\n- [c]\n")
    assert (error.line, error.value) == (8, ["c"])
    assert "add `1:`" not in str(error)


def test_a_day_that_does_not_exist_is_refused_with_its_line(tmp_path: Path) -> None:
    assert refused(tmp_path, TEXT.replace("12-31", "02-30")).line == 5


@pytest.mark.parametrize("fields", [{"cases": 0}, {"version": "a/b"}, {"date": "yesterday"}, {"more": 1}])
def test_an_entry_in_memory_is_checked_like_one_in_a_file(fields: dict[str, Any]) -> None:
    good: dict[str, Any] = {"version": "1", "date": dt.date(2026, 1, 1), "digest": "", "cases": 1}
    assert Change(**good).cases == 1
    with pytest.raises(ValidationError):
        Change(**{**good, **fields})


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the file: No such file") as caught:
        read_card(tmp_path / "nowhere")
    assert caught.value.file == str(tmp_path / "nowhere" / "card.yaml")
