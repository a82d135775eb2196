"""Monte Carlo variance on trained models: slopes, the closed form of Var k1, the failure of k3."""

from __future__ import annotations

from analysis import tables
from analysis.statistics.curves import variance_slopes
from analysis.statistics.variance_components import k3_divergence, predicted_vs_measured
from tests.reproductions.lines import Line, Sweeps, interval, mean, replicates

DIM = ("model.latent_dim",)


def lines(sweeps: Sweeps) -> list[Line]:
    sweep = sweeps["variance"]
    study = tables.joined(sweep, "variance", columns=list(DIM))
    slopes = variance_slopes(study, by=DIM)
    chosen = slopes[slopes["quantity"] == "elbo_monte_carlo"]
    found = []
    for scheme, published, (low, high) in (("iid", "-1", (-1.05, -0.95)), ("sobol", "near -2", (-2.2, -1.6))):
        for _, row in chosen[chosen["sampling"] == scheme].sort_values(DIM[0]).iterrows():
            quantity = (
                f"D = {row['model.latent_dim']}: slope of log Var of the Monte Carlo ELBO against log L, {scheme}"
            )
            ours = interval(row["slope"], row["low"], row["high"], 3)
            found.append(Line(quantity, published, ours, low <= row["slope"] <= high))
    done = replicates(sweep)
    for _, row in predicted_vs_measured(done).sort_values(DIM[0]).iterrows():
        quantity = f"D = {row['model.latent_dim']}: Var k1, measured over predicted from (loc, scale)"
        found.append(Line(quantity, "1", interval(row["ratio"], row["low"], row["high"], 3), bool(row["contains_one"])))
    ones = study[(study["quantity"] == "k1") & (study["sampling"] == "iid") & (study["num_samples"] == 1)]
    for dim, group in ones.groupby("model.latent_dim"):
        units = done[done["model.latent_dim"] == dim]["test.active_units"].mean()
        ours = f"{mean(group, 'variance', 2)}, half is {units / 2:.1f}"
        quantity = f"D = {dim}: Var k1, nats², at most half the active units"
        found.append(Line(quantity, "at most half", ours, bool(group["variance"].mean() <= units / 2)))
    for _, row in k3_divergence(study, DIM).iterrows():
        known = "infinite by its closed form; measured " if row["infinite"] else ""
        carried = f"carried by {row['carrying_draws']:.0f} of {row['draws']:.0f} draws"
        ours = f"{known}{row['ratio']:.3g} times k1's, {carried}"
        quantity = f"D = {row['model.latent_dim']}: variance of k3 at L = 1"
        found.append(Line(quantity, "infinite", ours, bool(row["unreliable"])))
    return found
