"""What accepted regressions do to a verdict."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.configfile import YamlFile
from evalkit.errors import ConfigError
from evalkit.fingerprint import combine
from evalkit.gate import Verdict, judge
from evalkit.gate.acceptance import Acceptance, Acceptances
from evalkit.goldens import from_cases
from evalkit.store import RunFolder
from evalkit.workflow.gates import GateSpec

from .world import Outcomes, World, configuration, make_cases, passing, rule

TODAY = dt.date(2026, 11, 22)
BROKEN = [f"case-{number:03d}" for number in range(12)]


def accepted(*entries: Acceptance) -> Acceptances:
    """As they would be read from a file."""
    path = Path("acceptances.yaml")
    lines: dict[tuple[str | int, ...], int] = {
        ("acceptances", number): 2 + 10 * number for number in range(len(entries))
    }
    return Acceptances(path, entries, tuple(range(len(entries))), YamlFile(path, {}, lines), TODAY)


def entry(world: World, case_id: str | None = None, **changes: Any) -> Acceptance:
    """An acceptance of what the runs of this file show."""
    digests = from_cases("support", "1.0.0", world.cases).digests
    prompt = configuration("1").components[0]
    fields: dict[str, Any] = {
        "workflow": "support",
        "case": case_id,
        "reason": "agreed",
        "owner": "jane",
        "created": dt.date(2026, 11, 1),
        "expires": dt.date(2026, 12, 1),
        "failures": {"answer": ["wrong"]},
        "digest": digests[case_id][:12] if case_id in digests else "0" * 12,
        "configuration": configuration("2").fingerprint[:12],
        "changed": {"prompt:answer": prompt.fingerprint[:12]},
        **changes,
    }
    return Acceptance.model_validate(fields)


def runs(world: World, broken: Sequence[str] = BROKEN) -> tuple[RunFolder, RunFolder]:
    """A candidate that breaks some cases, and its baseline."""
    baseline = world.run({"answer": passing(world.cases)})
    return world.run({"answer": passing(world.cases, *broken)}, version="2"), baseline


def judged(world: World, pair: tuple[RunFolder, RunFolder], *entries: Acceptance, **spec: Any) -> Verdict:
    gate = GateSpec.model_validate(spec)
    return judge(*pair, world.cases, gate, acceptances=accepted(*entries) if entries else None)


def test_accepted_cases_leave_the_margin_and_the_verdict_lists_them(world: World) -> None:
    pair = runs(world)
    assert judged(world, pair).verdict == "BLOCKED"
    verdict = judged(world, pair, *(entry(world, case) for case in BROKEN))
    assert (verdict.verdict, verdict.exit_code) == ("PASS with notes", 0)
    answer = rule(verdict, "answer")
    assert (answer.n, answer.baseline, answer.candidate, answer.cases) == (48, 1.0, 1.0, ())
    assert [item.state for item in verdict.acceptances] == ["used"] * 12
    assert verdict.acceptances[0].cases == ("case-000",)
    used = rule(verdict, "accepted regressions")
    assert used.cases == tuple(BROKEN)
    assert "jane, until 2026-12-01 (acceptances.yaml:2)" in used.sentence
    assert "and 9 more" in used.sentence
    assert verdict.counts.regressed == 12
    assert {case.accepted for case in verdict.cases} == {"accepted until 2026-12-01 by jane"}


def test_what_is_not_accepted_still_blocks(world: World) -> None:
    verdict = judged(world, runs(world), entry(world, "case-000"))
    assert verdict.verdict == "BLOCKED"
    assert rule(verdict, "answer").cases == tuple(BROKEN[1:])
    assert rule(verdict, "answer").broke == 11


def test_the_sql_of_a_margin_leaves_out_the_same_cases(world: World) -> None:
    verdict = judged(world, runs(world), *(entry(world, case) for case in BROKEN[:5]))
    answer = rule(verdict, "answer")
    (row,) = world.sql(verdict, answer.sql)
    assert (row["n"], row["baseline"]) == (answer.n, answer.baseline)
    assert row["candidate"] == pytest.approx(answer.candidate)
    assert row["delta"] == pytest.approx(answer.delta)


def test_only_the_named_grader_is_lenient(world: World) -> None:
    outcomes: Outcomes = {"answer": passing(world.cases), "tone": passing(world.cases)}
    worse: Outcomes = {name: passing(world.cases, *BROKEN) for name in outcomes}
    pair = world.run(worse, version="2"), world.run(outcomes)
    verdict = judged(world, pair, *(entry(world, case) for case in BROKEN))
    assert (rule(verdict, "answer").n, rule(verdict, "tone").n) == (48, 60)
    assert [item.id for item in verdict.blocking] == ["tone"]


def test_floors_are_judged_on_all_cases(world: World) -> None:
    entries = [entry(world, case) for case in BROKEN]
    verdict = judged(world, runs(world), *entries, rules=[{"grader": "answer", "min": "90%"}])
    assert rule(verdict, "answer.pass_rate.limit").status == "block"
    assert rule(verdict, "answer.pass_rate.limit").candidate == pytest.approx(0.8)


def test_an_expired_acceptance_blocks_and_names_owner_and_date(world: World) -> None:
    old = entry(world, "case-000", expires=dt.date(2026, 11, 21))
    verdict = judged(world, runs(world, ["case-000"]), old)
    assert verdict.verdict == "BLOCKED"
    expired = rule(verdict, "expired acceptances")
    assert "case case-000 for answer, jane, expired on 2026-11-21" in verdict.sentence
    assert expired.cases == ("case-000",)
    assert verdict.acceptances[0].state == "expired"
    assert rule(verdict, "answer").n == 60
    still_today = entry(world, "case-000", expires=TODAY)
    assert judged(world, runs(world, ["case-000"]), still_today).verdict != "BLOCKED"


def test_an_expired_acceptance_blocks_when_the_baseline_fails_too(world: World) -> None:
    old = entry(world, "case-000", expires=dt.date(2026, 11, 21))
    failing = {"answer": passing(world.cases, "case-000")}
    pair = world.run(failing), world.run(failing)
    assert judged(world, pair, old).verdict == "BLOCKED"
    fixed = world.run({"answer": passing(world.cases)}), pair[1]
    verdict = judged(world, fixed, old)
    assert (verdict.verdict, verdict.acceptances) == ("PASS", ())


def test_an_acceptance_that_nothing_needs_says_nothing(world: World) -> None:
    verdict = judged(world, runs(world, []), entry(world, "case-000"))
    assert (verdict.verdict, verdict.acceptances) == ("PASS", ())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"digest": "f" * 12}, "its content has changed"),
        ({"failures": {"answer": ["rude"]}}, "fails answer as `wrong`, and rude was accepted"),
        ({"changed": {"prompt:answer": "f" * 12}}, "prompt:answer of the baseline is another one"),
        ({"changed": {"model:default": "f" * 12}}, "prompt:answer has changed too"),
        ({"changed": {}}, "prompt:answer has changed too"),
    ],
)
def test_what_was_not_accepted_is_not_covered(world: World, changes: dict[str, Any], why: str) -> None:
    verdict = judged(world, runs(world, ["case-000"]), entry(world, "case-000", **changes))
    (item,) = verdict.acceptances
    assert item.state == "void"
    assert why in item.why
    assert rule(verdict, "answer").n == 60
    assert rule(verdict, "void acceptances").status == "note"


def test_a_later_regression_of_the_same_case_is_another_one(world: World) -> None:
    """After the accepted change is merged the baseline is another, and a second change is not covered."""
    entries = [entry(world, case) for case in BROKEN]
    merged_and_fixed = world.run({"answer": passing(world.cases)}, version="2")
    later = world.run({"answer": passing(world.cases, *BROKEN)}, version="3")
    verdict = judged(world, (later, merged_and_fixed), *entries)
    assert verdict.verdict == "BLOCKED"
    assert {item.state for item in verdict.acceptances} == {"void"}


def test_further_work_on_the_accepted_change_stays_covered(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    second = world.run({"answer": passing(world.cases, *BROKEN)}, version="2b")
    assert judged(world, (second, baseline), *(entry(world, case) for case in BROKEN)).verdict == "PASS with notes"


def test_drift_is_accepted_for_one_configuration(world: World) -> None:
    baseline = world.run({"answer": passing(world.cases)})
    worse = world.run({"answer": passing(world.cases, *BROKEN)})
    same = configuration("1").fingerprint[:12]
    entries = [entry(world, case, changed={}, configuration=same) for case in BROKEN]
    assert judged(world, (worse, baseline), *entries).verdict == "PASS with notes"
    others = [entry(world, case, changed={}) for case in BROKEN]
    verdict = judged(world, (worse, baseline), *others)
    assert verdict.verdict == "BLOCKED"
    assert "another configuration" in verdict.acceptances[0].why


# ── who cannot be accepted ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"critical": True}, "critical case"),
        ({"risk": "critical"}, "risk is critical"),
        ({"tags": ("policy",)}, "policy case"),
        ({"tags": ("policy:refunds",)}, "policy case"),
        ({"slices": {"policy": "refunds"}}, "policy case"),
    ],
)
def test_a_hand_written_entry_for_such_a_case_is_an_error(tmp_path: Path, fields: dict[str, Any], why: str) -> None:
    cases = make_cases(30)
    cases[0] = replace(cases[0], **fields)
    world = World(tmp_path / "store", cases)
    with pytest.raises(ConfigError, match=why) as caught:
        judged(world, runs(world, ["case-000"]), entry(world, "case-000"))
    assert (caught.value.file, caught.value.line) == ("acceptances.yaml", 2)
    with pytest.raises(ConfigError):  # whether it is worse or not
        judged(world, runs(world, []), entry(world, "case-000"))


@pytest.mark.parametrize(
    ("changes", "key", "fix"),
    [
        ({"case": "case-00x"}, "case", "case-00"),
        ({"case": None, "slice": "locale=dd", "most": 1}, "slice", "locale=de"),
        ({"failures": {"anwser": ["wrong"]}}, "failures", "answer"),
    ],
)
def test_a_name_that_is_not_there_is_an_error(tmp_path: Path, changes: dict[str, Any], key: str, fix: str) -> None:
    world = World(tmp_path / "store", make_cases(30, locale="de"))
    with pytest.raises(ConfigError) as caught:
        judged(world, runs(world, []), entry(world, **{"case_id": "case-000", **_renamed(changes)}))
    assert caught.value.key == f"acceptances[0].{key}"
    assert fix in str(caught.value.fix)
    assert caught.value.value is not None


def _renamed(changes: dict[str, Any]) -> dict[str, Any]:
    return {("case_id" if name == "case" else name): value for name, value in changes.items()}


# ── slices ──────────────────────────────────────────────────────────────────────────────


def slice_entry(world: World, name: str = "locale=de", most: int = 12, **changes: Any) -> Acceptance:
    digests = from_cases("support", "1.0.0", world.cases).digests
    value = name.partition("=")[2]
    mine = [(case.id, digests[case.id]) for case in world.cases if case.locale == value]
    return entry(world, None, **{"slice": name, "most": most, "digest": combine("cases", mine)[:12], **changes})


@pytest.fixture
def german(tmp_path: Path) -> World:
    return World(tmp_path / "store", make_cases(60, locale=lambda number: "de" if number < 20 else "en"))


def test_a_slice_covers_its_cases_up_to_a_number(german: World) -> None:
    pair = runs(german)
    verdict = judged(german, pair, slice_entry(german))
    assert verdict.verdict == "PASS with notes"
    assert verdict.acceptances[0].cases == tuple(BROKEN)
    more = judged(german, pair, slice_entry(german, most=11))
    assert more.verdict == "BLOCKED"
    assert "12 cases got worse, and 11 were accepted" in more.acceptances[0].why


def test_a_slice_covers_nothing_outside_and_no_critical_case(german: World) -> None:
    german.cases[0] = replace(german.cases[0], critical=True)
    pair = runs(german, ["case-000", *BROKEN[1:], "case-040", "case-041"])
    verdict = judged(german, pair, slice_entry(german))
    assert verdict.acceptances[0].cases == tuple(BROKEN[1:])
    assert {"critical cases"} <= {item.id for item in verdict.blocking}
    assert rule(verdict, "answer").cases == ("case-000", "case-040", "case-041")


def test_a_slice_whose_cases_have_changed_is_another_one(german: World) -> None:
    before = slice_entry(german)
    german.cases[19] = replace(german.cases[19], notes="revised")
    verdict = judged(german, runs(german), before)
    assert verdict.verdict == "BLOCKED"
    assert "its content has changed" in verdict.acceptances[0].why


# ── fail closed ─────────────────────────────────────────────────────────────────────────


def test_acceptances_cover_no_errors(world: World) -> None:
    outcomes = passing(world.cases)
    outcomes["case-000"] = ["error"]
    baseline = world.run({"answer": passing(world.cases)})
    verdict = judged(world, (world.run({"answer": outcomes}, version="2"), baseline), entry(world, "case-000"))
    assert (verdict.verdict, verdict.acceptances) == ("ERROR", ())


def test_a_verdict_with_acceptances_is_another_verdict(world: World) -> None:
    pair = runs(world)
    assert judged(world, pair).id != judged(world, pair, entry(world, "case-000")).id
    assert judged(world, pair).id == judged(world, pair).id
