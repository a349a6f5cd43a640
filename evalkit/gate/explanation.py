"""Why cases broke: what the broken ones share that sets them apart from the others.

Candidates are how the answer changed (in a code fence now, refuses now, no longer JSON, ...), slice rules, kinds of
failure and words. Slice rules are the paths of a shallow decision tree (CART; Breiman et al. 1984) over slice keys,
route and tools; words are those whose TF-IDF weight differs most. Each is tested against the cases that did not break
(Fisher's exact test), with Bonferroni's share of 5% over all that could have been found. Groups
are then taken greedily: the candidate that covers most of what is left and least of the others, again and again.
Everything is deterministic, and bounded: of many cases a fixed sample is read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evalkit.gate.evidence import Evidence
from evalkit.gate.facts import CHANGES, CaseFacts, case_facts
from evalkit.gate.failures import failing_scores, kind_of
from evalkit.gate.verdict import MOST_CASES, FailureGroup
from evalkit.gate.words import count_of
from evalkit.language import stems
from evalkit.store.runs import RunFolder

__all__ = ["explain", "group_failures"]

Mask: TypeAlias = NDArray[np.bool_]
Kind: TypeAlias = Literal["change", "slice", "failure", "theme", "rest"]

_MOST_BROKEN = 2_000
_MOST_OTHERS = 2_000
_GROUPS = 6
_ALPHA = 0.05
_FAMILIES = 3
"""Changes, slice rules and words share the false finds."""
_WEIGHTS = {"slice": 0.9, "theme": 0.5, "failure": 0.3}
"""How much a rule explains beside one on how the answer changed."""
_DEPTH = 3
_VALUES = 40
"""Most frequent values of a key that the tree looks at."""
_TERMS = 40
_SEED = 20_240_729


@dataclass(frozen=True)
class _Candidate:
    """Something that cases can share."""

    kind: Kind
    text: str
    broken: Mask
    others: Mask
    weight: float
    tried: int
    """How many of its kind were looked at to find it."""

    @property
    def share_of_others(self) -> float:
        return float(self.others.mean()) if len(self.others) else 0.0


def explain(candidate: RunFolder, baseline: RunFolder, evidence: Evidence) -> tuple[FailureGroup, ...]:
    """Group the cases that got worse in a comparison; nothing where fewer than two did.

    Args:
        candidate: The run that is judged.
        baseline: The run that it is compared with.
        evidence: Both, case by case.

    Raises:
        StoreError: when a segment cannot be read.
    """
    worse, told = np.zeros((2, len(evidence.axis)), bool)
    for item in evidence.quality_pairs.values():
        told |= item.told & (np.nan_to_num(item.before.rate) > 0)
        worse |= item.worse
    if int(worse.sum()) < 2:
        return ()
    broken = _some(np.flatnonzero(worse), _MOST_BROKEN)
    # what failed before could not break
    others = _some(np.flatnonzero(told & ~worse), min(_MOST_OTHERS, max(200, 10 * len(broken))))
    names = [*evidence.axis.names(broken), *evidence.axis.names(others)]
    facts = case_facts(candidate, baseline, evidence, names)
    kinds = _failures(candidate, evidence, names[: len(broken)])
    return group_failures(names[: len(broken)], facts[: len(broken)], facts[len(broken) :], kinds)


def _some(places: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """At most so many, by chance but always the same ones, in order."""
    if len(places) <= most:
        return places
    return np.sort(np.random.default_rng(_SEED).choice(places, most, replace=False))


def _failures(candidate: RunFolder, evidence: Evidence, names: Sequence[str]) -> list[frozenset[str]]:
    """How the quality graders name what is wrong with each case."""
    found: dict[str, set[str]] = {name: set() for name in names}
    for score in failing_scores(candidate, evidence.subject.grading, names, evidence.quality):
        found[score.case_id].add(f"{score.grader}: {kind_of(score).replace('_', ' ')}")
    return [frozenset(found[name]) for name in names]


def group_failures(
    names: Sequence[str],
    broken: Sequence[CaseFacts],
    others: Sequence[CaseFacts],
    failures: Sequence[frozenset[str]] = (),
) -> tuple[FailureGroup, ...]:
    """Group broken cases by what they share and other cases do not.

    Args:
        names: Ids of the broken cases.
        broken: Their facts, in the same order.
        others: Facts of cases that did not break.
        failures: How graders name what is wrong with each broken case.

    Returns:
        Groups, the largest first; at the end one of the cases that share nothing.
    """
    kinds = list(failures) or [frozenset()] * len(broken)
    least = max(2, math.ceil(0.05 * len(broken)))
    candidates = [
        item
        for make in (_changes, _slice_rules, _themes)
        for item in make(broken, others)
        if int(item.broken.sum()) >= least and _is_unlike(item)
    ]
    candidates += [item for item in _failure_kinds(kinds, len(others)) if int(item.broken.sum()) >= least]
    left = np.ones(len(broken), bool)
    groups: list[FailureGroup] = []
    while candidates and len(groups) < _GROUPS:
        best = max(candidates, key=lambda item: (round(_worth(item, left), 9), item.text))
        if int((best.broken & left).sum()) < least:
            break
        groups.append(_group(best, best.broken & left, names, kinds))
        left &= ~best.broken
        candidates = [item for item in candidates if int((item.broken & left).sum()) >= least]
    groups.sort(key=lambda group: -group.size)
    return (*groups, *_rest(left, names, kinds, len(others), found=bool(groups)))


def _worth(item: _Candidate, left: Mask) -> float:
    """Weighted share of what is left that it covers, less the share of the others."""
    return item.weight * (float((item.broken & left).sum() / max(1, left.sum())) - item.share_of_others)


def _is_unlike(item: _Candidate) -> bool:
    """Whether it is more frequent among the broken than chance explains, by so many tried."""
    if not len(item.others):
        return True
    a, b = float(item.broken.sum()), float(item.others.sum())
    n, m = len(item.broken), len(item.others)
    if a / n <= 1.5 * b / m:
        return False
    return _fisher(int(a), int(b), n, m) * max(1, item.tried) <= _ALPHA / _FAMILIES


def _fisher(a: int, b: int, n: int, m: int) -> float:
    """One-sided p of Fisher's exact test: at least ``a`` of ``n`` broken cases among all ``a + b`` that share it."""
    shared, total = a + b, n + m
    count = np.arange(a, min(shared, n) + 1)

    def choose(top: Any, chosen: Any) -> Any:
        return special.gammaln(top + 1) - special.gammaln(chosen + 1) - special.gammaln(top - chosen + 1)

    logs = choose(shared, count) + choose(total - shared, n - count) - choose(total, n)
    return min(1.0, float(np.exp(logs).sum()))


def _changes(broken: Sequence[CaseFacts], others: Sequence[CaseFacts]) -> Iterator[_Candidate]:
    """Ways in which answers changed."""
    known = sorted({change for case in broken for change in case.changes})
    for change in known:
        text, weight = CHANGES[change[0]]
        yield _Candidate(
            "change",
            text.format(change[1]),
            np.fromiter((change in case.changes for case in broken), bool, len(broken)),
            np.fromiter((change in case.changes for case in others), bool, len(others)),
            weight,
            len(known),
        )


def _conditions(cases: Sequence[CaseFacts]) -> list[tuple[str, str]]:
    """Key and value that occur, the frequent ones of each key; a tool is a key of its own."""
    counts: dict[str, Counter[str]] = {}
    for case in cases:
        for key, value in case.keys.items():
            counts.setdefault(key, Counter())[value] += 1
        for tool in case.tools:
            counts.setdefault(f"tool {tool}", Counter())["called"] += 1
    found = []
    for key in sorted(counts):
        ranked = sorted(counts[key].items(), key=lambda item: (-item[1], item[0]))
        found += [(key, value) for value, _ in ranked[:_VALUES]]
    return found


def _meets(case: CaseFacts, condition: tuple[str, str]) -> bool:
    key, value = condition
    if key.startswith("tool ") and value == "called":
        return key.removeprefix("tool ") in case.tools
    return case.keys.get(key) == value


def _slice_rules(broken: Sequence[CaseFacts], others: Sequence[CaseFacts]) -> Iterator[_Candidate]:
    """Paths of a shallow tree that tells the broken cases from the others."""
    cases = [*broken, *others]
    conditions = _conditions(cases)
    if not others or not conditions:
        return
    from sklearn.tree import DecisionTreeClassifier

    table = np.asarray([[_meets(case, condition) for condition in conditions] for case in cases], np.float32)
    target = np.arange(len(cases)) < len(broken)
    tree = DecisionTreeClassifier(
        max_depth=_DEPTH, min_samples_leaf=max(2, len(broken) // 20), class_weight="balanced", random_state=0
    ).fit(table, target)
    held = table.astype(bool)
    for path in _paths(tree.tree_):
        mask = np.ones(len(cases), bool)
        for feature, wanted in path:
            mask &= held[:, feature] == wanted
        text = _path_text([(conditions[feature], wanted) for feature, wanted in path])
        yield _Candidate(
            "slice",
            text,
            mask[: len(broken)],
            mask[len(broken) :],
            _WEIGHTS["slice"] - 0.02 * len(path),
            math.comb(len(conditions), len(path)) * 2 ** len(path),
        )


def _paths(tree: Any) -> Iterator[list[tuple[int, bool]]]:
    """The ways from the root of a fitted tree to each node below it."""
    pending: list[tuple[int, list[tuple[int, bool]]]] = [(0, [])]
    while pending:
        node, path = pending.pop()
        if path:
            yield path
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        if left >= 0:
            feature = int(tree.feature[node])
            pending += [(right, [*path, (feature, True)]), (left, [*path, (feature, False)])]


def _path_text(path: Sequence[tuple[tuple[str, str], bool]]) -> str:
    """A path in words; what a key is says already what it is not."""
    named = {key for (key, _), wanted in path if wanted}
    parts = []
    for (key, value), wanted in path:
        if key.startswith("tool ") and value == "called":
            parts.append(f"{key} is {'' if wanted else 'not '}called")
        elif wanted:
            parts.append(f"{key} is {value}")
        elif key not in named:
            parts.append(f"{key} is not {value}")
    return " and ".join(parts)


def _themes(broken: Sequence[CaseFacts], others: Sequence[CaseFacts]) -> Iterator[_Candidate]:
    """Words of the questions, and words that are new in the answers."""
    if not others:
        return
    asked = "the question speaks of “{}”"
    yield from _terms(asked, [case.question for case in broken], [case.question for case in others])
    said = "the answer says “{}” now"
    yield from _terms(said, [case.new_words for case in broken], [case.new_words for case in others])


def _terms(what: str, broken: Sequence[str], others: Sequence[str]) -> Iterator[_Candidate]:
    """The terms whose mean TF-IDF weight is most above that of the others."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), min_df=2, max_features=5_000, sublinear_tf=True,
        token_pattern=r"(?u)\b[^\W\d_][\w-]+\b",  # noqa: S106 - a regular expression
    )  # fmt: skip
    try:
        weights = vectorizer.fit_transform([*broken, *others]).tocsr()
    except ValueError:  # no word occurs twice
        return
    words = vectorizer.get_feature_names_out()
    n = len(broken)
    ahead = np.asarray(weights[:n].mean(axis=0) - weights[n:].mean(axis=0)).ravel()
    order = [
        place for place in np.lexsort((words, -ahead))[: 4 * _TERMS] if all(stems(w) for w in words[place].split())
    ]
    for place in order[:_TERMS]:
        held = np.asarray(weights[:, [place]].todense()).ravel() > 0
        yield _Candidate("theme", what.format(words[place]), held[:n], held[n:], _WEIGHTS["theme"], len(words))


def _failure_kinds(kinds: Sequence[frozenset[str]], others: int) -> Iterator[_Candidate]:
    """Kinds of failure, where they tell some broken cases from others."""
    nothing = np.zeros(others, bool)
    for kind in sorted({kind for found in kinds for kind in found}):
        mask = np.fromiter((kind in found for found in kinds), bool, len(kinds))
        if mask.mean() <= 0.8:
            yield _Candidate("failure", f"graders say {kind}", mask, nothing, _WEIGHTS["failure"], 1)


def _group(item: _Candidate, mine: Mask, names: Sequence[str], kinds: Sequence[frozenset[str]]) -> FailureGroup:
    places = np.flatnonzero(mine)
    matching, others = int(item.broken.sum()), int(item.others.sum())
    compared = len(item.others) > 0 and item.kind != "failure"
    lift = (matching / len(item.broken)) / (others / len(item.others)) if compared and others else None
    return FailureGroup(
        kind=item.kind,
        sentence=_sentence(item, kinds, places, compared=compared),
        size=len(places),
        of=len(names),
        matching=matching,
        others=others if compared else 0,
        of_others=len(item.others) if compared else 0,
        lift=round(lift, 6) if lift is not None else None,
        example=names[places[0]],
        cases=tuple(names[place] for place in places[:MOST_CASES]),
    )


def _sentence(item: _Candidate, kinds: Sequence[frozenset[str]], places: NDArray[np.intp], *, compared: bool) -> str:
    begin = f"{item.text[0].upper()}{item.text[1:]}"
    told = f"{begin}: {int(item.broken.sum()):,} of {count_of(len(item.broken), 'broken case')}"
    if compared:
        told += f", {int(item.others.sum()):,} of {count_of(len(item.others), 'other')}"
    return f"{told}.{'' if item.kind == 'failure' else _named(kinds, places)}"


def _named(kinds: Sequence[frozenset[str]], places: NDArray[np.intp]) -> str:
    """How graders name most of them."""
    counts = Counter(kind for place in places for kind in kinds[place])
    if not counts:
        return ""
    kind, number = min(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return f" Mostly {kind} ({number:,})."


def _rest(
    left: Mask, names: Sequence[str], kinds: Sequence[frozenset[str]], others: int, *, found: bool
) -> Iterator[FailureGroup]:
    """The cases in no group."""
    places = np.flatnonzero(left)
    if not len(places):
        return
    what = "The others share" if found else "They share"
    text = f"{what} nothing that sets them apart: {len(places):,} of {count_of(len(names), 'broken case')}."
    yield replace(
        FailureGroup("rest", text + _named(kinds, places), len(places), len(names)),
        matching=len(places),
        of_others=others,
        example=names[places[0]],
        cases=tuple(names[place] for place in places[:MOST_CASES]),
    )
