"""Every statistic of the report, frame in, frame out: one import for pages and notebooks.

    from analysis import statistics, tables
    replicates = tables.joined(tables.load("runs/default"))
    statistics.summarise(replicates, "test.elbo", by=["model.latent_dim", "kl.estimator"])

The concepts have a file each: `intervals`, `few_seeds` (what can be said from few), `draws` (which are independent,
what a scheme gains, the calibration), `curves`, `comparisons`,
`variance_components`, `prior_monte_carlo`, `selection`; and, on a whole sweep, `headline` (what the curves rest on),
`answers` (the best, which D, which factors) and `planning` (how large the next measurement must be), which are imported
by their own names.
"""

from analysis.statistics.comparisons import holm, paired_differences, verdict
from analysis.statistics.curves import (
    expected_misses,
    fit_slope,
    gradient_slopes,
    per_dimension_counts,
    variance_slopes,
)
from analysis.statistics.draws.calibration import (
    calibration_rows,
    calibration_summary,
    calibration_tests,
    detection_power,
)
from analysis.statistics.draws.gains import scheme_gains
from analysis.statistics.draws.streams import distinct
from analysis.statistics.few_seeds.best_dimension import dimension_probabilities, sufficient_dimension
from analysis.statistics.few_seeds.effects import effects, seeds_needed
from analysis.statistics.few_seeds.factor_shares import factor_shares
from analysis.statistics.few_seeds.pooled import pooled_means
from analysis.statistics.few_seeds.verdicts import effect_sentence
from analysis.statistics.few_seeds.winner import winner, winner_on_fresh_seeds
from analysis.statistics.intervals import geometric_means, share_interval, summarise, t_interval
from analysis.statistics.prior_monte_carlo import (
    draws_needed,
    prior_monte_carlo_collapse,
    prior_monte_carlo_curve,
)
from analysis.statistics.selection import (
    best_configurations,
    incumbent_kept,
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
    "calibration_rows",
    "calibration_summary",
    "calibration_tests",
    "detection_power",
    "dimension_probabilities",
    "distinct",
    "draws_needed",
    "effect_sentence",
    "effects",
    "efficiency",
    "expected_misses",
    "factor_shares",
    "fit_slope",
    "geometric_means",
    "gradient_slopes",
    "holm",
    "incumbent_kept",
    "k3_divergence",
    "outcomes",
    "paired_differences",
    "pareto_front",
    "per_dimension_counts",
    "pooled_means",
    "predicted_vs_measured",
    "prior_monte_carlo_collapse",
    "prior_monte_carlo_curve",
    "scheme_gains",
    "search_history",
    "seeds_needed",
    "share_containing_one",
    "share_interval",
    "sufficient_dimension",
    "summarise",
    "t_interval",
    "time_shares",
    "variance_components",
    "variance_slopes",
    "verdict",
    "winner",
    "winner_on_fresh_seeds",
]
