"""The file of accepted regressions: what it may say, errors that say where, and writing that keeps what is there."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalkit.errors import ConfigError
from evalkit.gate.acceptance import ACCEPTANCES_FILE, Acceptance, load_acceptances, save_acceptances
from evalkit.workflow import Project, load_project

TODAY = dt.date(2026, 11, 22)
ENTRY: dict[str, Any] = {
    "workflow": "support",
    "case": "case-001",
    "reason": "the old tariff is gone, the case follows next week",
    "owner": "jane@example.com",
    "created": dt.date(2026, 11, 20),
    "expires": dt.date(2026, 12, 20),
    "failures": {"answer": ["missing_fact"]},
    "digest": "0123456789ab",
    "configuration": "fedcba987654",
    "changed": {"prompt:answer": "aaaabbbbcccc"},
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "evalkit.yaml").write_text(
        "workflows:\n  support: {golden_set: cases.jsonl, model: 'simulator:sim-small-1', prompt: p.md}\n"
    )
    return load_project(tmp_path)


def write(project: Project, *entries: dict[str, Any], **top: Any) -> Path:
    path = project.root / ACCEPTANCES_FILE
    path.write_text(yaml.safe_dump({**top, "acceptances": list(entries)}, sort_keys=False))
    return path


def entry(**changes: Any) -> Acceptance:
    return Acceptance.model_validate({**ENTRY, **changes})


def test_without_a_file_nothing_is_accepted(project: Project) -> None:
    assert load_acceptances(project, TODAY).entries == ()


def test_an_entry_holds_through_its_last_day(project: Project) -> None:
    write(project, ENTRY)
    (found,) = load_acceptances(project, TODAY).entries
    assert not found.expired(dt.date(2026, 12, 20))
    assert found.expired(dt.date(2026, 12, 21))


@pytest.mark.parametrize(
    ("changes", "key", "says"),
    [
        ({"workflow": "suport"}, "workflow", "no such workflow"),
        ({"expires": dt.date(2027, 2, 19)}, "expires", "longer than 90 days"),
        ({"expires": dt.date(2026, 11, 19)}, "expires", "before it was accepted"),
        ({"created": dt.date(2026, 11, 25)}, "created", "in the future"),
        ({"reason": "  "}, "reason", "must say something"),
        ({"owner": ""}, "owner", "must say something"),
        ({"failures": {}}, "failures", "at least 1"),
        ({"digest": "01"}, "digest", "at least 12"),
        ({"expires": "soon"}, "expires", "date"),
        ({"until": "2026-12-24"}, "until", "unknown key"),
    ],
)
def test_an_error_names_file_line_and_key(project: Project, changes: dict[str, Any], key: str, says: str) -> None:
    path = write(project, ENTRY, {**ENTRY, "case": "case-002", **changes})
    with pytest.raises(ConfigError, match=says) as caught:
        load_acceptances(project, TODAY)
    error = caught.value
    assert error.file == str(path)
    assert error.key == f"acceptances[1].{key}"
    assert error.line is not None
    assert path.read_text().splitlines()[error.line - 1].strip().startswith((f"{key}:", f"- {key}:"))
    assert error.exit_code == 10


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"slice": "locale=de-DE"}, "exactly one of"),
        ({"case": None}, "exactly one of"),
        ({"case": None, "slice": "german", "most": 2}, "key=value"),
        ({"case": None, "slice": "locale=de-DE"}, "`most` goes with"),
        ({"most": 3}, "`most` goes with"),
    ],
)
def test_an_entry_is_of_one_thing(project: Project, changes: dict[str, Any], says: str) -> None:
    write(project, {key: value for key, value in {**ENTRY, **changes}.items() if value is not None})
    with pytest.raises(ConfigError, match=says) as caught:
        load_acceptances(project, TODAY)
    assert caught.value.line == 2


def test_a_case_accepted_twice_is_an_error_that_names_both(project: Project) -> None:
    path = write(project, ENTRY, {**ENTRY, "failures": {"refusal": ["over_refusal"]}})
    with pytest.raises(ConfigError, match="accepted twice") as caught:
        load_acceptances(project, TODAY)
    places = [number for number, line in enumerate(path.read_text().splitlines(), start=1) if "case: case-001" in line]
    assert caught.value.line == places[1]
    assert "acceptances.yaml:2" in str(caught.value.fix)


def test_the_longest_time_can_be_set_but_not_beyond_a_year(project: Project) -> None:
    write(project, {**ENTRY, "expires": dt.date(2027, 5, 1)}, most_days=200)
    assert load_acceptances(project, TODAY).most_days == 200
    write(project, ENTRY, most_days=1_000)
    with pytest.raises(ConfigError):
        load_acceptances(project, TODAY)


def test_what_is_written_is_what_is_read(project: Project) -> None:
    entries = [
        entry(reason='a "quoted" reason: with a colon # and a hash\nand a second line'),
        entry(case=None, slice="locale=de-DE", most=4, owner="Łukasz", failures={"refusal": ["a", "b"], "answer": "c"}),
    ]
    saved = save_acceptances(load_acceptances(project, TODAY), entries, project)
    assert list(saved.entries) == entries
    assert list(load_acceptances(project, TODAY).entries) == entries


HAND_WRITTEN = """\
# owned by the support team
most_days: 60  # longer is never reviewed

acceptances:
  # the tariff of 2025
  - workflow: support
    case: case-001   # agreed with sales
    reason: old
    owner: jane
    created: 2026-11-20
    expires: 2026-12-20
    failures: {answer: [missing_fact]}
    digest: 0123456789ab
    configuration: fedcba987654
    changed: {}
  # the next one

  - workflow: support
    case: case-002
    reason: other
    owner: joe
    created: 2026-11-20
    expires: 2026-12-20
    failures:
      answer: missing_fact
    digest: 0123456789ab
    configuration: fedcba987654
# end
"""


def test_comments_and_other_entries_stay_as_they_are(project: Project) -> None:
    path = project.root / ACCEPTANCES_FILE
    path.write_text(HAND_WRITTEN)
    found = load_acceptances(project, TODAY)
    saved = save_acceptances(found, [entry(reason="new"), entry(case="case-003")], project)
    assert [item.case for item in saved.entries] == ["case-001", "case-002", "case-003"]
    assert saved.entries[0].reason == "new"
    text = path.read_text()
    for comment in ("# owned by", "# longer is never", "# the tariff", "# the next one", "# end"):
        assert comment in text
    begin, end = HAND_WRITTEN.index("  # the next one"), HAND_WRITTEN.index("# end")
    assert HAND_WRITTEN[begin:end] in text
    assert text.startswith(HAND_WRITTEN[: HAND_WRITTEN.index("  - workflow")])


@pytest.mark.parametrize("text", ["acceptances: []\n", "acceptances:\n", "most_days: 40", ""])
def test_the_first_entry_goes_into_an_empty_list(project: Project, text: str) -> None:
    (project.root / ACCEPTANCES_FILE).write_text(text)
    saved = save_acceptances(load_acceptances(project, TODAY), [entry()], project)
    assert list(saved.entries) == [entry()]
    assert saved.most_days == (40 if "most_days" in text else 90)


def test_a_list_in_one_line_is_left_alone(project: Project) -> None:
    path = project.root / ACCEPTANCES_FILE
    path.write_text(f"acceptances: {yaml.safe_dump([ENTRY], default_flow_style=True, width=10_000)}")
    before = path.read_text()
    with pytest.raises(ConfigError, match="one below the other"):
        save_acceptances(load_acceptances(project, TODAY), [entry(case="case-009")], project)
    assert path.read_text() == before


def test_what_could_not_be_read_again_is_not_written(project: Project) -> None:
    path = write(project, ENTRY)
    before = path.read_text()
    with pytest.raises(ConfigError, match="longer than"):
        save_acceptances(
            load_acceptances(project, TODAY), [entry(case="case-002", expires=dt.date(2028, 1, 1))], project
        )
    assert path.read_text() == before
    assert [item.name for item in project.root.iterdir() if "partial" in item.name] == []
