"""From YAML to a :class:`Workflow`: every file read, every reference resolved, every mistake named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evalkit.configfile import YamlFile, parse, read_yaml
from evalkit.errors import ConfigError, PromptError
from evalkit.records import ToolSpec
from evalkit.workflow.gates import GateSpec
from evalkit.workflow.kinds import SELF_CONTAINED
from evalkit.workflow.policies import load_policies
from evalkit.workflow.project import Project
from evalkit.workflow.prompts import Prompt, load_prompt
from evalkit.workflow.retrieval import load_corpus
from evalkit.workflow.spec import ModelSpec, PromptSpec, RouteSpec, RoutesSpec, WorkflowSpec
from evalkit.workflow.tools import load_tools
from evalkit.workflow.workflow import Workflow

__all__ = ["load_workflow"]

WORKFLOW_FILE = "workflow.yaml"


def load_workflow(project: Project, name: str, identity: Callable[[str], Mapping[str, Any]] | None = None) -> Workflow:
    """Load one workflow of a project.

    Args:
        project: The project.
        name: The workflow's name in ``evalkit.yaml``.
        identity: Tells of a provider's name what makes its answers its own; part of the model's fingerprint.

    Raises:
        UsageError: when the project has no such workflow.
        ConfigError: or one of its kinds, at the first mistake.
    """
    project.names((name,))
    source = _source(project, name)
    folder = _folder(project, source)
    spec = parse(WorkflowSpec, source)
    files: dict[str, Path] = {}
    models = dict(spec.models) if spec.models else {"default": _given(spec.model)}
    prompts = _prompts(spec, source, project, files)
    _check_prompts(prompts, models, project, source)
    routes, routes_source = _routes(spec, models, source, project, files)
    _check_names(routes, models, prompts, routes_source)
    tools = _tools(spec, source, project, files)
    policy_paths = tuple(_existing(project, source, path, "policies") for path in spec.policies)
    if policy_paths:
        files["policies:rules"] = project.relative(policy_paths[0])
    retrieval = spec.retrieval
    corpus_path = _existing(project, source, retrieval.corpus, "retrieval", "corpus") if retrieval.corpus else None
    return Workflow(
        name=name,
        spec=spec,
        file=source.path,
        golden_path=folder / spec.golden_set,
        models=models,
        routes=routes,
        graders=project.spec.graders if spec.graders is None else spec.graders,
        gate=_gate(spec, source, project),
        prompts=prompts,
        tools=tools,
        policies=load_policies(policy_paths, _allowed_tools(spec, tools, source)),
        corpus=load_corpus(corpus_path, k1=retrieval.k1, b=retrieval.b) if corpus_path else None,
        provider_identities={pin.provider: identity(pin.provider) for pin in models.values()} if identity else {},
        files=files,
    )


def _folder(project: Project, source: YamlFile) -> Path:
    """What the paths of a workflow are relative to: its own folder, or the project's root."""
    return source.path.parent if source.path != project.source.path else project.root


def _existing(project: Project, source: YamlFile, name: str, *key: str, kind: type[ConfigError] = ConfigError) -> Path:
    """The path of a file that the workflow names.

    Raises:
        ConfigError: where it is named, when there is no such file or folder.
    """
    path = _folder(project, source) / name
    try:
        path.stat()
    except (OSError, ValueError):
        raise kind(
            f"no such file: {name}",
            file=source.path,
            line=source.line(key),
            key=".".join(key),
            value=name,
            fix="create it, or correct the path: it is relative to the file that names it",
        ) from None
    return path


def _source(project: Project, name: str) -> YamlFile:
    entry = project.spec.workflows[name]
    if isinstance(entry, dict):
        return project.source.at("workflows", name)
    if not isinstance(entry, str):
        raise ConfigError(
            "a workflow is a folder, or keys and values",
            file=project.source.path,
            line=project.source.line(("workflows", name)),
            key=f"workflows.{name}",
            value=entry,
        )
    location = project.root / entry
    file = location / WORKFLOW_FILE if location.is_dir() or not location.suffix else location
    if not file.is_file():
        raise ConfigError(
            f"no such workflow file: {project.relative(file)}",
            file=project.source.path,
            line=project.source.line(("workflows", name)),
            key=f"workflows.{name}",
            value=entry,
        )
    return read_yaml(file)


def _given(model: ModelSpec | None) -> ModelSpec:
    assert model is not None, "WorkflowSpec has checked that one of model and models is given"  # noqa: S101
    return model


def _prompts(spec: WorkflowSpec, source: YamlFile, project: Project, files: dict[str, Path]) -> dict[str, Prompt]:
    named: dict[str, PromptSpec] = dict(spec.prompts) or ({"answer": spec.prompt} if spec.prompt else {})
    prompts = {}
    for name, entry in named.items():
        key = ("prompts", name) if spec.prompts else ("prompt",)
        system = _existing(project, source, entry.system, *key, kind=PromptError)
        user = _existing(project, source, entry.user, *key, "user", kind=PromptError) if entry.user else None
        prompts[name] = load_prompt(name, system, user)
        files[f"prompt:{name}"] = project.relative(system)
    return prompts


def _check_prompts(
    prompts: Mapping[str, Prompt], models: Mapping[str, ModelSpec], project: Project, source: YamlFile
) -> None:
    """Recorded answers need no prompt, and an application has its own."""
    if not prompts and any(project.kind_of(pin.provider) not in SELF_CONTAINED for pin in models.values()):
        raise ConfigError(
            "the workflow has no prompt",
            file=source.path,
            key="prompt",
            fix="add `prompt: FILE`; only programs of yours and recorded answers need none",
        )


def _routes(
    spec: WorkflowSpec, models: Mapping[str, ModelSpec], source: YamlFile, project: Project, files: dict[str, Path]
) -> tuple[RoutesSpec, YamlFile]:
    """The route table and what it was read from."""
    if spec.routes is None:
        prompt = next(iter(spec.prompts), "answer")
        only = RouteSpec(model=next(iter(models)), prompt=prompt)
        return RoutesSpec(routes={"default": only}, default="default"), source
    if isinstance(spec.routes, RoutesSpec):
        files["routes:table"] = project.relative(source.path)
        return spec.routes, source.at("routes")
    path = _existing(project, source, spec.routes, "routes")
    files["routes:table"] = project.relative(path)
    table = read_yaml(path)
    return parse(RoutesSpec, table), table


def _check_names(
    routes: RoutesSpec, models: Mapping[str, ModelSpec], prompts: Mapping[str, Prompt], source: YamlFile
) -> None:
    known = {"model": models, "prompt": prompts}
    for name, route in routes.routes.items():
        for part, names in known.items():
            value = getattr(route, part)
            if value not in names and (names or part == "model"):
                raise ConfigError(
                    f"route `{name}` names no {part} of this workflow",
                    file=source.path,
                    line=source.line(("routes", name, part)),
                    key=f"routes.{name}.{part}",
                    value=value,
                    fix=f"{part}s here: {', '.join(names)}",
                )


def _tools(spec: WorkflowSpec, source: YamlFile, project: Project, files: dict[str, Path]) -> tuple[ToolSpec, ...]:
    if spec.tools is None:
        return ()
    path = _existing(project, source, spec.tools, "tools")
    tools = load_tools(path)
    for tool in tools:
        files[f"tool:{tool.name}"] = project.relative(path)
    return tools


def _allowed_tools(spec: WorkflowSpec, tools: tuple[ToolSpec, ...], source: YamlFile) -> frozenset[str] | None:
    allowed = spec.contract.allowed_tools
    if allowed is None:
        return None
    known = {tool.name for tool in tools}
    for name in allowed:
        if tools and name not in known:
            raise ConfigError(
                "the contract allows a tool that is not declared",
                file=source.path,
                line=source.line(("contract", "allowed_tools")),
                key="contract.allowed_tools",
                value=name,
                fix=f"tools here: {', '.join(sorted(known))}",
            )
    return frozenset(allowed)


def _gate(spec: WorkflowSpec, source: YamlFile, project: Project) -> GateSpec:
    if spec.gate is None:
        return project.spec.gate
    if isinstance(spec.gate, GateSpec):
        return spec.gate
    return parse(GateSpec, read_yaml(_existing(project, source, spec.gate, "gate")))
