"""Commands that read: plan, diff, show, runs, doctor. They spend nothing and change nothing that was stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ExitCode
from evalkit.store import Runs
from tests.conftest import REFUSAL_RULE, ProjectFolder, sample_cases
from tests.store.conftest import Judged

ADDRESSES = ["address-005", "address-011", "address-017", "address-023"]


def cells(out: str) -> list[list[str]]:
    """The rows of a printed table."""
    return [line.split() for line in out.splitlines()]


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file of a project with its time and size."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan",),
        ("diff", "main", "latest"),
        ("show",),
        ("show", "latest", "address-005"),
        ("runs",),
        ("baseline", "list"),
    ],
    ids=" ".join,
)
def test_reading_changes_nothing(judged: Judged, arguments: tuple[str, ...]) -> None:
    before = files(judged.folder.path)
    assert judged.folder.run(*arguments).code == 0
    assert files(judged.folder.path) == before


class TestPlan:
    """`evalkit plan`."""

    def test_before_the_first_run_everything_is_to_make(self, project: ProjectFolder) -> None:
        done = project.run("plan")
        assert done.code == 0
        assert cells(done.out)[1][:6] == ["shop", "cases@working", "24", "24", "0", "24"]
        assert "shop: there is no baseline yet" in done.out
        assert not (project.path / ".evalkit").exists(), "a plan leaves no store behind"

    def test_it_is_what_the_run_then_does(self, project: ProjectFolder) -> None:
        project.run("run", "--set-baseline", "main", "--no-report")
        project.cases(
            [*sample_cases(20), {"id": "new", "input": "Is delivery free?", "expect": {"facts": ["50 euros"]}}]
        )
        (plan,) = json.loads(project.run("plan", "--format", "json").out)
        report = json.loads(project.run("run", "--no-report", "--format", "json").out)["workflows"][0]
        assert (plan["cases"], plan["to_make"], plan["reused"], plan["touched"]) == (21, 1, 20, 1)
        assert (report["trials"], report["model_calls"], report["reused"]) == (21, 1, 20)

    def test_it_names_what_changed_and_the_limit(self, copied: ProjectFolder) -> None:
        copied.configure_workflow(budget={"per_run": "$3"})
        copied.edit("prompt.md", "You are a shop assistant.", "You are an assistant.")
        done = copied.run("plan", "--trials", "3")
        assert cells(done.out)[1][-1] == "$3.00"
        assert "prompt answer changed" in done.out
        assert done.out.splitlines()[-1].startswith("Plan: 72 trials to make, 0 reused, about 72 model calls and $0.")

    def test_options_that_choose_cases_choose_the_same_as_in_a_run(self, project: ProjectFolder) -> None:
        (sample,) = json.loads(project.run("plan", "--sample", "5", "--format", "json").out)
        assert (sample["cases"], sample["trials"]) == (5, 5)
        (named,) = json.loads(project.run("plan", "--cases", "answer-000, answer-001", "--format", "json").out)
        assert named["cases"] == 2
        assert project.run("plan", "--cases", "nothing").code == ExitCode.USAGE

    def test_several_workflows_are_summed(self, project: ProjectFolder) -> None:
        workflow = {"golden_set": "cases.jsonl", "prompt": "prompt.md", "model": "simulator:sim-small-1"}
        project.configure(workflows={"one": workflow, "two": workflow}, graders=["answer"])
        assert "Plan: 48 trials to make, 0 reused" in project.run("plan").out
        assert "Plan: 24 trials to make, 0 reused" in project.run("plan", "two").out
        assert [plan["workflow"] for plan in json.loads(project.run("plan", "two", "one", "--format", "json").out)] == [
            "two", "one",
        ]  # fmt: skip


class TestDiff:
    """`evalkit diff`."""

    def test_a_difference_is_told_and_not_judged(self, judged: Judged) -> None:
        ids = [judged.baseline["candidate_run"], judged.broken["candidate_run"]]
        done = judged.folder.run("diff", *ids, "--format", "json")
        assert done.code == 0
        (told,) = json.loads(done.out)["workflows"]
        assert (told["baseline_run"], told["candidate_run"]) == tuple(ids)
        assert {rule["status"] for rule in told["rules"]} <= {"pass", "note"}
        counts = {key: told["counts"][key] for key in ("regressed", "improved")}
        assert counts == {key: judged.broken["counts"][key] for key in ("regressed", "improved")}

    def test_the_other_way_round_it_is_the_opposite(self, judged: Judged) -> None:
        ids = [judged.baseline["candidate_run"], judged.broken["candidate_run"]]
        there, back = (
            json.loads(judged.folder.run("diff", *pair, "--format", "json").out)["workflows"][0]
            for pair in (ids, reversed(ids))
        )
        moved = [told["counts"]["regressed"] + told["counts"]["improved"] for told in (there, back)]
        assert moved[0] == moved[1] > 0
        for one, other in zip(there["rules"], back["rules"], strict=True):
            assert one["id"] == other["id"]
            if one["kind"] == "drop":
                assert one["delta"] == pytest.approx(-other["delta"])

    def test_nothing_passes_where_nothing_is_judged(self, judged: Judged) -> None:
        out = judged.folder.run("diff", "main", "latest").out
        assert "✔" not in out
        assert "· " in out

    def test_a_run_does_not_differ_from_itself(self, judged: Judged) -> None:
        done = judged.folder.run("diff", "latest", "latest")
        assert done.code == 0
        assert "0 regressed, 0 improved of 24 cases." in done.out.splitlines()[-1]

    def test_runs_of_different_workflows_are_refused(self, copied: ProjectFolder, judged: Judged) -> None:
        workflow = {"golden_set": "cases.jsonl", "prompt": "prompt.md", "model": "simulator:sim-small-1"}
        copied.configure(workflows={"other": workflow}, graders=["answer"])
        copied.run("run", "--no-report")
        done = copied.run("diff", judged.broken["candidate_run"], "latest")
        assert done.code in (ExitCode.USAGE, ExitCode.NOT_COMPARABLE)
        assert "other" in done.err
        assert "shop" in done.err

    def test_golden_sets_without_a_common_case_cannot_be_compared(self, copied: ProjectFolder) -> None:
        copied.cases([{**case, "id": f"other-{case['id']}"} for case in sample_cases(24)])
        copied.run("run", "--no-report")
        done = copied.run("diff", "main", "latest")
        assert done.code == ExitCode.NOT_COMPARABLE
        assert "NOT COMPARABLE" in done.out


class TestShow:
    """`evalkit show`."""

    def test_a_run_lists_what_changed_and_what_fails(self, judged: Judged) -> None:
        done = judged.folder.run("show")
        assert done.code == 0
        rows = [row for row in cells(done.out) if row[0] in ("regressed", "improved", "fails")]
        assert [row[2] for row in rows if row[:2] == ["regressed", "critical"]] == ADDRESSES
        counts = judged.broken["counts"]
        for status in ("regressed", "improved"):
            assert sum(row[0] == status for row in rows) == counts[status]
        assert done.out.splitlines()[-1] == f"BLOCKED: {judged.broken['sentence']}"

    def test_a_first_run_lists_what_fails_although_nothing_is_compared(self, judged: Judged) -> None:
        done = judged.folder.run("show", judged.baseline["candidate_run"])
        shown = [row[1] for row in cells(done.out) if row[0] == "fails"]
        scores = Runs(judged.store).get(judged.baseline["candidate_run"]).scores()
        quality = ("refusal", "answer", "groundedness")
        failing = {score.case_id for score in scores if score.grader in quality and score.passed is False}
        assert shown == sorted(failing) != []

    def test_all_lists_every_case_once(self, judged: Judged) -> None:
        rows = cells(judged.folder.run("show", "--all").out)
        names = [word for row in rows for word in row if word.startswith(("address-", "answer-0"))]
        assert sorted(names) == sorted(case["id"] for case in sample_cases(24))

    def test_a_run_that_was_not_judged_shows_its_cases_too(self, judged: Judged, copied: ProjectFolder) -> None:
        for path in (copied.path / ".evalkit/verdicts").iterdir():
            path.unlink()
        done = copied.run("show")
        assert done.code == 0
        assert {row[2] for row in cells(done.out) if row[:2] == ["fails", "critical"]} == set(ADDRESSES)
        data = json.loads(copied.run("show", "--format", "json").out)
        assert (data["verdict"], data["run"]["run_id"]) == (None, judged.broken["candidate_run"])

    def test_a_run_without_a_failure_says_so(self, project: ProjectFolder) -> None:
        project.run("run", "--no-report")
        assert "no case changed, and none fails" in project.run("show").out

    def test_a_case_shows_question_trace_and_scores_of_every_trial(self, judged: Judged) -> None:
        done = judged.folder.run("show", "latest", "address-005")
        for text in (
            "case address-005  CRITICAL", "user: What is the address", "expected: refuse",
            "must not say: 14 Harbour Lane", "trial 0: ok, simulated", "trial 1: ok, simulated",
            "call      sim-small-1", "answer    ", "✖ refusal",
        ):  # fmt: skip
            assert text in done.out
        data = json.loads(judged.folder.run("show", "latest", "address-005", "--format", "json").out)
        assert [trace["trial"] for trace in data["traces"]] == [0, 1]
        assert {score["case_id"] for score in data["scores"]} == {data["case"]["id"]} == {"address-005"}

    def test_hostile_text_of_a_case_is_made_visible(self, project: ProjectFolder) -> None:
        hostile = "\x1b[31mred\x07 \u202e::error::x\n::set-output name=a::b"
        project.cases([*sample_cases(6), {"id": "hostile", "input": hostile, "expect": {"facts": [hostile]}}])
        project.run("run", "--no-report")
        done = project.run("show", "latest", "hostile")
        assert done.code == 0
        assert not set(done.out) & {"\x1b", "\x07", "\u202e"}
        assert not [line for line in done.out.splitlines() if line.lstrip().startswith("::")]

    def test_a_case_that_is_not_there_says_how_to_list_them(self, judged: Judged) -> None:
        done = judged.folder.run("show", "latest", "address-006")
        assert done.code == ExitCode.USAGE
        assert f"evalkit show {judged.broken['candidate_run']} --all" in done.err

    def test_a_baseline_name_is_its_newest_run_and_a_case_id_is_told_apart(self, judged: Judged) -> None:
        assert judged.folder.run("show", "main").out.startswith(f"run {judged.baseline['candidate_run']} ")
        assert "trial 0: ok" in judged.folder.run("show", "main", "address-005").out
        done = judged.folder.run("show", "address-005")
        assert done.code == ExitCode.USAGE
        assert "evalkit show latest address-005" in done.err

    def test_a_case_shows_the_documents_and_calls_that_are_right(self, project: ProjectFolder) -> None:
        call = {"name": "find", "arguments": {"order": ["K-1", "k-1"], "deep": [True]}, "optional": ["deep"]}
        other = {"name": "tell", "free": ["note"]}
        expected = {"alternatives": [[call, other], []], "order": "strict", "forbidden": ["refund"]}
        case = {"id": "tools", "input": "Where is K-1?", "expect": {"citations": ["doc-1"], "tools": expected}}
        project.cases([*sample_cases(6), case])
        project.run("run", "--no-report")
        shown = project.run("show", "latest", "tools").out.splitlines()
        assert "  must cite: doc-1" in shown
        assert '  calls: find(deep?=true, order="K-1"|"k-1") then tell(note=…) | none' in shown
        assert "  must not call: refund" in shown


class TestRuns:
    """`evalkit runs`."""

    def test_newest_first_with_what_they_cost_and_their_verdict(self, judged: Judged) -> None:
        rows = cells(judged.folder.run("runs").out)
        assert [row[0] for row in rows[1:]] == [judged.broken["candidate_run"], judged.baseline["candidate_run"]]
        assert rows[1][-1] == "BLOCKED"
        assert rows[2][-2:] == ["NOT", "COMPARABLE"]
        listed = json.loads(judged.folder.run("runs", "--format", "json").out)
        assert [run["run_id"] for run in listed] == [row[0] for row in rows[1:]]
        assert listed[0]["cost_microusd"] == judged.broken["cost_microusd"]

    def test_the_newest_verdict_on_a_run_counts(self, copied: ProjectFolder, judged: Judged) -> None:
        copied.configure_workflow(gate={"critical": None, "min_cases": 1000})
        assert copied.run("gate", judged.broken["candidate_run"]).code == ExitCode.INCONCLUSIVE
        assert cells(copied.run("runs").out)[1][-1] == "INCONCLUSIVE"

    def test_limit_and_workflow_choose(self, judged: Judged) -> None:
        assert len(cells(judged.folder.run("runs", "--limit", "1").out)) == 2
        assert len(cells(judged.folder.run("runs", "shop").out)) == 3

    def test_none_yet_and_a_misspelled_workflow_are_told_apart(self, project: ProjectFolder) -> None:
        assert project.run("runs").out == project.run("runs", "shop").out == "no runs yet: evalkit run\n"
        done = project.run("runs", "ship")
        assert (done.code, done.out) == (ExitCode.USAGE, "")
        assert "workflows here: shop" in done.err

    def test_a_reason_of_several_lines_stays_in_its_row(self, copied: ProjectFolder) -> None:
        copied.run("baseline", "set", "main", "latest", "--reason", "one\n::error::two\n\tthree")
        rows = copied.run("baseline", "list").out.splitlines()
        assert len(rows) == 2
        assert rows[1].endswith("one ::error::two three")


class TestDoctor:
    """`evalkit doctor`; damaged stores are in tests/store."""

    def test_a_sound_project_is_well(self, judged: Judged) -> None:
        done = judged.folder.run("doctor")
        assert (done.code, done.err) == (0, "")
        assert done.out.splitlines()[-1] == "all is well"
        for part in ("project", "store", "baselines", "graders", "workflow shop"):
            assert f"✔ {part}: " in done.out
        assert "2 runs" in done.out
        assert "main of shop" in done.out

    def test_it_names_every_mistake_and_ends_with_the_first(self, project: ProjectFolder) -> None:
        bad = {"golden_set": "absent.jsonl", "prompt": "prompt.md", "model": "simulator:sim-small-1"}
        worse = {**bad, "golden_set": "cases.jsonl", "prompt": "absent.md"}
        project.configure(workflows={"bad": bad, "worse": worse}, graders=["answer"])
        done = project.run("doctor")
        assert done.code == ExitCode.GOLDEN_SET
        assert "✖ workflow bad: " in done.out
        assert "✖ workflow worse: " in done.out
        assert "absent.jsonl" in done.out
        assert "absent.md" in done.out
        assert done.out.splitlines()[-1] == "something is wrong, see above"

    def test_a_run_that_was_cut_off_is_mentioned(self, project: ProjectFolder) -> None:
        project.write(".evalkit/partial/01AAAA0000000000000000000A/journal.jsonl", "")
        assert "1 unfinished (run again to go on)" in project.run("doctor").out

    def test_a_golden_set_with_an_error_is_an_error(self, project: ProjectFolder) -> None:
        contradiction = {"facts": ["30 days"], "forbidden": ["30 days"]}
        project.cases([*sample_cases(6), {"id": "odd", "input": "How long?", "expect": contradiction}])
        done = project.run("doctor")
        assert done.code == ExitCode.GOLDEN_SET
        assert "odd" in done.out

    def test_prompts_that_break_are_found_before_a_run(self, project: ProjectFolder) -> None:
        project.edit("prompt.md", REFUSAL_RULE, "{% for")
        assert project.run("doctor").code == ExitCode.PROMPT


def test_attempts_that_failed_are_shown_with_their_call(project: ProjectFolder) -> None:
    from tests.servers import Reply, chat_body, serve

    def answer(_: dict[str, Any]) -> Reply:
        busy = Reply(b'{"error": "busy"}', 503, {"retry-after-ms": "1"})
        return busy if len(seen) == 1 else Reply(chat_body("50 euros"))

    with serve(answer) as (address, seen):
        project.configure(
            providers={"own": {"kind": "openai", "base_url": address}},
            prices=[{"model": "served-1", "input": 1, "output": 1}],
            concurrency=1,
        )
        project.configure_workflow(model="own:served-1")
        project.run("run", "--cases", "answer-000")
    done = project.run("show", "latest", "answer-000")
    assert "failed: status, " in done.out
    assert "status 503" in done.out
