"""A model as the judge of an answer, by a rubric: alone, or beside the reference answer in both orders."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeAlias

from evalkit.fingerprint import fingerprint
from evalkit.grading import Grade, Grader
from evalkit.grading.judging import (
    PROMPT_PARTS,
    Judged,
    PairJudgement,
    PointJudgement,
    Rubric,
    hints_to_a_judge,
    make_rubric,
)
from evalkit.grading.judging import Judge as Asked
from evalkit.grading.models import GraderModels, ModelReply
from evalkit.records import Behaviour, Case, Json, Trace
from evalkit.stats.judges import combine_orders, combine_points
from evalkit.text import excerpt, visible

__all__ = ["Judge"]

Part: TypeAlias = Literal["conversation", "documents", "tool_results", "reference"]
_MOST_VOTES = 15
_REASONS = 6000
"""Characters of all reasons together in the evidence of a score."""
_DATED = re.compile(r"\d{4}-?\d{2}-?\d{2}|\d{2}-\d{4}|-\d{3,4}(?:$|[-:@])|@")
"""How vendors write that a name stands for one model for good: ``-2026-08-01``, ``-20260801``, ``-0613``, ``-001``."""
_NO_VENDOR = ("simulator:", "replay:", "http://", "https://", "python:", "command:")


@dataclass(frozen=True)
class Judge(Grader):
    """A model judges the answer by a rubric. The answer is data: nothing that it says can reach the judge as an order.

    Args:
        model: The judge, ``provider:model`` as workflows name models; pin it to a date.
        rubric: ``helpful``, ``faithful``, ``correct``, ``tone``, ``concise``; a text; or criteria by name, each a text
            or its levels: ``{accuracy: {"1": wrong, "3": partly right, "5": right}}``.
        pairwise: ``reference`` compares the answer with the reference answer of the case, in both orders.
        votes: How often the judge is asked, an odd number; pairwise in each order.
        threshold: The value that passes, from 0 to 1; default 0.75, pairwise 0.5: not worse than the reference.
        scale: Levels of a criterion that states none, from 1.
        sees: What the judge is shown beside the request and the answer.
        behaviours: Cases that are judged, by what they expect.
        params: Parameters of the model, as of a model pin: ``{temperature: 0, max_tokens: 1000}``.
        schema: Whether the target is told the JSON Schema of the reply; switch it off where it refuses one.
        max_characters: Most characters of one text that the judge is shown.
    """

    name: ClassVar[str] = "judge"
    version: ClassVar[str] = "1"
    deterministic: ClassVar[bool] = False
    needs_models: ClassVar[bool] = True
    blind: ClassVar[tuple[str, ...]] = (
        "It has the judge model's own biases: for longer answers, its own style, confident wording.",
        "How well it agrees with people is unknown until it is measured on labelled cases of the workflow.",
        "It cannot check what it is not shown: facts outside of the documents, code that would have to be run.",
        "Its level moves when the judge model does; without a reference more than beside one.",
        "An answer can still persuade by seeming right; attempts to steer the judge are noticed in known forms only.",
        "Pairwise says which of two answers is better, and nothing of how good either is.",
    )

    model: str
    rubric: str | dict[str, str | dict[int, str]] = "helpful"
    pairwise: Literal["", "reference"] = ""
    votes: int = 1
    threshold: float | None = None
    scale: int = 5
    sees: tuple[Part, ...] = ("conversation", "documents", "tool_results")
    behaviours: tuple[Behaviour, ...] = ("answer",)
    params: dict[str, Json] = field(default_factory=dict)
    schema: bool = True
    max_characters: int = 20_000
    prompt: str = field(init=False, default="")
    """Fingerprint of all that the judge is told beside the data: it is part of this grader's own."""

    def __post_init__(self) -> None:
        if self.votes % 2 == 0 or not 1 <= self.votes <= _MOST_VOTES:
            raise ValueError(f"`votes` is an odd number from 1 to {_MOST_VOTES}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError("`threshold` is a number from 0 to 1")
        if not 2 <= self.scale <= 100:
            raise ValueError("`scale` is a number of levels from 2 to 100")
        if self.max_characters < 1000:
            raise ValueError("`max_characters` is at least 1000")
        if not all(self.model.partition(":")[::2]):
            raise ValueError("`model` is written as provider:model, for example openai:gpt-5-2026-08-01")
        if self.pairwise and "reference" in self.sees:
            raise ValueError("pairwise, the reference is one of the two answers: leave it out of `sees`")
        told = fingerprint("judge/prompt", [PROMPT_PARTS, self._rubric.plain])
        object.__setattr__(self, "prompt", told)

    @cached_property
    def _rubric(self) -> Rubric:
        return make_rubric(self.rubric, self.scale)

    def models_asked(self) -> tuple[str, ...]:
        """The judge."""
        return (self.model,)

    async def grade(self, case: Case, trace: Trace, models: GraderModels | None = None) -> Grade | None:
        """The value is the mean of the votes on the scale, 0 to 1; pairwise 1 is better than the reference, 0.5 a tie.

        Split votes, orders that disagree (a tie), and an answer that speaks to its judge or was cut go to review.
        Not applicable where the case has not what the rubric needs, or expects another behaviour.
        """
        if models is None:
            raise ValueError("a judge needs models: it is called by the harness only")
        rubric, judged = self._rubric, self._shown(case, trace)
        reference = case.expect.answer or ""
        if case.expect.behaviour not in self.behaviours or not self._applies(rubric, trace, reference):
            return None
        judge = Asked(
            models, self.model, rubric, self.params, self.votes, self.max_characters, self.schema, case.id, trace.trial
        )
        if self.pairwise:
            return self._compared(await judge.pair(judged, trace.answer, reference), trace.answer)
        return self._graded(await judge.point(judged, trace.answer), trace.answer)

    def _applies(self, rubric: Rubric, trace: Trace, reference: str) -> bool:
        if (self.pairwise or "reference" in rubric.needs) and not reference.strip():
            return False
        return "sources" not in rubric.needs or bool(trace.documents or trace.tool_events)

    def _shown(self, case: Case, trace: Trace) -> Judged:
        sees = {*self.sees, *(("reference",) if "reference" in self._rubric.needs and not self.pairwise else ())}
        sees |= {"documents", "tool_results"} if "sources" in self._rubric.needs else set()
        last = max((place for place, turn in enumerate(case.input) if turn.role == "user"), default=-1)
        turns = [{"role": turn.role, "text": turn.content} for turn in case.input[: max(last, 0)]]
        documents = [{"id": item.id, "title": item.title, "text": item.text} for item in trace.documents]
        results = [
            {"tool": event.name, "arguments": _told(event.arguments), "result": _told(event.error or event.result)}
            for event in trace.tool_events
        ]
        return Judged(
            case.question,
            tuple(turns) if "conversation" in sees else (),
            tuple(documents) if "documents" in sees else (),
            tuple(results) if "tool_results" in sees else (),
            (case.expect.answer or "") if "reference" in sees else "",
        )

    def _graded(self, found: PointJudgement, answer: str) -> Grade:
        threshold = 0.75 if self.threshold is None else self.threshold
        values = [vote.reply.value for vote in found.votes]
        together = combine_points(values, threshold)
        passed = together.mean >= threshold
        evidence: dict[str, Json] = {"votes": [vote.reply.levels for vote in found.votes], "spread": together.spread}
        review = [f"the votes split: {min(values):.2f} to {max(values):.2f}"] if together.split else []
        said = [(vote.reply.reason, vote.replies) for vote in found.votes]
        return self._grade(
            together.mean, passed, "" if passed else "below_threshold", evidence, review, said, answer, found.missing
        )

    def _compared(self, found: PairJudgement, answer: str) -> Grade:
        threshold = 0.5 if self.threshold is None else self.threshold
        together = combine_orders(found.votes)
        value = {"a": 1.0, "tie": 0.5, "b": 0.0}[together.choice]
        passed = value >= threshold
        names = {"a": "answer", "b": "reference", "tie": "tie"}
        evidence: dict[str, Json] = {
            "votes": [[names[vote.a_first or "tie"], names[vote.b_first or "tie"]] for vote in found.votes],
            "strength": together.strength,
        }
        review = ["the judge says something else when the order changes"] if together.order_flip else []
        if not review and len(set(found.votes)) > 1:
            review = ["the votes split"]
        label = "order_flip" if together.order_flip else "" if passed else "worse_than_reference"
        said = [(vote.reply.reason, vote.replies) for votes in (found.a_first, found.b_first) for vote in votes]
        return self._grade(value, passed, label, evidence, review, said, answer, found.missing)

    def _grade(
        self,
        value: float,
        passed: bool,
        label: str,
        evidence: dict[str, Json],
        review: Sequence[str],
        said: Sequence[tuple[str, Sequence[ModelReply]]],
        answer: str,
        missing: int,
    ) -> Grade:
        replies = [reply for _, those in said for reply in those]
        longest = max(40, _REASONS // len(said) // 4)
        evidence |= {
            "reasons": [excerpt(visible(reason), longest) for reason, _ in said],
            "model": sorted({reply.model for reply in replies}),
            "rubric": self._rubric.name,
            "cost_microusd": sum(reply.cost_microusd for reply in replies),
            "asked": len(replies),
        }
        hints = hints_to_a_judge(answer)
        whys = [*review]
        if hints:
            evidence["speaks_to_judge"] = list(hints)
            whys.append(f"the answer speaks to its judge: {', '.join(hints)}")
        if missing:
            evidence["characters_not_shown"] = missing
            whys.append("the judge was not shown all of it")
        if any(reply.simulated for reply in replies):
            evidence["simulated"] = True
        if not self.model.startswith(_NO_VENDOR) and not _DATED.search(self.model.partition(":")[2]):
            evidence["unpinned"] = "the name of the judge has no date: its vendor may change what stands behind it"
        return Grade(value, passed, label, "none", evidence, "; ".join(whys)[:200])


def _told(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
