"""Building, loading and looking into versions of a golden set."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evalkit.errors import ExitCode, GoldenSetError, StorageError
from evalkit.goldens import Change, GoldenSet, build, dump_jsonl, from_cases, load, read_card
from evalkit.goldens.goldenset import write_parquet
from evalkit.records import Case, GoldenSetRef
from tests.goldens.strategies import RICH, card, case

DAY = dt.date(2026, 11, 22)
CASES = [case("b", "second"), case("a", "first"), RICH]


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_built_version_is_a_file_and_an_entry_of_the_card(tmp_path: Path) -> None:
    built = build(CASES, tmp_path / "shop", "1.0", card=card(), note="first version", today=DAY)
    assert names(tmp_path / "shop") == ["1.0.parquet", "card.yaml"]
    entry = Change(version="1.0", date=DAY, digest=built.digest, cases=3, note="first version")
    assert read_card(tmp_path / "shop") == card(changelog=(entry,)) == built.card
    assert (built.name, built.version, built.path) == ("shop", "1.0", tmp_path / "shop" / "1.0.parquet")
    assert built.ref == GoldenSetRef("shop", "1.0", built.digest, 3)


def test_a_set_in_memory_has_its_cases_in_the_order_of_their_ids() -> None:
    golden = from_cases("shop", "1", (member for member in CASES))
    assert [member.id for member in golden.cases] == ["a", "b", "rich"] == list(golden.digests)
    assert golden.cases == (CASES[1], CASES[0], RICH)


def test_a_case_is_found_by_its_id_and_an_unknown_id_is_named() -> None:
    golden = from_cases("shop", "1", CASES)
    assert golden.case("rich") == RICH
    with pytest.raises(GoldenSetError, match="no case `nobody` in shop@1"):
        golden.case("nobody")


def versions(folder: Path) -> dict[str, GoldenSet]:
    """Two versions, one after the other."""
    first = build([case("a", "one")], folder, "1", card=card(), today=DAY)
    second = build([case("a", "two")], folder, "2", card=read_card(folder), today=DAY)
    return {"1": first, "2": second}


def test_the_newest_version_is_loaded_unless_another_is_asked_for(tmp_path: Path) -> None:
    built = versions(tmp_path)
    assert load(tmp_path).ref == load(tmp_path, "2").ref == built["2"].ref
    assert load(tmp_path, "1").ref == built["1"].ref
    assert load(tmp_path, "1").cases[0].input[0].content == "one"
    loaded = load(tmp_path)
    assert loaded.card is not None
    assert [change.version for change in loaded.card.changelog] == ["2", "1"]


def test_a_single_parquet_file_or_a_file_of_lines_is_a_set_too(tmp_path: Path) -> None:
    built = build(CASES, tmp_path, "1", card=card())
    single = load(tmp_path / "1.parquet")
    assert (single.name, single.version, single.digest, single.card) == ("1", "1", built.digest, None)
    lines = tmp_path / "cases.jsonl"
    lines.write_text(dump_jsonl(CASES), encoding="utf-8")
    working = load(lines)
    assert (working.name, working.version, working.digest, working.path) == ("cases", "working", built.digest, lines)
    assert load(lines, "draft").version == "draft"


def test_building_the_same_content_again_changes_nothing(tmp_path: Path) -> None:
    build(CASES, tmp_path, "1", card=card(), note="first", today=DAY)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    build(CASES[::-1], tmp_path, "1", card=read_card(tmp_path), note="again", today=DAY + dt.timedelta(1))
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


def test_a_version_never_changes(tmp_path: Path) -> None:
    built = build(CASES, tmp_path, "1", card=card())
    with pytest.raises(GoldenSetError, match="version 1 exists with other content") as caught:
        build([case("other")], tmp_path, "1", card=read_card(tmp_path))
    assert caught.value.file == str(tmp_path / "1.parquet")
    assert caught.value.fix == "versions never change: choose a new one"
    assert load(tmp_path).digest == built.digest


def test_a_version_never_changes_even_with_a_card_that_does_not_know_it(tmp_path: Path) -> None:
    build(CASES, tmp_path, "1", card=card())
    with pytest.raises(GoldenSetError, match="version 1 exists with other content"):
        build([case("other")], tmp_path, "1", card=card())
    assert load(tmp_path).cases == from_cases("shop", "1", CASES).cases


def test_a_damaged_version_is_repaired_by_building_what_the_card_states(tmp_path: Path) -> None:
    built = build(CASES, tmp_path, "1", card=card())
    (tmp_path / "1.parquet").write_bytes(b"PAR1")
    build(CASES, tmp_path, "1", card=read_card(tmp_path))
    assert load(tmp_path).ref == built.ref


BAD_VERSIONS = ["../outside", "a/b", "", ".hidden", "-x", "with space", "a\nb", "ü"]


@pytest.mark.parametrize("version", BAD_VERSIONS)
def test_a_version_that_is_no_file_name_is_refused_and_leaves_no_file(tmp_path: Path, version: str) -> None:
    with pytest.raises(GoldenSetError, match="a version is a file name") as caught:
        build(CASES, tmp_path / "shop", version, card=card())
    assert (caught.value.key, caught.value.value) == ("version", version)
    assert names(tmp_path) == []


@pytest.mark.parametrize("version", ["1", "2026.11.0", "v1.0-rc.1", "1_a", "0"])
def test_a_version_may_hold_letters_digits_dots_and_dashes(tmp_path: Path, version: str) -> None:
    built = build(CASES, tmp_path, version, card=card())
    assert load(tmp_path, version).digest == built.digest


@pytest.mark.parametrize(
    ("cases", "message", "value"),
    [
        ([], "the golden set has no cases: nothing would be tested", None),
        ([case("")], "a case has no id", None),
        ([case("a"), case("b"), case("a", "other")], "the case id occurs twice", "a"),
    ],
)
def test_a_set_that_tests_nothing_or_confuses_its_cases_is_refused(
    tmp_path: Path, cases: list[Case], message: str, value: str | None
) -> None:
    with pytest.raises(GoldenSetError) as caught:
        from_cases("shop", "1", cases)
    assert (caught.value.message, caught.value.value) == (message, value)
    with pytest.raises(GoldenSetError) as caught:
        build(cases, tmp_path / "shop", "1", card=card())
    assert caught.value.file == str(tmp_path / "shop" / "1.parquet")
    assert names(tmp_path) == []


def test_ids_that_only_look_alike_are_different_cases() -> None:
    ids = ["e\u0301", "é", "E", "e", "e ", "е", "e\u200b", "e\x00"]
    assert sorted(from_cases("shop", "1", map(case, ids)).digests) == sorted(ids)


def test_text_that_cannot_be_stored_is_refused_with_its_case() -> None:
    with pytest.raises(GoldenSetError, match="the case cannot be stored") as caught:
        from_cases("shop", "1", [case("a"), case("bad", "x\ud800")], path=Path("x.jsonl"))
    assert (caught.value.file, caught.value.key) == ("x.jsonl", "bad")


@pytest.mark.parametrize("name", ["missing", "missing.parquet", "missing.jsonl", "1.parquet/below"])
def test_a_missing_set_is_named_with_the_way_to_build_one(tmp_path: Path, name: str) -> None:
    build(CASES, tmp_path, "1", card=card())
    with pytest.raises(GoldenSetError, match="no golden set here") as caught:
        load(tmp_path / name)
    assert caught.value.exit_code == ExitCode.GOLDEN_SET
    assert caught.value.file == str(tmp_path / name)
    assert caught.value.fix == "build one: evalkit goldens build CASES.jsonl --to FOLDER --version VERSION"


def test_a_missing_set_is_looked_for_under_a_like_name(tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").touch()
    with pytest.raises(GoldenSetError) as caught:
        load(tmp_path / "case.jsonl")
    assert str(caught.value.fix).startswith("did you mean `cases.jsonl`?")


def test_a_folder_without_card_is_refused(tmp_path: Path) -> None:
    write_parquet(from_cases("shop", "1", CASES).table, tmp_path / "1.parquet")
    with pytest.raises(GoldenSetError, match="cannot read the file: No such file") as caught:
        load(tmp_path)
    assert caught.value.file == str(tmp_path / "card.yaml")


def test_a_card_that_does_not_fit_is_an_error_of_the_set_with_line_and_fix(tmp_path: Path) -> None:
    build(CASES, tmp_path, "1", card=card())
    text = (tmp_path / "card.yaml").read_text(encoding="utf-8")
    (tmp_path / "card.yaml").write_text(text.replace("owner: team", "ownr: team"), encoding="utf-8")
    with pytest.raises(GoldenSetError, match="unknown key `ownr`") as caught:
        load(tmp_path)
    assert (caught.value.line, caught.value.key, caught.value.fix) == (2, "ownr", "did you mean `owner`?")


def test_a_changelog_without_versions_is_refused(tmp_path: Path) -> None:
    text = "name: shop\nowner: team\ncontact: t@example.com\nlicence: MIT\nrefresh_due: 2026-12-31\n"
    (tmp_path / "card.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(GoldenSetError, match="the changelog names no version") as caught:
        load(tmp_path)
    assert (caught.value.key, caught.value.file) == ("changelog", str(tmp_path / "card.yaml"))
    assert "evalkit goldens build" in str(caught.value.fix)


def test_a_missing_version_is_named_with_those_of_the_card(tmp_path: Path) -> None:
    versions(tmp_path)
    with pytest.raises(GoldenSetError, match="no version `3`\n") as caught:
        load(tmp_path, "3")
    assert caught.value.file == str(tmp_path / "3.parquet")
    assert caught.value.fix == "versions in the card: 2, 1"
    (tmp_path / "2.parquet").unlink()
    with pytest.raises(GoldenSetError, match="no version `2`\n"):
        load(tmp_path)


@pytest.mark.parametrize("version", ["draft", "../shop/1", "1/../1"])
def test_a_file_that_the_card_does_not_name_is_no_version(tmp_path: Path, version: str) -> None:
    build(CASES, tmp_path / "shop", "1", card=card())
    write_parquet(from_cases("shop", "draft", [case("other")]).table, tmp_path / "shop" / "draft.parquet")
    with pytest.raises(GoldenSetError, match=f"no version `{version}`"):
        load(tmp_path / "shop", version)


def test_content_changed_after_the_build_is_refused(tmp_path: Path) -> None:
    built = versions(tmp_path)
    other = from_cases("shop", "2", [case("a", "two", notes="changed")])
    write_parquet(other.table, tmp_path / "2.parquet")
    with pytest.raises(GoldenSetError, match="the content is not what the card states") as caught:
        load(tmp_path)
    assert caught.value.key == "changelog.digest"
    assert caught.value.value == f"card {built['2'].digest[:12]}, file {other.digest[:12]}"
    assert "build a new version" in str(caught.value.fix)
    assert load(tmp_path, "1").digest == built["1"].digest


def test_the_bytes_of_the_file_may_change_as_long_as_the_content_does_not(tmp_path: Path) -> None:
    built = build(CASES, tmp_path, "1", card=card())
    pq.write_table(built.table, tmp_path / "1.parquet", compression="gzip", row_group_size=1)
    assert load(tmp_path).ref == built.ref


def test_names_with_an_equals_sign_are_no_partitions(tmp_path: Path) -> None:
    folder = tmp_path / "locale=fr" / "id=5"
    built = build(CASES, folder, "1", card=card())
    assert load(folder).ref == built.ref
    assert load(folder / "1.parquet").digest == built.digest


def test_a_folder_that_cannot_be_written_is_an_error_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot make a folder"):
        build(CASES, tmp_path / "file" / "shop", "1", card=card())


def test_builders_at_the_same_time_leave_a_whole_version(tmp_path: Path) -> None:
    threads = [threading.Thread(target=build, args=(CASES, tmp_path, "1"), kwargs={"card": card()}) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert load(tmp_path).ref == from_cases("shop", "1", CASES).ref
    assert names(tmp_path) == ["1.parquet", "card.yaml"]
