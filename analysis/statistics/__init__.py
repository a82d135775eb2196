"""Every statistic of the report, frame in, frame out: one import for pages and notebooks.

    from analysis import statistics, tables
    replicates = tables.joined(tables.load("runs/default"))
    statistics.summarise(replicates, "test.elbo", by=["model.latent_dim", "kl.estimator"])

The concepts have a file each: `intervals`, `curves`, `comparisons`, `variance_components`, `prior_monte_carlo`,
`selection`; and, on a whole sweep, `headline` (what the curves rest on) and `planning` (how large the next measurement
must be), which are imported by their own names.
"""

from analysis.statistics.comparisons import holm, overall_verdict, paired_differences, verdict
from analysis.statistics.curves import fit_slope, gradient_slopes, knee, per_dimension_counts, variance_slopes
from analysis.statistics.intervals import geometric_means, share_interval, summarise, t_interval
from analysis.statistics.prior_monte_carlo import (
    draws_needed,
    prior_monte_carlo_collapse,
    prior_monte_carlo_curve,
)
from analysis.statistics.selection import (
    best_configurations,
    calibration_summary,
    outcomes,
    pareto_front,
    search_history,
    time_shares,
)
from analysis.statistics.variance_components import (
    efficiency,
    k3_divergence,
    predicted_vs_measured,
    share_containing_one,
    variance_components,
)

__all__ = [
    "best_configurations",
    "calibration_summary",
    "draws_needed",
    "efficiency",
    "fit_slope",
    "geometric_means",
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
    "variance_slopes",
    "verdict",
]
