"""Policies: what wins, approvals, and the tests that every rule must pass to be loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import ConfigError, ExitCode
from evalkit.records import PolicyDecision
from evalkit.workflow.policies import Policies, PolicyRule, load_policies


def rule(identity: str = "r", effect: str = "deny", **keys: Any) -> PolicyRule:
    """A rule that applies to the tool ``pay`` unless ``keys`` say otherwise."""
    tests = [{"facts": {"tool": "pay"}, "applies": True}, {"facts": {"tool": "x"}, "applies": False}]
    data = {"id": identity, "point": "act", "tools": "pay", "effect": effect, "tests": tests, **keys}
    return PolicyRule.model_validate(data)


def test_a_fact_can_be_compared_with_another() -> None:
    tests = [
        {"facts": {"arguments.amount": 11, "order.total": 10}, "applies": True},
        {"facts": {"arguments.amount": 10, "order.total": 10}, "applies": False},
    ]
    made = rule(tools=(), when=[{"field": "arguments.amount", "op": "gt", "ref": "order.total"}], tests=tests)
    assert made.applies({"arguments.amount": 3, "order.total": 2})
    assert not made.applies({"arguments.amount": 3})


def test_all_conditions_and_the_tool_must_fit() -> None:
    when = [{"field": "role", "op": "eq", "value": "guest"}, {"field": "n", "op": "gt", "value": 1}]
    tests = [
        {"facts": {"tool": "pay", "role": "guest", "n": 2}, "applies": True},
        {"facts": {"tool": "pay", "role": "guest", "n": 1}, "applies": False},
    ]
    made = rule(tools=["pay", "book"], when=when, tests=tests)
    assert made.applies({"tool": "book", "role": "guest", "n": 2})
    assert not made.applies({"tool": "other", "role": "guest", "n": 2})
    assert not made.applies({"tool": "pay", "role": "agent", "n": 2})
    assert not made.applies({"role": "guest", "n": 2})


# ── who wins ────────────────────────────────────────────────────────────────────────────────


def decide(*rules: PolicyRule, facts: Mapping[str, Any] | None = None, tool: str = "pay") -> PolicyDecision:
    return Policies(rules).act(tool, facts or {})


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_deny_wins_over_approval_and_approval_over_allow(order: tuple[int, ...]) -> None:
    rules = [rule("a", "allow", severity="critical"), rule("n", "needs_approval"), rule("d", "deny", severity="minor")]
    shuffled = [rules[index] for index in order]
    assert decide(*shuffled).rule == "d"
    assert decide(*shuffled).verdict == "deny"
    without_deny = [entry for entry in shuffled if entry.id != "d"]
    assert decide(*without_deny).verdict == "needs_approval"
    assert decide(rules[0]).verdict == "allow"


def test_of_equal_effects_the_more_severe_decides() -> None:
    decision = decide(rule("m", severity="minor", message="small"), rule("c", severity="critical", message="large"))
    assert (decision.rule, decision.severity, decision.message) == ("c", "critical", "large")


def test_an_allowance_is_no_violation_and_no_rule_is_an_allowance() -> None:
    assert decide(rule("a", "allow", severity="critical")).severity == "none"
    assert decide() == PolicyDecision("act", "pay", "allow", "default", "none", "")
    assert decide(rule(), tool="other") == PolicyDecision("act", "other", "allow", "default", "none", "")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["allow", "needs_approval", "deny"]), st.booleans()), max_size=6))
def test_the_strongest_rule_that_applies_decides(spec: list[tuple[str, bool]]) -> None:
    rules = [
        rule(f"r{i}", effect, tools="pay" if fits else "x", **_tests(fits)) for i, (effect, fits) in enumerate(spec)
    ]
    effects = [effect for effect, fits in spec if fits] or ["allow"]
    expected = next(effect for effect in ("deny", "needs_approval", "allow") if effect in effects)
    assert decide(*rules).verdict == expected


def _tests(fits: bool) -> dict[str, Any]:
    return {"tests": [{"facts": {"tool": "pay"}, "applies": fits}, {"facts": {"tool": "x"}, "applies": not fits}]}


@pytest.mark.parametrize(
    ("approved", "verdict"), [(True, "allow"), (False, "needs_approval"), ("yes", "needs_approval")]
)
def test_an_approval_lifts_what_needs_one(approved: Any, verdict: str) -> None:
    decision = decide(rule("n", "needs_approval"), facts={"approved": approved})
    assert (decision.verdict, decision.rule) == (verdict, "n")


def test_no_approval_lifts_a_denial() -> None:
    assert decide(rule("n", "needs_approval"), rule("d"), facts={"approved": True}).verdict == "deny"


def test_a_tool_outside_the_contract_is_denied_whatever_rules_and_approvals_say() -> None:
    policies = Policies((rule("a", "allow"),), frozenset({"lookup"}))
    decision = policies.act("pay", {"approved": True})
    assert (decision.verdict, decision.rule, decision.severity) == ("deny", "contract.allowed_tools", "critical")
    assert policies.act("lookup", {}).verdict == "allow"
    assert Policies((), frozenset()).act("lookup", {}).verdict == "deny"


def test_facts_cannot_claim_to_be_another_tool() -> None:
    assert decide(rule(), facts={"tool": "harmless"}).verdict == "deny"


def test_rules_of_the_other_point_do_not_count() -> None:
    when = [{"field": "document.kind", "op": "eq", "value": "internal"}]
    tests = [{"facts": {"document.kind": "internal"}, "applies": True}, {"facts": {}, "applies": False}]
    document = rule("doc", point="retrieve", tools=(), when=when, tests=tests)
    policies = Policies((document, rule()))
    assert policies.retrieve("d", {"document.kind": "internal"}).verdict == "deny"
    assert policies.retrieve("d", {"document.kind": "policy", "tool": "pay"}).verdict == "allow"
    assert policies.act("other", {"document.kind": "internal"}).verdict == "allow"


# ── loading ─────────────────────────────────────────────────────────────────────────────────

GOOD: dict[str, Any] = {
    "id": "limit",
    "point": "act",
    "tools": "pay",
    "when": [{"field": "arguments.amount", "op": "gt", "value": 100}],
    "effect": "deny",
    "tests": [
        {"facts": {"tool": "pay", "arguments.amount": 101}, "applies": True},
        {"facts": {"tool": "pay", "arguments.amount": 100}, "applies": False},
    ],
}


def load(folder: Path, *rules: dict[str, Any]) -> Policies:
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"rules": list(rules)}, sort_keys=False), encoding="utf-8")
    return load_policies((path,), None)


def test_a_file_of_rules_is_loaded(tmp_path: Path) -> None:
    policies = load(tmp_path, GOOD)
    assert policies.act("pay", {"arguments.amount": 101}).rule == "limit"
    assert policies.act("pay", {"arguments.amount": 100}).verdict == "allow"


@pytest.mark.parametrize(
    ("change", "says", "key"),
    [
        ({"tests": GOOD["tests"][:1]}, "at least 2 items", "rules[0].tests"),
        ({"tests": [GOOD["tests"][0]] * 2}, "needs a test where it applies and one where it does not", "rules[0]"),
        ({"tests": [GOOD["tests"][1]] * 2}, "needs a test where it applies and one where it does not", "rules[0]"),
        ({"tests": [{**test, "applies": not test["applies"]} for test in GOOD["tests"]]}, "its test 1", "rules[0]"),
        ({"when": []}, "rule `limit` fails its test 2: applies is True", "rules[0]"),
        ({"tools": "other"}, "rule `limit` fails its test 1: applies is False", "rules[0]"),
        ({"effect": "forbid"}, "'allow', 'deny' or 'needs_approval'", "rules[0].effect"),
        ({"point": "answer"}, "'retrieve' or 'act'", "rules[0].point"),
        ({"severity": "bad"}, "'none', 'minor', 'major' or 'critical'", "rules[0].severity"),
        ({"when": [{"field": "a", "op": "is", "value": 1}]}, "'eq', 'ne'", "rules[0].when[0].op"),
        ({"when": [{"field": "a", "op": "eq", "value": 1, "ref": "b"}]}, "`value` or `ref`, not", "rules[0].when[0]"),
        ({"when": [{"field": "a", "op": "matches", "value": "("}]}, "not a regular expression", "rules[0].when[0]"),
        ({"unless": []}, "unknown key `unless`", "rules[0].unless"),
    ],
)  # fmt: skip
def test_a_rule_that_does_not_hold_is_refused(tmp_path: Path, change: dict[str, Any], says: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {**GOOD, **change})
    error = caught.value
    assert error.exit_code is ExitCode.CONFIG
    assert says in str(error)
    assert (error.file, error.key) == (str(tmp_path / "rules.yaml"), key)
    assert error.line is not None


def test_rules_of_several_files_work_together_and_ids_are_unique(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(json.dumps({"rules": [{**GOOD, "id": name}]}), encoding="utf-8")
    assert [r.id for r in load_policies((tmp_path / "a.yaml", tmp_path / "b.yaml"), None).rules] == ["a", "b"]
    with pytest.raises(ConfigError, match="the rule id occurs twice") as caught:
        load_policies((tmp_path / "a.yaml", tmp_path / "a.yaml"), None)
    assert (caught.value.file, caught.value.value) == (str(tmp_path / "a.yaml"), "a")


def test_an_id_twice_is_shown_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the rule id occurs twice") as caught:
        load(tmp_path, GOOD, {**GOOD, "effect": "allow"})
    lines = (tmp_path / "rules.yaml").read_text(encoding="utf-8").splitlines()
    second = [number for number, line in enumerate(lines, start=1) if "id: limit" in line][1]
    assert (caught.value.line, caught.value.key) == (second, "rules[1].id")
    assert str(tmp_path / "rules.yaml") in str(caught.value.fix)


# ── rules that cannot guard anything ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "condition",
    [{"field": "a", "op": "eq"}, {"field": "a", "op": "eq", "ref": "b"}, {"field": "a", "op": "in", "value": [None]}],
)
def test_a_missing_fact_fulfils_only_ne_not_in_and_exists(tmp_path: Path, condition: dict[str, Any]) -> None:
    tests = [{"facts": {}, "applies": True}, {"facts": {"a": 1}, "applies": False}]
    with pytest.raises(ConfigError, match="fails its test 1"):
        load(tmp_path, {**GOOD, "tools": [], "when": [condition], "tests": tests})


def test_exists_means_exists(tmp_path: Path) -> None:
    tests = [{"facts": {"a": 1}, "applies": True}, {"facts": {}, "applies": False}]
    assert load(tmp_path, {**GOOD, "tools": [], "when": [{"field": "a", "op": "exists"}], "tests": tests}).rules


def test_a_date_that_is_not_in_quotes_is_refused(tmp_path: Path) -> None:
    """YAML makes a date of it, which is no JSON: the rule would pass its tests and never apply."""
    (tmp_path / "rules.yaml").write_text(
        "rules:\n"
        "  - {id: frozen, point: act, effect: deny, when: [{field: arguments.day, op: eq, value: 2026-12-24}],\n"
        "     tests: [{facts: {arguments.day: 2026-12-24}, applies: true}, {facts: {}, applies: false}]}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match="2026-12-24 is no JSON value but a date: put it in quotes"):
        load_policies((tmp_path / "rules.yaml",), None)


def test_a_number_is_not_contained_in_a_text(tmp_path: Path) -> None:
    tests = [{"facts": {"a": [5]}, "applies": True}, {"facts": {"a": "b5"}, "applies": False}]
    policies = load(
        tmp_path, {**GOOD, "tools": [], "when": [{"field": "a", "op": "contains", "value": 5}], "tests": tests}
    )
    assert policies.act("pay", {"a": "5"}).verdict == "allow"


def test_a_pattern_cannot_come_from_a_request(tmp_path: Path) -> None:
    tests = [{"facts": {"a": "x", "b": "x"}, "applies": True}, {"facts": {"a": "x", "b": "y"}, "applies": False}]
    condition = {"field": "a", "op": "matches", "ref": "b"}
    with pytest.raises(ConfigError, match="matches"):
        load(tmp_path, {**GOOD, "tools": [], "when": [condition], "tests": tests})
