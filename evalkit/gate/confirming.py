"""Confirming a block: a margin that failed against history is judged again beside a baseline that is run afresh."""

from __future__ import annotations

from collections.abc import Callable

from evalkit.engine.confirmation import PairStore, make_pairs
from evalkit.engine.execute import Progress
from evalkit.engine.loop import run_loop
from evalkit.errors import EvalkitError
from evalkit.gate.compare import find_baseline
from evalkit.gate.verdict import Verdict
from evalkit.store import RunFolder
from evalkit.workflow import Project

__all__ = ["confirm_block"]

_BARREN_ROUNDS = 2
"""So many rounds without a new pair: one may complete what was cut off long ago."""


def confirm_block(
    project: Project,
    candidate: RunFolder,
    verdict: Verdict,
    judge: Callable[[], Verdict],
    *,
    concurrency: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Verdict:
    """Run pairs of fresh trials until a provisional block is confirmed or cleared; other verdicts stay as they are.

    Where no more pairs can be had, because the baseline is gone, the budget is spent or a target is not there, the
    block stands and says why: who asks again goes on with the pairs that are there.

    Args:
        project: The project.
        candidate: The run that was judged.
        verdict: What was said of it.
        judge: Judges it again, with the pairs that are there then.
        concurrency: Trials at once.
        on_progress: Told of the progress.
    """
    if not verdict.next_pairs or candidate.run.selection != "all":
        return verdict
    baseline = find_baseline(project, verdict.workflow, verdict.baseline_run)
    if baseline is None:
        return verdict
    store = PairStore.of(project.store, candidate, baseline)
    store.note("")
    spent, barren = candidate.run.cost_microusd, 0
    try:
        while verdict.next_pairs and barren < _BARREN_ROUNDS:
            before = _pairs(verdict)
            made = make_pairs(
                project, candidate, baseline, verdict.next_pairs,
                spent=spent, concurrency=concurrency, on_progress=on_progress,
            )  # fmt: skip
            spent = run_loop(made)
            verdict = judge()
            barren = 0 if _pairs(verdict) > before else barren + 1
    except EvalkitError as error:
        store.note(error.message)
        return judge()
    if not verdict.next_pairs:
        return verdict
    store.note("its fresh trials, or the candidate's, failed or could not be graded")
    return judge()


def _pairs(verdict: Verdict) -> int:
    return sum(rule.pairs for rule in verdict.rules)
