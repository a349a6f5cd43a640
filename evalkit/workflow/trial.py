"""One trial: classify, route, retrieve, prompt, call, run tools behind policy, escalate; the trace of it all."""

from __future__ import annotations

import json
import time
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evalkit.errors import ConfigError, EvalkitError, PromptError
from evalkit.jsonschemas import value_problems
from evalkit.providers.base import CallError, ChatRequest, ChatResponse, Provider, RequestedCall
from evalkit.providers.prices import PriceTable
from evalkit.records import (
    Case,
    Json,
    Message,
    ModelCall,
    PolicyDecision,
    RetrievedDocument,
    RouteStep,
    ToolCall,
    ToolEvent,
    ToolSpec,
    Trace,
    TraceError,
)
from evalkit.text import scrub
from evalkit.workflow import textcalls
from evalkit.workflow.answers import admit
from evalkit.workflow.retrieval import retrieve
from evalkit.workflow.routing import Attempt, choose, classify, escalation
from evalkit.workflow.tools import find_recorded
from evalkit.workflow.workflow import Workflow

__all__ = ["run_trial"]


async def run_trial(
    workflow: Workflow, case: Case, trial: int, providers: Mapping[str, Provider], prices: PriceTable
) -> Trace:
    """Execute a case once and record everything. Faults of the target become a trace with status ``error``.

    Raises:
        EvalkitError: for what concerns every trial and not this case: a target that is not configured rightly.
    """
    return await _Trial(workflow, case, trial, providers, prices).run()


@dataclass
class _Trial:
    """The growing record of a trial. One instance a trial, used once."""

    workflow: Workflow
    case: Case
    trial: int
    providers: Mapping[str, Provider]
    prices: PriceTable
    steps: list[RouteStep] = field(default_factory=list)
    calls: list[ModelCall] = field(default_factory=list)
    events: list[ToolEvent] = field(default_factory=list)
    decisions: list[PolicyDecision] = field(default_factory=list)
    documents: tuple[RetrievedDocument, ...] = ()
    messages: list[Message] = field(default_factory=list)
    intent: str = ""
    risk: str = ""
    answer: str = ""
    finish_reason: str = ""
    decode_error: str | None = None
    replaced: int = 0

    async def run(self) -> Trace:
        """Try the chosen route and, where a rule says so, better ones."""
        started = time.time_ns() // 1000
        error: TraceError | None = None
        try:
            await self._attempts()
        except CallError as fault:
            error = TraceError("fatal" if fault.fatal else fault.kind, scrub(fault.message)[0])
        except PromptError as fault:
            error = TraceError("prompt", str(fault))
        except EvalkitError:
            raise
        except Exception as fault:  # noqa: BLE001 - a case that trips evalkit itself does not end the run
            error = TraceError("internal", _described(fault))
        case = self.case
        return Trace(
            workflow=self.workflow.name,
            case_id=case.id,
            trial=self.trial,
            status="error" if error else "ok",
            answer=self.answer,
            configuration=self.workflow.configuration.fingerprint,
            request_id=str(uuid.uuid4()),
            tenant=case.tenant,
            role=case.role,
            locale=case.locale,
            intent=self.intent,
            risk=self.risk,
            route=tuple(self.steps),
            documents=self.documents,
            messages=tuple(self.messages),
            model_calls=tuple(self.calls),
            tool_events=tuple(self.events),
            policy_decisions=tuple(self.decisions),
            finish_reason=self.finish_reason,
            decode_error=self.decode_error,
            error=error,
            started_us=started,
            simulated=any(call.simulated for call in self.calls),
            replaced_characters=self.replaced,
        )

    async def _attempts(self) -> None:
        workflow, case = self.workflow, self.case
        self.intent, self.risk = classify(workflow.routes.classify, case)
        self.documents, decisions = retrieve(case, workflow.corpus, workflow.spec.retrieval.k, workflow.policies)
        self.decisions += decisions
        choice = choose(workflow.routes, case, intent=self.intent, risk=self.risk)
        route, rule, previous = choice.route, choice.rule, None
        tried: set[str] = set()
        while True:
            tried.add(route)
            self.steps.append(RouteStep(route, rule, workflow.model_of(route).model, previous))
            attempt = await self._attempt(route)
            better = escalation(workflow.routes, route, attempt)
            if better is None or better.to in tried:
                return
            route, rule, previous = better.to, better.id, route

    async def _attempt(self, route: str) -> Attempt:
        """One route from prompt to final answer, with all its tool rounds."""
        workflow = self.workflow
        self.messages = list(workflow.messages(route, self.case, self.documents, intent=self.intent, risk=self.risk))
        tools = self.case.tools or workflow.tools
        self.events = self._lasting(tools)
        kept = len(self.events)
        self.answer, self.finish_reason, self.decode_error = "", "", None
        invalid = False
        for _ in range(workflow.spec.max_steps):
            response = await self._call(route, tools)
            self.answer, self.finish_reason = response.text, response.finish_reason
            requested = self._requested(response)
            if not requested:
                break
            results = [
                self._run_tool(call, tools, f"call_{len(self.calls) - 1}_{index}", run=not response.final)
                for index, call in enumerate(requested)
            ]
            self.events += results
            invalid = invalid or any(event.schema_errors for event in results)
            if response.final or workflow.spec.tool_calls != "native":
                break
            self._append(response.text, results)
        else:
            self.finish_reason = "max_steps"
        return Attempt(self.answer, self.finish_reason, invalid, len(self.events) - kept)

    def _lasting(self, tools: tuple[ToolSpec, ...]) -> list[ToolEvent]:
        """Calls of attempts that were given up stay in the trace where they have changed something."""
        writing = {tool.name for tool in tools if tool.side_effect in ("write", "money")}
        return [event for event in self.events if event.status == "ok" and event.name in writing]

    async def _call(self, route: str, tools: tuple[ToolSpec, ...]) -> ChatResponse:
        pin = self.workflow.model_of(route)
        provider = self.providers[pin.provider]
        request = ChatRequest(
            model=pin.name,
            messages=tuple(self.messages),
            tools=tools if self.workflow.spec.tool_calls == "native" else (),
            params=pin.params,
            seed=self.trial,
            case_id=self.case.id,
            trial=self.trial,
        )
        digest = request.digest
        try:
            response, replaced = admit(await provider.complete(request))
        except EvalkitError as fault:
            if isinstance(fault, CallError):
                self._note_failure(pin.name, provider, digest, fault)
            raise
        except (Exception, SystemExit) as fault:
            failure = CallError(_described(fault), kind="target")
            self._note_failure(pin.name, provider, digest, failure)
            raise failure from fault
        self.replaced += replaced
        self.calls.append(
            ModelCall(
                model=pin.name,
                reported_model=response.model,
                provider=provider.name,
                request_digest=digest,
                finish_reason=response.finish_reason,
                usage=response.usage,
                priced=False,
                latency_us=response.latency_us,
                timed=response.timed,
                ttft_us=response.ttft_us,
                waited_us=response.waited_us,
                attempts=response.attempts,
                system_fingerprint=response.system_fingerprint,
                simulated=response.simulated,
            )
        )
        cost = self._cost(pin.name, response)
        if cost is not None:
            self.calls[-1] = replace(self.calls[-1], cost_microusd=cost, priced=True)
        return response

    def _note_failure(self, model: str, provider: Provider, digest: str, fault: CallError) -> None:
        self.calls.append(
            ModelCall(
                model,
                provider=provider.name,
                request_digest=digest,
                status="error",
                error=scrub(fault.message)[0],
                attempts=fault.attempts,
                priced=False,
                timed=False,
            )
        )

    def _cost(self, model: str, response: ChatResponse) -> int | None:
        if response.cost_microusd is not None:
            return response.cost_microusd
        if response.usage.source == "none":
            return None
        try:
            return self.prices.find(model).cost_microusd(response.usage)
        except ConfigError as error:
            raise CallError(str(error), kind="price") from None

    def _requested(self, response: ChatResponse) -> tuple[RequestedCall, ...]:
        if self.workflow.spec.tool_calls == "native":
            return response.tool_calls
        try:
            calls = textcalls.decode(response.text, self.workflow.spec.tool_calls)
        except textcalls.DecodeError as error:
            self.decode_error = str(error)
            return ()
        return tuple(RequestedCall(call.name, dict(call.arguments)) for call in calls)

    def _run_tool(self, call: RequestedCall, tools: tuple[ToolSpec, ...], name: str, *, run: bool) -> ToolEvent:
        """Check a call against its schema and the policies, then answer it from the recording.

        ``name`` is the id of a call that comes without one.
        """
        arguments = call.arguments
        spec = next((tool for tool in tools if tool.name == call.name), None)
        problems = self._problems(call, spec, arguments)
        decision = self.workflow.policies.act(call.name, self._facts(arguments))
        self.decisions.append(decision)
        event = ToolEvent(call.name, arguments, call.id or name, problems, decision.verdict, step=len(self.calls) - 1)
        if not run:
            return _finish(event, "not_run")
        if problems:
            return _finish(event, "error", {"error": "invalid arguments", "details": list(problems)}, problems[0])
        if decision.verdict != "allow":
            why = decision.message or decision.rule
            return _finish(event, "denied", {"error": decision.verdict, "rule": decision.rule, "message": why}, why)
        recorded = find_recorded(self.case, call.name, arguments)
        if recorded is None:
            return _finish(event, "error", {"error": "not found"}, "no recorded result fits the call")
        if recorded.error is not None:
            return _finish(event, "error", {"error": recorded.error}, recorded.error)
        return _finish(event, "ok", recorded.result)

    def _problems(self, call: RequestedCall, spec: ToolSpec | None, arguments: Json) -> tuple[str, ...]:
        if call.error is not None:
            return (call.error,)
        if spec is None:
            return (f"no tool `{call.name}`",)
        return tuple(value_problems(spec.parameters, arguments))

    def _facts(self, arguments: Json) -> dict[str, Json]:
        case = self.case
        facts: dict[str, Json] = {
            "role": case.role,
            "tenant": case.tenant,
            "locale": case.locale,
            "intent": self.intent,
            "risk": self.risk,
            "approved": case.variables.get("approved") is True,
        }
        if isinstance(arguments, Mapping):
            facts |= {f"arguments.{key}": value for key, value in arguments.items()}
        return facts

    def _append(self, text: str, events: list[ToolEvent]) -> None:
        calls = tuple(
            ToolCall(event.name, event.arguments if isinstance(event.arguments, Mapping) else {}, event.id)
            for event in events
        )
        self.messages.append(Message("assistant", text, calls))
        for event in events:
            content = json.dumps(event.result, ensure_ascii=False, sort_keys=True)
            self.messages.append(Message("tool", content, tool_call_id=event.id))


def _finish(event: ToolEvent, status: str, result: Json = None, error: str | None = None) -> ToolEvent:
    return replace(event, status=status, result=result, error=error)  # type: ignore[arg-type]


def _described(fault: BaseException) -> str:
    """Type and text of an exception, also of one that cannot be printed."""
    return scrub("".join(traceback.format_exception_only(fault)).strip())[0]
