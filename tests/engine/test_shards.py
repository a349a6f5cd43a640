"""Shards of a run on several machines, put together: the same run, the same verdict."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from evalkit.engine.prepare import RunOptions
from evalkit.errors import ExitCode, UsageError
from evalkit.session import run_project
from evalkit.store import Runs
from evalkit.workflow import load_project
from tests.conftest import ONE_TRIAL, ProjectFolder
from tests.servers import serve

from .runs import equal_parts, slow_project, verdict_of
from .test_resume import dear

OLD, NEW = "You are a shop assistant.", "You are a good shop assistant."


@pytest.fixture
def with_baseline(make_project: Callable[..., ProjectFolder]) -> ProjectFolder:
    """A project with a baseline and a changed prompt."""
    project = make_project(trials=2, gate=ONE_TRIAL)
    assert project.run("run", "--set-baseline", "main", "--quiet").code == ExitCode.PASS
    project.edit("prompt.md", OLD, NEW)
    return project


def machines(project: ProjectFolder, tmp_path: Path, count: int) -> list[ProjectFolder]:
    """Copies of a project, each of which makes a shard."""
    made = []
    for number in range(1, count + 1):
        copy = ProjectFolder(tmp_path / f"machine-{number}")
        shutil.copytree(project.path, copy.path)
        done = copy.run("run", "--shard", f"{number}/{count}")
        assert done.code == 0, done.err
        assert f"shop: shard {number}/{count} is run " in done.out
        made.append(copy)
    return made


@pytest.mark.parametrize("count", [2, 5])
def test_merged_shards_give_the_verdict_of_one_machine(
    with_baseline: ProjectFolder, tmp_path: Path, count: int
) -> None:
    project = with_baseline
    shards = machines(project, tmp_path, count)
    places = [str(copy.path / ".evalkit") for copy in shards]
    merged = project.run("merge", *places, "--format", "json")
    alone = ProjectFolder(tmp_path / "alone")
    shutil.copytree(shards[0].path, alone.path)
    shutil.rmtree(alone.path / ".evalkit" / "runs" / Runs(alone.path / ".evalkit").get("latest").path.name)
    whole = alone.run("run", "--format", "json")
    assert merged.code == whole.code, merged.err + whole.err
    assert equal_parts(verdict_of(merged.out)) == equal_parts(verdict_of(whole.out))
    run = Runs(project.path / ".evalkit").get("latest").run
    assert (run.trials, run.selection, run.shard, run.model_calls) == (48, "all", "", 48)
    assert (project.path / "reports" / "out" / f"{run.run_id}.html").exists()


def test_a_missing_shard_is_never_a_verdict(with_baseline: ProjectFolder, tmp_path: Path) -> None:
    first, *_ = machines(with_baseline, tmp_path, 2)
    done = with_baseline.run("merge", str(first.path / ".evalkit"))
    assert done.code == ExitCode.USAGE
    assert "of the newest shards of shop, 2/2 are missing" in done.err


def test_shards_of_another_configuration_do_not_count(with_baseline: ProjectFolder, tmp_path: Path) -> None:
    first, second = machines(with_baseline, tmp_path, 2)
    third = ProjectFolder(tmp_path / "third")
    shutil.copytree(with_baseline.path, third.path)
    third.edit("prompt.md", NEW, "You are something else.")
    third.run("run", "--shard", "2/2")
    done = with_baseline.run("merge", str(first.path), str(third.path))
    assert done.code == ExitCode.USAGE
    assert "are missing" in done.err
    done = with_baseline.run("merge", str(first.path), str(second.path), "--format", "json")
    assert verdict_of(done.out)["changes"], "the shards that fit together are taken"


def test_shards_of_yesterday_do_not_stand_in_for_one_that_is_missing_today(with_baseline: ProjectFolder) -> None:
    for part in ("1/2", "2/2"):
        assert with_baseline.run("run", "--shard", part).code == 0
    old = [folder.path for folder in Runs(with_baseline.path / ".evalkit").all()[-2:]]
    with_baseline.edit("prompt.md", NEW, "You are a shop assistant who lies.")
    assert with_baseline.run("run", "--shard", "1/2").code == 0
    done = with_baseline.run("merge")
    assert done.code == ExitCode.USAGE, done.out
    assert "2/2 are missing" in done.err
    named = with_baseline.run("merge", *map(str, old), "--format", "json")
    assert verdict_of(named.out)["trials"] == 48, "whoever means the old ones names them"


def git(project: ProjectFolder, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments],
        cwd=project.path, check=True, capture_output=True,
    )  # fmt: skip


def test_shards_of_a_branch_become_no_baseline_because_they_are_merged_on_main(
    project: ProjectFolder, tmp_path: Path
) -> None:
    project.write(".gitignore", ".evalkit/\nreports/\n")
    git(project, "init", "-q", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "base")
    branch = ProjectFolder(tmp_path / "branch")
    shutil.copytree(project.path, branch.path)
    git(branch, "checkout", "-q", "-b", "topic")
    branch.edit("prompt.md", OLD, NEW)
    git(branch, "commit", "-q", "-am", "change")
    for where in (branch, project):
        for part in ("1/2", "2/2"):
            assert where.run("run", "--shard", part).code == 0
    foreign = verdict_of(project.run("merge", str(branch.path), "--format", "json").out)
    own = verdict_of(project.run("merge", "--format", "json").out)
    assert (foreign["became_baseline"], own["became_baseline"]) == ("", "main")


def test_a_shard_that_was_cut_off_goes_on_as_one(project: ProjectFolder) -> None:
    with serve(dear) as (address, seen):
        for again in (
            ("--resume",),
            ("--resume", "--shard", "1/2", "--trials", "2"),
            ("--shard", "1/2", "--trials", "2"),
        ):
            slow_project(project, address, 1, budget={"per_run": "$5"})
            seen.clear()
            assert project.run("run", "--shard", "1/2", "--trials", "2").code == ExitCode.BUDGET
            project.configure_workflow(budget={})
            assert project.run("run", "--resume", "--shard", "2/2", "--trials", "2").code == ExitCode.USAGE
            done = project.run("run", *again)
            assert done.code == 0, done.err
            assert "shop: shard 1/2 is run " in done.out
            assert "24 trials, 0 reused" in done.out
            assert len(seen) == 24
            shutil.rmtree(project.path / ".evalkit")


@pytest.mark.parametrize(
    "said", [("--sample", "7"), ("--trials", "3"), ("--fresh",), ("--cases", "answer-000,address-005,answer-003")]
)
def test_shards_of_a_part_are_put_together_as_that_part(project: ProjectFolder, said: tuple[str, ...]) -> None:
    project.configure_workflow(gate=ONE_TRIAL)
    store = project.path / ".evalkit"
    assert project.run("run", "--set-baseline", "main", "--quiet").code == ExitCode.PASS
    for part in ("1/2", "2/2"):
        assert project.run("run", "--shard", part, *said).code == 0
    made = [folder.run for folder in Runs(store).all()[-2:]]
    merged = project.run("merge", "--format", "json")
    whole = project.run("run", *said, "--format", "json")
    assert merged.code == whole.code, merged.err
    one, other = (folder.run for folder in Runs(store).all()[-2:])
    assert (one.selection, one.trials, one.trials_per_case) == (other.selection, other.trials, other.trials_per_case)
    assert one.reused == sum(run.reused for run in made)
    if said[0] == "--fresh":
        assert one.reused == 0


def test_more_shards_than_cases_leave_some_of_them_empty(make_project: Callable[..., ProjectFolder]) -> None:
    project = make_project(count=3, gate={"margin": "5pt", "critical": 0, "min_cases": 1})
    for number in range(1, 6):
        done = project.run("run", "--shard", f"{number}/5")
        assert done.code == 0, done.err
    assert verdict_of(project.run("merge", "--format", "json").out)["trials"] == 3


def test_what_shards_have_made_is_proven_unchanged_afterwards(with_baseline: ProjectFolder, tmp_path: Path) -> None:
    project = with_baseline
    places = [str(copy.path / ".evalkit") for copy in machines(project, tmp_path, 2)]
    assert project.run("merge", *places).code != ExitCode.USAGE
    assert project.run("baseline", "set", "main", "latest", "--reason", "made on two machines").code == 0
    again = project.run("run", "--format", "json")
    verdict = verdict_of(again.out)
    assert (again.code, verdict["reused"], verdict["model_calls"]) == (ExitCode.PASS, 48, 0)
    assert verdict["baseline_run"] == Runs(project.path / ".evalkit").all()[-2].run.run_id
    assert "Proven unchanged" in project.run("run").out
    project.edit("cases.jsonl", "kettle number 0", "big kettle number 0")
    changed = verdict_of(project.run("run", "--format", "json").out)
    assert (changed["reused"], changed["model_calls"]) == (46, 2)


@pytest.mark.parametrize("damage", ["twice", "lost", "no scores"])
def test_a_damaged_shard_is_never_a_run(with_baseline: ProjectFolder, damage: str) -> None:
    for part in ("1/2", "2/2"):
        assert with_baseline.run("run", "--shard", part).code == 0
    runs = Runs(with_baseline.path / ".evalkit")
    count = len(runs.all())
    folder = runs.get("latest").path
    if damage == "no scores":
        next(folder.glob("scores-*.parquet")).unlink()
    for name in ("trials", "traces"):
        table = pq.read_table(folder / f"{name}.parquet")
        if damage == "twice":
            table = pa.concat_tables([table.slice(0, 1), table.slice(0, 1), table.slice(2)])
        elif damage == "lost":
            table = table.slice(2)
        pq.write_table(table, folder / f"{name}.parquet")
    done = with_baseline.run("merge")
    assert done.code == ExitCode.ERROR, done.out
    assert "Traceback" not in done.err
    assert len(runs.all()) == count
    assert not list((with_baseline.path / ".evalkit" / "partial").iterdir())


def test_without_places_the_shards_of_the_project_itself_are_merged(with_baseline: ProjectFolder) -> None:
    assert with_baseline.run("merge").code == ExitCode.USAGE
    for part in ("1/2", "2/2"):
        assert with_baseline.run("run", "--shard", part).code == 0
    done = with_baseline.run("merge", "--set-baseline", "main", "--format", "json")
    verdict = verdict_of(done.out)
    assert verdict["trials"] == 48
    assert bool(verdict["became_baseline"]) == (done.code == ExitCode.PASS)


def test_a_set_that_was_merged_before_is_not_judged_with_a_newer_one(project: ProjectFolder) -> None:
    shop = yaml.safe_load((project.path / "evalkit.yaml").read_text(encoding="utf-8"))["workflows"]["shop"]
    project.configure(workflows={"shop": shop, "shop2": shop})

    def made(*names: str) -> None:
        for part in ("1/2", "2/2"):
            assert project.run("run", *names, "--shard", part).code == 0

    def judged(*said: str) -> list[str]:
        found = json.loads(project.run("merge", *said, "--format", "json").out)["workflows"]
        return [verdict["workflow"] for verdict in found]

    made("shop", "shop2")
    assert judged() == judged() == ["shop", "shop2"]
    made("shop")
    assert judged() == judged() == ["shop"]
    assert judged("--workflow", "shop2") == ["shop2"]


def test_stores_that_hold_different_cases_under_one_name_are_never_a_run(
    with_baseline: ProjectFolder, tmp_path: Path
) -> None:
    shards = machines(with_baseline, tmp_path, 2)
    (file,) = (shards[1].path / ".evalkit" / "cases").iterdir()
    table = pq.read_table(file)
    uncritical = pa.array([False] * len(table))
    pq.write_table(table.set_column(table.schema.get_field_index("critical"), "critical", uncritical), file)
    done = with_baseline.run("merge", *(str(copy.path) for copy in shards))
    assert done.code == ExitCode.ERROR, done.out
    assert "holds other cases" in done.err
    assert not list((with_baseline.path / ".evalkit" / "partial").iterdir())


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_what_is_no_shard_is_refused(project: ProjectFolder, text: str) -> None:
    done = project.run("run", "--shard", text)
    assert done.code == ExitCode.USAGE
    assert "--shard" in done.err


def test_a_shard_is_not_judged_alone(project: ProjectFolder) -> None:
    with pytest.raises(UsageError, match="judged with the others"):
        run_project(load_project(project.path), options=RunOptions(shard="1/2"))
    assert project.run("run", "--shard", "1/2", "--set-baseline", "main").code == ExitCode.USAGE
    assert project.run("baseline", "set", "main", "latest", "--reason", "x").code == ExitCode.USAGE
