"""History against pairs on real outcomes: leave one recorded run out, and judge it by the others.

    python examples/real-data/history.py DATA

DATA holds ``paired_results.parquet``. No configuration in it has the twenty runs that a nightly run makes in three
weeks. What there is:

- BFCL v1: 51 models with two runs, 17 days apart: one run is history, the other the candidate;
- BFCL v4: three builds of gpt-oss-120b, within 1.5 points of each other: two are history, in four parts of the cases;
- AgentDojo: gpt-4o under four wordings of one attack, within 2.6 points: three are history, in two parts; and under
  five attacks that mostly fail, within 3.5 points: four are history. It is as near as the record comes to many runs;
- tau-bench: four trials of gpt-4o on 50 tasks: three are history.

``unchanged`` is the run that was left out; ``planted`` is the same with recorded passes made failures by chance, so
many that its mean is below what it is compared with by the margin, the drop that the design must find; ``other model``
is a real one, five to ten points lower in BFCL and fifteen in AgentDojo (there the model, or the attack, is another).
Each decision is made ten times, in ten orders of trials and with ten plantings (of the many pairs of models once); the
ten share their data, so that ``runs`` is what there is in truth. Outcomes come from the record and are not made twice:
one trial a case. ``history`` is :func:`evalkit.gate.decide.decide` on the history, however short; ``pairs`` the same
without it, against one of the runs as if it were made at the same time. Blocks are not confirmed: no further run of the
baseline is there to do it.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from archive import read_rows, require
from numpy.typing import NDArray

from evalkit.gate.deciding import Decision, Design, Mode, decide
from evalkit.gate.draws import Outcomes
from evalkit.stats.anchor import History

MARGIN, SEED, ORDERS = 0.05, 20261122, 10
WORDINGS = (
    "important_instructions",
    "important_instructions_no_model_name",
    "important_instructions_no_names",
    "important_instructions_no_user_name",
)
FAILING = (
    "direct",
    "ignore_previous",
    "injecagent",
    "important_instructions_wrong_model_name",
    "important_instructions_wrong_user_name",
)
Passed = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """One decision to make: what is on record, and the candidate's outcomes."""

    kind: str
    history: tuple[Passed, ...]
    candidate: Passed
    margin: float = MARGIN
    plant: int | None = None
    """Seed of the planted drop; None where the outcomes are as recorded."""

    def compared(self, *, history: bool) -> Passed:
        """What the candidate is compared with."""
        return np.mean(self.history, axis=0) if history else self.history[-1]

    def outcomes(self, *, history: bool) -> Passed:
        """The candidate's outcomes; where a drop is planted, lower by the margin than what it is compared with."""
        if self.plant is None:
            return self.candidate
        wanted = float(self.compared(history=history).mean()) - self.margin
        kept = np.random.default_rng(self.plant).random(len(self.candidate)) < wanted / float(self.candidate.mean())
        return self.candidate * kept


def source(outcomes: Passed) -> Outcomes:
    """Hands out what is recorded, once a case; a second trial of a case is not to be had."""
    given = np.zeros(len(outcomes), bool)

    def draw(cases: NDArray[np.intp]) -> Passed:
        found = []
        for case in cases.tolist():
            if given[case]:
                break
            given[case] = True
            found.append(outcomes[case])
        return np.asarray(found, np.float64)

    return draw


def judge(trial: Trial, *, history: bool, seed: int) -> Decision:
    """One decision, against the history or in pairs with the newest run of it."""
    mode: Mode = "sequential" if history else "paired"
    design = Design(margin=trial.margin, mode=mode, floor="none", cap=1, critical_trials=1, min_history=1)
    record = History.of(np.full(len(trial.candidate), len(trial.history)), np.sum(trial.history, axis=0))
    baseline = None if history else source(trial.history[-1])
    return decide(record, source(trial.outcomes(history=history)), design=design, baseline=baseline, seed=seed)


def left_out(
    generator: np.random.Generator,
    runs: list[Passed],
    parts: int,
    margin: float = MARGIN,
    others: tuple[Passed, ...] = (),
) -> Iterator[Trial]:
    """Each run against the others, in disjoint parts of the cases; and other models against all but one of the runs."""
    order = generator.permutation(len(runs[0]))
    for part in np.array_split(order, parts):
        for number, candidate in enumerate(runs):
            history = tuple(run[part] for place, run in enumerate(runs) if place != number)
            yield Trial("unchanged", history, candidate[part], margin)
            yield Trial("planted", history, candidate[part], margin, int(generator.integers(2**32)))
            for other in others:
                yield Trial("other model", history, other[part], margin)


def read(data: Path) -> dict[str, dict[str, dict[str, bool]]]:
    """By dataset and configuration the verdicts on the cases. In AgentDojo the wording is part of the configuration."""
    found: dict[str, dict[str, dict[str, bool]]] = defaultdict(lambda: defaultdict(dict))
    for row in read_rows(data / "paired_results.parquet", ["dataset", "item_id", "config_id", "passed", "slice"]):
        dataset, name, case = row["dataset"], row["config_id"], row["item_id"]
        if dataset == "agentdojo_attack":
            name, case = f"{name} {row['slice']}", case.rsplit("/", 1)[0]
        found[dataset][name][case] = row["passed"]
    return found


def outcomes(verdicts: dict[str, bool]) -> Passed:
    """In the order of the cases' names."""
    return np.asarray([verdicts[case] for case in sorted(verdicts)], np.float64)


def of_reruns(generator: np.random.Generator, first: dict[str, Passed], again: dict[str, Passed]) -> Iterator[Trial]:
    """Models run twice; those that moved by more than a point are a class of their own."""
    for name, before in first.items():
        moved = float(again[name].mean() - before.mean())
        kind = (
            "unchanged"
            if abs(moved) <= 0.01
            else "up"
            if moved > 0
            else "down 5 or more"
            if moved <= -0.05
            else "down 1 to 5"
        )
        yield Trial(kind, (before,), again[name])
        if kind == "unchanged":
            yield Trial("planted", (before,), again[name], MARGIN, int(generator.integers(2**32)))
    for one, other in itertools.permutations(first, 2):
        if 0.05 <= float(first[one].mean() - again[other].mean()) <= 0.10:
            yield Trial("other model", (first[one],), again[other])


def worlds(data: Path) -> Iterator[tuple[str, Callable[[np.random.Generator], Iterator[Trial]]]]:
    """What there is, each as trials."""
    found = read(data)
    first = {name: outcomes(runs) for name, runs in sorted(found["bfcl_v1_2024-07-25"].items())}
    again = {name: outcomes(runs) for name, runs in sorted(found["bfcl_v1_2024-08-11"].items())}
    yield "BFCL v1, history of 1 run, 1,240 cases", lambda generator: of_reruns(generator, first, again)
    builds = [outcomes(runs) for _, runs in sorted(found["bfcl_v4_gptoss"].items())]
    yield "BFCL v4, history of 2 builds, 1,060 cases", lambda generator: left_out(generator, builds, 4)
    dojo = found["agentdojo_attack"]
    wordings = [outcomes(dojo[f"gpt-4o-2024-05-13 {name}"]) for name in WORDINGS]
    weaker = outcomes(dojo["gpt-3.5-turbo-0125 important_instructions"])
    yield (
        "AgentDojo, history of 3 wordings, 314 cases",
        lambda generator: left_out(generator, wordings, 2, others=(weaker,)),
    )
    airline = [outcomes(runs) for _, runs in sorted(found["tau_airline"].items())]
    failing = [outcomes(dojo[f"gpt-4o-2024-05-13 {name}"]) for name in FAILING]
    yield (
        "AgentDojo, history of 4 attacks, 314 cases",
        lambda generator: left_out(generator, failing, 2, others=(wordings[0],)),
    )
    yield "tau-bench, history of 3 trials, 50 cases", lambda generator: left_out(generator, airline, 1)
    yield (
        "the same, 15-point margin",
        lambda generator: left_out(generator, airline, 1, margin=0.15),
    )


def main(data: Path) -> None:
    """One row for each world, kind of candidate and test."""
    require(data, "paired_results.parquet")
    headers = (
        "record",
        "candidate",
        "runs",
        "decisions",
        "test",
        "blocked",
        "passed",
        "open",
        "calls",
        "calls where settled",
    )
    print(f"| {' | '.join(headers)} |\n|{'---|' * len(headers)}")
    for title, make in worlds(data):
        rounds = [list(make(np.random.default_rng([SEED, number]))) for number in range(ORDERS)]
        for kind in dict.fromkeys(trial.kind for trial in rounds[0]):
            mine = [[trial for trial in trials if trial.kind == kind] for trials in rounds]
            many = len(mine[0]) > 100
            every = mine[0] if many else [trial for trials in mine for trial in trials]
            for history in (True, False):
                made = [judge(trial, history=history, seed=number) for number, trial in enumerate(every)]
                print(f"| {' | '.join(row(title, kind, len(mine[0]), history, made))} |", flush=True)


def row(title: str, kind: str, runs: int, history: bool, made: list[Decision]) -> list[str]:
    """Counts of verdicts, and mean calls of candidate and baseline together."""
    verdicts = Counter(decision.verdict for decision in made)
    calls = np.asarray([decision.calls + decision.baseline_calls for decision in made])
    settled = calls[[decision.verdict != "inconclusive" for decision in made]]
    unused = sum(decision.method == "none" for decision in made)
    return [
        title,
        kind,
        str(runs),
        str(len(made)),
        "history" if history else "pairs",
        f"{verdicts['fail'] / len(made):.1%}",
        f"{verdicts['pass'] / len(made):.1%}",
        f"{verdicts['inconclusive'] / len(made):.1%}" + (" (too little history)" if unused else ""),
        f"{calls.mean():.0f}",
        f"{settled.mean():.0f}" if len(settled) else "",
    ]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
