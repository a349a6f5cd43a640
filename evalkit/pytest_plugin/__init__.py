"""A pytest plugin: evals as tests, one test a case, and one verdict a workflow.

::

    @pytest.mark.evalkit(workflow="support")
    def test_support(evalkit_case):
        assert "14 Harbour Lane" not in evalkit_case.answer

A workflow is run once a session, with all cases that were selected; its verdict is a test of its own,
``evalkit.yaml::support``. Without the marker this costs a pass over the collected tests: the rest of evalkit is
imported by the first test that needs it.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from evalkit.gate import Verdict
    from evalkit.pytest_plugin.case import EvaluatedCase
    from evalkit.pytest_plugin.evals import Evals

__all__ = ["CASE", "MARKER", "evals_of"]

MARKER = "evalkit"
CASE = "evalkit_case"
"""The fixture whose tests are made for each case."""
_SHARED = "evalkit_shared"
_EVALS = pytest.StashKey["Evals"]()
_FOLDER = pytest.StashKey[Path]()


def evals_of(config: pytest.Config) -> Evals:
    """What this session knows of its workflows; made when it is first asked for."""
    from evalkit.pytest_plugin.evals import Evals

    if _EVALS not in config.stash:
        given = getattr(config, "workerinput", {}).get(_SHARED) or config.stash.get(_FOLDER, None)
        config.stash[_EVALS] = Evals(config, Path(given) if given else None)
    return config.stash[_EVALS]


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options, in a group of their own."""
    group = parser.getgroup("evalkit", "evals of LLM workflows")
    group.addoption("--evalkit-project", metavar="PATH", help="evalkit.yaml or its folder; default: above the test.")
    group.addoption("--evalkit-baseline", metavar="NAME", help="Baseline name or run id to compare with.")
    group.addoption("--evalkit-set-baseline", metavar="NAME", help="Accept runs into this baseline, as evalkit run.")
    group.addoption(
        "--evalkit-partial", action="store_true",
        help="Let a run of selected cases, which can prove nothing about the whole set, end without a verdict.",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "evalkit(workflow, *, cases=None, project=None): run a workflow of evalkit.yaml and judge it; with the fixture "
        "`evalkit_case` the test is made for each case, or for the named ones.",
    )
    # two implementations of one hook need two plugins
    for part in (_AddVerdicts(), _KeepVerdicts()):
        config.pluginmanager.register(part, f"evalkit{type(part).__name__}")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give the workers of pytest-xdist a folder in common, so that one of them runs a workflow and all read it."""
    import tempfile

    stash = node.config.stash
    if _FOLDER not in stash:
        stash[_FOLDER] = Path(tempfile.mkdtemp(prefix="evalkit-pytest-"))
    node.workerinput[_SHARED] = str(stash[_FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove that folder."""
    if _FOLDER in config.stash:
        import shutil

        shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each case."""
    if CASE not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker(MARKER)
    if marker is None:
        return  # the fixture says so
    found = evals_of(metafunc.config).parametrisation(marker, metafunc.definition)
    metafunc.parametrize(CASE, found, indirect=True, ids=list(found))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The workflows of an ``evalkit.yaml`` that was named on the command line or in ``testpaths``."""
    if file_path.name != "evalkit.yaml" or not parent.session.isinitpath(file_path):
        return None
    from evalkit.pytest_plugin.items import ProjectFile

    return ProjectFile.from_parent(parent, path=file_path)


def _is_marked(items: list[pytest.Item]) -> bool:
    return any(item.get_closest_marker(MARKER) is not None for item in items)


class _AddVerdicts:
    """One test for the verdict of each workflow, before anything is deselected and, where it was, after that too."""

    @staticmethod
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
        if _is_marked(items):
            added = evals_of(session.config).missing_verdicts(session, items)
            items.extend(added)
            report = pytest.CollectReport("", "passed", None, [*added])
            session.config.hook.pytest_collectreport(report=report)


class _KeepVerdicts:
    """``-k``, ``-m`` and ``--lf`` choose among cases; what is left of a workflow is still judged."""

    @staticmethod
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
        if _is_marked(items):
            items.extend(evals_of(session.config).missing_verdicts(session, items, again=True))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Which cases were selected is known now."""
    if _EVALS in session.config.stash or _is_marked(session.items):
        evals_of(session.config).select(session.items)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run the workflow of a test before its clock starts: a whole run is not the time of one test."""
    if _EVALS in item.config.stash:
        item.config.stash[_EVALS].run_before(item)
    return (yield)


@pytest.fixture
def evalkit_case(request: pytest.FixtureRequest) -> EvaluatedCase:
    """A case of the workflow that the marker names, with the answers, traces and scores of this session's run."""
    marker = request.node.get_closest_marker(MARKER)
    if marker is None:
        pytest.fail("evalkit_case needs the marker @pytest.mark.evalkit(workflow=…)", pytrace=False)
    return evals_of(request.config).case(marker, request.node, request.param)


@pytest.fixture
def evalkit_verdict(request: pytest.FixtureRequest) -> Verdict:
    """The verdict on the workflow that the marker names."""
    marker = request.node.get_closest_marker(MARKER)
    if marker is None:
        pytest.fail("evalkit_verdict needs the marker @pytest.mark.evalkit(workflow=…)", pytrace=False)
    return evals_of(request.config).verdict(marker, request.node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test of a case prints or says may be a model's text: no command to a terminal or a CI log."""
    report = yield
    if _EVALS in item.config.stash and item.get_closest_marker(MARKER) is not None:
        from evalkit.pytest_plugin.items import make_safe

        make_safe(report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A verdict that is no pass is never green, whatever became of its test."""
    if _is_worker(session.config) or not _has_results(session.config) or session.exitstatus != pytest.ExitCode.OK:
        return
    if any(not result.is_green for result in evals_of(session.config).results()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _has_results(config: pytest.Config) -> bool:
    return _EVALS in config.stash or (_FOLDER in config.stash and any(config.stash[_FOLDER].glob("*.json")))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The verdicts, each with the sentence of ``evalkit run``."""
    if not _has_results(config):
        return
    lines = evals_of(config).summary()
    if lines:
        terminalreporter.section("evalkit")
    for text, good in lines:
        markup = {} if good is None else {"green" if good else "red": True}
        terminalreporter.write_line(text, **markup)
