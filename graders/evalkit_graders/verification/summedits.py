"""SummEdits: groundedness on data of another kind, against the verdicts of people."""

from __future__ import annotations

from evalkit_graders.verification.grounded import verification_by_source

__all__ = ["VERIFICATION"]

VERIFICATION = verification_by_source(
    "summedits",
    "summedits.parquet",
    "SummEdits",
    about="Summaries and edits of them that keep or break their truth, judged by people (SummEdits, Apache-2.0).",
)
