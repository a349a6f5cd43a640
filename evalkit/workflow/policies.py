"""Policy rules over documents and tool calls: deny wins, then approval, then allow.

A rule names the point where it is asked (``retrieve`` or ``act``), what it is about, its conditions and its effect.
Its facts are ``role``, ``tenant``, ``locale``, ``intent``, ``risk``, ``tool``, ``arguments.NAME``,
``document.ID|tenant|kind|trusted|roles`` and ``approved``. Every rule carries tests, and they are run when the file is
loaded: a rule that does not do what its tests say never guards anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from evalkit.configfile import FileModel, Texts, parse, read_yaml
from evalkit.errors import ConfigError
from evalkit.records import PolicyDecision, Severity
from evalkit.rules import Condition, Facts
from evalkit.values import JsonValue

__all__ = ["Policies", "PolicyFile", "PolicyRule", "RuleTest", "load_policies"]

Effect = Literal["allow", "deny", "needs_approval"]
_ORDER: dict[str, int] = {"deny": 2, "needs_approval": 1, "allow": 0}
_SEVERITIES = ("none", "minor", "major", "critical")


class RuleTest(FileModel):
    """An example that the rule must decide as stated, by itself."""

    facts: dict[str, JsonValue] = Field(description="The facts of the example.")
    applies: bool = Field(description="Whether the rule applies to it.")


class PolicyRule(FileModel):
    """One rule. It applies when its subject fits and all conditions hold."""

    id: str = Field(description="Named in traces and reports.")
    point: Literal["retrieve", "act"] = Field(description="Asked for a document (`retrieve`) or a tool call (`act`).")
    tools: Texts = Field(default=(), description="Tools it is about; empty is all.")
    when: tuple[Condition, ...] = Field(default=(), description="Conditions; empty always holds.")
    effect: Effect = Field(
        description="What it decides; the variable `approved: true` of a case lifts `needs_approval` for tool calls."
    )
    severity: Severity = Field(default="major", description="How bad a violation is.")
    message: str = Field(default="", description="Said to the model and to the reviewer.")
    tests: tuple[RuleTest, ...] = Field(min_length=2, description="At least one example each way.")

    def applies(self, facts: Facts) -> bool:
        """Whether the rule decides on these facts."""
        if self.tools and facts.get("tool") not in self.tools:
            return False
        return all(condition.holds(facts) for condition in self.when)

    @model_validator(mode="after")
    def _tested(self) -> PolicyRule:
        if {test.applies for test in self.tests} != {True, False}:
            raise ValueError(f"rule `{self.id}` needs a test where it applies and one where it does not")
        for number, test in enumerate(self.tests, start=1):
            if self.applies(test.facts) != test.applies:
                raise ValueError(f"rule `{self.id}` fails its test {number}: applies is {not test.applies}")
        return self


class PolicyFile(FileModel):
    """A file under `policies`."""

    rules: tuple[PolicyRule, ...] = Field(description="The rules; deny wins over approval, approval over allow.")


@dataclass(frozen=True)
class Policies:
    """All rules of a workflow."""

    rules: tuple[PolicyRule, ...] = ()
    allowed_tools: frozenset[str] | None = None
    """Tools of the contract; any other is denied, critically."""

    def act(self, tool: str, facts: Facts) -> PolicyDecision:
        """Decide on a tool call. ``approved`` among the facts satisfies ``needs_approval``."""
        if self.allowed_tools is not None and tool not in self.allowed_tools:
            return PolicyDecision(
                "act", tool, "deny", "contract.allowed_tools", "critical", f"`{tool}` is not in the contract"
            )
        decision = self._decide("act", tool, {**facts, "tool": tool})
        if decision.verdict == "needs_approval" and facts.get("approved") is True:
            return PolicyDecision("act", tool, "allow", decision.rule, "none", "approved")
        return decision

    def retrieve(self, document: str, facts: Facts) -> PolicyDecision:
        """Decide whether a document may be shown to the model for this person."""
        return self._decide("retrieve", document, facts)

    def _decide(self, point: Literal["retrieve", "act"], subject: str, facts: Facts) -> PolicyDecision:
        hits = [rule for rule in self.rules if rule.point == point and rule.applies(facts)]
        if not hits:
            return PolicyDecision(point, subject, "allow", "default")
        strongest = max(hits, key=lambda rule: (_ORDER[rule.effect], _SEVERITIES.index(rule.severity)))
        severity: Severity = "none" if strongest.effect == "allow" else strongest.severity
        return PolicyDecision(point, subject, strongest.effect, strongest.id, severity, strongest.message)


def load_policies(paths: tuple[Path, ...], allowed_tools: frozenset[str] | None) -> Policies:
    """Read policy files.

    Raises:
        ConfigError: when a file is wrong, a rule fails its tests, or an id occurs twice.
    """
    rules: list[PolicyRule] = []
    seen: dict[str, Path] = {}
    for path in paths:
        source = read_yaml(path)
        for index, rule in enumerate(parse(PolicyFile, source).rules):
            if rule.id in seen:
                raise ConfigError(
                    "the rule id occurs twice",
                    file=path,
                    line=source.line(("rules", index, "id")),
                    key=f"rules[{index}].id",
                    value=rule.id,
                    fix=f"rename one of the two; the first is in {seen[rule.id]}",
                )
            seen[rule.id] = path
            rules.append(rule)
    return Policies(tuple(rules), allowed_tools)
