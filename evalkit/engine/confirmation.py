"""Pairs of fresh trials: candidate and baseline run side by side, to confirm that a candidate is worse.

Both sides are runs in a folder of their own in the store, so that they are no runs of the project and no history, nor
trials that a run could reuse. The folder belongs to the two configurations and the golden set: whoever compares them
again goes on with the pairs that are there. A pair is the same case and number of trial on both sides; the numbers
begin where no run's do, so that a pair is independent of whatever made somebody ask.

::

    .evalkit/confirmation/<pair>/candidate/runs/…, baseline/runs/…
                                 unconfirmed.txt    why there are no more pairs, where somebody asked for them
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow.compute as pc

from evalkit.atomic import make_folder, write_text
from evalkit.engine.counterfactual import Counterfactuals
from evalkit.engine.execute import Progress
from evalkit.errors import StoreError
from evalkit.fingerprint import fingerprint
from evalkit.store.runs import RunFolder, Runs
from evalkit.workflow import Project

__all__ = ["CONFIRMATION_FOLDER", "FIRST_TRIAL", "PairStore", "make_pairs"]

CONFIRMATION_FOLDER = "confirmation"
"""In the store."""
FIRST_TRIAL = 10_000
"""Number of the first trial of a case in a confirmation."""
Side = Literal["candidate", "baseline"]


@dataclass(frozen=True)
class PairStore:
    """Where the pairs of two configurations on a golden set are kept."""

    root: Path
    workflow: str

    @classmethod
    def of(cls, store: Path, candidate: RunFolder, baseline: RunFolder) -> PairStore:
        """The one for two runs."""
        run, base = candidate.run, baseline.run
        identity = [run.workflow, run.golden_set.digest, run.redaction]
        pair = fingerprint("confirmation", [*identity, run.configuration.fingerprint, base.configuration.fingerprint])
        return cls(store / CONFIRMATION_FOLDER / pair[:26], run.workflow)

    def runs(self, side: Side) -> Runs:
        """All runs of one side."""
        return Runs(self.root / side)

    def newest(self, side: Side) -> RunFolder | None:
        """The newest run of one side, which holds the trials of the earlier ones too."""
        return next(self.runs(side).newest_first(self.workflow), None)

    def made(self) -> dict[str, int]:
        """Trials that either side has of each case, failed ones too."""
        most: dict[str, int] = {}
        for folder in (self.newest("candidate"), self.newest("baseline")):
            if folder is not None:
                counted = pc.value_counts(folder.trials(["case_id"]).column("case_id").combine_chunks()).to_pylist()
                for row in counted:
                    most[row["values"]] = max(most.get(row["values"], 0), row["counts"])
        return most

    @property
    def paid(self) -> tuple[int, int]:
        """Model calls and micro-dollars of both sides, whenever they were made."""
        runs = [folder.run for side in (self.runs("candidate"), self.runs("baseline")) for folder in side.all()]
        return sum(run.model_calls for run in runs), sum(run.cost_microusd for run in runs)

    @property
    def why(self) -> str:
        """Why there are no more pairs; empty where nobody has failed to make them."""
        try:
            return self._why.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise StoreError(f"not readable: {error.strerror}", file=self._why) from None

    def note(self, why: str) -> None:
        """Keep why there are no more pairs, for whoever judges again."""
        make_folder(self.root)
        write_text(self._why, why)

    @property
    def _why(self) -> Path:
        return self.root / "unconfirmed.txt"


async def make_pairs(
    project: Project,
    candidate: RunFolder,
    baseline: RunFolder,
    further: Mapping[str, int],
    *,
    spent: int = 0,
    concurrency: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> int:
    """Run further trials of both sides, those of the candidate first; what one side has already is not made again.

    Args:
        project: The project.
        candidate: The run that is to be confirmed as worse; graded with the graders of now.
        baseline: The run that it was compared with.
        further: Pairs by case, beside those that are there.
        spent: Micro-dollars of the budget of a run that are spent already.
        concurrency: Trials at once.
        on_progress: Told of the progress of each side.

    Returns:
        Micro-dollars of the budget that are spent now.

    Raises:
        EvalkitError: as :meth:`Counterfactuals.run`, and as its constructor.
    """
    store = PairStore.of(project.store, candidate, baseline)
    counts = store.made()
    for case_id, count in further.items():
        counts[case_id] = counts.get(case_id, 0) + count
    case_ids = tuple(sorted(counts))
    more = {case_id: counts[case_id] - 1 for case_id in case_ids if counts[case_id] > 1}
    sides: tuple[Side, ...] = ("candidate", "baseline")
    for side in sides:
        with Counterfactuals(
            project, candidate, baseline, candidate.run.grading,
            store=store.runs(side), first=FIRST_TRIAL, spent=spent, concurrency=concurrency,
        ) as made:  # fmt: skip
            changes = frozenset(made.units) if side == "candidate" else frozenset[str]()
            done = await made.run(changes, case_ids, 1, more, on_progress)
        spent += done.microusd
    return spent
