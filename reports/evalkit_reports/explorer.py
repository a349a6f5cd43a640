"""The data of the explorer: columns of all cases, and the texts of some in chunks that are opened when they are read.

What the blocks hold is read by ``script/30-index.js`` and ``script/50-case.js``. Their size has a limit: past it texts
are left out, those of unchanged cases first, then of improved ones, then rationales, and the file says which.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.gate import Verdict
from evalkit.gate.details import CaseDetails, CaseIndex, CaseRecord, GraderColumn, KeyColumn, PastRun, TrialRecord
from evalkit.gate.report import ReportText
from evalkit.gate.words import count_of
from evalkit.records import Case, ModelCall, Score, ToolEvent
from evalkit.text import excerpt
from evalkit_reports.blocks import LineStore, pack
from evalkit_reports.common import cut

__all__ = ["MOST_BYTES", "Explorer", "explore"]

MOST_BYTES: Mapping[ReportText, int] = {"changed": 10_000_000, "all": 12_000_000}
"""Of the texts of a file."""
_LISTED = 50_000
"""Cases in the index, the worst ones."""
_CHUNK = 128
"""Cases whose texts are opened together."""
_HEAD = 72
_ANSWER, _LONG, _SHORT = 20_000, 20_000, 600
"""Most characters of an answer or an argument; of a document or a message; of a label, an evidence or a title."""
_SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Explorer:
    """The blocks of a workflow, and what they leave out, in words."""

    blocks: Mapping[str, str]
    """By what follows the workflow's prefix in the name of their element; each packed."""
    left_out: Sequence[str]
    listed: int
    with_text: int

    @property
    def size(self) -> int:
        """Characters of all blocks."""
        return sum(map(len, self.blocks.values()))


@dataclass(frozen=True)
class _Level:
    """Which texts are kept."""

    drop: frozenset[str] = frozenset()
    """Statuses whose cases have none."""
    rationales: bool = True
    most: int | None = None
    """Cases with texts, the worst ones."""
    said: Sequence[str] = field(default=())


class _TooLargeError(Exception):
    """The texts take more room than there is."""


def explore(verdict: Verdict, details: CaseDetails, text: ReportText, most_bytes: int) -> Explorer:
    """The blocks of a verdict's cases.

    Args:
        verdict: The verdict.
        details: Where its cases are found.
        text: Of which cases texts are wanted.
        most_bytes: Room for texts.

    Raises:
        StoreError: when a run cannot be read.
    """
    index = details.index
    rows = index.order[:_LISTED]
    left_out = []
    if len(rows) < len(index.order):
        left_out.append(f"{len(index.order) - len(rows):,} of {len(index.order):,} cases, the least changed ones;")
    for level in _levels(index, rows, text):
        chosen = _with_text(index, rows, level)
        try:
            texts = _texts(index, details, chosen, level, most_bytes)
        except _TooLargeError:
            continue
        left_out += level.said
        columns = _columns(verdict, index, rows, chosen, texts.starts)
        blocks = {"index": pack({**columns, "left": _left(verdict, left_out)}), **texts.blocks}
        return Explorer(blocks, left_out, len(rows), len(chosen))
    raise AssertionError("without texts there is always room")


def _left(verdict: Verdict, left_out: Sequence[str]) -> list[str]:
    if not left_out:
        return []
    return [f"Not in this file: {' '.join(left_out)} they are in the store: evalkit show {verdict.candidate_run} CASE."]


def _levels(index: CaseIndex, rows: NDArray[np.intp], text: ReportText) -> list[_Level]:
    """What to keep, from all that is wanted to less and less."""
    unchanged, improved = frozenset({"unchanged"}), frozenset({"unchanged", "improved"})
    some = index.status_names.index("unchanged") in index.statuses[rows]
    too_large = "texts of unchanged and improved cases, which would make it too large;"
    rationales = "texts of unchanged and improved cases and all rationales, which would make it too large;"
    wanted = [
        *([_Level()] if text == "all" else []),
        _Level(unchanged, said=["texts of unchanged cases;"] if some else []),
        _Level(improved, said=[too_large]),
        _Level(improved, rationales=False, said=[rationales]),
    ]
    most = len(rows)
    while most:
        most //= 4
        said = f"rationales, and all texts but those of the {count_of(most, 'worst case')}, for want of room;"
        wanted.append(_Level(improved, rationales=False, most=most, said=[said]))
    return wanted


def _with_text(index: CaseIndex, rows: NDArray[np.intp], level: _Level) -> list[int]:
    """Cases with texts. An unchanged one that is critical and fails counts as one that changed."""
    dropped = np.isin(
        index.statuses[rows], [place for place, name in enumerate(index.status_names) if name in level.drop]
    )
    kept = rows[~dropped | (index.critical[rows] & index.failing[rows])][: level.most]
    return sorted(kept.tolist())


@dataclass(frozen=True)
class _Texts:
    blocks: Mapping[str, str]
    starts: Sequence[int]


def _texts(index: CaseIndex, details: CaseDetails, chosen: Sequence[int], level: _Level, most_bytes: int) -> _Texts:
    lines = LineStore()
    writer = _Writer([column.grader for column in index.graders], lines, rationales=level.rationales)
    blocks: dict[str, str] = {}
    chunk: list[Any] = []
    size = 0

    def close() -> None:
        nonlocal size
        packed = pack(chunk)
        blocks[f"t{len(blocks)}"] = packed
        size += len(packed)
        chunk.clear()

    for record in details.records([index.ids[place] for place in chosen]):
        chunk.append(writer.record(record))
        if len(chunk) == _CHUNK:
            close()
        if size + lines.bytes > most_bytes:
            raise _TooLargeError
    if chunk:
        close()
    for number, packed in enumerate(lines.finish()):
        blocks[f"l{number}"] = packed
    if sum(map(len, blocks.values())) > most_bytes and chosen:
        raise _TooLargeError
    return _Texts(blocks, lines.starts)


class _Writer:
    """Cases as the explorer reads them."""

    def __init__(self, graders: Sequence[str], lines: LineStore, *, rationales: bool) -> None:
        self._places = {name: place for place, name in enumerate(graders)}
        self._long = lines.add
        self._rationales = rationales

    def record(self, record: CaseRecord) -> dict[str, Any]:
        """A case: ``q`` the conversation, ``x`` what is expected, ``b`` and ``n`` the trials before and now."""
        same = record.before is record.now or list(record.before) == list(record.now)
        return {
            "q": self._asked(record),
            "x": [] if record.case is None else _expected(record.case),
            "same": int(same),
            "b": [] if same else [self._trial(trial) for trial in record.before],
            "n": [self._trial(trial) for trial in record.now],
        }

    def _asked(self, record: CaseRecord) -> list[list[Any]]:
        if record.case is None:
            return []
        return [[turn.role, self._text(turn.content)] for turn in record.case.input if turn.content]

    def _text(self, text: str) -> Mapping[str, Any]:
        return self._long(cut(text, _LONG))

    def _score(self, score: Score) -> list[Any]:
        value = score.value if score.value is not None and math.isfinite(score.value) else None
        told = score.evidence.items() if self._rationales else ()
        evidence = [[key, cut(_plain(item), _SHORT)] for key, item in told if item not in ("", [])]
        place = self._places[score.grader]
        return [place, value, score.passed, cut(score.label, _SHORT), score.severity, score.status, evidence]

    def _trial(self, trial: TrialRecord) -> dict[str, Any]:
        trace, long = trial.trace, self._text
        found: dict[str, Any] = {
            "a": cut(trace.answer, _ANSWER),
            "s": [
                self._score(score)
                for score in trial.scores
                if score.grader in self._places and score.status != "not_applicable"
            ],
            "r": [[step.route, step.rule, step.model, step.escalated_from] for step in trace.route],
            "d": [
                [cut(item.id, _SHORT), cut(item.title, _SHORT), item.kind, item.rank, item.score, long(item.text)]
                for item in trace.documents
            ],
            "g": [[turn.role, self._text(_message(turn.content, turn.tool_calls))] for turn in trace.messages],
            "t": [_tool(event) for event in trace.tool_events],
            "m": [_call(call) for call in trace.model_calls],
            "p": [
                [check.point, cut(check.subject, _SHORT), check.verdict, check.rule, cut(check.message, _SHORT)]
                for check in trace.policy_decisions
            ],
            "i": trace.intent,
            "k": trace.risk,
            "c": trace.cost_microusd,
            "t0": trace.latency_us,
        }  # fmt: skip
        if trace.simulated:
            found["sim"] = 1
        if trace.error:
            found["e"] = [trace.error.kind, cut(trace.error.message, _SHORT)]
        return found


def _call(call: ModelCall) -> list[Any]:
    usage = call.usage
    tokens = [usage.input_tokens, usage.output_tokens, usage.cached_tokens]
    times = [call.latency_us, call.ttft_us, call.waited_us, call.attempts]
    return [call.purpose, call.model, *tokens, call.cost_microusd, *times, call.error or call.finish_reason]


def _tool(event: ToolEvent) -> list[str]:
    asked = cut(_plain(event.arguments), _ANSWER)
    return [cut(event.name, _SHORT), asked, event.verdict, event.status, _outcome(event)]


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "; ".join(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _message(content: str, calls: Sequence[Any]) -> str:
    asked = [f"calls {call.name}({_plain(call.arguments)})" for call in calls]
    return "\n".join([*([content] if content else []), *asked])


def _outcome(event: ToolEvent) -> str:
    parts = [*event.schema_errors, *([event.error] if event.error else [])]
    if event.result is not None:
        parts.append(_plain(event.result))
    return cut("; ".join(parts), _ANSWER)


def _expected(case: Case) -> list[list[str]]:
    """What is right in a case, as pairs of what and how."""
    expect = case.expect
    found = [["behaviour", expect.behaviour]]
    found += [["says", " or ".join(words)] for words in expect.facts]
    found += [["must not say", text] for text in expect.forbidden]
    if expect.answer:
        found.append(["reference answer", expect.answer])
    if expect.citations:
        found.append(["cites", ", ".join(expect.citations)])
    if expect.tools is not None:
        for calls in expect.tools.alternatives:
            names = ", ".join(f"{call.name}({_plain(dict(call.arguments))})" for call in calls)
            found.append(["calls", names or "no tool"])
        found += [["must not call", name] for name in expect.tools.forbidden]
    return [[key, cut(text, _SHORT)] for key, text in found]


# ── columns ─────────────────────────────────────────────────────────────────────────────


def _columns(
    verdict: Verdict, index: CaseIndex, rows: NDArray[np.intp], chosen: Sequence[int], starts: Sequence[int]
) -> dict[str, Any]:
    """The index block: one entry a case in each column, in the order of the list."""
    ids = [index.ids[row] for row in rows.tolist()]
    listed = {name: place for place, name in enumerate(ids)}
    text = np.full(len(index.ids), -1)
    text[chosen] = np.arange(len(chosen))
    flags = index.critical * 1 + index.touched * 2 + index.failing * 4
    return {
        "workflow": verdict.workflow,
        "run": verdict.candidate_run,
        "ids": ids,
        "heads": [excerpt(index.questions[row][: 4 * _HEAD], _HEAD) for row in rows.tolist()],
        "statuses": list(index.status_names),
        "counts": np.bincount(index.statuses[rows], minlength=len(index.status_names)).tolist(),
        "status": _packed(index.statuses[rows]),
        "flags": _packed(flags[rows]),
        "trials": _packed(np.minimum(index.trials[rows], len(_SIGNS) - 1)),
        "text": _steps(text[rows].tolist()),
        "together": _CHUNK,
        "parts": list(starts),
        "graders": [_grader(column, rows) for column in index.graders],
        "keys": [_key(column, rows) for column in index.keys],
        "rules": [
            [rule.id, rule.status, [listed[name] for name in rule.cases if name in listed]]
            for rule in verdict.rules
            if rule.status != "pass" and any(name in listed for name in rule.cases)
        ],
        "accepted": {
            str(listed[case.case_id]): case.accepted
            for case in verdict.cases
            if case.accepted and case.case_id in listed
        },
        "past": [_past(run, rows) for run in index.past],
    }


def _packed(numbers: NDArray[Any]) -> str | list[int]:
    """Small numbers as a text of one sign each, ``-`` where there is none; larger ones as they are."""
    if len(numbers) and int(numbers.max()) >= len(_SIGNS):
        whole: list[int] = numbers.tolist()
        return whole
    signs = np.frombuffer(f"{_SIGNS}-".encode(), np.uint8)
    return signs[np.where(numbers < 0, len(_SIGNS), numbers)].tobytes().decode()


def _steps(numbers: Sequence[int]) -> list[int | None]:
    """Differences between numbers that follow each other; None where there is none."""
    found: list[int | None] = []
    last = 0
    for number in numbers:
        found.append(None if number < 0 else number - last)
        last = last if number < 0 else number
    return found


def _grader(column: GraderColumn, rows: NDArray[np.intp]) -> dict[str, Any]:
    before, now = column.before[rows], column.now[rows]
    found: dict[str, Any] = {"name": column.grader, "quality": column.quality, "unit": column.unit}
    if column.quality:
        both = np.concatenate([before, now])
        table = np.unique(both[np.isfinite(both)])
        if len(table) > len(_SIGNS):
            table = np.linspace(0, 1, len(_SIGNS))
        rates = [round(value, 6) for value in table.tolist()]
        return {**found, "table": rates, "before": _places(before, table), "now": _places(now, table)}
    known = now[np.isfinite(now) & (now > 0)]
    scale = 10.0 ** (2 - math.floor(math.log10(float(np.median(known))))) if len(known) else 1.0
    old = [round(value * scale) if math.isfinite(value) else None for value in before.tolist()]
    new = [round(value * scale) if math.isfinite(value) else None for value in now.tolist()]
    steps = [None if value is None else value - (known or 0) for value, known in zip(new, old, strict=True)]
    return {**found, "scale": scale, "before": old, "now": steps}


def _places(values: NDArray[np.float64], table: NDArray[np.float64]) -> str | list[int]:
    """Position of each value in a sorted table, of the next one where it is not in it."""
    found = np.clip(np.searchsorted(table, values - 1e-9), 0, max(len(table) - 1, 0))
    return _packed(np.where(np.isfinite(values), found, -1))


def _key(column: KeyColumn, rows: NDArray[np.intp]) -> dict[str, Any]:
    return {"key": column.key, "values": list(column.values), "codes": _packed(column.codes[rows])}


def _past(run: PastRun, rows: NDArray[np.intp]) -> dict[str, Any]:
    """A sign a case: ``A`` where all pass, a digit for tenths below, ``-`` where nothing is known."""
    signs = np.frombuffer(b"0123456789A" + b"-" * 245, np.uint8)
    level = np.where(run.worst > 100, 255, run.worst // 10)
    return {"run": run.run_id, "commit": run.commit[:7], "worst": signs[level[rows]].tobytes().decode()}
