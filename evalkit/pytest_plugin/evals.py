"""What a session runs: each workflow once, whichever test or worker needs it first."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.errors import ConfigError, EvalkitError, ExitCode, TerminatedError
from evalkit.fingerprint import fingerprint, short
from evalkit.pytest_plugin import CASE, MARKER
from evalkit.text import log_safe

if TYPE_CHECKING:
    from evalkit.engine.execute import Progress
    from evalkit.gate import Verdict
    from evalkit.pytest_plugin.case import EvaluatedCase
    from evalkit.pytest_plugin.items import VerdictItem
    from evalkit.workflow import Project

__all__ = ["Evals", "Result"]


@dataclass(frozen=True)
class Result:
    """What became of a workflow in this session."""

    project: str
    """Its ``evalkit.yaml``."""
    workflow: str
    verdict: str
    sentence: str
    exit_code: int
    run_id: str = ""
    """Empty where it could not be run."""
    report: str = ""
    part: str = ""
    """How much of the golden set was selected; empty where it was all."""
    part_allowed: bool = False

    @property
    def is_accepted_part(self) -> bool:
        """Some cases only, which prove nothing about the others, and somebody said that this is meant."""
        return bool(self.part) and self.part_allowed and self.exit_code in (ExitCode.PASS, ExitCode.INCONCLUSIVE)

    @property
    def is_green(self) -> bool:
        """Whether the session may end well."""
        return (self.exit_code == ExitCode.PASS and not self.part) or self.is_accepted_part


@dataclass
class _Wanted:
    """What of a workflow the tests are about."""

    collected: set[str] = field(default_factory=set)
    selected: set[str] = field(default_factory=set)
    whole: bool = False
    active: bool = False
    """Whether a test of it will be run."""

    @property
    def part(self) -> tuple[str, ...]:
        """The selected cases; empty where the whole set is run."""
        return () if self.whole or self.collected <= self.selected else tuple(sorted(self.selected))


_Key = tuple[Path, str]


class Evals:
    """Workflows of a session.

    Args:
        config: Of pytest.
        shared: Folder that the workers of pytest-xdist have in common; None without them.
    """

    def __init__(self, config: pytest.Config, shared: Path | None) -> None:
        self._config = config
        self._shared = shared
        self._projects: dict[Path, Project] = {}
        self._wanted: dict[_Key, _Wanted] = {}
        self._results: dict[_Key, Result] = {}
        self._cases: dict[_Key, Callable[[str], EvaluatedCase]] = {}
        self._items: dict[_Key, VerdictItem] = {}

    # ── collecting ──────────────────────────────────────────────────────────────────────

    def project(self, path: Path) -> Project:
        """The project of a file or folder.

        Raises:
            ConfigError: when there is none, or it is wrong.
        """
        from evalkit.workflow import find_project, load_project

        file = find_project(path)
        if file not in self._projects:
            self._projects[file] = load_project(file)
        return self._projects[file]

    def key(self, marker: pytest.Mark, node: pytest.Item) -> _Key:
        """The workflow that a marker names, and its project.

        Raises:
            EvalkitError: when there is none.
        """
        if marker.args or not isinstance(marker.kwargs.get("workflow"), str) or marker.kwargs.keys() - _KEYS:
            pytest.fail("write the marker as @pytest.mark.evalkit(workflow=NAME, cases=[…])", pytrace=False)
        said = self._config.getoption("evalkit_project") or marker.kwargs.get("project")
        place = self._config.rootpath / said if said else node.path.parent
        if not place.exists():
            raise ConfigError("no such project", file=place, fix="name evalkit.yaml or its folder")
        project = self.project(place)
        (name,) = project.names((marker.kwargs["workflow"],))
        return project.source.path, name

    def parametrisation(self, marker: pytest.Mark, node: pytest.Item) -> tuple[str, ...]:
        """The ids of the cases that a test is made for."""
        from evalkit.goldens import load
        from evalkit.workflow import load_workflow

        try:
            key = self.key(marker, node)
            workflow = load_workflow(self._projects[key[0]], key[1])
            golden = load(workflow.golden_path, workflow.spec.golden_version)
            ids = tuple(golden.ids.to_pylist())
            chosen = tuple(marker.kwargs.get("cases") or ids)
            for case_id in set(chosen) - set(ids):
                golden.case(case_id)  # says that there is no such case, and which is meant
        except EvalkitError as error:
            pytest.fail(log_safe(str(error)), pytrace=False)
        self._wanted.setdefault(key, _Wanted()).collected.update(chosen)
        return chosen

    def missing_verdicts(
        self, session: pytest.Session, items: Sequence[pytest.Item], *, again: bool = False
    ) -> list[VerdictItem]:
        """The test of the verdict for each workflow that has tests and no such one.

        Args:
            session: Of pytest.
            items: The tests.
            again: Those that were added before and deselected since are added again, for a part.
        """
        from evalkit.pytest_plugin.items import ProjectFile, VerdictItem

        there = {(item.path.resolve(), item.name) for item in items if isinstance(item, VerdictItem)}
        added = []
        for item in items:
            if item.get_closest_marker(MARKER) is None or _is_skipped(item):
                continue
            key = self._key_of(item)
            if key is None or key in there:
                continue
            there.add(key)
            if key not in self._items:
                parent = ProjectFile.from_parent(session, path=key[0])
                item_of = VerdictItem.from_parent(parent, name=key[1], explicit=True)
                item_of.explicit = self._all_there(key, items) or item_of.nodeid in self._last_failed()
                self._items[key] = item_of
            if again:
                self._items[key].explicit = False
            added.append(self._items[key])
        return added

    def _all_there(self, key: _Key, items: Sequence[pytest.Item]) -> bool:
        """Whether no case was left out by its node id, before anything is deselected."""
        there = {_case_of(item) for item in items if self._key_of(item) == key}
        return key in self._wanted and self._wanted[key].collected <= there

    def _last_failed(self) -> Mapping[str, bool]:
        """Tests that ``--lf`` is about."""
        cache = getattr(self._config, "cache", None)
        if cache is None or not self._config.getoption("lf", default=False):
            return {}
        found: Mapping[str, bool] = cache.get("cache/lastfailed", {})
        return found

    def _key_of(self, item: pytest.Item) -> _Key | None:
        from evalkit.pytest_plugin.items import VerdictItem

        if isinstance(item, VerdictItem):
            return item.path.resolve(), item.name
        marker = item.get_closest_marker(MARKER)
        if marker is None:
            return None
        try:
            return self.key(marker, item)
        except EvalkitError as error:
            raise pytest.UsageError(f"{item.nodeid}: {log_safe(str(error))}") from None

    def select(self, items: Sequence[pytest.Item]) -> None:
        """Remember which cases are left; a workflow is run with these only, and whole where its verdict was chosen."""
        for item in items:
            key = self._key_of(item)
            if key is None:
                continue
            wanted = self._wanted.setdefault(key, _Wanted())
            case_id = _case_of(item)
            if case_id is not None:
                wanted.selected.add(case_id)
            elif getattr(item, "explicit", True):
                wanted.whole = True
            wanted.active = wanted.active or not _is_skipped(item)

    # ── running ─────────────────────────────────────────────────────────────────────────

    def run_before(self, item: pytest.Item) -> None:
        """Run the workflow of a test that is about to run."""
        key = self._key_of(item)
        if key is not None and not _is_skipped(item):
            self._result(key)

    def result(self, path: Path, workflow: str) -> Result:
        """What became of a workflow; it is run where it was not."""
        return self._result((path.resolve(), workflow))

    def _result(self, key: _Key) -> Result:
        if key not in self._results:
            self._results[key] = self._run(key) if self._shared is None else self._run_once(key, self._shared)
        return self._results[key]

    def _run_once(self, key: _Key, folder: Path) -> Result:
        """Run it, unless another worker does or did: then wait for that one."""
        name = short(fingerprint("workflow", [str(key[0]), key[1]]), 32)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f"{name}.lock", "w", encoding="utf-8") as lock:
            # let go by the system when a worker is killed: the next one goes on with what that one has finished
            fcntl.flock(lock, fcntl.LOCK_EX)
            file = folder / f"{name}.json"
            if file.exists():
                return Result(**json.loads(file.read_bytes()))
            from evalkit.atomic import write_bytes

            result = self._run(key)
            write_bytes(file, json.dumps(asdict(result)).encode())
            return result

    def _run(self, key: _Key) -> Result:
        file, workflow = key
        wanted = self._wanted.setdefault(key, _Wanted(whole=True))
        part = wanted.part
        said = f"{len(part):,} of {len(wanted.collected):,} cases of {workflow} were selected" if part else ""
        allowed = bool(self._config.getoption("evalkit_partial"))
        blank = Result(str(file), workflow, "ERROR", "", int(ExitCode.ERROR), part=said, part_allowed=allowed)
        try:
            return self._judged(blank, part)
        except TerminatedError:
            pytest.exit("terminated", returncode=int(ExitCode.TERMINATED))
        except EvalkitError as error:
            return replace(blank, sentence=str(error), exit_code=int(error.exit_code) or int(ExitCode.ERROR))
        except SystemExit as error:  # of a project's own code: its 0 is no pass
            return replace(blank, sentence=f"something called sys.exit({error.code!r}) before the run was finished")
        except Exception as error:  # a defect of ours is no verdict, and ends no other test  # noqa: BLE001
            return replace(blank, sentence=f"a defect in evalkit: {type(error).__name__}: {error}")

    def _judged(self, blank: Result, part: tuple[str, ...]) -> Result:
        from evalkit.cli.run import with_baseline
        from evalkit.engine.prepare import RunOptions
        from evalkit.session import run_project, write_report

        project = self.project(Path(blank.project))
        (outcome,) = run_project(
            project, [blank.workflow], RunOptions(cases=part),
            baseline=self._config.getoption("evalkit_baseline"),
            set_baseline=self._config.getoption("evalkit_set_baseline"), listener=self._tell,
        )  # fmt: skip
        verdict = with_baseline(outcome)
        written = write_report(project, [verdict])
        return replace(
            blank, verdict=verdict.verdict, sentence=verdict.sentence, exit_code=outcome.exit_code,
            run_id=outcome.run.run.run_id, report=str(project.relative(written)),
        )  # fmt: skip

    def _tell(self, name: str, progress: Progress) -> None:
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and not progress.done and self._config.get_verbosity() >= 0:
            reporter.ensure_newline()
            reporter.write_line(f"evalkit: {name}: {progress.reused:,} trials reused, {progress.to_make:,} to make")

    # ── asking ──────────────────────────────────────────────────────────────────────────

    def case(self, marker: pytest.Mark, node: pytest.Item, case_id: str) -> EvaluatedCase:
        """A case of the run."""
        key = self.key(marker, node)
        result = self._run_of(key)
        if key not in self._cases:
            from evalkit.pytest_plugin.stored import stored_cases

            self._cases[key] = stored_cases(self._projects[key[0]], result.run_id)
        return self._cases[key](case_id)

    def verdict(self, marker: pytest.Mark, node: pytest.Item) -> Verdict:
        """The verdict on the run."""
        key = self.key(marker, node)
        return self._verdict(self._run_of(key))

    def _run_of(self, key: _Key) -> Result:
        result = self._result(key)
        if not result.run_id:
            pytest.fail(log_safe(f"{key[1]} could not be run: {result.sentence}"), pytrace=False)
        return result

    def _verdict(self, result: Result) -> Verdict:
        from evalkit.gate.compare import load_verdict

        verdict = load_verdict(self.project(Path(result.project)), result.run_id)
        assert verdict is not None, f"the verdict on run {result.run_id} is gone"  # noqa: S101
        return verdict

    def explained(self, result: Result) -> str:
        """The whole report of a verdict, as ``evalkit run`` prints it."""
        first = f"{result.verdict}: {' '.join(result.sentence.split())}"
        if not result.run_id:
            return f"{result.verdict}: {result.sentence}"
        from evalkit.gate.report import Report, renderer

        verdict = replace(self._verdict(result), sentence=result.sentence)
        text = renderer("terminal")(Report((verdict,), report_path=result.report))
        if not result.part:
            return f"{first}\n\n{text.rstrip()}"
        fix = "Run all of them, or accept that with --evalkit-partial."
        return f"{first}\n\n{text}{result.part}: a part is no verdict. {fix}"

    # ── the end ─────────────────────────────────────────────────────────────────────────

    def results(self) -> list[Result]:
        """All results of the session, by workflow."""
        found = dict(self._results)
        if self._shared is not None:
            for file in self._shared.glob("*.json"):
                result = Result(**json.loads(file.read_bytes()))
                found[Path(result.project), result.workflow] = result
        return [found[key] for key in sorted(found)]

    def summary(self) -> list[tuple[str, bool | None]]:
        """Lines for the end of the session, each with whether it is good; None where it is neither."""
        found = self.results()
        lines: list[tuple[str, bool | None]] = [
            (f"report  {log_safe(result.report)}", None) for result in found if result.report
        ]
        for result in found:
            said = f" [{result.part}]" if result.part else ""
            text = f"{result.workflow}: {result.verdict}: {' '.join(result.sentence.split())}{said}"
            lines.append((log_safe(text), result.is_green))
        done = {(Path(result.project), result.workflow) for result in found}
        for key, wanted in sorted(self._wanted.items()):
            if wanted.active and key not in done and not self._config.option.collectonly:
                lines.append((f"{key[1]}: no verdict: the session ended before it was run", None))
        return lines


_KEYS = {"workflow", "cases", "project"}


def _case_of(item: pytest.Item) -> str | None:
    """The case that a test is made for, if any."""
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get(CASE)


def _is_skipped(item: pytest.Item) -> bool:
    """Whether pytest will skip the test, so that nothing is spent on it."""
    if item.get_closest_marker("skip") is None and item.get_closest_marker("skipif") is None:
        return False
    from _pytest.skipping import evaluate_skip_marks

    try:
        return evaluate_skip_marks(item) is not None
    except BaseException:  # a condition that is wrong: pytest says so when it comes to the test  # noqa: BLE001
        return False
