"""Which documents go into a prompt: those of the case, or the best of a corpus by BM25."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from evalkit import codec
from evalkit.errors import ConfigError
from evalkit.fingerprint import fingerprint
from evalkit.records import Case, Document, PolicyDecision, RetrievedDocument
from evalkit.workflow.policies import Policies

__all__ = ["Corpus", "load_corpus", "retrieve"]


@dataclass(frozen=True)
class Corpus:
    """Documents with a BM25 index (Robertson and Zaragoza 2009, idf floored at zero as in Lucene)."""

    documents: tuple[Document, ...]
    k1: float
    b: float

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all documents, whatever their order."""
        return fingerprint("corpus", sorted(fingerprint("document", codec.plain(d)) for d in self.documents))

    @cached_property
    def _index(self) -> tuple[Any, Any]:
        from sklearn.feature_extraction.text import CountVectorizer

        vectorizer = CountVectorizer(lowercase=True, token_pattern=r"(?u)\b\w+\b")  # noqa: S106 - a regular expression
        counts = vectorizer.fit_transform(f"{d.title} {d.text}" for d in self.documents).tocsr().astype(np.float64)
        lengths = np.asarray(counts.sum(axis=1)).ravel()
        present = np.asarray((counts > 0).sum(axis=0)).ravel()
        idf = np.log1p((len(self.documents) - present + 0.5) / (present + 0.5))
        norm = self.k1 * (1 - self.b + self.b * lengths / lengths.mean())
        weighted = counts.copy()
        rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        weighted.data = counts.data * (self.k1 + 1) / (counts.data + norm[rows]) * idf[counts.indices]
        return vectorizer, weighted

    def search(self, query: str) -> list[tuple[Document, float]]:
        """All documents that share a term with the query, best first; ties by id."""
        vectorizer, weighted = self._index
        terms = (vectorizer.transform([query]) > 0).astype(np.float64)
        scores = np.asarray((weighted @ terms.T).todense()).ravel()
        order = sorted(np.flatnonzero(scores > 0), key=lambda i: (-scores[i], self.documents[i].id))
        return [(self.documents[i], round(float(scores[i]), 6)) for i in order]


def load_corpus(path: Path, *, k1: float, b: float) -> Corpus:
    """Read a corpus: a Parquet file with at least the columns ``id`` and ``text``.

    Raises:
        ConfigError: when it is missing, not Parquet, lacks a column, or holds a row that is no document, an id
            twice, or no words at all.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"not a readable Parquet file: {str(error).splitlines()[0]}", file=path) from None
    missing = [name for name in ("id", "text") if name not in table.column_names]
    if missing:
        raise ConfigError(f"columns missing: {', '.join(missing)}", file=path, fix="a corpus has columns id and text")
    known = [name for name in Document.__dataclass_fields__ if name in table.column_names]
    documents = tuple(_document(row, number, path) for number, row in enumerate(table.select(known).to_pylist()))
    _check(documents, path)
    return Corpus(documents, k1, b)


def _document(row: dict[str, Any], number: int, path: Path) -> Document:
    try:
        return codec.decode(Document, {key: value for key, value in row.items() if value is not None})
    except codec.ValidationError as error:
        problem = error.errors(include_url=False)[0]
        column = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(
            f"row {number} is no document: {problem['msg']}",
            file=path,
            key=column,
            value=row.get(column),
            fix="columns are text, but `roles` a list of text and `trusted` a boolean; id and text are never null",
        ) from None


def _check(documents: tuple[Document, ...], path: Path) -> None:
    seen: set[str] = set()
    for document in documents:
        if document.id in seen:
            raise ConfigError(
                "the document id occurs twice", file=path, key="id", value=document.id,
                fix="give each document its own id: answers cite it",
            )  # fmt: skip
        seen.add(document.id)
    if not documents:
        raise ConfigError("the corpus is empty", file=path)
    if not any(re.search(r"\w", f"{document.title} {document.text}") for document in documents):
        raise ConfigError("the corpus holds no words to search for", file=path, key="text")


def retrieve(
    case: Case, corpus: Corpus | None, k: int, policies: Policies
) -> tuple[tuple[RetrievedDocument, ...], tuple[PolicyDecision, ...]]:
    """Documents for a case, with the policy decision on each: what is denied is not shown to the model."""
    found: list[tuple[Document, float | None]] = (
        [*corpus.search(case.question)] if corpus is not None else [(document, None) for document in case.context]
    )
    shown: list[RetrievedDocument] = []
    decisions: list[PolicyDecision] = []
    for document, score in found:
        if corpus is not None and len(shown) == k:
            break
        decision = _access(case, document, policies)
        decisions.append(decision)
        if decision.verdict == "allow":
            shown.append(
                RetrievedDocument(
                    id=document.id,
                    text=document.text,
                    title=document.title,
                    date=document.date,
                    kind=document.kind,
                    trusted=document.trusted,
                    rank=len(shown) + 1,
                    score=score,
                )
            )
    return tuple(shown), tuple(decisions)


def _access(case: Case, document: Document, policies: Policies) -> PolicyDecision:
    """Tenant and role of the document first (always on), then the rules."""
    if document.tenant is not None and document.tenant != case.tenant:
        return PolicyDecision("retrieve", document.id, "deny", "tenant", "none", "belongs to another tenant")
    if document.roles and case.role not in document.roles:
        return PolicyDecision("retrieve", document.id, "deny", "role", "none", f"not for role {case.role}")
    return policies.retrieve(
        document.id,
        {
            "role": case.role,
            "tenant": case.tenant,
            "locale": case.locale,
            "document.id": document.id,
            "document.tenant": document.tenant,
            "document.kind": document.kind,
            "document.trusted": document.trusted,
            "document.roles": list(document.roles),
        },
    )
