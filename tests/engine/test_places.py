"""Where baselines are kept: a branch of a real repository, a release behind an imitation of `gh`, a file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.engine.places import BranchPlace, ChangedMeanwhileError, FilePlace, ReleasePlace, open_place
from evalkit.errors import StoreError, UsageError
from evalkit.store.archive import file_digest
from tests.conftest import ProjectFolder
from tests.store.conftest import copied, judged

__all__ = ["copied", "judged"]

GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def clones(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A repository and two clones of it."""
    origin = tmp_path / "origin.git"
    origin.mkdir()
    git(origin, "init", "--bare", "-q")
    one, two = tmp_path / "one", tmp_path / "two"
    git(tmp_path, "clone", "-q", str(origin), str(one))
    (one / "README").write_text("x", encoding="utf-8")
    git(one, "add", ".")
    git(one, "commit", "-q", "-m", "first")
    git(one, "push", "-q", "origin", "HEAD:main")
    git(tmp_path, "clone", "-q", str(origin), str(two))
    return origin, one, two


def archive_of(folder: Path, content: bytes) -> tuple[Path, str]:
    path = folder / "made.tar"
    path.write_bytes(content)
    return path, file_digest(path)


def test_a_branch_is_one_commit_that_shares_nothing_with_the_others(
    clones: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    origin, one, two = clones
    place = BranchPlace("evalkit-baseline", one)
    assert place.fetch(tmp_path / "x.tar") is None
    for content in (b"first", b"second"):
        fetched = place.fetch(tmp_path / "x.tar")
        place.keep(*archive_of(tmp_path, content), "" if fetched is None else fetched.state)
    there = BranchPlace("evalkit-baseline", two).fetch(tmp_path / "y.tar")
    assert there is not None
    assert there.path.read_bytes() == b"second"
    assert there.sha256 == file_digest(there.path)
    assert git(origin, "rev-list", "--count", "evalkit-baseline") == "1"
    assert git(origin, "ls-tree", "--name-only", "evalkit-baseline").split() == ["README.md", "baseline.tar"]
    assert git(one, "status", "--porcelain") == "", "neither the files nor the index of the checkout are touched"
    assert git(one, "branch", "--format=%(refname)").split() == ["refs/heads/main"]


def test_whoever_comes_second_is_told(clones: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, one, two = clones
    BranchPlace("b", one).keep(*archive_of(tmp_path, b"one"))
    with pytest.raises(ChangedMeanwhileError):
        BranchPlace("b", two).keep(*archive_of(tmp_path, b"two"))
    old = BranchPlace("b", two).fetch(tmp_path / "x.tar")
    assert old is not None
    BranchPlace("b", one).keep(*archive_of(tmp_path, b"three"), old.state)
    with pytest.raises(ChangedMeanwhileError):
        BranchPlace("b", two).keep(*archive_of(tmp_path, b"four"), old.state)


def test_a_branch_that_cannot_be_asked_is_not_one_that_holds_nothing(
    clones: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    origin, one, _ = clones
    shutil.rmtree(origin)
    with pytest.raises(StoreError, match="git"):
        BranchPlace("b", one).fetch(tmp_path / "x.tar")


def test_a_branch_that_names_no_digest_is_refused(clones: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, one, two = clones
    git(one, "push", "-q", "origin", "HEAD:evalkit-baseline")
    with pytest.raises(StoreError, match="does not say which digest"):
        BranchPlace("evalkit-baseline", two).fetch(tmp_path / "x.tar")


@pytest.mark.parametrize("name", ["-x", "a..b", "a//b", "x.lock", "", "a b", "x;touch y", "../x", "a/"])
def test_names_that_git_would_read_otherwise_are_refused(name: str, tmp_path: Path) -> None:
    for kind in ("branch", "release"):
        with pytest.raises(UsageError):
            open_place(f"{kind}:{name}", tmp_path)


def test_a_file_names_its_digest_beside_it(tmp_path: Path) -> None:
    place = open_place("file:kept/baseline.tar", tmp_path)
    assert isinstance(place, FilePlace)
    assert place.fetch(tmp_path / "x.tar") is None
    place.keep(*archive_of(tmp_path, b"one"))
    beside = tmp_path / "kept" / "baseline.tar.sha256"
    subprocess.run(["sha256sum", "--check", "--quiet", beside.name], cwd=beside.parent, check=True)
    fetched = place.fetch(tmp_path / "x.tar")
    assert fetched is not None
    assert fetched.sha256 == file_digest(tmp_path / "x.tar")
    beside.write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be read"):
        place.fetch(tmp_path / "x.tar")


GH = """\
#!{python}
import json, os, shutil, sys
from pathlib import Path
root = Path(os.environ["FAKE_GH"])
verb, tag, *rest = sys.argv[2:]
home = root / tag
option = lambda name: rest[rest.index(name) + 1]
with open(root / "calls", "a") as calls: calls.write(" ".join(sys.argv[1:3]) + "\\n")
if (root / "broken").exists(): sys.exit("HTTP 502")
if verb == "create":
    home.mkdir(); shutil.copy(rest[0], home); (root / "notes").write_text(option("--notes"))
elif not home.exists():
    sys.exit("release not found")
elif verb == "view":
    assets = [dict(name=path.name) for path in sorted(home.iterdir())]
    print(json.dumps(dict(body=(root / "notes").read_text(), assets=assets)))
elif verb == "upload": shutil.copy(rest[0], home)
elif verb == "edit": (root / "notes").write_text(option("--notes"))
elif verb == "download": shutil.copy(home / option("--pattern"), option("--output"))
elif verb == "delete-asset": (home / rest[0]).unlink()
else: sys.exit("unknown")
"""


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the releases of a repository, behind an imitation of `gh`."""
    root, tools = tmp_path / "releases", tmp_path / "tools"
    root.mkdir()
    tools.mkdir()
    (tools / "gh").write_text(GH.replace("{python}", sys.executable), encoding="utf-8")
    (tools / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_GH", str(root))
    return root


def test_a_release_holds_the_archive_as_an_asset(releases: Path, tmp_path: Path) -> None:
    place = ReleasePlace("evalkit-baseline", tmp_path)
    state = ""
    digests = []
    assert place.fetch(tmp_path / "x.tar") is None
    for content in (b"one", b"two", b"three"):
        archive, sha256 = archive_of(tmp_path, content)
        digests.append(sha256)
        place.keep(archive, sha256, state)
        fetched = place.fetch(tmp_path / "x.tar")
        assert fetched is not None
        assert (fetched.path.read_bytes(), fetched.sha256) == (content, sha256)
        state = fetched.state
    left = sorted(path.name for path in (releases / "evalkit-baseline").iterdir())
    assert left == sorted(f"baseline-{digest}.tar" for digest in digests[1:]), "the one before stays for who reads it"
    (releases / "broken").touch()
    with pytest.raises(StoreError, match="502"):
        place.fetch(tmp_path / "x.tar")


def test_pushed_by_one_machine_and_pulled_by_another(copied: ProjectFolder, clones: tuple[Path, Path, Path]) -> None:
    """The whole way, by the command line, on a branch."""
    origin, _, two = clones
    git(copied.path, "init", "-q")
    git(copied.path, "remote", "add", "origin", str(origin))
    pushed = copied.run("baseline", "push", "branch:evalkit-baseline")
    assert pushed.code == 0, pushed.err
    before = git(origin, "rev-parse", "evalkit-baseline")
    assert copied.run("baseline", "push", "branch:evalkit-baseline").code == 0
    assert git(origin, "rev-parse", "evalkit-baseline") == before, "what is there already is not written again"
    other = ProjectFolder(two)
    for name in ("evalkit.yaml", "prompt.md", "cases.jsonl"):
        shutil.copy(copied.path / name, two / name)
    pulled = other.run("baseline", "pull", "branch:evalkit-baseline")
    assert pulled.code == 0, pulled.err
    assert json.loads(other.run("baseline", "list", "--format", "json").out) == json.loads(
        copied.run("baseline", "list", "--format", "json").out
    )
    assert other.run("baseline", "pull", "branch:evalkit-baseline", "--sha256", "0" * 64).code == 3
    assert other.run("baseline", "pull", "branch:nothing").code == 4


def test_two_machines_that_push_lose_nothing(copied: ProjectFolder, tmp_path: Path) -> None:
    place = f"file:{tmp_path / 'bucket' / 'baseline.tar'}"
    other = ProjectFolder(Path(shutil.copytree(copied.path, tmp_path / "other")))
    latest = json.loads(copied.run("runs", "--format", "json").out)[0]["run_id"]
    assert other.run("baseline", "set", "main", latest).code == 0
    for machine in (other, copied):
        done = machine.run("baseline", "push", place)
        assert done.code == 0, done.err
    fresh = ProjectFolder(Path(shutil.copytree(copied.path, tmp_path / "fresh", ignore=lambda *_: [".evalkit"])))
    assert fresh.run("baseline", "pull", place).code == 0
    (baseline,) = json.loads(fresh.run("baseline", "list", "--format", "json").out)
    assert len(baseline["history"]) == 2
    assert baseline["history"][-1]["run_id"] == latest
