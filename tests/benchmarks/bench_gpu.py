"""On a CUDA device: images per second in training, the share of the roofline, seconds for the course's 80 epochs.

The roofline is max(FLOPs / the device's own rate of large matrix products, bytes / its own rate of copies), both
measured here in the training's precision. FLOPs are counted by torch; bytes are the least that a step must move: Adam
reads and writes weights, moments and gradients (7 passes), the layers read the weights twice and write their gradient
(3), the logits are written, read by the loss, and so is their gradient (4).

    python -m tests.benchmarks.bench_gpu
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.config import parse
from pipeline.training.replicate import Replicate
from tests.benchmarks.timing import images, table

BATCH, TRAIN, COURSE_TRAIN, COURSE_EPOCHS, COURSE_LIMIT = 128, 25_600, 54_000, 80, 25.0


def seconds_of(run: Callable[[], object], rounds: int = 3) -> float:
    """The fastest of some runs, after one that warms up; the device has finished when the clock stops."""
    times = []
    for _ in range(rounds + 1):
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def peak_flops(dtype: torch.dtype, size: int = 8192) -> float:
    a = torch.randn(size, size, device="cuda", dtype=dtype)
    return 2 * size**3 / seconds_of(lambda: a @ a)


def peak_bytes(size: int = 2**28) -> float:
    a = torch.randn(size, device="cuda")
    b = torch.empty_like(a)
    return 2 * 4 * size / seconds_of(lambda: b.copy_(a))


def step_cost(replicate: Replicate) -> tuple[float, float]:
    """FLOPs and least bytes of one training step."""
    index = torch.arange(BATCH, device="cuda")
    with FlopCounterMode(display=False) as counter:
        replicate.update(index, 0.0)
    weights = sum(parameter.numel() for parameter in replicate.vae.parameters())
    logits = BATCH * replicate.vae.num_pixels * replicate.vae.levels
    return float(counter.get_total_flops()), 4.0 * (10 * weights + 4 * logits)


def main() -> None:
    if not torch.cuda.is_available():
        print("skipped: torch sees no CUDA device")
        return
    data, bandwidth, rows = images(TRAIN).to("cuda"), peak_bytes(), []
    rates = {"float32": peak_flops(torch.float32), "bfloat16": peak_flops(torch.bfloat16)}
    for network in ("mlp", "cnn"):
        for precision, rate in rates.items():
            config = parse(
                {
                    "model": {"latent_dim": 20, "network": {"name": network}},
                    "training": {"batch_size": BATCH, "precision": precision},
                    "replicates": 1,
                }
            )
            replicate = Replicate(config, data, 0, torch.device("cuda"))
            step = seconds_of(lambda replicate=replicate: replicate._train(1)) / (TRAIN / BATCH)
            flops, moved = step_cost(replicate)
            roofline = max(flops / rate, moved / bandwidth)
            course = step * COURSE_TRAIN / BATCH * COURSE_EPOCHS
            rows.append([network, precision, round(BATCH / step), 1000 * step, roofline / step, course, COURSE_LIMIT])
    print(f"{torch.cuda.get_device_name()}, batch {BATCH}, 28 x 28, 16 levels, load {os.getloadavg()[0]:.1f}")
    header = [
        "network",
        "precision",
        "images / s",
        "step ms",
        "of the roofline",
        f"s for {COURSE_EPOCHS} epochs",
        "at most",
    ]
    table(header, rows)


if __name__ == "__main__":
    main()
