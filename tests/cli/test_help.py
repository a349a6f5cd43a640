"""Help, version, completion and what a mistyped command is told."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator

import click
import pytest

from evalkit import __version__
from evalkit.cli.main import COMMANDS
from tests.conftest import ProjectFolder


def every_command() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands and their subcommands, as words of the command line."""
    for name, (module, _) in COMMANDS.items():
        command: click.Command = importlib.import_module(module).command
        yield (name,), command
        if isinstance(command, click.Group):
            for inner, sub in command.commands.items():
                yield (name, inner), sub


ALL = list(every_command())
IDS = [" ".join(words) for words, _ in ALL]


@pytest.mark.parametrize(("words", "command"), ALL, ids=IDS)
def test_every_command_helps_without_a_project(
    tmp_path_factory: pytest.TempPathFactory, words: tuple[str, ...], command: click.Command
) -> None:
    nowhere = ProjectFolder(tmp_path_factory.mktemp("nowhere"))
    long, short = nowhere.run(*words, "--help"), nowhere.run(*words, "-h")
    assert long == short
    assert (long.code, long.err) == (0, "")
    assert long.out.startswith(f"Usage: evalkit {' '.join(words)} ")
    assert max(len(line) for line in long.out.splitlines()) <= 100
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.opts[0] in long.out
            assert parameter.help or isinstance(parameter.type, click.Choice), f"{parameter.opts[0]} explains nothing"


@pytest.mark.parametrize(("words", "command"), ALL, ids=IDS)
def test_usage_shows_what_may_be_left_out(words: tuple[str, ...], command: click.Command) -> None:
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            shown = parameter.make_metavar(click.Context(command)) if parameter.metavar is None else parameter.metavar
            assert parameter.required != shown.startswith("["), f"{' '.join(words)}: {shown}"


def test_the_list_of_commands_says_what_each_does(project: ProjectFolder) -> None:
    done = project.run("--help")
    assert done.code == 0
    for name, (_, summary) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", done.out, re.MULTILINE), name


def test_version_is_that_of_the_package(project: ProjectFolder) -> None:
    assert project.run("--version").out == project.run("-V").out == f"evalkit {__version__}\n"


def test_without_a_command_it_helps_and_does_not_pass(project: ProjectFolder) -> None:
    done = project.run()
    assert done.code == 2
    assert "Commands:" in done.out + done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("goldnes",), "Did you mean `goldens`?"),
        (("xyzzy",), "No such command 'xyzzy'"),
        (("run", "--formt", "json"), "--format"),
        (("baseline", "sett"), "set"),
        (("run", "--format", "xml"), "'text', 'json', 'md', 'github'"),
        (("plan", "--trials", "0"), "--trials"),
        (("runs", "--limit", "many"), "--limit"),
        (("diff", "main"), "Missing argument 'AFTER'"),
        (("schema", "case", "trace"), "unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_is_usage_and_says_what_is_there(
    project: ProjectFolder, arguments: tuple[str, ...], says: str
) -> None:
    done = project.run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert done.err.startswith("Usage: evalkit")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_the_command(project: ProjectFolder, shell: str) -> None:
    done = project.run("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert "_EVALKIT_COMPLETE" in done.out


def test_completion_completes(project: ProjectFolder) -> None:
    asked = {"_EVALKIT_COMPLETE": "bash_complete", "COMP_WORDS": "evalkit bas", "COMP_CWORD": "1"}
    done = project.process(env=asked)
    assert (done.code, done.out, done.err) == (0, "plain,baseline\n", "")
