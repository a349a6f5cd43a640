"""What GitHub needs to know of a verdict: a comment that is kept up to date, annotations, the job summary."""

from evalkit.github.annotate import annotate, escape_data, escape_property, shielded
from evalkit.github.api import Api, ApiError
from evalkit.github.comment import Comment, Posted, post
from evalkit.github.place import Place, PullRequest, find_pull_request, place_of
from evalkit.github.summary import SUMMARY_BYTES, write_summary

__all__ = [
    "SUMMARY_BYTES",
    "Api",
    "ApiError",
    "Comment",
    "Place",
    "Posted",
    "PullRequest",
    "annotate",
    "escape_data",
    "escape_property",
    "find_pull_request",
    "place_of",
    "post",
    "shielded",
    "write_summary",
]
