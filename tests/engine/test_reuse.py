"""What a trial depends on decides whether it is made again; what it does not depend on never does."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.store import Runs
from tests.conftest import ProjectFolder
from tests.servers import Reply, chat_body, serve


def answer(_: dict[str, Any]) -> Reply:
    return Reply(chat_body("30 days, 50 euros, I can't help with that."))


def at_price(project: ProjectFolder, address: str, dollars: float, **more: Any) -> None:
    """Let the project ask a server whose model costs so much per million tokens."""
    project.configure(
        providers={"own": {"kind": "openai", "base_url": address}},
        prices=[{"model": "served-1", "input": dollars, "output": dollars}, *more.get("prices", [])],
    )
    project.configure_workflow(model="own:served-1", gate={"cost": "10%", "critical": None})


def run(project: ProjectFolder) -> dict[str, Any]:
    done = project.run("run", "--set-baseline", "main", "--format", "json")
    found: dict[str, Any] = json.loads(done.out)["workflows"][0]
    return found


def test_a_reused_trial_costs_what_it_would_cost_now(project: ProjectFolder) -> None:
    with serve(answer) as (address, seen):
        at_price(project, address, 1)
        run(project)
        made = len(seen)
        at_price(project, address, 3)
        verdict = run(project)
        assert len(seen) == made == 24, "a new price is no reason to ask again"
    (before, after) = (folder for folder in Runs(project.path / ".evalkit").all())
    costs = [[trace.cost_microusd for trace in folder.traces()] for folder in (before, after)]
    assert costs == [[15] * 24, [45] * 24]
    cost = next(rule for rule in verdict["rules"] if rule["id"] == "cost")
    assert (cost["status"], verdict["verdict"]) == ("not_comparable", "NOT COMPARABLE")


def test_a_price_that_is_not_in_force_yet_changes_nothing(project: ProjectFolder) -> None:
    with serve(answer) as (address, _):
        at_price(project, address, 1)
        run(project)
        at_price(
            project, address, 1,
            prices=[{"model": "served-1", "valid_from": "2999-01-01", "input": 9, "output": 9}],
        )  # fmt: skip
        verdict = run(project)
    cost = next(rule for rule in verdict["rules"] if rule["id"] == "cost")
    assert (cost["status"], cost["delta"]) == ("pass", 1.0)


def test_keys_that_another_evalkit_found_are_not_believed(project: ProjectFolder) -> None:
    with serve(answer) as (address, seen):
        at_price(project, address, 1)
        run(project)
        (folder,) = Runs(project.path / ".evalkit").all()
        trials = folder.trials()
        keys = pa.array([f"{number:064x}" for number in range(24)])
        place = trials.schema.get_field_index("trial_key")
        pq.write_table(trials.set_column(place, "trial_key", keys), folder.trials_path)
        record = json.loads((folder.path / "run.json").read_bytes())
        (folder.path / "run.json").write_text(json.dumps({**record, "evalkit": "0.0.0"}), encoding="utf-8")
        run(project)
        assert len(seen) == 48, "it may have retrieved other documents, or rendered the prompts otherwise"


def test_fresh_makes_every_trial_again(project: ProjectFolder) -> None:
    with serve(answer) as (address, seen):
        at_price(project, address, 1)
        assert project.run("run", "--set-baseline", "main").code == 0
        assert project.run("run").code == 0
        assert len(seen) == 24
        done = project.run("run", "--fresh")
    assert len(seen) == 48
    assert (done.code, "Proven unchanged" in done.out) == (5, False), "what was made again is new evidence"
