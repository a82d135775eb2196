"""Estimators of log p(x): prior Monte Carlo, the importance-weighted bound, its jackknife, and quadrature.

Each takes a small callable instead of a model, so that the linear-Gaussian model can stand in for a VAE: `draw(n)`
gives log-weights [n, batch] of n new draws, `log_joint(z)` gives log p(x, z). Annealed importance sampling is in
annealing.py.

What is averaged is a weight whose mean is p(x), in the logarithm's domain and chunk by chunk: memory does not grow with
the number of draws. The log of an unbiased estimate is too low on average (Jensen), which `direction` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.probability import distributions

if TYPE_CHECKING:
    from pipeline.model.vae import VAE

Draw = Callable[[int], Float[Tensor, "sample batch"]]
"""Takes n, gives log-weights of n new independent draws for every image."""
LogDensity = Callable[[Float[Tensor, "sample batch latent"]], Float[Tensor, "sample batch"]]
"""Takes z, gives a log-density of it for every image."""
LARGEST_GRID = 5_000_000
"""Points of a quadrature for each image, at most."""


@dataclass(frozen=True)
class Evidence:
    """An estimate of log p(x), nats per image."""

    value: Float[Tensor, " batch"]
    standard_error: Float[Tensor, " batch"]
    """Of `value`, given the image, by the delta method: trust it only where `effective_sample_size` is not small."""
    direction: Literal["lower", "upper", "estimate"]
    """`lower`: the expectation of `value` is below log p(x). `upper`: above. `estimate`: no bound."""
    num_draws: int
    effective_sample_size: Float[Tensor, " batch"] | None = None
    """Kish: (sum w)^2 / sum w^2, between 1 and the number of weights."""


@dataclass
class WeightSums:
    """Running sums of weights w >= 0, from their logarithms: all that the bounds need, in memory free of the draws.

    The `KEPT` largest weights are kept as they are and the others enter sums of powers w^1 .. w^POWERS. Each of those
    is below a share 1 / KEPT of the total, so a series in that share is exact to rounding (see `log_jackknife`).
    """

    KEPT = 64
    POWERS = 8

    count: int = 0
    largest: Float[Tensor, "kept batch"] | None = None
    """Logarithms, in descending order."""
    powers: list[Float[Tensor, " batch"]] = field(default_factory=list)
    """Logarithms of the sums of w^1, w^2, ... over the weights not kept."""

    def add(self, log_weights: Float[Tensor, "sample batch"]) -> None:
        log_weights = log_weights.detach().to(torch.float64)
        if self.largest is None:
            self.largest = log_weights[:0]
            self.powers = [torch.full_like(log_weights[0], -torch.inf) for _ in range(self.POWERS)]
        self.count += len(log_weights)
        pool = torch.cat([self.largest, log_weights]).sort(dim=0, descending=True).values
        self.largest, others = pool[: self.KEPT], pool[self.KEPT :]
        if len(others):
            self.powers = [
                torch.logaddexp(total, (power * others).logsumexp(0)) for power, total in enumerate(self.powers, 1)
            ]

    def log_sum(self, power: int = 1, skip: int = 0) -> Float[Tensor, " batch"]:
        """log of the sum of w^power, without the `skip` largest."""
        assert self.largest is not None
        return torch.cat([power * self.largest[skip:], self.powers[power - 1][None]]).logsumexp(0)

    def log_mean(self) -> Float[Tensor, " batch"]:
        return self.log_sum() - math.log(self.count)

    def effective_sample_size(self) -> Float[Tensor, " batch"]:
        return (2 * self.log_sum() - self.log_sum(2)).exp()

    def standard_error(self) -> Float[Tensor, " batch"]:
        """Of `log_mean`, by the delta method: sqrt(Var(w) / K) / mean(w). NaN for a single weight."""
        if self.count < 2:
            return torch.full_like(self.log_sum(), torch.nan)
        relative_variance = (self.count / self.effective_sample_size() - 1) / (self.count - 1)
        return relative_variance.clamp_min(0).sqrt()

    def log_jackknife(self) -> Float[Tensor, " batch"]:
        """K L_K - (K-1) mean_k L_{K-1}^(-k): the first-order jackknife of `log_mean`, bias O(1/K^2).

        With r_k = w_k / sum w, it is log sum w - K ln K + (K-1) ln(K-1) - (K-1)/K sum_k ln(1 - r_k).
        """
        if self.count < 2:
            raise ValueError(f"the jackknife needs num_importance_samples of at least 2, got {self.count}")
        assert self.largest is not None
        total = self.log_sum()
        # The largest weight may be nearly all of the sum; the sum of the others keeps its digits, 1 - r would not.
        logs = self.log_sum(skip=1) - total + torch.log1p(-(self.largest[1:] - total).exp()).sum(0)
        for power, log_power_sum in enumerate(self.powers, 1):
            logs = logs - (log_power_sum - power * total).exp() / power
        shift = (self.count - 1) * math.log1p(-1 / self.count) - math.log(self.count)
        return total + shift - (self.count - 1) / self.count * logs


def accumulate(draw: Draw, num_draws: int, chunk: int) -> WeightSums:
    """Ask `draw` for exactly `num_draws` weights, at most `chunk` at a time."""
    sums = WeightSums()
    for size in chunks(num_draws, chunk):
        log_weights = draw(size)
        if len(log_weights) != size:
            raise ValueError(f"draw must return the {size} draws it was asked for, got {len(log_weights)}")
        sums.add(log_weights)
    return sums


def prior_monte_carlo(draw: Draw, num_draws: int, *, chunk: int = 1024) -> Evidence:
    """log of the mean of p(x|z) over z ~ p(z).

    Its relative variance is rho / L with 1 + rho about exp(2 I(x; z)) on average: the number of draws it needs is
    exponential in the information that z carries about x, and untouched by dimensions that carry none.

    Args:
        draw: n -> log p(x|z) [n, batch] of n new prior draws. Images may share the draws.
        num_draws: L.
        chunk: draws held in memory at a time.
    """
    return _bound(accumulate(draw, num_draws, chunk))


def importance_bound(draw: Draw, num_importance_samples: int, *, chunk: int = 1024) -> Evidence:
    """L_K = log mean_k w_k, w = p(x, z) / q(z|x) with z ~ q (Burda et al. 2016, eq. 8), from exactly K draws.

    ELBO <= E L_K <= E L_{K+1} <= log p(x); the bias is -Var(w) / (2 K p(x)^2) + O(1/K^2).

    Args:
        draw: n -> log p(x, z) - log q(z|x) [n, batch] of n new draws from q.
        num_importance_samples: K.
        chunk: draws held in memory at a time.
    """
    return _bound(accumulate(draw, num_importance_samples, chunk))


def jackknife_bound(draw: Draw, num_importance_samples: int, *, chunk: int = 1024) -> Evidence:
    """JVI-1 (Nowozin 2018, eq. 14): the importance-weighted bound without its O(1/K) bias. No longer a bound."""
    sums = accumulate(draw, num_importance_samples, chunk)
    return Evidence(sums.log_jackknife(), sums.standard_error(), "estimate", sums.count, sums.effective_sample_size())


@torch.no_grad()
def quadrature(
    log_joint: LogDensity,
    loc: Float[Tensor, "batch latent"],
    scale: Float[Tensor, "batch latent"],
    *,
    num_points: int = 129,
    half_width: float = 8.0,
    tolerance: float = 1e-6,
    chunk: int = 4096,
) -> Evidence:
    """log of the integral of p(x, z) over z, D <= 2, by the trapezium rule on a grid of loc +- half_width * scale.

    The rule converges exponentially for a smooth integrand once the spacing (2 half_width / (num_points - 1) scales) is
    below its standard deviation. The spacing is halved until that changes no image's value by more than `tolerance`
    nats (beyond rounding). `loc = 0, scale = 1` covers a standard normal prior; a narrow posterior is reached with
    fewer points by its own location and scale. A second mode narrower than the last spacing can go unseen.

    Args:
        log_joint: z -> log p(x, z), for every image.
        loc: centre of each image's grid.
        scale: its unit of length, per dimension.
        num_points: points a dimension to begin with.
        half_width: where the grid ends, in scales.
        tolerance: largest change of a value, in nats, when the spacing is halved for the last time.
        chunk: points evaluated at once.

    Returns:
        `standard_error` is an error estimate and not a deviation: the difference to the grid of every second point plus
        the share of the mass that lies on the edge of the grid.

    Raises:
        ValueError: D above 2, no odd `num_points`, or no convergence within LARGEST_GRID points.
    """
    latent_dim = loc.shape[1]
    if latent_dim > 2:
        raise ValueError(f"quadrature needs a latent_dim of at most 2, got {latent_dim}")
    if num_points < 5 or num_points % 2 == 0:
        raise ValueError(f"num_points must be odd and at least 5, got {num_points}")
    while True:
        fine, change, edge, rounding = _on_grid(log_joint, loc, scale, num_points, half_width, chunk)
        if bool((change <= tolerance + rounding).all()):
            return Evidence(fine, change + edge, "estimate", num_points**latent_dim)
        cut = float(edge.max()) > 0.5
        if cut or (2 * num_points - 1) ** latent_dim > LARGEST_GRID:
            raise ValueError(
                f"quadrature needs values that change by at most {tolerance:g} nats where the spacing is halved, got "
                f"{float(change.max()):.3g} at {num_points} points a dimension"
                + (", and the mass on the grid's edge" if cut else "")
                + "; give it the posterior's own loc and scale"
            )
        num_points = 2 * num_points - 1


def _on_grid(
    log_joint: LogDensity, loc: Tensor, scale: Tensor, num_points: int, half_width: float, chunk: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For each image: the log-integral, its change from every second point, the share of the edge, rounding's size."""
    batch, latent_dim = loc.shape
    axis = torch.linspace(-half_width, half_width, num_points, dtype=torch.float64, device=loc.device)
    # Logarithms of the sums over all points, every second point, and the edge.
    totals = torch.full((3, batch), -torch.inf, dtype=torch.float64, device=loc.device)
    start, epsilon = 0, 0.0
    for size in chunks(num_points**latent_dim, chunk):
        flat = torch.arange(start, start + size, device=loc.device)
        start += size
        index = torch.stack([flat // num_points**d % num_points for d in range(latent_dim)], dim=-1)
        z = loc + scale * axis[index].to(loc.dtype).unsqueeze(1)
        value = log_joint(z)
        epsilon, value = torch.finfo(value.dtype).eps, value.to(torch.float64)
        edge = ((index == 0) | (index == num_points - 1)).any(-1)
        for row, mask in enumerate((torch.ones_like(edge), (index % 2 == 0).all(-1), edge)):
            if mask.any():
                totals[row] = torch.logaddexp(totals[row], value[mask].logsumexp(0))
    log_cell = latent_dim * math.log(2 * half_width / (num_points - 1)) + scale.to(torch.float64).log().sum(-1)
    fine, coarse, edges = totals
    change = (coarse + latent_dim * math.log(2) - fine).abs()
    return fine + log_cell, change, (edges - fine).exp(), 16 * epsilon * fine.abs()


def chunks(total: int, chunk: int) -> Iterator[int]:
    """Sizes of at most `chunk` that add up to `total`."""
    if total < 1:
        raise ValueError(f"the number of draws must be at least 1, got {total}")
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    for start in range(0, total, chunk):
        yield min(chunk, total - start)


# --- a VAE's callables ----------------------------------------------------------------------------------------------


def posterior_draws(vae: VAE, x: Tensor, generator: torch.Generator) -> Draw:
    """Draws of log importance weights log p(x, z) - log q(z|x), for `importance_bound` and `jackknife_bound`."""

    @torch.no_grad()
    def draw(num: int) -> Tensor:
        return vae.log_weights(x, vae.noise("iid", num, len(x), generator))

    return draw


def prior_draws(vae: VAE, x: Tensor, generator: torch.Generator) -> Draw:
    """Draws of log p(x|z) with z ~ p(z), for `prior_monte_carlo`. Images share the draws: one decoding serves all."""

    @torch.no_grad()
    def draw(num: int) -> Tensor:
        z = distributions.sample(vae.prior(), num, generator)
        blocks = (vae.decode(block) for block in z.split(vae.max_decodes or num))
        return torch.cat([torch.stack([pixels.log_prob(image) for image in x], dim=1) for pixels in blocks])

    return draw


def log_joint_of(vae: VAE, x: Tensor) -> LogDensity:
    """The function z -> log p(x, z), for `quadrature` and annealing."""
    with torch.no_grad():
        prior = vae.prior()
    return lambda z: vae.log_px_z(x, z) + prior.log_prob(z)


def simulate(vae: VAE, num: int, generator: torch.Generator) -> tuple[Tensor, Float[Tensor, "num latent"]]:
    """Draw images from the model itself, with the z that made them: an exact posterior draw each, which BDMC needs."""
    with torch.no_grad():
        z = distributions.sample(vae.prior(), num, generator)
        return vae.decode(z).sample(generator), z


def _bound(sums: WeightSums) -> Evidence:
    return Evidence(sums.log_mean(), sums.standard_error(), "lower", sums.count, sums.effective_sample_size())
