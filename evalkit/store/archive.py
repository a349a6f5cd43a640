"""A baseline in one file: what a comparison on another machine needs, and a manifest with the digest of every piece.

The file is a POSIX ``ustar`` archive, not compressed, for Parquet already is. Its first member, ``manifest.json``,
lists all others in order with size and SHA-256; headers hold nothing else but name, size and mode. So the manifest
determines every byte that is not content: the same baselines make the same file, ``tar tf`` reads it, and a reader
compares headers instead of interpreting them. Links, devices, other owners, sparse files, a path given twice or bytes
after the end cannot even be written down.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Self

from evalkit import codec
from evalkit.atomic import atomic_path
from evalkit.errors import StorageError, StoreError, UsageError
from evalkit.store.baselines import Baseline, Baselines
from evalkit.store.cases import cases_path
from evalkit.store.runs import RunFolder, Runs

__all__ = ["MOST_BYTES", "ArchiveReader", "Entry", "Exported", "Manifest", "export_baselines", "file_digest"]

MOST_BYTES = 8 * 1024**3
"""Size of an archive that is written or read."""
_MOST_FILES = 20_000
_MOST_MANIFEST = 8 * 1024**2
_BLOCK = 512
_PIECE = 1024**2
_NAME = "manifest.json"
_PATHS = re.compile(
    r"""baselines/(?!\.{1,2}/)[^/\\\x00-\x1f\x7f]{1,100}/[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.json
    | cases/[0-9a-f]{16}-[0-9a-f]{8}\.parquet
    | runs/[0-9A-HJKMNP-TV-Z]{26}/(?:run\.json|(?:trials|traces|(?:scores|regrades)-[0-9a-f]{12})\.parquet)""",
    re.VERBOSE,
)
_FIX = "export the baseline again, or fetch the file again: it was changed or cut off on its way"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive."""

    path: str
    """Below the store, with slashes."""
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an archive holds."""

    files: tuple[Entry, ...]
    """In the order in which they follow; sorted by path."""
    schema: Literal["evalkit.baseline-archive/1"] = "evalkit.baseline-archive/1"


@dataclass(frozen=True)
class Exported:
    """What was written."""

    baselines: tuple[Baseline, ...]
    runs: int
    size: int
    sha256: str
    """Of the whole file."""


def file_digest(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal digits, as ``sha256sum`` prints it.

    Raises:
        StorageError: when it cannot be read.
    """
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise StorageError.from_os_error(error, "read a file") from error


def export_baselines(root: Path, target: Path, name: str, *, runs: int = 50) -> Exported:
    """Write the baselines of a name, of all workflows, with the newest runs of their histories, into one file.

    Verdicts, journals and the catalogue stay: they belong to the machine. The same baselines give the same bytes.

    Args:
        root: The store.
        target: The file to write.
        name: Of the baselines.
        runs: Runs of each history that go along, the newest ones; at least the current one does.

    Raises:
        UsageError: when there is no baseline of that name.
        StoreError: when a run that a baseline stands on, or its cases, are gone.
        StorageError: when the disk does not take it.
    """
    baselines = [item for item in Baselines(root).all() if item.name == name and item.current is not None]
    if not baselines:
        raise UsageError(f"there is no baseline `{name}`", file=root, fix=f"make it: evalkit run --set-baseline {name}")
    folders = {folder.path: folder for item in baselines for folder in _history(root, item, max(1, runs))}
    paths = {f"baselines/{item.workflow}/{name}.json" for item in baselines}
    for folder in folders.values():
        held = (f"runs/{folder.path.name}/{file.name}" for file in folder.path.iterdir())
        paths.update(path for path in held if _PATHS.fullmatch(path))
        paths.add(_cases_of(root, folder))
    foreign = [path for path in paths if not _PATHS.fullmatch(path)]
    if foreign:
        raise StoreError("its name cannot be in an archive", file=root / min(foreign), fix="rename the workflow")
    manifest = Manifest(tuple(_entry(root, path) for path in sorted(paths)))
    _check_size(manifest, root)
    with atomic_path(target) as partial, open(partial, "wb") as handle:
        _write(handle, root, manifest)
    return Exported(tuple(baselines), len(folders), target.stat().st_size, file_digest(target))


def _history(root: Path, baseline: Baseline, most: int) -> Iterator[RunFolder]:
    """The newest runs of a baseline that are in the store; the current one must be."""
    store = Runs(root)
    for entry in baseline.history[-most:]:
        folder = store.folder(entry.run_id)
        if folder is not None:
            yield folder
        elif entry is baseline.history[-1]:
            raise StoreError(
                f"baseline `{baseline.name}` of {baseline.workflow} stands on run {entry.run_id}, "
                "which is not in the store",
                file=root,
                fix=f"accept another run: evalkit baseline set {baseline.name} RUN",
            )


def _cases_of(root: Path, folder: RunFolder) -> str:
    path = cases_path(root, folder.run.golden_set.digest, folder.run.redaction)
    if not path.is_file():
        raise StoreError(f"the cases of run {folder.run.run_id} are not in the store", file=path)
    return f"cases/{path.name}"


def _entry(root: Path, path: str) -> Entry:
    file = root / path
    return Entry(path, file.stat().st_size, file_digest(file))


def _header(path: str, size: int) -> bytes:
    """The one header that a file of this name and size has."""
    info = tarfile.TarInfo(path)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")


def _padding(size: int) -> bytes:
    return b"\0" * (-size % _BLOCK)


def _end(size: int) -> bytes:
    """Two empty blocks, up to a whole record."""
    return b"\0" * (2 * _BLOCK + (-(size + 2 * _BLOCK) % tarfile.RECORDSIZE))


def _write(handle: BinaryIO, root: Path, manifest: Manifest) -> None:
    content = codec.encode(manifest)
    handle.write(_header(_NAME, len(content)) + content + _padding(len(content)))
    for entry in manifest.files:
        handle.write(_header(entry.path, entry.size))
        digest = hashlib.sha256()
        with open(root / entry.path, "rb") as source:
            while piece := source.read(_PIECE):
                digest.update(piece)
                handle.write(piece)
        if digest.hexdigest() != entry.sha256:
            raise StoreError("changed while it was exported", file=root / entry.path, fix="export again")
        handle.write(_padding(entry.size))
    handle.write(_end(handle.tell()))


def _check_size(manifest: Manifest, file: Path) -> None:
    total = sum(entry.size for entry in manifest.files)
    if len(manifest.files) > _MOST_FILES or total > MOST_BYTES:
        raise StoreError(
            f"a baseline of {len(manifest.files):,} files and {total:,} bytes is more than the "
            f"{_MOST_FILES:,} files and {MOST_BYTES:,} bytes that an archive may hold",
            file=file,
            fix="export fewer runs: --runs N",
        )


class ArchiveReader:
    """Reads an archive that somebody else may have made. Use as a context manager.

    Nothing of it is believed: each byte is either determined by the manifest or held against a digest there.

    Args:
        path: The archive.
        sha256: Digest of the whole file that is known from elsewhere; empty where none is.

    Raises:
        StoreError: when it is not an archive, or not the one that was asked for.
        StorageError: when it cannot be read.
    """

    def __init__(self, path: Path, sha256: str = "") -> None:
        self._path = path
        try:
            size = path.stat().st_size
            if size > MOST_BYTES:
                raise self._wrong(f"{size:,} bytes, more than an archive may have")
            if sha256 and (found := file_digest(path)) != sha256.lower().removeprefix("sha256:"):
                raise self._wrong(f"its SHA-256 is {found}, and {sha256} was expected")
            self._handle = open(path, "rb")  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise StorageError.from_os_error(error, "read the archive") from error
        try:
            self.manifest = self._read_manifest(size)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._handle.close()

    def extract(self, folder: Path) -> None:
        """Write all files below a folder, which should be empty; to be called once.

        Raises:
            StoreError: when a file is not what the manifest says.
            StorageError: when the disk does not take it.
        """
        try:
            for entry in self.manifest.files:
                target = folder / entry.path
                target.parent.mkdir(parents=True, exist_ok=True)
                self._expect(_header(entry.path, entry.size), f"the header of {entry.path}")
                self._copy(entry, target)
            self._expect(_end(self._handle.tell()), "its end")
            if self._handle.read(1):
                raise self._wrong("there is something after its end")
        except OSError as error:
            raise StorageError.from_os_error(error, "unpack the archive") from error

    def _copy(self, entry: Entry, target: Path) -> None:
        digest, left = hashlib.sha256(), entry.size
        with open(target, "xb") as handle:
            while left and (piece := self._handle.read(min(left, _PIECE))):
                digest.update(piece)
                handle.write(piece)
                left -= len(piece)
        if left or digest.hexdigest() != entry.sha256:
            raise self._wrong(f"{entry.path} is not the file that its manifest names")
        self._expect(_padding(entry.size), f"what follows {entry.path}")

    def _read_manifest(self, size: int) -> Manifest:
        head = self._handle.read(_BLOCK)
        try:
            length = int(head[124:136].rstrip(b"\0 ") or b"-", 8)
        except ValueError:
            raise self._wrong("it does not begin with a manifest") from None
        if not 0 <= length <= min(size, _MOST_MANIFEST) or head != _header(_NAME, length):
            raise self._wrong("it does not begin with a manifest")
        content = self._handle.read(length)
        self._expect(_padding(length), "what follows the manifest")
        try:
            manifest = codec.decode(Manifest, content)
        except codec.ValidationError as error:
            raise self._wrong(f"its manifest does not read: {str(error).splitlines()[0]}") from None
        if codec.encode(manifest) != content:
            raise self._wrong("its manifest is not as evalkit writes it")
        self._check(manifest.files)
        _check_size(manifest, self._path)
        return manifest

    def _check(self, files: Sequence[Entry]) -> None:
        paths = [entry.path for entry in files]
        if paths != sorted(set(paths)):
            raise self._wrong("its files are not in order, or one is there twice")
        for entry in files:
            if not _PATHS.fullmatch(entry.path):
                raise self._wrong(f"`{entry.path[:200]}` is not a file of a baseline")
            if entry.size < 0 or not re.fullmatch("[0-9a-f]{64}", entry.sha256):
                raise self._wrong(f"the size or digest of {entry.path} is none")
            try:
                _header(entry.path, entry.size)
            except ValueError:
                raise self._wrong(f"{entry.path} cannot be the name of a file in an archive") from None

    def _expect(self, expected: bytes, what: str) -> None:
        if self._handle.read(len(expected)) != expected:
            raise self._wrong(f"{what} is not as evalkit writes it")

    def _wrong(self, why: str) -> StoreError:
        return StoreError(f"not a baseline that can be imported: {why}", file=self._path, fix=_FIX)
