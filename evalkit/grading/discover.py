"""Where graders come from: the entry points of installed packages, and the project's own ``graders/`` folder."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evalkit.errors import GraderError
from evalkit.grading.contract import Grader

__all__ = ["ENTRY_POINT_GROUP", "GraderInfo", "available", "describe", "make_graders"]

ENTRY_POINT_GROUP = "evalkit.graders"
_PREFIX = "evalkit_project_graders."


@dataclass(frozen=True)
class GraderInfo:
    """A grader that can be used, not loaded yet unless it is the project's own."""

    name: str
    origin: str
    load: Any

    def grader_class(self) -> type[Grader]:
        """Load the class.

        Raises:
            GraderError: when that fails or it is no grader.
        """
        try:
            found = self.load()
        except GraderError:
            raise
        except Exception as error:  # a plugin may fail in any way while it is imported
            raise GraderError(
                f"the grader cannot be loaded: {type(error).__name__}: {error}", file=self.origin, key=self.name
            ) from error
        if not (isinstance(found, type) and issubclass(found, Grader)):
            raise GraderError("not a subclass of evalkit.grading.Grader", file=self.origin, key=self.name)
        return found


def available(project_root: Path | None = None) -> Mapping[str, GraderInfo]:
    """All graders by name; the project's own win over installed ones.

    Raises:
        GraderError: when a file of the project's folder cannot be imported, or a name occurs twice in it.
    """
    found = {point.name: GraderInfo(point.name, _origin(point), point.load) for point in _entry_points()}
    if project_root is not None:
        found |= _project_graders(project_root / "graders")
    return dict(sorted(found.items()))


def _entry_points() -> Iterable[EntryPoint]:
    return entry_points(group=ENTRY_POINT_GROUP)


def _origin(point: EntryPoint) -> str:
    package = point.dist.name if point.dist else "?"
    version = point.dist.version if point.dist else "?"
    return f"{package} {version}"


def _project_graders(folder: Path) -> dict[str, GraderInfo]:
    found: dict[str, GraderInfo] = {}
    if not folder.is_dir():
        return found
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith("_"):
            continue
        module = _import(path)
        for kind in vars(module).values():
            if not (inspect.isclass(kind) and issubclass(kind, Grader) and kind.__module__ == module.__name__):
                continue
            if inspect.isabstract(kind):
                continue
            name = getattr(kind, "name", None)
            if not isinstance(name, str) or not isinstance(getattr(kind, "version", None), str):
                raise GraderError("a grader needs a name and a version", file=path, key=kind.__name__)
            if name in found:
                raise GraderError("the grader name occurs twice", file=path, key=name, value=found[name].origin)
            found[name] = GraderInfo(name, str(path), lambda kind=kind: kind)
    return found


def _import(path: Path) -> ModuleType:
    name = f"{_PREFIX}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise GraderError("cannot import the file", file=path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the file is somebody's program
        del sys.modules[name]
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise GraderError(
            f"the grader file cannot be imported: {type(error).__name__}: {error}", file=path, line=line
        ) from error
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
            raise GraderError(f"no grader `{name}`", key="graders", fix=f"graders here: {', '.join(known)}")
        if name in made:
            raise GraderError("the grader is named twice", key="graders", value=name)
        made[name] = _make(known[name], parameters)
    return tuple(made.values())


def _make(info: GraderInfo, parameters: Mapping[str, Any]) -> Grader:
    kind = info.grader_class()
    known = {name for name, _, _ in describe(kind)}
    for key in parameters:
        if key not in known:
            raise GraderError(
                f"grader `{info.name}` has no parameter `{key}`",
                key=f"graders.{info.name}.params.{key}",
                fix=f"parameters: {', '.join(known) or 'none'}",
            )
    try:
        grader: Grader = TypeAdapter(kind).validate_python(dict(parameters))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise GraderError(
            problem["msg"].removeprefix("Value error, "),
            key=f"graders.{info.name}.params.{key}",
            value=problem["input"],
        ) from None
    except TypeError as error:
        raise GraderError(f"grader `{info.name}`: {error}", file=info.origin) from None
    return grader


def describe(kind: Any) -> list[tuple[str, str, str]]:
    """Name, type and default of each parameter of a grader class."""
    if not is_dataclass(kind):
        return []
    rows = []
    for item in fields(kind):
        default = "required" if item.default is MISSING and item.default_factory is MISSING else repr(item.default)
        kind_of = item.type if isinstance(item.type, str) else getattr(item.type, "__name__", str(item.type))
        rows.append((item.name, kind_of, default))
    return rows
