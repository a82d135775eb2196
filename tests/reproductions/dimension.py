"""Kingma & Welling (2014), figure 2: superfluous latent dimensions do not hurt the bound."""

from __future__ import annotations

from tests.reproductions.lines import Line, Sweeps, by_dim, difference, interval, mean, replicates


def lines(sweeps: Sweeps) -> list[Line]:
    found = []
    for name in ("dimension_bernoulli", "dimension_4bit"):
        done = replicates(sweeps[name])
        for dim in sorted(done["model.latent_dim"].unique()):
            ours = mean(by_dim(done, dim), "test.elbo", 2)
            found.append(Line(f"{name}: test ELBO at D = {dim}, nats", "a figure, no numbers", ours, None))
        if {20, 200} <= set(done["model.latent_dim"]):
            value, low, high = difference(by_dim(done, 200)["test.elbo"], by_dim(done, 20)["test.elbo"])
            quantity = f"{name}: test ELBO, D = 200 less D = 20, nats"
            found.append(Line(quantity, "not below 0", interval(value, low, high), high >= 0))
    return found
