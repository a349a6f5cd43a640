"""Prompts: Jinja2 files, rendered in a sandbox; a variable that nothing defines is an error before any call."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.loaders import split_template_path
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
    sources: Mapping[str, str]
    """Text of each file by its name as seen from the template's folder; that of the template itself is ``""``."""
    variables: Mapping[str, tuple[Path, int]]
    """Variables that must be given, with file and line of their first use."""
    compiled: jinja2.Template
    fixed: str | None = None
    """What it says whatever the values are, where it reads none."""

    @property
    def source(self) -> str:
        """All files as one text, for people."""
        if len(self.sources) == 1:
            return self.sources[""]
        return "\n".join(f"=== {name or self.path.name} ===\n{text}" for name, text in sorted(self.sources.items()))

    def render(self, values: Mapping[str, Any]) -> str:
        """Fill in the values.

        Raises:
            PromptError: when a value is missing or the template fails.
        """
        if self.fixed is not None:
            return self.fixed
        try:
            return self.compiled.render(values)
        except jinja2.UndefinedError as error:
            raise PromptError(f"undefined variable: {error.message}", file=self.path, fix=_available(values)) from None
        except RecursionError:
            raise PromptError("the template includes or calls itself without end", file=self.path) from None
        except Exception as error:  # noqa: BLE001 - an expression in a template can raise whatever Python can
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
            for name, (file, line) in template.variables.items() if template else ():
                if name not in known:
                    raise PromptError("undefined variable", file=file, line=line, key=name, fix=_available(known))

    def messages(
        self, case: Case, documents: tuple[RetrievedDocument, ...], *, intent: str, risk: str
    ) -> tuple[Message, ...]:
        """The conversation for a model: system prompt, then the turns of the case.

        Raises:
            PromptError: naming the case, when a template fails for it.
        """
        values = prompt_values(case, documents, intent=intent, risk=risk)
        turns = list(case.input)
        try:
            if self.user is not None:
                last = max((index for index, turn in enumerate(turns) if turn.role == "user"), default=None)
                if last is not None:
                    turns[last] = Message("user", self.user.render(values))
            return (Message("system", self.system.render(values)), *turns)
        except PromptError as error:
            error.key, error.value = "case", case.id
            raise


def prompt_values(case: Case, documents: tuple[RetrievedDocument, ...], *, intent: str, risk: str) -> dict[str, Any]:
    """What the templates of a case may use."""
    return {
        **case.variables,
        "documents": documents,
        "question": case.question,
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
        PromptError: when a file is missing, lies elsewhere or does not parse.
    """
    environment = _environment(path.parent)
    sources: dict[str, str] = {}
    trees: dict[str, nodes.Template] = {}
    pending = [path.name]
    while pending:
        name = pending.pop()
        if name in sources:
            continue
        sources[name], trees[name] = _parse(environment, path.parent / name, name)
        pending += _included(trees[name], path.parent / name)
    template = Template(
        path=path,
        sources={"" if name == path.name else name: text for name, text in sources.items()},
        variables=_needed(trees, path),
        compiled=environment.get_template(path.name),
    )
    return replace(template, fixed=_fixed(template, trees.values()))


def _fixed(template: Template, trees: Iterable[nodes.Template]) -> str | None:
    """The text of a template in which no name is read."""
    if any(node.ctx == "load" for tree in trees for node in tree.find_all(nodes.Name)):
        return None
    try:
        return template.render({})
    except PromptError:
        return None


class _Environment(ImmutableSandboxedEnvironment):
    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """All globals in one dict: it is copied for each rendering, and the chain of the base class slowly."""
        return {**self.globals, **(d or {})}


def _environment(folder: Path) -> jinja2.Environment:
    environment = _Environment(
        loader=jinja2.FileSystemLoader(folder),
        auto_reload=False,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=False,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    # a prompt is the same each time: no fingerprint covers random text
    del environment.filters["random"], environment.globals["lipsum"]
    return environment


def _parse(environment: jinja2.Environment, path: Path, name: str) -> tuple[str, nodes.Template]:
    try:
        source = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PromptError(f"cannot read the prompt: {error.strerror}", file=path) from None
    except UnicodeDecodeError as error:
        raise PromptError(f"not UTF-8 text (byte {error.start})", file=path) from None
    try:
        environment.compile(source, name)
        tree = environment.parse(source, name)
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(f"the template does not parse: {error.message}", file=path, line=error.lineno) from None
    except RecursionError:
        raise PromptError("the template is nested too deeply", file=path) from None
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        kind, known = ("filter", environment.filters) if isinstance(node, nodes.Filter) else ("test", environment.tests)
        if node.name not in known:
            close = difflib.get_close_matches(node.name, known, n=1)
            fix = f"did you mean `{close[0]}`?" if close else None
            raise PromptError(f"no {kind} of this name", file=path, line=node.lineno, key=node.name, fix=fix)
    return source, tree


def _included(tree: nodes.Template, path: Path) -> Iterator[str]:
    """Names of the files that a template includes, imports or extends; each must be known before it is rendered."""
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        template = dict(node.iter_fields(only=["template"]))["template"]
        for part in template.items if isinstance(template, (nodes.List, nodes.Tuple)) else [template]:
            if not isinstance(part, nodes.Const) or not isinstance(part.value, str):
                raise PromptError(
                    "an include names its file with an expression", file=path, line=node.lineno,
                    fix="write the name of the file in quotes; to choose between files, use {% if %}",
                )  # fmt: skip
            try:
                yield "/".join(split_template_path(part.value))
            except jinja2.TemplateNotFound:
                raise PromptError(
                    "an include reaches outside the folder of the prompt", file=path, line=node.lineno,
                    value=part.value, fix="move the file into the folder of the prompt, or below",
                ) from None  # fmt: skip


def _needed(trees: Mapping[str, nodes.Template], path: Path) -> dict[str, tuple[Path, int]]:
    """Variables that no file makes itself. An included file sees what the files around it have made."""
    made = {name for tree in trees.values() for name in _made(tree)}
    needed: dict[str, tuple[Path, int]] = {}
    for file, tree in trees.items():
        lines = _first_lines(tree)
        undeclared = meta.find_undeclared_variables(tree)
        for variable in sorted(undeclared if file == path.name else undeclared - made, key=lambda v: lines.get(v, 1)):
            needed.setdefault(variable, (path.parent / file, lines.get(variable, 1)))
    return needed


def _made(tree: nodes.Template) -> Iterator[str]:
    """Names that a template sets, counts with, defines as a macro or imports."""
    yield from (node.name for node in tree.find_all(nodes.Name) if node.ctx != "load")
    yield from (node.name for node in tree.find_all(nodes.Macro))
    yield from (node.target for node in tree.find_all(nodes.Import))
    for node in tree.find_all(nodes.FromImport):
        yield from (name if isinstance(name, str) else name[1] for name in node.names)


def _first_lines(tree: nodes.Template) -> dict[str, int]:
    lines: dict[str, int] = {}
    for node in tree.find_all(nodes.Name):
        lines[node.name] = min(lines.get(node.name, node.lineno), node.lineno)
    return lines
