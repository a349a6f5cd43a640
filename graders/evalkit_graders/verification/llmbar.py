"""LLMBar: recorded votes of six judges on pairs of answers, by the code that puts the votes of ``judge`` together.

Nothing is asked of a model here. What is measured is how far such judges can be trusted: whether they agree with
people, with themselves when the order changes, and what they follow beside quality. The accuracies are those that
LLMBar's authors published for the same votes (Zeng et al. 2024, arXiv 2310.07641, "vanilla" prompt).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit.grading import Figure, Verification
from evalkit.stats import Estimate, bootstrap, kappa, share
from evalkit.stats.judges import CHOICES, Choice, PairVotes, combine_orders, credit, first_shown, longer
from evalkit_graders.judge import Judge

__all__ = ["VERIFICATION"]

ITEMS, VOTES = "judge_llmbar_items.parquet", "judge_llmbar_votes.parquet"
PROMPTING = "Vanilla"
_SUBSETS = ("Natural", *(f"Adversarial/{name}" for name in ("Neighbor", "GPTInst", "GPTOut", "Manual")))
_PUBLISHED = {
    (judge, subset): figure
    for judge, figures in (
        ("GPT-4", (0.955, 0.787, 0.864, 0.777, 0.804)),
        ("ChatGPT", (0.815, 0.194, 0.266, 0.415, 0.348)),
    )
    for subset, figure in zip(_SUBSETS, figures, strict=True)
}
"""Accuracies as published, for whoever compares."""
_CHOICES: dict[object, Choice] = {"1": "a", "2": "b"}


@dataclass(frozen=True)
class _Judged:
    """The votes of one judge on one pair."""

    subset: str
    pair: str
    truth: Choice
    votes: PairVotes
    longer: Choice
    """Which answer has more characters."""


def measure(folder: Path) -> Iterator[Figure]:
    """Agreement with people by subset, then what else each judge follows."""
    judges = _read(folder)
    everything = next(iter(judges.values()))
    for subset, rows in _by_subset(everything).items():
        right = [float(row.longer == row.truth) for row in rows]
        yield _figure("the longer answer", f"agrees with people, {subset}", _mean(right), "baseline: no judge at all")
    for judge, rows in judges.items():
        for subset, part in _by_subset(rows).items():
            published = _PUBLISHED.get((judge, subset))
            note = "" if published is None else f"published: {published}"
            right = [credit(row.votes, row.truth) for row in part]
            yield _figure(judge, f"agrees with people, {subset}", _mean(right), note)
        yield from _biases(judge, rows)


def _biases(judge: str, rows: Sequence[_Judged]) -> Iterator[Figure]:
    combined = [combine_orders([row.votes]) for row in rows]
    yield _figure(
        judge, "says something else when the order changes", share(sum(c.order_flip for c in combined), len(rows))
    )
    shown = [first_shown([row.votes]) for row in rows]
    clusters = [row.pair for row, values in zip(rows, shown, strict=True) for _ in values]
    flat = np.concatenate(shown)
    first = bootstrap(lambda places: float(flat[places].mean()), len(flat), clusters=clusters)
    yield _figure(judge, "votes for the answer that is shown first", first, "0.5 without position bias")
    decided = [(c.choice, row) for c, row in zip(combined, rows, strict=True) if "tie" not in (c.choice, row.longer)]
    if decided:
        long = share(sum(choice == row.longer for choice, row in decided), len(decided))
        people = np.mean([row.truth == row.longer for _, row in decided])
        yield _figure(judge, "prefers the longer answer where it decides", long, f"people on the same: {people:.3f}")
    yield _figure(
        judge, "kappa between the two orders", _kappa(rows, [(r.votes.a_first, r.votes.b_first) for r in rows])
    )
    votes = [(vote, row.truth) for row in rows for vote in (row.votes.a_first, row.votes.b_first)]
    twice = [row for row in rows for _ in range(2)]
    yield _figure(judge, "kappa with people, single votes", _kappa(twice, votes))
    both = [(c.choice, row.truth) for c, row in zip(combined, rows, strict=True)]
    yield _figure(judge, "kappa with people, both orders together", _kappa(rows, both), "a flip is a tie")


def _figure(judge: str, what: str, found: Estimate, note: str = "") -> Figure:
    data = "LLMBar, 419 pairs, recorded votes in both orders"
    return Figure.of(Judge, VERIFICATION.name, found, data=data, measure=f"{judge}: {what}", note=note)


def _mean(values: Sequence[float]) -> Estimate:
    array = np.asarray(values)
    return bootstrap(lambda places: float(array[places].mean()), len(array))


def _kappa(rows: Sequence[_Judged], votes: Sequence[tuple[Choice | None, Choice | None]]) -> Estimate:
    """Kappa of two raters; that a vote could not be read is a label of its own."""
    label: dict[Choice | None, int] = {choice: number for number, choice in enumerate((*CHOICES, None))}
    size = len(label)
    cells = np.array([label[one] * size + label[other] for one, other in votes])

    def of(places: NDArray[np.intp]) -> float:
        return kappa(np.bincount(cells[places], minlength=size * size).reshape(size, size))

    return bootstrap(of, len(votes), clusters=[row.pair for row in rows])


def _by_subset(rows: Sequence[_Judged]) -> dict[str, list[_Judged]]:
    found: dict[str, list[_Judged]] = {}
    for row in rows:
        found.setdefault(row.subset, []).append(row)
    return found


def _read(folder: Path) -> dict[str, list[_Judged]]:
    """The votes by judge, in the order of the items."""
    import pandas as pd

    votes = pd.read_parquet(folder / VOTES).query("prompting == @PROMPTING")
    both = votes.merge(pd.read_parquet(folder / ITEMS), on=["subset", "item"], suffixes=("", "_item"), validate="m:1")
    if len(both) != len(votes) or (both["label"] != both["label_item"]).any():
        raise ValueError(f"{VOTES} and {ITEMS} are not of the same pairs")
    found: dict[str, list[_Judged]] = {}
    for row in both.sort_values(["evaluator", "subset", "item"]).itertuples():
        truth = _CHOICES[str(row.label)]
        # both votes are stated of output_1 and output_2; the first was asked with output_1 in front
        judged = PairVotes(_CHOICES.get(row.w1), _CHOICES.get(row.w2))
        pair = _Judged(
            str(row.subset), f"{row.subset}/{row.item}", truth, judged, longer(str(row.output_1), str(row.output_2))
        )
        found.setdefault(str(row.evaluator), []).append(pair)
    return found


VERIFICATION = Verification(
    name="llmbar",
    graders=(Judge.name,),
    files=(ITEMS, VOTES),
    about="LLMBar: pairs of answers with a preference that people agree on, most of them made so that the worse answer "
    "looks better, and the votes of six models in both orders (MIT).",
    measure=measure,
)
