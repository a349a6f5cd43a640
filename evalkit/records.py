"""The nouns of evalkit as small frozen types: case, trace, score, run and their parts.

Everything here is plain data: no I/O, no behaviour beyond derived properties, and no
import of another evalkit module. Times are integer microseconds, money is integer
micro-dollars (1 USD = 1,000,000), so that a record has one canonical form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = [
    "AnswerMatch",
    "Behaviour",
    "Case",
    "Component",
    "Configuration",
    "Document",
    "Expectation",
    "ExpectedCall",
    "FailedAttempt",
    "GoldenSetRef",
    "GraderRef",
    "Json",
    "Message",
    "ModelCall",
    "PolicyDecision",
    "Provenance",
    "RecordedTool",
    "RetrievedDocument",
    "Risk",
    "RouteStep",
    "Run",
    "Score",
    "ScoreStatus",
    "Severity",
    "ToolCall",
    "ToolEvent",
    "ToolExpectation",
    "ToolSpec",
    "Trace",
    "TraceError",
    "TraceStatus",
    "Usage",
    "question_of",
]

Json: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, list or dict of them."""

Behaviour: TypeAlias = Literal["answer", "refuse", "clarify", "abstain", "escalate"]
"""What a right answer does: give the answer, refuse, ask back, say that the documents
do not hold it, or hand over to a person."""

Risk: TypeAlias = Literal["low", "medium", "high", "critical"]
Severity: TypeAlias = Literal["none", "minor", "major", "critical"]


# ── golden sets ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Document:
    """A document that a case gives to the workflow, or that retrieval found."""

    id: str
    text: str
    title: str = ""
    date: str | None = None
    """ISO date of the version, for example ``2026-03-01``."""
    kind: str = "policy"
    """policy, contract, invoice, email, web, record, ..."""
    tenant: str | None = None
    """The tenant that owns it; None is for all."""
    roles: tuple[str, ...] = ()
    """The roles that may read it; empty is for all."""
    trusted: bool = True
    """False for text that somebody outside could have written: mails, web pages, uploads."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool, as asked for by a model."""

    name: str
    arguments: Mapping[str, Json] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


def question_of(conversation: Sequence[Message]) -> str:
    """What a conversation asks: the text of its last user turn, empty where there is none."""
    return next((turn.content for turn in reversed(conversation) if turn.role == "user"), "")


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that a model may call: name, description and JSON Schema (2020-12) of its arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, Json] = field(default_factory=dict)
    side_effect: Literal["none", "read", "write", "money"] = "read"


@dataclass(frozen=True, slots=True)
class RecordedTool:
    """What a tool answers in this case. ``arguments`` None fits any call; else each given key must be equal."""

    name: str
    result: Json = None
    arguments: Mapping[str, Json] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """A tool call that is right: for each argument the values that are accepted."""

    name: str
    arguments: Mapping[str, tuple[Json, ...]] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    """Checked arguments that may be left out."""
    free: tuple[str, ...] = ()
    """Arguments that may have any value, or none: a reason, a note; ``*`` frees all that are not named."""


@dataclass(frozen=True, slots=True)
class ToolExpectation:
    """Which calls are right. ``alternatives`` are whole sequences; ``((),)`` means no call at all."""

    alternatives: tuple[tuple[ExpectedCall, ...], ...] = ()
    order: Literal["any", "strict"] = "any"
    forbidden: tuple[str, ...] = ()
    """Tools that must not be called, whatever else happens."""


@dataclass(frozen=True, slots=True)
class AnswerMatch:
    """What the answer itself has to be. Each kind reads the keys that name it; any other key is to be left out."""

    kind: Literal["exact", "choice", "number", "set", "json", "regex"]
    texts: tuple[str, ...] = ()
    """exact: the accepted answers; choice: the right letters; set: its members."""
    fold: Literal["squad", "drop", "math", "case", "none"] = "squad"
    """exact, set: what does not count when texts are compared, by the convention of a benchmark; ``case`` is case
    and blanks alone."""
    value: float | None = None
    """number: what it must be, in ``unit``."""
    tolerance: float = 0.0
    """number: how far it may be off, in ``unit``."""
    relative: float = 0.0
    """number: how far it may be off as a share of ``value``; the wider of the two counts."""
    unit: str = ""
    """number: ``%``, ``EUR``, ``days``, ``km``, ``kg``, ``MB``...; other units of its family are converted."""
    ordered: bool = False
    """set: whether the members must come in this order."""
    schema: Mapping[str, Json] = field(default_factory=dict)
    """json: a JSON Schema (2020-12) that it must fit."""
    fields: Mapping[str, Json] = field(default_factory=dict)
    """json: the values that it must hold, nested as there; keys that are not named may be anything."""
    tolerances: Mapping[str, Json] = field(default_factory=dict)
    """json: how far a number of ``fields`` may be off, by its way (``lines.*.price``): ``0.01``, or ``"1%"``."""
    ignored: tuple[str, ...] = ()
    """json: ways of ``fields`` that are not compared."""
    pattern: str = ""
    """regex: a regular expression of Python without references and lookaround."""
    whole: bool = False
    """regex: whether it must fit the whole answer, without the blanks around it."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is right in a case. What is not said is not checked."""

    behaviour: Behaviour = "answer"
    facts: tuple[tuple[str, ...], ...] = ()
    """Facts that must appear, each with its accepted wordings."""
    forbidden: tuple[str, ...] = ()
    """Texts that must not appear in the answer."""
    answer: str | None = None
    """A reference answer, for people and for similarity."""
    citations: tuple[str, ...] = ()
    """Ids of the documents that the answer must cite."""
    tools: ToolExpectation | None = None
    match: AnswerMatch | None = None
    """What the answer itself must be: a text, a choice, a number, a set, JSON, or what fits a pattern."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a case comes from."""

    source: str = ""
    author: str = ""
    created: str | None = None
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One input with its context, expectations, risk, slice keys and provenance."""

    id: str
    input: tuple[Message, ...]
    expect: Expectation = Expectation()
    context: tuple[Document, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    """Tools of this case alone; empty means those of the workflow."""
    recorded_tools: tuple[RecordedTool, ...] = ()
    variables: Mapping[str, Json] = field(default_factory=dict)
    """Further variables for the prompt."""
    tenant: str = "default"
    role: str = "user"
    locale: str = "en"
    intent: str = ""
    risk: Risk = "low"
    critical: bool = False
    cluster: str = ""
    """Cases that stand or fall together (same document, template, conversation) share this key."""
    slices: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    provenance: Provenance = Provenance()
    notes: str = ""

    @property
    def question(self) -> str:
        """What the case asks; see :func:`question_of`."""
        return question_of(self.input)

    @property
    def cluster_key(self) -> str:
        """The cluster, or the case itself where none is named."""
        return self.cluster or self.id

    @property
    def slice_keys(self) -> dict[str, str]:
        """All keys by which results are sliced: the named ones and the built-in ones."""
        built_in = {"intent": self.intent, "risk": self.risk, "locale": self.locale, "role": self.role}
        return {key: value for key, value in {**built_in, **self.slices}.items() if value}


# ── configurations ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Component:
    """One versioned part of a workflow. ``content`` is its canonical text, shown in diffs."""

    kind: str
    """prompt, routes, model, retrieval, tools, policies, contract"""
    name: str
    fingerprint: str
    content: str = ""
    path: str | None = None

    @property
    def key(self) -> str:
        """``kind:name``, unique within a configuration."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Configuration:
    """The whole set of components of a workflow; the fingerprint is the hash of theirs."""

    workflow: str
    fingerprint: str
    components: tuple[Component, ...]


@dataclass(frozen=True, slots=True)
class GoldenSetRef:
    """Which golden set, in which version, with which content."""

    name: str
    version: str
    digest: str
    cases: int


@dataclass(frozen=True, slots=True)
class GraderRef:
    """Which grader, in which version, with which parameters (inside the fingerprint)."""

    name: str
    version: str
    fingerprint: str
    quality: bool = True
    """Whether ``passed`` says that an answer is good; measurements such as cost do not."""
    deterministic: bool = True
    """Whether it says the same each time of the same trace: then asking it again tells nothing."""
    per_run: bool = False
    """Whether it grades the trials of a run together, and not each for itself."""


# ── traces ──────────────────────────────────────────────────────────────────────────────

TraceStatus: TypeAlias = Literal["ok", "error"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a call. Input includes tokens read from and written to a cache, output includes reasoning tokens."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Input tokens read from the vendor's cache."""
    cache_write_tokens: int = 0
    """Input tokens written to the vendor's cache."""
    reasoning_tokens: int = 0
    source: Literal["provider", "estimated", "recorded", "none"] = "provider"


@dataclass(frozen=True, slots=True)
class TraceError:
    """Why a trial did not finish: an infrastructure fault, not a statement about quality."""

    kind: str
    """provider, timeout, protocol, prompt, steps, budget, internal"""
    message: str


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """One attempt of a call that brought no answer."""

    kind: str
    """timeout, connect, status, protocol, circuit_open"""
    message: str
    status: int | None = None
    """HTTP status, where one came."""
    after_us: int = 0
    """When it was begun, microseconds after the call was asked for."""
    latency_us: int = 0
    """How long it took to fail."""
    retry_after_us: int | None = None
    """The pause that the target asked for."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One request to a model with the attempt that answered it."""

    model: str
    """The model asked for, as pinned."""
    reported_model: str = ""
    """The model that the answer names."""
    provider: str = ""
    purpose: str = "answer"
    request_digest: str = ""
    finish_reason: str = ""
    usage: Usage = Usage()
    cost_microusd: int = 0
    priced: bool = True
    """False where neither a price nor a recorded cost is known: the zero is no statement."""
    latency_us: int = 0
    """Wire time of the attempt that answered: request sent to last byte."""
    timed: bool = True
    """False where no latency was measured or recorded."""
    ttft_us: int | None = None
    waited_us: int = 0
    """Queueing, rate-limit waits and retries before that attempt."""
    attempts: int = 1
    failures: tuple[FailedAttempt, ...] = ()
    """The attempts that brought no answer, in order."""
    status: TraceStatus = "ok"
    error: str | None = None
    system_fingerprint: str = ""
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """One policy check: what was asked, which rule decided, and how."""

    point: Literal["retrieve", "act"]
    subject: str
    """The document id or the tool name."""
    verdict: Literal["allow", "deny", "needs_approval"]
    rule: str = ""
    severity: Severity = "none"
    message: str = ""


@dataclass(frozen=True, slots=True)
class RetrievedDocument:
    """A document as the model saw it, with its rank and score."""

    id: str
    text: str
    title: str = ""
    date: str | None = None
    kind: str = "policy"
    trusted: bool = True
    rank: int = 0
    score: float | None = None


@dataclass(frozen=True, slots=True)
class ToolEvent:
    """One tool call in a trace: what was asked, whether it was allowed, what came back."""

    name: str
    arguments: Json = None
    """The decoded arguments; the raw text where they are not JSON."""
    id: str = ""
    schema_errors: tuple[str, ...] = ()
    verdict: Literal["allow", "deny", "needs_approval"] = "allow"
    status: Literal["ok", "error", "denied", "not_run"] = "ok"
    result: Json = None
    error: str | None = None
    step: int = 0
    """The model call, from 0, that asked for it; calls of one step are parallel."""


@dataclass(frozen=True, slots=True)
class RouteStep:
    """One decision of the router: which route, by which rule, on which model."""

    route: str
    rule: str
    model: str
    escalated_from: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """The full record of a trial: everything a grader, a reviewer or an auditor may ask for."""

    workflow: str
    case_id: str
    trial: int
    status: TraceStatus
    answer: str = ""
    configuration: str = ""
    """Fingerprint of the configuration."""
    request_id: str = ""
    tenant: str = ""
    role: str = ""
    locale: str = ""
    intent: str = ""
    """As classified by the workflow, not as the case says."""
    risk: str = ""
    route: tuple[RouteStep, ...] = ()
    documents: tuple[RetrievedDocument, ...] = ()
    messages: tuple[Message, ...] = ()
    """The conversation as the last model saw it, system prompt first."""
    model_calls: tuple[ModelCall, ...] = ()
    tool_events: tuple[ToolEvent, ...] = ()
    policy_decisions: tuple[PolicyDecision, ...] = ()
    finish_reason: str = ""
    decode_error: str | None = None
    """Why calls written as text could not be decoded."""
    error: TraceError | None = None
    started_us: int = 0
    """Wall clock at the start, microseconds since the epoch."""
    simulated: bool = False
    redactions: Mapping[str, int] = field(default_factory=dict)
    lag_us: int = 0
    """The longest that the event loop was held up while the trial ran: measured times may be too long by as much."""
    replaced_characters: int = 0
    """Lone surrogates replaced by U+FFFD when the text came in."""

    @property
    def cost_microusd(self) -> int:
        """What all model calls of the trial cost."""
        return sum(call.cost_microusd for call in self.model_calls)

    @property
    def latency_us(self) -> int:
        """Wire time of all model calls of the trial; waits and retries are not in it."""
        return sum(call.latency_us for call in self.model_calls)

    @property
    def input_tokens(self) -> int:
        """Input tokens of all model calls."""
        return sum(call.usage.input_tokens for call in self.model_calls)

    @property
    def output_tokens(self) -> int:
        """Output tokens of all model calls."""
        return sum(call.usage.output_tokens for call in self.model_calls)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that were asked for, in order, allowed or not."""
        return tuple(
            ToolCall(event.name, event.arguments if isinstance(event.arguments, Mapping) else {}, event.id)
            for event in self.tool_events
        )


# ── scores and runs ─────────────────────────────────────────────────────────────────────

ScoreStatus: TypeAlias = Literal["ok", "error", "not_applicable"]


@dataclass(frozen=True, slots=True)
class Score:
    """One row that a grader returned for one trial. An error is a row too, and counts."""

    case_id: str
    trial: int
    grader: str
    version: str
    fingerprint: str
    status: ScoreStatus
    value: float | None = None
    passed: bool | None = None
    label: str = ""
    severity: Severity = "none"
    evidence: Mapping[str, Json] = field(default_factory=dict)
    review: str = ""
    """Why a person should look at it; empty where nobody needs to."""


@dataclass(frozen=True, slots=True)
class Run:
    """All trials and scores of one configuration on one golden set version."""

    run_id: str
    workflow: str
    created_us: int
    finished_us: int
    status: Literal["complete", "partial"]
    configuration: Configuration
    golden_set: GoldenSetRef
    graders: tuple[GraderRef, ...]
    grading: str
    """Fingerprint of the set of graders: names the scores segment."""
    prices: str
    """Fingerprint of the price table."""
    evalkit: str
    """Version of evalkit."""
    trials_per_case: int = 1
    trials: int = 0
    reused: int = 0
    errors: int = 0
    model_calls: int = 0
    """Calls made by this run, by its graders too; reused trials made none."""
    cost_microusd: int = 0
    """What this run spent, on its graders too."""
    simulated: bool = False
    selection: str = "all"
    """How the cases were chosen: all of them, or a stated part."""
    commit: str = ""
    branch: str = ""
    dirty: bool = False
    redaction: str = ""
    """Fingerprint of the redaction rules and key."""
    shard: str = ""
    """``i/n`` where the run is one of n parts that are to be merged."""
    lag_us: int = 0
    """99th percentile of how long the event loop was held up while trials were made."""
    model_prices: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint of the price of each model that the configuration names."""
