"""Every example in the documentation runs: console blocks as written, files as given, YAML and JSON parsed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.conftest import clean_environment

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")])
GENERATED = ("cli.md", "configuration.md")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    line: int
    language: str
    text: str
    file: str


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks; a comment `file: NAME` before one names the file that it is."""
    lines = page.read_text(encoding="utf-8").splitlines()
    position, file = 0, ""
    while position < len(lines):
        line = lines[position]
        named = re.fullmatch(r"<!-- file: (\S+) -->", line.strip())
        if named:
            file = named.group(1)
        fence = re.fullmatch(r"(```+)(\w*)", line)
        if fence:
            end = next(i for i in range(position + 1, len(lines)) if lines[i] == fence.group(1))
            yield Block(position + 1, fence.group(2), "\n".join(lines[position + 1 : end]), file)
            position, file = end, ""
        position += 1


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block with the output that it should have."""
    command = ""
    expected: list[str] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, expected
            command, expected = line[2:], []
        else:
            expected.append(line)
    if command:
        yield command, expected


def matches(expected: list[str], actual: list[str]) -> bool:
    """Line by line; `…` alone stands for any lines, and within a line for any text. Nothing expected fits anything."""
    if not expected:
        return True
    pattern = ""
    for line in expected:
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += r".*?".join(re.escape(part) for part in line.rstrip().split("…")) + r"[ ]*\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in actual)) is not None


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in GENERATED], ids=lambda page: page.name)
def test_examples_run_as_written(page: Path, tmp_path: Path) -> None:
    ran = False
    environment = {
        **clean_environment(),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "140",
        "LC_ALL": "C.UTF-8",
    }
    shell = subprocess.Popen(
        ["bash"], cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert shell.stdin is not None
    assert shell.stdout is not None
    try:
        for block in blocks(page):
            if block.file:
                target = tmp_path / block.file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.text + "\n", encoding="utf-8")
            if block.language != "console":
                continue
            for command, expected in commands(block.text):
                shell.stdin.write(f"{command}\nstatus=$?; printf '\\n@@\\n'; (exit $status)\n")
                shell.stdin.flush()
                printed: list[str] = []
                for line in shell.stdout:
                    if line.startswith("@@"):
                        break
                    printed.append(line.rstrip("\n"))
                if printed and printed[-1] == "":
                    printed.pop()
                ran = True
                shown = "\n".join(printed)
                assert matches(expected, printed), f"{page.name}:{block.line}: $ {command}\nprinted:\n{shown}"
    finally:
        shell.stdin.close()
        shell.wait(timeout=30)
        shell.stdout.close()
    if page.name in ("README.md", "tutorial.md", "concepts.md", "golden-sets.md", "writing-a-grader.md", "canary.md"):
        assert ran, f"{page.name} has lost its examples"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_snippets_parse(page: Path) -> None:
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        if block.language == "yaml":
            assert yaml.safe_load(block.text) is not None, where
        elif block.language == "json":
            json.loads(block.text)
        elif block.language == "python":
            compile(block.text, where, "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_references_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "reference.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_command_and_every_key_is_documented() -> None:
    from evalkit.cli.main import COMMANDS
    from evalkit.workflow.gates import CanarySpec, GateSpec
    from evalkit.workflow.project import ProjectSpec
    from evalkit.workflow.spec import WorkflowSpec

    commands_page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert all(f"## evalkit {name}\n" in commands_page for name in COMMANDS)
    keys_page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for model in (ProjectSpec, WorkflowSpec, GateSpec, CanarySpec):
        for name, field in model.model_fields.items():
            assert f"| `{field.alias or name}` |" in keys_page
            assert field.description, f"{model.__name__}.{name} has no description"
