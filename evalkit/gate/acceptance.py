"""The file of accepted regressions: ``acceptances.yaml`` beside ``evalkit.yaml``, reviewed like code.

One file for all workflows, so that one line of CODEOWNERS guards it and a pull request shows an acceptance as what it
is: so many new lines with a reason, an owner and a date. What an entry binds is told in ``docs/accepting.md``; what the
gate makes of it is in :mod:`evalkit.gate.accepted`, and who writes it in :mod:`evalkit.gate.accepting`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, field_validator, model_validator

from evalkit.atomic import write_text
from evalkit.configfile import FileModel, Texts, YamlFile, parse, read_yaml
from evalkit.errors import ConfigError
from evalkit.workflow import Project

__all__ = ["ACCEPTANCES_FILE", "Acceptance", "AcceptanceFile", "Acceptances", "load_acceptances", "save_acceptances"]

ACCEPTANCES_FILE = "acceptances.yaml"
_LIST = "acceptances"
_LONGEST = 366
_HEAD = """\
# Accepted regressions. Written by `evalkit accept`; whoever reviews this file decides what may get worse.
acceptances:
"""


class Acceptance(FileModel):
    """One accepted regression: of a case, or of a slice."""

    workflow: str = Field(description="The workflow.")
    case: str | None = Field(default=None, description="The case that may fail.")
    slice: str | None = Field(default=None, description="Or the slice whose cases may fail, as `key=value`.")
    reason: str = Field(description="Why this may be worse for a time.")
    owner: str = Field(description="Who answers for it.")
    created: dt.date = Field(description="When it was accepted.")
    expires: dt.date = Field(description="The last day on which it holds (UTC).")
    failures: dict[str, Texts] = Field(
        min_length=1, description="By grader the kinds of failure that are accepted: labels of the grader."
    )
    digest: str = Field(min_length=12, description="Beginning of the digest of the case, or of the slice's cases.")
    configuration: str = Field(min_length=12, description="Beginning of the fingerprint of the candidate looked at.")
    changed: dict[str, str] = Field(
        default_factory=dict,
        description="By component that changed, `kind:name`, its version in the baseline; empty where it was new.",
    )
    most: int | None = Field(default=None, ge=1, description="Of a slice: so many cases may fail, no more.")

    @field_validator("reason", "owner")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("this must say something: a reviewer reads it")
        return value

    @model_validator(mode="after")
    def _of_one_thing(self) -> Acceptance:
        if (self.case is None) == (self.slice is None):
            raise ValueError("give exactly one of `case` and `slice`")
        if self.slice is not None and "=" not in self.slice:
            raise ValueError("write a slice as key=value")
        if (self.slice is None) != (self.most is None):
            raise ValueError("`most` goes with `slice`, and a slice needs it")
        return self

    @property
    def subject(self) -> str:
        """``case support-1f2e9c`` or ``slice locale=de-DE``."""
        return f"case {self.case}" if self.case is not None else f"slice {self.slice}"

    @property
    def identity(self) -> tuple[str, str]:
        """What it is about; two entries about the same are one too many."""
        return self.workflow, self.subject

    def expired(self, today: dt.date) -> bool:
        """Whether its last day is over."""
        return today > self.expires


class AcceptanceFile(FileModel):
    """``acceptances.yaml``."""

    most_days: int = Field(default=90, ge=1, le=_LONGEST, description="No entry may hold for longer than so many days.")
    acceptances: tuple[Acceptance, ...] = Field(default=(), description="The entries.")

    @field_validator("acceptances", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return () if value is None else value


@dataclass(frozen=True)
class Acceptances:
    """The entries of a file, checked, with their places in it.

    Args:
        path: The file, whether it is there or not.
        entries: The entries, in the order of the file.
        places: For each entry its position in the file.
        source: What was read.
        today: The day that decides which have expired.
        most_days: Longest time that an entry may hold.
    """

    path: Path
    entries: tuple[Acceptance, ...]
    places: tuple[int, ...]
    source: YamlFile
    today: dt.date
    most_days: int = 90

    def of(self, workflow: str) -> Acceptances:
        """Those of one workflow."""
        chosen = [number for number, entry in enumerate(self.entries) if entry.workflow == workflow]
        return replace(
            self,
            entries=tuple(self.entries[number] for number in chosen),
            places=tuple(self.places[number] for number in chosen),
        )

    def where(self, number: int) -> str:
        """File and line of an entry, for people."""
        line = self.source.line((_LIST, self.places[number]))
        return f"{self.path.name}:{line}" if line else self.path.name

    def mistake(self, number: int, key: str, message: str, *, value: Any = None, fix: str | None = None) -> ConfigError:
        """An error that names the place of a key of an entry."""
        place = self.places[number]
        return ConfigError(
            message,
            file=self.path,
            line=self.source.line((_LIST, place, key)),
            key=f"{_LIST}[{place}].{key}",
            value=value,
            fix=fix,
        )


def load_acceptances(project: Project, today: dt.date | None = None) -> Acceptances:
    """Read and check the accepted regressions of a project; none where there is no file.

    Args:
        project: The project.
        today: The day (UTC) that decides which have expired; default today.

    Raises:
        ConfigError: for an entry that is wrong, with file, line, key, value and what to do.
    """
    path = project.root / ACCEPTANCES_FILE
    day = today or dt.datetime.now(dt.UTC).date()
    if not path.exists():
        return Acceptances(path, (), (), YamlFile(path, {}), day)
    source = read_yaml(path)
    spec = parse(AcceptanceFile, source)
    entries = spec.acceptances
    found = Acceptances(path, entries, tuple(range(len(entries))), source, day, spec.most_days)
    _check(found, project)
    return found


def _check(found: Acceptances, project: Project) -> None:
    """Refuse what is wrong whatever was run."""
    seen: dict[tuple[str, str], int] = {}
    for number, entry in enumerate(found.entries):
        _check_names(found, number, entry, project)
        _check_dates(found, number, entry)
        first = seen.setdefault(entry.identity, number)
        if first != number:
            raise found.mistake(
                number, "case" if entry.case else "slice", "it is accepted twice", value=entry.subject,
                fix=f"keep one of the two, which can name several graders; the first is in {found.where(first)}",
            )  # fmt: skip


def _check_names(found: Acceptances, number: int, entry: Acceptance, project: Project) -> None:
    if entry.workflow not in project.spec.workflows:
        known = ", ".join(project.spec.workflows)
        raise found.mistake(
            number, "workflow", "no such workflow", value=entry.workflow, fix=f"workflows here: {known}"
        )


def _check_dates(found: Acceptances, number: int, entry: Acceptance) -> None:
    if entry.created > found.today + dt.timedelta(days=1):  # a clock elsewhere may be ahead by a day
        raise found.mistake(
            number, "created", "it was accepted in the future", value=str(entry.created), fix="write the day it was"
        )
    if entry.expires < entry.created:
        raise found.mistake(number, "expires", "it expires before it was accepted", value=str(entry.expires))
    if (entry.expires - entry.created).days > found.most_days:
        last = entry.created + dt.timedelta(days=found.most_days)
        raise found.mistake(
            number, "expires", f"it holds for longer than {found.most_days} days", value=str(entry.expires),
            fix=f"write {last} or a day before, or accept it again then; `most_days:` is the most for all",
        )  # fmt: skip


def save_acceptances(found: Acceptances, entries: Sequence[Acceptance], project: Project) -> Acceptances:
    """Put entries into the file: each takes the place of the one about the same, or stands at the end.

    What else is in the file, comments too, stays as it is. Where nothing changes, nothing is written.

    Args:
        found: What was read before.
        entries: New or changed entries.
        project: The project.

    Raises:
        ConfigError: when the list in the file is not written one entry below the other, or the result is wrong.
        StorageError: when the file cannot be written.
    """
    before = found.path.read_text(encoding="utf-8") if found.path.exists() else _HEAD
    text = before
    for entry in entries:
        text = _with_entry(text, entry, found.path)
    if text != before or not found.path.exists():
        _check_text(text, found, project)
        write_text(found.path, text)
    return load_acceptances(project, found.today)


def _check_text(text: str, found: Acceptances, project: Project) -> None:
    """Refuse to write what could not be read again."""
    source = YamlFile(found.path, yaml.safe_load(text))
    spec = parse(AcceptanceFile, source)
    entries = spec.acceptances
    _check(Acceptances(found.path, entries, tuple(range(len(entries))), source, found.today, spec.most_days), project)


def _with_entry(text: str, entry: Acceptance, path: Path) -> str:
    """The text of the file with one entry put in."""
    text += "" if text.endswith("\n") or not text else "\n"
    lines = text.splitlines(keepends=True)
    key, items = _nodes(text, path)
    if key is None:
        return "".join([*lines, f"{_LIST}:\n", *_block(entry, 2)])
    if items is None or not items.value:
        at = key.start_mark.line
        return "".join([*lines[:at], f"{_LIST}:\n", *_block(entry, 2), *lines[at + 1 :]])
    indent = items.start_mark.column
    for node in items.value:
        if _identity(node) == entry.identity:
            start, end = node.start_mark.line, _end(node, lines)
            return "".join([*lines[:start], *_block(entry, indent), *lines[end:]])
    end = _end(items.value[-1], lines)
    return "".join([*lines[:end], *_block(entry, indent), *lines[end:]])


def _nodes(text: str, path: Path) -> tuple[yaml.Node | None, yaml.SequenceNode | None]:
    """The key of the list and the list itself."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value != _LIST:
            continue
        if not isinstance(value, yaml.SequenceNode):
            return key, None
        if value.value and (value.flow_style or any(node.flow_style for node in value.value)):
            raise ConfigError(
                "the entries are not written one below the other", file=path, line=key.start_mark.line + 1, key=_LIST,
                fix="write each as `- workflow: …` with its keys below: then comments can be kept",
            )  # fmt: skip
        return key, value
    return None, None


def _identity(node: yaml.Node) -> tuple[str, str]:
    """What an entry is about."""
    data: Any = yaml.SafeLoader("").construct_document(node)
    subject = f"case {data['case']}" if data.get("case") is not None else f"slice {data.get('slice')}"
    return str(data.get("workflow")), subject


def _end(node: yaml.Node, lines: Sequence[str]) -> int:
    """The line after an entry: comments and blank lines behind it are not its own."""
    end = min(node.end_mark.line, len(lines))
    while end > node.start_mark.line + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end


def _block(entry: Acceptance, indent: int) -> Iterable[str]:
    """The lines of an entry."""
    data = {key: value for key, value in entry.model_dump(mode="python").items() if value is not None}
    data["failures"] = {grader: list(kinds) for grader, kinds in data["failures"].items()}
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    for number, line in enumerate(text.splitlines()):
        yield f"{' ' * indent}{'- ' if number == 0 else '  '}{line}\n"
