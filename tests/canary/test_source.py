"""Reading envelopes from a folder that grows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import codec
from evalkit.canary import Envelope, FolderSource, Violation
from evalkit.errors import ConfigError, StorageError

from .traffic import line, write


def ids(source: FolderSource) -> list[str]:
    return [envelope.request_id for envelope in source.read()]


def envelope(name: str, **fields: Any) -> dict[str, Any]:
    return {"request_id": name, "arm": "canary", **fields}


def test_an_envelope_is_read_with_all_its_fields(tmp_path: Path) -> None:
    whole = Envelope(
        "r1", "canary", "support", "abc", False, (Violation("leak", "critical", "address"),), 12, 34, 56, "t", True
    )
    write(tmp_path / "a.jsonl", [whole, envelope("r2")])
    assert list(FolderSource(tmp_path, "support").read()) == [whole, Envelope("r2", "canary")]


def test_what_is_new_since_the_last_look_is_read(tmp_path: Path) -> None:
    source = FolderSource(tmp_path, "support")
    assert ids(source) == []
    write(tmp_path / "b.jsonl", [envelope("b1")])
    assert ids(source) == ["b1"]
    write(tmp_path / "b.jsonl", [envelope("b2")])
    write(tmp_path / "a.jsonl", [envelope("a1")])
    assert ids(source) == ["a1", "b2"]
    assert ids(source) == []


def test_a_half_written_last_line_waits(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [envelope("r1")])
    whole = line(envelope("r2", tenant="Müller"))
    source = FolderSource(tmp_path, "support")
    assert ids(source) == ["r1"]
    for end in (1, 20, len(whole) - 1):
        file.write_bytes(line(envelope("r1")) + whole[:end])
        assert ids(source) == []
    file.write_bytes(line(envelope("r1")) + whole)
    assert [found.tenant for found in source.read()] == ["Müller"]


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_however_a_file_grows_every_line_is_read_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("envelopes")
    names = data.draw(
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), max_size=12, unique=True)
    )
    content = b"".join(json.dumps(envelope(name), ensure_ascii=False).encode() + b"\n" for name in names)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    source, found = FolderSource(folder, "support"), []
    for end in [*cuts, len(content)]:
        (folder / "a.jsonl").write_bytes(content[:end])
        found += ids(source)
    assert found == names
    assert source.repeated == 0


def test_a_repeated_request_id_is_passed_over_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [envelope("r1"), envelope("r2"), envelope("r1", success=False)])
    write(tmp_path / "b.jsonl", [{**envelope("r2"), "arm": "control"}])
    source = FolderSource(tmp_path, "support")
    assert ids(source) == ["r1", "r2"]
    assert source.repeated == 2


def test_a_critical_violation_counts_under_a_request_id_that_came_before_too(tmp_path: Path) -> None:
    bad = envelope("r1", violations=[{"rule": "no-secrets", "severity": "critical"}])
    write(tmp_path / "a.jsonl", [envelope("r1"), envelope("r1"), bad])
    source = FolderSource(tmp_path, "support")
    assert [len(found.violations) for found in source.read()] == [0, 1]
    assert source.repeated == 2


def test_other_workflows_are_not_ours_and_repeat_nothing(tmp_path: Path) -> None:
    write(
        tmp_path / "a.jsonl",
        [
            envelope("r1", workflow="billing"),
            envelope("r1", workflow="support"),
            envelope("r2"),
            envelope("r3", workflow="Support"),
        ],
    )
    source = FolderSource(tmp_path, "support")
    assert ids(source) == ["r1", "r2"]
    assert source.repeated == 0


def test_blank_lines_other_files_and_windows_line_ends_are_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n  \n" + line(envelope("r1")).replace(b"\n", b"\r\n") + b"\r\n")
    (tmp_path / "a.json").write_bytes(b"not an envelope\n")
    (tmp_path / "inner").mkdir()
    write(tmp_path / "inner" / "b.jsonl", [envelope("r2")])
    assert ids(FolderSource(tmp_path, "support")) == ["r1"]


# ── lines that are no envelope ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("bad", "key", "value", "words"),
    [
        (b"not json", None, None, "not valid JSON"),
        (b'{"request_id": "r2"', None, None, "not valid JSON"),
        (b"\xff\xfe", None, None, "not valid JSON"),
        (b'{"request_id": ' + b"9" * 5000 + b"}", None, None, "not valid JSON"),
        (b"null", None, None, "not an envelope"),
        (b'"text"', None, None, "not an envelope"),
        (b'[{"request_id": "r2"}]', None, None, "not an envelope"),
        (b'{"schema": "other/7", "request_id": "r2"}', None, "other/7", "not an envelope of evalkit.envelope/1"),
        (b"{}", "request_id", None, "required"),
        (b'{"request_id": "r2"}', "arm", None, "required"),
        (b'{"request_id": "r2", "arm": "Canary"}', "arm", "Canary", "'control' or 'canary'"),
        (b'{"request_id": 7, "arm": "canary"}', "request_id", 7, "string"),
        (b'{"request_id": "r2", "arm": "canary", "latency_us": 1.5}', "latency_us", 1.5, "integer"),
        (b'{"request_id": "r2", "arm": "canary", "latency_us": NaN}', "latency_us", None, "finite"),
        (b'{"request_id": "r2", "arm": "canary", "cost_microusd": 1e999}', "cost_microusd", None, "finite"),
        (b'{"request_id": "r2", "arm": "canary", "success": "perhaps"}', "success", "perhaps", "boolean"),
        (
            b'{"request_id": "r2", "arm": "canary", "violations": [{"rule": "x", "severity": "fatal"}]}',
            "violations.0.severity", "fatal", "critical",
        ),
    ],
)  # fmt: skip
def test_a_foreign_line_names_file_line_key_and_value(
    bad: bytes, key: str | None, value: object, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(line(envelope("r1")) + b"\n" + bad + b"\n" + line(envelope("r3")))
    with pytest.raises(ConfigError) as caught:
        ids(FolderSource(tmp_path, "support"))
    error = caught.value
    assert (error.file, error.line, error.exit_code) == (str(file), 3, 10)
    assert error.key == key
    if value is not None:
        assert error.value == value
    assert words in str(error)


def test_the_line_number_counts_over_several_looks(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [envelope("r1"), envelope("r2")])
    source = FolderSource(tmp_path, "support")
    assert ids(source) == ["r1", "r2"]
    with file.open("ab") as handle:
        handle.write(line(envelope("r3")) + b"oops\n")
    with pytest.raises(ConfigError) as caught:
        ids(source)
    assert caught.value.line == 4


@pytest.mark.parametrize("depth", [600, 100_000])
def test_a_deeply_nested_line_is_a_foreign_line(tmp_path: Path, depth: int) -> None:
    nested = b'{"request_id": "r1", "arm": "canary", "tenant": ' + b"[" * depth + b"]" * depth + b"}\n"
    (tmp_path / "a.jsonl").write_bytes(nested)
    with pytest.raises(ConfigError) as caught:
        ids(FolderSource(tmp_path, "support"))
    assert caught.value.line == 1


@pytest.mark.parametrize(
    ("fields", "key", "known"),
    [
        ({"violatons": [{"rule": "leak", "severity": "critical"}]}, "violatons", "violations"),
        ({"violations": [{"rule": "leak", "severty": "critical"}]}, "violations.0.severty", "severity"),
        ({"a\x1b[2J\n::error::b": 1}, "a⟦U+001B⟧[2J ::error::b", "violations"),
    ],
)
def test_an_unknown_key_is_refused_with_the_known_ones(
    fields: dict[str, Any], key: str, known: str, tmp_path: Path
) -> None:
    """A misspelled `violations` must not hide a violation."""
    write(tmp_path / "a.jsonl", [envelope("r1", **fields)])
    with pytest.raises(ConfigError) as caught:
        ids(FolderSource(tmp_path, "support"))
    assert (caught.value.line, caught.value.key) == (1, key)
    assert known in str(caught.value.fix)


@pytest.mark.parametrize("key", ["latency_us", "cost_microusd"])
@pytest.mark.parametrize(("value", "words"), [(-1, "greater than or equal to 0"), (10**400, "too large|less than")])
def test_times_and_amounts_are_not_negative_and_not_beyond_reason(
    key: str, value: int, words: str, tmp_path: Path
) -> None:
    write(tmp_path / "a.jsonl", [envelope("r1", **{key: value})])
    with pytest.raises(ConfigError, match=words) as caught:
        ids(FolderSource(tmp_path, "support"))
    assert caught.value.key == key


def test_a_request_needs_a_name(tmp_path: Path) -> None:
    """All requests without one would be repetitions of the first."""
    write(tmp_path / "a.jsonl", [envelope("")])
    with pytest.raises(ConfigError) as caught:
        ids(FolderSource(tmp_path, "support"))
    assert caught.value.key == "request_id"


def test_lone_surrogates_are_replaced(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [envelope("r\ud800", violations=[{"rule": "\udfff"}])])
    (found,) = FolderSource(tmp_path, "support").read()
    assert (found.request_id, found.violations[0].rule) == ("r\ufffd", "\ufffd")


def test_a_file_that_became_shorter_is_an_error_and_not_silence(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [envelope("r1"), envelope("r2")])
    source = FolderSource(tmp_path, "support")
    assert ids(source) == ["r1", "r2"]
    file.write_bytes(line(envelope("r3")))
    with pytest.raises(ConfigError, match="shorter") as caught:
        ids(source)
    assert caught.value.file == str(file)


# ── folders that cannot be read ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("content", [None, "a file"])
def test_a_folder_that_is_none_says_what_to_do(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "envelopes").write_text(content)
    with pytest.raises(StorageError) as caught:
        ids(FolderSource(tmp_path / "envelopes", "support"))
    assert caught.value.exit_code == 17
    assert str(tmp_path / "envelopes") in str(caught.value)
    assert "--envelopes FOLDER" in str(caught.value)


def test_a_folder_named_like_a_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(StorageError) as caught:
        ids(FolderSource(tmp_path, "support"))
    assert str(tmp_path / "a.jsonl") in str(caught.value)


@given(
    st.builds(
        Envelope, st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.sampled_from(["control", "canary"])
    )
)
def test_any_envelope_comes_back_from_its_line(found: Envelope) -> None:
    assert codec.decode(Envelope, line(found)) == found
