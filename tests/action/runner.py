"""A small runner for composite actions and jobs: what GitHub's runner does with `run:` steps, done for real.

Each job starts on a machine of its own: a fresh clone of the repository and empty folders. What outlives it is the
service's: the repository, caches (which a pull request shares with nobody but the default branch), artifacts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.action.expressions import Expressions
from tests.conftest import clean_environment

__all__ = ["Event", "Finished", "Service", "git"]

ROOT = Path(__file__).parents[2]
_GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
_PYTHON = """\
#!/bin/sh
# `evalkit comment` is only written down; all else is Python itself
if [ "$2" = evalkit ] && [ "$5" = comment ]; then
  {{ echo "token=$GITHUB_TOKEN"; for word in "$@"; do echo "$word"; done; }} >>"{log}"
  exit {code}
fi
if [ "$2" = pip ] || [ {dry} = yes ]; then
  for word in "$@"; do echo "$word"; done >>"{log}"
  exit 0
fi
exec "{python}" "$@"
"""


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; what it prints."""
    done = subprocess.run([*_GIT, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Event:
    """Why a workflow runs, and of which commit."""

    name: str
    commit: str
    branch: str = "main"
    number: int = 0
    """Of the pull request."""
    base: str = ""
    """Commit of the pull request's or merge group's base."""
    fork: bool = False

    @property
    def ref(self) -> str:
        """The ref that caches are kept for."""
        return f"refs/pull/{self.number}/merge" if self.number else f"refs/heads/{self.branch}"

    @property
    def payload(self) -> dict[str, Any]:
        """What GitHub writes down of the event, as far as it is used."""
        data: dict[str, Any] = {"repository": {"default_branch": "main", "full_name": "o/r"}}
        if self.number:
            head = {"sha": self.commit, "ref": self.branch, "repo": {"full_name": "fork/r" if self.fork else "o/r"}}
            data["pull_request"] = {"number": self.number, "base": {"sha": self.base}, "head": head}
        if self.name == "merge_group":
            data["merge_group"] = {"base_sha": self.base, "head_sha": self.commit}
        return data


@dataclass
class Finished:
    """What a job left behind."""

    code: int = 0
    outputs: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    """Names of the steps that ran."""
    summary: str = ""
    log: str = ""
    calls: str = ""
    """What Python was called with where it was only written down, a word a line."""
    workspace: Path = Path()


class Service:
    """The repository with its caches and artifacts, and the machines that run its jobs.

    Args:
        folder: Where all of it is.
        origin: The bare repository.
    """

    def __init__(self, folder: Path, origin: Path) -> None:
        self.folder = folder
        self.origin = origin
        self.caches: list[tuple[str, str, Path]] = []
        self.artifacts: dict[str, Path] = {}
        self.comment_code = 0
        self.dry = False
        """Whether Python is only written down, whatever it is called with."""
        self._jobs = 0

    def act(self, event: Event, **inputs: str) -> Finished:
        """Run this repository's action for an event; evalkit is installed already."""
        job = _Job(self, event, self._next())
        return job.composite(ROOT / "action.yml", {"install": "", **inputs})

    def job(
        self, workflow: Path, name: str, event: Event, *, needs: Mapping[str, Any] | None = None, **inputs: str
    ) -> Finished:
        """Run a job of a workflow for an event, its steps `uses: ./` with some inputs given otherwise."""
        data = yaml.safe_load(workflow.read_text(encoding="utf-8"))
        return _Job(self, event, self._next(), dict(needs or {})).whole(data["jobs"][name], inputs)

    def _next(self) -> int:
        self._jobs += 1
        return self._jobs


class _Job:
    def __init__(self, service: Service, event: Event, number: int, needs: dict[str, Any] | None = None) -> None:
        self.service, self.event, self.number = service, event, number
        self.needs = needs or {}
        self.machine = service.folder / f"machine-{number}"
        self.workspace = self.machine / "work"
        self.temporary = self.machine / "temp"
        self.temporary.mkdir(parents=True)
        git(service.folder, "clone", "-q", str(service.origin), str(self.workspace))
        git(self.workspace, "fetch", "-q", "origin", event.commit)
        git(self.workspace, "checkout", "-q", "--detach", event.commit)
        tools = self.machine / "tools"
        tools.mkdir()
        python = _PYTHON.format(
            log=self.machine / "calls",
            python=sys.executable,
            code=service.comment_code,
            dry="yes" if service.dry else "no",
        )
        (tools / "python").write_text(python, encoding="utf-8")
        (tools / "python").chmod(0o755)
        (self.machine / "event.json").write_text(json.dumps(event.payload), encoding="utf-8")
        self.token = "token-that-reads" if event.fork else "token-that-writes"
        self.github = {
            "event_name": event.name, "event": event.payload, "ref_name": event.branch, "ref": event.ref,
            "run_id": 1000 + number, "run_attempt": 1, "sha": event.commit, "token": self.token, "workflow": "evals",
            "head_ref": event.branch if event.number else "", "repository": "o/r", "job": "gate",
        }  # fmt: skip
        self.environment = {
            **clean_environment(),
            "PATH": f"{tools}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_EVENT_NAME": event.name,
            "GITHUB_EVENT_PATH": str(self.machine / "event.json"),
            "GITHUB_HEAD_REF": str(self.github["head_ref"]),
            "GITHUB_REF_NAME": event.branch,
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.temporary),
        }
        self.done = Finished(workspace=self.workspace)

    def whole(self, job: Mapping[str, Any], inputs: Mapping[str, str]) -> Finished:
        """A job of a workflow: its own steps, and the action where it is used."""
        contexts = {"github": self.github, "needs": self.needs, "runner": {"temp": str(self.temporary)}, "steps": {}}
        if not Expressions(contexts, failed=any(job["result"] != "success" for job in self.needs.values())).holds(
            job.get("if")
        ):
            self.done.log = "skipped"
            return self.done
        for step in job["steps"]:
            uses = step.get("uses", "")
            if uses.startswith(("actions/checkout@", "actions/setup-python@")):
                continue
            at = Expressions(contexts, failed=self.done.code != 0)
            if not at.holds(step.get("if")):
                continue
            if uses == "./":
                given = _filled(at, step.get("with", {}))
                self.composite(ROOT / "action.yml", {**given, "install": "", **inputs})
            else:
                self._step(step, at, {}, self.workspace)
        return self.done

    def composite(self, path: Path, given: Mapping[str, str]) -> Finished:
        """The steps of a composite action, with its inputs."""
        action = yaml.safe_load(path.read_text(encoding="utf-8"))
        declared = action["inputs"]
        assert given.keys() <= declared.keys(), "an input that the action does not have"
        plain = Expressions({"github": self.github})
        inputs = {name: given.get(name, plain.fill(str(item.get("default", "")))) for name, item in declared.items()}
        steps: dict[str, Any] = {step["id"]: {"outputs": {}} for step in action["runs"]["steps"] if "id" in step}
        contexts = {"inputs": inputs, "steps": steps, "github": self.github, "runner": {"temp": str(self.temporary)}}
        for step in action["runs"]["steps"]:
            at = Expressions(contexts, failed=self.done.code != 0)
            if at.holds(step.get("if")):
                self._step(step, at, steps, path.parent)
        for name, output in action["outputs"].items():
            self.done.outputs[name] = Expressions(contexts).fill(output["value"])
        calls = self.machine / "calls"
        self.done.calls = calls.read_text(encoding="utf-8") if calls.exists() else ""
        return self.done

    def _step(self, step: Mapping[str, Any], at: Expressions, steps: dict[str, Any], home: Path) -> None:
        self.done.steps.append(step.get("name", step.get("uses", "")))
        if "uses" in step:
            given = _filled(at, step.get("with", {}))
            outputs = self._used(step["uses"].partition("@")[0], given)
        else:
            env = _filled(at, step.get("env", {}))
            outputs = self._run(step["run"], env, home)
        if "id" in step and step["id"] in steps:
            steps[step["id"]]["outputs"].update(outputs)

    def _run(self, script: str, env: Mapping[str, str], home: Path) -> dict[str, str]:
        assert "${{" not in script
        files = {name: self.machine / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.write_text("", encoding="utf-8")
        written = self.machine / "script.sh"
        written.write_text(script, encoding="utf-8")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(written)],
            cwd=self.workspace,
            env={**self.environment, **{k: str(v) for k, v in files.items()}, "GITHUB_ACTION_PATH": str(home), **env},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        self.done.log += done.stdout + done.stderr
        self.done.summary += files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
        self.done.code = self.done.code or done.returncode
        return parse_outputs(files["GITHUB_OUTPUT"].read_text(encoding="utf-8"))

    def _used(self, action: str, given: Mapping[str, str]) -> dict[str, str]:
        match action:
            case "actions/cache/restore":
                self._restore(given["key"], given.get("restore-keys", "").split())
            case "actions/cache/save":
                self._save(given["key"], given["path"].split("\n"))
            case "actions/upload-artifact":
                return self._upload(given)
            case _:
                raise AssertionError(f"no imitation of {action}")
        return {}

    def _restore(self, key: str, prefixes: list[str]) -> None:
        assert len(key) <= 512
        assert "," not in key, "GitHub refuses such a key"
        for wanted in [key, *prefixes]:
            for ref, name, folder in reversed(self.service.caches):
                if ref in (self.event.ref, "refs/heads/main") and name.startswith(wanted):
                    shutil.copytree(folder, self.workspace, dirs_exist_ok=True)
                    return

    def _save(self, key: str, paths: list[str]) -> None:
        folder = self.service.folder / f"cache-{len(self.service.caches)}"
        folder.mkdir()
        for path in filter(None, map(str.strip, paths)):
            if (self.workspace / path).is_dir():
                shutil.copytree(self.workspace / path, folder / path)
        self.service.caches.append((self.event.ref, key, folder))

    def _upload(self, given: Mapping[str, str]) -> dict[str, str]:
        path = self.workspace / given["path"]
        single = given.get("archive") == "false"
        assert path.is_file() if single else path.is_dir()
        name = path.name if single else given["name"]
        assert not set(name) & set('":<>|*?\\/\r\n'), "GitHub refuses such a name"
        kept = self.service.folder / "artifacts" / str(self.number) / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, kept) if single else shutil.copytree(path, kept)
        self.service.artifacts[name] = kept
        return {"artifact-url": f"https://github.example/o/r/actions/runs/{1000 + self.number}/artifacts/7"}


def _filled(at: Expressions, values: Mapping[str, Any]) -> dict[str, str]:
    """Values as a step gets them: texts, with their expressions replaced."""
    return {
        key: at.fill(str(value).lower() if isinstance(value, bool) else str(value)) for key, value in values.items()
    }


def parse_outputs(text: str) -> dict[str, str]:
    """What a step wrote to ``GITHUB_OUTPUT``: lines ``name=value``, or ``name<<END`` and lines up to ``END``."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, sign, rest = line.partition("<<") if "<<" in line.split("=", 1)[0] else line.partition("=")
        assert sign, f"not an output: {line!r}"
        if sign == "=":
            found[name] = rest
            continue
        held = []
        for more in lines:
            if more == rest:
                break
            held.append(more)
        else:
            raise AssertionError(f"the value of {name} does not end")
        found[name] = "\n".join(held)
    return found
