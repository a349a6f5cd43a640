"""What a person should look at: answers that a grader is not sure of, and a random part of the others."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from evalkit.records import Case, Trace
from evalkit.review.labels import HumanLabel, agreed_labels, output_of
from evalkit.store import RunFolder

__all__ = ["QueueItem", "review_queue"]

_ORDER = {"critical": 0, "major": 1, "minor": 2, "none": 3}


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One answer, and one grader's question about it."""

    grader: str
    case_id: str
    trial: int
    output: str
    chosen: Literal["random", "review"]
    why: str
    """Why the grader wants a person to look; empty where the case was drawn."""
    question: str
    answer: str
    calls: str
    """Tool calls with their arguments, as JSON; empty where there was none."""
    said: str
    """What the grader says: good, bad, with its label; empty where nothing."""
    severity: str = "none"

    def row(self) -> str:
        """A line to be filled in: ``passed`` says whether the answer is good."""
        return json.dumps({**asdict(self), "passed": None, "by": "", "note": ""}, ensure_ascii=False)


def review_queue(
    folder: RunFolder,
    cases: Mapping[str, Case],
    labels: Sequence[HumanLabel],
    *,
    graders: Sequence[str] = (),
    sample: int = 0,
    seed: int = 0,
) -> list[QueueItem]:
    """Answers of a run that nobody has labelled: those that graders want looked at, the worst first, then drawn ones.

    Cases are drawn at random from all that the grader judged, whatever it said of them: only such labels tell
    something of the cases that nobody looks at.

    Args:
        folder: The run.
        cases: Its cases by id.
        labels: What has been labelled.
        graders: Only these; default all quality graders of the run.
        sample: Cases to draw for each grader.
        seed: Equal seeds draw equal cases.

    Raises:
        StoreError: when the run cannot be read.
    """
    names = list(graders) or [ref.name for ref in folder.run.graders if ref.quality]
    scores = [score for score in folder.scores() if score.grader in names and score.status != "not_applicable"]
    picked = {(score.grader, score.case_id, score.trial): score for score in scores if score.review}
    drawn = set()
    for name in names:
        mine = sorted((score.case_id, score.trial) for score in scores if score.grader == name and score.trial == 0)
        for case_id, trial in random.Random(f"{seed}/{name}").sample(mine, min(sample, len(mine))):
            drawn.add((name, case_id, trial))
    by_key = {(score.grader, score.case_id, score.trial): score for score in scores}
    wanted = picked.keys() | drawn
    ids = sorted({case_id for _, case_id, _ in wanted})
    traces = {(trace.case_id, trace.trial): trace for trace in folder.traces(ids)} if ids else {}
    known = {name: agreed_labels(labels, name) for name in names}
    found = []
    for key in wanted:
        name, case_id, trial = key
        trace, score = traces[case_id, trial], by_key[key]
        if output_of(trace) in known[name]:
            continue
        found.append(
            QueueItem(
                name, case_id, trial, output_of(trace), "random" if key in drawn else "review", score.review,
                cases[case_id].question if case_id in cases else "", trace.answer, _calls(trace),
                "" if score.passed is None else ("good" if score.passed else f"bad: {score.label}".rstrip(": ")),
                score.severity,
            )
        )  # fmt: skip
    return sorted(found, key=lambda item: (not item.why, _ORDER[item.severity], item.case_id, item.trial, item.grader))


def _calls(trace: Trace) -> str:
    calls = [{"name": event.name, "arguments": event.arguments} for event in trace.tool_events]
    return json.dumps(calls, ensure_ascii=False) if calls else ""
