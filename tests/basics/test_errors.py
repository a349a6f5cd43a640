from __future__ import annotations

import copy
import errno
import os
import pickle
import re
from pathlib import Path

import pytest

from evalkit import errors
from evalkit.errors import ConfigError, EvalkitError, ExitCode, GoldenSetError, StorageError

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EvalkitError)]
TREE = re.findall(r"^    ([│├└─ ]*)(\w+Error)\s+(\d+)", errors.__doc__ or "", re.MULTILINE)


def documented_parents() -> dict[str, str]:
    """Each class of the drawn tree with the one it hangs from."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for branch, name, _ in TREE:
        depth = len(branch) // 4
        path[depth:] = [name]
        if depth:
            parents[name] = path[depth - 1]
    return parents


def test_the_drawn_tree_is_the_tree() -> None:
    assert {name for _, name, _ in TREE} == {kind.__name__ for kind in CLASSES}
    drawn = documented_parents()
    for kind in CLASSES:
        assert [base.__name__ for base in kind.__bases__] == [drawn.get(kind.__name__, "Exception")]


@pytest.mark.parametrize(("name", "code"), [(name, int(code)) for _, name, code in TREE])
def test_each_class_has_the_drawn_exit_code(name: str, code: int) -> None:
    assert getattr(errors, name).exit_code == code
    assert getattr(errors, name)("wrong").exit_code == code


def test_every_error_is_public_and_says_what_it_is_for() -> None:
    assert {kind.__name__ for kind in CLASSES} | {"ExitCode"} == set(errors.__all__)
    assert all(kind.__doc__ for kind in CLASSES)


def test_no_error_ends_as_a_pass_or_as_a_verdict() -> None:
    verdicts = {ExitCode.PASS, ExitCode.BLOCKED, ExitCode.INCONCLUSIVE, ExitCode.CONTINUE}
    assert {kind.exit_code for kind in CLASSES}.isdisjoint(verdicts)


def test_exit_codes_differ_and_fit_into_a_process_status() -> None:
    members = list(ExitCode.__members__.values())
    assert len(set(members)) == len(ExitCode.__members__) == len(members)
    assert all(0 <= code <= 255 for code in members)
    assert [code for code in members if code == 0] == [ExitCode.PASS]


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (EvalkitError("it broke"), "it broke"),
        (EvalkitError("it broke", file="a.yaml"), "a.yaml: it broke"),
        (EvalkitError("it broke", file=Path("d") / "a.yaml", line=3), f"d{os.sep}a.yaml:3: it broke"),
        (EvalkitError("it broke", line=3), "it broke"),
        (
            EvalkitError("it broke", file="a.yaml", line=3, key="gate.margin", value="5", fix="write 5pt"),
            "a.yaml:3: it broke\n  key:   gate.margin\n  value: '5'\n  fix:   write 5pt",
        ),
        (EvalkitError("x", value=0), "x\n  value: 0"),
        (EvalkitError("x", value=False), "x\n  value: False"),
        (EvalkitError("x", value=""), "x\n  value: ''"),
        (EvalkitError("x", value=None, key=""), "x\n  key:   "),
    ],
)
def test_the_text_says_where_what_and_how_to_fix_it(error: EvalkitError, shown: str) -> None:
    assert str(error) == shown


def test_a_value_stays_on_one_line_and_cannot_steer_a_terminal() -> None:
    text = str(EvalkitError("x", value="a\nb\x1b[2J\u202e"))
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize("size", [198, 199, 10_000])
def test_a_long_value_is_shortened_and_its_length_told(size: int) -> None:
    text = str(EvalkitError("x", value="v" * size)).partition("value: ")[2]
    if size + 2 <= 200:
        assert text == repr("v" * size)
    else:
        assert text == f"'{'v' * 199}… ({size + 2} characters)"


def test_the_parts_stay_readable_and_survive_another_process() -> None:
    error = GoldenSetError("broken", file=Path("set.parquet"), line=2, key="id", value=[1], fix="mend it")
    for again in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own bytes
        assert isinstance(again, GoldenSetError)
        assert (again.message, again.file, again.line, again.key, again.value, again.fix) == (
            "broken", "set.parquet", 2, "id", [1], "mend it",
        )  # fmt: skip
        assert str(again) == str(error)


def test_a_subclass_is_caught_as_its_parent() -> None:
    with pytest.raises(ConfigError):
        raise errors.PromptError("x")
    with pytest.raises(errors.StoreError):
        raise errors.StoreBusyError("x")


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.EROFS, "read-only"),
        (errno.EACCES, "write permission"),
        (errno.EPERM, "write permission"),
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "quota"),
    ],
)
def test_an_error_of_the_disk_says_which_path_and_what_to_do(number: int, fix: str) -> None:
    error = StorageError.from_os_error(OSError(number, os.strerror(number), "/data/runs"), "write the journal")
    assert error.message == f"cannot write the journal: {os.strerror(number)}"
    assert error.file == "/data/runs"
    assert fix in (error.fix or "")


def test_an_error_of_the_disk_without_number_or_path_is_still_told() -> None:
    error = StorageError.from_os_error(TimeoutError(), "sync")
    assert str(error) == "cannot sync: TimeoutError"
