from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, field_validator

from evalkit.configfile import FileModel, YamlFile, parse, read_yaml
from evalkit.errors import ConfigError, ExitCode, ToolSchemaError

PROJECT = """\
# a comment
name: shop
limits:
  cases: 3
  tags: [a, b]
steps:
- run: one
- run: two
  size: 4
"""


class Step(FileModel):
    run: str
    size: int = 1


class Limits(FileModel):
    cases: Annotated[int, Field(ge=1)] = 1
    tags: tuple[str, ...] = ()


class Shop(FileModel):
    name: str
    limits: Limits = Limits()
    steps: tuple[Step, ...] = ()
    named: dict[str, Step] = Field(default_factory=dict)
    either: int | Step = 1
    kind: str = Field(default="x", alias="type")

    @field_validator("name")
    @classmethod
    def _lower(cls, value: str) -> str:
        if value != value.lower():
            raise ValueError("Write the name in lower case")
        return value


def yaml_file(folder: Path, content: str | bytes) -> Path:
    path = folder / "shop.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(folder: Path, content: str | bytes) -> ConfigError:
    path = yaml_file(folder, content)
    with pytest.raises(ConfigError) as caught:
        parse(Shop, read_yaml(path))
    assert caught.value.file == str(path)
    assert caught.value.exit_code == ExitCode.CONFIG
    return caught.value


def test_a_file_is_read_with_the_line_of_every_key(tmp_path: Path) -> None:
    source = read_yaml(yaml_file(tmp_path, PROJECT))
    assert source.data == {
        "name": "shop",
        "limits": {"cases": 3, "tags": ["a", "b"]},
        "steps": [{"run": "one"}, {"run": "two", "size": 4}],
    }
    lines = PROJECT.splitlines()
    for location, text in {
        ("name",): "name: shop",
        ("limits", "cases"): "  cases: 3",
        ("limits", "tags", 1): "  tags: [a, b]",
        ("steps", 0): "- run: one",
        ("steps", 1, "run"): "- run: two",
        ("steps", 1, "size"): "  size: 4",
    }.items():
        assert lines[(source.line(location) or 0) - 1] == text


def test_a_place_without_a_line_has_that_of_its_nearest_parent(tmp_path: Path) -> None:
    source = read_yaml(yaml_file(tmp_path, PROJECT))
    assert source.line(("limits", "missing", "deeper")) == 3
    assert source.line(("missing",)) is None
    assert source.line(()) is None


def test_a_part_of_a_file_keeps_its_own_lines(tmp_path: Path) -> None:
    part = read_yaml(yaml_file(tmp_path, PROJECT)).at("steps", 1)
    assert (part.path, part.data) == (tmp_path / "shop.yaml", {"run": "two", "size": 4})
    assert (part.line(("run",)), part.line(("size",))) == (8, 9)
    assert parse(Step, part) == Step(run="two", size=4)
    with pytest.raises(ConfigError) as caught:
        parse(Limits, part)
    assert (caught.value.line, caught.value.key) == (8, "run")


def test_a_key_missing_from_a_part_of_a_file_has_the_line_of_the_part(tmp_path: Path) -> None:
    part = read_yaml(yaml_file(tmp_path, "name: a\nnamed:\n  first:\n    size: 3\n")).at("named", "first")
    with pytest.raises(ConfigError, match="the key `run` is missing") as caught:
        parse(Step, part)
    assert caught.value.line == 3


@pytest.mark.parametrize("content", ["", "# only a comment\n", "---\n", "null\n"])
def test_an_empty_file_holds_no_keys(tmp_path: Path, content: str) -> None:
    assert read_yaml(yaml_file(tmp_path, content)).data == {}


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(
        st.from_regex(r"k[a-z]{0,6}", fullmatch=True),
        st.integers() | st.booleans(),
        min_size=1, max_size=6,
    )
)  # fmt: skip
def test_each_key_of_a_flat_file_has_its_own_line(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    text = "".join(f"\n# about {key}\n{key}: {str(value).lower()}\n" for key, value in data.items())
    source = read_yaml(yaml_file(tmp_path_factory.mktemp("flat"), text))
    assert source.data == data
    assert source.lines == {(key,): 3 * number for number, key in enumerate(data, start=1)}


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("name: [1", 2, "expected ',' or ']'"),
        ("a: 1\n\tb: 2", 2, "not valid YAML: found "),
        ("name: *nobody", 1, "not valid YAML: found undefined alias"),
        ("name: a\n---\nname: b", 2, "not valid YAML: but found another document"),
        ("name: !!python/object/apply:os.getcwd []", 1, "not valid YAML: could not determine a constructor"),
        ("name: a\n? [list]\n: b", 2, "not valid YAML: found unhashable key"),
        ("name: a\x00b", None, "not valid YAML: unacceptable character #x0000"),
        (b"name: \xff\xfe", None, "not UTF-8 text (byte 6)"),
        ("name: a\nlimits: {}\nname: b", 3, "the key occurs twice"),
        ("name: a\nlimits:\n  cases: 1\n  cases: 2", 4, "the key occurs twice"),
    ],
)
def test_a_file_that_is_no_yaml_is_refused_with_its_line(
    tmp_path: Path, content: str | bytes, line: int | None, message: str
) -> None:
    error = refused(tmp_path, content)
    assert message in error.message
    assert error.line == line


def test_a_key_that_occurs_twice_is_named_with_its_path(tmp_path: Path) -> None:
    assert refused(tmp_path, "name: a\nsteps:\n- run: x\n  run: y").key == "steps[0].run"


def test_text_that_is_not_utf_8_says_what_to_do(tmp_path: Path) -> None:
    assert refused(tmp_path, "name: ü".encode("latin-1")).fix == "save the file as UTF-8"


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert read_yaml(yaml_file(tmp_path, b"\xef\xbb\xbfname: shop\n")).data == {"name": "shop"}


@pytest.mark.parametrize(
    ("name", "message"), [("missing.yaml", "No such file"), (".", "Is a directory"), ("file/x", "Not a directory")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=f"cannot read the file: {message}") as caught:
        read_yaml(tmp_path / name)
    assert caught.value.file == str(tmp_path / name)


@pytest.mark.parametrize("value", ["2026-02-30", "2026-13-01 10:00:00", "0b_", "!!int x", "!!float x", "!!timestamp x"])
def test_a_value_that_cannot_be_constructed_is_refused_with_its_line(tmp_path: Path, value: str) -> None:
    error = refused(tmp_path, f"name: a\nlimits: {value}\n")
    assert error.line == 2
    assert "put it in quotes if it is text" in error.message


def test_an_anchor_inside_itself_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, "name: a\nsteps: &loop [x, *loop]")
    assert (error.message, error.line, error.key) == ("the alias stands inside what it repeats", 2, "steps[1]")


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    source = read_yaml(yaml_file(tmp_path, "name: a\nsteps:\n- &one {run: x}\n- <<: *one\n  size: 2\n"))
    assert parse(Shop, source).steps == (Step(run="x"), Step(run="x", size=2))


def test_a_good_file_becomes_a_frozen_model(tmp_path: Path) -> None:
    shop = parse(Shop, read_yaml(yaml_file(tmp_path, PROJECT + "type: y\n")))
    assert shop == Shop(
        name="shop", limits=Limits(cases=3, tags=("a", "b")), steps=(Step(run="one"), Step(run="two", size=4)), type="y"
    )
    with pytest.raises(ValueError, match="frozen"):
        shop.name = "other"


@pytest.mark.parametrize("content", ["- 1", "text", "5"])
def test_a_file_without_keys_is_refused(tmp_path: Path, content: str) -> None:
    error = refused(tmp_path, content)
    assert error.message == "the file must hold keys and values"
    assert error.line == 1


@pytest.mark.parametrize(
    ("content", "key", "line", "fix"),
    [
        ("name: a\nlimit: {}", "limit", 2, "did you mean `limits`?"),
        ("name: a\nlimits:\n  case: 1", "limits.case", 3, "did you mean `cases`?"),
        ("name: a\nqqq: 1", "qqq", 2, "known keys here: either, limits, name, named, steps, type"),
        ("name: a\nlimits:\n  zzz: 1", "limits.zzz", 3, "known keys here: cases, tags"),
        ("name: a\ntyp: y", "typ", 2, "did you mean `type`?"),
    ],
)
def test_an_unknown_key_is_named_with_line_and_the_nearest_known_one(
    tmp_path: Path, content: str, key: str, line: int, fix: str
) -> None:
    error = refused(tmp_path, content)
    assert error.message == f"unknown key `{key.rpartition('.')[2]}`"
    assert (error.key, error.line, error.fix) == (key, line, fix)


@pytest.mark.parametrize(
    ("content", "key", "line"),
    [
        ("name: a\nsteps:\n- run: x\n  sise: 1", "steps[0].sise", 4),
        ("name: a\nnamed:\n  first:\n    run: x\n    sise: 1", "named.first.sise", 5),
        ("name: a\nnamed:\n  run: {run: x, sise: 1}", "named.run.sise", 3),
        ("name: a\neither: {run: x, sise: 1}", "either.sise", 2),
    ],
)
def test_an_unknown_key_inside_a_list_or_a_named_entry_gets_the_same_help(
    tmp_path: Path, content: str, key: str, line: int
) -> None:
    error = refused(tmp_path, content)
    assert error.message.startswith("unknown key `sise`")
    assert (error.key, error.line, error.value) == (key, line, 1)
    assert error.fix == "did you mean `size`?"


def test_an_unknown_key_is_reported_before_what_it_makes_missing(tmp_path: Path) -> None:
    error = refused(tmp_path, "nmae: a")
    assert error.message == "unknown key `nmae`", "what is missing is the key that is meant: no second problem"
    assert error.fix == "did you mean `name`?"


@pytest.mark.parametrize(
    ("content", "key", "line", "fix"),
    [
        ("", "name", None, "add `name:`"),
        ("limits: {}", "name", None, "add `name:`"),
        ("name: a\nsteps:\n- run: x\n- size: 3", "steps[1].run", 4, "add `run:`"),
        ("name: a\nnamed:\n  first: {size: 3}", "named.first.run", 3, "add `run:`"),
    ],
)
def test_a_missing_key_is_named_with_the_line_of_its_parent(
    tmp_path: Path, content: str, key: str, line: int | None, fix: str
) -> None:
    error = refused(tmp_path, content)
    assert error.message == f"the key `{key}` is missing"
    assert (error.key, error.line, error.fix) == (key, line, fix)


@pytest.mark.parametrize(
    ("content", "key", "line", "value", "message"),
    [
        ("name: a\nlimits: {cases: many}", "limits.cases", 2, "many", "input should be a valid integer"),
        ("name: a\nlimits:\n  cases: 0", "limits.cases", 3, 0, "input should be greater than or equal to 1"),
        ("name: a\nsteps: x", "steps", 2, "x", "input should be a valid tuple"),
        ("name: 5", "name", 1, 5, "input should be a valid string"),
        ("name: Shop", "name", 1, "Shop", "write the name in lower case"),
        ("name: a\nlimits:\n  tags:\n  - x\n  - 5", "limits.tags[1]", 5, 5, "input should be a valid string"),
    ],
)
def test_a_wrong_value_is_named_with_key_line_and_value(
    tmp_path: Path, content: str, key: str, line: int, value: object, message: str
) -> None:
    error = refused(tmp_path, content)
    assert error.message.startswith(message)
    assert (error.key, error.line, error.value) == (key, line, value)


def test_a_wrong_value_of_a_union_is_named_with_keys_of_the_file_only(tmp_path: Path) -> None:
    assert refused(tmp_path, "name: a\neither: {run: x, size: many}").key in {"either", "either.size"}


@pytest.mark.parametrize(
    ("content", "key"), [("name: a\n1: x", "1"), ("name: a\nnull: x", "null"), ("name: a\nno: x", "no")]
)
def test_a_key_that_is_no_text_is_named_with_its_line_and_the_fix(tmp_path: Path, content: str, key: str) -> None:
    error = refused(tmp_path, content)
    assert (error.message, error.key, error.line, error.fix) == ("the key is not text", key, 2, f'write "{key}":')


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: a\neither: {run: x, sise: 1}", "unknown key `sise`"),
        ("name: a\neither: {run: x, sise: 1}\nsteps: y", "unknown key `sise` (and 1 more)"),
        ("nmae: a\nsteps: y", "unknown key `nmae` (and 1 more)"),
    ],
)
def test_what_the_other_kinds_of_a_union_say_is_no_further_problem(tmp_path: Path, content: str, message: str) -> None:
    assert refused(tmp_path, content).message == message


def test_the_number_of_further_problems_is_told(tmp_path: Path) -> None:
    assert refused(tmp_path, "name: 5\nlimits: {cases: x}\nsteps: y").message.endswith("(and 2 more)")


def test_the_error_class_can_be_chosen(tmp_path: Path) -> None:
    source = read_yaml(yaml_file(tmp_path, "nope: 1"))
    with pytest.raises(ToolSchemaError) as caught:
        parse(Shop, source, ToolSchemaError)
    assert caught.value.exit_code == ExitCode.TOOL_SCHEMA
    with pytest.raises(ToolSchemaError, match="keys and values"):
        parse(Shop, YamlFile(tmp_path, [1]), ToolSchemaError)


def test_the_message_shows_file_line_key_value_and_fix(tmp_path: Path) -> None:
    assert str(refused(tmp_path, "name: a\nlimits:\n  case: 1")).splitlines() == [
        f"{tmp_path / 'shop.yaml'}:3: unknown key `case`",
        "  key:   limits.case",
        "  value: 1",
        "  fix:   did you mean `cases`?",
    ]
