from __future__ import annotations

import errno
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.atomic import atomic_path, make_folder, write_bytes, write_text
from evalkit.errors import ExitCode, StorageError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half_and_fail(target: Path, failure: BaseException) -> None:
    with atomic_path(target) as partial:
        partial.write_bytes(b"half of the new")
        raise failure


def test_a_file_appears_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "file.bin"
    with atomic_path(target) as partial:
        partial.write_bytes(b"half")
        assert not target.exists()
        assert partial.parent == target.parent
        partial.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert names(target.parent) == ["file.bin"]


def test_the_old_content_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with atomic_path(target) as partial:
        partial.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("failure", [ValueError("ours"), KeyboardInterrupt(), SystemExit(3)])
def test_a_failure_leaves_the_old_content_and_no_rest(tmp_path: Path, failure: BaseException) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(type(failure)) as caught:
        write_half_and_fail(target, failure)
    assert caught.value is failure
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_an_error_of_the_disk_says_which_file_and_leaves_no_rest(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="cannot write file: No space left on device") as caught:
        write_half_and_fail(tmp_path / "file", full)
    assert caught.value.file == str(tmp_path / "file")
    assert caught.value.exit_code == ExitCode.STORAGE
    assert caught.value.fix == "free some space and run again: what finished is kept"
    assert names(tmp_path) == []


def test_a_process_that_dies_half_way_leaves_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    code = (
        "import os, sys; from evalkit.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as partial:\n"
        "    partial.write_bytes(b'half of the new'); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert done.returncode == -9
    assert target.read_bytes() == b"old"
    write_bytes(target, b"next")
    assert target.read_bytes() == b"next"


def test_a_body_that_writes_nothing_is_an_error_and_not_an_empty_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(StorageError, match="cannot write file: No such file or directory"), atomic_path(target):
        pass
    assert target.read_bytes() == b"old"


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(StorageError, match="cannot write taken: Is a directory") as caught:
        write_bytes(target, b"x")
    assert str(tmp_path) in str(caught.value.file)
    assert names(tmp_path) == ["taken"]


def test_a_path_below_a_file_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot make a folder: Not a directory") as caught:
        write_text(tmp_path / "file" / "deep" / "x", "text")
    assert str(caught.value.file).startswith(str(tmp_path / "file"))
    with pytest.raises(StorageError, match="cannot make a folder: File exists"):
        make_folder(tmp_path / "file")


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=200))
def test_bytes_are_written_as_they_are(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    target = tmp_path_factory.mktemp("bytes") / "file"
    write_bytes(target, content)
    assert target.read_bytes() == content


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=100))
def test_text_is_written_as_utf_8_without_touching_line_ends(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    target = tmp_path_factory.mktemp("text") / "file"
    write_text(str(target), content)
    assert target.read_bytes() == content.encode()


def test_a_lone_surrogate_becomes_a_question_mark(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "a\ud800b\u00fc")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "a?b\u00fc"


def test_writers_at_the_same_time_leave_one_whole_content(tmp_path: Path) -> None:
    target = tmp_path / "file"
    contents = [bytes([letter]) * 50_000 for letter in b"abcdefgh"]
    torn: list[int] = []

    def write(content: bytes) -> None:
        for _ in range(5):
            write_bytes(target, content)
            if target.read_bytes() not in contents:
                torn.append(content[0])

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torn == []
    assert target.read_bytes() in contents
    assert names(tmp_path) == ["file"]


def test_making_a_folder_gives_it_back_and_does_not_mind_that_it_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert make_folder(folder) == folder
    (folder / "keep").touch()
    assert make_folder(folder) == folder
    assert names(folder) == ["keep"]
