"""Where graders come from: the entry points of installed packages, and the project's own ``graders/`` folder."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import MISSING, Field, dataclass, fields
from importlib.abc import SourceLoader
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evalkit.errors import GraderError
from evalkit.fingerprint import fingerprint_bytes, short
from evalkit.grading.contract import PROJECT_MODULES, Grader, check_class
from evalkit.grading.faults import said

__all__ = ["ENTRY_POINT_GROUP", "GraderInfo", "available", "describe", "make_graders", "project_path"]

ENTRY_POINT_GROUP = "evalkit.graders"
_ROOT: ContextVar[Path | None] = ContextVar("root", default=None)
"""Folder of the project whose graders are being made."""


@dataclass(frozen=True)
class GraderInfo:
    """A grader that can be used, not loaded yet unless it is the project's own."""

    name: str
    origin: str
    load: Any

    def grader_class(self) -> type[Grader]:
        """Load the class.

        Raises:
            GraderError: when that fails, or it is no grader, or one of another name.
        """
        try:
            found = self.load()
        except (GraderError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a plugin may fail in any way while it is imported
            raise GraderError(f"the grader cannot be loaded: {said(error)}", file=self.origin, key=self.name) from error
        if not (isinstance(found, type) and issubclass(found, Grader)):
            raise GraderError("not a subclass of evalkit.grading.Grader", file=self.origin, key=self.name)
        check_class(found, self.origin)
        if found.name != self.name:
            raise GraderError(
                f"the entry point `{self.name}` leads to a grader named `{found.name}`",
                file=self.origin,
                key=self.name,
                value=found.name,
                fix=f"register it as `{found.name}`",
            )
        return found


def available(project_root: Path | None = None) -> Mapping[str, GraderInfo]:
    """All graders by name; the project's own win over installed ones.

    A name that two packages register is listed with both, and refused when it is used.

    Raises:
        GraderError: when a file of the project's folder cannot be imported, or a name occurs twice in it.
    """
    found = _installed_graders()
    if project_root is not None:
        found |= _project_graders(project_root / "graders")
    return dict(sorted(found.items()))


def _installed_graders() -> dict[str, GraderInfo]:
    points: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        points.setdefault(point.name, []).append(point)
    packages = {point.dist for those in points.values() for point in those}
    origins = {
        package: _origin(package) for package in packages
    }  # its metadata is parsed anew whenever it is asked for
    return {name: _installed(name, those, origins) for name, those in points.items()}


def _installed(name: str, points: list[EntryPoint], origins: Mapping[Distribution | None, str]) -> GraderInfo:
    origin = " and ".join(sorted(origins[point.dist] for point in points))

    def refuse() -> Any:
        raise GraderError(
            f"two packages have a grader named `{name}`",
            key=name,
            value=origin,
            fix="uninstall one of them, or put the grader of that name into the project's graders/ folder",
        )

    return GraderInfo(name, origin, points[0].load if len(points) == 1 else refuse)


def _origin(package: Distribution | None) -> str:
    return f"{package.name} {package.version}" if package else "? ?"


def _project_graders(folder: Path) -> dict[str, GraderInfo]:
    found: dict[str, GraderInfo] = {}
    if not folder.is_dir():
        return found
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith("_"):
            continue
        for kind in _graders_of(_import(path)):
            check_class(kind, str(path))
            if kind.name in found:
                raise GraderError(
                    "the grader name occurs twice", file=path, key=kind.name, value=found[kind.name].origin
                )
            found[kind.name] = GraderInfo(kind.name, str(path), lambda kind=kind: kind)
    return found


def _graders_of(module: ModuleType) -> Iterable[type[Grader]]:
    """The graders that the module defines, each once whatever names it has there."""
    classes = dict.fromkeys(value for value in vars(module).values() if inspect.isclass(value))
    for kind in classes:
        if issubclass(kind, Grader) and kind.__module__ == module.__name__ and not inspect.isabstract(kind):
            yield kind


class _Loader(SourceLoader):
    """Runs a text that was read once: what is graded with is what is in the fingerprint."""

    def __init__(self, path: Path, text: bytes) -> None:
        self._path = path
        self._text = text

    def get_filename(self, fullname: str) -> str:
        """The file, for tracebacks."""
        return str(self._path)

    def get_data(self, path: str | bytes) -> bytes:
        """The text, and never compiled code of an earlier one."""
        return self._text


def _import(path: Path) -> ModuleType:
    """Run a file as a module of its own: files of two projects may share a name, but not a module."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise GraderError(f"cannot read the grader file: {error.strerror}", file=path) from None
    name = f"{PROJECT_MODULES}{path.stem}_{short(fingerprint_bytes('grader/module', os.fsencode(path) + text))}"
    loader = _Loader(path, text)
    spec = ModuleSpec(name, loader, origin=str(path))
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException as error:  # the file is somebody's program
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise GraderError(f"the grader file cannot be imported: {said(error)}", file=path, line=line) from error
    return module


def make_graders(
    wanted: Iterable[tuple[str, Mapping[str, Any]]], project_root: Path | None = None
) -> tuple[Grader, ...]:
    """Graders with their parameters, in the order asked for.

    Args:
        wanted: Pairs of name and parameters.
        project_root: Where the project's ``graders/`` folder is.

    Raises:
        GraderError: for an unknown name, a wrong parameter, or a name twice.
    """
    known = available(project_root)
    made: dict[str, Grader] = {}
    for name, parameters in wanted:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            meant = f"did you mean `{close[0]}`? " if close else ""
            raise GraderError(f"no grader `{name}`", key="graders", fix=f"{meant}graders here: {', '.join(known)}")
        if name in made:
            raise GraderError("the grader is named twice", key="graders", value=name)
        token = _ROOT.set(project_root)
        try:
            made[name] = _make(known[name], parameters)
        finally:
            _ROOT.reset(token)
    return tuple(made.values())


def project_path(name: str) -> Path:
    """A file that a parameter of a grader names: relative to the project that is being loaded, or to this folder.

    For ``__post_init__``; keep the content, not the path: what was read then is what is graded with.
    """
    return (_ROOT.get() or Path()) / name


def _make(info: GraderInfo, parameters: Mapping[str, Any]) -> Grader:
    kind = info.grader_class()
    known = {name for name, _, _ in describe(kind)}
    for key in parameters:
        if key not in known:
            raise GraderError(
                f"grader `{info.name}` has no parameter `{key}`",
                key=f"graders.{info.name}.params.{key}",
                fix=f"parameters: {', '.join(sorted(known)) or 'none'}",
            )
    try:
        grader: Grader = TypeAdapter(kind).validate_python(dict(parameters))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise GraderError(
            problem["msg"].removeprefix("Value error, "),
            key=".".join(["graders", info.name, "params", *map(str, problem["loc"])]),
            value=problem["input"],
        ) from None
    except (GraderError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a type that cannot be checked, or a __post_init__ that fails in its own way
        raise GraderError(f"grader `{info.name}`: {said(error)}", file=info.origin) from error
    return grader


def describe(kind: Any) -> list[tuple[str, str, str]]:
    """Name, type and default of each parameter of a grader class."""
    rows = []
    for item in fields(kind):
        if not item.init:
            continue
        kind_of = item.type.__name__ if isinstance(item.type, type) else str(item.type)
        rows.append((item.name, kind_of, _default(item)))
    return rows


def _default(item: Field[Any]) -> str:
    if item.default is not MISSING:
        return repr(item.default)
    return "required" if item.default_factory is MISSING else repr(item.default_factory())
