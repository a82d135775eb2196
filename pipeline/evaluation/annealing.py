"""Annealed importance sampling with Hamiltonian transitions, forwards and in reverse: log p(x) between two bounds.

A path of densities f_b(z) = start(z)^(1-b) p(x, z)^b leads from a distribution that can be drawn from (the prior, or
the encoder's q) to the posterior. Forwards, the product of the ratios along a chain is a weight w with E w = p(x), so
the log of its mean is a lower bound in expectation (Neal 2001). In reverse, from an exact posterior draw,
E 1/w = 1/p(x) and -log mean(1/w) is an upper bound (bidirectional Monte Carlo; Grosse, Ghahramani & Adams 2015). Exact
posterior draws exist for simulated data: the z that made x.

Both hold for any transition that leaves its f_b invariant, provided that its step size does not look at the chain it
moves. So step sizes are tuned by a pilot run, and then frozen (adapting along the chain would forfeit the bounds).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.evaluation.evidence import Evidence, LogDensity, WeightSums, log_joint_of
from pipeline.probability import distributions

if TYPE_CHECKING:
    from pipeline.model.vae import VAE


class Path(NamedTuple):
    """The two ends of the path and how to walk it."""

    draw_start: Callable[[int], Float[Tensor, "sample batch latent"]]
    """n -> n new draws from the start for every image."""
    log_start: LogDensity
    """Normalised log-density of the start."""
    log_joint: LogDensity
    """log p(x, z), differentiable in z."""
    num_temperatures: int = 200
    power: float = 4.0
    """b_t = (t/T)^power. From a prior to a narrow posterior the path is steep at first; from q it is not: 1 or 2."""
    num_leapfrog: int = 10
    scale: Tensor | float = 1.0
    """Rough posterior scales [batch, latent]: the transitions work in z / scale. Use q's with a start at q."""

    def temperatures(self) -> list[float]:
        """b_0 = 0 < ... < b_T = 1 (Friel & Pettitt 2008, section 4: a power of 3 to 5)."""
        if self.num_temperatures < 2:
            raise ValueError(f"num_temperatures must be at least 2, got {self.num_temperatures}")
        return [(t / self.num_temperatures) ** self.power for t in range(self.num_temperatures + 1)]


class Point(NamedTuple):
    """Chains' positions with both log-densities and gradients: going on to the next temperature costs nothing."""

    z: Float[Tensor, "chain batch latent"]
    log_start: Float[Tensor, "chain batch"]
    log_joint: Float[Tensor, "chain batch"]
    start_gradient: Float[Tensor, "chain batch latent"]
    joint_gradient: Float[Tensor, "chain batch latent"]

    def log_density(self, temperature: float) -> Float[Tensor, "chain batch"]:
        return (1 - temperature) * self.log_start + temperature * self.log_joint

    def gradient(self, temperature: float) -> Float[Tensor, "chain batch latent"]:
        return (1 - temperature) * self.start_gradient + temperature * self.joint_gradient


def ais(path: Path, num_chains: int, generator: torch.Generator) -> Evidence:
    """Lower bound of log p(x), in expectation: step sizes tuned on one set of chains, weights from another.

    Args:
        path: from the start to log p(x, z).
        num_chains: weights averaged per image, at least 2 (the standard error is over chains).
        generator: of the momenta and the acceptances.
    """
    if num_chains < 2:
        raise ValueError(f"num_chains must be at least 2, got {num_chains}")
    return forward_bound(path, num_chains, tune(path, num_chains, generator), generator)


def bdmc(
    path: Path, posterior_draw: Float[Tensor, "chain batch latent"], generator: torch.Generator
) -> tuple[Evidence, Evidence]:
    """(lower, upper) bound of log p(x) for x simulated from the model; their difference bounds the error of both.

    Args:
        path: from the start to log p(x, z), of simulated x.
        posterior_draw: the z that made x, repeated along the chains (or exact posterior draws where they are known).
            With one z per image the standard error of the upper bound is given that z; over images it is complete.
        generator: of the momenta and the acceptances.
    """
    steps = tune(path, len(posterior_draw), generator)
    lower = forward_bound(path, len(posterior_draw), steps, generator)
    return lower, reverse_bound(path, posterior_draw, steps, generator)


def tune(
    path: Path, num_chains: int, generator: torch.Generator, *, target: float = 0.9
) -> Float[Tensor, "temperature batch"]:
    """Step sizes for every inner temperature and image, by a pilot run that steers the mean acceptance to `target`.

    There is one transition a temperature, so a rejection costs more than it does in a long chain: 0.9 leaves less
    variance in the weights than the usual 0.65 to 0.8.
    """
    point = evaluate(path, path.draw_start(num_chains))
    log_step = torch.full_like(point.log_joint[0], math.log(0.5 * point.z.shape[-1] ** -0.25))
    steps = []
    for temperature in path.temperatures()[1:-1]:
        point, acceptance = transition(path, point, temperature, log_step.exp(), generator)
        log_step = log_step + 0.4 * (acceptance.mean(0) - target)
        steps.append(log_step.exp())
    return torch.stack(steps)


def forward_bound(path: Path, num_chains: int, steps: Tensor, generator: torch.Generator) -> Evidence:
    """log mean over chains of w, from draws of the start."""
    temperatures = path.temperatures()
    point = evaluate(path, path.draw_start(num_chains))
    log_weights = torch.zeros_like(point.log_joint, dtype=torch.float64)
    for t in range(1, len(temperatures)):
        log_weights += (temperatures[t] - temperatures[t - 1]) * (point.log_joint - point.log_start)
        if t < len(temperatures) - 1:
            point, _ = transition(path, point, temperatures[t], steps[t - 1], generator)
    return _summary(log_weights, "lower", path)


def reverse_bound(
    path: Path, z: Float[Tensor, "chain batch latent"], steps: Tensor, generator: torch.Generator
) -> Evidence:
    """-log mean over chains of 1/w, from exact posterior draws: the forward chain walked backwards."""
    temperatures = path.temperatures()
    point = evaluate(path, z)
    log_weights = torch.zeros_like(point.log_joint, dtype=torch.float64)
    for t in range(len(temperatures) - 1, 0, -1):
        log_weights += (temperatures[t] - temperatures[t - 1]) * (point.log_joint - point.log_start)
        if t > 1:
            point, _ = transition(path, point, temperatures[t - 1], steps[t - 2], generator)
    return _summary(-log_weights, "upper", path)


def transition(
    path: Path, point: Point, temperature: float, step: Float[Tensor, " batch"], generator: torch.Generator
) -> tuple[Point, Float[Tensor, "chain batch"]]:
    """One Hamiltonian Monte Carlo move that leaves f_b invariant; also its acceptance probabilities (Neal 2011)."""
    z = point.z
    momentum = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
    energy = point.log_density(temperature) - momentum.square().sum(-1) / 2
    # A random share of the step, so that no trajectory is ever a whole number of the target's periods.
    share = 0.5 + 0.5 * torch.rand(*z.shape[:-1], 1, generator=generator, dtype=z.dtype, device=z.device)
    stride = share * step.unsqueeze(-1) * path.scale
    proposal = point
    for _ in range(path.num_leapfrog):
        momentum = momentum + stride / 2 * proposal.gradient(temperature)
        proposal = evaluate(path, proposal.z + stride * momentum)
        momentum = momentum + stride / 2 * proposal.gradient(temperature)
    change = proposal.log_density(temperature) - momentum.square().sum(-1) / 2 - energy
    # A trajectory that diverged to inf or NaN is a rejection.
    acceptance = change.clamp_max(0).exp().nan_to_num(nan=0.0)
    uniform = torch.rand(acceptance.shape, generator=generator, dtype=z.dtype, device=z.device)
    accepted = uniform < acceptance
    kept = (
        torch.where(accepted if new.dim() == 2 else accepted.unsqueeze(-1), new, old)
        for new, old in zip(proposal, point, strict=True)
    )
    return Point(*kept), acceptance


def evaluate(path: Path, z: Float[Tensor, "chain batch latent"]) -> Point:
    """Both log-densities at z with their gradients: one pass through the decoder and back."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        log_start, log_joint = path.log_start(z), path.log_joint(z)
        (joint_gradient,) = torch.autograd.grad(log_joint.sum(), z, retain_graph=True)
        (start_gradient,) = torch.autograd.grad(log_start.sum(), z)
    return Point(z.detach(), log_start.detach(), log_joint.detach(), start_gradient, joint_gradient)


# --- a VAE's ends of the path ---------------------------------------------------------------------------------------
# With gradients, a decoder call holds all chains of all images at once: pass as many images as fit.


def from_prior(vae: VAE, x: Tensor, generator: torch.Generator, *, num_temperatures: int = 200) -> Path:
    """The path p(z) p(x|z)^b: no part of it depends on the encoder."""
    with torch.no_grad():
        prior = vae.prior()

    def draw_start(num: int) -> Tensor:
        with torch.no_grad():
            z: Tensor = distributions.sample(prior, num * len(x), generator).unflatten(0, (num, len(x)))
        return z

    return Path(draw_start, prior.log_prob, log_joint_of(vae, x), num_temperatures)


def from_posterior(vae: VAE, x: Tensor, generator: torch.Generator, *, num_temperatures: int = 200) -> Path:
    """The path from q(z|x): shorter where q is good, and lost modes are as hard to find as for the importance bound."""
    with torch.no_grad():
        q = vae.posterior(x)

    def draw_start(num: int) -> Tensor:
        with torch.no_grad():
            z: Tensor = distributions.reparameterise(q, vae.noise("iid", num, len(x), generator))
        return z

    return Path(draw_start, q.log_prob, log_joint_of(vae, x), num_temperatures, 1.0, scale=draw_start(64).std(0))


def _summary(log_weights: Tensor, direction: str, path: Path) -> Evidence:
    sums = WeightSums()
    sums.add(log_weights)
    draws = len(log_weights) * path.num_temperatures
    error, size = sums.standard_error(), sums.effective_sample_size()
    if direction == "upper":
        return Evidence(-sums.log_mean(), error, "upper", draws, size)
    return Evidence(sums.log_mean(), error, "lower", draws, size)
