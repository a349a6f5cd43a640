"""Retrieval: the documents of a case, BM25 over a corpus checked against a plain one, and who may see what."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import ConfigError, ExitCode
from evalkit.records import Case, Document, Message
from evalkit.workflow.policies import Policies, PolicyFile
from evalkit.workflow.retrieval import Corpus, load_corpus, retrieve

from .world import Make, case_of

KETTLES = [
    {"id": "returns", "title": "Returns", "text": "Return a kettle within 30 days. A kettle must be unused."},
    {"id": "delivery", "title": "Delivery", "text": "A kettle arrives after two working days."},
    {"id": "warranty", "title": "Warranty of a kettle", "text": "Two years."},
    {"id": "jobs", "title": "Jobs", "text": "We are hiring."},
]


Rows = Sequence[Mapping[str, Any]]


def write_corpus(path: Path, rows: Rows) -> Path:
    columns = sorted({column for row in rows for column in row})
    pq.write_table(pa.table({column: [row.get(column) for row in rows] for column in columns}), path)
    return path


def corpus_of(folder: Path, rows: Rows, *, k1: float = 1.2, b: float = 0.75) -> Corpus:
    return load_corpus(write_corpus(folder / "corpus.parquet", rows), k1=k1, b=b)


def plain_bm25(texts: dict[str, str], query: str, k1: float, b: float) -> dict[str, float]:
    """Robertson and Zaragoza 2009 (3.15) with the idf of Lucene, by counting words one document after the other."""
    words = {identity: re.findall(r"\w+", text.lower()) for identity, text in texts.items()}
    average = sum(map(len, words.values())) / len(words)
    scores: dict[str, float] = {}
    for identity, document in words.items():
        counts = Counter(document)
        for term in set(re.findall(r"\w+", query.lower())):
            holding = sum(term in other for other in words.values())
            idf = math.log(1 + (len(words) - holding + 0.5) / (holding + 0.5))
            saturated = counts[term] + k1 * (1 - b + b * len(document) / average)
            if counts[term]:
                scores[identity] = scores.get(identity, 0.0) + idf * counts[term] * (k1 + 1) / saturated
    return scores


WORDS = st.lists(st.sampled_from(["kettle", "Days", "30", "größe", "ÜBER", "a", "returns", "don't", "x_y"]), max_size=8)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(WORDS, min_size=1, max_size=6).filter(any),
    WORDS,
    st.sampled_from([0.0, 0.5, 1.2, 3.0]),
    st.sampled_from([0.0, 0.75, 1.0]),
)
def test_scores_are_those_of_a_plain_bm25(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[str]], query: list[str], k1: float, b: float
) -> None:
    texts = {f"d{number}": " ".join(words) for number, words in enumerate(documents)}
    rows = [{"id": identity, "text": text} for identity, text in texts.items()]
    expected = plain_bm25(texts, " ".join(query), k1, b)
    found = corpus_of(tmp_path_factory.getbasetemp(), rows, k1=k1, b=b).search(" ".join(query))
    assert {document.id: score for document, score in found} == pytest.approx(expected, abs=1e-6)
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)


def test_the_best_document_comes_first_and_titles_count(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, KETTLES)
    assert corpus.search("How many days to return a KETTLE?")[0][0].id == "returns"
    assert [document.id for document, _ in corpus.search("warranty")] == ["warranty"]
    assert corpus.search("") == corpus.search("¿?") == corpus.search("zebra") == []


def test_ties_are_ordered_by_id(tmp_path: Path) -> None:
    rows = [{"id": identity, "text": "same words"} for identity in ("b", "c", "a")]
    assert [document.id for document, _ in corpus_of(tmp_path, rows).search("words")] == ["a", "b", "c"]


def test_a_question_that_says_a_word_twice_asks_once(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, KETTLES)
    assert corpus.search("kettle kettle Kettle") == corpus.search("kettle")


def test_all_columns_of_a_document_are_read_and_others_ignored(tmp_path: Path) -> None:
    row = {
        "id": "d", "text": "kettle", "title": "T", "date": "2026-01-31", "kind": "mail", "tenant": "shop-de",
        "roles": ["agent"], "trusted": False, "embedding": [0.1, 0.2],
    }  # fmt: skip
    corpus = corpus_of(tmp_path, [row, {"id": "e", "text": "x"}])
    assert corpus.documents[0] == Document("d", "kettle", "T", "2026-01-31", "mail", "shop-de", ("agent",), False)
    assert corpus.documents[1] == Document("e", "x")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"id": ["a"]}, "columns missing: text"),
        ({"title": ["a"]}, "columns missing: id, text"),
        ({"id": pa.array([], pa.string()), "text": pa.array([], pa.string())}, "the corpus is empty"),
    ],
)
def test_a_corpus_that_is_none(tmp_path: Path, table: dict[str, Any], says: str) -> None:
    pq.write_table(pa.table(table), tmp_path / "c.parquet")
    with pytest.raises(ConfigError, match=says) as caught:
        load_corpus(tmp_path / "c.parquet", k1=1.2, b=0.75)
    assert caught.value.exit_code is ExitCode.CONFIG
    assert caught.value.file == str(tmp_path / "c.parquet")


@pytest.mark.parametrize("content", [b"", b"id,text\na,b\n", b"PAR1 and no more PAR1"])
def test_a_file_that_is_not_parquet(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.parquet").write_bytes(content)
    with pytest.raises(ConfigError, match="not a readable Parquet file"):
        load_corpus(tmp_path / "c.parquet", k1=1.2, b=0.75)
    with pytest.raises(ConfigError, match="not a readable Parquet file"):
        load_corpus(tmp_path / "missing.parquet", k1=1.2, b=0.75)


@pytest.mark.parametrize(
    "rows",
    [
        [{"id": 7, "text": "x"}],
        [{"id": "a", "text": "x"}, {"id": None, "text": "y"}],
        [{"id": "a", "text": "x", "date": dt.date(2026, 1, 1)}],
        [{"id": "a", "text": "x", "roles": "agent"}],
    ],
    ids=["number as id", "no id", "date column", "one role"],
)
def test_a_row_that_is_no_document_is_a_config_error(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match=r"corpus\.parquet"):
        corpus_of(tmp_path, rows)


def test_a_corpus_without_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no words"):
        corpus_of(tmp_path, [{"id": "a", "text": "!?"}, {"id": "b", "text": ""}])


def test_an_id_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="twice"):
        corpus_of(tmp_path, [{"id": "a", "text": "30 days"}, {"id": "a", "text": "14 days"}])


# ── what a case is shown ─────────────────────────────────────────────────────────────────────


def policies(*rules: dict[str, Any]) -> Policies:
    return Policies(PolicyFile.model_validate({"rules": list(rules)}).rules)


NO_INTERNAL = yaml.safe_load("""
id: internal-for-agents
point: retrieve
when: [{field: document.kind, op: eq, value: internal}, {field: role, op: ne, value: agent}]
effect: deny
severity: critical
tests:
  - {facts: {document.kind: internal, role: user}, applies: true}
  - {facts: {document.kind: internal, role: agent}, applies: false}
""")


def test_the_documents_of_the_case_are_all_shown_in_their_order() -> None:
    context = tuple(Document(f"d{number}", f"text {number}") for number in range(6))
    shown, decisions = retrieve(case_of(context=context), None, 2, Policies())
    assert [(d.id, d.text, d.rank, d.score) for d in shown] == [(f"d{n}", f"text {n}", n + 1, None) for n in range(6)]
    assert [(d.subject, d.verdict, d.rule) for d in decisions] == [(f"d{n}", "allow", "default") for n in range(6)]


def test_a_corpus_gives_the_best_k_for_the_last_question(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, KETTLES)
    turns = (Message("user", "jobs"), Message("assistant", "hiring"), Message("user", "kettle days"))
    case = Case("c", turns, context=(Document("own", "not used"),))
    shown, _ = retrieve(case, corpus, 2, Policies())
    best = corpus.search("kettle days")[:2]
    assert [(d.id, d.rank, d.score) for d in shown] == [(d.id, i + 1, score) for i, (d, score) in enumerate(best)]
    assert retrieve(Case("c", (Message("assistant", "kettle"),)), corpus, 2, Policies()) == ((), ())


@pytest.mark.parametrize(
    ("document", "case", "rule"),
    [
        ({"tenant": "a"}, {"tenant": "a"}, "default"),
        ({"tenant": "a"}, {"tenant": "b"}, "tenant"),
        ({"tenant": ""}, {"tenant": "b"}, "tenant"),
        ({"tenant": None}, {"tenant": "b"}, "default"),
        ({"roles": ("agent", "manager")}, {"role": "manager"}, "default"),
        ({"roles": ("agent",)}, {"role": "Agent"}, "role"),
        ({"roles": ()}, {"role": "anyone"}, "default"),
        ({"tenant": "a", "roles": ("agent",)}, {"tenant": "b", "role": "user"}, "tenant"),
        ({"kind": "internal"}, {"role": "user"}, "internal-for-agents"),
        ({"kind": "internal"}, {"role": "agent"}, "default"),
    ],
)
def test_who_may_see_what(document: dict[str, Any], case: dict[str, Any], rule: str) -> None:
    shown, (decision,) = retrieve(
        case_of(context=(Document("d", "secret", **document),), **case), None, 4, policies(NO_INTERNAL)
    )
    assert decision.rule == rule
    assert (decision.verdict == "allow") is (rule == "default")
    assert [d.id for d in shown] == (["d"] if rule == "default" else [])
    assert decision.severity == ("critical" if rule == "internal-for-agents" else "none")


def test_what_may_not_be_seen_makes_room_for_the_next(tmp_path: Path) -> None:
    rows: Rows = [
        {"id": "a", "text": "kettle kettle kettle", "tenant": "other"},
        {"id": "b", "text": "kettle kettle x", "roles": ["agent"]},
        {"id": "c", "text": "kettle x x"},
        {"id": "d", "text": "kettle x x x x"},
        {"id": "e", "text": "nothing"},
    ]
    shown, decisions = retrieve(case_of("kettle"), corpus_of(tmp_path, rows), 1, Policies())
    assert [(d.id, d.rank) for d in shown] == [("c", 1)]
    assert [(d.subject, d.rule) for d in decisions] == [("a", "tenant"), ("b", "role"), ("c", "default")]


def test_an_approval_does_not_open_a_document() -> None:
    rule = {**NO_INTERNAL, "effect": "needs_approval"}
    case = case_of(context=(Document("d", "x", kind="internal"),), variables={"approved": True})
    shown, decisions = retrieve(case, None, 4, policies(rule))
    assert shown == ()
    assert decisions[0].verdict == "needs_approval"


def test_a_workflow_reads_its_corpus_from_its_folder(make: Make, tmp_path: Path) -> None:
    write_corpus(tmp_path / "docs.parquet", KETTLES)
    workflow = make("retrieval: {source: corpus, corpus: docs.parquet, k: 1, k1: 2, b: 0.5}")
    assert workflow.corpus is not None
    assert (workflow.corpus.k1, workflow.corpus.b, len(workflow.corpus.documents)) == (2, 0.5, 4)
