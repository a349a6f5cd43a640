"""Configurations that never were: some components of the candidate, the others of the baseline, run on a few cases.

A component of an earlier run comes from the project as it is now, from what the run has kept of it, or from git, in
this order, and is taken only where its fingerprint is that of the run. Trials are made by the engine like any others:
graded, journalled, paid from the workflow's budget, and reused by key, those of earlier counterfactuals too. They are
kept in a folder of their own in the store, so that they are no runs of the project.
"""

from __future__ import annotations

import io
import re
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from evalkit import codec
from evalkit._version import __version__
from evalkit.engine.execute import Progress
from evalkit.engine.git import ask_git
from evalkit.engine.journal import PlanHead
from evalkit.engine.plan import make_plan
from evalkit.engine.prepare import Candidate, RunOptions, load_grading
from evalkit.engine.run import execute_plan
from evalkit.engine.selection import select_cases
from evalkit.engine.targets import Targets, price_table
from evalkit.errors import BudgetError, EvalkitError, NotComparableError, StoreError
from evalkit.fingerprint import fingerprint
from evalkit.goldens import load
from evalkit.records import Component, Configuration, Run, ToolSpec
from evalkit.rules import Condition
from evalkit.store.runs import RunFolder, Runs, new_run_id
from evalkit.workflow import Project, Workflow, load_project, load_workflow
from evalkit.workflow.kinds import written_kind
from evalkit.workflow.policies import Policies, PolicyRule
from evalkit.workflow.prompts import load_prompt
from evalkit.workflow.spec import ContractSpec, ModelSpec, RoutesSpec

__all__ = ["COUNTERFACTUAL_FOLDER", "Counterfactuals", "Made", "change_units"]

COUNTERFACTUAL_FOLDER = "counterfactual"
"""In the store."""
_USER = "\n=== user ===\n"
_INCLUDED = re.compile(r"^=== (.+) ===$", re.MULTILINE)


@dataclass(frozen=True)
class Made:
    """A counterfactual that was run."""

    folder: RunFolder
    calls: int
    microusd: int
    trials: int
    reused: int


def change_units(before: Configuration, after: Configuration) -> dict[str, frozenset[str]]:
    """The changes between two configurations that can be applied each by itself: name to component keys.

    Models and prompts that come or go belong to the route table, which names them.
    """
    old = {component.key: component.fingerprint for component in before.components}
    new = {component.key: component.fingerprint for component in after.components}
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    table = "routes:table"
    with_routes = {
        key
        for key in changed
        if table in changed and key.startswith(("model:", "prompt:")) and (key not in old or key not in new)
    }
    units: dict[str, frozenset[str]] = {}
    for key in changed:
        if key == table and with_routes:
            units[" + ".join([table, *sorted(with_routes)])] = frozenset({table, *with_routes})
        elif key not in with_routes:
            units[key] = frozenset({key})
    return units


class Counterfactuals:
    """Makes and runs configurations between a baseline and a candidate. Use as a context manager.

    Args:
        project: The project.
        candidate: The run that was judged.
        baseline: The run it was compared with.
        grading: Fingerprint of the graders that it was judged by.
        store: Where the runs are kept, and trials looked for; default the counterfactuals', and the two runs.
        first: Number of the first trial of each case. Trials with numbers of their own are never those of other runs.
        spent: Micro-dollars of the budget of a run that are spent already.
        concurrency: Trials at once; default what the project says.

    Raises:
        NotComparableError: when graders or golden set are not those of the run any more.
    """

    def __init__(
        self,
        project: Project,
        candidate: RunFolder,
        baseline: RunFolder,
        grading: str,
        *,
        store: Runs | None = None,
        first: int = 0,
        spent: int = 0,
        concurrency: int | None = None,
    ) -> None:
        self._project = project
        self._candidate, self._baseline = candidate, baseline
        self._stack = ExitStack()
        self._workflow = load_workflow(project, candidate.run.workflow)
        self._grading = load_grading(project, self._workflow)
        self._golden = load(self._workflow.golden_path, self._workflow.spec.golden_version)
        self.units = change_units(baseline.run.configuration, candidate.run.configuration)
        self._store = store or _TwoStores(project.store / COUNTERFACTUAL_FOLDER, (candidate, baseline))
        self._first, self._spent = first, spent
        self._concurrency = concurrency or project.spec.concurrency
        if self._grading.fingerprint != grading:
            raise NotComparableError(
                f"the graders have changed since run {candidate.run.run_id} was judged",
                fix=f"grade and judge it again: evalkit regrade {candidate.run.run_id}; evalkit gate",
            )
        if self._golden.digest != candidate.run.golden_set.digest:
            raise NotComparableError(
                f"the golden set has changed since run {candidate.run.run_id} was made",
                file=self._golden.path,
                fix="run the workflow again, and ask about that run",
            )

    def __enter__(self) -> Counterfactuals:  # noqa: PYI034 - not made to be subclassed
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    async def run(
        self,
        changes: frozenset[str],
        case_ids: Sequence[str],
        trials: int,
        more: Mapping[str, int] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Made:
        """Run the baseline with some of the changes applied, on some cases.

        Args:
            changes: Names of :attr:`units`.
            case_ids: The cases.
            trials: Trials of each.
            more: Further trials of some of them.
            on_progress: Told of the progress.

        Raises:
            StoreError: when a component is not to be had any more.
            BudgetError: when the budget is spent; what finished is kept and reused.
            ProviderError: when a target is not there.
        """
        async with Targets(self._project, connections=self._concurrency) as targets:
            workflow = self._within_budget(self._mixture(changes, targets))
            candidate = self._planned(workflow, targets, case_ids, trials, more or {})
            folder = await execute_plan(candidate, targets, RunOptions(concurrency=self._concurrency), on_progress)
        run = folder.run
        self._spent += run.cost_microusd
        return Made(folder, run.model_calls, run.cost_microusd, run.trials, run.reused)

    def _planned(
        self, workflow: Workflow, targets: Targets, case_ids: Sequence[str], trials: int, more: Mapping[str, int]
    ) -> Candidate:
        redactor, prices, golden = targets.redactor(), price_table(self._project), self._golden
        plan = make_plan(
            workflow, golden, self._store, prices,
            redaction=redactor.fingerprint, selection=select_cases(golden, case_ids),
            trials=trials, more=more, first=self._first,
        )  # fmt: skip
        digest = workflow.configuration.fingerprint
        identity = [__version__, digest, golden.digest, list(case_ids), trials, self._grading.fingerprint]
        identity += [dict(more), self._first] if more or self._first else []
        head = PlanHead(
            run_id=new_run_id(),
            created_us=time.time_ns() // 1000,
            workflow=workflow.name,
            plan=fingerprint("counterfactual", [*identity, redactor.fingerprint]),
            redaction=redactor.fingerprint,
            grading=self._grading.fingerprint,
            configuration=digest,
        )
        return Candidate(
            self._project, workflow, golden, self._grading, redactor, prices, plan, self._store, head,
            made=np.full(plan.total, -1, np.int64),
        )  # fmt: skip

    def _within_budget(self, workflow: Workflow) -> Workflow:
        """The budget of a run holds for all counterfactuals together."""
        most = workflow.spec.budget.per_run
        if most is None:
            return workflow
        if self._spent >= most:
            raise BudgetError(
                "the budget of a run is spent", file=workflow.file, key="budget.per_run",
                fix="raise it and ask again: what finished is kept and not paid twice",
            )  # fmt: skip
        budget = workflow.spec.budget.model_copy(update={"per_run": most - self._spent})
        return replace(workflow, spec=workflow.spec.model_copy(update={"budget": budget}))

    # ── components ──────────────────────────────────────────────────────────────────────

    def _mixture(self, changes: frozenset[str], targets: Targets) -> Workflow:
        """The baseline with some of the changes applied."""
        applied = frozenset().union(*(self.units[name] for name in changes))
        old, new = (_by_key(folder.run.configuration) for folder in (self._baseline, self._candidate))
        parts: dict[str, Any] = {}
        for key in sorted(old.keys() | new.keys()):
            changed = old.get(key) is None or new.get(key) is None or old[key].fingerprint != new[key].fingerprint
            side = self._candidate if key in applied or not changed else self._baseline
            component = (new if side is self._candidate else old).get(key)
            if component is not None:
                parts[key] = self._part(component, side.run, targets)
        return _assembled(self._workflow, parts, targets)

    def _part(self, component: Component, run: Run, targets: Targets) -> Any:
        """What a component was, wherever it is still to be had.

        Raises:
            StoreError: when it is nowhere.
        """
        for source in (self._of_now, self._of_run, self._of_commit):
            for part in source(component, run, targets):
                workflow = _assembled(self._workflow, {component.key: part}, targets)
                found = _by_key(workflow.configuration).get(component.key)
                if found is not None and found.fingerprint == component.fingerprint:
                    return part
        commit = f"commit {run.commit[:12]}" if run.commit else "no commit"
        raise StoreError(
            f"what {component.key} was in run {run.run_id} is not to be had: the project has another one now, the run "
            f"keeps it only in a form that is masked or not whole, and {commit} does not have it here either",
            file=self._workflow.file, key=component.key,
            fix="fetch the history (git fetch --unshallow), or put the component back and run again",
        )  # fmt: skip

    def _of_now(self, component: Component, run: Run, targets: Targets) -> Iterator[Any]:
        if component.key in (parts := _parts(self._workflow)):
            yield parts[component.key]

    def _of_run(self, component: Component, run: Run, targets: Targets) -> Iterator[Any]:
        try:
            part = _rebuilt(component, self._workflow, Path(self._folder()))
        except (EvalkitError, ValidationError, yaml.YAMLError, LookupError, TypeError, ValueError):
            return
        yield part

    def _of_commit(self, component: Component, run: Run, targets: Targets) -> Iterator[Any]:
        if not run.commit:
            return
        root = _checked_out(self._project.root, run.commit, Path(self._folder()))
        if root is None:
            return
        try:
            project = load_project(root / self._project.source.path.name)
            parts = _parts(load_workflow(project, run.workflow))
        except EvalkitError:
            return
        if component.key in parts:
            yield parts[component.key]

    def _folder(self) -> str:
        """A folder that is there until the last trial is made: prompts read what they include when they are used."""
        return self._stack.enter_context(tempfile.TemporaryDirectory(prefix="evalkit-"))


class _TwoStores(Runs):
    """Runs of counterfactuals; trials are looked for in two further runs first.

    Args:
        root: The folder of the counterfactuals.
        known: Runs of the project.
    """

    def __init__(self, root: Path, known: Sequence[RunFolder]) -> None:
        super().__init__(root)
        self._known = known

    def newest_first(self, workflow: str) -> Iterator[RunFolder]:
        """See :class:`Runs`."""
        yield from self._known
        yield from super().newest_first(workflow)


def _by_key(configuration: Configuration) -> dict[str, Component]:
    return {component.key: component for component in configuration.components}


def _parts(workflow: Workflow) -> dict[str, Any]:
    """What a workflow is made of, by component key."""
    spec = workflow.spec
    parts: dict[str, Any] = {f"model:{name}": pin for name, pin in workflow.models.items()}
    parts |= {f"prompt:{name}": prompt for name, prompt in workflow.prompts.items()}
    parts |= {f"tool:{tool.name}": tool for tool in workflow.tools}
    parts["routes:table"] = workflow.routes
    parts["retrieval:documents"] = (spec.retrieval, workflow.corpus)
    parts["policies:rules"] = workflow.policies.rules
    parts["contract:contract"] = (spec.contract, spec.tool_calls, spec.max_steps)
    return parts


def _assembled(workflow: Workflow, parts: Mapping[str, Any], targets: Targets) -> Workflow:
    """A workflow with these parts; kinds of which none is given stay as they are."""

    def named(kind: str) -> dict[str, Any]:
        return {key.partition(":")[2]: part for key, part in parts.items() if key.startswith(f"{kind}:")}

    models, prompts, tools = named("model"), named("prompt"), named("tool")
    retrieval, corpus = parts.get("retrieval:documents", (workflow.spec.retrieval, workflow.corpus))
    contract, tool_calls, max_steps = parts.get(
        "contract:contract", (workflow.spec.contract, workflow.spec.tool_calls, workflow.spec.max_steps)
    )
    allowed = None if contract.allowed_tools is None else frozenset(contract.allowed_tools)
    order = {tool.name: place for place, tool in enumerate(workflow.tools)}
    pins: Mapping[str, ModelSpec] = models or workflow.models
    whole = "routes:table" in parts
    return replace(
        workflow,
        spec=workflow.spec.model_copy(
            update={"retrieval": retrieval, "contract": contract, "tool_calls": tool_calls, "max_steps": max_steps}
        ),
        models=pins,
        prompts=prompts if prompts or whole else workflow.prompts,
        tools=tuple(sorted(tools.values(), key=lambda tool: (order.get(tool.name, len(order)), tool.name)))
        if tools or whole
        else workflow.tools,
        routes=parts.get("routes:table", workflow.routes),
        policies=Policies(parts.get("policies:rules", workflow.policies.rules), allowed),
        corpus=corpus,
        provider_identities={pin.provider: targets.identity(pin.provider) for pin in pins.values()},
    )


def _rebuilt(component: Component, workflow: Workflow, folder: Path) -> Any:
    """A part from what a run has kept of the component."""
    if component.kind == "prompt":
        return _prompt(component, folder)
    data = yaml.safe_load(component.content)
    make: Mapping[str, Callable[[Any], Any]] = {
        "model": _model,
        "routes": RoutesSpec.model_validate,
        "tool": lambda tool: codec.strict(ToolSpec, tool),
        "policies": lambda rules: tuple(_rule(rule) for rule in rules),
        "contract": _contract,
        "retrieval": lambda found: _retrieval(found, workflow),
    }
    return make[component.kind](data)


def _model(data: Mapping[str, Any]) -> ModelSpec:
    provider = data["provider"]["name"]
    name = provider if written_kind(provider) else f"{provider}:{data['model']}"
    return ModelSpec(model=name, params=data["params"], output_schema=data.get("output_schema"))


def _rule(data: Mapping[str, Any]) -> PolicyRule:
    """A rule without its tests, which are no part of what it does."""
    when = tuple(Condition.model_validate(condition) for condition in data["when"])
    return PolicyRule.model_construct(**{**data, "when": when, "tools": tuple(data["tools"]), "tests": ()})


def _contract(data: Mapping[str, Any]) -> tuple[ContractSpec, str, int]:
    rest = {key: value for key, value in data.items() if key not in ("tool_calls", "max_steps")}
    return ContractSpec.model_validate(rest), data["tool_calls"], data["max_steps"]


def _retrieval(data: Mapping[str, Any], workflow: Workflow) -> tuple[Any, Any]:
    """Retrieval over the corpus of now: a run keeps the fingerprint of a corpus, not its documents."""
    settings = {key: value for key, value in data.items() if key != "corpus"}
    corpus = workflow.corpus if "corpus" in data else None
    if corpus is not None:
        corpus = replace(corpus, k1=settings["k1"], b=settings["b"])
    known = workflow.spec.retrieval
    return known.model_copy(update={**settings, "corpus": known.corpus if corpus is not None else None}), corpus


def _prompt(component: Component, folder: Path) -> Any:
    system, found, user = component.content.partition(_USER)
    return load_prompt(
        component.name,
        _template(system, folder / "system"),
        _template(user, folder / "user") if found else None,
    )


def _template(text: str, folder: Path) -> Path:
    """Write the files of a template; the first is the template, the others are what it includes."""
    names = _INCLUDED.findall(text) if text.startswith("=== ") else []
    if not names:
        return _written(folder, "prompt.md", text)
    pieces = _INCLUDED.split(text)[1:]
    files = {name: body.removeprefix("\n") for name, body in zip(pieces[::2], pieces[1::2], strict=True)}
    last = names[-1]
    paths = [_written(folder, name, body if name == last else body.removesuffix("\n")) for name, body in files.items()]
    return paths[0]


def _written(folder: Path, name: str, text: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{name} is not below its prompt")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def _checked_out(root: Path, commit: str, folder: Path) -> Path | None:
    """The project as it was in a commit, beside the working copy; None where git does not have it."""
    if not re.fullmatch(r"[0-9a-f]{7,64}", commit):
        return None
    archive = ask_git(root, "archive", "--format=tar", commit, ".", timeout=60)
    if archive is None:
        return None
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, OSError):
        return None
    return folder
