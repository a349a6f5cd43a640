"""A simulated model: reads a chat request, decides, answers. Everything it does is invented, and stated.

Decisions in order: refuse, hand over, call a tool, ask back, say that the documents do not
hold it, quote the documents. Each can go wrong with the probability of the model's profile.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.fingerprint import canonical_json
from evalkit.simulator.draws import Dice, unit
from evalkit.simulator.echo import conversation_hash, echo
from evalkit.simulator.extraction import Evidence, find_evidence
from evalkit.simulator.judging import judge
from evalkit.simulator.lexicon import lexicon, phrases
from evalkit.simulator.profiles import ECHO, JUDGE, SYSTEM_FINGERPRINT, Profile, profile
from evalkit.simulator.reading import Passage, Reading, Rule, ToolAnswer, read
from evalkit.simulator.toolbox import ToolChoice, choose_tool, handover_tool, planted_texts, verbalise

__all__ = ["BadRequestError", "Reply", "UnknownModelError", "complete"]

_SEED = 20260101
_NO_DICE = Dice(_SEED, ECHO.name, "", "")
_NUMBER = re.compile(r"\d+")


class UnknownModelError(LookupError):
    """No simulated model has that name."""


class BadRequestError(ValueError):
    """A request that cannot be answered.

    Args:
        reason: What is wrong with it.
        wire: The protocol that it should be of.
    """

    def __init__(self, reason: str, wire: str = "chat completions") -> None:
        super().__init__(f"not a {wire} request: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Reply:
    """A chat completion, and how long the model says that it took."""

    body: dict[str, Any]
    latency_s: float
    explanation: str
    """Why it answered so: for people who write golden sets against the simulator."""
    first_s: float = 0.0
    """The part of the latency until the first token."""


@dataclass(frozen=True)
class _Decision:
    text: str = ""
    call: ToolChoice | None = None
    why: str = ""


def complete(payload: Mapping[str, Any]) -> Reply:
    """Answer an OpenAI chat completions request.

    Raises:
        UnknownModelError: when the model is not a simulated one.
        BadRequestError: when the request is not a chat completions request.
    """
    try:
        chosen = profile(str(payload["model"]))
        if chosen is not None:
            return _complete(payload, chosen)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise BadRequestError(f"{type(error).__name__}: {error}") from error
    raise UnknownModelError(str(payload["model"]))


def _complete(payload: Mapping[str, Any], chosen: Profile) -> Reply:
    limit = _limit(payload)
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ValueError("max_tokens is not a whole number from 1")
    if chosen is ECHO:
        hashed = conversation_hash(payload)
        decision = _Decision(echo(hashed), why="the words follow from the conversation's hash")
        return _reply(payload, chosen, _NO_DICE, decision, hashed.hex())
    digest = hashlib.sha256(canonical_json(payload)).hexdigest()
    if chosen is JUDGE:
        text, why = judge(payload)
        return _reply(payload, chosen, Dice(_SEED, chosen.name, "", digest), _Decision(text, why=why), digest)
    reading = read(payload)
    dice = Dice(_SEED, chosen.name, f"{reading.dialogue}|{len(reading.answers)}", digest)
    decision = _Mind(chosen, reading, dice).decide()
    return _reply(payload, chosen, dice, decision, digest)


def _limit(payload: Mapping[str, Any]) -> Any:
    """The most tokens of an answer, under its old or its new name."""
    limit = payload.get("max_tokens")
    return payload.get("max_completion_tokens") if limit is None else limit


@dataclass(frozen=True)
class _Mind:
    profile: Profile
    reading: Reading
    dice: Dice

    def decide(self) -> _Decision:
        planted = self._obey_planted()
        if planted is not None:
            return planted
        if not self.reading.answers:
            refused = self._refuse()
            if refused is not None:
                return refused
        handed = self._hand_over()
        if handed is not None:
            return handed
        call = choose_tool(self.reading)
        if call is not None:
            made = self._call(call)
            if made is not None:
                return made
        return self._answer()

    # ── refusing ────────────────────────────────────────────────────────────────────────

    def _refuse(self) -> _Decision | None:
        reading, model = self.reading, self.profile
        rule = _strongest(reading.guidance.refusals, reading.concepts)
        fit = rule.fit(reading.concepts) if rule else 0.0
        if rule is not None and fit == 1.0:
            if self.dice.succeeds("obey", model.obedience):
                return _Decision(self._say("refuse"), why=f"rule: {rule.text}")
            return None
        harmful = reading.concepts & lexicon().harmful
        if harmful and not self.dice.succeeds("instinct", 1 - model.instinct):
            return _Decision(self._say("refuse"), why=f"instinct: {', '.join(sorted(harmful))}")
        if rule is not None and fit >= 0.5 and not self.dice.succeeds("caution", model.caution):
            return _Decision(self._say("refuse"), why=f"over-cautious, near the rule: {rule.text}")
        return None

    def _hand_over(self) -> _Decision | None:
        reading = self.reading
        rule = _strongest(reading.guidance.handovers, reading.concepts)
        if (
            rule is None
            or rule.fit(reading.concepts) < 1.0
            or not self.dice.succeeds("hand over", self.profile.obedience)
        ):
            return None
        call = handover_tool(reading)
        if call is not None and call.missing is None:
            return _Decision(call=call, why=f"hand-over rule: {rule.text}")
        return _Decision(self._say("handover"), why=f"hand-over rule: {rule.text}")

    # ── planted instructions ────────────────────────────────────────────────────────────

    def _obey_planted(self) -> _Decision | None:
        planted = [passage.text for passage in self.reading.passages if passage.planted]
        planted += [text for answer in self.reading.answers for text in planted_texts(answer.result)]
        if not planted:
            return None
        model = self.profile
        resistance = model.resistance if self.reading.guidance.guard else model.resistance_untold
        if self.dice.succeeds("resist", resistance):
            return None
        return _Decision(planted[0], why="obeyed a planted instruction")

    # ── tools ───────────────────────────────────────────────────────────────────────────

    def _call(self, call: ToolChoice) -> _Decision | None:
        if call.missing is not None:
            if "?" in self.reading.question and find_evidence(self.reading).enough:
                return None
            if self.reading.guidance.ask_back or not self.reading.passages:
                return _Decision(self._say("clarify", what=call.missing), why=f"{call.name} needs: {call.missing}")
            return None
        if self.dice.succeeds(f"tool {call.name}", self.profile.tools):
            return _Decision(call=call, why=f"calls {call.name}")
        if unit(self.dice.seed, self.dice.question, "tool slip") < 0.5:
            return None
        return _Decision(call=_slip(call), why=f"calls {call.name} with a wrong argument")

    # ── answering ───────────────────────────────────────────────────────────────────────

    def _answer(self) -> _Decision:
        reading = self.reading
        evidence = find_evidence(reading)
        told = [self._report(answer) for answer in reading.answers]
        failed = any(answer.failed for answer in reading.answers)
        if not told and not evidence.enough:
            return self._without_evidence(evidence)
        if not told and evidence.conflict and reading.guidance.ask_back:
            what = phrases(reading.language)["detail"]
            return _Decision(self._say("clarify", what=what), why="several documents fit, with different figures")
        quoted = self._quote(evidence) if evidence.enough and not failed else []
        parts = [part for part in (*told, *quoted, self._unsupported()) if part]
        lead = "" if failed else phrases(reading.language)["hedge"][self.dice.pick("lead", 3)]
        text = " ".join(part for part in (lead, *parts) if part)
        return _Decision(text, why=f"quotes {len(quoted)} sentences, covers {evidence.coverage:.2f} of the question")

    def _without_evidence(self, evidence: Evidence) -> _Decision:
        guidance = self.reading.guidance
        why = f"covers only {evidence.coverage:.2f} of the question"
        if guidance.ask_back and len(self.reading.stems) <= 3:
            what = phrases(self.reading.language)["detail"]
            return _Decision(self._say("clarify", what=what), why=f"too short to understand; {why}")
        if guidance.say_unknown or self.dice.succeeds("unknown", self.profile.grounding_untold):
            return _Decision(self._say("unable"), why=why)
        return _Decision(self._made_up(), why=f"{why}, made something up")

    def _quote(self, evidence: Evidence) -> list[str]:
        """The evidence, or on a misreading another sentence or a changed figure."""
        passages = list(evidence.passages)
        texts = [passage.text for passage in passages]
        if not self.dice.succeeds("read", self.profile.reading):
            slip = unit(self.dice.seed, self.dice.question, "reading slip")
            if evidence.runner_up is not None and slip < 0.5:
                passages = [evidence.runner_up]
                texts = [evidence.runner_up.text]
            else:
                texts = [_change_figure(text) for text in texts]
        if self.reading.guidance.cite:
            return [f"{text} [{passage.document}]" for text, passage in _merge(texts, passages)]
        return texts

    def _report(self, answer: ToolAnswer) -> str:
        if answer.denied == "deny":
            return f"{self._say('refuse')} {answer.result.get('message', '')}".strip()
        if answer.failed:
            reason = str(answer.result.get("message") or answer.result["error"]).replace("_", " ")
            return str(phrases(self.reading.language)["tool_failed"]).format(reason=reason)
        text = verbalise(answer.result)
        if not self.dice.succeeds(f"report {answer.name}", self.profile.reading):
            text = _change_figure(text)
        return f"{text}." if text else str(phrases(self.reading.language)["done"])

    def _unsupported(self) -> str:
        model = self.profile
        grounding = model.grounding if self.reading.guidance.grounded else model.grounding_untold
        return "" if self.dice.succeeds("ground", grounding) else self._made_up()

    def _made_up(self) -> str:
        claims = phrases(self.reading.language)["unsupported"]
        return str(claims[self.dice.pick("claim", len(claims))])

    def _say(self, kind: str, **values: str) -> str:
        wordings = phrases(self.reading.language)[kind]
        return str(wordings[self.dice.pick(kind, len(wordings))]).format(**values)


def _strongest(rules: tuple[Rule, ...], concepts: frozenset[str]) -> Rule | None:
    return max(rules, key=lambda rule: rule.fit(concepts), default=None)


def _merge(texts: list[str], passages: list[Passage]) -> list[tuple[str, Passage]]:
    """Neighbouring sentences of one document share a citation."""
    merged: list[tuple[str, Passage]] = []
    for text, passage in zip(texts, passages, strict=True):
        if merged and merged[-1][1].document == passage.document:
            merged[-1] = (f"{merged[-1][0]} {text}", passage)
        else:
            merged.append((text, passage))
    return merged


def _change_figure(text: str) -> str:
    """The first number, off by half: a misreading that a check of figures must find."""
    match = _NUMBER.search(text)
    if match is None:
        return text
    wrong = str(int(match.group()) + max(1, int(match.group()) // 2))
    return text[: match.start()] + wrong + text[match.end() :]


def _slip(call: ToolChoice) -> ToolChoice:
    """The call with its first number or identifier changed."""
    arguments = dict(call.arguments)
    for name, value in arguments.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            arguments[name] = value * 10
            break
        if isinstance(value, str) and _NUMBER.search(value):
            arguments[name] = _change_figure(value)
            break
    return ToolChoice(call.name, arguments)


def _reply(payload: Mapping[str, Any], model: Profile, dice: Dice, decision: _Decision, digest: str) -> Reply:
    message: dict[str, Any] = {"role": "assistant", "content": decision.text}
    written = decision.text
    if decision.call is not None:
        arguments = json.dumps(decision.call.arguments, ensure_ascii=False, sort_keys=True)
        written = f"{decision.call.name}({arguments})"
        message["content"] = None
        message["tool_calls"] = [
            {
                "id": f"call_{digest[:12]}",
                "type": "function",
                "function": {"name": decision.call.name, "arguments": arguments},
            }
        ]
    tokens = _tokens(written)
    limit: int = _limit(payload) or tokens
    cut = tokens > limit and decision.call is None
    if cut:
        message["content"] = " ".join(written.split()[: max(1, limit * 3 // 4)])
        tokens = limit
    prompt_tokens = sum(_tokens(str(m.get("content") or "")) for m in payload["messages"])
    prompt_tokens += sum(_tokens(json.dumps(tool)) for tool in payload.get("tools") or ())
    body = {
        "id": f"chatcmpl-sim-{digest[:24]}",
        "object": "chat.completion",
        "created": 0,
        "model": model.name,
        "system_fingerprint": SYSTEM_FINGERPRINT,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if decision.call else "length" if cut else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": prompt_tokens + tokens,
        },
    }
    first = dice.lognormal(model.latency_ms / 1000, model.latency_sigma) if model.latency_ms else 0.0
    return Reply(body, first + tokens * model.token_ms / 1000, decision.why, first)


def _tokens(text: str) -> int:
    """Tokens as counted by the simulated vendor: four thirds of the words."""
    return max(1, round(len(text.split()) * 4 / 3))
