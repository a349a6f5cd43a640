"""The project: ``evalkit.yaml`` and the workflows it names, read and checked."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from evalkit.configfile import FileModel, YamlFile, parse, read_yaml
from evalkit.errors import ConfigError, UsageError
from evalkit.providers.app import AnswerSpec, RequestTemplate
from evalkit.providers.prices import Price
from evalkit.quantities import Money
from evalkit.workflow.gates import GateSpec
from evalkit.workflow.kinds import Kind, needed_key, written_kind
from evalkit.workflow.spec import GraderSpec

__all__ = ["PROJECT_FILE", "BaselineSpec", "Project", "ProjectSpec", "ProviderSpec", "find_project", "load_project"]

PROJECT_FILE = "evalkit.yaml"
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def _expand(value: Any) -> Any:
    """``${NAME}`` and ``${NAME:-default}`` from the environment; for addresses only, never for keys."""
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        found = os.environ.get(match.group(1), match.group(2))
        if found is None:
            raise ValueError(f"the environment variable {match.group(1)} is not set")
        return found

    return _VARIABLE.sub(replace, value)


class ProviderSpec(FileModel):
    """A target that models are named after."""

    kind: Kind = Field(
        description="`openai` (Chat Completions, and all that speak it), `openai-responses`, `azure`, `anthropic`, "
        "`gemini`; `app`: an application of yours over HTTP; `python`: a function; `command`: a program; `simulator`: "
        "in process; `replay`: recorded answers."
    )
    base_url: Annotated[str | None, BeforeValidator(_expand)] = Field(
        default=None,
        description="Address up to the version, of an `app` the whole one; `${NAME:-default}` reads the environment.",
    )
    api_key_env: str | None = Field(default=None, description="Environment variable that holds the key.")
    api_version: str | None = Field(default=None, description="Version of the API, for `azure`.")
    path: Annotated[str | None, BeforeValidator(_expand)] = Field(
        default=None, description="The Parquet file, for `replay`."
    )
    target: str | None = Field(default=None, description="`package.module:function`, for `python`.")
    command: str | tuple[str, ...] | None = Field(default=None, description="Program and arguments, for `command`.")
    version: str = Field(default="", description="What you call the version of your program: part of what is tested.")
    request: RequestTemplate | None = Field(default=None, description="Template of the body, for `app` and `command`.")
    answer: AnswerSpec | None = Field(
        default=None, description="Where things are in the answer, for `app` and `command`."
    )
    stream: bool = Field(
        default=False, description="Ask for the answer in pieces, which gives the time to the first token."
    )
    timeout: float = Field(default=120, gt=0, description="Seconds for one attempt, to the last byte.")
    connect_timeout: float = Field(default=10, gt=0, description="Seconds to open a connection.")
    first_byte_timeout: float | None = Field(
        default=None, gt=0, description="Seconds to the first byte of an answer; default `timeout`."
    )
    attempts: int = Field(default=8, ge=1, le=100, description="Most attempts of one call.")
    deadline: float = Field(
        default=300, gt=0, description="Seconds from its first attempt after which a call is not tried again."
    )
    concurrency: int | None = Field(
        default=None, ge=1, le=4096, description="Most calls of one model at once; default as many as trials."
    )
    requests_per_minute: int | None = Field(default=None, ge=1, description="Limit of the vendor for one model.")
    tokens_per_minute: int | None = Field(default=None, ge=1, description="Limit of the vendor for one model.")

    @field_validator("api_key_env")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z_]\w*", value):
            raise ValueError("this is the name of an environment variable, never the key itself")
        return value


class BaselineSpec(FileModel):
    """Which baseline runs are compared with, and which branch keeps it."""

    name: str = Field(default="main", description="Name of the baseline.")
    branch: str = Field(default="main", description="Runs on this git branch become the baseline when they pass.")


class ProjectBudgetSpec(FileModel):
    """Spending limits of a project."""

    per_day: Money | None = Field(
        default=None, ge=0, description="Most that all runs together may cost in a day (UTC), on this machine."
    )


class RedactionSpec(FileModel):
    """What is masked before anything is stored. Keys and tokens are always masked."""

    personal_data: bool = Field(default=True, description="Mask mail addresses, phone, card and bank account numbers.")
    keep: tuple[str, ...] = Field(default=(), description="Kinds that are not masked: email, phone, card, iban, ip.")


class ProjectSpec(FileModel):
    """`evalkit.yaml`."""

    version: Literal[1] = Field(default=1, description="Version of this file's layout.")
    workflows: dict[str, Any] = Field(
        min_length=1, description="Workflows by name: a folder with workflow.yaml, or the keys of one right here."
    )
    providers: dict[str, ProviderSpec] = Field(default_factory=dict, description="Targets by name.")
    prices: tuple[Price, ...] | str = Field(default=(), description="Prices of models, or a file with them.")
    budget: ProjectBudgetSpec = Field(
        default_factory=ProjectBudgetSpec, description="Spending limits of all workflows together."
    )
    graders: tuple[GraderSpec, ...] = Field(default=(), description="Graders of workflows that name none.")
    gate: GateSpec = Field(default_factory=GateSpec, description="Gate of workflows that name none.")
    baseline: BaselineSpec = Field(default_factory=BaselineSpec, description="The baseline.")
    redaction: RedactionSpec = Field(default_factory=RedactionSpec, description="What is masked before storing.")
    concurrency: int = Field(default=16, ge=1, le=4096, description="Trials at once.")
    store: str = Field(default=".evalkit", description="Folder of runs, baselines and the DuckDB catalogue.")
    reports: str = Field(default="reports/out", description="Folder for HTML reports.")


@dataclass(frozen=True)
class Project:
    """A loaded `evalkit.yaml`."""

    root: Path
    spec: ProjectSpec
    source: YamlFile

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.root / self.spec.store

    @property
    def reports(self) -> Path:
        """The folder for reports."""
        return self.root / self.spec.reports

    def relative(self, path: Path) -> Path:
        """A path as seen from the project's root, where it lies below it."""
        try:
            return path.resolve().relative_to(self.root.resolve())
        except ValueError:
            return path

    def kind_of(self, provider: str) -> str:
        """The kind of a target by its name; of a name that is declared nowhere, the name."""
        declared = self.spec.providers.get(provider)
        return declared.kind if declared else written_kind(provider) or provider

    def names(self, wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Workflow names: the wanted ones, or all.

        Raises:
            UsageError: for a name that the project does not have.
        """
        for name in wanted:
            if name not in self.spec.workflows:
                known = ", ".join(self.spec.workflows)
                raise UsageError(f"no workflow `{name}`", file=self.source.path, fix=f"workflows here: {known}")
        return wanted or tuple(self.spec.workflows)


def find_project(start: Path | None = None) -> Path:
    """The nearest ``evalkit.yaml`` in ``start`` or above.

    Raises:
        ConfigError: when there is none.
    """
    here = (start or Path.cwd()).resolve()
    if here.is_file():
        return here
    for folder in (here, *here.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder / PROJECT_FILE
    raise ConfigError(f"no {PROJECT_FILE} here or above", file=here, fix="make one: evalkit init")


def load_project(path: Path | None = None) -> Project:
    """Read ``evalkit.yaml``.

    Raises:
        ConfigError: when there is none, or it is wrong.
    """
    file = find_project(path)
    source = read_yaml(file)
    spec = parse(ProjectSpec, source)
    for name, provider in spec.providers.items():
        _check_provider(name, provider, source)
    return Project(file.parent, spec, source)


def _check_provider(name: str, provider: ProviderSpec, source: YamlFile) -> None:
    key = needed_key(provider.kind)
    if key is not None and getattr(provider, key) is None:
        raise ConfigError(
            f"a provider of kind `{provider.kind}` needs `{key}`",
            file=source.path,
            line=source.line(("providers", name)),
            key=f"providers.{name}.{key}",
        )
