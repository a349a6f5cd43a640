"""``evalkit init``."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import click

__all__ = ["command", "template_files"]


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
def command(folder: Path, force: bool) -> None:
    """Lay down a project in FOLDER (default here) that runs at once, on a simulated model."""
    from evalkit.atomic import write_text
    from evalkit.errors import UsageError

    files = dict(template_files())
    present = [name for name in files if (folder / name).exists()]
    if present and not force:
        raise UsageError(
            f"there is already {', '.join(sorted(present))}", file=folder, fix="choose another folder, or give --force"
        )
    for name, text in files.items():
        write_text(folder / name, text)
        click.echo(f"wrote {folder / name}")
    click.echo(_NEXT.format(cd="" if str(folder) == "." else f"  cd {folder}\n"))


_NEXT = """
Next:
{cd}  evalkit run --set-baseline main    # the first run is the baseline
  # edit prompts/support.md, for example remove a refusal rule, then
  evalkit run                          # what broke, by how much, under which rule"""


def template_files() -> Iterator[tuple[str, str]]:
    """Relative path and text of each file of the template."""
    yield from _walk(resources.files("evalkit.cli").joinpath("templates", "init"), "")


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.name == "__pycache__":
            continue
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry.read_text(encoding="utf-8")
