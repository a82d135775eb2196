"""Every statistic of the report, frame in, frame out: one import for pages and notebooks.

    from analysis import statistics, tables
    replicates = tables.joined(tables.load("runs/default"))
    statistics.summarise(replicates, "test.elbo", by=["model.latent_dim", "kl.estimator"])

The concepts have a file each: `intervals`, `curves`, `comparisons`, `variance_components`, `selection`.
"""

from analysis.statistics.comparisons import holm, overall_verdict, paired_differences, verdict
from analysis.statistics.curves import fit_slope, gradient_slopes, knee, per_dimension_counts, variance_slopes
from analysis.statistics.intervals import bootstrap, share_interval, summarise, t_interval, variance_interval
from analysis.statistics.selection import (
    best_configurations,
    calibration_summary,
    outcomes,
    pareto_front,
    search_history,
    time_shares,
)
from analysis.statistics.variance_components import (
    draws_needed,
    efficiency,
    k3_divergence,
    predicted_vs_measured,
    prior_monte_carlo_collapse,
    prior_monte_carlo_curve,
    share_containing_one,
    variance_components,
)

__all__ = [
    "best_configurations",
    "bootstrap",
    "calibration_summary",
    "draws_needed",
    "efficiency",
    "fit_slope",
    "gradient_slopes",
    "holm",
    "k3_divergence",
    "knee",
    "outcomes",
    "overall_verdict",
    "paired_differences",
    "pareto_front",
    "per_dimension_counts",
    "predicted_vs_measured",
    "prior_monte_carlo_collapse",
    "prior_monte_carlo_curve",
    "search_history",
    "share_containing_one",
    "share_interval",
    "summarise",
    "t_interval",
    "time_shares",
    "variance_components",
    "variance_interval",
    "variance_slopes",
    "verdict",
]
