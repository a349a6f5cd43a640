"""What a workflow is, as its YAML says it: models, prompts, routes, retrieval, tools, budget.

The small thing is small: ``prompt``, ``model`` and ``golden_set`` are enough. Every model
here is the source of the editor schema (``evalkit schema workflow``) and of the reference in
``docs/configuration.md``; the field descriptions are that reference.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field, field_validator, model_validator

from evalkit.configfile import FileModel, Texts, short_form
from evalkit.quantities import Duration, Money
from evalkit.records import Risk
from evalkit.values import JsonValue, Pattern
from evalkit.workflow.gates import CanarySpec, GateSpec
from evalkit.workflow.kinds import written_kind

__all__ = [
    "BudgetSpec",
    "Classifier",
    "ContractSpec",
    "EscalationRule",
    "FallbackSpec",
    "GraderSpec",
    "ModelSpec",
    "PromptSpec",
    "RetrievalSpec",
    "RouteRule",
    "RouteSpec",
    "RoutesSpec",
    "SloSpec",
    "WorkflowSpec",
]


class ModelSpec(FileModel):
    """A model pin: which model at which provider, with which parameters."""

    model_config = ConfigDict(json_schema_extra=short_form)

    model: str = Field(
        description="`provider:model`, for example `openai:gpt-5-mini-2026-08-01`; or a program of yours: "
        "`http://localhost:8080/answer`, `python:app.support:answer`, `command: ./answer.sh`."
    )
    params: dict[str, JsonValue] = Field(
        default_factory=dict, description="Sent with every request, for example `temperature: 0`."
    )
    output_schema: dict[str, JsonValue] | None = Field(
        default=None, description="JSON Schema of the answer, for vendors that enforce one (structured output)."
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @property
    def provider(self) -> str:
        """The part before the first colon; the whole of a target that is written straight here."""
        return self.model if written_kind(self.model) else self.model.partition(":")[0]

    @property
    def name(self) -> str:
        """The part after it: the model as the provider knows it."""
        return self.model.partition(":")[2].strip()

    @model_validator(mode="after")
    def _has_provider(self) -> ModelSpec:
        if not self.provider or not self.name:
            raise ValueError("write a model as provider:model, for example simulator:sim-small-1")
        return self


class PromptSpec(FileModel):
    """Templates of one prompt. `system` is a file; `user` replaces the text of the last user turn."""

    model_config = ConfigDict(json_schema_extra=short_form)

    system: str = Field(
        description="File of the system prompt, a Jinja2 template; the files that it includes lie beside or below it."
    )
    user: str | None = Field(default=None, description="File of a template for the last user message.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"system": value} if isinstance(value, str) else value


class LabelRule(FileModel):
    """A label and the words that call for it. The first rule that fits wins."""

    label: str = Field(description="The intent or risk to assign.")
    any: Texts = Field(default=(), description="Word beginnings, any of which in the conversation fits.")
    intent: Texts = Field(default=(), description="Intents for which the rule holds (risk rules only).")
    role: Texts = Field(default=(), description="Roles for which the rule holds.")
    amount_over: float | None = Field(default=None, description="Fits when a number above this occurs in the text.")


def _check_risks(names: Iterable[str]) -> None:
    for name in names:
        if name not in get_args(Risk):
            raise ValueError(f"`{name}` is no risk: write one of {', '.join(get_args(Risk))}")


class Classifier(FileModel):
    """How intent and risk of a request are found: by word rules, or taken from the request."""

    intent: tuple[LabelRule, ...] = Field(default=(), description="Rules for the intent, first match wins.")
    default_intent: str = Field(default="", description="The intent when no rule fits.")
    risk: tuple[LabelRule, ...] = Field(default=(), description="Rules for the risk, first match wins.")
    default_risk: Risk = Field(default="low", description="The risk when no rule fits.")
    trust_request: bool = Field(
        default=False, description="Take intent and risk from the request, where an upstream system has set them."
    )

    @field_validator("risk")
    @classmethod
    def _known_labels(cls, rules: tuple[LabelRule, ...]) -> tuple[LabelRule, ...]:
        _check_risks(rule.label for rule in rules)
        return rules


class FallbackSpec(FileModel):
    """Routes to take when a call failed for good, by the class of the fault."""

    model_config = ConfigDict(json_schema_extra=short_form)

    general: str | None = Field(default=None, description="Route for any fault that is not named here.")
    context_window: str | None = Field(default=None, description="Route for a request that is too long.")
    content_policy: str | None = Field(default=None, description="Route for one that the vendor's filter refuses.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"general": value} if isinstance(value, str) else value

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes that are named."""
        named = (self.general, self.context_window, self.content_policy)
        return tuple(dict.fromkeys(route for route in named if route is not None))


class RouteSpec(FileModel):
    """A route: a model and the prompt it gets."""

    model: str = Field(description="Name of a model under `models`.")
    prompt: str = Field(default="answer", description="Name of a prompt under `prompts`.")
    fallback: FallbackSpec | None = Field(
        default=None, description="Where a request goes when its call failed: a route, or one for each class of fault."
    )


class RouteWhen(FileModel):
    """Conditions on a request; all that are named must hold."""

    intent: Texts = Field(default=(), description="The classified intent is one of these.")
    risk: Texts = Field(default=(), description="The classified risk is one of these.")
    locale: Texts = Field(default=(), description="The locale is one of these, or starts with one of them.")
    role: Texts = Field(default=(), description="The role is one of these.")
    tenant: Texts = Field(default=(), description="The tenant is one of these.")
    turns_over: int | None = Field(default=None, description="The conversation has more messages than this.")
    context_over: int | None = Field(default=None, description="The documents have more characters than this.")

    @field_validator("risk")
    @classmethod
    def _known_risks(cls, risks: tuple[str, ...]) -> tuple[str, ...]:
        _check_risks(risks)
        return risks


class RouteRule(FileModel):
    """Where a request goes when the conditions hold."""

    id: str = Field(description="Named in the trace as the reason.")
    when: RouteWhen = Field(default_factory=RouteWhen, description="Conditions; empty always holds.")
    route: str = Field(description="Name of a route.")


class EscalationWhen(FileModel):
    """Conditions on a finished attempt; any that is named and holds escalates."""

    finish_reason: Texts = Field(
        default=(), description="The model stopped for one of these reasons, such as `length`."
    )
    answer_matches: Pattern | None = Field(default=None, description="A regular expression found in the answer.")
    invalid_tool_call: bool = Field(default=False, description="A call did not fit its tool's schema.")
    empty_answer: bool = Field(default=False, description="The answer is empty and no tool was called.")


class EscalationRule(FileModel):
    """When to try again on a better route."""

    id: str = Field(description="Named in the trace as the reason.")
    from_: Texts = Field(default=(), alias="from", description="Routes it applies to; empty is all but the target.")
    when: EscalationWhen = Field(description="Conditions on the attempt.")
    to: str = Field(description="Name of the route to escalate to.")


class RoutesSpec(FileModel):
    """The route table: classify, choose the cheap default, escalate by rule."""

    classify: Classifier = Field(default_factory=Classifier, description="How intent and risk are found.")
    routes: dict[str, RouteSpec] = Field(description="The routes by name.")
    default: str = Field(description="The route when no rule fits: the cheapest that is good enough.")
    rules: tuple[RouteRule, ...] = Field(default=(), description="First match wins.")
    escalate: tuple[EscalationRule, ...] = Field(
        default=(),
        description="Checked after each attempt; the next one starts again from its prompt. Calls that have written or "
        "paid, by the `side_effect` of their tools, stay in the trace.",
    )

    @model_validator(mode="after")
    def _names(self) -> RoutesSpec:
        named = [self.default, *(rule.route for rule in self.rules), *(rule.to for rule in self.escalate)]
        named += [name for rule in self.escalate for name in rule.from_]
        named += [name for route in self.routes.values() if route.fallback for name in route.fallback.routes]
        for name in named:
            if name not in self.routes:
                raise ValueError(f"no route `{name}` under routes: {', '.join(sorted(self.routes))}")
        return self


class RetrievalSpec(FileModel):
    """Where the documents of a prompt come from."""

    source: Literal["case", "corpus"] = Field(
        default="case", description="`case`: those of the case. `corpus`: found by BM25 in a Parquet file."
    )
    corpus: str | None = Field(default=None, description="Parquet file with columns id, text and more of a document.")
    k: int = Field(default=4, ge=1, description="How many documents to retrieve.")
    k1: float = Field(default=1.2, ge=0, description="BM25 term saturation.")
    b: float = Field(default=0.75, ge=0, le=1, description="BM25 length normalisation.")

    @model_validator(mode="after")
    def _needs_corpus(self) -> RetrievalSpec:
        if (self.source == "corpus") != (self.corpus is not None):
            raise ValueError("`source: corpus` and `corpus: FILE` go together")
        return self


class ContractSpec(FileModel):
    """What the workflow promises. Part of the fingerprint; `allowed_tools` is enforced."""

    inputs: str = Field(default="", description="What comes in.")
    outputs: str = Field(default="", description="What goes out.")
    success: str = Field(default="", description="When a request counts as done.")
    allowed_tools: tuple[str, ...] | None = Field(default=None, description="Tools that may run; default all declared.")
    acceptable_errors: tuple[str, ...] = Field(default=(), description="Ways to fail that users can live with.")
    unacceptable_errors: tuple[str, ...] = Field(default=(), description="Ways to fail that must never happen.")


class BudgetSpec(FileModel):
    """Spending limits, checked before each call."""

    per_run: Money | None = Field(default=None, ge=0, description="Most that one run of this workflow may cost.")
    per_day: Money | None = Field(
        default=None, ge=0, description="Most that all runs of this workflow may cost in a day (UTC), on this machine."
    )
    per_trial: Money | None = Field(
        default=None, ge=0, description="Most that one trial may cost: a limit of the gate."
    )


class SloSpec(FileModel):
    """Service levels: hard limits of the gate."""

    p95: Duration | None = Field(default=None, ge=0, description="95th percentile of the latency of a trial.")


class GraderSpec(FileModel):
    """A grader and its parameters."""

    model_config = ConfigDict(json_schema_extra=short_form)

    use: str = Field(description="Name of the grader, see `evalkit graders`.")
    params: dict[str, JsonValue] = Field(default_factory=dict, description="Its parameters.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"use": value} if isinstance(value, str) else value


class WorkflowSpec(FileModel):
    """`workflow.yaml`, or an entry under `workflows:` of evalkit.yaml."""

    description: str = Field(default="", description="What the workflow is for.")
    owner: str = Field(default="", description="Who answers for it.")
    golden_set: str = Field(description="Folder of the golden set, or one .parquet or .jsonl file.")
    golden_version: str | None = Field(default=None, description="Version to use; default the newest of the card.")
    prompt: PromptSpec | None = Field(default=None, description="The only prompt; short for `prompts: {answer: …}`.")
    prompts: dict[str, PromptSpec] = Field(default_factory=dict, description="Prompts by name.")
    model: ModelSpec | None = Field(default=None, description="The only model; short for `models: {default: …}`.")
    models: dict[str, ModelSpec] = Field(default_factory=dict, description="Model pins by name.")
    routes: RoutesSpec | str | None = Field(default=None, description="The route table, or its file.")
    retrieval: RetrievalSpec = Field(default_factory=RetrievalSpec, description="Where documents come from.")
    tools: str | None = Field(default=None, description="File or folder of tool definitions (JSON or YAML).")
    tool_calls: Literal["native", "python", "json"] = Field(
        default="native",
        description="How calls are written: by the API, or as Python or JSON text, which is decoded strictly.",
    )
    policies: Texts = Field(default=(), description="Files of policy rules.")
    contract: ContractSpec = Field(default_factory=ContractSpec, description="What the workflow promises.")
    budget: BudgetSpec = Field(default_factory=BudgetSpec, description="Spending limits.")
    slo: SloSpec = Field(default_factory=SloSpec, description="Service levels.")
    graders: tuple[GraderSpec, ...] | None = Field(default=None, description="Graders; default those of the project.")
    gate: GateSpec | str | None = Field(default=None, description="Gate rules, or their file; default the project's.")
    canary: CanarySpec | None = Field(default=None, description="Rules of `evalkit run --canary`.")
    trials: int = Field(default=1, ge=1, le=100, description="Trials of each case.")
    max_steps: int = Field(default=6, ge=1, le=50, description="Most model calls of one attempt (tool rounds).")

    @model_validator(mode="after")
    def _one_form(self) -> WorkflowSpec:
        if self.prompt is not None and self.prompts:
            raise ValueError("give either `prompt` or `prompts`")
        if (self.model is None) == (not self.models):
            raise ValueError("give either `model` or `models`")
        if self.routes is None and (len(self.prompts) > 1 or len(self.models) > 1):
            raise ValueError("several prompts or models need `routes`")
        return self
