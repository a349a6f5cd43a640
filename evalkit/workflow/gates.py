"""The rules of the gate and of the canary, as YAML says them. They are judged in :mod:`evalkit.gate`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from evalkit.configfile import FileModel
from evalkit.quantities import Duration, Fraction, Limit

__all__ = ["CanarySpec", "GateRule", "GateSpec", "HistorySpec"]


class GateRule(FileModel):
    """One rule. Exactly one of the limits is given."""

    id: str = Field(default="", description="Name of the rule in reports; default is made from its parts.")
    grader: str = Field(description="Name of the grader whose scores are judged.")
    metric: Literal["pass_rate", "mean", "p50", "p95", "max", "per_success"] = Field(
        default="pass_rate",
        description=(
            "What of its scores: share passed, mean of the cases, percentile or largest value of the trials; "
            "`per_success`: the total over the trials that every quality grader passed."
        ),
    )
    slice: str | None = Field(default=None, description="Only cases of a slice, as `key=value`.")
    max_drop: Fraction | None = Field(
        default=None, ge=0, description="No worse than the baseline by this margin, with evidence (`5pt`)."
    )
    max_increase: Fraction | None = Field(
        default=None, ge=0, description="No more than the baseline by this ratio, with evidence (`10%`)."
    )
    min: Limit | None = Field(default=None, description="Floor of the candidate, whatever the baseline (`80%`).")
    max: Limit | None = Field(default=None, description="Ceiling of the candidate (`0.2`, `8s`, `$0.05`).")

    @model_validator(mode="after")
    def _one_limit(self) -> GateRule:
        limits = [self.max_drop, self.max_increase, self.min, self.max]
        if sum(limit is not None for limit in limits) != 1:
            raise ValueError("give exactly one of max_drop, max_increase, min and max")
        if self.max_drop is not None and self.metric not in ("pass_rate", "mean"):
            raise ValueError("max_drop works on pass_rate and mean; for p50, p95 and max give `max`")
        if self.max_increase is not None and self.metric not in ("mean", "p50", "p95", "per_success"):
            raise ValueError("max_increase works on `metric: mean`, `p50`, `p95` and `per_success`")
        if self.metric == "per_success" and self.max_increase is None:
            raise ValueError("per_success works with max_increase; for a ceiling give `metric: mean` and `max`")
        if self.slice is not None and "=" not in self.slice:
            raise ValueError("write a slice as key=value")
        return self

    @property
    def of_trials(self) -> bool:
        """Whether the metric looks at single trials; the others look at cases."""
        return self.metric in ("p50", "p95", "max")

    @property
    def name(self) -> str:
        """The id, or a readable stand-in."""
        if self.id:
            return self.id
        where = f"[{self.slice}]" if self.slice else ""
        kind = "drop" if self.max_drop is not None else "increase" if self.max_increase is not None else "limit"
        return f"{self.grader}.{self.metric}{where}.{kind}"


class HistorySpec(FileModel):
    """What earlier runs a comparison stands on. A run counts for each case that it left as it is in the baseline."""

    runs: int = Field(
        default=20, ge=0, le=1000, description="Most earlier runs; 0 compares the two runs with each other only."
    )
    days: int = Field(default=30, ge=1, description="Runs that are older than this are not looked at.")
    min_trials: int = Field(
        default=5,
        ge=2,
        description="Recorded trials that half of the touched cases must have; below, the two runs are compared.",
    )
    most_cases: int = Field(default=100_000, ge=0, description="Larger golden sets are compared run by run.")
    test: Literal["sequential", "strict"] = Field(
        default="sequential",
        description="`sequential`: fewest trials; `strict`: by betting, without any approximation, about a third more.",
    )


class GateSpec(FileModel):
    """When may this merge? The short keys make the usual rules; `rules` adds to them."""

    margin: Fraction = Field(
        default=0.05, ge=0, description="Every quality grader may be worse than the baseline by at most this (`5pt`)."
    )
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Most false alarms: blocking an unchanged candidate.")
    beta: float = Field(default=0.10, gt=0, lt=0.5, description="Most misses: passing a candidate worse by the margin.")
    critical: int | None = Field(
        default=0, ge=0, description="Most failed critical cases; `null` switches the rule off."
    )
    cost: Fraction | None = Field(
        default=None, ge=0, description="Cost of a trial may grow by at most this (`+10%`), typical and mean."
    )
    cost_per_success: Fraction | None = Field(
        default=None,
        ge=0,
        description="Cost over the trials that every quality grader passed may grow by at most this (`+15%`).",
    )
    p95: Duration | None = Field(default=None, ge=0, description="Ceiling for the 95th percentile of latency (`8s`).")
    min_cases: int = Field(default=20, ge=1, description="Fewer paired cases than this are never a PASS.")
    min_slice: int = Field(
        default=10,
        ge=1,
        description="Smaller slices are shown only; a larger one that is lower than chance explains is a note.",
    )
    slice_margin: Fraction = Field(
        default=0.25,
        gt=0,
        description="A slice that is lower than chance explains blocks when it fell by this; less is a note.",
    )
    on_golden_change: Literal["not_comparable", "common_cases"] = Field(
        default="not_comparable",
        description="When the golden set differs from the baseline's: refuse, or compare the cases that are equal.",
    )
    history: HistorySpec = Field(default_factory=HistorySpec, description="Earlier runs that count as evidence.")
    max_trials: int = Field(
        default=5, ge=1, le=100, description="Most trials of a case where more of them would settle an open question."
    )
    confirm: bool = Field(
        default=True,
        description="A margin that blocks by history is provisional until a baseline that is run afresh confirms it.",
    )
    critical_trials: int = Field(
        default=5,
        ge=1,
        le=100,
        description="Trials of each critical case that a change touches; with fewer there is no PASS.",
    )
    agreement: dict[str, Fraction] = Field(
        default_factory=dict,
        description=(
            "By grader the share of people's labels that it must be shown to agree with (`{judge: 80%}`), by the lower "
            "end of a 95% interval; else the verdict is INCONCLUSIVE. Labels: `evalkit review`, `evalkit calibrate`."
        ),
    )
    rules: tuple[GateRule, ...] = Field(default=(), description="Further rules.")

    @field_validator("agreement")
    @classmethod
    def _below_one(cls, value: dict[str, float]) -> dict[str, float]:
        for grader, least in value.items():
            if not 0 < least < 1:
                raise ValueError(f"{grader}: a share between 0 and 1, such as `80%`")
        return value

    @property
    def wanted_of_critical(self) -> int:
        """Trials of each touched critical case: like those of any other where the rule on them is switched off."""
        return 1 if self.critical is None else self.critical_trials


class CanarySpec(FileModel):
    """When may the rollout go on? Judged on the envelopes of both arms."""

    share: Fraction = Field(default=0.05, gt=0, lt=1, description="Share of traffic that the canary gets.")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Most false roll-backs, over all monitors together.")
    max_failure_ratio: float = Field(
        default=1.0, ge=1, description="Roll back when failures are proven more frequent than this ratio to control."
    )
    promote_ratio: float = Field(
        default=2.0, gt=1, description="Promote when failures are proven less frequent than this ratio to control."
    )
    p95_margin: Fraction = Field(
        default=0.05, ge=0, description="Slower than control by more than this is slow (`5%`)."
    )
    cost_margin: Fraction = Field(
        default=0.10, ge=0, description="Cost per success may exceed the control's by at most this (`10%`)."
    )
    min_requests: int = Field(default=200, ge=1, description="Canary requests before a promotion.")
    horizon: int = Field(default=15_000, ge=1, description="Canary requests after which an open question is a hold.")
    p95_warmup: int = Field(default=200, ge=20, description="Control requests that fix the latency threshold.")
    on_rollback: tuple[str, ...] = Field(
        default=(), description="Command to run on a roll-back, as a list of arguments; no shell."
    )
    on_promote: tuple[str, ...] = Field(default=(), description="Command to run on a promotion.")
