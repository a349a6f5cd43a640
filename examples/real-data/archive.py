"""What the three examples share: a project around an archive of recorded answers, made through the public API.

A user with an archive does the same: cases become a golden set, each model's answers become a
recording that stands in for the model, and an upgrade is a change of the model pin.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from evalkit.gate import Verdict
from evalkit.gate.compare import compare_stored_runs, judge_stored_run
from evalkit.gate.report import Report, renderer
from evalkit.goldens import Card, build
from evalkit.records import Case
from evalkit.session import Outcome, run_project, write_report
from evalkit.store import RunFolder
from evalkit.workflow import load_project

__all__ = ["Archive", "read_rows", "require", "verdicts"]

RECORDING = pa.schema(
    [
        ("case_id", pa.string()),
        ("output", pa.string()),
        ("tool_calls", pa.string()),
        ("model", pa.string()),
        ("input_tokens", pa.float64()),
        ("output_tokens", pa.float64()),
        ("latency_s", pa.float64()),
        ("cost_usd", pa.float64()),
    ]
)


def require(folder: Path, *names: str) -> None:
    """Say in a word that the data is not there, and stop without failing."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        print(f"skipped: {', '.join(missing)} not found in {folder}")
        sys.exit(0)


def read_rows(path: Path, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Rows of a Parquet file."""
    rows: list[dict[str, Any]] = pq.read_table(path, columns=columns).to_pylist()
    return rows


def verdicts(run: RunFolder, grader: str) -> dict[str, bool | None]:
    """What a grader said of each case of a run."""
    return {score.case_id: score.passed for score in run.scores() if score.grader == grader}


class Archive:
    """A project made from recorded answers.

    Args:
        folder: Where it is made.
        workflow: Name of its only workflow.
        settings: Further keys of the workflow: graders, gate, tool_calls.
    """

    def __init__(self, folder: Path, workflow: str, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.workflow = workflow
        self._settings = dict(settings)
        self._models: dict[str, str] = {}

    def add_cases(self, cases: Iterable[Case], licence: str) -> None:
        """Build the golden set."""
        card = Card(
            name=self.workflow,
            owner="the archive",
            contact="archive@example.com",
            licence=licence,
            refresh_due=dt.date(2099, 1, 1),
        )
        build(cases, self.folder / "goldenset", "archive", card=card, today=dt.date(2026, 1, 1))

    def add_answers(self, model: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the recording of one model."""
        name = f"m{len(self._models)}"
        complete = [{field.name: row.get(field.name) for field in RECORDING} for row in rows]
        pq.write_table(pa.Table.from_pylist(complete, schema=RECORDING), self.folder / f"{name}.parquet")
        self._models[model] = name

    @property
    def models(self) -> list[str]:
        """Models with a recording."""
        return list(self._models)

    def run(self, model: str, *, as_baseline: bool = False) -> Outcome:
        """Pin a model and run the golden set through its recording."""
        provider = self._models[model]
        config = {
            "workflows": {self.workflow: {"golden_set": "goldenset", "model": f"{provider}:{model}", **self._settings}},
            "providers": {name: {"kind": "replay", "path": f"{name}.parquet"} for name in self._models.values()},
        }
        (self.folder / "evalkit.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        project = load_project(self.folder)
        return run_project(project, set_baseline="main" if as_baseline else None)[0]

    def compare(self, before: str, after: str) -> Verdict:
        """Compare two stored runs by their ids."""
        return compare_stored_runs(load_project(self.folder), before, after)

    def judge(self, before: Outcome, after: Outcome) -> Verdict:
        """Judge a stored run by the gate against another one."""
        return judge_stored_run(load_project(self.folder), after.run, before.run.run.run_id)

    def show(self, verdict: Verdict, *, judged: bool = True) -> None:
        """Print the verdict, and write the HTML report where there is one."""
        path = str(write_report(load_project(self.folder), [verdict])) if judged else ""
        print(renderer("terminal")(Report((verdict,), report_path=path, judged=judged, width=140)))
