"""Comparing two large runs, against plain DuckDB queries on the same segments; each in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.common import Table

CASES = 1_000_000
GRADERS = ("answer", "cost", "groundedness", "latency", "refusal", "tool_call")
MEASURES = ("cost", "latency")
SLICES = 8
RULES: list[dict[str, Any]] = [
    {"grader": "cost", "metric": "mean", "max_increase": "10%"},
    {"grader": "latency", "metric": "p95", "max": "60s"},
]
DIGEST = "d" * 64
_PIECE = 16_700


def measure() -> Table:
    """CPU seconds, peak memory and the ratio to the yardstick of each way of comparing."""
    from benchmarks.common import scratch_folder  # here, as in the children it would be part of what they take

    with scratch_folder() as folder:
        child("make", folder, str(CASES))
        names = {
            "positional": "DuckDB, positional join (yardstick)",
            "same_order": "pairs, margins, 48 slices, cost and latency",
            "hashed": "DuckDB, hash join (yardstick)",
            "other_order": "the same as above, baseline in another order",
            "judge": "judge(), all of it",
            "rerun": "judge() of a run whose trials are the baseline's",
            "copy": "storing scores: Arrow INSERT SELECT (yardstick)",
            "store": "storing scores: the catalogue",
        }
        found = {name: _several(name, folder) for name in names}
    yardsticks = {"same_order": "positional", "other_order": "hashed", "judge": "positional", "store": "copy"}
    rows = []
    for name, label in names.items():
        seconds, megabytes = found[name]
        ratio = f"{seconds / found[yardsticks[name]][0]:.2f}" if name in yardsticks else ""
        rows.append([label, f"{seconds:.2f}", ratio, f"{megabytes:.0f}"])
    return (
        f"Comparing {CASES:,} cases, {len(GRADERS)} graders",
        ["what", "CPU s", "x its yardstick", "peak MB"],
        rows,
    )


def _several(name: str, folder: Path) -> tuple[float, float]:
    peaks: list[float] = []

    def once() -> float:
        seconds, megabytes = child(name, folder)
        peaks.append(megabytes)
        return seconds

    from benchmarks.common import medians

    (seconds,) = medians(3, once)
    return seconds, max(peaks)


def child(name: str, folder: Path, *arguments: str) -> tuple[float, float]:
    """CPU seconds of the work and peak megabytes of the whole process."""
    command = [sys.executable, "-m", "benchmarks.compare", name, str(folder), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, megabytes = json.loads(done.stdout.splitlines()[-1])
    return seconds, megabytes


def make(folder: Path, count: str) -> None:
    """Two runs with one trial a case, the second one with other answers to some; and the first in another order."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from evalkit.store import Runs
    from evalkit.store.arrays import texts
    from evalkit.store.schema import SCORE_SCHEMA, TRACE_SCHEMA, TRIAL_SCHEMA
    from evalkit.store.writer import Chunk

    total = int(count)
    names = [f"case-{number:07d}" for number in range(total)]
    _save_cases(folder, names)
    good = np.random.default_rng(0).random((total, len(GRADERS))) > 0.1
    for number, seed in enumerate((1, 2)):
        draws = np.random.default_rng(seed)
        run = _run(number, total)
        with Runs(folder).writer(run.run_id, run.grading, run.graders) as writer:
            for start in range(0, total, _PIECE):
                ids = texts(names[start : start + _PIECE])
                size = len(ids)
                passed = good[start : start + size] ^ (draws.random((size, len(GRADERS))) < 0.01 * seed)
                values = passed.astype(float)
                for place in (1, 3):
                    values[:, place] = np.round(draws.lognormal(-6 if place == 1 else 0, 0.3, size), 6)
                rows = np.repeat(np.arange(size), len(GRADERS))
                quality = np.tile([name not in MEASURES for name in GRADERS], size)
                names_of_rows = pa.array(GRADERS * size)
                scores = _filled(
                    SCORE_SCHEMA,
                    size * len(GRADERS),
                    run_id=run.run_id,
                    case_id=ids.take(pa.array(rows)),
                    grader=names_of_rows,
                    version="1",
                    fingerprint=names_of_rows,
                    status="ok",
                    value=pa.array(values.reshape(-1)),
                    passed=pa.array(passed.reshape(-1), mask=~quality),
                    severity="none",
                    evidence_json="{}",
                )
                keys = pc.binary_join_element_wise(ids, pa.scalar(str(number)), pa.scalar("-key-" * 10))
                trials = _filled(
                    TRIAL_SCHEMA, size, run_id=run.run_id, case_id=ids, case_digest=ids, trial_key=keys, status="ok",
                    source_run=run.run_id, lag_us=1_000,
                )  # fmt: skip
                traces = _filled(TRACE_SCHEMA, size, run_id=run.run_id, case_id=ids, trace_json=_traces(ids))
                writer.add(Chunk(trials, traces, scores))
            final = writer.finish(run)
        if number == 0:
            table = pq.read_table(final / f"scores-{run.grading[:12]}.parquet")
            mixed = table.take(np.random.default_rng(3).permutation(table.num_rows))
            pq.write_table(
                mixed, folder / "scores-mixed.parquet", compression="zstd", row_group_size=_PIECE * len(GRADERS)
            )


def _filled(schema: Any, rows: int, **columns: Any) -> Any:
    """A table whose columns are given as arrays or as one value for all rows; the others are nought or empty."""
    import pyarrow as pa

    plain: dict[str, Any] = {"string": "", "int32": 0, "int64": 0, "bool": False, "double": 0.0}
    arrays = []
    for field in schema:
        value = columns.get(field.name, plain[str(field.type)])
        whole = isinstance(value, (pa.Array, pa.ChunkedArray))
        arrays.append(value if whole else pa.repeat(pa.scalar(value, field.type), rows))
    return pa.Table.from_arrays(arrays, schema=schema)


def _traces(ids: Any) -> Any:
    import pyarrow as pa

    from evalkit import codec
    from evalkit.records import Trace

    text = codec.encode(Trace(workflow="bench", case_id="?", trial=0, status="ok", answer="An answer. " * 20)).decode()
    return pa.array([text.replace("?", name, 1) for name in ids.to_pylist()])


def _save_cases(folder: Path, names: list[str]) -> None:
    from evalkit.records import Case, Message
    from evalkit.store.cases import save_cases

    turns = (Message("user", "What now?"),)
    cases = (Case(name, turns, intent=f"intent-{place % SLICES}", locale="") for place, name in enumerate(names))
    save_cases(folder, _run(0, len(names)).golden_set, "", cases)


def _run(number: int, total: int) -> Any:
    from evalkit.records import Configuration, GoldenSetRef, GraderRef, Run

    return Run(
        run_id=f"{number:026d}", workflow="bench", created_us=number, finished_us=number, status="complete",
        configuration=Configuration("bench", str(number), ()),
        golden_set=GoldenSetRef("bench", "1.0.0", DIGEST, total),
        graders=tuple(GraderRef(name, "1", name, quality=name not in MEASURES) for name in GRADERS),
        grading="g" * 64, prices="", evalkit="1", trials=total,
    )  # fmt: skip


def _folders(folder: Path) -> tuple[Any, Any]:
    from evalkit.store.runs import Runs

    baseline, candidate = Runs(folder).all()
    return baseline, candidate


def positional(folder: Path) -> None:
    """The yardstick: rows side by side, their keys compared."""
    _query(folder, "POSITIONAL JOIN read_parquet(?) AS c", "b.case_id", mixed=False)


def hashed(folder: Path) -> None:
    """The other yardstick: rows by their keys, the baseline in another order."""
    _query(folder, "JOIN read_parquet(?) AS c USING (case_id, grader, trial)", "case_id", mixed=True)


def _query(folder: Path, join: str, case_id: str, *, mixed: bool) -> None:
    import duckdb

    baseline, candidate = sorted(folder.glob("runs/*/scores-*.parquet"))
    grader, other = ("b.grader", "b.case_id <> c.case_id OR b.grader <> c.grader OR b.trial <> c.trial")
    if case_id == "case_id":
        grader, other = "grader", "false"
    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    sql = f"""
        SELECT {grader}, hash({case_id}) % {SLICES}, count(*), avg(b.value), avg(c.value), avg(c.value - b.value),
               var_samp(c.value - b.value), count(*) FILTER (b.passed AND NOT c.passed),
               count(*) FILTER (c.passed AND NOT b.passed), count(*) FILTER ({other})
        FROM read_parquet(?) AS b {join} GROUP BY 1, 2
    """  # noqa: S608 - literals
    first = folder / "scores-mixed.parquet" if mixed else baseline
    rows = connection.execute(sql, [str(first), str(candidate)]).fetchall()
    if len(rows) != SLICES * len(GRADERS) or any(row[-1] for row in rows):
        raise AssertionError("the yardstick compared something else")


def same_order(folder: Path) -> None:
    """What the gate computes of two runs in canonical order."""
    _compare(folder)


def other_order(folder: Path) -> None:
    """The same where the baseline's rows are in another order."""
    import os

    path = next(iter(sorted(folder.glob("runs/*/scores-*.parquet"))))
    kept = folder / "scores-kept.parquet"
    os.replace(path, kept)
    os.link(folder / "scores-mixed.parquet", path)
    try:
        _compare(folder)
    finally:
        os.replace(kept, path)


def _compare(folder: Path) -> None:
    import numpy as np

    from evalkit.gate.evidence import Evidence, Subject
    from evalkit.gate.golden import CaseColumns, ListedCases, Slicing
    from evalkit.gate.margins import slice_results
    from evalkit.gate.pairs import load_pairs
    from evalkit.gate.rules import expand_rules, judge_rules
    from evalkit.workflow.gates import GateSpec

    baseline, candidate = _folders(folder)
    run = candidate.run
    pairs = load_pairs(baseline, candidate, run.grading, measured=MEASURES)
    every = pairs.axis.everything
    total = len(every)
    codes = np.resize(np.arange(SLICES, dtype=np.int32), total)
    slices = {"intent": Slicing(codes, [str(value) for value in range(SLICES)])}
    trials = np.ones(total, np.int32)
    evidence = Evidence(
        Subject(run.run_id, baseline.run.run_id, run.grading, DIGEST), pairs.axis, pairs.graders, ListedCases(()),
        CaseColumns(pairs.axis.ids, ~every, None, slices), every, every, every, run.graders, trials, trials, pairs.rows,
    )  # fmt: skip
    spec = GateSpec.model_validate({"rules": RULES})
    rules = judge_rules(expand_rules(spec, run.graders), evidence, spec)
    found = slice_results(evidence, spec)
    if any(rule.n != total for rule in rules) or len(found) != SLICES * (len(GRADERS) - len(MEASURES)):
        raise AssertionError("not all was compared")


def judge(folder: Path) -> None:
    """A whole judgement of the second run."""
    baseline, candidate = _folders(folder)
    _judge(folder, candidate, baseline)


def rerun(folder: Path) -> None:
    """A whole judgement of a run that holds nothing new."""
    baseline, _ = _folders(folder)
    verdict = _judge(folder, baseline, baseline)
    if not verdict.sentence.startswith("Proven unchanged"):
        raise AssertionError(verdict.sentence)


def _judge(folder: Path, candidate: Any, baseline: Any) -> Any:
    from evalkit.gate.golden import StoredCases
    from evalkit.gate.judging import judge as judge_run
    from evalkit.workflow.gates import GateSpec

    golden = StoredCases(folder, candidate.run.golden_set, "")
    spec = GateSpec.model_validate({"rules": RULES, "critical": None})
    return judge_run(candidate, baseline, golden, spec)


def copy(folder: Path) -> None:
    """The yardstick of storing scores: one Arrow table, one INSERT."""
    import duckdb
    import pyarrow.parquet as pq

    table = pq.read_table(min(folder.glob("runs/*/scores-*.parquet")))
    target = folder / "copy.duckdb"
    target.unlink(missing_ok=True)
    connection = duckdb.connect(str(target))
    try:
        connection.register("batch", table)
        connection.execute("CREATE TABLE scores AS FROM batch LIMIT 0")
        connection.execute("INSERT INTO scores SELECT * FROM batch")
    finally:
        connection.close()


def store(folder: Path) -> None:
    """Scores of one run into a catalogue that is there already."""
    from evalkit.store.catalogue import Catalogue

    catalogue = Catalogue(folder)
    baseline, _ = _folders(folder)
    catalogue.path.unlink(missing_ok=True)
    with catalogue.connect() as connection:
        catalogue._enter_gradings(connection, [baseline])  # the step that is measured


def main() -> None:
    """Do one thing in this process and say what it took."""
    work = globals()[sys.argv[1]]
    if sys.argv[1] != "make":
        _import_all()
    start = time.process_time()
    work(Path(sys.argv[2]), *sys.argv[3:])
    seconds = time.process_time() - start
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def _import_all() -> None:
    """Imports are measured elsewhere."""
    if sys.argv[1] in ("positional", "hashed", "copy"):
        import duckdb
        import pyarrow.parquet

        del duckdb, pyarrow
        return
    import evalkit.gate
    import evalkit.gate.rates

    if sys.argv[1] == "store":
        import evalkit.store.catalogue

    del evalkit


if __name__ == "__main__":
    main()
