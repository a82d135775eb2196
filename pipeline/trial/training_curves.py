"""The picture of a trial's training curves, drawn with pillow alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from pipeline.files import write_atomic

CURVES = {"train.bits_per_dim": (222, 143, 5), "validation.bits_per_dim": (1, 115, 178)}
CURVE_SIZE, CURVE_MARGINS, SHARPNESS = (640, 400), (58, 34, 18, 46), 2
"""Pixels: the picture, and its margins left, top, right and bottom. Drawn larger and reduced: lines without steps."""

LARGEST = 1e100
"""A value beyond it is no bound of a model any more, and is left out as a nan is."""


def training_curves(rows: Sequence[Mapping[str, float | None]], path: Path) -> None:
    """Draw bits per dimension against epoch, one line per replicate; a dot where its validation bound was best.

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
    size = max(abs(max(late)), abs(min(late)))
    room = max(0.05 * (max(late) - min(late)), 1e-3, 1e-6 * size)  # never less than the values' own precision
    x_axis, y_axis = (0.0, max(last, 1.0)), (min(late) - room, max(late) + room)
    width, height = (SHARPNESS * side for side in CURVE_SIZE)
    picture = Image.new("RGB", (width, height), "white")
    left, top, right, bottom = (SHARPNESS * margin for margin in CURVE_MARGINS)
    field = (width - left - right, height - top - bottom)
    best = {number: _best_epoch(rows, number) for number in _replicates(rows)}
    picture.paste(_field(lines, best, field, x_axis, y_axis), (left, top))  # of its own: lines are cut at its edge
    _axes(ImageDraw.Draw(picture), (left, top), field, x_axis, y_axis)
    small = picture.resize(CURVE_SIZE, Image.Resampling.BOX)
    write_atomic(path, lambda file: small.save(file, format="PNG"))


def _replicates(rows: Sequence[Mapping[str, float | None]]) -> list[float | None]:
    return list(dict.fromkeys(row["replicate"] for row in rows))


def _curve(rows: Sequence[Mapping[str, float | None]], name: str, number: float | None) -> list[tuple[float, float]]:
    points = [(row["epoch"], row.get(name)) for row in rows if row["replicate"] == number]
    return [(float(x), float(y)) for x, y in points if x is not None and y is not None and abs(y) < LARGEST]


def _best_epoch(rows: Sequence[Mapping[str, float | None]], number: float | None) -> float | None:
    """The epoch with the replicate's best validation bound: IWAE's own where that was trained, else bits per dimension.

    None where none is known.
    """
    own = [row for row in rows if row["replicate"] == number]
    names = {name for row in own for name in row}
    name = next((name for name in sorted(names) if name.startswith("validation.iwae_")), "validation.bits_per_dim")
    sign = -1.0 if name == "validation.bits_per_dim" else 1.0
    points = _curve(own, name, number)
    return max(points, key=lambda point: sign * point[1])[0] if points else None


def _field(
    lines: Mapping[tuple[str, float | None], list[tuple[float, float]]],
    best: Mapping[float | None, float | None],
    size: tuple[int, int],
    x_axis: tuple[float, float],
    y_axis: tuple[float, float],
) -> Image.Image:
    """The field of the picture: grid, lines, and a dot at each replicate's best epoch, without labels."""
    field = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(field)
    for tick in ticks(*y_axis):
        height = _place(tick, y_axis, size[1], upwards=True)
        pen.line([(0, height), (size[0], height)], fill=(223, 227, 232), width=SHARPNESS)
    for (name, number), line in lines.items():
        places = [(_place(x, x_axis, size[0]), _place(y, y_axis, size[1], upwards=True)) for x, y in line]
        pen.line(places, fill=CURVES[name], width=SHARPNESS + 1)
        for place in (place for (epoch, _), place in zip(line, places) if epoch == best[number]):
            if name.startswith("validation."):
                pen.circle(place, 4 * SHARPNESS, fill=CURVES[name])
    return field


def _axes(
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    size: tuple[int, int],
    x_axis: tuple[float, float],
    y_axis: tuple[float, float],
) -> None:
    """Draw ticks, labels and the names of the two curves, above the field and in their colours."""
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
    least = math.floor(math.log10(high - low)) - 2
    step = next(
        factor * 10.0**power
        for power in range(least, least + 4)
        for factor in (1, 2, 5)
        if (high - low) / (factor * 10.0**power) <= most
    )
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _place(value: float, axis: tuple[float, float], length: int, *, upwards: bool = False) -> float:
    share = (value - axis[0]) / (axis[1] - axis[0])
    return (1.0 - share if upwards else share) * (length - 1)
