"""What people say of answers: the queue of what they should look at, their labels, and how far graders agree."""

from __future__ import annotations

from evalkit.review.agreement import Agreement, GraderAgreement
from evalkit.review.calibrate import agreement_of, calibrate, check_grader
from evalkit.review.labels import HumanLabel, Labels, output_of, read_label_file
from evalkit.review.queue import QueueItem, review_queue

__all__ = [
    "Agreement",
    "GraderAgreement",
    "HumanLabel",
    "Labels",
    "QueueItem",
    "agreement_of",
    "calibrate",
    "check_grader",
    "output_of",
    "read_label_file",
    "review_queue",
]
