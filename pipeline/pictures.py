"""What a trained VAE draws: ancestral samples, reconstructions, the latent manifold, walks along single dimensions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import pad

from pipeline.checkpoints import write_atomic
from pipeline.distributions import sample
from pipeline.sampling import draw
from pipeline.vae import VAE

TILE = 56
"""Least side of one image in a picture, in screen pixels: 8 x 8 digits are enlarged 7 times, 28 x 28 twice."""
MANIFOLD_SIDE = 20
TRAVERSALS, TRAVERSAL_STEPS = 10, 11
PRIOR_DRAWS = 4096
"""Draws behind the percentiles of a prior whose inverse distribution function has no closed form."""

CURVES = {"train.bits_per_dim": (222, 143, 5), "validation.bits_per_dim": (1, 115, 178)}
CURVE_SIZE, CURVE_MARGINS, SHARPNESS = (640, 400), (58, 34, 18, 46), 2
"""Pixels: the picture, and its margins left, top, right and bottom. Drawn larger and reduced: lines without steps."""

Grey = Float[Tensor, "image height width"]


def save_png(path: Path, images: Grey, columns: int, *, padding: int = 1) -> None:
    """A grid of grey images (0 black, 1 white), each pixel enlarged by a whole factor so that it can be seen."""
    factor = math.ceil(TILE / max(images.shape[1:]))
    large = images.float().clamp(0, 1).cpu().repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)
    picture = Image.fromarray((_grid(large, columns, padding * 2) * 255).round().to(torch.uint8).numpy())
    write_atomic(path, lambda file: picture.save(file, format="PNG"))


def _grid(images: Grey, columns: int, padding: int, value: float = 0.5) -> Float[Tensor, "height width"]:
    """As torchvision's `make_grid`, whose import takes seconds and a hundred megabytes in every worker."""
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
    """`columns` squared ancestral samples: z from the prior, then a draw of every pixel (not its mean)."""
    drawn = vae.sample(columns**2, _generator(vae, seed))
    save_png(path, drawn / (vae.levels - 1), columns)


@torch.inference_mode()
def reconstructions(
    vae: VAE, images: UInt8[Tensor, "image height width"], path: Path, *, seed: int, columns: int = 10, rows: int = 5
) -> None:
    """Originals, and under each row of them the decoder's means at one draw of z from each posterior."""
    x = images[: columns * rows]
    shown = vae.decode(_posterior_draw(vae, x, _generator(vae, seed))).mean
    lines = zip((x / (vae.levels - 1)).split(columns), shown.split(columns))
    save_png(path, torch.cat([image for line in lines for image in line]), columns)


@torch.inference_mode()
def manifold(vae: VAE, path: Path, *, seed: int) -> None:
    """The decoder's means over a 20 x 20 grid of prior percentiles, for D = 2.

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
    """One row per latent dimension: z walks from the prior's 5th to its 95th percentile, the rest stay put.

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
    """All that is drawn once a trial is trained: the manifold where there are two dimensions, else walks along each."""
    samples(vae, folder / "samples_final.png", seed=seed)
    reconstructions(vae, test, folder / "reconstructions.png", seed=seed)
    if vae.latent_dim == 2:
        manifold(vae, folder / "manifold.png", seed=seed)
    else:
        traversals(vae, test[0], folder / "traversals.png", seed=seed)
    training_curves(history, folder / "training_curves.png")


def _posterior_draw(vae: VAE, x: UInt8[Tensor, "batch height width"], generator: torch.Generator) -> Tensor:
    noise = draw("iid", 1, len(x), vae.latent_dim, generator=generator, dtype=vae.dtype, device=vae.device)
    return vae.terms(x, noise).z[0]


def _generator(vae: VAE, seed: int) -> torch.Generator:
    return torch.Generator(device=vae.device).manual_seed(seed)


# --- training curves ------------------------------------------------------------------------------------------------


def training_curves(rows: Sequence[Mapping[str, float | None]], path: Path) -> None:
    """Bits per dimension against epoch, one line per replicate; a dot where its validation bound was best.

    The axis starts below the first twentieth of the epochs: an untrained model would squeeze all the rest into a line.

    Args:
        rows: The trial's history: `replicate`, `epoch`, and bits per dimension of train and validation (None: unknown).
        path: The PNG file to write.
    """
    lines = {(name, number): _curve(rows, name, number) for name in CURVES for number in _replicates(rows)}
    last = max((epoch for line in lines.values() for epoch, _ in line), default=0.0)
    late = [value for line in lines.values() for epoch, value in line if epoch >= last / 20]
    if not late:
        raise ValueError("training_curves needs at least one epoch with a finite bits_per_dim, got none")
    room = max(0.05 * (max(late) - min(late)), 1e-3)
    x_axis, y_axis = (0.0, max(last, 1.0)), (min(late) - room, max(late) + room)
    width, height = (SHARPNESS * side for side in CURVE_SIZE)
    picture = Image.new("RGB", (width, height), "white")
    left, top, right, bottom = (SHARPNESS * margin for margin in CURVE_MARGINS)
    field = (width - left - right, height - top - bottom)
    picture.paste(_field(lines, field, x_axis, y_axis), (left, top))  # of its own: lines are cut at its edge
    _axes(ImageDraw.Draw(picture), (left, top), field, x_axis, y_axis)
    small = picture.resize(CURVE_SIZE, Image.Resampling.BOX)
    write_atomic(path, lambda file: small.save(file, format="PNG"))


def _replicates(rows: Sequence[Mapping[str, float | None]]) -> list[float | None]:
    return list(dict.fromkeys(row["replicate"] for row in rows))


def _curve(rows: Sequence[Mapping[str, float | None]], name: str, number: float | None) -> list[tuple[float, float]]:
    points = [(row["epoch"], row.get(name)) for row in rows if row["replicate"] == number]
    return [(float(x), float(y)) for x, y in points if x is not None and y is not None and math.isfinite(y)]


def _field(
    lines: Mapping[tuple[str, float | None], list[tuple[float, float]]],
    size: tuple[int, int],
    x_axis: tuple[float, float],
    y_axis: tuple[float, float],
) -> Image.Image:
    """Grid and lines, without labels."""
    field = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(field)
    for tick in ticks(*y_axis):
        height = _place(tick, y_axis, size[1], upwards=True)
        pen.line([(0, height), (size[0], height)], fill=(223, 227, 232), width=SHARPNESS)
    for (name, _), line in lines.items():
        places = [(_place(x, x_axis, size[0]), _place(y, y_axis, size[1], upwards=True)) for x, y in line]
        pen.line(places, fill=CURVES[name], width=SHARPNESS + 1)
        if places and name.startswith("validation."):
            pen.circle(max(places, key=lambda place: place[1]), 4 * SHARPNESS, fill=CURVES[name])  # y points down
    return field


def _axes(
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    size: tuple[int, int],
    x_axis: tuple[float, float],
    y_axis: tuple[float, float],
) -> None:
    """Ticks, labels and the names of the two curves, above the field and in their colours."""
    font, (left, top), (width, height) = ImageFont.load_default(13 * SHARPNESS), corner, size
    ink, edge = (31, 35, 40), (106, 115, 125)
    pen.line([(left, top), (left, top + height), (left + width, top + height)], fill=edge, width=SHARPNESS)
    gap = 6 * SHARPNESS
    for tick in ticks(*y_axis):
        place = top + _place(tick, y_axis, height, upwards=True)
        pen.text((left - gap, place), f"{tick:g}", fill=ink, font=font, anchor="rm")
    for tick in ticks(*x_axis):
        if tick.is_integer():  # there is no half an epoch
            place = left + _place(tick, x_axis, width)
            pen.line([(place, top + height), (place, top + height + gap)], fill=edge, width=SHARPNESS)
            pen.text((place, top + height + gap + SHARPNESS), f"{tick:g}", fill=ink, font=font, anchor="ma")
    pen.text((left + width, top + height + 4 * gap), "epoch", fill=ink, font=font, anchor="ra")
    pen.text((gap, gap), "bits_per_dim", fill=ink, font=font)
    end = left + width
    for name, colour in reversed(CURVES.items()):
        pen.text((end, gap), name.partition(".")[0], fill=colour, font=font, anchor="ra")
        end -= int(pen.textlength(name.partition(".")[0], font=font)) + 3 * gap


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between `low` and `high`: multiples of 1, 2 or 5 times a power of ten, at most `most` + 1."""
    step = next(
        factor * 10.0**power
        for power in range(math.floor(math.log10(high - low)) - 2, 12)
        for factor in (1, 2, 5)
        if (high - low) / (factor * 10.0**power) <= most
    )
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _place(value: float, axis: tuple[float, float], length: int, *, upwards: bool = False) -> float:
    share = (value - axis[0]) / (axis[1] - axis[0])
    return (1.0 - share if upwards else share) * (length - 1)
