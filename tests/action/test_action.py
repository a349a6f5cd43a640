"""The GitHub Action, run for real: each job on a machine of its own, against a repository, caches and artifacts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.action.conftest import Repository
from tests.action.runner import Event, Finished, git
from tests.conftest import REFUSAL_RULE

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(600)
"""Each job starts Python several times."""
NUMBERS = ("regressed", "improved", "cost-usd")


def verdict_of(done: Finished) -> Mapping[str, Any]:
    """The verdict on the only workflow, as the action keeps it."""
    data = json.loads(Path(done.outputs["verdict-path"]).read_text(encoding="utf-8"))
    assert data["verdict"] == done.outputs["verdict"]
    verdict: Mapping[str, Any]
    (verdict,) = data["workflows"]
    return verdict


def judged(done: Finished, code: int, verdict: str) -> None:
    assert (done.code, done.outputs["exit-code"], done.outputs["verdict"]) == (code, str(code), verdict), done.log


def test_a_push_to_main_makes_the_baseline_and_keeps_it_on_a_branch(repository: Repository) -> None:
    done = repository.service.act(Event("push", repository.main))
    judged(done, 0, "NOT COMPARABLE")
    origin = repository.service.origin
    assert git(origin, "branch", "--format=%(refname:short)").split() == ["evalkit-baseline", "main"]
    assert "Evalkit-Baseline-Sha256: " in git(origin, "show", "-s", "--format=%B", "evalkit-baseline")
    assert not repository.service.caches, "the baseline does not depend on a cache"
    again = repository.service.act(repository.push())
    judged(again, 0, "PASS")
    assert verdict_of(again)["model_calls"] == 0
    repository.edit("prompt.md", REFUSAL_RULE, "")
    kept = git(origin, "rev-parse", "evalkit-baseline")
    broken = repository.service.act(repository.push())
    judged(broken, 1, "BLOCKED")
    assert "Keep the baseline" not in broken.steps
    assert git(origin, "rev-parse", "evalkit-baseline") == kept, "main that breaks does not become the baseline"


def test_a_pull_request_without_a_change_passes_without_a_call(kept: Repository) -> None:
    done = kept.service.act(kept.pull_request())
    judged(done, 0, "PASS")
    assert verdict_of(done)["model_calls"] == 0
    assert "Proven unchanged" in done.summary
    assert {name: done.outputs[name] for name in NUMBERS} == {"regressed": "0", "improved": "0", "cost-usd": "0.000000"}
    assert Path(done.outputs["report-path"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert set(kept.service.artifacts) == {"evalkit-report.html", "evalkit-report.json"}
    words = done.calls.splitlines()
    assert words[0] == "token=token-that-writes"
    assert words[words.index("--when") + 1] == "changed"
    assert words[words.index("--report-url") + 1] == done.outputs["report-url"] != ""
    assert words[-1] == done.outputs["run-id"]


def test_a_pull_request_of_documentation_passes_without_a_call(kept: Repository) -> None:
    kept.edit("README.md", "A shop", "A fine shop")
    digest = git(kept.service.origin, "show", "-s", "--format=%B", "evalkit-baseline").rpartition(": ")[2]
    done = kept.service.act(kept.pull_request(), comment="never", **{"baseline-sha256": digest})
    judged(done, 0, "PASS")
    assert verdict_of(done)["model_calls"] == 0
    assert done.steps[-1] == "Verdict", "the check reports, whatever was changed"
    assert not done.calls


def test_a_pull_request_that_breaks_a_prompt_is_blocked_once_and_again(kept: Repository) -> None:
    """What was run is not paid twice; and whoever writes its cache cannot choose what it is compared with."""
    kept.edit("prompt.md", REFUSAL_RULE, "")
    pull = kept.pull_request()
    done = kept.service.act(pull)
    judged(done, 1, "BLOCKED")
    assert int(done.outputs["regressed"]) == 4
    assert float(done.outputs["cost-usd"]) > 0
    assert done.outputs["run-id"] == verdict_of(done)["candidate_run"]
    assert "address-005" in done.summary
    assert "::error file=prompt.md" in done.log
    assert "Keep the report" in done.steps, "the report is kept whatever the verdict"
    _, _, folder = kept.service.caches[-1]
    shutil.copytree(done.workspace / ".evalkit", folder / ".evalkit", dirs_exist_ok=True)
    (baseline,) = (folder / ".evalkit" / "baselines").glob("*/main.json")
    data = json.loads(baseline.read_text(encoding="utf-8"))
    data["history"].append({**data["history"][0], "run_id": done.outputs["run-id"], "accepted_us": 2**60})
    baseline.write_text(json.dumps(data), encoding="utf-8")
    again = kept.service.act(pull)
    judged(again, 1, "BLOCKED")
    assert verdict_of(done)["model_calls"] != 0
    assert verdict_of(again)["model_calls"] == 0


def test_a_pull_request_that_changes_a_route_runs_what_it_touches(kept: Repository) -> None:
    kept.edit("routes.yaml", "rules:\n", "rules:\n  - {id: save, when: {intent: [delivery]}, route: cheap}\n")
    done = kept.service.act(kept.pull_request())
    judged(done, 1, "BLOCKED")
    verdict = verdict_of(done)
    assert [change["kind"] for change in verdict["changes"]] == ["routes"]
    touched = [case["case_id"] for case in verdict["cases"] if case["touched"]]
    assert touched
    assert all(int(case_id[-3:]) % 2 == 0 for case_id in touched), "the others take the route that they took"
    assert verdict["reused"], "and are not run again"


def test_a_fork_is_judged_without_a_token_and_the_merge_queue_without_its_cache(kept: Repository) -> None:
    kept.edit("prompt.md", REFUSAL_RULE, "")
    kept.service.comment_code = 19
    branch = git(kept.service.origin, "rev-parse", "evalkit-baseline")
    pull = kept.pull_request("patch", fork=True)
    done = kept.service.act(replace(pull, branch="main"))
    judged(done, 1, "BLOCKED")
    assert "could not comment" in done.log
    assert "token-that-writes" not in done.calls + done.log
    assert git(kept.service.origin, "rev-parse", "evalkit-baseline") == branch, (
        "no baseline, whatever its branch's name"
    )
    queued = kept.service.act(kept.queued(pull))
    judged(queued, 1, "BLOCKED")
    assert queued.steps == ["Fetch the baseline", "Run and judge", "Keep the report", "Keep the verdicts", "Verdict"]
    assert verdict_of(queued)["model_calls"] != 0, "what a pull request brought along counts for nothing here"


def test_trials_that_contradict_the_baseline_are_left_behind(kept: Repository, run_once: Repository) -> None:
    folder = kept.service.folder / "poisoned"
    shutil.copytree(run_once.service.folder / "machine-1" / "work" / ".evalkit" / "runs", folder / ".evalkit" / "runs")
    for traces in folder.glob(".evalkit/runs/*/traces.parquet"):
        traces.write_bytes(b"PAR1")
    pull = kept.pull_request()
    kept.service.caches.append((pull.ref, f"evalkit-trials-{pull.number}-evalkit-report.html--7-1", folder))
    done = kept.service.act(pull)
    assert "once more, without the trials" in done.log
    judged(done, 0, "PASS")


def test_without_a_baseline_nothing_passes(repository: Repository) -> None:
    done = repository.service.act(repository.pull_request())
    judged(done, 4, "NOT COMPARABLE")
    assert "--set-baseline main" in done.summary


def test_the_base_is_run_where_no_baseline_is_kept(repository: Repository) -> None:
    pull = repository.pull_request()
    done = repository.service.act(pull, **{"baseline-ref": pull.base})
    judged(done, 0, "PASS")
    assert f"running {pull.base} for one" in done.log
    assert git(done.workspace, "worktree", "list").count("\n") == 0, "the worktree of the baseline is removed"


def test_a_baseline_with_another_digest_stops_everything(kept: Repository) -> None:
    pull = kept.pull_request()
    judged(kept.service.act(pull, **{"baseline-sha256": "0" * 64}), 3, "ERROR")
    work = kept.service.folder / "tamper"
    git(kept.service.folder, "clone", "-q", "-b", "evalkit-baseline", str(kept.service.origin), str(work))
    archive = work / "baseline.tar"
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    git(work, "commit", "-q", "--amend", "--no-edit", "-a")
    git(work, "push", "-q", "--force", "origin", "evalkit-baseline")
    done = kept.service.act(pull, **{"baseline-ref": pull.base})
    judged(done, 3, "ERROR")
    assert "SHA-256" in done.log
    assert "nothing was run" in done.summary
    assert "for one" not in done.log, "no other baseline takes its place"


def test_a_matrix_makes_shards_and_one_job_judges(kept: Repository) -> None:
    kept.edit("prompt.md", REFUSAL_RULE, "")
    pull = kept.pull_request()
    shards = kept.service.folder / "shards"
    for part in ("1/2", "2/2"):
        done = kept.service.act(pull, shard=part)
        assert (done.code, done.outputs["verdict"]) == (0, ""), done.log
        assert "Keep the report" not in done.steps
        name = f"evalkit-shard-{part[0]}-of-2"
        assert {path.name for path in kept.service.artifacts[name].iterdir()} == {"cases", "runs"}
        assert len(list((kept.service.artifacts[name] / "runs").iterdir())) == 1, "the shard alone"
        shutil.copytree(kept.service.artifacts[name], shards / name)
    judged(kept.service.act(pull, merge=str(shards)), 1, "BLOCKED")
    shutil.rmtree(shards / "evalkit-shard-2-of-2")
    judged(kept.service.act(pull, merge=str(shards)), 2, "ERROR")


def test_an_error_of_the_project_is_no_pass(kept: Repository) -> None:
    kept.edit("evalkit.yaml", "prompt.md", "nowhere.md")
    done = kept.service.act(kept.pull_request())
    assert (done.code, done.outputs["verdict"], done.outputs["report-path"]) == (12, "ERROR", "")
    assert "evalkit: ERROR" in done.summary


HOSTILE = "shop; touch {trap} $(touch {trap}) `touch {trap}` && touch {trap} | tee {trap} > {trap} \"' \\ * ${{HOME}}"
WHOLE = ("project", "install", "baseline", "baseline-sha256")
"""Inputs that arrive as one argument; the others are words by blank, or are no arguments."""
INPUTS = (
    *WHOLE,
    "workflows",
    "arguments",
    "baseline-ref",
    "merge",
    "comment",
    "simulate",
    "keep-trials",
    "report-name",
)


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_are_arguments_and_never_commands(name: str, repository: Repository) -> None:
    # a short path: the value becomes part of a cache key, which has 512 characters at most
    folder = TemporaryDirectory()
    trap = Path(folder.name) / "trap"
    value = HOSTILE.format(trap=trap)
    repository.service.dry = True
    done = repository.service.act(repository.pull_request(), **{"comment": "never", name: value})
    assert not trap.exists()
    assert done.steps[-1] == "Verdict"
    words = done.calls.splitlines()
    if name in WHOLE:
        assert value in words
    if name in ("workflows", "arguments"):
        assert all(word in words for word in value.split())
    folder.cleanup()


def test_a_branch_name_is_never_a_command(repository: Repository) -> None:
    trap = repository.service.folder / "trap"
    repository.service.dry = True
    repository.service.act(replace(repository.pull_request(), branch=f"$(touch${{IFS}}{trap})`touch {trap}`"))
    assert not trap.exists()


def test_a_run_that_says_nothing_is_no_pass(repository: Repository) -> None:
    """Whatever the exit code of evalkit: a verdict that was not said is none."""
    repository.service.dry = True
    done = repository.service.act(repository.pull_request())
    assert done.outputs["verdict"] == "ERROR"
    assert done.code == 3


def test_git_gets_the_token_by_its_environment_alone(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    script = f". '{ROOT}/action/git-token.sh'; git config --get-all http.https://g.example/.extraheader; env"
    environment = {**os.environ, "GH_TOKEN": "t0p", "GITHUB_SERVER_URL": "https://g.example"}

    def asked() -> list[str]:
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    assert asked()[0] == "AUTHORIZATION: basic eC1hY2Nlc3MtdG9rZW46dDBw"
    assert "t0p" not in (tmp_path / ".git" / "config").read_text(encoding="utf-8")
    git(tmp_path, "config", "http.https://g.example/.extraheader", "AUTHORIZATION: mine")
    said = asked()
    assert said[0] == "AUTHORIZATION: mine", "two such headers would be refused"
    assert not [line for line in said if line.startswith("GIT_CONFIG_COUNT")]
