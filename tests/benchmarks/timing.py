"""What the benchmarks share: runs in turns, so that a noisy machine hits all alike; one table of medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch

from pipeline.data.images import ImageData


def clock(run: Callable[[], object]) -> Callable[[], float]:
    """The seconds that a call of `run` takes."""

    def timed() -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    return timed


def side_by_side(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median seconds of each; all are called in turns, and a first round that warms up is dropped."""
    seconds = [{name: run() for name, run in runs.items()} for _ in range(rounds + 1)][1:]
    return {name: statistics.median(row[name] for row in seconds) for name in runs}


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns as wide as they must be; numbers with three digits, to the right."""
    cells = [[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths))
        print("  ".join([row[0].ljust(len(first)), *others]), flush=True)


def images(num: int, held_out: int = 256, *, levels: int = 16) -> ImageData:
    """Noise in the shape of MNIST: a step takes as long on it as on the real thing, and it is there everywhere."""
    generator = torch.Generator().manual_seed(0)
    sizes = (num, held_out, held_out)
    splits = [torch.randint(levels, (n, 28, 28), generator=generator).to(torch.uint8) for n in sizes]
    return ImageData("noise", levels, *splits, checksum="")
