"""Where a baseline is kept between machines: a file, an orphan branch of the repository, a release of it.

A place holds one archive (:mod:`evalkit.store.archive`) and, apart from it, the digest that the archive must have. Who
can change the digest can change the baseline: of a branch everybody who may push to it, of a release everybody who may
write the repository's contents. A place that holds nothing is not an error; one that cannot be asked is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evalkit.atomic import atomic_path, write_text
from evalkit.errors import StorageError, StoreError, UsageError
from evalkit.store.archive import MOST_BYTES

__all__ = ["BranchPlace", "ChangedMeanwhileError", "Fetched", "FilePlace", "Place", "ReleasePlace", "open_place"]

_ARCHIVE = "baseline.tar"
_TRAILER = "Evalkit-Baseline-Sha256"
_DIGEST = re.compile(rf"^{_TRAILER}: ([0-9a-f]{{64}})$", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_MOST_BLOB = 100 * 1024**2
"""GitHub takes no larger file into a repository."""
_TIMEOUT_S = 900
_README = """\
# The baseline of evalkit

`evalkit baseline push` writes this branch and `evalkit baseline pull` reads it. Its one commit has no parent, so that
what was here before does not stay in every clone; its message names the digest of `baseline.tar`.
"""


class ChangedMeanwhileError(StoreError):
    """Somebody else has kept a baseline since this one was fetched."""


@dataclass(frozen=True)
class Fetched:
    """An archive that was brought from a place."""

    path: Path
    sha256: str
    """That the place says it has; empty where it says none."""
    state: str = ""
    """Of the place, for :meth:`Place.keep`."""


class Place(Protocol):
    """Where one archive is kept."""

    def fetch(self, target: Path) -> Fetched | None:
        """Bring the archive to a file; None where the place holds none.

        Raises:
            StoreError: when the place cannot be asked, or does not hold what it says.
        """
        ...

    def keep(self, archive: Path, sha256: str, state: str = "") -> None:
        """Put an archive in the place of the one that was fetched.

        Raises:
            ChangedMeanwhileError: when there is another one now.
            StoreError: when the place does not take it.
        """
        ...


def open_place(text: str, folder: Path) -> Place:
    """A place as the command line names it.

    Args:
        text: ``branch:NAME`` of the remote `origin`, ``release:TAG``, ``file:PATH`` or a path.
        folder: In the repository; paths are relative to it.

    Raises:
        UsageError: when it names none.
    """
    kind, colon, name = text.partition(":")
    if kind in {"branch", "release"} and colon:
        if not _NAME.fullmatch(name) or ".." in name or "//" in name or name.endswith(("/", ".", ".lock")):
            raise UsageError(f"not the name of a {kind}", key="PLACE", value=name)
        return BranchPlace(name, folder) if kind == "branch" else ReleasePlace(name, folder)
    path = name if kind == "file" and colon else text
    if not path:
        raise UsageError("a place is branch:NAME, release:TAG or a file", key="PLACE", value=text)
    return FilePlace(folder / path)


@dataclass(frozen=True)
class FilePlace:
    """A file, for example in a mounted bucket or fetched as an artifact, with its digest in a second one beside it."""

    path: Path

    @property
    def _beside(self) -> Path:
        return self.path.with_name(f"{self.path.name}.sha256")

    def fetch(self, target: Path) -> Fetched | None:
        """See :class:`Place`."""
        if not self.path.exists():
            return None
        said = ""
        try:
            if self._beside.exists():
                said = self._beside.read_text(encoding="utf-8", errors="replace").split(maxsplit=1)[0]
            with atomic_path(target) as partial:
                shutil.copyfile(self.path, partial)
        except (OSError, IndexError) as error:
            raise StoreError(f"the baseline cannot be read: {error}", file=self.path) from None
        return Fetched(target, said, said)

    def keep(self, archive: Path, sha256: str, state: str = "") -> None:
        """See :class:`Place`. The digest follows the file: a reader in between sees that they do not agree."""
        with atomic_path(self.path) as partial:
            shutil.copyfile(archive, partial)
        write_text(self._beside, f"{sha256}  {self.path.name}\n")


@dataclass(frozen=True)
class BranchPlace:
    """A branch that shares nothing with the others: one commit without a parent, with the archive as its only content.

    Git checks the content against the commit, and the commit's message names the digest. A push succeeds only where
    the branch is still as it was fetched.
    """

    branch: str
    folder: Path
    remote: str = "origin"

    @property
    def _ref(self) -> str:
        return f"refs/heads/{self.branch}"

    def fetch(self, target: Path) -> Fetched | None:
        """See :class:`Place`."""
        listed = self._git("ls-remote", self.remote, self._ref)
        found = [line.split("\t")[0] for line in listed.splitlines() if line.endswith(f"\t{self._ref}")]
        if not found:
            return None
        self._git("fetch", "--quiet", "--no-tags", "--depth=1", self.remote, f"+{self._ref}:refs/evalkit/{self.branch}")
        commit = self._git("rev-parse", "--verify", f"refs/evalkit/{self.branch}^{{commit}}").strip()
        digests = _DIGEST.findall(self._git("show", "--no-patch", "--format=%B", commit))
        if len(digests) != 1:
            raise StoreError(f"branch {self.branch} does not say which digest its baseline has", fix=self._fix)
        size = int(self._git("cat-file", "-s", f"{commit}:{_ARCHIVE}"))
        if size > MOST_BYTES:
            raise StoreError(f"the baseline of branch {self.branch} has {size:,} bytes, more than one may have")
        with atomic_path(target) as partial, open(partial, "wb") as handle:
            _run(["git", "cat-file", "blob", f"{commit}:{_ARCHIVE}"], self.folder, stdout=handle.fileno())
        return Fetched(target, digests[0], commit)

    def keep(self, archive: Path, sha256: str, state: str = "") -> None:
        """See :class:`Place`."""
        if archive.stat().st_size > _MOST_BLOB:
            raise StoreError(
                f"the baseline has {archive.stat().st_size:,} bytes; a branch takes files of {_MOST_BLOB:,}",
                fix="keep it in a release: release:TAG; or take fewer runs along: --runs N",
            )
        blob = self._git("hash-object", "-w", "--", str(archive.resolve())).strip()
        readme = self._git("hash-object", "-w", "--stdin", said=_README).strip()
        tree = self._git("mktree", said=f"100644 blob {readme}\tREADME.md\n100644 blob {blob}\t{_ARCHIVE}\n").strip()
        message = f"The baseline of evalkit\n\n{_TRAILER}: {sha256}\n"
        commit = self._git("commit-tree", tree, said=message).strip()
        lease = f"--force-with-lease={self._ref}:{state}"
        try:
            self._git("push", "--quiet", lease, self.remote, f"{commit}:{self._ref}")
        except StoreError as error:
            if "stale info" in str(error) or "fetch first" in str(error):
                raise ChangedMeanwhileError(f"branch {self.branch} was changed meanwhile") from None
            raise

    @property
    def _fix(self) -> str:
        return f"delete the branch and write it again: evalkit baseline push branch:{self.branch}"

    def _git(self, *arguments: str, said: str = "") -> str:
        return _run(["git", "-c", "core.hooksPath=/dev/null", *arguments], self.folder, said=said)


@dataclass(frozen=True)
class ReleasePlace:
    """An asset of a release, by GitHub's own command line `gh`, which takes its token from ``GH_TOKEN``.

    The asset is named by its digest and the notes of the release say which one counts, so that what is current
    changes at once. Assets can have two gigabytes.
    """

    tag: str
    folder: Path

    def fetch(self, target: Path) -> Fetched | None:
        """See :class:`Place`."""
        release = self._view()
        if release is None:
            return None
        digests = _DIGEST.findall(str(release.get("body", "")).replace("\r\n", "\n"))
        if len(digests) != 1:
            raise StoreError(f"the notes of release {self.tag} do not say which digest the baseline has")
        with atomic_path(target) as partial:
            self._gh("release", "download", self.tag, "--pattern", _asset(digests[0]), "--output", str(partial))
        return Fetched(target, digests[0], digests[0])

    def keep(self, archive: Path, sha256: str, state: str = "") -> None:
        """See :class:`Place`. Two that write at once: the later one counts, and neither is half there."""
        release = self._view()
        notes = f"Written by `evalkit baseline push`; not a version of this software.\n\n{_TRAILER}: {sha256}\n"
        named = archive.with_name(_asset(sha256))
        shutil.copyfile(archive, named)
        try:
            if release is None:
                title = ["--title", "The baseline of evalkit", "--notes", notes, "--prerelease", "--latest=false"]
                self._gh("release", "create", self.tag, str(named), *title)
                return
            self._gh("release", "upload", self.tag, str(named), "--clobber")
            self._gh("release", "edit", self.tag, "--notes", notes)
        finally:
            named.unlink(missing_ok=True)
        for asset in release.get("assets", []):
            name = str(asset.get("name", ""))
            if re.fullmatch(r"baseline-[0-9a-f]{64}\.tar", name) and name not in {_asset(sha256), _asset(state)}:
                self._gh("release", "delete-asset", self.tag, name, "--yes")

    def _view(self) -> Mapping[str, list[Mapping[str, str]]] | None:
        try:
            text = self._gh("release", "view", self.tag, "--json", "body,assets")
        except StoreError as error:
            if "release not found" in str(error):
                return None
            raise
        try:
            found: Mapping[str, list[Mapping[str, str]]] = json.loads(text)
        except ValueError:
            raise StoreError(f"`gh release view {self.tag}` did not answer in JSON") from None
        return found

    def _gh(self, *arguments: str) -> str:
        return _run(["gh", *arguments], self.folder)


def _asset(sha256: str) -> str:
    return f"baseline-{sha256}.tar"


def _run(command: Sequence[str], folder: Path, *, said: str = "", stdout: int = subprocess.PIPE) -> str:
    """Run a program; what it prints. It never asks a person for anything.

    Raises:
        StoreError: when it fails; with what it said.
        StorageError: when it cannot be started.
    """
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GH_PROMPT_DISABLED": "1",
        **{f"GIT_{who}_NAME": "evalkit" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "evalkit@users.noreply.github.com" for who in ("AUTHOR", "COMMITTER")},
    }
    try:
        done = subprocess.run(  # noqa: S603 - an argument list; names were checked
            list(command), cwd=folder, env=environment, input=said.encode(), stdout=stdout, stderr=subprocess.PIPE,
            timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise StoreError(f"`{command[0]}` did not end within {_TIMEOUT_S} s") from None
    except OSError as error:
        raise StorageError.from_os_error(error, f"run {command[0]}") from error
    if done.returncode:
        said_why = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
        words = [word for word in command[1:] if not word.startswith("-") and "=" not in word][:2]
        raise StoreError(f"`{command[0]} {' '.join(words)}` failed: {said_why[-500:]}")
    return (done.stdout or b"").decode("utf-8", "replace")
