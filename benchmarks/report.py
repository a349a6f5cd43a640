"""The HTML report of 10,000 cases and six graders: its size, what building it takes, and what a browser makes of it."""

from __future__ import annotations

import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.common import Row, Table

CASES = 10_000
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_READY = "#explorer[data-ready]"


def measure() -> Table:
    """Size and cost of the report with the texts of changed cases and of all."""
    from benchmarks.common import scratch_folder

    rows: list[Row] = []
    with scratch_folder() as folder:
        _child("make", folder, str(CASES))
        for text in ("changed", "all"):
            built = [_child("build", folder, text) for _ in range(3)]
            rows.append([f"texts of {text} cases: file", f"{built[0]['bytes'] / 1e6:.2f} MB"])
            rows.append(["  building it, CPU s (wall)", f"{_middle(built, 'cpu'):.2f} ({_middle(built, 'wall'):.2f})"])
            rows.append(["  the process at its peak", f"{max(item['rss_mb'] for item in built):.0f} MB"])
            if any(map(shutil.which, _BROWSERS)):
                seen = _child("browse", folder, text)
                rows += [[f"  {name}", value] for name, value in seen.items()]
    return f"HTML report of {CASES:,} cases and 6 graders", ["what", "measured"], rows


def _middle(found: list[dict[str, Any]], name: str) -> float:
    return float(statistics.median(item[name] for item in found))


def _child(name: str, folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.report", name, str(folder), *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def make(folder: Path, count: str) -> dict[str, Any]:
    """Fill the store and judge."""
    from benchmarks.report_data import make_store
    from evalkit import codec

    make_store(folder, int(count))
    (folder / "verdict.json").write_bytes(codec.encode(_judge(folder)))
    return {}


def _judge(folder: Path) -> Any:
    from evalkit.gate.golden import StoredCases
    from evalkit.gate.judging import judge
    from evalkit.store.runs import Runs
    from evalkit.workflow.gates import GateSpec

    *_, baseline, candidate = Runs(folder).all()
    cost = {"grader": "cost", "metric": "mean", "max_increase": "10%"}
    spec = GateSpec.model_validate({"critical": 0, "margin": "5pt", "rules": [cost]})
    return judge(candidate, baseline, StoredCases(folder, candidate.run.golden_set, ""), spec, baseline_name="main")


def build(folder: Path, text: str) -> dict[str, Any]:
    """Write the report of the stored verdict; imports are part of every command, and are not counted."""
    import evalkit_reports.html
    from evalkit import codec
    from evalkit.atomic import write_text
    from evalkit.gate.details import StoredDetails
    from evalkit.gate.report import Report
    from evalkit.gate.verdict import Verdict
    from evalkit.store.runs import Runs

    wall, cpu = time.perf_counter(), time.process_time()
    verdict = codec.decode(Verdict, (folder / "verdict.json").read_bytes())
    *earlier, baseline, candidate = Runs(folder).all()
    details = StoredDetails(folder, candidate, baseline, earlier, frozenset(item.path.name for item in earlier))
    report = Report((verdict,), details={verdict.id: details}, text=text)  # type: ignore[arg-type]
    target = folder / f"{text}.html"
    write_text(target, evalkit_reports.html.render(report))
    return {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "bytes": target.stat().st_size,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def browse(folder: Path, text: str) -> dict[str, Any]:
    """Open it, open cases, filter, search: medians of three pages."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, _BROWSERS)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        seen = [_page(browser, folder / f"{text}.html") for _ in range(3)]
        browser.close()
    units = {"CPU of the renderer to a usable list": "s", "rows in sight": "", "script's heap": "MB"}
    found = {}
    for name in seen[0]:
        value = statistics.median(item[name] for item in seen)
        found[name] = f"{value:.2f} s" if units.get(name) == "s" else f"{value:.0f} {units.get(name, 'ms')}".rstrip()
    return found


def _page(browser: Any, file: Path) -> dict[str, float]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector(_READY)
    page.wait_for_selector("#x-list [role=option]")
    cpu = _process_time(context.new_cdp_session(page))
    visible = page.evaluate(
        "[...document.querySelectorAll('#x-list [role=option]')].filter((o) => { const a = o.getBoundingClientRect(),"
        " b = document.getElementById('x-list').getBoundingClientRect();"
        " return a.bottom > b.top && a.top < b.bottom && o.textContent.trim(); }).length"
    )
    if not visible:
        raise AssertionError("no row is in sight")
    opened = [page.evaluate(_OPEN) for _ in range(20)]
    filtered = [page.evaluate(_CHANGE, ["x-g", "change", value]) for value in ("answer", "", "groundedness", "")]
    searched = [page.evaluate(_CHANGE, ["x-q", "input", value]) for value in ("s", "su", "support-00", "")]
    heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
    context.close()
    return {
        "CPU of the renderer to a usable list": cpu,
        "rows in sight": visible,
        "opening a case, median": statistics.median(opened),
        "opening a case, longest of 20": max(opened),
        "filtering, median of 4": statistics.median(filtered),
        "searching, median of 4": statistics.median(searched),
        "script's heap": heap,
    }


_OPEN = """async () => {
  const box = document.getElementById('x-pane'), name = () => box.querySelector('h3 code')?.textContent, id = name();
  const start = performance.now();
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'j', bubbles: true }));
  while (name() === id) await new Promise((done) => setTimeout(done, 0));
  box.getBoundingClientRect();
  return performance.now() - start; }"""
_CHANGE = """([id, kind, value]) => {
  const control = document.getElementById(id);
  control.value = value;
  const start = performance.now();
  control.dispatchEvent(new Event(kind));
  document.getElementById('x-list').getBoundingClientRect();
  return performance.now() - start; }"""


def _process_time(session: Any) -> float:
    """CPU seconds of the page's own renderer since it was started: the browser has others, for pages of its own."""
    session.send("Performance.enable")
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(item["value"] for item in metrics if item["name"] == "ProcessTime"))


def main() -> None:
    """Do one thing in this process and say what it took."""
    work = {"make": make, "build": build, "browse": browse}[sys.argv[1]]
    print(json.dumps(work(Path(sys.argv[2]), *sys.argv[3:])))


if __name__ == "__main__":
    main()
