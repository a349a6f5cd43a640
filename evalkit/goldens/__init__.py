"""Golden sets: versioned, owned sets of cases in Parquet."""

from evalkit.goldens.card import Card, Change, read_card, write_card
from evalkit.goldens.diff import GoldenDiff, diff
from evalkit.goldens.goldenset import GoldenSet, build, from_cases, load
from evalkit.goldens.jsonl import case_from_json, case_to_json, dump_jsonl, load_jsonl
from evalkit.goldens.schema import CASE_SCHEMA
from evalkit.goldens.validate import Finding, load_and_validate, validate

__all__ = [
    "CASE_SCHEMA",
    "Card",
    "Change",
    "Finding",
    "GoldenDiff",
    "GoldenSet",
    "build",
    "case_from_json",
    "case_to_json",
    "diff",
    "dump_jsonl",
    "from_cases",
    "load",
    "load_and_validate",
    "load_jsonl",
    "read_card",
    "validate",
    "write_card",
]
