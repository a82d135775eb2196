"""The linear-Gaussian VAE, also known as probabilistic PCA: the model for which every quantity is known exactly.

    z ~ N(0, I_D),    x | z ~ N(W z + b, s^2 I_M)

Its evidence, posterior, ELBO gap and Monte Carlo costs have closed forms, so it is the instrument by which the
estimators of this package are calibrated. Everything is float64; log-densities are nats per image.

Sources: Tipping & Bishop (1999), "Probabilistic principal component analysis"; Lucas et al. (2019), "Don't blame the
ELBO!" (the linear VAE); Turner & Sahani (2011) for the best diagonal posterior.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributions import Independent, LowRankMultivariateNormal, MultivariateNormal, Normal, kl_divergence

if TYPE_CHECKING:
    from pipeline.model.vae import VAE

Gaussian = Independent[Normal] | MultivariateNormal
"""A diagonal or full Gaussian over z."""
BLOCK = 8192
"""Images turned into float64 at a time."""


@dataclass(frozen=True, eq=False)
class LinearGaussian:
    """x = W z + b + s * noise. Tensors are turned into float64."""

    weight: Float[Tensor, "pixel latent"]
    bias: Float[Tensor, " pixel"]
    scale: float
    """s, a standard deviation."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", self.weight.detach().to(torch.float64))
        object.__setattr__(self, "bias", self.bias.detach().to(torch.float64))
        if self.weight.dim() != 2 or self.bias.shape != self.weight.shape[:1]:
            shapes = f"{tuple(self.weight.shape)} and {tuple(self.bias.shape)}"
            raise ValueError(f"weight and bias must have shapes (pixels, latent_dim) and (pixels,), got {shapes}")
        if not self.scale > 0:
            raise ValueError(f"scale must be above 0, got {self.scale}")

    @property
    def latent_dim(self) -> int:
        return self.weight.shape[1]

    @property
    def num_pixels(self) -> int:
        return self.weight.shape[0]

    @cached_property
    def posterior_precision(self) -> Float[Tensor, "latent latent"]:
        """Lambda = I + W^T W / s^2, the same for every x."""
        return torch.eye(self.latent_dim, dtype=torch.float64) + self.weight.T @ self.weight / self.scale**2

    @property
    def information(self) -> float:
        """I(x; z) = ln det(Lambda) / 2, in nats. The best possible prior Monte Carlo costs about exp of it."""
        return float(torch.logdet(self.posterior_precision)) / 2

    def evidence(self, scale_factor: float = 1.0) -> LowRankMultivariateNormal:
        """p(x) = N(b, W W^T + s^2 I); `scale_factor` multiplies s (what squares of the likelihood need)."""
        noise = torch.full_like(self.bias, (self.scale * scale_factor) ** 2)
        return LowRankMultivariateNormal(self.bias, self.weight, noise)

    def log_px(self, x: Float[Tensor, "batch pixel"]) -> Float[Tensor, " batch"]:
        """Exact log p(x)."""
        log_px: Tensor = self.evidence().log_prob(x.to(torch.float64))
        return log_px

    def log_px_z(self, x: Float[Tensor, "batch pixel"], z: Float[Tensor, "... latent"]) -> Tensor:
        """log p(x|z), summed over pixels."""
        log_px_z: Tensor = Normal(z @ self.weight.T + self.bias, self.scale).log_prob(x).sum(-1)
        return log_px_z

    def log_joint(self, x: Float[Tensor, "batch pixel"], z: Float[Tensor, "... latent"]) -> Tensor:
        """log p(x, z)."""
        log_pz: Tensor = Normal(0.0, 1.0).log_prob(z).sum(-1)
        return self.log_px_z(x, z) + log_pz

    def posterior(self, x: Float[Tensor, "batch pixel"]) -> MultivariateNormal:
        """p(z|x) = N(m, Lambda^-1) with m = Lambda^-1 W^T (x - b) / s^2."""
        score = (x.to(torch.float64) - self.bias) @ self.weight / self.scale**2
        loc = torch.linalg.solve(self.posterior_precision, score.unsqueeze(-1)).squeeze(-1)
        return MultivariateNormal(loc, precision_matrix=self.posterior_precision)

    def best_diagonal(self, x: Float[Tensor, "batch pixel"]) -> Independent[Normal]:
        """The diagonal Gaussian with the highest ELBO: the posterior's mean, variances 1 / Lambda_dd."""
        scale = self.posterior_precision.diagonal().rsqrt()
        loc = self.posterior(x).loc
        return Independent(Normal(loc, scale.expand_as(loc)), 1)

    @property
    def diagonal_gap(self) -> float:
        """log p(x) - ELBO of the best diagonal q: (sum ln Lambda_dd - ln det Lambda) / 2, the same for every x."""
        return float(self.posterior_precision.diagonal().log().sum() - torch.logdet(self.posterior_precision)) / 2

    def gap(self, x: Float[Tensor, "batch pixel"], q: Gaussian) -> Float[Tensor, " batch"]:
        """KL(q || p(z|x)) of any Gaussian q: what the ELBO lacks to log p(x)."""
        return kl_divergence(full_gaussian(q), self.posterior(x))

    def reconstruction(self, x: Float[Tensor, "batch pixel"], q: Gaussian) -> Float[Tensor, " batch"]:
        """E_q log p(x|z): the squared error at the mean of q, and the trace of W S W^T."""
        full = full_gaussian(q)
        spread = torch.einsum("md,...de,me->...", self.weight, full.covariance_matrix, self.weight)
        return self.log_px_z(x, full.loc) - spread / (2 * self.scale**2)

    def elbo(self, x: Float[Tensor, "batch pixel"], q: Gaussian) -> Float[Tensor, " batch"]:
        """Exact ELBO of a Gaussian q, put together from its own two terms (not from log p(x))."""
        full = full_gaussian(q)
        return self.reconstruction(x, q) - kl_divergence(full, standard_normal(self.latent_dim))

    def prior_monte_carlo_rho(self, x: Float[Tensor, "batch pixel"]) -> Float[Tensor, " batch"]:
        """Relative variance of one prior draw: Var(mean of L draws of p(x|z)) = p(x)^2 rho / L."""
        squared = self.evidence(math.sqrt(0.5)).log_prob(x.to(torch.float64))
        constant = -0.5 * self.num_pixels * math.log(4 * math.pi * self.scale**2)
        return torch.expm1(constant + squared - 2 * self.log_px(x))

    def log_weight_moment(
        self, x: Float[Tensor, "batch pixel"], q: Gaussian, order: int = 2
    ) -> Float[Tensor, " batch"]:
        """log(E_q w^n / p(x)^n) of importance weights w = p(x, z) / q(z); infinite where the moment is.

        With P the precision of the posterior, Q that of q, A = n P - (n-1) Q and d the distance of the two means, it is
        n/2 ln|P| - (n-1)/2 ln|Q| - 1/2 ln|A| + n (n-1)/2 d^T P A^-1 Q d, finite iff A is positive definite.
        """
        full, posterior, n = full_gaussian(q), self.posterior(x), order
        mix = n * self.posterior_precision - (n - 1) * full.precision_matrix
        distance = posterior.loc - full.loc
        form = self.posterior_precision @ torch.linalg.solve(mix, full.precision_matrix)
        quadratic = torch.einsum("...d,...de,...e->...", distance, form, distance)
        log_moment = (
            n / 2 * torch.logdet(self.posterior_precision)
            - (n - 1) / 2 * torch.logdet(full.precision_matrix)
            - torch.linalg.slogdet(mix).logabsdet / 2
            + n * (n - 1) / 2 * quadratic
        )
        return torch.where((torch.linalg.eigvalsh(mix) > 0).all(-1), log_moment, torch.inf)

    def sample(self, num: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`num` pairs (x [num, pixel], z [num, latent]) from the model: z is an exact posterior draw given x."""
        z = torch.randn(num, self.latent_dim, generator=generator, dtype=torch.float64)
        noise = torch.randn(num, self.num_pixels, generator=generator, dtype=torch.float64)
        return z @ self.weight.T + self.bias + self.scale * noise, z


def standard_normal(latent_dim: int) -> MultivariateNormal:
    return MultivariateNormal(torch.zeros(latent_dim, dtype=torch.float64), torch.eye(latent_dim, dtype=torch.float64))


def full_gaussian(q: Gaussian) -> MultivariateNormal:
    """A diagonal or full Gaussian as a full one, in float64."""
    if isinstance(q, MultivariateNormal):
        return MultivariateNormal(q.loc.to(torch.float64), scale_tril=q.scale_tril.to(torch.float64))
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        scale_tril = torch.diag_embed(q.base_dist.scale.to(torch.float64))
        return MultivariateNormal(q.base_dist.loc.to(torch.float64), scale_tril=scale_tril)
    raise ValueError(f"q must be a diagonal or full Gaussian, got {type(q).__name__}")


def rho_of_spectrum(tau: Float[Tensor, "... latent"], y_squared: Float[Tensor, "... latent"]) -> Tensor:
    """`prior_monte_carlo_rho` in singular coordinates.

    Args:
        tau: eigenvalues of W W^T over s^2, the signal-to-noise ratio of each direction.
        y_squared: squared coordinates of x - b in those directions, over s^2.
    """
    log_factor = torch.log1p(tau) - torch.log1p(2 * tau) / 2 + y_squared * tau / ((1 + tau) * (1 + 2 * tau))
    return torch.expm1(log_factor.sum(-1))


def from_vae(vae: VAE) -> LinearGaussian:
    """The exact model behind a VAE with `network: linear`, a Gaussian likelihood and the standard normal prior.

    W and b are read off the decoder's answers, so nothing here depends on how its layers are arranged.

    Raises:
        ValueError: the decoder is not affine, the likelihood not a Gaussian of one scale, or the prior not N(0, I).
    """
    prior = vae.prior()
    if not (isinstance(prior, Independent) and isinstance(prior.base_dist, Normal)) or bool(
        (prior.base_dist.loc != 0).any() or (prior.base_dist.scale != 1).any()
    ):
        raise ValueError(f"from_vae needs the standard normal prior, got {prior}")
    parameter = next(vae.parameters())
    origin = torch.zeros(1, vae.latent_dim, dtype=parameter.dtype, device=parameter.device)
    axes = torch.eye(vae.latent_dim, dtype=parameter.dtype, device=parameter.device)
    with torch.no_grad():
        likelihood = vae.decode(torch.cat([origin, axes, 2 * axes]))
    scales = getattr(likelihood, "scale", None)
    if scales is None or bool((scales != scales.flatten()[0]).any()):
        raise ValueError(f"from_vae needs a Gaussian likelihood of one scale, got {type(likelihood).__name__}")
    means = likelihood.mean.to("cpu", torch.float64).flatten(1)
    bias, once, twice = means[0], means[1 : 1 + vae.latent_dim] - means[0], means[1 + vae.latent_dim :] - means[0]
    if not torch.allclose(twice, 2 * once, rtol=1e-4, atol=1e-5 * float(means.abs().max()) + 1e-12):
        raise ValueError("from_vae needs model.network 'linear': the decoder is not affine")
    return LinearGaussian(once.T.contiguous(), bias, float(scales.flatten()[0]))


# --- maximum likelihood ---------------------------------------------------------------------------------------------


def optimal_active_units(data: Float[Tensor, "image pixel"], scale: float) -> int:
    """Units that carry information at the optimum when s is fixed: data eigenvalues above s^2 (the others collapse)."""
    return int((_spectrum(data)[0] > scale**2).sum())


def fit_ppca(data: Float[Tensor, "image pixel"], latent_dim: int, dequantisation: float = 0.0) -> LinearGaussian:
    """Maximum-likelihood probabilistic PCA (Tipping & Bishop 1999, eq. 7 and 8): W = U (L - s^2 I)^(1/2).

    Args:
        data: images, flattened.
        latent_dim: principal directions kept, below the number of pixels.
        dequantisation: variance added to each pixel; 1/12 for integer levels (see `ppca_curve`).
    """
    if not 1 <= latent_dim < data.shape[1]:
        raise ValueError(f"latent_dim must be in 1..{data.shape[1] - 1} (pixels - 1), got {latent_dim}")
    values, vectors, mean = _spectrum(data)
    variances = _ppca_variances(values + dequantisation, latent_dim)
    noise = float(variances[-1])
    weight = vectors[:, :latent_dim] * (variances[:latent_dim] - noise).clamp_min(0).sqrt()
    return LinearGaussian(weight, mean, math.sqrt(noise))


def ppca_curve(
    train: Shaped[Tensor, "train ..."],
    test: Shaped[Tensor, "test ..."],
    dims: Sequence[int],
    dequantisation: float = 1 / 12,
) -> list[dict[str, Any]]:
    """Negative log-likelihood of maximum-likelihood pPCA for each number of dimensions: what a linear model reaches.

    Images are integer grey levels. A density of levels plus uniform noise on a unit interval bounds their probability:
    log P(level) >= E_u log p(level + u). The expectation is exact for a Gaussian, by adding Var(u) = 1/12 to the
    second moments; so these nats are an upper bound of a discrete negative log-likelihood, and compare with a VAE's.
    `dequantisation=0` gives the plain density.

    Returns:
        rows {reference, latent_dim, split, nats, standard_error, bits_per_dim}, nats per image, positive.
    """
    if not dims:
        return []
    splits = {"train": train.flatten(1), "test": test.flatten(1)}
    values, vectors, mean = _spectrum(splits["train"])
    values, num_pixels = values + dequantisation, len(values)
    variances = torch.stack([_ppca_variances(values, latent_dim) for latent_dim in dims])
    constant = (variances.log().sum(-1) + num_pixels * math.log(2 * math.pi)) / 2
    rows = []
    for split, data in splits.items():
        nats = torch.cat(
            [
                (((block.to(torch.float64) - mean) @ vectors).square() + dequantisation) @ (1 / variances).T / 2
                for block in data.split(BLOCK)
            ]
        )
        for latent_dim, column in zip(dims, (nats + constant).T, strict=True):
            rows.append(
                {
                    "reference": "ppca",
                    "latent_dim": int(latent_dim),
                    "split": split,
                    "nats": float(column.mean()),
                    "standard_error": float(column.std() / math.sqrt(len(column))) if len(column) > 1 else math.nan,
                    "bits_per_dim": float(column.mean()) / (num_pixels * math.log(2)),
                }
            )
    return sorted(rows, key=lambda row: dims.index(row["latent_dim"]))


def _ppca_variances(values: Float[Tensor, " pixel"], latent_dim: int) -> Float[Tensor, " pixel"]:
    """Variances of the fitted density along the eigenvectors: the leading ones kept, the others their mean."""
    if not 0 <= latent_dim < len(values):
        raise ValueError(f"dims must be in 0..{len(values) - 1} (pixels - 1), got {latent_dim}")
    discarded = values[latent_dim:].mean()
    if not float(discarded) > 1e-12 * float(values[0]):
        raise ValueError(
            f"the discarded variance must be above 0, got {float(discarded):.3g} at latent_dim {latent_dim}"
        )
    return torch.cat([values[:latent_dim], discarded.expand(len(values) - latent_dim)])


def _spectrum(data: Shaped[Tensor, "image pixel"]) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues, largest first, eigenvectors (columns) and mean: of the maximum-likelihood covariance of `data`."""
    mean = torch.stack([block.to(torch.float64).sum(0) for block in data.split(BLOCK)]).sum(0) / len(data)
    covariance = mean.new_zeros(len(mean), len(mean))
    for block in data.split(BLOCK):
        centred = block.to(torch.float64) - mean
        covariance += centred.T @ centred / len(data)
    values, vectors = torch.linalg.eigh(covariance)
    return values.flip(0).clamp_min(0), vectors.flip(1), mean
