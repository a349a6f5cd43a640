"""What the stored verdicts said, newest first: a line of each, and a point of each rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import StoreError
from evalkit.gate.verdict import ONLY_A_PART
from evalkit.gate.words import rule_name
from evalkit.store import Verdicts

__all__ = ["MOST", "History", "Judgement", "RulePoint"]

MOST = 500
"""Verdicts that are looked at, the newest."""


@dataclass(frozen=True)
class RulePoint:
    """What a rule of the gate saw in one run."""

    id: str
    status: str
    kind: str
    unit: str
    baseline: float | None
    candidate: float | None
    delta: float | None
    low: float | None
    """Ends of the interval of the candidate's value, in its unit; None where the interval is open or there is none."""
    high: float | None
    limit: float | None


@dataclass(frozen=True)
class Judgement:
    """A verdict, without its cases."""

    id: str
    workflow: str
    verdict: str
    sentence: str
    run_id: str
    baseline_name: str
    commit: str
    branch: str
    created_us: int
    simulated: bool
    became_baseline: str
    trials: int
    cost_microusd: int
    regressed: int
    improved: int
    part: bool
    """Whether only some cases were run: no point of a trend."""
    rules: tuple[RulePoint, ...]


class History:
    """The verdicts of a store. Files are read once, and again when they have changed.

    Args:
        root: The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self._verdicts = Verdicts(root)
        self._known: dict[Path, tuple[tuple[int, int, int], Judgement]] = {}

    def newest(self) -> list[Judgement]:
        """The newest verdict on each run, newest first; at most ``MOST``.

        Raises:
            StoreError: when a verdict cannot be read; names the file.
        """
        entries = self._verdicts.entries()
        by_run: dict[str, Path] = {}
        for path, entry in sorted(entries.items(), key=lambda item: (item[1].created_us, item[1].id)):
            by_run.pop(entry.candidate_run, None)
            by_run[entry.candidate_run] = path
        chosen = list(by_run.values())[-MOST:][::-1]
        known = {}
        for path in chosen:
            state = entries[path].state
            kept = self._known.get(path)
            known[path] = kept if kept and kept[0] == state else (state, _judgement(path, self._verdicts.read(path)))
        self._known = known
        return [known[path][1] for path in chosen]


def _judgement(path: Path, data: Mapping[str, Any]) -> Judgement:
    try:
        counts = data.get("counts") or {}
        return Judgement(
            id=str(data["id"]),
            workflow=str(data["workflow"]),
            verdict=str(data["verdict"]),
            sentence=str(data["sentence"]),
            run_id=str(data["candidate_run"]),
            baseline_name=str(data["baseline_name"]),
            commit=str(data.get("commit", "")),
            branch=str(data.get("branch", "")),
            created_us=int(data["created_us"]),
            simulated=bool(data.get("simulated")),
            became_baseline=str(data.get("became_baseline", "")),
            trials=int(data.get("trials", 0)),
            cost_microusd=int(data.get("cost_microusd", 0)),
            regressed=int(counts.get("regressed", 0)),
            improved=int(counts.get("improved", 0)),
            part=any(str(note).startswith(ONLY_A_PART) for note in data.get("notes", ())),
            rules=tuple(_point(rule) for rule in data["rules"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"not a verdict: {error}", file=path, fix="remove the file, and judge its run again: evalkit gate RUN"
        ) from None


def _point(rule: Mapping[str, Any]) -> RulePoint:
    kind = str(rule.get("kind", "count"))
    baseline, candidate, delta, low, high, limit = (
        _number(rule.get(key)) for key in ("baseline", "candidate", "delta", "low", "high", "limit")
    )
    if kind in ("drop", "increase"):
        low, high = (_of_candidate(kind, baseline, end) for end in (low, high))
    return RulePoint(
        id=rule_name(str(rule["id"]), str(rule.get("slice", ""))),
        status=str(rule["status"]), kind=kind, unit=str(rule.get("unit", "")), baseline=baseline, candidate=candidate,
        delta=delta, low=low, high=high, limit=limit,
    )  # fmt: skip


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _of_candidate(kind: str, baseline: float | None, end: float | None) -> float | None:
    """An end of the interval of a change, as a value of the candidate."""
    if baseline is None or end is None:
        return None
    return baseline * end if kind == "increase" else min(1.0, max(0.0, baseline + end))
