"""Accepting a regression: what ``evalkit accept`` does, without the command line."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalkit.engine.prepare import load_grading
from evalkit.errors import UsageError
from evalkit.fingerprint import short
from evalkit.gate.acceptance import Acceptance, Acceptances, load_acceptances, save_acceptances
from evalkit.gate.accepted import Regressions, why_never
from evalkit.gate.changes import baseline_versions, component_changes
from evalkit.gate.compare import find_baseline
from evalkit.gate.evidence import Evidence, Mask, load_evidence
from evalkit.gate.failures import kind_of
from evalkit.gate.golden import StoredCases
from evalkit.gate.words import count_of
from evalkit.store import RunFolder, Runs, Verdicts
from evalkit.workflow import Project, load_workflow

__all__ = ["DEFAULT_DAYS", "Accepted", "accept"]

DEFAULT_DAYS = 30
"""How long an acceptance holds where nothing else is said."""


@dataclass(frozen=True)
class Accepted:
    """What came of it."""

    entries: tuple[Acceptance, ...]
    """The entries as they stand in the file now."""
    changed: bool
    """Whether the file is another one than before."""
    left_out: tuple[str, ...]
    """Cases of a slice that nobody can accept, with the reason."""
    acceptances: Acceptances


def accept(
    project: Project,
    run_id: str = "latest",
    *,
    cases: Sequence[str] = (),
    slices: Sequence[str] = (),
    graders: Sequence[str] = (),
    reason: str,
    owner: str,
    expires: dt.date | None = None,
    most: int | None = None,
    today: dt.date | None = None,
) -> Accepted:
    """Accept regressions of a judged run for a time: write them into ``acceptances.yaml``.

    Saying the same again changes nothing; naming another reason, owner or date changes the entry. An entry that has
    expired is renewed.

    Args:
        project: The project.
        run_id: The run, or its beginning.
        cases: Cases that may be worse.
        slices: Slices, as ``key=value``, whose cases may be worse.
        graders: Only as these graders see it; default all that see a regression.
        reason: Why.
        owner: Who answers for it.
        expires: The last day on which it holds; default in thirty days, or what the entry says already.
        most: How many cases of a slice may be worse; default as many as are.
        today: The day (UTC); default today.

    Raises:
        UsageError: for what did not get worse, or what nobody can accept.
        ConfigError: when the file is wrong.
    """
    if not cases and not slices:
        raise UsageError("nothing to accept is named", fix="name --case ID or --slice KEY=VALUE")
    found = load_acceptances(project, today)
    candidate, baseline, changed = _judged(project, run_id)
    run = candidate.run
    evidence = load_evidence(candidate, baseline, StoredCases(project.store, run.golden_set, run.redaction))
    drafts = _Drafts(Regressions(candidate, evidence), found, tuple(graders), reason, owner, expires, changed)
    entries = [drafts.of_case(case) for case in dict.fromkeys(cases)]
    entries += [drafts.of_slice(name, most) for name in dict.fromkeys(slices)]
    new = [entry for entry in entries if entry not in found.entries]
    saved = save_acceptances(found, new, project) if new else found
    return Accepted(tuple(entries), bool(new), tuple(drafts.left_out), saved)


def _judged(project: Project, run_id: str) -> tuple[RunFolder, RunFolder, dict[str, str]]:
    """A run as it was judged, its baseline, and the components that differ with their versions there."""
    folder = Runs(project.store).get(run_id)
    run = folder.run
    verdict = Verdicts(project.store).of_run(run.run_id)
    base = str((verdict or {}).get("baseline_run") or "")
    baseline = find_baseline(project, run.workflow, base) if base else None
    if baseline is None or baseline.run.golden_set.digest != run.golden_set.digest:
        raise UsageError(
            f"run {run.run_id} was not compared with a baseline of the same golden set: nothing is known to be worse",
            fix=f"judge it: evalkit gate {run.run_id}",
        )
    folder = _newest_grading(project, folder)
    if not baseline.scores_path(folder.run.grading).exists():
        raise UsageError(
            "run and baseline were graded by different graders", fix=f"judge the run: evalkit gate {run.run_id}"
        )
    changes = component_changes(baseline.run.configuration, run.configuration)
    return folder, baseline, baseline_versions(changes)


def _newest_grading(project: Project, folder: RunFolder) -> RunFolder:
    """The run with the scores of the graders of now, by which it is judged, where it has them."""
    if len(folder.gradings()) < 2:
        return folder
    wanted = load_grading(project, load_workflow(project, folder.run.workflow)).fingerprint
    return RunFolder(folder.path, wanted) if folder.scores_path(wanted).exists() else folder


@dataclass
class _Drafts:
    """Makes entries."""

    found: Regressions
    known: Acceptances
    graders: tuple[str, ...]
    reason: str
    owner: str
    expires: dt.date | None
    changed: dict[str, str]

    def __post_init__(self) -> None:
        self.left_out: list[str] = []
        for grader in self.graders:
            if grader not in self._evidence.quality:
                raise UsageError(
                    f"no grader `{grader}` says whether an answer is good",
                    fix=f"quality graders: {', '.join(sorted(self._evidence.quality))}",
                )

    @property
    def _evidence(self) -> Evidence:
        return self.found.evidence

    def of_case(self, case_id: str) -> Acceptance:
        """The entry of a case."""
        place = self.found.place(case_id)
        if place < 0:
            raise UsageError(f"no case `{case_id}` in the golden set", fix="the report names the cases that got worse")
        why = why_never(self._evidence.golden.load([case_id])[case_id])
        if why:
            raise UsageError(f"nobody can accept a failure of {case_id}: {why}", fix="fix the regression")
        mask = np.zeros(len(self._evidence.axis), bool)
        mask[place] = True
        failures, severe = self._failures(self._worse(mask))
        if severe:
            raise UsageError(
                f"nobody can accept a failure of {case_id}: it has critical severity", fix="fix the regression"
            )
        if not failures:
            what = f"for {', '.join(self.graders)}" if self.graders else "for any quality grader"
            raise UsageError(f"case {case_id} is not worse than in the baseline {what}: nothing is to be accepted")
        return self._entry(mask, failures, case=case_id)

    def of_slice(self, name: str, most: int | None) -> Acceptance:
        """The entry of a slice."""
        mask = self.found.slice_mask(name)
        if mask is None:
            raise UsageError(
                f"no case of the golden set is in slice `{name}`", fix=f"slices: {', '.join(self.found.slices()[:12])}"
            )
        worse = self._worse(mask)
        failures, severe = self._failures(worse)
        never = dict.fromkeys(severe, "it fails with critical severity")
        cases = self._evidence.golden.load(worse)
        never |= {case_id: why for case_id, case in cases.items() if (why := why_never(case))}
        kept = [case_id for case_id in worse if case_id not in never]
        if not kept:
            told = f": {len(never)} can never be" if never else ""
            raise UsageError(f"no case of slice {name} is worse than in the baseline and could be accepted{told}")
        self.left_out += [f"{case_id}: {why}" for case_id, why in sorted(never.items())]
        failures, _ = self._failures(kept)
        return self._entry(mask, failures, slice_name=name, most=most or len(kept))

    def _worse(self, cases: Mask) -> list[str]:
        graders = self.graders or tuple(sorted(self._evidence.quality))
        worse = np.any([self.found.worse(grader) for grader in graders], axis=0) & cases
        return list(self._evidence.axis.names(worse))

    def _failures(self, worse: Sequence[str]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
        """By grader the kinds of failure of these cases, and the cases with one of critical severity."""
        kinds: dict[str, set[str]] = {}
        severe = []
        for case_id, scores in self.found.failures(worse).items():
            place = self.found.place(case_id)
            for score in scores:
                if (self.graders and score.grader not in self.graders) or not self.found.worse(score.grader)[place]:
                    continue
                kinds.setdefault(score.grader, set()).add(kind_of(score))
                if score.severity == "critical":
                    severe.append(case_id)
        return {grader: tuple(sorted(found)) for grader, found in sorted(kinds.items())}, severe

    def _entry(
        self,
        cases: Mask,
        failures: dict[str, tuple[str, ...]],
        *,
        case: str | None = None,
        slice_name: str | None = None,
        most: int | None = None,
    ) -> Acceptance:
        run = self.found.candidate.run
        today = self.known.today
        entry = Acceptance(
            workflow=run.workflow,
            case=case,
            slice=slice_name,
            reason=self.reason,
            owner=self.owner,
            created=today,
            expires=self.expires or today + dt.timedelta(days=min(DEFAULT_DAYS, self.known.most_days)),
            failures=failures,
            digest=short(self.found.digest(cases)),
            configuration=short(run.configuration.fingerprint),
            changed=self.changed,
            most=most,
        )
        self._check_date(entry)
        old = next((item for item in self.known.entries if item.identity == entry.identity), None)
        if old is None or old.expired(today):
            return entry
        if self.graders and (old.digest, old.changed) == (entry.digest, entry.changed):
            entry = entry.model_copy(update={"failures": dict(sorted({**old.failures, **failures}.items()))})
        return old if self._says(old, entry) else entry

    def _check_date(self, entry: Acceptance) -> None:
        days = (entry.expires - entry.created).days
        if not 0 <= days <= self.known.most_days:
            raise UsageError(
                "an acceptance holds from today for at most "
                f"{count_of(self.known.most_days, 'day')} (`most_days:` in {self.known.path.name})",
                key="--expires",
                value=entry.expires.isoformat(),
            )

    def _says(self, old: Acceptance, entry: Acceptance) -> bool:
        """Whether the file says so already: no date moves by itself."""
        kept: dict[str, object] = {"created": old.created, "configuration": old.configuration}
        if self.expires is None:
            kept["expires"] = old.expires
        return entry.model_copy(update=kept) == old
