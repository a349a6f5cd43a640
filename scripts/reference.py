"""Writes docs/configuration.md, docs/cli.md and tables of docs/graders.md from the models, commands and graders.

python scripts/reference.py           write them
python scripts/reference.py --check   fail when they are not up to date
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from evalkit import rules
from evalkit.cli.main import COMMANDS, cli
from evalkit.goldens.card import Card, Change
from evalkit.grading import Figure, Grader
from evalkit.grading.verification import stated_figures
from evalkit.providers.prices import Price
from evalkit.workflow import gates, policies, project, spec

DOCS = Path(__file__).resolve().parent.parent / "docs"

SECTIONS: tuple[tuple[str, str, tuple[type[BaseModel], ...]], ...] = (
    (
        "evalkit.yaml",
        "The project. Paths in it are relative to its folder. `evalkit schema project` prints its JSON Schema.",
        (project.ProjectSpec, project.ProviderSpec, Price, project.BaselineSpec, project.RedactionSpec),
    ),
    (
        "workflow.yaml",
        (
            "A workflow: an entry under `workflows:`, or a file of its own in a folder, whose paths are then relative "
            "to that folder. `evalkit schema workflow` prints its JSON Schema. With tools and a corpus: "
            "[an example](golden-sets.md#tools-and-documents)."
        ),
        (
            spec.WorkflowSpec,
            spec.PromptSpec,
            spec.ModelSpec,
            spec.RetrievalSpec,
            spec.ContractSpec,
            spec.BudgetSpec,
            spec.SloSpec,
            spec.GraderSpec,
        ),
    ),
    (
        "Routes",
        "The route table, in the workflow or in a file of its own.",
        (
            spec.RoutesSpec,
            spec.RouteSpec,
            spec.Classifier,
            spec.LabelRule,
            spec.RouteRule,
            spec.RouteWhen,
            spec.EscalationRule,
            spec.EscalationWhen,
        ),
    ),
    (
        "Policies",
        (
            "Rules over documents and tool calls. Deny wins over approval, approval over allow. Always on, without a "
            "rule: a document of another tenant, or not for the role, is not shown to the model."
        ),
        (policies.PolicyFile, policies.PolicyRule, rules.Condition, policies.RuleTest),
    ),
    ("Gate", "When a change may merge.", (gates.GateSpec, gates.GateRule)),
    ("Canary", "When a rollout may go on: `evalkit run --canary`.", (gates.CanarySpec,)),
    ("card.yaml", "The card of a golden set.", (Card, Change)),
)
MOST_FIGURES = 14
"""Of a grader, in the table."""
NAMES = {"str": "text", "int": "number", "float": "number", "bool": "yes or no", "Decimal": "number", "date": "date"}
QUANTITIES = {
    "parse_fraction": "share, as `5%` or `5pt`",
    "parse_duration": "duration, as `8s`",
    "parse_money": "money, as `$0.12`",
    "parse_limit": "number, `80%`, `8s` or `$0.05`",
}


def main() -> int:
    """Write or check all files."""
    texts = {DOCS / "configuration.md": configuration(), DOCS / "cli.md": commands(), DOCS / "graders.md": graders()}
    if "--check" in sys.argv:
        stale = [path.name for path, text in texts.items() if path.read_text(encoding="utf-8") != text]
        if stale:
            print(f"not up to date: {', '.join(stale)}; run python scripts/reference.py")
        return 1 if stale else 0
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return 0


def configuration() -> str:
    """The reference of all files."""
    lines = [
        "# Configuration reference",
        "",
        "Made from the models that read the files (`python scripts/reference.py`). Unknown keys are errors everywhere.",
    ]
    for title, text, models in SECTIONS:
        lines += ["", f"## {title}", "", text]
        for number, model in enumerate(models):
            if number:
                lines += ["", f"### {anchor(model)}", "", first_line(model)]
            lines += ["", "| key | value | default | meaning |", "|---|---|---|---|"]
            lines += [row(name, field) for name, field in model.model_fields.items()]
    return "\n".join(lines) + "\n"


def anchor(model: type[BaseModel]) -> str:
    """A readable name of a model."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", model.__name__.removesuffix("Spec")).capitalize()


def first_line(model: type[BaseModel]) -> str:
    """The first line of a docstring."""
    return (model.__doc__ or "").strip().splitlines()[0]


def row(name: str, field: FieldInfo) -> str:
    """A key as a line of a table."""
    default = "**required**" if field.is_required() else shown(field)
    cells = [f"`{field.alias or name}`", kind(field.annotation, field.metadata), default, field.description or ""]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def shown(field: FieldInfo) -> str:
    """A default."""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "see below"
    return "" if value in (None, "", (), {}) else f"`{value}`"


def kind(annotation: Any, metadata: list[Any] | None = None) -> str:
    """A type in words."""
    for item in metadata or ():
        name = getattr(getattr(item, "func", None), "__name__", "")
        if name in QUANTITIES:
            return QUANTITIES[name]
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Annotated:
        return kind(arguments[0], list(arguments[1:]))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind(item) for item in arguments if item is not type(None)))
    if origin is typing.Literal:
        return ", ".join(f"`{item}`" for item in arguments)
    if origin is tuple:
        return f"list of {kind(arguments[0])}"
    if origin is dict:
        return f"{kind(arguments[1])} by name" if arguments[1] is not Any else "any keys"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return anchor(annotation).lower()
    return NAMES.get(getattr(annotation, "__name__", ""), "any value")


def commands() -> str:
    """The help of all commands."""
    lines = [
        "# Command line reference",
        "",
        (
            "Made from the commands themselves (`python scripts/reference.py`). Results go to standard output, "
            "progress to standard error; exit codes are in [exit-codes.md](exit-codes.md)."
        ),
        "",
        *block("evalkit --help", cli),
    ]
    for name, (module, _) in COMMANDS.items():
        command = importlib.import_module(module).command
        lines += ["", f"## evalkit {name}", "", *block(f"evalkit {name} --help", command)]
        if isinstance(command, click.Group):
            for inner, sub in command.commands.items():
                lines += ["", f"### evalkit {name} {inner}", "", *block(f"evalkit {name} {inner} --help", sub)]
    return "\n".join(lines) + "\n"


def graders() -> str:
    """docs/graders.md with its tables made anew."""
    kinds = shipped()
    text = (DOCS / "graders.md").read_text(encoding="utf-8")
    for name, lines in (("list", grader_list(kinds)), ("agreement", agreement(kinds))):
        begin, end = f"<!-- {name}: made by scripts/reference.py -->\n", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        if not found or end not in rest:
            raise SystemExit(f"docs/graders.md has lost its marks of `{name}`")
        text = before + begin + "\n" + "\n".join(lines) + "\n\n" + end + rest.partition(end)[2]
    return text


def shipped() -> list[type[Grader]]:
    """The graders of the package, by name."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = sorted(project["entry-points"]["evalkit.graders"].values())
    places = (point.partition(":") for point in points)
    kinds = (getattr(importlib.import_module(module), name) for module, _, name in places)
    return sorted(kinds, key=lambda kind: (not kind.quality, kind.name))


def grader_list(kinds: list[type[Grader]]) -> list[str]:
    """All graders in a table."""
    rows = ["| grader | version | kind | what it checks |", "|---|---|---|---|"]
    for kind in kinds:
        summary = (inspect.getdoc(kind) or "").partition("\n")[0].replace("|", "\\|")
        rows.append(f"| `{kind.name}` | {kind.version} | {'quality' if kind.quality else 'measure'} | {summary} |")
    return rows


def agreement(kinds: list[type[Grader]]) -> list[str]:
    """By grader how well it agrees, where that was measured, and what it cannot see."""
    lines: list[str] = []
    for kind in kinds:
        figures = sorted(stated_figures(kind), key=lambda figure: (figure.goal is None, figure.verification))
        if not figures and not kind.blind:
            continue
        lines += ["", f"### {kind.name}", ""]
        if figures:
            lines += ["| data | measure | n | value | 95% interval | goal |", "|---|---|--:|--:|---|--:|"]
            lines += [figure_row(figure) for figure in figures[:MOST_FIGURES]]
            if len(figures) > MOST_FIGURES:
                lines += ["", f"{len(figures) - MOST_FIGURES} more: `evalkit graders show {kind.name}`."]
            lines.append("")
        if kind.blind:
            lines += ["Where it is blind:", "", *(f"- {text}" for text in kind.blind)]
    return [line for place, line in enumerate(lines[1:]) if line or lines[place]]


def figure_row(figure: Figure) -> str:
    """A figure as a line of a table; a goal that was missed says so."""
    goal = "" if figure.goal is None else f"{figure.goal:g}{'' if figure.value >= figure.goal else ' **missed**'}"
    cells = [figure.data, figure.measure, f"{figure.n:,}", f"{figure.value:.3f}",
             f"{figure.low:.3f} to {figure.high:.3f}", goal]  # fmt: skip
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def block(title: str, command: click.Command) -> list[str]:
    """The help text of a command."""
    context = click.Context(command, info_name=title.removesuffix(" --help"), terminal_width=100, max_content_width=100)
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    return ["```text", text, "```"]


if __name__ == "__main__":
    sys.exit(main())
