"""The last step of every import: ids, slices, provenance, and the checks that hold for any case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from evalkit import codec
from evalkit.errors import GoldenSetError
from evalkit.fingerprint import fingerprint
from evalkit.goldens.importers.fields import is_missing, named, text
from evalkit.goldens.importers.notes import Notes
from evalkit.goldens.source import Place
from evalkit.goldens.validate import validate_case
from evalkit.records import Case, Json, Provenance

__all__ = ["Draft", "assemble"]

_MAX_SLICE_VALUES = 20
_MAX_SLICE_TEXT = 100
_ASKED = ("input", "context", "tools", "variables", "role", "tenant")
_FIXES: Mapping[str, str] = {
    "contradiction": "take the text out of one of the two",
    "document-date": "write the date as YYYY-MM-DD",
    "document-id": "give each document its own id",
    "empty-document": "give the document its text, or leave it out",
    "empty-fact": "write the fact, or leave it out",
    "empty-turn": "write the message, or leave the case out",
    "last-turn": "end the conversation with the message that is to be answered",
    "locale": "write a language tag such as en or de-DE",
    "no-input": "give the case its user message",
}


@dataclass(frozen=True)
class Draft:
    """A case as read, where it stands, and what might become its slices. Its id may still be empty."""

    case: Case
    place: Place
    extra: Mapping[str, Json] = field(default_factory=dict)


def assemble(drafts: Sequence[Draft], path: Path, kind: str, notes: Notes) -> list[Case]:
    """Finished cases, in the order of the file.

    Raises:
        GoldenSetError: when there are none, one breaks a rule of golden sets, or an id occurs twice.
    """
    if not drafts:
        raise GoldenSetError("the file holds no cases", file=path, fix="export the cases again")
    kept = _slice_keys(drafts, notes)
    cases: list[Case] = []
    places: dict[str, Place] = {}
    for draft in drafts:
        slices = {key: text(draft.extra[key], draft.place) for key in kept if not is_missing(draft.extra.get(key))}
        case = replace(draft.case, slices=slices, provenance=Provenance(source=kind, reference=path.name))
        case = case if case.id else replace(case, id=_content_id(case))
        _check(case, draft)
        if case.id in places:
            raise _double(draft, case.id, places[case.id])
        places[case.id] = draft.place
        cases.append(case)
    _note_expectations(cases, notes)
    return cases


def _slice_keys(drafts: Sequence[Draft], notes: Notes) -> list[str]:
    """Keys with few distinct values; the others are named in the notes."""
    kept = []
    for key in dict.fromkeys(key for draft in drafts for key in draft.extra):
        values = [draft.extra[key] for draft in drafts if not is_missing(draft.extra.get(key))]
        reason = _no_slice(key, values, len(drafts))
        if reason is None:
            kept.append(key)
        elif values:
            notes.add(f"`{named(key)}` was not taken over: {reason}")
    return kept


def _no_slice(key: str, values: Sequence[Json], cases: int) -> str | None:
    if key.startswith("__"):
        return "names that start with `__` are the exporting tool's own"
    if any(isinstance(value, (list, dict)) for value in values):
        return "a slice is a single value, not a list or an object"
    written = {str(value) for value in values}
    if any(len(value) > _MAX_SLICE_TEXT or "\n" in value for value in written):
        return "its texts are too long for a slice"
    if not values or len(written) > _MAX_SLICE_VALUES or 2 * len(written) >= cases:
        return f"{len(written)} distinct values in {cases} cases are too many for a slice"
    return None


def _content_id(case: Case) -> str:
    """From what is asked alone: the id outlives other rows, their order, and changes of what is expected."""
    plain = codec.plain(case)
    return f"imported-{fingerprint('imported-case', [plain[key] for key in _ASKED])[:10]}"


def _check(case: Case, draft: Draft) -> None:
    for finding in validate_case(case):
        if finding.level == "error":
            raise draft.place.at(finding.key).error(
                finding.message,
                draft.case.id or None,
                fix=_FIXES.get(finding.rule, "correct it in the file, or leave the case out"),
            )


def _double(draft: Draft, case_id: str, first: Place) -> GoldenSetError:
    where = first.key.rstrip(": ") or (f"line {first.line}" if first.line else "an earlier case")
    if draft.case.id:
        return draft.place.at("id").error(f"the case id occurs twice, first in {where}", case_id, fix="rename one")
    question = draft.case.input[-1].content
    return draft.place.error(
        f"this case asks the same as {where}", question, fix="leave one out, or give both an id of their own"
    )


def _note_expectations(cases: Sequence[Case], notes: Notes) -> None:
    for case in cases:
        expect = case.expect
        checked = expect.behaviour != "answer" or expect.facts or expect.forbidden or expect.tools or expect.match
        if not checked and expect.answer:
            notes.count(
                "1 case has a reference answer but no facts: graders that look for facts have nothing to look for",
                "# cases have a reference answer but no facts: graders that look for facts have nothing to look for",
            )
        elif not checked:
            notes.count(
                "1 case expects an answer, whatever it says: add facts",
                "# cases expect an answer, whatever it says: add facts",
            )
        if any(len(wording.strip()) == 1 and wording.strip().isalpha() for fact in expect.facts for wording in fact):
            notes.count(
                "1 case expects a single letter, which can stand in any sentence: ask for a form such as `Answer: B`",
                "# cases expect a single letter, which can stand in any sentence: ask for a form such as `Answer: B`",
            )
