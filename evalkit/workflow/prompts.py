"""Prompts: Jinja2 files, rendered in a sandbox; a variable that nothing defines is an error before any call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from evalkit.errors import PromptError
from evalkit.records import Case, Message, RetrievedDocument

__all__ = ["PROMPT_VARIABLES", "Prompt", "Template", "load_prompt", "load_template"]

PROMPT_VARIABLES: Mapping[str, str] = {
    "documents": "the documents, each with id, title, text, date, kind and trusted",
    "question": "the text of the last user message",
    "role": "the role of the person who asks",
    "tenant": "the tenant",
    "locale": "the locale, for example de-DE",
    "intent": "the classified intent",
    "risk": "the classified risk",
}
"""What every template may use; the `variables` of a case come on top."""


@dataclass(frozen=True)
class Template:
    """A parsed template file with everything it includes."""

    path: Path
    source: str
    variables: Mapping[str, int]
    """Variables that must be given, with the line of their first use."""
    compiled: jinja2.Template

    def render(self, values: Mapping[str, Any]) -> str:
        """Fill in the values.

        Raises:
            PromptError: when a value is missing or the template fails.
        """
        try:
            return self.compiled.render(values)
        except jinja2.UndefinedError as error:
            raise PromptError(f"undefined variable: {error.message}", file=self.path, fix=_available(values)) from None
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise PromptError(f"the template fails: {error}", file=self.path) from None


@dataclass(frozen=True)
class Prompt:
    """The templates of one prompt of a workflow."""

    name: str
    system: Template
    user: Template | None = None

    def check(self, case_variables: Iterable[str]) -> None:
        """Refuse templates that need a variable which neither evalkit nor every case defines.

        Raises:
            PromptError: naming file, line and variable.
        """
        known = set(PROMPT_VARIABLES) | set(case_variables)
        for template in (self.system, self.user):
            for name, line in template.variables.items() if template else ():
                if name not in known:
                    raise PromptError(
                        "undefined variable", file=template.path if template else None, line=line, key=name,
                        fix=_available(known),
                    )  # fmt: skip

    def messages(
        self, case: Case, documents: tuple[RetrievedDocument, ...], *, intent: str, risk: str
    ) -> tuple[Message, ...]:
        """The conversation for a model: system prompt, then the turns of the case."""
        values = prompt_values(case, documents, intent=intent, risk=risk)
        turns = list(case.input)
        if self.user is not None:
            last = max((index for index, turn in enumerate(turns) if turn.role == "user"), default=None)
            if last is not None:
                turns[last] = Message("user", self.user.render(values))
        return (Message("system", self.system.render(values)), *turns)


def prompt_values(case: Case, documents: tuple[RetrievedDocument, ...], *, intent: str, risk: str) -> dict[str, Any]:
    """What the templates of a case may use."""
    question = next((turn.content for turn in reversed(case.input) if turn.role == "user"), "")
    return {
        **case.variables,
        "documents": documents,
        "question": question,
        "role": case.role,
        "tenant": case.tenant,
        "locale": case.locale,
        "intent": intent,
        "risk": risk,
    }


def _available(names: Iterable[str]) -> str:
    return f"available here: {', '.join(sorted(names))}"


def load_prompt(name: str, system: Path, user: Path | None = None) -> Prompt:
    """Read the templates of a prompt.

    Raises:
        PromptError: when a file is missing or does not parse.
    """
    return Prompt(name, load_template(system), load_template(user) if user else None)


def load_template(path: Path) -> Template:
    """Read and parse one template; included files lie in the same folder or below.

    Raises:
        PromptError: when a file is missing or does not parse.
    """
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader(path.parent),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=False,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    sources: dict[str, str] = {}
    variables: dict[str, int] = {}
    pending = [path.name]
    while pending:
        name = pending.pop()
        if name in sources:
            continue
        source, tree = _parse(environment, path.parent / name, name)
        sources[name] = source
        pending += [included for included in meta.find_referenced_templates(tree) if included]
        lines = _first_lines(tree)
        for variable in meta.find_undeclared_variables(tree):
            variables.setdefault(variable, lines.get(variable, 1))
    whole = sources[path.name]
    if len(sources) > 1:
        whole = "\n".join(f"=== {name} ===\n{sources[name]}" for name in sorted(sources))
    ordered = dict(sorted(variables.items(), key=lambda item: item[1]))
    return Template(path, whole, ordered, environment.get_template(path.name))


def _parse(environment: jinja2.Environment, path: Path, name: str) -> tuple[str, nodes.Template]:
    try:
        source = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PromptError(f"cannot read the prompt: {error.strerror}", file=path) from None
    except UnicodeDecodeError as error:
        raise PromptError(f"not UTF-8 text (byte {error.start})", file=path) from None
    try:
        return source, environment.parse(source, name)
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(f"the template does not parse: {error.message}", file=path, line=error.lineno) from None


def _first_lines(tree: nodes.Template) -> dict[str, int]:
    lines: dict[str, int] = {}
    for node in tree.find_all(nodes.Name):
        lines[node.name] = min(lines.get(node.name, node.lineno), node.lineno)
    return lines
