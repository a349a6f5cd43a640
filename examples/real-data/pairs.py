"""The gate on every pair of recorded runs: builds, re-runs, upgrades, and models against each other.

    python examples/real-data/pairs.py DATA [OUT]
    python examples/real-data/pairs.py DATA --all

Each pair is judged by the gate with its defaults (5-point margin) but for the rule on critical cases, which has no
meaning between two vendors. There is one run of each configuration, so the two runs are compared case by case. Where
the answers are recorded our graders judge them; elsewhere the recorded verdict of the benchmark counts, and its
question and slice are all that broken cases can share. Pairs go from old to new; of two models without an order, from
the better to the worse.

``--all`` puts all 71 configurations of BFCL v1 against each other, the better as the baseline, by the gate's test of a
margin, and prints counts. Whatever file is missing in DATA is named and left out.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bfcl
import numpy as np
import xstest
from archive import Archive, read_rows

from evalkit.gate import Verdict
from evalkit.records import Case, Expectation, Message
from evalkit.session import Outcome
from evalkit.stats import Paired, paired_difference
from evalkit_graders.verification.bfcl import case_of

GATE = {"critical": None, "history": {"runs": 0}}
"""No history: there is one run of each configuration, and reading the runs of other ones would only take time."""
PROMPT = (
    ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06"),
    ("gpt-4o-2024-05-13", "gpt-4o-mini-2024-07-18"),
    ("claude-3-opus-20240229", "claude-3-5-sonnet-20240620"),
    ("claude-3-5-sonnet-20240620", "claude-3-opus-20240229"),
    ("gpt-4o-2024-05-13", "gpt-3.5-turbo-0125"),
)
NATIVE = (
    ("gemini-1.5-pro-preview-0409", "gemini-1.5-pro-preview-0514"),
    ("gpt-4o-2024-05-13-FC", "gpt-4o-2024-08-06-FC"),
    ("gpt-4o-2024-08-06-FC", "gpt-4o-mini-2024-07-18-FC"),
    ("gpt-4-0613-FC", "gpt-4-1106-preview-FC"),
    ("gpt-4-1106-preview-FC", "gpt-4-0125-preview-FC"),
    ("gpt-4-0125-preview-FC", "gpt-4-turbo-2024-04-09-FC"),
    ("gpt-4-turbo-2024-04-09-FC", "gpt-4o-2024-05-13-FC"),
    ("gpt-4-turbo-2024-04-09-FC", "gpt-3.5-turbo-0125-FC"),
    ("claude-3-sonnet-20240229-FC", "claude-3-5-sonnet-20240620-FC"),
    ("claude-3-opus-20240229-FC", "claude-3-5-sonnet-20240620-FC"),
    ("claude-3-opus-20240229-FC", "claude-3-haiku-20240307-FC"),
    ("firefunction-v1-FC", "firefunction-v2-FC"),
    ("firefunction-v2-FC", "firefunction-v1-FC"),
    ("meetkai_functionary-small-v3.1-FC", "meetkai_functionary-small-v3.2-FC"),
    ("meetkai_functionary-medium-v3.1-FC", "meetkai_functionary-small-v3.2-FC"),
    ("mistral-small-2402-FC-Auto", "mistral-small-2402-FC-Any"),
    ("mistral-large-2407-FC-Auto", "mistral-large-2407-FC-Any"),
    ("open-mistral-nemo-2407-FC-Auto", "open-mistral-nemo-2407-FC-Any"),
    ("open-mixtral-8x22b-FC-Auto", "open-mixtral-8x22b-FC-Any"),
)
BINS = (-1.0, 0.01, 0.02, 0.035, 0.05, 0.08, 2.0)
"""Observed drops by which the pairs of ``--all`` are counted."""

Recorded = Mapping[str, Mapping[str, bool]]
"""By configuration the verdict on each case."""
Answers = Mapping[str, Iterable[Mapping[str, Any]]]
"""By configuration the rows of its recording."""


@dataclass(frozen=True)
class Judged:
    """A pair and its verdict."""

    before: str
    after: str
    verdict: Verdict

    @property
    def cells(self) -> list[str]:
        """A row of the table."""
        rule = next(rule for rule in self.verdict.rules if rule.kind == "drop")
        share = [f"{100 * (value or 0):.1f}" for value in (rule.baseline, rule.candidate)]
        interval = f"{_points(rule.delta)} [{_points(rule.low)}, {_points(rule.high)}]"
        flips = f"{abs(rule.broke):g} / {abs(rule.fixed):g}"
        return [self.before, self.after, str(rule.n), *share, interval, flips, self.verdict.verdict, self._shared()]

    def _shared(self) -> str:
        """What the largest group of broken cases says."""
        named = [group for group in self.verdict.groups if group.kind != "rest"]
        if not named:
            return ""
        more = f" (+{len(named) - 1})" if len(named) > 1 else ""
        return named[0].sentence.split(" Mostly ")[0].rstrip(".").replace("|", "\\|") + more


def _points(share: float | None) -> str:
    if share is None:
        return "?"
    text = f"{100 * abs(share):.1f}"
    return text if text == "0.0" else f"{'−' if share < 0 else '+'}{text}"


def judged(archive: Archive, answers: Answers, pairs: Sequence[tuple[str, str]] = ()) -> Iterator[Judged]:
    """Run every recording once and judge the pairs; without pairs all of them, from the better to the worse."""
    outcomes: dict[str, Outcome] = {}
    for name, rows in answers.items():
        archive.add_answers(name, rows)
    for name in answers:
        outcomes[name] = archive.run(name)
    for before, after in pairs or _downwards(outcomes):
        yield Judged(before, after, archive.judge(outcomes[before], outcomes[after]))


def _downwards(outcomes: Mapping[str, Outcome]) -> Iterator[tuple[str, str]]:
    def passed(outcome: Outcome) -> int:
        return sum(score.passed is True for score in outcome.run.scores())

    return itertools.combinations(sorted(outcomes, key=lambda name: -passed(outcomes[name])), 2)


def recorded(
    folder: Path, verdicts: Recorded, cases: Mapping[str, tuple[str, str]], pairs: Sequence[tuple[str, str]] = ()
) -> Iterator[Judged]:
    """Judge runs of which only the benchmark's verdict is recorded: an answer is 1 or 0, and 1 is right.

    Args:
        folder: Where the project is made.
        verdicts: By configuration.
        cases: By case its question and its slice.
        pairs: What to compare.
    """
    folder.mkdir(parents=True, exist_ok=True)
    archive = Archive(folder, "recorded", {"graders": ["answer"], "gate": GATE})
    archive.add_cases(
        (
            Case(key, (Message("user", question),), expect=Expectation(facts=(("1",),)), intent=part)
            for key, (question, part) in cases.items()
        ),
        licence="see the source",
    )
    answers = {
        name: [{"case_id": key, "output": str(int(right)), "model": name} for key, right in found.items()]
        for name, found in verdicts.items()
    }
    return judged(archive, answers, pairs)


def paired_results(data: Path, dataset: str, part: str = "") -> tuple[Recorded, dict[str, tuple[str, str]]]:
    """Verdicts and cases of a dataset in the long table; a case is in what all configurations have."""
    verdicts: dict[str, dict[str, bool]] = defaultdict(dict)
    cases: dict[str, tuple[str, str]] = {}
    for row in read_rows(data / "paired_results.parquet"):
        if row["dataset"] == dataset and part in ("", row["slice"]):
            verdicts[row["config_id"]][row["item_id"]] = row["passed"]
            cases[row["item_id"]] = (row["item_id"], row["slice"] or "")
    common = set.intersection(*(set(found) for found in verdicts.values()))
    kept = {name: {key: right for key, right in found.items() if key in common} for name, found in verdicts.items()}
    return kept, {key: case for key, case in cases.items() if key in common}


def of_bfcl(data: Path, folder: Path) -> Iterator[tuple[str, Iterator[Judged]]]:
    """Upgrades of which the answers are recorded, judged by our grader of tool calls."""
    cases = {}
    for row in read_rows(data / "bfcl_v1_cases.parquet"):
        try:
            cases[row["case_id"]] = case_of(row)
        except (AttributeError, TypeError):
            continue  # one case, whose possible answer is not a list of calls
    results = read_rows(data / "bfcl_v1_results.parquet", ["case_id", "model", "raw"])
    for mode, form, pairs in (("prompt mode", "python", PROMPT), ("function calling", "native", NATIVE)):
        made = folder / form
        made.mkdir(parents=True)
        archive = Archive(made, "bfcl", {"tool_calls": form, "graders": [bfcl.AS_BFCL], "gate": GATE})
        archive.add_cases(cases.values(), licence="Apache-2.0")
        answers = {
            model: list(
                bfcl.answers(
                    [row for row in results if row["model"] == model and row["case_id"] in cases],
                    cases,
                    native=form == "native",
                )
            )
            for model in dict.fromkeys(itertools.chain(*pairs))
        }
        yield f"BFCL v1, {mode}, answers graded by evalkit", judged(archive, answers, pairs)


def of_reruns(data: Path, folder: Path) -> Iterator[Judged]:
    """The same model 17 days later."""
    cases = {}
    for row in read_rows(data / "bfcl_v1_cases.parquet", ["case_id", "question", "category"]):
        cases[row["case_id"]] = (row["question"], row["category"])
    verdicts: dict[str, dict[str, bool]] = defaultdict(dict)
    for row in read_rows(data / "bfcl_v1_rerun.parquet"):
        for day in ("0725", "0811"):
            verdicts[f"{row['model']} {day}"][row["case_id"]] = row[f"bfcl_valid_{day}"]
    models = sorted({name[:-5] for name in verdicts})
    pairs = [(f"{model} 0725", f"{model} 0811") for model in models]
    found = sorted(recorded(folder, verdicts, cases, pairs), key=lambda pair: _change(pair.verdict))
    return (Judged(pair.before.removesuffix(" 0725"), "again", pair.verdict) for pair in found)


def _change(verdict: Verdict) -> float:
    return next(rule.delta or 0.0 for rule in verdict.rules if rule.kind == "drop")


def of_xstest(data: Path, folder: Path) -> Iterator[Judged]:
    """Refusals of five models, judged by our grader."""
    rows = read_rows(data / "xstest.parquet")
    folder.mkdir(parents=True)
    grader = {"use": "refusal", "params": {"unable_is_refusal": True}}
    archive = Archive(folder, "xstest", {"graders": [grader], "gate": GATE})
    archive.add_cases({row["item_id"]: xstest.case(row) for row in rows}.values(), licence="CC-BY-4.0")
    models = dict.fromkeys(row["model"] for row in rows)
    return judged(archive, {name: [xstest.answer(row) for row in rows if row["model"] == name] for name in models})


def of_ragtruth(data: Path, folder: Path) -> Iterator[tuple[str, Iterator[Judged]]]:
    """Six models on the same documents, by the verdict of people."""
    rows = read_rows(data / "ragtruth_model_labels.parquet")
    for task in sorted({row["task"] for row in rows}):
        verdicts: dict[str, dict[str, bool]] = defaultdict(dict)
        for row in rows:
            if row["task"] == task:
                verdicts[row["model"]][row["case_id"]] = row["label_grounded"]
        cases = {key: (key, task) for found in verdicts.values() for key in found}
        yield f"RAGTruth {task}, grounded by people", recorded(folder / task, verdicts, cases)


def sections(data: Path, out: Path) -> Iterator[tuple[str, Iterator[Judged]]]:
    """All tables, each under its title."""

    def there(*names: str) -> bool:
        missing = [name for name in names if not (data / name).is_file()]
        if missing:
            print(f"left out: {', '.join(missing)} not found in {data}\n")
        return not missing

    if there("bfcl_v1_cases.parquet", "bfcl_v1_results.parquet"):
        yield from of_bfcl(data, out / "bfcl")
    if there("paired_results.parquet"):
        verdicts, cases = paired_results(data, "bfcl_v4_gptoss")
        builds = [name for key in ("v0.10.2", "v0.11.0", "main") for name in verdicts if name.endswith(key)]
        pairs = [(before, after) for before, after in itertools.permutations(builds, 2)]
        short = {name: f"gpt-oss-120b {name.split(':')[-1]}" for name in builds}
        found = recorded(out / "builds", verdicts, cases, pairs)
        title = "BFCL v4, gpt-oss-120b on three inference builds, both ways"
        yield title, (Judged(short[pair.before], short[pair.after], pair.verdict) for pair in found)
    if there("bfcl_v1_cases.parquet", "bfcl_v1_rerun.parquet"):
        yield "BFCL v1, the same model 17 days later", of_reruns(data, out / "rerun")
    if there("xstest.parquet"):
        yield "XSTest, answers graded by evalkit", of_xstest(data, out / "xstest")
    if there("ragtruth_model_labels.parquet"):
        yield from of_ragtruth(data, out / "ragtruth")
    if there("paired_results.parquet"):
        for title, dataset, part in (
            ("AgentDojo without an attack", "agentdojo_benign", ""),
            ("AgentDojo under `important_instructions`", "agentdojo_attack", "important_instructions"),
            ("tau-bench airline, four trials of gpt-4o", "tau_airline", ""),
            ("MMLU, large and small model", "routellm_mmlu", ""),
        ):
            yield title, recorded(out / dataset, *paired_results(data, dataset, part))


HEADERS = (
    "before",
    "after",
    "n",
    "before %",
    "after %",
    "change",
    "broke / fixed",
    "verdict",
    "what broken cases share",
)


def main(data: Path, out: Path) -> None:
    """Every table, then how often there was each verdict."""
    for title, pairs in sections(data, out):
        counts: Counter[str] = Counter()
        print(f"### {title}\n\n| {' | '.join(HEADERS)} |\n|{'---|' * len(HEADERS)}")
        for pair in pairs:
            counts[pair.verdict.verdict] += 1
            print(f"| {' | '.join(pair.cells)} |", flush=True)
        print(f"\n{', '.join(f'{name} {count}' for name, count in sorted(counts.items()))}.\n")


def everything(data: Path) -> None:
    """All configurations of BFCL v1 against each other: how often each outcome, by the observed drop."""
    verdicts, cases = paired_results(data, "bfcl_v1_2024-08-11")
    passed = {name: np.asarray([found[case] for case in cases], np.float64) for name, found in verdicts.items()}
    counts = [Counter[str]() for _ in BINS[1:]]
    for before, after in itertools.combinations(sorted(passed, key=lambda name: -passed[name].sum()), 2):
        found = paired_difference(passed[before], passed[after], tail_low=0.10, tail_high=0.05)
        place = next(number for number, end in enumerate(BINS[1:]) if -found.delta < end)
        counts[place][_margin_rule(found)] += 1
    names = ("passes", "passes with a note", "inconclusive", "blocks")
    print(f"| observed drop, points | pairs | {' | '.join(names)} |\n|{'---|' * (len(names) + 2)}")
    for (low, high), counted in zip(itertools.pairwise(BINS), counts, strict=True):
        told = f"{100 * max(low, 0):g} to {100 * high:g}" if high < 1 else f"{100 * low:g} or more"
        print(f"| {told} | {counted.total()} | {' | '.join(str(counted[name]) for name in names)} |")


def _margin_rule(found: Paired, margin: float = 0.05, alpha: float = 0.05) -> str:
    """A margin as the gate judges it, of the one grader that there is."""
    if found.low > -margin:
        return "passes with a note" if found.p_worse <= alpha else "passes"
    return "blocks" if found.p_worse <= alpha else "inconclusive"


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--all"]
    if len(given) not in (1, 2):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(given[1] if len(given) == 2 else scratch)
        if "--all" in sys.argv:
            everything(Path(given[0]))
        else:
            main(Path(given[0]), place)
