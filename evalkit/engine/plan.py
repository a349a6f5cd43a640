"""What a run will do before it does it: which trials must be made, which are known, what that will cost."""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from evalkit.engine.journal import read_journal
from evalkit.errors import ConfigError, UsageError
from evalkit.goldens import GoldenSet
from evalkit.providers import PriceTable
from evalkit.records import Case, Usage
from evalkit.store.runs import RunFolder, Runs
from evalkit.store.schema import StoredTrial
from evalkit.workflow import Workflow

__all__ = ["Plan", "PlannedTrial", "make_plan", "priced_models", "select_cases"]

_OUTPUT_TOKENS = 150
"""Assumed for a call that was never made."""


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """A trial to make."""

    case: Case
    case_digest: str
    trial: int
    key: str


@dataclass(frozen=True)
class Plan:
    """The trials of a run: those to make and those that an earlier run has made under equal conditions."""

    workflow: Workflow
    golden: GoldenSet
    cases: tuple[Case, ...]
    trials_per_case: int
    to_make: tuple[PlannedTrial, ...]
    reused: tuple[StoredTrial, ...]
    selection: str
    estimate_microusd: int
    """A rough estimate of what the trials to make will cost."""
    resumed_microusd: tuple[int, ...]
    """What each reused trial of runs that were cut off has cost: the budget of a run covers them."""

    @property
    def total(self) -> int:
        """All trials of the run."""
        return len(self.to_make) + len(self.reused)


def select_cases(golden: GoldenSet, ids: Sequence[str] = (), sample: int | None = None) -> tuple[tuple[Case, ...], str]:
    """The cases of a run and how they were chosen.

    Args:
        golden: The golden set.
        ids: Ids to run; none means all.
        sample: Run only so many, chosen by chance but always the same ones.

    Raises:
        UsageError: for an id that the set does not have.
    """
    cases = golden.cases
    if ids:
        known = [case.id for case in cases]
        unknown = next((case_id for case_id in ids if case_id not in golden.digests), None)
        if unknown is not None:
            close = difflib.get_close_matches(unknown, known, cutoff=0.3) or known[:3]
            raise UsageError(
                f"no case `{unknown}` in {golden.name}@{golden.version}",
                file=golden.path,
                fix=f"nearest ids: {', '.join(close)}; `evalkit goldens export` lists all",
            )
        return tuple(case for case in cases if case.id in set(ids)), f"cases {', '.join(ids)}"
    if sample is not None and sample < len(cases):
        chosen = set(random.Random(golden.digest).sample([case.id for case in cases], sample))
        return tuple(case for case in cases if case.id in chosen), f"a sample of {sample} of {len(cases)}"
    return cases, "all"


def make_plan(
    workflow: Workflow,
    golden: GoldenSet,
    runs: Runs,
    prices: PriceTable,
    *,
    redaction: str,
    cases: tuple[Case, ...] | None = None,
    selection: str = "all",
    trials: int | None = None,
    fresh: bool = False,
) -> Plan:
    """Plan a run.

    Args:
        workflow: The candidate.
        golden: Its golden set.
        runs: Where finished trials are looked for.
        prices: For the estimate; every model of the workflow must have one.
        redaction: Fingerprint of the masking rules: trials masked otherwise are not reused.
        cases: The cases to run; default all.
        selection: How they were chosen.
        trials: Trials of each case; default what the workflow says.
        fresh: Make every trial again.

    Raises:
        PromptError: when a prompt needs a variable that a case lacks.
        ConfigError: when a model has no price.
    """
    chosen = golden.cases if cases is None else cases
    count = trials or workflow.spec.trials
    _check_prompts(workflow, chosen)
    _check_prices(workflow, prices)
    digests = golden.digests
    wanted = [
        PlannedTrial(case, digests[case.id], trial, workflow.trial_key(case, digests[case.id], trial))
        for case in chosen
        for trial in range(count)
    ]
    known, resumed = ({}, ()) if fresh else _known(wanted, runs, redaction)
    to_make = tuple(planned for planned in wanted if planned.key not in known)
    return Plan(
        workflow=workflow,
        golden=golden,
        cases=chosen,
        trials_per_case=count,
        to_make=to_make,
        reused=tuple(_repriced(known[planned.key], workflow, prices) for planned in wanted if planned.key in known),
        selection=selection,
        estimate_microusd=_estimate(workflow, to_make, prices),
        resumed_microusd=resumed,
    )


def _check_prompts(workflow: Workflow, cases: Iterable[Case]) -> None:
    common: set[str] | None = None
    for case in cases:
        common = set(case.variables) if common is None else common & set(case.variables)
    for prompt in workflow.prompts.values():
        prompt.check(common or set())


def _check_prices(workflow: Workflow, prices: PriceTable) -> None:
    for name, pin in workflow.models.items():
        if _is_recorded(workflow, pin.provider):
            continue
        try:
            prices.find(pin.name)
        except ConfigError as error:
            raise ConfigError(
                error.message, file=workflow.file, key=f"models.{name}", value=pin.name, fix=error.fix
            ) from None


def _known(
    wanted: Sequence[PlannedTrial], runs: Runs, redaction: str
) -> tuple[dict[str, StoredTrial], tuple[int, ...]]:
    """Finished trials with the wanted keys from left journals and finished runs, and what those of journals cost."""
    keys = {planned.key: planned for planned in wanted}
    found: dict[str, StoredTrial] = {}
    for journal in runs.partial_journals():
        for stored in read_journal(journal, redaction, keys):
            if stored.trace.status == "ok":
                found[stored.key] = stored
    resumed = tuple(stored.trace.cost_microusd for stored in found.values())
    missing = {key: planned for key, planned in keys.items() if key not in found}
    by_run: dict[RunFolder, set[str]] = {}
    for key, folder in runs.find_trials(missing, redaction).items():
        by_run.setdefault(folder, set()).add(key)
    for folder, wanted_here in by_run.items():
        for stored in folder.stored_trials():
            if stored.key in wanted_here:
                found[stored.key] = stored
    return found, resumed


def priced_models(workflow: Workflow) -> list[str]:
    """Models that a price must be known for: a recording brings its costs along."""
    return sorted({pin.name for pin in workflow.models.values() if not _is_recorded(workflow, pin.provider)})


def _is_recorded(workflow: Workflow, provider: str) -> bool:
    """Whether answers, and what they cost, come from a recording."""
    return bool(workflow.provider_identities.get(provider, {}).get("kind") == "replay")


def _repriced(stored: StoredTrial, workflow: Workflow, prices: PriceTable) -> StoredTrial:
    """A reused trial costs what it would cost now, so that all costs of a run are of one price table."""
    calls = tuple(
        replace(call, cost_microusd=prices.find(call.model).cost_microusd(call.usage))
        if call.priced and not _is_recorded(workflow, call.provider)
        else call
        for call in stored.trace.model_calls
    )
    if calls == stored.trace.model_calls:
        return stored
    return replace(stored, trace=replace(stored.trace, model_calls=calls))


def _estimate(workflow: Workflow, to_make: Sequence[PlannedTrial], prices: PriceTable) -> int:
    """Four characters a token, one call a trial and another one where there are tools."""
    from evalkit.workflow.retrieval import retrieve
    from evalkit.workflow.routing import choose, classify

    total = 0
    for planned in to_make:
        case = planned.case
        intent, risk = classify(workflow.routes.classify, case)
        route = choose(workflow.routes, case, intent=intent, risk=risk).route
        pin = workflow.model_of(route)
        if _is_recorded(workflow, pin.provider):
            continue
        documents, _ = retrieve(case, workflow.corpus, workflow.spec.retrieval.k, workflow.policies)
        messages = workflow.messages(route, case, documents, intent=intent, risk=risk)
        tokens = sum(len(message.content) for message in messages) // 4
        calls = 2 if (case.tools or workflow.tools) and workflow.spec.tool_calls == "native" else 1
        usage = Usage(input_tokens=tokens * calls, output_tokens=_OUTPUT_TOKENS * calls)
        total += prices.find(pin.name).cost_microusd(usage)
    return total
