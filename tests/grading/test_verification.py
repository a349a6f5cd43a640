"""Measuring graders on labelled data, and holding what is stated against it: through the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from evalkit.cli.main import cli
from evalkit.errors import GraderError
from evalkit.grading import Figure, Verification, verification
from evalkit.grading.verification import differences, dump_figures, read_figures

FIGURE = Figure(
    grader="refusal", version="1", verification="labels", data="labels, 4 answers", measure="accuracy",
    n=4, value=0.75, low=0.3, high=0.954, goal=0.5,
)  # fmt: skip


def _measure(folder: Path) -> Iterator[Figure]:
    right = [line == "right" for line in (folder / "labels.txt").read_text().split()]
    yield FIGURE.model_copy(update={"n": len(right), "value": sum(right) / len(right)})


LABELS = Verification("labels", ("refusal",), ("labels.txt",), "Four answers.", _measure)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One measurement, its data, and figures that state what it came to."""
    monkeypatch.setattr(verification, "verifications", lambda: {"labels": LABELS})
    (tmp_path / "labels.txt").write_text("right right right wrong")
    stated = (FIGURE,)
    monkeypatch.setattr(
        verification, "stated_figures", lambda kind: tuple(item for item in stated if item.grader == kind.name)
    )
    return tmp_path


def verify(folder: Path, *args: str) -> Result:
    return CliRunner().invoke(cli, ["graders", "verify", "--data", str(folder), *args])


def test_what_is_measured_is_printed_with_its_interval_and_goal(registered: Path) -> None:
    result = verify(registered)
    assert result.exit_code == 0, result.output
    row = next(line for line in result.stdout.splitlines() if line.startswith("refusal"))
    assert "0.750" in row
    assert "[0.300, 0.954]" in row
    assert row.endswith("0.5")


def test_a_figure_that_is_no_longer_true_ends_with_one(registered: Path) -> None:
    (registered / "labels.txt").write_text("right right wrong wrong")
    result = verify(registered)
    assert result.exit_code == 1
    assert "stated 0.750 of 4, measured 0.500 of 4" in result.stderr


def test_data_that_is_not_there_is_skipped_in_words(registered: Path) -> None:
    (registered / "labels.txt").unlink()
    result = verify(registered)
    assert result.exit_code == 0
    assert "skipped labels: labels.txt not found" in result.stderr


def test_a_grader_that_nothing_measures_is_refused(registered: Path) -> None:
    result = verify(registered, "cost")
    assert isinstance(result.exception, GraderError)
    assert "nothing measures `cost`" in str(result.exception)


def test_written_figures_take_the_place_of_the_same_measurement(registered: Path) -> None:
    other = FIGURE.model_copy(update={"verification": "elsewhere"})
    old = FIGURE.model_copy(update={"measure": "no longer measured"})
    file = registered / "agreement.yaml"
    file.write_text(dump_figures([other, old]))
    assert verify(registered, "--write", str(file)).exit_code == 0
    assert read_figures(file.read_text(), "it") == (other, FIGURE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "2"}, "stated for version 2"),
        ({"measure": "recall"}, "nothing is stated"),
        ({"n": 5}, "stated 0.750 of 5"),
        ({"value": 0.7502}, None),
    ],
)
def test_what_differs(change: dict[str, Any], said: str | None) -> None:
    found = list(differences([FIGURE], [FIGURE.model_copy(update=change)]))
    assert ([] if said is None else [said]) == [item for item in [said] if item and found and item in found[0]]
    assert len(found) == (said is not None)


@pytest.mark.parametrize("text", ["figures: [{grader: refusal}]", "- 1", "figures: 3", "a: b: c"])
def test_a_file_without_figures_is_refused_by_name(text: str) -> None:
    with pytest.raises(GraderError, match=r"agreement\.yaml"):
        read_figures(text, "agreement.yaml")


def test_figures_survive_their_file() -> None:
    assert read_figures(dump_figures([FIGURE]), "it") == (FIGURE,)
    assert yaml.safe_load(dump_figures([FIGURE]))["figures"][0]["value"] == 0.75
