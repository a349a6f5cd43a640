"""What changed between two versions of a golden set, case by case and key by key."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.codec import plain
from evalkit.goldens.goldenset import GoldenSet
from evalkit.records import Case, Json

__all__ = ["CaseChange", "GoldenDiff", "diff"]


@dataclass(frozen=True)
class CaseChange:
    """A case in both versions whose content differs, with the keys that do."""

    case_id: str
    keys: tuple[str, ...]
    before: Case
    after: Case


@dataclass(frozen=True)
class GoldenDiff:
    """Cases added, removed and changed from ``before`` to ``after``."""

    before: str
    after: str
    added: tuple[Case, ...]
    removed: tuple[Case, ...]
    changed: tuple[CaseChange, ...]
    unchanged: int

    @property
    def same(self) -> bool:
        """True when nothing differs."""
        return not (self.added or self.removed or self.changed)


def diff(before: GoldenSet, after: GoldenSet) -> GoldenDiff:
    """Compare two versions by case id and case digest."""
    old, new = before.digests, after.digests
    common = [case_id for case_id in new if case_id in old]
    differing = {case_id for case_id in common if old[case_id] != new[case_id]}
    old_cases = {case.id: case for case in before.cases}
    return GoldenDiff(
        before=f"{before.name}@{before.version}",
        after=f"{after.name}@{after.version}",
        added=tuple(case for case in after.cases if case.id not in old),
        removed=tuple(case for case in before.cases if case.id not in new),
        changed=tuple(
            CaseChange(case.id, _changed_keys(plain(old_cases[case.id]), plain(case)), old_cases[case.id], case)
            for case in after.cases
            if case.id in differing
        ),
        unchanged=len(common) - len(differing),
    )


def _changed_keys(before: Json, after: Json, prefix: str = "") -> tuple[str, ...]:
    if isinstance(before, dict) and isinstance(after, dict):
        keys: list[str] = []
        for key in sorted(before.keys() | after.keys()):
            keys += _changed_keys(before.get(key), after.get(key), f"{prefix}.{key}" if prefix else key)
        return tuple(keys)
    return () if before == after else (prefix,)
