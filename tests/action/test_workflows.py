"""The workflows: valid by GitHub's schemas, clean by zizmor, and their jobs run for real."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.action.conftest import Repository
from tests.action.expressions import Expressions
from tests.action.runner import Event, parse_outputs
from tests.conftest import REFUSAL_RULE, ProjectFolder, clean_environment

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEMPLATE = ROOT / "evalkit" / "cli" / "templates" / "init" / ".github" / "workflows" / "evals.yml"
ACTION = ROOT / "action.yml"
FILES = [ACTION, *WORKFLOWS, TEMPLATE]
EVALS = ROOT / ".github" / "workflows" / "evals.yml"
DOCS = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def load(text: str) -> dict[str, Any]:
    """A workflow, with the key `on` under its name: YAML 1.1 reads it as true."""
    data: dict[Any, Any] = yaml.safe_load(text)
    return {"on" if key is True else key: value for key, value in data.items()}


def schema_of(name: str) -> Any:
    """A schema that check-jsonschema brings along; the package itself is not needed, and not imported."""
    package = find_spec("check_jsonschema")
    assert package, "check-jsonschema is a tool for development: make test installs it"
    assert package.origin
    file = Path(package.origin).parent / "builtin_schemas" / "vendor" / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8"))


def mistakes(data: Any, schema: str) -> list[str]:
    kind = schema_of(schema)
    return [error.message[:300] for error in jsonschema.validators.validator_for(kind)(kind).iter_errors(data)]


@pytest.mark.parametrize("path", FILES, ids=named)
def test_files_are_valid_by_the_schemas_of_github(path: Path) -> None:
    schema = "github-actions" if path == ACTION else "github-workflows"
    data = load(path.read_text(encoding="utf-8"))
    assert mistakes(data, schema) == []
    del data["runs" if path == ACTION else "jobs"]
    assert mistakes(data, schema), "the schema says what must be there"


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)


def test_snippets_in_the_documentation_are_valid_too() -> None:
    found = [load(text) for text in snippets("yaml")]
    kinds = ["github-workflows" if "on" in data else "gitlab-ci" for data in found]
    assert kinds.count("github-workflows") >= 2
    assert kinds.count("gitlab-ci") == 1
    for data, kind in zip(found, kinds, strict=True):
        assert mistakes(data, kind) == []


@pytest.mark.parametrize("persona", ["regular", "pedantic"])
def test_zizmor_finds_nothing(persona: str, tmp_path: Path) -> None:
    zizmor = shutil.which("zizmor", path=str(Path(sys.executable).parent)) or shutil.which("zizmor")
    assert zizmor, "zizmor is a tool for development: make test installs it"
    template = tmp_path / ".github" / "workflows" / "evals.yml"
    template.parent.mkdir(parents=True)
    text = TEMPLATE.read_text(encoding="utf-8")
    assert text.count("evalkit/evalkit@main # pin a commit") == text.count("evalkit/evalkit@")
    template.write_text(text.replace("@main # pin a commit", f"@{'0' * 40}"), encoding="utf-8")
    command = [zizmor, "--offline", "--no-progress", "--persona", persona, "--format", "json", "--no-exit-codes"]
    inputs = [ACTION, *WORKFLOWS, template]
    done = subprocess.run([*command, *map(str, inputs)], capture_output=True, text=True, check=True)
    findings = [
        (finding["ident"], location["symbolic"]["key"])
        for finding in json.loads(done.stdout)
        if not finding["ignored"]
        for location in finding["locations"][:1]
    ]
    assert findings == []
    template.write_text("on: pull_request_target\njobs: {a: {runs-on: x, steps: [{uses: a/b@main}]}}", encoding="utf-8")
    bad = subprocess.run([*command, str(template)], capture_output=True, text=True, check=True)
    assert {"dangerous-triggers", "unpinned-uses"} <= {finding["ident"] for finding in json.loads(bad.stdout)}


def steps(path: Path) -> list[dict[str, Any]]:
    """All steps of an action or workflow."""
    data = load(path.read_text(encoding="utf-8"))
    if "runs" in data:
        found: list[dict[str, Any]] = data["runs"]["steps"]
        return found
    return [step for job in data["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", FILES, ids=named)
def test_no_expression_reaches_a_shell_and_every_action_is_pinned(path: Path) -> None:
    for step in steps(path):
        assert "${{" not in step.get("run", ""), "an expression in a script is an injection"
        uses = step.get("uses", "./")
        if not uses.startswith("./") and "pin a commit" not in path.read_text(encoding="utf-8").partition(uses)[2][:20]:
            assert re.fullmatch("[0-9a-f]{40}", uses.partition("@")[2])


@pytest.mark.parametrize("path", [*WORKFLOWS, TEMPLATE], ids=named)
def test_workflows_have_no_rights_by_default_end_in_time_and_run_one_at_a_time(path: Path) -> None:
    data = load(path.read_text(encoding="utf-8"))
    assert data["permissions"] == {}
    assert "pull_request_target" not in data["on"]
    for job in data["jobs"].values():
        assert "permissions" in job
        assert job["timeout-minutes"] <= 240
    group, cancels = data["concurrency"]["group"], data["concurrency"]["cancel-in-progress"]
    if "pull_request" in data["on"]:
        assert "merge_group" in data["on"], "a merge queue would wait for ever"
        assert not (data["on"]["pull_request"] or {}).get("paths"), "a check that is skipped by path never reports"
        assert cancels == "${{ github.event_name == 'pull_request' }}"
        assert "pull_request.number" in group
    else:
        assert cancels is False, "who writes a baseline, or decides on a canary, is not cut off"


def test_only_main_may_write_the_repository() -> None:
    for path in WORKFLOWS:
        data = load(path.read_text(encoding="utf-8"))
        writes = [job for job in data["jobs"].values() if job["permissions"].get("contents") == "write"]
        assert not writes or data["on"] == {"push": {"branches": ["main"]}}
    for name, job in load(TEMPLATE.read_text(encoding="utf-8"))["jobs"].items():
        assert (job["permissions"].get("contents") == "write") == (name == "baseline")
        assert (job.get("if") == "github.event_name == 'push'") == (name == "baseline")


def test_the_second_stage_runs_nothing_of_the_pull_request() -> None:
    (job,) = load((ROOT / ".github" / "workflows" / "evals-comment.yml").read_text(encoding="utf-8"))["jobs"].values()
    checkout = job["steps"][0]["with"]
    assert "ref" not in checkout
    assert "repository" not in checkout
    run = {"event": "pull_request", "head_repository": {"full_name": "fork/r"}, "head_sha": "x"}
    for changed, runs in (({}, True), ({"event": "push"}, False), ({"head_repository": {"full_name": "o/r"}}, False)):
        event = {"workflow_run": {**run, **changed}}
        assert Expressions({"github": {"event": event, "repository": "o/r"}}).holds(job["if"]) is runs


# ---- run for real


@pytest.mark.timeout(600)
def test_evals_judges_a_pull_request_and_its_gate_has_the_last_word(kept: Repository) -> None:
    kept.edit("prompt.md", REFUSAL_RULE, "")
    pull = kept.pull_request()
    done = kept.service.job(EVALS, "evaluate", pull, simulate="false")
    assert (done.code, done.outputs["verdict"]) == (1, "BLOCKED")
    for result, code in (("success", 0), ("failure", 1), ("skipped", 1), ("cancelled", 1)):
        needs = {"evaluate": {"result": result, "outputs": {"verdict": "$(exit 0)"}}}
        assert kept.service.job(EVALS, "gate", pull, needs=needs).code == code


@pytest.mark.timeout(600)
def test_baseline_keeps_what_is_merged(repository: Repository) -> None:
    workflow = ROOT / ".github" / "workflows" / "baseline.yml"
    done = repository.service.job(workflow, "baseline", Event("push", repository.main), simulate="false")
    assert done.code == 0, done.log
    assert done.steps[-2:] == ["Keep the baseline", "Verdict"]


GH = """\
#!/bin/sh
case "$2" in
  */artifacts?per_page=100) cat "$FAKE/list" ;;
  */zip) cat "$FAKE/file" ;;
  *) exit 1 ;;
esac
"""


@pytest.fixture
def fetch(tmp_path: Path) -> Any:
    """Runs the script that fetches the verdicts of a fork's run, against an imitation of `gh`."""
    (tmp_path / "gh").write_text(GH, encoding="utf-8")
    (tmp_path / "gh").chmod(0o755)

    def run(listed: str, content: bytes, most: int = 1000) -> tuple[int, bytes | None, str]:
        (tmp_path / "list").write_text(listed, encoding="utf-8")
        (tmp_path / "file").write_bytes(content)
        (tmp_path / "out").write_text("", encoding="utf-8")
        environment = {
            **clean_environment(), "FAKE": str(tmp_path), "RUN": "7", "RUNNER_TEMP": str(tmp_path / "temp"),
            "GITHUB_REPOSITORY": "o/r", "GITHUB_OUTPUT": str(tmp_path / "out"), "MOST_BYTES": str(most),
        }  # fmt: skip
        environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
        script = str(ROOT / "action" / "fetch-verdict.sh")
        done = subprocess.run(
            ["bash", script], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
        )
        outputs = parse_outputs((tmp_path / "out").read_text(encoding="utf-8"))
        found = Path(outputs["path"]).read_bytes() if "path" in outputs else None
        return done.returncode, found, done.stdout

    return run


def test_the_verdicts_of_a_fork_are_fetched_as_they_are(fetch: Any) -> None:
    assert fetch("12 5\n", b'{"a": 1}')[:2] == (0, b'{"a": 1}')
    assert fetch("", b"x")[:2] == (0, None)


@pytest.mark.parametrize(
    ("listed", "content"),
    [
        ("5000 5\n", b"{}"),
        ("12 5\n", b"{" * 5000),
        ("12 5\n", b""),
        ("12 $(id)\n", b"{}"),
        ("x y\n", b"{}"),
        ("12 5\n", b"PK\x03\x04 no zip"),
    ],
    ids=["too large", "larger than it says", "empty", "id", "size", "zip"],
)
def test_what_is_too_large_or_no_file_is_left_alone(listed: str, content: bytes, fetch: Any) -> None:
    code, found, said = fetch(listed, content)
    assert (code, found) == (0, None)
    assert "left alone" in said


def test_a_zip_file_gives_its_one_file_and_no_bomb(fetch: Any, tmp_path: Path) -> None:
    import zipfile

    def packed(name: str, content: bytes) -> bytes:
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        return path.read_bytes()

    assert fetch("12 5\n", packed("evalkit-report.json", b"{}"))[:2] == (0, b"{}")
    assert fetch("12 5\n", packed("../../evil", b"{}"))[:2] == (0, None)
    assert fetch("12 5\n", packed("evalkit-report.json", b"0" * 100_000))[:2] == (0, None)
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize(
    ("failing", "code", "decision"), [(0, 0, "PROMOTE"), (30, 1, "ROLL BACK"), (None, 7, "CONTINUE")]
)
def test_the_canary_ends_with_its_decision(
    failing: int | None, code: int, decision: str, project: ProjectFolder, tmp_path: Path
) -> None:
    """A twentieth of the traffic is the canary's, as planned, and fails in so many of a hundred requests."""
    folder = tmp_path / "temp"
    (folder / "envelopes").mkdir(parents=True)
    rows = []
    for number in range(10 if failing is None else 40_000):
        arm = "canary" if number % 20 == 0 else "control"
        failed = number // 20 % 100 < (failing or 0) if arm == "canary" else number % 50 == 1
        envelope = {"request_id": f"r-{number}", "arm": arm, "success": not failed, "latency_us": 9, "cost_microusd": 5}
        rows.append(json.dumps({**envelope, "simulated": True}))
    (folder / "envelopes" / "x.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    summary = folder / "summary"
    environment = {
        **clean_environment(), "PATH": f"{Path(sys.executable).parent}:{clean_environment()['PATH']}",
        "PROJECT": str(project.path), "WORKFLOW": "shop", "RUNNER_TEMP": str(folder),
        "GITHUB_STEP_SUMMARY": str(summary),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", str(ROOT / "action" / "canary.sh")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert decision in summary.read_text(encoding="utf-8")


# ---- what the runner understands


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'a' == 'A' && 'yes' || 'no'", "yes"), ("github.nothing || 'x'", "x"), ("!(1 == 2)", True),
        ("inputs.a != '' && always()", True), ("join(needs.*.result, ' ')", "success failure"), ("'it''s'", "it's"),
        ("contains('abc', 'B')", False), ("null == ''", True),
    ],
)  # fmt: skip
def test_expressions(text: str, value: Any) -> None:
    needs = {"a": {"result": "success"}, "b": {"result": "failure"}}
    assert Expressions({"github": {}, "inputs": {"a": "1"}, "needs": needs}).value(text) == value


def test_a_misspelled_input_is_found() -> None:
    with pytest.raises(AssertionError, match="declared nowhere"):
        Expressions({"inputs": {"a": "1"}}).value("inputs.b")


def test_outputs_of_several_lines() -> None:
    assert parse_outputs("a=1=2\nb<<END\nx\ny=z\nEND\nc=") == {"a": "1=2", "b": "x\ny=z", "c": ""}
    with pytest.raises(AssertionError):
        parse_outputs("b<<END\nx")
