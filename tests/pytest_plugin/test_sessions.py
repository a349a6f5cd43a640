"""Evals as tests: one run a session, a test a case, one verdict that no passing test hides."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from tests.conftest import REFUSAL_RULE

from .conftest import Suite, verdicts

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(400)  # several sessions each, in processes of their own
MakeSuite = Callable[..., Suite]
GREEN = "shop: PASS: Proven unchanged: nothing that any case depends on differs from the baseline."


def test_without_a_baseline_it_is_not_green_and_with_one_it_is(make_suite: MakeSuite) -> None:
    suite = make_suite()
    first = suite.run("--strict-markers")
    assert first.ret == pytest.ExitCode.TESTS_FAILED
    first.assert_outcomes(passed=12, failed=1)
    assert verdicts(first) == ["shop: NOT COMPARABLE: There is no baseline to compare with."]
    assert suite.run("--evalkit-set-baseline", "main").ret == 0
    again = suite.run()
    assert again.ret == 0
    again.assert_outcomes(passed=13)
    assert verdicts(again) == [GREEN]
    assert suite.runs() == 3


def test_a_block_fails_the_session_though_every_test_of_a_case_passes(make_suite: MakeSuite) -> None:
    suite = make_suite()
    suite.baseline()
    suite.project.edit("prompt.md", REFUSAL_RULE, "")
    result = suite.run("--junitxml", "junit.xml")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=12, failed=1)
    assert suite.runs() == 2
    sentence = suite.command("report", "latest", "--format", "text").out.splitlines()[-1]
    assert sentence.startswith("BLOCKED: 2 critical cases failed")
    assert verdicts(result) == [f"shop: {sentence}"]
    result.stdout.fnmatch_lines(["FAILED evalkit.yaml::shop - BLOCKED: 2 critical cases failed*"])
    result.stdout.fnmatch_lines(["  ✖ critical cases *"])
    junit = ET.parse(suite.project.path / "junit.xml")  # noqa: S314 - written by the run above
    failed = junit.getroot().findall(".//testcase[failure]")
    assert [case.get("name") for case in failed] == ["shop"]
    assert {item.get("name"): item.get("value") for item in failed[0].iter("property")}["evalkit_verdict"] == "BLOCKED"


def test_with_workers_there_is_one_run_and_one_verdict(make_suite: MakeSuite) -> None:
    suite = make_suite()
    suite.baseline()
    suite.project.edit("prompt.md", REFUSAL_RULE, "")
    result = suite.run("-n", "2")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=12, failed=1)
    assert suite.runs() == 2
    assert len(verdicts(result)) == 1
    assert verdicts(result)[0].startswith("shop: BLOCKED: 2 critical cases failed")


def test_an_assertion_of_ones_own_fails_a_session_whose_verdict_is_a_pass(make_suite: MakeSuite) -> None:
    suite = make_suite(
        """
        import pytest

        pytestmark = pytest.mark.evalkit(workflow="shop")

        def test_short(evalkit_case):
            assert evalkit_case.passed, evalkit_case.failures
            assert evalkit_case.status == "unchanged"
            assert evalkit_case.id != "answer-003", "not this one"

        def test_cheap(evalkit_verdict):
            assert evalkit_verdict.cost_microusd < 1_000_000
        """.replace("\n        ", "\n")
    )
    suite.baseline()
    result = suite.run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=13, failed=1)
    assert verdicts(result) == [GREEN]
    stopped = suite.run("-x")
    assert stopped.ret == pytest.ExitCode.TESTS_FAILED
    assert verdicts(stopped) == [GREEN]


def test_a_part_is_run_alone_and_is_no_verdict(make_suite: MakeSuite) -> None:
    suite = make_suite()
    suite.baseline()
    suite.project.edit("prompt.md", "a shop assistant", "a friendly shop assistant")
    part = suite.run("-k", "answer-003")
    assert part.ret == pytest.ExitCode.TESTS_FAILED
    part.assert_outcomes(passed=1, failed=1, deselected=12)
    assert verdicts(part)[0].startswith("shop: INCONCLUSIVE: ")
    assert verdicts(part)[0].endswith("[1 of 12 cases of shop were selected]")
    meant = suite.run("test_evals.py::test_shop[answer-003]", "--evalkit-partial")
    assert meant.ret == 0
    meant.assert_outcomes(passed=1, skipped=1)
    assert suite.command("runs").out.splitlines()[1].split()[4] == "1"


def test_a_part_that_blocks_is_never_let_through(make_suite: MakeSuite) -> None:
    suite = make_suite()
    suite.baseline()
    suite.project.edit("prompt.md", REFUSAL_RULE, "")
    result = suite.run("-k", "address-005", "--evalkit-partial")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, failed=1, deselected=12)


def test_the_last_failed_verdict_is_judged_on_the_whole_set(make_suite: MakeSuite) -> None:
    suite = make_suite()
    suite.baseline()
    suite.project.edit("prompt.md", REFUSAL_RULE, "")
    assert suite.run().ret == 1
    suite.project.edit("prompt.md", "Refuse to:\n", f"Refuse to:\n{REFUSAL_RULE}")
    again = suite.run("--lf")
    assert again.ret == 0
    again.assert_outcomes(passed=1, deselected=12)
    assert verdicts(again) == [GREEN]


def test_the_project_file_is_a_test_a_workflow(make_suite: MakeSuite) -> None:
    suite = make_suite("def test_nothing(): pass\n")
    suite.baseline()
    named = suite.run("evalkit.yaml::shop", "-v")
    named.assert_outcomes(passed=1)
    named.stdout.fnmatch_lines(["evalkit.yaml::shop PASSED*"])
    unnamed = suite.run()
    unnamed.assert_outcomes(passed=1)
    assert verdicts(unnamed) == []


def test_another_baseline_can_be_named(make_suite: MakeSuite) -> None:
    suite = make_suite()
    suite.baseline()
    result = suite.run("evalkit.yaml", "--evalkit-baseline", "prod")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert verdicts(result) == ["shop: NOT COMPARABLE: There is no baseline to compare with."]


def test_nothing_is_run_for_tests_that_are_skipped_deselected_or_only_listed(make_suite: MakeSuite) -> None:
    suite = make_suite(
        """
import pytest

@pytest.mark.skipif(True, reason="no key here")
@pytest.mark.evalkit(workflow="shop")
def test_shop(evalkit_case):
    pass

def test_other():
    pass
"""
    )
    skipped = suite.run()
    assert skipped.ret == 0
    skipped.assert_outcomes(skipped=12, passed=1)
    suite.test(f"{CASES_TEXT}\ndef test_other(): pass\n")
    assert suite.run("-k", "test_other").ret == 0
    listed = suite.run("--collect-only", "-q")
    assert listed.ret == 0
    listed.stdout.fnmatch_lines(["test_evals.py::test_shop[[]answer-003[]]", "evalkit.yaml::shop"])
    assert suite.runs() == 0


CASES_TEXT = """
import pytest

@pytest.mark.evalkit(workflow="shop")
def test_shop(evalkit_case):
    pass
"""


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ('(workflow="shpo")', "*no workflow `shpo`*"),
        ('("shop")', "*write the marker as @pytest.mark.evalkit(workflow=NAME*"),
        ('(workflow="shop", case=["answer-003"])', "*write the marker as @pytest.mark.evalkit(workflow=NAME*"),
        ('(workflow="shop", cases=["answer-999"])', "*answer-999*"),
        ('(workflow="shop", project="nowhere")', "*no such project*"),
    ],
)
def test_a_wrong_marker_is_told_and_not_green(make_suite: MakeSuite, marker: str, said: str) -> None:
    suite = make_suite(CASES_TEXT.replace('(workflow="shop")', marker))
    result = suite.run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([said])
    assert "INTERNALERROR" not in result.stdout.str()


def test_the_fixture_without_the_marker_is_told(make_suite: MakeSuite) -> None:
    result = make_suite("def test_shop(evalkit_case): pass\n").run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*evalkit_case needs the marker*"])


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_workflow_that_cannot_be_run_is_told_by_every_test_and_tried_once(
    make_suite: MakeSuite, workers: tuple[str, ...]
) -> None:
    suite = make_suite(CASES_TEXT)
    suite.project.configure_workflow(graders=["refusal", "nobody_made_this"])
    result = suite.run(*workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(errors=12, failed=1)
    assert verdicts(result)[0].startswith("shop: ERROR: ")
    assert "nobody_made_this" in verdicts(result)[0]


def test_text_of_a_model_commands_neither_terminal_nor_log(make_suite: MakeSuite) -> None:
    suite = make_suite(
        """
import pytest

HOSTILE = "\\x1b[2J\\x1b]8;;http://example.com\\x07##[error]x\\n::error::y\\u202e"

@pytest.mark.evalkit(workflow="shop", cases=["answer-003"])
@pytest.mark.parametrize("how", ["raise", "print", "skip"])
def test_shop(evalkit_case, how):
    print(HOSTILE)
    if how == "skip":
        pytest.skip(HOSTILE)
    raise AssertionError(HOSTILE)
"""
    )
    result = suite.run("-rA", "--showlocals")
    shown = result.stdout.str()
    result.assert_outcomes(failed=3, skipped=1)
    assert not re.search("[\x1b\x07\u202e]", shown)
    assert "##[" not in shown
    assert not [line for line in shown.splitlines() if line.lstrip().startswith("::")]
    assert "⟦U+001B⟧" in shown
