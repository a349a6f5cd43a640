"""Where the files of a model are, and the digest that says which they are.

A model is a folder, or a commit of a repository on the Hugging Face hub. Three files of it are read and no other:
``config.json``, ``tokenizer.json`` and the weights, ONNX (with its external data, where it has any) or safetensors.
Pickled weights and code that comes with a model are never touched.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from evalkit.errors import GraderError
from evalkit.fingerprint import fingerprint

__all__ = ["ModelFiles", "find_files", "read"]

WEIGHTS = ("model.onnx", "onnx/model.onnx", "model.safetensors")
"""Where weights are looked for, the first one counts."""
_EXTERNAL = ("_data", ".data")
"""What is added to the name of an ONNX file where its weights are in a file beside it."""
_PROJECT = "evalkit.yaml"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_EXPORT = "export it: optimum-cli export onnx --model NAME FOLDER"
_NEEDED = {".onnx": ("onnxruntime", "tokenizers"), ".safetensors": ("safetensors", "tokenizers")}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a model."""

    config: Path
    tokenizer: Path
    weights: Path
    external: tuple[Path, ...]
    """Further files that hold the weights of an ONNX model."""
    digest: str
    """Hash of what is in them, wherever they are."""


def find_files(model: str, revision: str, file: str, *, download: bool, key: str) -> ModelFiles:
    """The files of a model, with their digest.

    Args:
        model: A folder where ``revision`` is empty, else the name of a repository on the hub.
        revision: A commit of that repository, 40 hexadecimal digits.
        file: The weights within it; empty for the first of ``model.onnx``, ``onnx/model.onnx``, ``model.safetensors``.
        download: Whether what is missing may be fetched from the hub.
        key: Where the parameters stand, for errors.

    Raises:
        GraderError: when a file is missing or cannot be read, a package is not installed, or the weights are of a
            kind that is not read.
    """
    if file and Path(file).suffix not in _NEEDED:
        raise GraderError(
            "weights are ONNX or safetensors; pickled ones can run code and are not read",
            key=f"{key}.file", value=file, fix=_EXPORT,
        )  # fmt: skip
    names = (file,) if file else WEIGHTS
    found = _on_hub(model, revision, names, download, key) if revision else _in_folder(model, names, key)
    for package in _NEEDED[found[2].suffix]:
        require(package, key)
    return _with_digest(*found)


def require(package: str, key: str) -> None:
    """Raise where a package of the extra is not installed."""
    if find_spec(package) is None:
        raise GraderError(
            f"a local model needs the package {package}, which is not installed",
            key=key, fix="pip install 'evalkit[models]'",
        )  # fmt: skip


def read(files: ModelFiles) -> tuple[dict[str, bytes], str]:
    """The content of the files by role (external data by name), and their digest as read.

    Raises:
        GraderError: when one cannot be read.
    """
    content: dict[str, bytes] = {}
    try:
        for role, path in _roles(files.config, files.tokenizer, files.weights, files.external).items():
            content[role] = path.read_bytes()
    except OSError as error:
        raise GraderError(f"cannot read a file of the model: {error.strerror}", file=error.filename) from None
    return content, _digest({role: hashlib.sha256(data).hexdigest() for role, data in content.items()})


def _in_folder(model: str, names: tuple[str, ...], key: str) -> tuple[Path, Path, Path, tuple[Path, ...]]:
    folder = _folder(model)
    if not folder.is_dir():
        raise GraderError(
            "no such folder",
            file=folder, key=f"{key}.model", value=model,
            fix="name a folder; a model of the hub needs `revision`, its commit of 40 hexadecimal digits",
        )  # fmt: skip
    weights = next((folder / name for name in names if (folder / name).is_file()), None)
    if weights is None:
        pickled = next(iter(sorted(folder.glob("*.bin"))), None)
        shards = "model.safetensors.index.json" if (folder / "model.safetensors.index.json").is_file() else ""
        what = (
            f"{pickled.name} is pickled and can run code, so it is not read" if pickled
            else "safetensors in several files are not read" if shards else "it has no weights"
        )  # fmt: skip
        raise GraderError(what, file=folder, key=f"{key}.file", value=" or ".join(names), fix=_EXPORT)
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise GraderError(
                f"the model has no {name}", file=folder, key=f"{key}.model", fix=f"put its {name} beside the weights"
            )
    beside = tuple(path for end in _EXTERNAL if (path := weights.with_name(weights.name + end)).is_file())
    return folder / "config.json", folder / "tokenizer.json", weights, beside if weights.suffix == ".onnx" else ()


def _folder(model: str) -> Path:
    """A relative folder is one of the project, from wherever in it evalkit was started."""
    path, here = Path(model).expanduser(), Path.cwd()
    project = next((folder for folder in (here, *here.parents) if (folder / _PROJECT).is_file()), here)
    return path if path.is_absolute() else project / path


def _on_hub(
    model: str, revision: str, names: tuple[str, ...], download: bool, key: str
) -> tuple[Path, Path, Path, tuple[Path, ...]]:
    if not _COMMIT.fullmatch(revision):
        raise GraderError(
            "a branch or a tag can move",
            key=f"{key}.revision", value=revision, fix="give the commit, 40 hexadecimal digits in lower case",
        )  # fmt: skip
    require("huggingface_hub", key)
    config = _fetched(model, revision, "config.json", download, key)
    tokenizer = _fetched(model, revision, "tokenizer.json", download, key)
    weights = next((path for name in names if (path := _fetched(model, revision, name, download, key))), None)
    if config is None or tokenizer is None or weights is None:
        missing = "config.json" if config is None else "tokenizer.json" if tokenizer is None else " or ".join(names)
        wanted = f"config.json tokenizer.json {names[0]}"
        fix = (
            f"{_EXPORT}, and name the folder" if download
            else f"`download: true`, or once: hf download {model} {wanted} --revision {revision}"
        )  # fmt: skip
        where = "the repository has" if download else "the cache of the hub on this machine has"
        raise GraderError(f"{where} no {missing} of this model", key=f"{key}.model", value=model, fix=fix)
    found: tuple[Path, ...] = ()
    if weights.suffix == ".onnx":
        name = next(name for name in names if weights.as_posix().endswith(name))
        found = tuple(path for end in _EXTERNAL if (path := _fetched(model, revision, name + end, download, key)))
    return config, tokenizer, weights, found


def _fetched(model: str, revision: str, name: str, download: bool, key: str) -> Path | None:
    """A file of the hub, from the cache or, where that is allowed, over the network; None where there is none."""
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        # hf_hub_download calls the hub even where it is told to use local files only, to tell it who asks
        constants.HF_HUB_DISABLE_TELEMETRY = True
        cached = try_to_load_from_cache(model, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
        return Path(hf_hub_download(model, name, revision=revision)) if download and cached is None else None
    except LocalEntryNotFoundError as error:  # the network failed, and the cache has no copy
        reason: Exception = error
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = error
    raise GraderError(
        f"the hub does not give {name}: {str(reason).partition(chr(10))[0][:300]}",
        key=f"{key}.model", value=model, fix="check the name, the commit and the network; HF_TOKEN for a private one",
    )  # fmt: skip


def _with_digest(config: Path, tokenizer: Path, weights: Path, external: tuple[Path, ...]) -> ModelFiles:
    roles = _roles(config, tokenizer, weights, external)
    try:
        digest = _digest({role: _sha256(path, *_state(path)) for role, path in roles.items()})
    except OSError as error:
        raise GraderError(f"cannot read a file of the model: {error.strerror}", file=error.filename) from None
    return ModelFiles(config, tokenizer, weights, external, digest)


def _roles(config: Path, tokenizer: Path, weights: Path, external: tuple[Path, ...]) -> dict[str, Path]:
    kind = weights.suffix.removeprefix(".")
    beside = {f"external {path.name}": path for path in external}
    return {"config": config, "tokenizer": tokenizer, kind: weights, **beside}


def _digest(hashes: dict[str, str]) -> str:
    return fingerprint("grader/model", hashes)


def _state(path: Path) -> tuple[int, int, int]:
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


@lru_cache(maxsize=64)
def _sha256(path: Path, _inode: int, _size: int, _changed: int) -> str:
    """Hash of a file, once for each state of it: several graders may share a model."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
