"""The measurement on LLMBar, on rows made up here."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from evalkit.grading import Figure
from evalkit_graders.verification.llmbar import ITEMS, VERIFICATION, VOTES

_SUBSETS = ("Natural", "Manual")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty pairs; one judge agrees with people throughout, the other names what it is shown first."""
    items, votes = [], []
    for number in range(40):
        subset, label = _SUBSETS[number % 2], 1 + number // 2 % 2
        long = 1 + number // 4 % 2
        outputs = {f"output_{place}": "made up " * (3 if place == long else 1) for place in (1, 2)}
        items.append({"subset": subset, "item": number, "input": "?", **outputs, "label": label})
        for judge, said in (("fair", (str(label), str(label))), ("first", ("1", "2"))):
            row = {"subset": subset, "item": number, "evaluator": judge, "label": label}
            votes.append({**row, "prompting": "Vanilla", "w1": said[0], "w2": said[1]})
            votes.append({**row, "prompting": "CoT", "w1": None, "w2": None})
    pd.DataFrame(items).to_parquet(tmp_path / ITEMS)
    pd.DataFrame(votes).to_parquet(tmp_path / VOTES)
    return tmp_path


def measured(folder: Path) -> dict[str, Figure]:
    return {figure.measure: figure for figure in VERIFICATION.measure(folder)}


def test_judges_are_told_apart(folder: Path) -> None:
    found = {name: figure.value for name, figure in measured(folder).items()}
    assert found["fair: agrees with people, Natural"] == found["fair: agrees with people, Manual"] == 1.0
    assert found["first: agrees with people, Manual"] == 0.5
    assert found["fair: says something else when the order changes"] == 0.0
    assert found["first: says something else when the order changes"] == 1.0
    assert found["fair: votes for the answer that is shown first"] == 0.5
    assert found["first: votes for the answer that is shown first"] == 1.0
    assert found["fair: kappa between the two orders"] == found["fair: kappa with people, single votes"] == 1.0
    assert found["first: kappa with people, both orders together"] == 0.0
    assert found["the longer answer: agrees with people, Natural"] == 0.5


def test_figures_are_of_the_judge_and_have_intervals(folder: Path) -> None:
    for figure in measured(folder).values():
        assert (figure.grader, figure.verification) == ("judge", "llmbar")
        assert figure.low <= figure.value <= figure.high


def test_votes_on_other_pairs_are_refused(folder: Path) -> None:
    votes = pd.read_parquet(folder / VOTES)
    votes.assign(label=3 - votes["label"]).to_parquet(folder / VOTES)
    with pytest.raises(ValueError, match="not of the same pairs"):
        list(VERIFICATION.measure(folder))
