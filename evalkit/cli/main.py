"""The ``evalkit`` command: a group that imports a command's module only when the command is called."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TextIO

import click

from evalkit._version import __version__
from evalkit.errors import EvalkitError, ExitCode, TerminatedError

__all__ = ["COMMANDS", "cli", "invoke", "main"]

COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": ("evalkit.cli.init", "Lay down a project that runs at once."),
    "plan": ("evalkit.cli.plan", "Show what a run would do and cost, without spending anything."),
    "run": ("evalkit.cli.run", "Run golden sets and judge the result against the baseline."),
    "merge": ("evalkit.cli.merge", "Put the shards of a run together and judge the whole."),
    "diff": ("evalkit.cli.diff", "Compare two runs, without judging."),
    "gate": ("evalkit.cli.gate", "Judge a stored run again."),
    "accept": ("evalkit.cli.accept", "Accept a regression for a time, with a reason and an owner."),
    "blame": ("evalkit.cli.blame", "Find out which of several changes breaks the cases that broke."),
    "report": ("evalkit.cli.report", "Write the report of a stored run again."),
    "comment": ("evalkit.cli.comment", "Say the verdict on the pull request, in one comment."),
    "show": ("evalkit.cli.show", "Show a run, or one case of it with its trace."),
    "runs": ("evalkit.cli.runs", "List runs."),
    "view": ("evalkit.cli.view", "Show verdicts and the history of every gate in a browser."),
    "baseline": ("evalkit.cli.baseline", "Set, list, export and import baselines."),
    "goldens": ("evalkit.cli.goldens", "Validate, show, compare, build, import and export golden sets."),
    "graders": ("evalkit.cli.graders", "List graders and show what they do."),
    "review": ("evalkit.cli.review", "Let people look at answers, and keep what they say."),
    "calibrate": ("evalkit.cli.calibrate", "Hold graders against what people said."),
    "prices": ("evalkit.cli.prices", "Show, check and refresh what models cost."),
    "regrade": ("evalkit.cli.regrade", "Grade a stored run again, without calling a model."),
    "schema": ("evalkit.cli.schema", "Print the JSON Schema of a file, for editors."),
    "simulate": ("evalkit.cli.simulate", "Simulated models: serve them, or run a command against them."),
    "doctor": ("evalkit.cli.doctor", "Check the project, its files and its store."),
    "completion": ("evalkit.cli.completion", "Print the shell completion script."),
}
"""Command to its module and its one-line help, so that ``--help`` imports nothing."""
_COMPLETION = "_EVALKIT_COMPLETE"
_GO_ON = "what finished is kept, run the same command again to go on"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of a user's way."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the command that was meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean `{close[0]}`?" if close else ""
            raise click.UsageError(f"{error.message}{hint}", ctx=ctx) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="evalkit", message="%(prog)s %(version)s")
@click.option(
    "-C", "--project", "project", metavar="PATH", help="Project folder or evalkit.yaml; default: here or above."
)
@click.pass_context
def cli(ctx: click.Context, project: str | None) -> None:
    """Regression tests for LLM workflows: golden sets, a baseline, a diff and a gate.

    Exit codes: 0 pass, 1 blocked, 2 usage, 3 error, 4 not comparable, 5 inconclusive, 6 budget
    spent, 7 canary continues, 10-18 a bad file or store, 19 comment not posted
    (docs/exit-codes.md), 130 interrupted, 143 terminated.
    """
    ctx.obj = project


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with the documented exit code."""
    # Arrow's own allocator keeps what it has freed, twice what a run needs
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    _make_writable(sys.stdout)
    _make_writable(sys.stderr)
    if _COMPLETION in os.environ:
        cli.main(prog_name="evalkit", complete_var=_COMPLETION)
    sys.exit(invoke(arguments))


def _make_writable(stream: TextIO | None) -> None:
    """UTF-8 for whoever reads a file or a pipe; a terminal gets what its encoding can show."""
    if isinstance(stream, io.TextIOWrapper):
        encoding = stream.encoding if stream.isatty() else "utf-8"
        stream.reconfigure(encoding=encoding, errors="backslashreplace")


def invoke(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the documented exit code; default the arguments of the process."""
    try:
        return _call(sys.argv[1:] if arguments is None else list(arguments))
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _tell(f"\ninterrupted: {_GO_ON}")
        return int(ExitCode.INTERRUPTED)
    except TerminatedError:
        _tell(f"\nterminated: {_GO_ON}")
        return int(ExitCode.TERMINATED)
    except EvalkitError as error:
        _tell(f"error: {error}")
        return int(error.exit_code)
    except BrokenPipeError:
        _discard_output()
        return int(ExitCode.ERROR)
    except Exception as error:  # a defect of ours: say so, never look like a verdict
        if os.environ.get("EVALKIT_DEBUG"):
            raise
        _tell(
            f"error: a defect in evalkit {__version__}: {type(error).__name__}: {error}\n"
            "  fix:   run again with EVALKIT_DEBUG=1 for the traceback, and report it"
        )
        return int(ExitCode.ERROR)
    except SystemExit as error:  # of a project's own code: its 0 is no pass
        _tell(f"error: something called sys.exit({error.code!r}) before the command was finished")
        return int(ExitCode.ERROR)


def _call(arguments: list[str]) -> int:
    """Parse and run. Not by click's own ``main``, which leaves with 1, our BLOCKED, when a pipe is closed."""
    with cli.make_context("evalkit", arguments) as context:
        result: Any = cli.invoke(context)
    return int(result) if isinstance(result, int) else int(ExitCode.PASS)


def _tell(text: str) -> None:
    """The last line to standard error; whether anyone reads it or the disk takes it changes no exit code."""
    from evalkit.text import log_safe

    with suppress(OSError):
        click.echo(log_safe(text), err=True)


def _discard_output() -> None:
    """The reader of our output went away; do not let the interpreter complain about it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
