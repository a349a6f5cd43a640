"""One trial: classify, route, retrieve, prompt, call, run tools behind policy, escalate; the trace of it all."""

from __future__ import annotations

import json
import time
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from evalkit.errors import ConfigError, EvalkitError, PromptError
from evalkit.jsonschemas import value_problems
from evalkit.providers.base import CallError, ChatRequest, ChatResponse, Provider, RequestedCall
from evalkit.providers.prices import PriceTable
from evalkit.records import (
    Case,
    FailedAttempt,
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
from evalkit.toolcalls import DecodeError, decode
from evalkit.workflow.answers import admit
from evalkit.workflow.kinds import PROGRAMS
from evalkit.workflow.prompts import prompt_values
from evalkit.workflow.routing import Attempt, escalation, fallback
from evalkit.workflow.tools import find_recorded
from evalkit.workflow.workflow import Prepared, Workflow

__all__ = ["CallMemory", "LagMeter", "run_trial"]


class CallMemory(Protocol):
    """Finished calls of a trial that was cut off, and of one that may be."""

    def recall(self, step: int, digest: str) -> ChatResponse | None:
        """The answer of a call that was made before: its number in the trial and the digest of its request."""
        ...

    def remember(self, step: int, digest: str, response: ChatResponse) -> None:
        """Keep the answer of a call that others follow."""
        ...


class LagMeter(Protocol):
    """Measures how long the event loop is held up."""

    def mark(self) -> int:
        """A point in time."""
        ...

    def since(self, mark: int) -> int:
        """The longest that the loop was held up since then, microseconds."""
        ...


async def run_trial(
    workflow: Workflow,
    case: Case,
    trial: int,
    providers: Mapping[str, Provider],
    prices: PriceTable,
    *,
    memory: CallMemory | None = None,
    lag: LagMeter | None = None,
    prepared: Prepared | None = None,
) -> Trace:
    """Execute a case once and record everything. Faults of the target become a trace with status ``error``.

    Args:
        workflow: The program under test.
        case: Its input.
        trial: Index of the repeat.
        providers: Targets by name.
        prices: What calls cost.
        memory: Calls that need not be made again.
        lag: What measures how far times can be trusted.
        prepared: The case, where it is prepared already.

    Raises:
        EvalkitError: for what concerns every trial and not this case: a target that is not configured rightly, a
            budget that is spent.
    """
    return await _Trial(workflow, case, trial, providers, prices, memory, lag, prepared).run()


@dataclass
class _Trial:
    """The growing record of a trial. One instance a trial, used once."""

    workflow: Workflow
    case: Case
    trial: int
    providers: Mapping[str, Provider]
    prices: PriceTable
    memory: CallMemory | None = None
    lag: LagMeter | None = None
    prepared: Prepared | None = None
    steps: list[RouteStep] = field(default_factory=list)
    calls: list[ModelCall] = field(default_factory=list)
    events: list[ToolEvent] = field(default_factory=list)
    decisions: list[PolicyDecision] = field(default_factory=list)
    documents: tuple[RetrievedDocument, ...] = ()
    messages: list[Message] = field(default_factory=list)
    states: dict[str, Json] = field(default_factory=dict)
    """What the vendor wants back with the results of calls, by their ids; no part of the trace."""
    intent: str = ""
    risk: str = ""
    answer: str = ""
    finish_reason: str = ""
    decode_error: str | None = None
    replaced: int = 0
    unsaved: tuple[int, str, ChatResponse] | None = None
    """The last call, which is kept by itself as soon as another follows."""

    async def run(self) -> Trace:
        """Try the chosen route and, where a rule says so, better ones."""
        started = time.time_ns() // 1000
        mark = self.lag.mark() if self.lag is not None else 0
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
            lag_us=self.lag.since(mark) if self.lag is not None else 0,
            replaced_characters=self.replaced,
        )

    async def _attempts(self) -> None:
        workflow = self.workflow
        prepared = self.prepared = self.prepared or workflow.prepared(self.case)
        self.intent, self.risk, self.documents = prepared.intent, prepared.risk, prepared.documents
        self.decisions += prepared.decisions
        route, rule, previous = prepared.choice.route, prepared.choice.rule, None
        tried: set[str] = set()
        while True:
            tried.add(route)
            self.steps.append(RouteStep(route, rule, workflow.model_of(route).model, previous))
            try:
                attempt = await self._attempt(route)
            except CallError as fault:
                spare = fallback(workflow.routes, route, fault.fault)
                if spare is None or spare in tried:
                    raise
                route, rule, previous = spare, f"fallback {fault.fault}", route
                continue
            better = escalation(workflow.routes, route, attempt)
            if better is None or better.to in tried:
                return
            route, rule, previous = better.to, better.id, route

    async def _attempt(self, route: str) -> Attempt:
        """One route from prompt to final answer, with all its tool rounds."""
        workflow = self.workflow
        assert self.prepared is not None, "it is what the first route follows from"  # noqa: S101
        self.messages = list(self.prepared.messages(route))
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
            output_schema=pin.output_schema,
            context=self._context(pin.provider),
            states=dict(self.states),
            seed=self.trial,
            case_id=self.case.id,
            trial=self.trial,
        )
        digest = request.digest
        step = len(self.calls)
        try:
            response, replaced = await self._answer(provider, request, step, digest)
        except EvalkitError as fault:
            if isinstance(fault, CallError):
                self._note_failure(pin.name, provider, digest, fault)
            raise
        except (Exception, SystemExit) as fault:
            failure = CallError(_described(fault), kind="target")
            self._note_failure(pin.name, provider, digest, failure)
            raise failure from fault
        self.replaced += replaced
        if response.documents is not None:
            self.documents = response.documents
        cost, unpriced = self._cost(pin.name, pin.provider, response)
        self.calls.append(
            ModelCall(
                model=pin.name,
                reported_model=response.model,
                provider=provider.name,
                request_digest=digest,
                finish_reason=response.finish_reason,
                usage=response.usage,
                cost_microusd=cost or 0,
                priced=cost is not None,
                latency_us=response.latency_us,
                timed=response.timed,
                ttft_us=response.ttft_us,
                waited_us=response.waited_us,
                attempts=response.attempts,
                failures=_scrubbed(response.failures),
                system_fingerprint=response.system_fingerprint,
                simulated=response.simulated,
            )
        )
        if unpriced is not None:
            raise unpriced
        return response

    async def _answer(
        self, provider: Provider, request: ChatRequest, step: int, digest: str
    ) -> tuple[ChatResponse, int]:
        """From memory where the call was made before; a call is kept as soon as another follows it.

        Returns:
            The answer, fit to be recorded, and how many lone surrogates were replaced in it.
        """
        if self.memory is None:
            return admit(await provider.complete(request))
        known = self.memory.recall(step, digest)
        if known is not None:
            return known, 0
        if self.unsaved is not None:
            before, asked, answered = self.unsaved
            paid = self.calls[before]
            cost = paid.cost_microusd if paid.priced else None
            kept = replace(answered, cost_microusd=cost, failures=_scrubbed(answered.failures))
            self.memory.remember(before, asked, kept)
        response, replaced = admit(await provider.complete(request))
        self.unsaved = (step, digest, response)
        return response, replaced

    def _context(self, provider: str) -> Mapping[str, Json]:
        """What a program of the user is given beside the conversation; models get none."""
        if self.workflow.kind_of(provider) not in PROGRAMS:
            return {}
        values = prompt_values(self.case, self.documents, intent=self.intent, risk=self.risk)
        documents = [
            {name: getattr(document, name) for name in ("id", "title", "text", "date", "kind", "trusted")}
            for document in self.documents
        ]
        return {**values, "documents": documents}

    def _note_failure(self, model: str, provider: Provider, digest: str, fault: CallError) -> None:
        self.calls.append(
            ModelCall(
                model,
                provider=provider.name,
                request_digest=digest,
                status="error",
                error=scrub(fault.message)[0],
                attempts=fault.attempts,
                failures=_scrubbed(fault.failures),
                priced=False,
                timed=False,
            )
        )

    def _cost(self, model: str, provider: str, response: ChatResponse) -> tuple[int | None, CallError | None]:
        """What a call cost, where that is known, and the fault where it should be; the call is in the trace anyway."""
        try:
            return self.prices.cost_of(model, response.usage, response.cost_microusd), None
        except ConfigError as error:
            free = self.workflow.kind_of(provider) in PROGRAMS
            return None, None if free else CallError(str(error), kind="price")

    def _requested(self, response: ChatResponse) -> tuple[RequestedCall, ...]:
        if self.workflow.spec.tool_calls == "native":
            return response.tool_calls
        try:
            calls = decode(response.text, self.workflow.spec.tool_calls)
        except DecodeError as error:
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
        if call.state is not None:
            self.states[event.id] = call.state
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


def _scrubbed(failures: tuple[FailedAttempt, ...]) -> tuple[FailedAttempt, ...]:
    return () if not failures else tuple(replace(failure, message=scrub(failure.message)[0]) for failure in failures)


def _finish(event: ToolEvent, status: str, result: Json = None, error: str | None = None) -> ToolEvent:
    return replace(event, status=status, result=result, error=error)  # type: ignore[arg-type]


def _described(fault: BaseException) -> str:
    """Type and text of an exception, also of one that cannot be printed."""
    return scrub("".join(traceback.format_exception_only(fault)).strip())[0]
