"""A repository with a project on two routes, and the service that runs its jobs."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
import yaml

from tests.action.runner import Event, Service, git
from tests.conftest import ProjectFolder, lay_down

ROUTES = """\
classify: {trust_request: true}
routes:
  good: {model: good}
  cheap: {model: cheap}
default: good
rules:
  - {id: private, when: {intent: [personal_data]}, route: good}
"""


class Repository:
    """A repository that people push to and open pull requests in.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        origin = folder / "origin.git"
        origin.mkdir()
        git(origin, "init", "--bare", "-q")
        git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")
        self.project = lay_down(
            folder / "clone",
            models={"good": {"model": "simulator:sim-flawless-1"}, "cheap": {"model": "simulator:sim-echo-1"}},
            prompts={"answer": "prompt.md"},
            routes="routes.yaml",
        )
        workflows = yaml.safe_load((self.project.path / "evalkit.yaml").read_text(encoding="utf-8"))["workflows"]
        for key in ("model", "prompt"):  # the routes say both
            del workflows["shop"][key]
        self.project.configure(workflows=workflows)
        self.project.write("routes.yaml", ROUTES)
        self.project.write(".gitignore", ".evalkit/\nreports/\n")
        self.project.write("README.md", "A shop.\n")
        git(self.project.path, "init", "-q", "-b", "main")
        git(self.project.path, "remote", "add", "origin", str(origin))
        self.service = Service(folder, origin)
        self.main = self._commit("base")
        self._pulls = 0

    def copied(self, folder: Path) -> Repository:
        """The same in another folder, to be changed; without what machines have left behind."""
        origin = self.service.origin
        for part in (origin, self.project.path):
            shutil.copytree(part, folder / part.name)
        copy_of = copy.copy(self)
        copy_of.project = ProjectFolder(folder / self.project.path.name)
        copy_of.service = Service(folder, folder / origin.name)
        git(copy_of.project.path, "remote", "set-url", "origin", str(copy_of.service.origin))
        return copy_of

    def _commit(self, message: str) -> str:
        git(self.project.path, "add", "--all")
        git(self.project.path, "commit", "-q", "--allow-empty", "-m", message)
        branch = git(self.project.path, "branch", "--show-current")
        git(self.project.path, "push", "-q", "--force", "origin", f"HEAD:{branch}")
        return git(self.project.path, "rev-parse", "HEAD")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text of a file."""
        self.project.edit(name, old, new)

    def push(self, message: str = "on main") -> Event:
        """What was edited, pushed to main."""
        self.main = self._commit(message)
        return Event("push", self.main)

    def pull_request(self, branch: str = "topic", *, fork: bool = False) -> Event:
        """What was edited, as a new pull request; the edits are taken back on main."""
        self._pulls += 1
        git(self.project.path, "checkout", "-q", "-b", branch)
        head = self._commit("proposed")
        git(self.project.path, "checkout", "-q", "main")
        return Event("pull_request", head, branch, self._pulls, self.main, fork)

    def queued(self, pull: Event) -> Event:
        """The merge queue's entry for a pull request."""
        return Event("merge_group", pull.commit, f"gh-readonly-queue/main/pr-{pull.number}", base=self.main)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository whose main branch has no baseline yet."""
    return Repository(tmp_path)


@pytest.fixture(scope="session")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository whose main branch was run, so that its baseline is kept on a branch."""
    repository = Repository(tmp_path_factory.mktemp("kept"))
    done = repository.service.act(Event("push", repository.main))
    assert done.code == 0, done.log
    return repository


@pytest.fixture
def kept(run_once: Repository, tmp_path: Path) -> Repository:
    """A copy of it."""
    return run_once.copied(tmp_path)


__all__ = ["Repository", "kept", "repository", "run_once"]
