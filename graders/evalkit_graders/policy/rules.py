"""A rule, its conditions and the examples that it must decide as stated.

Conditions mean what they mean in the policies that guard a trial (:class:`evalkit.rules.Condition`); two more read
wording. An example that a rule decides otherwise is an error when the grader is made, so that no rule judges that does
not do what its author says.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from evalkit.configfile import FileModel, Texts
from evalkit.grading.textual import contains
from evalkit.records import Json
from evalkit.rules import Condition, Facts
from evalkit.values import JsonValue
from evalkit_graders.policy.patterns import check_bounded

__all__ = ["Example", "Point", "Rule", "Wording", "parse_rules"]

Point = Literal["prompt", "document", "tool_call", "answer"]


class Wording(FileModel):
    """Whether a text says something, as whole words, whatever the case, accents, punctuation and number format."""

    field: str = Field(description="The fact, for example `text`, `arguments.note`.")
    op: Literal["says", "not_says"] = Field(description="A missing fact fulfils only `not_says`.")
    value: Texts = Field(min_length=1, description="Wordings: one of them is said, or none of them.")

    @model_validator(mode="after")
    def _valid(self) -> Wording:
        if not all(wording.strip() for wording in self.value):
            raise ValueError("an empty wording is said by every text: write what must be looked for")
        return self

    def holds(self, facts: Facts) -> bool:
        """Whether one of the wordings is said, or none of them."""
        fact = facts.get(self.field)
        said = fact is not None and any(contains(_text(fact), wording) for wording in self.value)
        return said is (self.op == "says")


def _text(fact: Json) -> str:
    return fact if isinstance(fact, str) else json.dumps(fact, ensure_ascii=False)


def _kind_of_condition(value: Any) -> str:
    operator = value.get("op") if isinstance(value, dict) else getattr(value, "op", None)
    return "wording" if operator in ("says", "not_says") else "comparison"


AnyCondition = Annotated[
    Annotated[Condition, Tag("comparison")] | Annotated[Wording, Tag("wording")], Discriminator(_kind_of_condition)
]


class Example(FileModel):
    """Facts that the rule, by itself, must find violated or not."""

    facts: dict[str, JsonValue] = Field(description="The facts of the example.")
    violated: bool = Field(description="Whether the rule is violated by them.")


class Rule(FileModel):
    """What must not be, needs approval, or must hold, at one point of a trial."""

    id: str = Field(min_length=1, max_length=100, description="Named in labels and evidence.")
    point: Point = Field(description="What it is asked about: each document and tool call, the prompt, the answer.")
    tools: Texts = Field(default=(), description="Tools that a rule of tool calls is about; empty is all.")
    when: tuple[AnyCondition, ...] = Field(default=(), description="Conditions; empty always holds.")
    effect: Literal["deny", "needs_approval", "require"] = Field(
        description="What holds `when` the conditions do: it is wrong, wrong without approval, or `require` must hold."
    )
    require: tuple[AnyCondition, ...] = Field(default=(), description="What must hold, for the effect `require`.")
    stopped: bool = Field(default=False, description="Whether tool calls that a policy stopped at run time count too.")
    severity: Literal["minor", "major", "critical"] = Field(default="major", description="How bad a violation is.")
    message: str = Field(default="", max_length=500, description="Said to the reviewer.")
    tests: tuple[Example, ...] = Field(min_length=2, description="At least one example each way.")

    def violated(self, facts: Facts) -> bool:
        """Whether the facts violate the rule; ``approved`` among them satisfies ``needs_approval``."""
        if self.tools and facts.get("tool") not in self.tools:
            return False
        if not all(condition.holds(facts) for condition in self.when):
            return False
        if self.effect == "require":
            return not all(condition.holds(facts) for condition in self.require)
        return self.effect == "deny" or facts.get("approved") is not True

    @property
    def conditions(self) -> tuple[Condition | Wording, ...]:
        """All conditions of the rule."""
        return (*self.when, *self.require)

    @model_validator(mode="after")
    def _valid(self) -> Rule:
        if (self.effect == "require") is not bool(self.require):
            raise ValueError(f"rule `{self.id}`: the effect `require` and conditions under `require` go together")
        if (self.tools or self.stopped) and self.point != "tool_call":
            raise ValueError(f"rule `{self.id}`: `tools` and `stopped` are for the point `tool_call`")
        for condition in self.conditions:
            if condition.op == "matches":
                check_bounded(condition.value)
        if {example.violated for example in self.tests} != {True, False}:
            raise ValueError(f"rule `{self.id}` needs a test that violates it and one that does not")
        for number, example in enumerate(self.tests, start=1):
            if self.violated(example.facts) != example.violated:
                raise ValueError(f"rule `{self.id}` fails its test {number}: violated is {not example.violated}")
        return self


def parse_rules(rules: tuple[Any, ...]) -> tuple[Rule, ...]:
    """Rules from the parameters of a grader.

    Raises:
        ValueError: with the key of the first mistake, also where a rule fails its tests or an id occurs twice.
    """
    parsed: list[Rule] = []
    for index, data in enumerate(rules):
        try:
            rule = Rule.model_validate(data)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            keys = [key for key in problem["loc"] if key not in ("comparison", "wording")]
            place = re.sub(r"\.(\d+)", r"[\1]", ".".join(["rules", str(index), *map(str, keys)]))
            raise ValueError(f"{place}: {problem['msg'].removeprefix('Value error, ')}") from None
        if any(rule.id == other.id for other in parsed):
            raise ValueError(f"rules[{index}].id: the rule id `{rule.id}` occurs twice: rename one of the two")
        parsed.append(rule)
    return tuple(parsed)
