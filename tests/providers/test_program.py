"""A project's Python modules: what counts as the program, and that what runs is what was hashed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from evalkit.errors import ConfigError
from evalkit.providers.program import Program, place, program_at, said

pytestmark = pytest.mark.usefixtures("clean_interpreter")


def lay(folder: Path, **files: str) -> Path:
    """Write modules; two underscores in a name stand for a folder."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def app(folder: Path) -> Path:
    """A package with modules that import each other in several ways, and one that none imports."""
    lay(
        folder,
        app__support="""
from app import texts
from .shared.words import GREETING

def answer(request):
    return texts.say(GREETING)
""",
        app__texts="""
def say(word):
    import app.late
    return word + app.late.END
""",
        app__late="END = '!'\n",
        app__shared__words="GREETING = 'hello'\n",
        app__other="UNUSED = 1\n",
    )
    (folder / "app/__init__.py").write_text("")
    return folder


def test_modules_of_the_project_are_found_with_what_they_import_later(tmp_path: Path) -> None:
    module = program_at(app(tmp_path)).load("app.support")
    assert module.answer({}) == "hello!"
    assert Path(str(module.__file__)).parent == tmp_path / "app"


def test_the_digest_covers_what_a_module_imports_and_nothing_else(tmp_path: Path) -> None:
    root = app(tmp_path)
    before = Program(root).digest("app.support")
    for name in ("support", "texts", "late", "shared/words", "__init__"):
        path = root / f"app/{name}.py"
        text = path.read_text()
        path.write_text(text + "# changed\n")
        assert Program(root).digest("app.support") != before, name
        path.write_text(text)
    (root / "app/other.py").write_text("UNUSED = 2\n")
    (root / "unrelated.py").write_text("")
    assert Program(root).digest("app.support") == before
    moved = app(tmp_path / "elsewhere")
    assert Program(moved).digest("app.support") == before


def test_the_digest_does_not_depend_on_what_was_imported_before(tmp_path: Path) -> None:
    root = app(tmp_path)
    alone = Program(root).digest("app.support")
    current = program_at(root)
    current.load("app.other")
    current.load("app.support")
    assert current.digest("app.support") == alone


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("import helper", True),
        ("import helper as h, os", True),
        ("from helper import thing", True),
        ("from . import helper", False),
        ("def f():\n    if 1:\n        from helper import *", True),
        ("import os.helper", False),
        ("text = 'import helper'", False),
    ],
)
def test_which_imports_count(tmp_path: Path, line: str, counts: bool) -> None:
    lay(tmp_path, pack__main=line + "\n", helper="thing = 1\n")
    before = Program(tmp_path).digest("pack.main")
    lay(tmp_path, helper="thing = 2\n")
    assert (Program(tmp_path).digest("pack.main") != before) is counts


def test_a_source_that_does_not_parse_has_a_digest_all_the_same(tmp_path: Path) -> None:
    lay(tmp_path, broken="def (:\n")
    first = Program(tmp_path).digest("broken")
    lay(tmp_path, broken="def )(:\n")
    assert Program(tmp_path).digest("broken") != first


def test_modules_that_are_unchanged_are_not_run_twice(tmp_path: Path) -> None:
    lay(tmp_path, state="import made\nmade.COUNT.append(1)\n", made="COUNT = []\n")
    program_at(tmp_path).load("state")
    again = program_at(tmp_path).load("state")
    assert again.made.COUNT == [1]


def test_a_change_on_disk_is_run_at_once(tmp_path: Path) -> None:
    """Same size, same second: compiled code of the earlier text would still be taken for current."""
    lay(tmp_path, top="import below\nVALUE = below.N\n", below="N = 1\n")
    digests, values = set(), []
    for number in (1, 2, 3):
        lay(tmp_path, below=f"N = {number}\n")
        current = program_at(tmp_path)
        values.append(current.load("top").VALUE)
        digests.add(current.digest("top"))
    assert values == [1, 2, 3]
    assert len(digests) == 3
    assert not list(tmp_path.rglob("*.pyc"))


def test_what_runs_is_what_was_hashed_even_when_the_file_changes_in_between(tmp_path: Path) -> None:
    lay(tmp_path, late="N = 1\n")
    current = program_at(tmp_path)
    before = current.digest("late")
    lay(tmp_path, late="N = 2\n")
    assert current.load("late").N == 1
    assert current.digest("late") == before


def test_two_projects_may_use_the_same_names(tmp_path: Path) -> None:
    for name in ("one", "two"):
        lay(
            tmp_path / name,
            app__support=f"from app.name import NAME\nWHO = NAME + '/{name}'\n",
            app__name=f"NAME = '{name}'\n",
        )
    assert program_at(tmp_path / "one").load("app.support").WHO == "one/one"
    assert program_at(tmp_path / "two").load("app.support").WHO == "two/two"
    assert program_at(tmp_path / "one").load("app.support").WHO == "one/one"


def test_a_module_of_python_is_never_replaced(tmp_path: Path) -> None:
    lay(tmp_path, colorsys="raise SystemExit\n", main="import colorsys\nH = colorsys.rgb_to_hls\n")
    assert callable(program_at(tmp_path).load("main").H)


def test_a_folder_does_not_hide_an_installed_package(tmp_path: Path) -> None:
    (tmp_path / "jinja2").mkdir()
    (tmp_path / "only_here").mkdir()
    lay(
        tmp_path,
        only_here__mod="N = 1\n",
        main="import jinja2, only_here.mod\nN = only_here.mod.N\nV = jinja2.Template\n",
    )
    loaded = program_at(tmp_path).load("main")
    assert (loaded.N, loaded.V.__module__) == (1, "jinja2.environment")


def test_a_name_that_something_else_has_already_is_refused(tmp_path: Path) -> None:
    lay(tmp_path, yaml="N = 1\n")
    importlib.import_module("yaml")
    with pytest.raises(ConfigError, match="another module has the name `yaml` already") as caught:
        program_at(tmp_path).load("yaml")
    assert caught.value.fix == "rename the module"


@pytest.mark.parametrize(
    ("text", "why", "line"),
    [
        ("x = 1\ndef (:\n", "SyntaxError: invalid syntax", 2),
        (
            "import os\nimport no_such_module_at_all\n",
            "ModuleNotFoundError: No module named 'no_such_module_at_all'",
            2,
        ),
        ("\n\nraise ValueError('bad\x1b[2J start')\n", "ValueError: bad", 3),
        ("raise SystemExit(3)\n", "SystemExit: 3", 1),
    ],
)
def test_a_module_that_cannot_be_imported_says_where(tmp_path: Path, text: str, why: str, line: int) -> None:
    lay(tmp_path, bad=text)
    with pytest.raises(ConfigError) as caught:
        program_at(tmp_path).load("bad")
    assert f"the module `bad` cannot be imported: {why}" in str(caught.value)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "bad.py"), line)
    assert "\x1b" not in str(caught.value)
    assert "bad" not in sys.modules


def test_a_module_that_was_put_right_is_imported(tmp_path: Path) -> None:
    lay(tmp_path, fixed="raise ValueError\n")
    with pytest.raises(ConfigError):
        program_at(tmp_path).load("fixed")
    lay(tmp_path, fixed="N = 1\n")
    assert program_at(tmp_path).load("fixed").N == 1


def test_forgetting_leaves_the_interpreter_as_it_was(tmp_path: Path) -> None:
    before, hooks = set(sys.modules), list(sys.meta_path)
    current = program_at(app(tmp_path))
    current.load("app.support").answer({})
    assert "app.late" in sys.modules
    current.forget()
    assert {name for name in set(sys.modules) - before if name.startswith("app")} == set()
    assert sys.meta_path == hooks


def test_a_place_is_told_as_the_project_sees_it(tmp_path: Path) -> None:
    lay(tmp_path, deep__fails="import json\ndef go():\n    json.loads('{')\n")
    module = program_at(tmp_path).load("deep.fails")
    with pytest.raises(ValueError, match="Expecting") as caught:
        module.go()
    assert place(caught.value, tmp_path) == "deep/fails.py:3"
    assert place(caught.value, tmp_path / "other").startswith("json/decoder.py:")
    assert place(ValueError(), tmp_path) == ""


def test_an_exception_without_a_text_is_told_all_the_same() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert said(MuteError()) == "MuteError: its text cannot be made"
    assert said(ValueError()) == "ValueError"
    assert len(said(ValueError("x" * 10**6))) <= 300
