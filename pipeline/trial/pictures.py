"""What a trained VAE draws: ancestral samples, reconstructions, the latent manifold, walks along single dimensions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import pad

from pipeline.files import write_atomic
from pipeline.model.vae import VAE
from pipeline.probability.distributions import sample
from pipeline.trial.training_curves import training_curves

TILE = 56
"""Least side of one image in a picture, in screen pixels: 8 x 8 digits are enlarged 7 times, 28 x 28 twice."""
MANIFOLD_SIDE = 20
TRAVERSALS, TRAVERSAL_STEPS = 10, 11
PRIOR_DRAWS = 4096
"""Draws behind the percentiles of a prior whose inverse distribution function has no closed form."""

Grey = Float[Tensor, "image height width"]


def save_png(path: Path, images: Grey, columns: int, *, padding: int = 1) -> None:
    """A grid of grey images (0 black, 1 white), each pixel enlarged by a whole factor so that it can be seen."""
    factor = math.ceil(TILE / max(images.shape[1:]))
    large = images.float().clamp(0, 1).cpu().repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)
    picture = Image.fromarray((grid(large, columns, padding * 2) * 255).round().to(torch.uint8).numpy())
    write_atomic(path, lambda file: picture.save(file, format="PNG"))


def grid(images: Grey, columns: int, padding: int, value: float = 0.5) -> Float[Tensor, "height width"]:
    """Arrange images as torchvision's `make_grid`, whose import costs every worker seconds and 100 MB."""
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    tiles = torch.cat((images, images.new_full((rows * columns - len(images), *images.shape[1:]), value)))
    tiles = pad(tiles, (padding, 0, padding, 0), value=value)
    sheet = tiles.unflatten(0, (rows, columns)).transpose(1, 2).flatten(2).flatten(0, 1)
    return pad(sheet, (0, padding, 0, padding), value=value)


def epochs_to_draw(epochs: int) -> set[int]:
    """The epochs after which samples are drawn: 0, 1, 2, 5, 10, 20, 50, ... below the last (there are final ones)."""
    rounds = {factor * 10**power for factor in (1, 2, 5) for power in range(6)}
    return {0} | {epoch for epoch in rounds if epoch < epochs}


@torch.inference_mode()
def samples(vae: VAE, path: Path, *, seed: int, columns: int = 10) -> None:
    """Draw `columns` squared ancestral samples: z from the prior, then a draw of every pixel (not its mean)."""
    drawn = vae.sample(columns**2, _generator(vae, seed))
    save_png(path, drawn / (vae.levels - 1), columns)


@torch.inference_mode()
def reconstructions(
    vae: VAE, images: UInt8[Tensor, "image height width"], path: Path, *, seed: int, columns: int = 10, rows: int = 5
) -> None:
    """Draw originals, and under each row of them the decoder's means at one draw of z from each posterior."""
    x = images[: columns * rows]
    shown = vae.decode(_posterior_draw(vae, x, _generator(vae, seed))).mean
    lines = zip((x / (vae.levels - 1)).split(columns), shown.split(columns))
    save_png(path, torch.cat([image for line in lines for image in line]), columns)


@torch.inference_mode()
def manifold(vae: VAE, path: Path, *, seed: int) -> None:
    """Draw the decoder's means over a 20 x 20 grid of prior percentiles, for D = 2.

    Each axis is cut into 20 parts of equal prior probability and decoded at their middles, so that every tile stands
    for the same share of the prior (Kingma & Welling 2014, appendix A). Percentiles fall from top to bottom for z_2.
    """
    if vae.latent_dim != 2:
        raise ValueError(f"manifold needs latent_dim 2, got {vae.latent_dim}")
    levels = (torch.arange(MANIFOLD_SIDE) + 0.5) / MANIFOLD_SIDE
    first, second = prior_percentiles(vae, levels, seed=seed).unbind(dim=1)
    z = torch.cartesian_prod(second.flip(0), first).flip(1)
    save_png(path, vae.decode(z).mean, MANIFOLD_SIDE)


@torch.inference_mode()
def traversals(vae: VAE, image: UInt8[Tensor, "height width"], path: Path, *, seed: int) -> None:
    """Draw one row per latent dimension: z walks from the prior's 5th to its 95th percentile, the rest stay put.

    The rest is a posterior draw for `image`. Rows are the (at most 10) dimensions that change the picture most, in
    falling order: in a VAE with idle dimensions, any others would show rows of equal tiles.
    """
    grid = prior_percentiles(vae, torch.linspace(0.05, 0.95, TRAVERSAL_STEPS), seed=seed)
    centre = _posterior_draw(vae, image[None], _generator(vae, seed))[0]
    drawn = []
    for dimension in range(vae.latent_dim):
        z = centre.repeat(TRAVERSAL_STEPS, 1)
        z[:, dimension] = grid[:, dimension]
        drawn.append(vae.decode(z).mean)
    walks = torch.stack(drawn)
    change = walks.var(dim=1).mean(dim=(1, 2))
    most = change.argsort(descending=True)[:TRAVERSALS]
    save_png(path, walks[most].flatten(0, 1), TRAVERSAL_STEPS)


def prior_percentiles(vae: VAE, levels: Float[Tensor, " level"], *, seed: int) -> Float[Tensor, "level dim"]:
    """Percentiles of each latent dimension under the prior: its inverse distribution function, or those of draws."""
    prior = vae.prior()
    levels = levels.to(vae.device, vae.dtype)
    base: Distribution = getattr(prior, "base_dist", prior)
    try:
        z = base.icdf(levels[:, None].expand(-1, vae.latent_dim))
    except NotImplementedError:
        z = torch.quantile(sample(prior, PRIOR_DRAWS, _generator(vae, seed)), levels, dim=0)
    return z


def final(
    vae: VAE,
    test: UInt8[Tensor, "image height width"],
    history: Sequence[Mapping[str, float | None]],
    folder: Path,
    *,
    seed: int,
) -> None:
    """Draw everything that shows a trained replicate: the manifold where D = 2, else walks along each dimension."""
    samples(vae, folder / "samples_final.png", seed=seed)
    reconstructions(vae, test, folder / "reconstructions.png", seed=seed)
    if vae.latent_dim == 2:
        manifold(vae, folder / "manifold.png", seed=seed)
    else:
        traversals(vae, test[0], folder / "traversals.png", seed=seed)
    training_curves(history, folder / "training_curves.png")


def _posterior_draw(vae: VAE, x: UInt8[Tensor, "batch height width"], generator: torch.Generator) -> Tensor:
    return vae.terms(x, vae.noise("iid", 1, len(x), generator)).z[0]


def _generator(vae: VAE, seed: int) -> torch.Generator:
    return torch.Generator(device=vae.device).manual_seed(seed)
