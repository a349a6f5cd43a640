"""The public surface, and what `import evalkit` and `evalkit --help` cost."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import evalkit

HEAVY = [
    "duckdb",
    "httpx",
    "jinja2",
    "jsonschema",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "rich",
    "scipy",
    "sklearn",
    "yaml",
]


def test_every_public_name_can_be_imported_and_is_listed() -> None:
    assert sorted(evalkit.__all__) == evalkit.__all__
    assert dir(evalkit) == sorted(evalkit.__all__)
    for name in evalkit.__all__:
        assert getattr(evalkit, name) is not None
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = evalkit.nothing_here


def test_every_module_exports_what_it_says() -> None:
    checked = 0
    for package in ("evalkit", "evalkit_graders", "evalkit_reports"):
        root = importlib.import_module(package)
        for info in pkgutil.walk_packages(root.__path__, f"{package}."):
            if info.name.endswith("__main__") or ".templates." in info.name:
                continue
            module = importlib.import_module(info.name)
            for name in getattr(module, "__all__", ()):
                assert hasattr(module, name), f"{info.name} lists {name}"
            checked += 1
    assert checked > 80


@pytest.mark.parametrize("program", ["import evalkit", "from evalkit.cli.main import invoke; invoke(['--help'])"])
def test_help_and_import_load_nothing_heavy(program: str) -> None:
    loaded = (
        subprocess.run(
            [sys.executable, "-c", f"{program}\nimport sys; print('LOADED', *sys.modules)"],
            capture_output=True,
            text=True,
            check=True,
        )
        .stdout.rpartition("LOADED")[2]
        .split()
    )
    assert not [name for name in HEAVY if name in loaded]


def test_help_lists_every_command_with_its_own_help() -> None:
    from evalkit.cli.main import COMMANDS

    listing = subprocess.run(
        [sys.executable, "-m", "evalkit", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for name, (module, text) in COMMANDS.items():
        assert name in listing
        assert text.split(",")[0].rstrip(".")[:40] in " ".join(listing.split())
        command = importlib.import_module(module).command
        assert command.name == name
        assert command.help
