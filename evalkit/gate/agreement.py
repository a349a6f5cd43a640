"""Are the graders that this verdict stands on good enough to judge, by the labels of the workflow's own people?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evalkit.gate.verdict import RuleResult
from evalkit.gate.words import count_of
from evalkit.review import GraderAgreement
from evalkit.stats import Estimate, wilson

__all__ = ["agreement_results"]

_MOST = 100_000


def agreement_results(wanted: Mapping[str, float], measured: Mapping[str, GraderAgreement]) -> list[RuleResult]:
    """One result for each grader that must agree with people: pass, or inconclusive with what to do about it.

    A grader that disagrees makes no answer bad, so it never blocks; and it makes no answer good, so nothing passes.

    Args:
        wanted: By grader the least share of labels that it agrees with.
        measured: What the labels say of it.
    """
    return [_result(grader, least, measured.get(grader)) for grader, least in wanted.items()]


def _result(grader: str, least: float, found: GraderAgreement | None) -> RuleResult:
    base = RuleResult(f"{grader}.agreement", "inconclusive", "", "floor", grader, "agreement", limit=least)
    more = f"label more: evalkit review queue --grader {grader} --sample 50"
    if found is None or (share := found.accuracy) is None:
        lost = f" ({count_of(found.lost, 'label')} of answers that no stored run holds)" if found and found.lost else ""
        return replace(
            base, sentence=f"{grader} must agree with people, and no answer of it is labelled{lost}: {more}."
        )
    base = replace(base, n=found.n, candidate=share.value, low=share.low, high=share.high, method="Wilson or bootstrap")
    numbers = f"{share.value:.0%} of {count_of(found.n, 'label')} [{share.low:.0%}, {share.high:.0%}]"
    told = f"{grader} agrees with people on {numbers}"
    if share.low >= least:
        return replace(base, status="pass", sentence=f"{told}; {least:.0%} is asked for.")
    if share.high < least:
        differs = f"See where it differs: evalkit calibrate --grader {grader}."
        less = f"less than the {least:.0%} asked for: its scores judge nothing."
        return replace(base, sentence=f"{told}, {less} {differs}")
    needed = _labels_needed(share, least)
    need = (
        f"about {count_of(needed - found.n, 'more label')} would show it"
        if needed
        else "more labels will hardly show it"
    )
    return replace(base, sentence=f"{told}, not shown to be {least:.0%}: {need}; {more}.")


def _labels_needed(share: Estimate, least: float) -> int:
    """Labels with which the interval of such a share would begin at what is asked for; 0 where none would do.

    Where answers belong together the interval is wider than that of single ones, and each label is worth less.
    """
    alone, here = share.value - wilson(share.value * share.n, share.n)[0], share.value - share.low
    worth = min(1.0, (alone / here) ** 2) if here > 0 else 1.0
    many = share.n + 1
    while many <= _MOST:
        if wilson(share.value * many * worth, many * worth)[0] >= least:
            return many
        many = int(many * 1.1) + 1
    return 0
