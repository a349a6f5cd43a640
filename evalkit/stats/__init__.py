"""Statistics of the gate and the canary: pure functions on arrays, no I/O, no types of the project."""

from __future__ import annotations

from evalkit.stats.agreement import (
    Estimate,
    auroc,
    average_precision,
    bootstrap,
    confusion,
    kappa,
    share,
    spearman,
)
from evalkit.stats.anchor import History
from evalkit.stats.critical import clean_trials_needed
from evalkit.stats.intervals import (
    clopper_pearson,
    paired_share_difference,
    percentile,
    percentile_interval,
    wilson,
    zero_failures_bound,
)
from evalkit.stats.noninferiority import (
    LogRatio,
    RatioOfPercentiles,
    cost_per_success,
    cost_per_success_ratio,
    log_ratio,
    log_ratio_sprt,
    percentile_ratio,
)
from evalkit.stats.paired import (
    Paired,
    PairedSums,
    cluster_sizes,
    compare_sums,
    holm,
    paired_difference,
    ratio_of_means,
    sign_flip_test,
)
from evalkit.stats.permutation import SliceTests, slice_tests
from evalkit.stats.ppi import PoweredMean, powered_mean
from evalkit.stats.sprt import wald_bounds
from evalkit.stats.stable_cases import BrokenCases, broken_stable_cases
from evalkit.stats.thresholds import Threshold, best_threshold

__all__ = [
    "BrokenCases",
    "Estimate",
    "History",
    "LogRatio",
    "Paired",
    "PairedSums",
    "PoweredMean",
    "RatioOfPercentiles",
    "SliceTests",
    "Threshold",
    "auroc",
    "average_precision",
    "best_threshold",
    "bootstrap",
    "broken_stable_cases",
    "clean_trials_needed",
    "clopper_pearson",
    "cluster_sizes",
    "compare_sums",
    "confusion",
    "cost_per_success",
    "cost_per_success_ratio",
    "holm",
    "kappa",
    "log_ratio",
    "log_ratio_sprt",
    "paired_difference",
    "paired_share_difference",
    "percentile",
    "percentile_interval",
    "percentile_ratio",
    "powered_mean",
    "ratio_of_means",
    "share",
    "sign_flip_test",
    "slice_tests",
    "spearman",
    "wald_bounds",
    "wilson",
    "zero_failures_bound",
]
