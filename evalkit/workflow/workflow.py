"""A loaded workflow: its components, their fingerprints, and the fingerprint of a single trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from evalkit.fingerprint import combine, fingerprint
from evalkit.records import Case, Component, Configuration, Message, PolicyDecision, RetrievedDocument, ToolSpec
from evalkit.workflow.gates import GateSpec
from evalkit.workflow.policies import Policies
from evalkit.workflow.prompts import Prompt
from evalkit.workflow.retrieval import Corpus, retrieve
from evalkit.workflow.routing import Choice, choose, classify, reachable
from evalkit.workflow.spec import GraderSpec, ModelSpec, RoutesSpec, WorkflowSpec

__all__ = ["Prepared", "Workflow"]

_SEMANTICS = "1"
"""Raised when the same inputs would make evalkit itself act differently in a trial."""


@dataclass(frozen=True)
class Workflow:
    """Everything that one workflow consists of, read and checked."""

    name: str
    spec: WorkflowSpec
    file: Path
    """The file that defines it, for errors."""
    golden_path: Path
    models: Mapping[str, ModelSpec]
    routes: RoutesSpec
    graders: tuple[GraderSpec, ...]
    gate: GateSpec
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    tools: tuple[ToolSpec, ...] = ()
    policies: Policies = field(default_factory=Policies)
    corpus: Corpus | None = None
    provider_identities: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    """Component key to the file that holds it."""

    def kind_of(self, provider: str) -> str:
        """The kind of a target; an empty text where the workflow was loaded without the identities of its targets."""
        kind: str = self.provider_identities.get(provider, {}).get("kind", "")
        return kind

    def model_of(self, route: str) -> ModelSpec:
        """The model pin of a route."""
        return self.models[self.routes.routes[route].model]

    def messages(
        self, route: str, case: Case, documents: tuple[RetrievedDocument, ...], *, intent: str, risk: str
    ) -> tuple[Message, ...]:
        """The conversation that the model of a route gets."""
        prompt = self.prompts.get(self.routes.routes[route].prompt)
        if prompt is None:
            return case.input
        return prompt.messages(case, documents, intent=intent, risk=risk)

    @cached_property
    def configuration(self) -> Configuration:
        """All components and the fingerprint of them together."""
        components = tuple(sorted(self._components(), key=lambda component: component.key))
        digest = combine(f"configuration/{_SEMANTICS}", ((c.key, c.fingerprint) for c in components))
        return Configuration(self.name, digest, components)

    def _components(self) -> list[Component]:
        parts = [self._component("model", name, self._pin(pin)) for name, pin in self.models.items()]
        for name, prompt in self.prompts.items():
            templates = [template for template in (prompt.system, prompt.user) if template is not None]
            digest = fingerprint("component/prompt", [template.sources for template in templates])
            text = "\n=== user ===\n".join(template.source for template in templates)
            parts.append(Component("prompt", name, digest, text, self._path("prompt", name)))
        parts.append(self._component("routes", "table", self.routes.model_dump(mode="json", exclude_defaults=True)))
        retrieval = self.spec.retrieval.model_dump(mode="json", exclude={"corpus"})
        if self.corpus is not None:
            retrieval["corpus"] = self.corpus.fingerprint
        parts.append(self._component("retrieval", "documents", retrieval))
        parts += [self._component("tool", tool.name, _tool_data(tool)) for tool in self.tools]
        parts.append(self._component("policies", "rules", self._policy_data()))
        contract = self.spec.contract.model_dump(mode="json", exclude_defaults=True)
        contract |= {"tool_calls": self.spec.tool_calls, "max_steps": self.spec.max_steps}
        parts.append(self._component("contract", "contract", contract))
        return parts

    def _component(self, kind: str, name: str, data: Any) -> Component:
        text = yaml.safe_dump(data, sort_keys=True, allow_unicode=True, width=100)
        return Component(kind, name, fingerprint(f"component/{kind}", data), text, self._path(kind, name))

    def _path(self, kind: str, name: str) -> str | None:
        path = self.files.get(f"{kind}:{name}")
        return path.as_posix() if path else None

    def _pin(self, pin: ModelSpec) -> dict[str, Any]:
        return {
            "model": pin.name,
            "provider": {"name": pin.provider, **self.provider_identities.get(pin.provider, {})},
            "params": pin.params,
            **({} if pin.output_schema is None else {"output_schema": pin.output_schema}),
        }

    def _policy_data(self) -> list[dict[str, Any]]:
        return [rule.model_dump(mode="json", exclude={"tests"}) for rule in self.policies.rules]

    @cached_property
    def _tool_policies(self) -> str:
        """Hash of what decides on a tool call; calls of tools that nobody has declared are judged too."""
        rules = [rule for rule in self._policy_data() if rule["point"] == "act"]
        allowed = self.policies.allowed_tools
        return fingerprint("tool-policies", [rules, None if allowed is None else sorted(allowed)])

    @cached_property
    def _tools(self) -> str:
        return fingerprint("tools", [_tool_data(tool) for tool in self.tools])

    @cached_property
    def _pins(self) -> dict[str, str]:
        """Hash of the model pin of each route."""
        return {route: fingerprint("pin", self._pin(self.model_of(route))) for route in self.routes.routes}

    @cached_property
    def _ways(self) -> dict[str, _Way]:
        """What can become of a request by the route that it starts on."""
        return {start: self._way(reachable(self.routes, start)) for start in self.routes.routes}

    def _way(self, routes: tuple[str, ...]) -> _Way:
        specs = {name: self.routes.routes[name].fallback for name in routes}
        fallbacks = {name: spec.model_dump(mode="json") for name, spec in specs.items() if spec is not None}
        return _Way(routes, self._escalations(routes), fallbacks)

    def _escalations(self, routes: tuple[str, ...]) -> list[list[Any]]:
        """The escalation rules that can fire for a request that can end on these routes."""
        met = []
        for rule in self.routes.escalate:
            sources = {name for name in rule.from_ or routes if name in routes and name != rule.to}
            if sources:
                met.append([sorted(sources), rule.when.model_dump(mode="json"), rule.to])
        return met

    def prepared(self, case: Case) -> Prepared:
        """What happens to a case before any model is asked: for its keys and its trials, which need the same."""
        intent, risk = classify(self.routes.classify, case)
        documents, decisions = retrieve(case, self.corpus, self.spec.retrieval.k, self.policies)
        return Prepared(
            self, case, intent, risk, documents, decisions, choose(self.routes, case, intent=intent, risk=risk)
        )

    def trial_key(self, case: Case, case_digest: str, trial: int) -> str:
        """The fingerprint of one trial: equal keys mean that nothing the trial depends on differs.

        It covers only what this case can meet: the prompts rendered for it, the models of the
        routes it can take, the documents it is shown. A route rule that does not concern the
        case leaves its key alone, and a stored trial with the same key need not be run again.
        """
        return self.prepared(case).key(case_digest, trial)

    def key_of(self, prepared: Prepared, case_digest: str, trial: int) -> str:
        """:meth:`trial_key` for a case that is prepared already."""
        way = self._ways[prepared.choice.route]
        parts = {
            "semantics": _SEMANTICS,
            "workflow": self.name,
            "case": case_digest,
            "trial": trial,
            "labels": [prepared.intent, prepared.risk],
            "documents": [[d.id, d.text, d.title, d.date, d.kind, d.trusted, d.score] for d in prepared.documents],
            "access": [[d.subject, d.verdict, d.rule, d.severity, d.message] for d in prepared.decisions],
            "routes": [[route, self._pins[route], prepared.conversation(route)] for route in way.routes],
            "escalate": way.escalations,
            "tools": None if prepared.case.tools else self._tools,
            "tool_policies": self._tool_policies,
            "tool_calls": self.spec.tool_calls,
            "max_steps": self.spec.max_steps,
        }
        if way.fallbacks:
            parts["fallback"] = way.fallbacks
        return fingerprint("trial", parts)


@dataclass(frozen=True, slots=True)
class _Way:
    """The routes that a request can take, the start first, and the rules that lead from one to another."""

    routes: tuple[str, ...]
    escalations: list[list[Any]]
    fallbacks: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A case classified, with its documents and its route; conversations are rendered when asked for, and once."""

    workflow: Workflow
    case: Case
    intent: str
    risk: str
    documents: tuple[RetrievedDocument, ...]
    decisions: tuple[PolicyDecision, ...]
    choice: Choice
    _messages: dict[str, tuple[Message, ...]] = field(default_factory=dict, repr=False, compare=False)
    """By name of the prompt."""

    def messages(self, route: str) -> tuple[Message, ...]:
        """The conversation that the model of a route gets.

        Raises:
            PromptError: naming the case, when a template fails for it.
        """
        prompt = self.workflow.routes.routes[route].prompt
        found = self._messages.get(prompt)
        if found is None:
            found = self._messages[prompt] = self.workflow.messages(
                route, self.case, self.documents, intent=self.intent, risk=self.risk
            )
        return found

    def conversation(self, route: str) -> list[Any]:
        """The same as plain data, for a fingerprint."""
        return [
            [m.role, m.content, [[c.name, c.arguments, c.id] for c in m.tool_calls], m.tool_call_id]
            for m in self.messages(route)
        ]

    def key(self, case_digest: str, trial: int) -> str:
        """The fingerprint of a trial of the case, see :meth:`Workflow.trial_key`."""
        return self.workflow.key_of(self, case_digest, trial)


def _tool_data(tool: ToolSpec) -> dict[str, Any]:
    """What a model and the policies see of a tool."""
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "side_effect": tool.side_effect,
    }
