"""Baselines: names for accepted runs, kept whole whoever sets them at once, and never taken for what they are not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.errors import ExitCode, StoreError, UsageError
from evalkit.store import Baselines, Runs
from tests.conftest import ProjectFolder
from tests.store.conftest import Judged


def history(project: ProjectFolder, name: str = "main") -> list[str]:
    """Ids of the accepted runs, oldest first, as the command lists them."""
    listed = json.loads(project.run("baseline", "list", "--format", "json").out)
    return [entry["run_id"] for item in listed if item["name"] == name for entry in item["history"]]


def test_a_baseline_is_set_and_moved_and_keeps_its_history(judged: Judged, copied: ProjectFolder) -> None:
    first, second = judged.baseline["candidate_run"], judged.broken["candidate_run"]
    done = copied.run("baseline", "set", "main", second, "--reason", "the rule was wrong")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"shop: main is run {second} (of 2 accepted)\n"
    assert history(copied) == [first, second]
    assert "the rule was wrong" in copied.run("baseline", "list").out
    assert copied.run("baseline", "set", "main", first).code == 0
    assert history(copied) == [second, first], "an accepted run moves to the end and is not there twice"


def test_runs_are_judged_against_where_the_baseline_is_now(judged: Judged, copied: ProjectFolder) -> None:
    assert copied.run("gate", "--format", "json").code == ExitCode.BLOCKED
    copied.run("baseline", "set", "prod", judged.broken["candidate_run"])
    done = copied.run("run", "--baseline", "prod", "--format", "json", "--no-report")
    verdict = json.loads(done.out)["workflows"][0]
    assert (verdict["baseline_name"], verdict["baseline_run"]) == ("prod", judged.broken["candidate_run"])


def test_one_run_by_several_beginnings_and_several_runs_at_once(judged: Judged, copied: ProjectFolder) -> None:
    first, second = judged.baseline["candidate_run"], judged.broken["candidate_run"]
    done = copied.run("baseline", "set", "both", first, second.lower(), "latest")
    assert done.code == 0, done.err
    assert history(copied, "both") == [first, second]


def test_baselines_set_by_many_processes_at_once_keep_every_run(judged: Judged, copied: ProjectFolder) -> None:
    """The record of a run is copied under further ids, and each process accepts one of them."""
    store = copied.path / ".evalkit"
    record = Runs(store).get(judged.broken["candidate_run"]).run
    program = (
        "import sys; from dataclasses import replace; from pathlib import Path\n"
        "from evalkit.store import Baselines, Runs\n"
        "store, start = Path(sys.argv[1]), int(sys.argv[2])\n"
        f"record = Runs(store).get('{record.run_id}').run\n"
        "for number in range(start, start + 20):\n"
        "    Baselines(store).accept('busy', replace(record, run_id=f'RUN-{number:03d}'))\n"
    )
    setters = [subprocess.Popen([sys.executable, "-c", program, str(store), str(start)]) for start in (0, 100, 200)]
    assert [setter.wait(timeout=60) for setter in setters] == [0, 0, 0]
    kept = Baselines(store).get("shop", "busy")
    assert kept is not None
    names = [entry.run_id for entry in kept.history]
    wanted = [f"RUN-{start + number:03d}" for start in (0, 100, 200) for number in range(20)]
    assert sorted(names) == wanted
    for start in "012":
        mine = [name for name in names if name.startswith(f"RUN-{start}")]
        assert mine == sorted(mine), "each process sees what it has written"


DAMAGED = {
    "cut off": '{"name": "main", "workflow": "shop", "history": [{"run_id"',
    "a merge conflict": "<<<<<<< ours\n{}\n=======\n{}\n>>>>>>> theirs\n",
    "of another shape": '{"name": "main", "workflow": "shop", "history": [{"run": "x"}]}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=list(DAMAGED))
def test_a_damaged_baseline_is_an_error_and_not_a_missing_one(
    copied: ProjectFolder, judged: Judged, content: str
) -> None:
    file = copied.write(".evalkit/baselines/shop/main.json", content)
    for arguments in (
        ("plan",), ("gate",), ("baseline", "list"), ("diff", "main", "latest"),
        ("baseline", "set", "main", judged.baseline["candidate_run"]), ("doctor",),
    ):  # fmt: skip
        done = copied.run(*arguments)
        assert done.code == ExitCode.ERROR, arguments
        assert "main.json: not a readable baseline" in done.err + done.out, arguments
    assert file.read_text(encoding="utf-8") == content, "what can be repaired by hand is not overwritten"


def test_a_baseline_whose_run_is_gone_is_an_error(judged: Judged, copied: ProjectFolder) -> None:
    gone = judged.baseline["candidate_run"]
    (copied.path / ".evalkit/runs" / gone).rename(copied.path / "elsewhere")
    for arguments in (("run", "--no-report"), ("plan",), ("gate",), ("doctor",)):
        done = copied.run(*arguments)
        assert done.code == ExitCode.ERROR, (arguments, done)
        assert gone in done.err + done.out


@pytest.mark.parametrize("name", ["../other", "a/b", "", ".hidden", "-x", "a b", "a\nb", "x" * 101, "é"])
def test_a_name_that_is_no_file_name_is_refused(copied: ProjectFolder, name: str) -> None:
    done = copied.run("baseline", "set", "--", name, "latest")
    assert done.code == ExitCode.USAGE
    assert "letters, digits, dot, dash and underscore" in done.err
    assert not (copied.path / ".evalkit/other.json").exists()


def test_nothing_is_accepted_when_one_of_the_runs_is_not_there(copied: ProjectFolder) -> None:
    before = history(copied)
    done = copied.run("baseline", "set", "main", "latest", "01ZZZZ")
    assert done.code == ExitCode.USAGE
    assert "no run begins with `01ZZZZ`" in done.err
    assert history(copied) == before


def test_a_part_of_the_set_and_a_run_with_errors_are_refused(copied: ProjectFolder) -> None:
    copied.run("run", "--sample", "3", "--no-report")
    done = copied.run("baseline", "set", "main", "latest")
    assert done.code == ExitCode.USAGE
    assert "a baseline needs all cases" in done.err
    store = copied.path / ".evalkit"
    whole = Runs(store).all()[0].run
    broken = type(whole)(**{**{key: getattr(whole, key) for key in whole.__slots__}, "errors": 2})
    with pytest.raises(UsageError, match="2 trials that did not finish"):
        Baselines(store).accept("main", broken)


def test_a_store_without_baselines_has_none(tmp_path: Path) -> None:
    baselines = Baselines(tmp_path / "nothing")
    assert baselines.all() == []
    assert baselines.get("shop", "main") is None
    assert not (tmp_path / "nothing").exists()


def test_the_library_says_which_file_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "baselines/shop/main.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match="not a readable baseline") as raised:
        Baselines(tmp_path).all()
    assert raised.value.file == str(file)
