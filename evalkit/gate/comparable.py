"""Whether two runs can be compared: what differs that is not the change under test, by name."""

from __future__ import annotations

from evalkit.gate.verdict import ONLY_A_PART
from evalkit.gate.words import count_of
from evalkit.records import Run
from evalkit.workflow.gates import GateSpec

__all__ = ["comparable", "different_graders"]


def comparable(run: Run, base: Run | None, spec: GateSpec) -> tuple[list[str], list[str]]:
    """Why the runs cannot be compared, and what a reviewer should know.

    Args:
        run: The candidate.
        base: The baseline; None where there is none.
        spec: The gate: with ``on_golden_change: common_cases`` whatever can be compared is, and the rest is told.
    """
    obstacles, notes = [], []
    compare_all = spec.on_golden_change == "common_cases"
    if run.selection != "all":
        notes.append(f"{ONLY_A_PART}: {run.selection}.")
    if base is None:
        return ["There is no baseline to compare with."], notes
    if base.workflow != run.workflow:
        return [f"The workflow differs: the baseline is of {base.workflow}, this run of {run.workflow}."], notes
    if base.golden_set.digest != run.golden_set.digest:
        text = f"The golden set differs: {_golden(base, run)} before, {_golden(run, base)} now"
        if compare_all:
            notes.append(f"{text}; only the cases that are equal in both are compared.")
        else:
            obstacles.append(
                f"{text}. With `gate.on_golden_change: common_cases` the cases that are equal are compared."
            )
    if base.redaction != run.redaction:
        text = "The masking differs (`redaction:` in evalkit.yaml, EVALKIT_REDACTION_KEY or evalkit itself)"
        if compare_all:
            notes.append(f"{text}: graders read masked text, so scores may differ because of that.")
        else:
            obstacles.append(f"{text}: graders read masked text. Run the baseline again with the masking of now.")
    if base.grading != run.grading:
        which = different_graders(base, run)
        notes.append(
            f"The graders have changed since the baseline was made ({which}); both runs are judged by those of now."
        )
    if base.evalkit != run.evalkit:
        notes.append(f"The baseline was made with evalkit {base.evalkit}, this run with {run.evalkit}.")
    return obstacles, notes


def different_graders(base: Run, run: Run) -> str:
    """In words which graders two runs were not graded alike with."""
    before, now = ({ref.name: ref for ref in each.graders} for each in (base, run))
    parts = [f"{name} is new" for name in sorted(now.keys() - before.keys())]
    parts += [f"{name} is gone" for name in sorted(before.keys() - now.keys())]
    for name in sorted(before.keys() & now.keys()):
        old, new = before[name], now[name]
        if old.fingerprint != new.fingerprint:
            versions = f"version {old.version}, now {new.version}" if old.version != new.version else "its parameters"
            parts.append(f"{name}: {versions}")
    more = f" and {len(parts) - 5} more" if len(parts) > 5 else ""
    return f"{', '.join(parts[:5])}{more}" if parts else "their order"


def _golden(run: Run, other: Run) -> str:
    """Name and version of a golden set; its digest too where the version is no help."""
    ref = run.golden_set
    name = f"{ref.name}@{ref.version}"
    same = (ref.name, ref.version) == (other.golden_set.name, other.golden_set.version)
    return f"{name} ({count_of(ref.cases, 'case')}, {ref.digest[:8]})" if same else name
