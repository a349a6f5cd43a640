"""Which components differ between two configurations, with their text diffs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from evalkit.fingerprint import short
from evalkit.gate.verdict import ComponentChange
from evalkit.records import Component, Configuration

__all__ = ["baseline_versions", "component_changes"]

_MAX_LINES = 400
_MAX_INPUT = 4_000


def component_changes(before: Configuration, after: Configuration) -> tuple[ComponentChange, ...]:
    """Components that were added, removed or changed, by key."""
    old = {component.key: component for component in before.components}
    new = {component.key: component for component in after.components}
    changed = []
    for key in sorted(old.keys() | new.keys()):
        left, right = old.get(key), new.get(key)
        if left is not None and right is not None and left.fingerprint == right.fingerprint:
            continue
        shown = right or left
        assert shown is not None  # noqa: S101 - the key came from one of the two
        changed.append(
            ComponentChange(
                kind=shown.kind,
                name=shown.name,
                path=shown.path,
                before=left.fingerprint if left else "",
                after=right.fingerprint if right else "",
                diff=_diff(left, right),
            )
        )
    return tuple(changed)


def baseline_versions(changes: Iterable[ComponentChange]) -> dict[str, str]:
    """By changed component, as ``kind:name``, its version in the baseline; empty where it is new."""
    return {f"{change.kind}:{change.name}": short(change.before) for change in changes}


def _lines(component: Component | None) -> list[str]:
    """Lines with carriage returns made visible, so that a change of them shows."""
    lines = component.content.replace("\r", "␍").split("\n") if component else []
    return lines[:-1] if lines[-1:] == [""] else lines


def _diff(left: Component | None, right: Component | None) -> str:
    before, after = _lines(left), _lines(right)
    if before == after:
        same = left is not None and right is not None and left.content == right.content
        return "(the difference is in what is masked)" if same else "(only the end of the last line differs)"
    if max(len(before), len(after)) > _MAX_INPUT:
        return f"(too long to show: {len(before):,} lines before, {len(after):,} now)"
    lines = list(difflib.unified_diff(before, after, "before", "now", n=2, lineterm=""))[2:]
    if len(lines) > _MAX_LINES:
        lines = [*lines[:_MAX_LINES], f"… {len(lines) - _MAX_LINES} more lines"]
    return "\n".join(lines)
