"""Baselines between machines: what a place keeps, joined with what the project's store holds."""

from __future__ import annotations

import tempfile
from pathlib import Path

from evalkit.engine.places import ChangedMeanwhileError, open_place
from evalkit.store.archive import Exported, export_baselines
from evalkit.store.importing import Imported, import_baselines
from evalkit.workflow import Project

__all__ = ["pull_baselines", "push_baselines"]

_PUSHES = 4
"""Times that a baseline is pushed where others push at the same time."""


def pull_baselines(project: Project, place: str, sha256: str = "") -> Imported | None:
    """Bring the baselines that are kept at a place into the project's store; None where it holds none.

    Args:
        project: The project.
        place: See :func:`evalkit.engine.places.open_place`.
        sha256: Digest that the archive must have; default the one that the place names.

    Raises:
        EvalkitError: when the place cannot be asked, or what it holds is not what it should be.
    """
    with tempfile.TemporaryDirectory() as folder:
        fetched = open_place(place, project.root).fetch(Path(folder) / "baseline.tar")
        if fetched is None:
            return None
        return import_baselines(project.store, fetched.path, sha256 or fetched.sha256)


def push_baselines(project: Project, place: str, name: str | None = None, *, runs: int = 50) -> Exported:
    """Keep baselines at a place, joined with what it holds.

    Args:
        project: The project.
        place: See :func:`evalkit.engine.places.open_place`.
        name: Of the baselines; default the project's.
        runs: Newest runs of each history that go along.

    Raises:
        EvalkitError: when the place cannot be asked, or does not take it; what it holds is as it was then.
    """
    where = open_place(place, project.root)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "baseline.tar"
        for left in reversed(range(_PUSHES)):
            fetched = where.fetch(Path(folder) / "kept.tar")
            if fetched is not None:
                import_baselines(project.store, fetched.path, fetched.sha256)
            done = export_baselines(project.store, archive, name or project.spec.baseline.name, runs=runs)
            try:
                if fetched is None or fetched.sha256 != done.sha256:
                    where.keep(archive, done.sha256, "" if fetched is None else fetched.state)
                break
            except ChangedMeanwhileError:
                if not left:
                    raise
    return done
