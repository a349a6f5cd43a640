"""Parameters of graders: checked when they are made, with errors that say where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import GraderError
from evalkit.grading import available, make_graders
from evalkit_graders.cost import Cost
from evalkit_graders.groundedness import Groundedness
from evalkit_graders.tool_call import ToolCallValidity
from tests.grading.conftest import HEADER, grader_source


def test_graders_come_in_the_order_asked_for_with_their_parameters() -> None:
    made = make_graders(
        [
            ("tool_call", {"text": "exact", "ignore": ["think", "note"]}),
            ("cost", {}),
            ("groundedness", {"min_support": 1}),
        ]
    )
    assert made == (ToolCallValidity(text="exact", ignore=("think", "note")), Cost(), Groundedness(min_support=1.0))
    assert make_graders([]) == ()


def test_an_unknown_grader_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(GraderError, match="no grader `rudeness`") as caught:
        make_graders([("rudeness", {})])
    assert caught.value.fix == f"graders here: {', '.join(available())}"


def test_a_grader_named_twice_is_an_error() -> None:
    with pytest.raises(GraderError, match="twice") as caught:
        make_graders([("cost", {}), ("cost", {"max_usd": 1.0})])
    assert (caught.value.key, caught.value.value) == ("graders", "cost")


@pytest.mark.parametrize(
    ("name", "parameters", "key", "fix"),
    [
        ("cost", {"max_eur": 1}, "graders.cost.params.max_eur", "parameters: max_usd"),
        (
            "refusal",
            {"strict": True},
            "graders.refusal.params.strict",
            "parameters: refuting_is_answer, unable_is_refusal",
        ),
        ("ttft", {"margin": 1}, "graders.ttft.params.margin", "parameters: max_seconds"),
    ],
)
def test_an_unknown_parameter_is_an_error_that_lists_the_known_ones(
    name: str, parameters: Mapping[str, Any], key: str, fix: str
) -> None:
    with pytest.raises(GraderError, match=f"grader `{name}` has no parameter") as caught:
        make_graders([(name, parameters)])
    assert (caught.value.key, caught.value.fix) == (key, fix)


@pytest.mark.parametrize(
    ("name", "parameter", "value", "message"),
    [
        ("cost", "max_usd", "a dollar", "valid number"),
        ("latency", "max_seconds", [8], "valid number"),
        ("refusal", "unable_is_refusal", "perhaps", "valid boolean"),
        ("tool_call", "text", "strict", "'lenient' or 'exact'"),
        ("tool_call", "ignore", "think", "valid tuple"),
        ("groundedness", "min_value", None, "valid number"),
    ],
)
def test_a_wrong_parameter_names_grader_key_and_value(name: str, parameter: str, value: Any, message: str) -> None:
    with pytest.raises(GraderError, match=message) as caught:
        make_graders([(name, {parameter: value})])
    assert (caught.value.key, caught.value.value) == (f"graders.{name}.params.{parameter}", value)
    assert caught.value.exit_code == 14


def test_a_missing_parameter_is_named(project_with: Callable[..., Path]) -> None:
    root = project_with({"a.py": HEADER + grader_source(body="words: tuple[str, ...]")})
    with pytest.raises(GraderError, match="required") as caught:
        make_graders([("polite", {})], root)
    assert caught.value.key == "graders.polite.params.words"


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_parameters_of_a_projects_grader_are_converted_and_checked(
    project_with: Callable[..., Path], future: str
) -> None:
    root = project_with({"a.py": future + HEADER + grader_source(body="most: int = 3")})
    (grader,) = make_graders([("polite", {"most": 5})], root)
    assert getattr(grader, "most") == 5  # noqa: B009
    with pytest.raises(GraderError, match="integer") as caught:
        make_graders([("polite", {"most": "five"})], root)
    assert (caught.value.key, caught.value.value) == ("graders.polite.params.most", "five")


RANGE = "most: int = 3\n    def __post_init__(self):\n        if self.most < 1: raise ValueError('most is 1 or more')"


def test_a_graders_own_check_of_its_parameters_is_shown(project_with: Callable[..., Path]) -> None:
    root = project_with({"a.py": HEADER + grader_source(body=RANGE)})
    with pytest.raises(GraderError, match="most is 1 or more") as caught:
        make_graders([("polite", {"most": 0})], root)
    assert caught.value.value == {"most": 0}


def test_a_check_of_all_parameters_together_names_them_as_one_key(project_with: Callable[..., Path]) -> None:
    root = project_with({"a.py": HEADER + grader_source(body=RANGE)})
    with pytest.raises(GraderError) as caught:
        make_graders([("polite", {"most": 0})], root)
    assert caught.value.key == "graders.polite.params"


def test_a_grader_without_the_decorator_is_refused_with_the_fix(project_with: Callable[..., Path]) -> None:
    root = project_with({"a.py": HEADER + grader_source(decorator="# no decorator")})
    with pytest.raises(GraderError, match="frozen dataclass") as caught:
        make_graders([("polite", {})], root)
    assert "@dataclass(frozen=True)" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("most: int = 3\n    def __post_init__(self): raise SystemExit(0)", "SystemExit: 0"),
        ("most: int = 3\n    def __post_init__(self): {}['most']", "KeyError: 'most'"),
        ("most: 'Unknown' = 3", "not fully defined"),
        ("most: type(iter('')) = 3", "Unable to generate"),
    ],
    ids=["exits", "raises", "unknown type", "type that cannot be checked"],
)
def test_a_grader_that_cannot_be_made_is_named_with_its_file(
    project_with: Callable[..., Path], body: str, message: str
) -> None:
    root = project_with({"a.py": HEADER + grader_source(body=body)})
    with pytest.raises(GraderError, match=message) as caught:
        make_graders([("polite", {})], root)
    assert caught.value.file == str(root / "graders" / "a.py")
    assert "grader `polite`" in caught.value.message
