"""The variance study against closed forms on linear-Gaussian models."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from linear_vae import SHAPE, images_of, linear_vae, set_best_posterior, set_posterior
from torch import Tensor

from pipeline.config import VarianceConfig
from pipeline.model.draws import draw_terms
from pipeline.model.vae import VAE
from pipeline.probability import sampling
from pipeline.probability.distributions import reparameterise
from pipeline.probability.schemes.registry import SCHEMES
from pipeline.variance import blocks as block_estimates
from pipeline.variance import study as variance
from pipeline.variance.moments import image_moments, pool

Row = dict[str, object]


def config(**changes: object) -> VarianceConfig:
    return VarianceConfig.model_validate(
        {"images": 16, "draws": 1024, "num_samples": [1, 2, 8, 32], "num_importance_samples": [1, 8], **changes}
    )


def some_images(num: int = 16) -> Tensor:
    return torch.rand(num, *SHAPE, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def some_posterior(vae: VAE, scales: list[float]) -> None:
    weight = 0.5 * torch.randn(vae.latent_dim, math.prod(SHAPE), generator=torch.Generator().manual_seed(6)).double()
    bias = torch.linspace(-1, 1, vae.latent_dim, dtype=torch.float64)
    set_posterior(vae, weight, bias, torch.tensor(scales, dtype=torch.float64))


def find(rows: list[Row], quantity: str, scheme: str = "iid", length: int = 1, inner: int | None = None) -> Row:
    key = (quantity, scheme, length, inner)
    names = ("quantity", "sampling", "num_samples", "num_importance_samples")
    (row,) = [row for row in rows if tuple(row[name] for name in names) == key]
    return row


# --- measured against closed forms ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("posterior", "prior", "quantities"),
    [
        ("gaussian", "standard_normal", {"k1", "cross_entropy"}),
        ("full_gaussian", "standard_normal", {"k1", "cross_entropy"}),
        ("laplace", "standard_normal", {"k1", "cross_entropy"}),
        ("laplace", "laplace", {"k1"}),
    ],
)
@pytest.mark.parametrize("scheme", ["iid", "antithetic"])
def test_measured_variance_is_the_predicted_one(posterior: str, prior: str, quantities: set[str], scheme: str) -> None:
    vae = linear_vae(3, posterior=posterior, prior=prior)
    some_posterior(vae, [0.3, 0.8, 1.4])
    if posterior == "full_gaussian":
        with torch.no_grad():
            vae.encoder[-1].bias[6:] = torch.tensor([0.4, -0.3, 0.6])  # type: ignore[index]
    rows = variance.study(vae, some_images(64), config(images=64, sampling=[scheme]), seed=1).rows
    predicted = [row for row in rows if row["predicted"] is not None and row["quantity"] != "k3"]
    assert {row["quantity"] for row in predicted} == quantities
    for row in predicted:
        assert abs(row["variance"] - row["predicted"]) < 4.5 * row["standard_error"], row
        if (scheme, prior) == ("iid", "laplace"):
            assert row["num_samples"] * row["predicted"] == pytest.approx(predicted[0]["predicted"])


def test_k3_is_as_predicted_where_its_variance_exists_and_infinite_elsewhere() -> None:
    vae = linear_vae(2)
    scales = torch.tensor([0.95, 1.05], dtype=torch.float64)
    set_posterior(vae, torch.zeros(2, math.prod(SHAPE)), torch.full((2,), 0.2), scales)
    row = find(variance.study(vae, some_images(), config(sampling=["iid"], draws=4096), seed=1).rows, "k3")
    assert abs(row["variance"] - row["predicted"]) < 4.5 * row["standard_error"]
    assert row["infinite"] is False
    some_posterior(vae, [0.95, 0.7])
    row = find(variance.study(vae, some_images(), config(sampling=["iid"]), seed=1).rows, "k3")
    assert row["predicted"] == math.inf
    assert row["infinite"] is True, "what is left of it in JSON"


def test_reconstruction_is_a_quadratic_form_of_the_noise() -> None:
    """log p(x|z) = const + a^T e - e^T G e / 2 with G = S W^T W S / s^2, a = S W^T r / s^2."""
    vae = linear_vae(2)
    exact = set_best_posterior(vae, shift=0.2, stretch=1.3)
    x = images_of(exact, 16)
    rows = variance.study(vae, x, config(), seed=2).rows
    q = vae.posterior(x).base_dist
    gram = q.scale.unsqueeze(-1) * (exact.weight.T @ exact.weight) * q.scale.unsqueeze(-2) / exact.scale**2
    residual = x.flatten(1) - exact.bias - q.loc @ exact.weight.T
    linear = q.scale * (residual @ exact.weight) / exact.scale**2
    even, odd = 0.5 * gram.square().sum((-2, -1)), linear.square().sum(-1)
    for name in ("reconstruction", "elbo_closed_form"):
        for scheme, length, value in (
            ("iid", 1, even + odd),
            ("iid", 8, (even + odd) / 8),
            ("antithetic", 8, even / 4),
        ):
            row = find(rows, name, scheme, length)
            assert abs(row["variance"] - float(value.mean().detach())) < 4.5 * row["standard_error"]


def test_exact_posterior_has_no_noise_but_in_the_closed_form() -> None:
    vae = linear_vae(2, orthogonal=True)
    exact = set_best_posterior(vae)
    rows = variance.study(vae, images_of(exact, 16), config(), seed=3).rows
    closed, k1 = find(rows, "elbo_closed_form"), find(rows, "k1")
    assert abs(closed["variance"] - k1["predicted"]) < 4.5 * closed["standard_error"]
    for name in ("elbo_monte_carlo", "elbo_control_variate"):
        assert find(rows, name)["variance"] < 1e-20
    assert find(rows, "iwae", inner=8)["variance"] < 1e-20


def test_control_variate_is_never_worse_and_uses_separate_draws() -> None:
    vae = linear_vae(2)
    exact = set_best_posterior(vae, shift=0.3, stretch=1.5)
    rows = variance.study(vae, images_of(exact, 64), config(images=64), seed=3).rows
    for scheme, length in (("iid", 1), ("iid", 32), ("antithetic", 8)):
        best = find(rows, "elbo_control_variate", scheme, length)
        for name in ("elbo_closed_form", "elbo_monte_carlo"):
            other = find(rows, name, scheme, length)
            assert best["variance"] < other["variance"] + 4.5 * other["standard_error"]
    bound, control = torch.randn(2, 8, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    changed = control.clone()
    changed[0] += 10.0  # an even group: may move the coefficient of the odd ones, not its own
    before, after = block_estimates.control_variate(bound, control), block_estimates.control_variate(bound, changed)
    coefficient = (before - bound) / control
    assert torch.allclose((after - bound)[::2] / changed[::2], coefficient[::2])
    assert not torch.allclose((after - bound)[1::2] / changed[1::2], coefficient[1::2])


def test_iwae_of_one_draw_is_the_monte_carlo_elbo() -> None:
    vae = linear_vae(2)
    exact = set_best_posterior(vae, stretch=1.3)
    rows = variance.study(vae, images_of(exact, 16), config(), seed=4).rows
    for scheme in ("iid", "antithetic", "sobol"):
        for length in (1, 8):
            one, other = find(rows, "iwae", scheme, length, 1), find(rows, "elbo_monte_carlo", scheme, length)
            assert one["variance"] == pytest.approx(other["variance"], rel=1e-9)


def test_iwae_variance_has_its_leading_order() -> None:
    """Var L_K -> (E w^2 / p^2 - 1) / K."""
    vae = linear_vae(2)
    exact = set_best_posterior(vae, stretch=1.15)
    x = images_of(exact, 32)
    sizes = config(images=32, draws=4096, sampling=["iid"], num_importance_samples=[64], num_samples=[1, 2])
    row = find(variance.study(vae, x, sizes, seed=5).rows, "iwae", inner=64)
    with torch.no_grad():
        leading = float(torch.expm1(exact.log_weight_moment(x.flatten(1), vae.posterior(x))).mean()) / 64
    assert row["variance"] == pytest.approx(leading, abs=4.5 * row["standard_error"] + 0.05 * leading)


# --- slopes, ratio, components --------------------------------------------------------------------------------------


def test_slopes_and_ratio() -> None:
    vae = linear_vae(3)
    some_posterior(vae, [0.2, 0.5, 0.9])
    sizes = config(images=64, num_samples=[1, 2, 4, 8, 16, 32, 64, 128])
    metrics = variance.study(vae, some_images(64), sizes, seed=6).metrics
    for name in ("k1_slope", "reconstruction_slope", "k1_slope_antithetic"):
        assert abs(metrics[f"variance.{name}"] + 1) < 4.5 * metrics[f"variance.{name}.standard_error"]
    assert -2.3 < metrics["variance.k1_slope_sobol"] < -1.6
    assert abs(metrics["variance.k1_ratio"] - 1) < 4.5 * metrics["variance.k1_ratio.standard_error"]
    assert metrics["variance.k1_ratio.standard_error"] < 0.02


def test_between_images_is_the_variance_of_the_conditional_means() -> None:
    vae = linear_vae(2)
    exact = set_best_posterior(vae, stretch=1.3)
    x = images_of(exact, 64)
    row = find(variance.study(vae, x, config(images=64), seed=7).rows, "elbo_closed_form")
    between = float(exact.elbo(x.flatten(1), vae.posterior(x)).detach().var())
    noise = 2 * math.sqrt(between * row["variance"] / (1024 * 64))
    assert row["between_images"] == pytest.approx(between, abs=5 * noise)


@pytest.mark.parametrize("length", [1, 4, 32])
@torch.no_grad()
def test_blocks_of_a_sobol_net_are_nets(length: int) -> None:
    """The variance of blocks of a larger net is that of nets of just L points."""
    vae = linear_vae(2)
    exact = set_best_posterior(vae, stretch=1.3)
    x = images_of(exact, 8)
    sizes = config(images=8, draws=4096, num_samples=[1, 4, 32, 128], sampling=["sobol"])
    row = find(variance.study(vae, x, sizes, seed=8).rows, "k1", "sobol", length)
    generator = torch.Generator().manual_seed(9)
    q = vae.posterior(x)
    noise = sampling.draw("sobol", length, 512 * 8, 2, generator=generator, dtype=torch.float64)
    z = reparameterise(q, noise.view(length * 512, 8, 2))
    k1 = (q.log_prob(z) - vae.prior().log_prob(z)).view(length, 512, 8).mean(0)
    direct = pool(image_moments(k1.unsqueeze(1)))
    error = math.hypot(row["standard_error"], direct.standard_error)
    assert abs(row["variance"] - direct.variance) < 4.5 * error


# --- what the study costs and refuses -------------------------------------------------------------------------------


def test_no_draw_is_decoded_twice() -> None:
    vae = linear_vae(2)
    set_best_posterior(vae)
    seen: Counter[tuple[float, ...]] = Counter()
    vae.decoder.register_forward_pre_hook(lambda module, z: seen.update(map(tuple, z[0].reshape(-1, 2).tolist())))
    x = some_images(5)
    with torch.no_grad():
        for scheme in ("iid", "antithetic", "sobol"):
            seen.clear()
            group = SCHEMES[scheme].group(max(config().num_samples))
            q = vae.posterior(x)
            terms = draw_terms(vae, x, q, 1024, torch.Generator().manual_seed(0), scheme=scheme, group=group)
            assert terms.log_px_z.shape == (1024, 5)
            assert seen.total() == len(seen) == 1024 * 5
        seen.clear()
        variance.study(vae, x, config(), seed=1)
        assert seen.total() == len(seen)


def test_chunks_of_images_change_nothing_but_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    vae = linear_vae(2)
    exact = set_best_posterior(vae, stretch=1.3)
    x = images_of(exact, 16)
    whole = variance.study(vae, x, config(), seed=1).rows
    monkeypatch.setattr(variance, "TERMS_BYTES", 5 * 8 * 8 * 1024)
    parts = variance.study(vae, x, config(), seed=1).rows
    assert len(parts) == len(whole)
    for one, other in zip(whole, parts, strict=True):
        assert one["predicted"] == (pytest.approx(other["predicted"]) if other["predicted"] is not None else None)
        if one["quantity"] != "k3":
            assert abs(one["variance"] - other["variance"]) < 6 * (one["standard_error"] + 1e-20)


def test_rows_are_complete_reproducible_and_unique() -> None:
    vae = linear_vae(2)
    first, again = (variance.study(vae, some_images(), config(), seed=s).rows for s in (1, 1))
    keys = ("quantity", "sampling", "num_samples", "num_importance_samples")
    assert len({tuple(row[key] for key in keys) for row in first}) == len(first)
    assert [row["variance"] for row in first] == [row["variance"] for row in again]
    assert all(row["seconds"] > 0 and row["images"] == 16 and row["draws"] == 1024 for row in first)


def test_flow_posterior_leaves_out_what_has_no_closed_form() -> None:
    vae = linear_vae(2, posterior="flow")
    study = variance.study(vae, some_images(), config(), seed=1)
    assert {row["quantity"] for row in study.rows} == {"k1", "k3", "reconstruction", "elbo_monte_carlo", "iwae"}
    assert all(row["predicted"] is None for row in study.rows)
    assert "variance.k1_ratio" not in study.metrics
    assert abs(study.metrics["variance.k1_slope"] + 1) < 4.5 * study.metrics["variance.k1_slope.standard_error"]


def test_progress_ends_at_one_and_zero_images_switch_the_study_off() -> None:
    told: list[float] = []
    variance.study(linear_vae(), some_images(), config(), seed=1, progress=lambda part, fraction: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == 1
    assert variance.study(linear_vae(), some_images(), config(images=0), seed=1) == ([], {})
