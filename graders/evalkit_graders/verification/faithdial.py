"""FaithDial audit: groundedness on data of another kind, against the verdicts of people."""

from __future__ import annotations

from evalkit_graders.verification.grounded import verification_by_source

__all__ = ["VERIFICATION"]

VERIFICATION = verification_by_source(
    "faithdial",
    "faithdial_audit.parquet",
    "FaithDial audit",
    about="Replies of dialogue models and people, judged by experts against the knowledge given (FaithDial, MIT).",
)
