"""The index of verdicts saves reading them; what has changed is read, and what is damaged is reported."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import StoreError
from evalkit.store import Verdicts

INDEX = Path("verdicts") / ".index"


def content(name: str, **changes: Any) -> bytes:
    plain = {
        "workflow": "w",
        "verdict": "PASS",
        "sentence": "",
        "baseline_run": "",
        "baseline_name": "main",
        "rules": [],
    }
    return json.dumps({**plain, "id": name, "candidate_run": "run", "created_us": 1, **changes}).encode()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with three verdicts that were looked at once."""
    verdicts = Verdicts(tmp_path)
    for number in range(3):
        verdicts.save(f"v{number}", content(f"v{number}", created_us=number, candidate_run=f"run-{number // 2}"))
    verdicts.check()
    return tmp_path


def test_what_has_not_changed_is_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Verdicts(root).entries()
    monkeypatch.setattr(Verdicts, "read", None)
    assert Verdicts(root).entries() == before
    assert [entry.candidate_run for entry in before.values()] == ["run-0", "run-0", "run-1"]


def test_a_damaged_verdict_is_reported_though_it_was_whole_before(root: Path) -> None:
    path = root / "verdicts" / "v1.json"
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(StoreError, match="not a readable verdict") as caught:
        Verdicts(root).check()
    assert caught.value.file == str(path)
    with pytest.raises(StoreError, match="not a readable verdict"):
        Verdicts(root).of_run("run-0")


def test_one_that_goes_while_they_are_looked_at_takes_no_other_along(root: Path) -> None:
    (root / "verdicts" / "v1-gone.json").symlink_to("nowhere")
    assert [path.stem for path in Verdicts(root).entries()] == ["v0", "v1", "v2"]


@pytest.mark.parametrize("damage", [b"[]", b"{}", content("x", created_us="soon"), b"\xff"])
def test_whatever_is_no_verdict_is_reported(root: Path, damage: bytes) -> None:
    (root / "verdicts" / "v9.json").write_bytes(damage)
    with pytest.raises(StoreError):
        Verdicts(root).check()


def test_a_verdict_of_the_same_size_and_time_is_read_anew(root: Path) -> None:
    path = root / "verdicts" / "v1.json"
    state = path.stat()
    Verdicts(root).save("v1", content("v1", created_us=7, candidate_run="run-0"))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    assert Verdicts(root).entries()[path].created_us == 7


@pytest.mark.parametrize("damage", [b"", b"[1]", b"{}", b'{"v0.json": 3}', b'{"v0.json": {"state": [1]}}', b"\xff\xfe"])
def test_a_damaged_index_is_made_again(root: Path, damage: bytes) -> None:
    (root / INDEX).write_bytes(damage)
    assert len(Verdicts(root).entries()) == 3
    assert json.loads((root / INDEX).read_bytes()).keys() == {"v0.json", "v1.json", "v2.json"}


def test_a_verdict_that_is_gone_leaves_the_index(root: Path) -> None:
    (root / "verdicts" / "v2.json").unlink()
    assert Verdicts(root).of_run("run-1") is None
    assert "v2.json" not in json.loads((root / INDEX).read_bytes())


def test_the_newest_verdict_on_a_run(root: Path) -> None:
    found = Verdicts(root).of_run("run-0")
    assert found is not None
    assert found["id"] == "v1"


def test_a_store_without_verdicts(tmp_path: Path) -> None:
    Verdicts(tmp_path).check()
    assert (list(Verdicts(tmp_path).all()), Verdicts(tmp_path).of_run("run")) == ([], None)
    assert not (tmp_path / "verdicts").exists()
