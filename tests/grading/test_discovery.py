"""Where graders come from: the project's folder and installed packages."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.errors import GraderError
from evalkit.grading import Grading, available, make_graders
from evalkit.records import Case, Message, Trace
from tests.grading.conftest import HEADER, grader_source

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
SHIPPED = set(tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["entry-points"]["evalkit.graders"])
CASE = Case("c", (Message("user", "?"),))
TRACE = Trace("w", "c", 0, "ok", "yes please")


def test_the_shipped_graders_are_found_by_entry_point_and_say_where_from() -> None:
    found = available()
    assert found.keys() == SHIPPED
    assert all(info.origin.startswith("evalkit ") for info in found.values())
    assert {name: info.grader_class().name for name, info in found.items()} == {name: name for name in SHIPPED}


def test_a_grader_of_another_package_is_found_and_used(install: Callable[..., None]) -> None:
    install("acme-graders", "acme_polite", HEADER + grader_source(), {"polite": "acme_polite:Polite"})
    assert available()["polite"].origin == "acme-graders 2.5"
    assert Grading(make_graders([("polite", {})])).grade(CASE, TRACE)[0].passed is True


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("import nothing_by_that_name", "Polite", "ModuleNotFoundError: No module named 'nothing_by_that_name'"),
        (HEADER, "Polite", "AttributeError"),
        ("Polite = 3", "Polite", "not a subclass of evalkit.grading.Grader"),
        ("class Polite: pass", "Polite", "not a subclass of evalkit.grading.Grader"),
    ],
)
def test_a_package_whose_grader_cannot_be_loaded_is_named_when_it_is_used(
    install: Callable[..., None], source: str, target: str, message: str, request: pytest.FixtureRequest
) -> None:
    module = f"acme_{request.node.callspec.indices['source']}"
    install("acme-graders", module, source, {"polite": f"{module}:{target}"})
    assert "polite" in available(), "listing loads nothing"
    with pytest.raises(GraderError, match=message) as caught:
        make_graders([("polite", {})])
    assert (caught.value.file, caught.value.key) == ("acme-graders 2.5", "polite")


def test_two_packages_with_a_grader_of_the_same_name_are_refused(install: Callable[..., None]) -> None:
    install("acme-one", "acme_one", HEADER + grader_source(), {"polite": "acme_one:Polite"})
    install("acme-two", "acme_two", HEADER + grader_source(returns="Grade.check(True)"), {"polite": "acme_two:Polite"})
    with pytest.raises(GraderError, match="two packages have a grader named `polite`") as caught:
        make_graders([("polite", {})])
    assert (caught.value.key, caught.value.value) == ("polite", "acme-one 2.5 and acme-two 2.5")


def test_a_name_of_two_packages_is_no_trouble_where_the_project_has_its_own_or_uses_another(
    install: Callable[..., None], project_with: Callable[..., Path]
) -> None:
    for package in ("acme-three", "acme-four"):
        install(package, "acme_three", HEADER + grader_source(), {"polite": "acme_three:Polite"})
    assert len(make_graders([("answer", {})])) == 1
    root = project_with({"mine.py": HEADER + grader_source()})
    assert available(root)["polite"].origin == str(root / "graders" / "mine.py")
    assert len(make_graders([("polite", {})], root)) == 1


def test_an_entry_point_under_another_name_than_the_graders_is_refused(install: Callable[..., None]) -> None:
    install("acme-graders", "acme_other", HEADER + grader_source("polite"), {"kind": "acme_other:Polite"})
    with pytest.raises(GraderError, match="the entry point `kind` leads to a grader named `polite`") as caught:
        make_graders([("kind", {})])
    assert (caught.value.file, caught.value.fix) == ("acme-graders 2.5", "register it as `polite`")


def test_the_projects_own_grader_wins_over_an_installed_one(project_with: Callable[..., Path]) -> None:
    root = project_with({"mine.py": HEADER + grader_source("answer")})
    assert available(root).keys() == SHIPPED
    assert available(root)["answer"].origin == str(root / "graders" / "mine.py")
    score = Grading(make_graders([("answer", {})], root)).grade(CASE, TRACE)[0]
    assert (score.grader, score.passed) == ("answer", True), "the shipped one is not applicable to this case"


def test_only_concrete_classes_of_the_folders_own_public_files_are_taken(project_with: Callable[..., Path]) -> None:
    several = (
        "from abc import abstractmethod\nfrom evalkit_graders.answer import Answer\n"
        + HEADER
        + grader_source("one", kind="One")
        + grader_source("two", kind="Two")
        + "class Base(Grader):\n    @abstractmethod\n    def words(self): ...\n"
    )
    root = project_with(
        {"several.py": several, "_private.py": "raise RuntimeError", "notes.txt": "x", "below/deep.py": "raise OSError"}
    )
    found = available(root)
    assert found.keys() == SHIPPED | {"one", "two"}
    assert found["answer"].origin.startswith("evalkit ")


def test_a_project_without_a_folder_or_with_a_file_of_that_name_has_none_of_its_own(tmp_path: Path) -> None:
    assert available(tmp_path).keys() == SHIPPED
    (tmp_path / "graders").write_text("x", encoding="utf-8")
    assert available(tmp_path).keys() == SHIPPED


@pytest.mark.parametrize(
    ("source", "message", "line"),
    [
        ("import nothing_by_that_name\n", "ModuleNotFoundError: No module named 'nothing_by_that_name'", None),
        ("x = 1\ndef f(:\n", "SyntaxError", 2),
        ("raise ValueError('the table is missing')\n", "ValueError: the table is missing", None),
        ("\x00", "null bytes", None),
    ],
    ids=["import", "syntax", "raise", "nul"],
)
def test_a_file_that_cannot_be_imported_is_named_with_the_reason(
    project_with: Callable[..., Path], source: str, message: str, line: int | None
) -> None:
    root = project_with({"broken.py": source, "good.py": HEADER + grader_source()})
    with pytest.raises(GraderError, match=message) as caught:
        make_graders([("polite", {})], root)
    assert (caught.value.file, caught.value.line) == (str(root / "graders" / "broken.py"), line)
    assert caught.value.exit_code == 14


def test_a_file_that_exits_while_it_is_imported_is_an_error(project_with: Callable[..., Path]) -> None:
    with pytest.raises(GraderError, match="SystemExit"):
        available(project_with({"leaves.py": "import sys\nsys.exit(0)\n"}))


def test_a_name_twice_in_the_folder_is_refused_naming_both_files(project_with: Callable[..., Path]) -> None:
    root = project_with({"a.py": HEADER + grader_source(), "b.py": HEADER + grader_source(kind="Again")})
    with pytest.raises(GraderError, match="twice") as caught:
        available(root)
    assert caught.value.file == str(root / "graders" / "b.py")
    assert caught.value.key == "polite"
    assert caught.value.value == str(root / "graders" / "a.py")


def test_a_second_name_for_the_same_class_is_no_second_grader(project_with: Callable[..., Path]) -> None:
    root = project_with({"a.py": HEADER + grader_source() + "Default = Polite\n"})
    assert available(root).keys() == SHIPPED | {"polite"}


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(HEADER + grader_source(version="1"), id="version is a number"),
        pytest.param(HEADER + grader_source().replace('    version: ClassVar[str] = "1"\n', ""), id="no version"),
        pytest.param(HEADER + grader_source(name=""), id="empty name"),
    ],
)
def test_a_projects_grader_needs_a_name_and_a_version(project_with: Callable[..., Path], source: str) -> None:
    root = project_with({"a.py": source})
    with pytest.raises(GraderError, match="needs a name and a version") as caught:
        available(root)
    assert (caught.value.file, caught.value.key) == (str(root / "graders" / "a.py"), "Polite")
