"""Two large runs with texts of the size that real ones have, and six earlier ones; see :mod:`benchmarks.report`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from evalkit.records import (
    Case,
    Component,
    Configuration,
    Document,
    Expectation,
    GoldenSetRef,
    GraderRef,
    Message,
    ModelCall,
    PolicyDecision,
    RetrievedDocument,
    RouteStep,
    Run,
    Score,
    ToolEvent,
    Trace,
    Usage,
)
from evalkit.store.cases import save_cases
from evalkit.store.runs import Runs
from evalkit.store.schema import StoredTrial, scores_table, traces_table, trials_table
from evalkit.store.writer import Chunk

QUALITY = ("answer", "groundedness", "refusal", "tool_call")
MEASURES = ("cost", "latency")
GRADERS = tuple(GraderRef(name, "1", name, quality=name in QUALITY) for name in sorted(QUALITY + MEASURES))
DIGEST = "d" * 64
EARLIER = 6
_PIECE = 1_000
_REGRESSED, _IMPROVED, _ERROR, _FLAKY = 0.04, 0.05, 0.01, 0.02
_RULES = "\n".join(
    f"- Rule {number}: answer from the documents, and say so where they are silent." for number in range(8)
)


class Words:
    """Texts of invented words that are as frequent as ranks of real ones: they deflate about as English does."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        parts = [
            "ba",
            "de",
            "fo",
            "gi",
            "ku",
            "la",
            "me",
            "ni",
            "po",
            "ra",
            "se",
            "ti",
            "vo",
            "wa",
            "xi",
            "zu",
            "str",
            "th",
        ]
        maker = random.Random(0)
        self._words = ["".join(maker.choices(parts, k=maker.choice((1, 2, 2, 3, 4)))) for _ in range(6_000)]
        self._weights = list(accumulate(1 / (rank + 2.7) for rank in range(len(self._words))))

    def text(self, characters: int) -> str:
        """About so many characters."""
        chosen = self._draw.choices(self._words, cum_weights=self._weights, k=characters // 6 + 1)
        for place in range(9, len(chosen), 13):
            chosen[place] += "."
        return " ".join(chosen)

    def reworded(self, text: str, share: float) -> str:
        """The text with some words replaced."""
        fresh = iter(self.text(len(text)).split())
        return " ".join(next(fresh, word) if self._draw.random() < share else word for word in text.split())

    def number(self) -> float:
        """Between nought and one."""
        return self._draw.random()


def golden(total: int) -> GoldenSetRef:
    """The golden set of all runs."""
    return GoldenSetRef("bench", "1.0.0", DIGEST, total)


def case_ids(total: int) -> list[str]:
    """Ids as people choose them."""
    return [f"support-{number:06d}" for number in range(total)]


def _corpus() -> list[Document]:
    words = Words(7)
    return [Document(f"policy-{number:03d}", words.text(500), words.text(20), "2026-01-01") for number in range(400)]


def _cases(total: int) -> Iterator[Case]:
    words = Words(1)
    for place, name in enumerate(case_ids(total)):
        yield Case(
            id=name,
            input=(Message("user", words.text(180)),),
            expect=Expectation(facts=((words.text(16),),)),
            intent=f"intent-{place % 9}",
            risk="critical" if place % 25 == 0 else "low",
            critical=place % 25 == 0,
            locale=("en", "de-DE", "fr-FR")[place % 3],
        )


def make_run(number: int, total: int) -> Run:
    """The record of a run: earlier ones, then the baseline, then the candidate."""
    prompt = f"You are an assistant, version {number}.\n{_RULES}"
    version = Component("prompt", "answer", f"{number:064d}", prompt, "prompts/answer.md")
    return Run(
        run_id=f"{number + 1:026d}", workflow="bench", created_us=number * 86_400_000_000, finished_us=1,
        status="complete", configuration=Configuration("bench", f"{number:064d}", (version,)),
        golden_set=golden(total), graders=GRADERS, grading="g" * 64, prices="", evalkit="1", trials=total,
        commit=f"{number:040d}",
    )  # fmt: skip


def make_store(root: Path, total: int) -> None:
    """Fill a store: cases, earlier runs, the baseline and the candidate."""
    save_cases(root, golden(total), "", _cases(total))
    for number in range(EARLIER + 2):
        _write(root, number, total, thin=number < EARLIER)


def _write(root: Path, number: int, total: int, *, thin: bool) -> None:
    run = make_run(number, total)
    corpus = _corpus()
    candidate = number == EARLIER + 1
    with Runs(root).writer(run.run_id, run.grading, run.graders) as writer:
        cases = _cases(total)
        fate, same, words = random.Random(11), Words(3), Words(100 + number)
        for start in range(0, total, _PIECE):
            trials: list[StoredTrial] = []
            scores: list[Score] = []
            for case in (next(cases) for _ in range(min(_PIECE, total - start))):
                draw, text = fate.random(), same.text(450)
                bad = _fails(draw, candidate=candidate, noise=words.number() < 0.01 * thin)
                trace = _trace(case, text, draw, run, corpus, words, thin=thin, bad=bad)
                trials.append(StoredTrial(trace, case.id, f"{case.id}-{number}", run.run_id))
                scores += _scores(trace, bad, words, thin=thin)
            writer.add(
                Chunk(
                    trials_table(run.run_id, trials),
                    traces_table(run.run_id, trials),
                    scores_table(run.run_id, GRADERS, scores),
                )
            )
        writer.finish(run)


def _fails(draw: float, *, candidate: bool, noise: bool) -> bool:
    if draw < _REGRESSED:
        return candidate
    if draw < _REGRESSED + _IMPROVED:
        return not candidate
    return draw > 0.95 or noise


def _trace(
    case: Case, text: str, draw: float, run: Run, corpus: list[Document], words: Words, *, thin: bool, bad: bool
) -> Trace:
    if thin:
        return Trace(workflow="bench", case_id=case.id, trial=0, status="ok")
    first = hash_of(case.id) % len(corpus)
    chosen = [corpus[(first + step * 37) % len(corpus)] for step in range(3)]
    documents = tuple(
        RetrievedDocument(item.id, item.text, item.title, item.date, rank=rank, score=round(words.number(), 3))
        for rank, item in enumerate(chosen)
    )
    told = "\n".join(f'<document id="{item.id}">\n{item.text}\n</document>' for item in chosen)
    share = 0.35 if bad or draw < _REGRESSED + _IMPROVED else 0.05
    answer = words.reworded(text, share) if run.run_id.endswith(str(EARLIER + 2)) and draw < 0.35 else text
    route = ("small", "large")[draw > 0.7]
    usage = Usage(900 + int(400 * words.number()), 80 + int(90 * words.number()))
    call = ModelCall(
        model=f"vendor-{route}-1", purpose="answer", usage=usage, cost_microusd=4_000 + int(9_000 * words.number()),
        latency_us=int(900_000 * 1.7 ** (4 * words.number())), ttft_us=int(300_000 * words.number()),
        finish_reason="stop",
    )  # fmt: skip
    result = {"state": "sent", "total": first}
    tool = ToolEvent("orders.look_up", {"order": f"K-{first:05d}"}, f"call-{first}", result=result)
    return Trace(
        workflow="bench", case_id=case.id, trial=0, status="ok", answer=answer,
        configuration=run.configuration.fingerprint,
        intent=case.intent, risk=case.risk, route=(RouteStep(route, "by risk", call.model),), documents=documents,
        messages=(Message("system", f"{run.configuration.components[0].content}\n{told}"), *case.input),
        model_calls=(call,), tool_events=(tool,) if first % 3 == 0 else (), finish_reason="stop", started_us=1,
        policy_decisions=(PolicyDecision("act", "orders.look_up", "allow", "own orders"),) if first % 3 == 0 else (),
    )  # fmt: skip


def hash_of(text: str) -> int:
    """A number for a text, the same each time."""
    return sum(place * ord(sign) for place, sign in enumerate(text, 7)) * 2_654_435_761 % 2**32


def _scores(trace: Trace, bad: bool, words: Words, *, thin: bool) -> Iterator[Score]:
    for ref in GRADERS:
        if ref.quality:
            failed = bad and ref.name in ("answer", "groundedness")
            evidence = {} if thin else {"why": words.text(110)}
            label = "missing_fact" if failed else ""
            value: float = not failed
            yield Score(
                trace.case_id,
                0,
                ref.name,
                "1",
                ref.fingerprint,
                "ok",
                float(value),
                not failed,
                label,
                "major" if failed else "none",
                evidence,
            )
        else:
            value = trace.cost_microusd / 1e6 if ref.name == "cost" else trace.latency_us / 1e6
            value = value or words.number()
            yield Score(trace.case_id, 0, ref.name, "1", ref.fingerprint, "ok", value)


__all__ = ["EARLIER", "GRADERS", "MEASURES", "golden", "make_run", "make_store"]
