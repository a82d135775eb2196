"""What L costs: milliseconds per training step at L = 1, 4, 16, 64, beside the decoder's own share of it.

The decoder's share is its forward and backward pass and the cross-entropy for L x batch codes, without encoder, noise,
KL and Adam. A step whose L costs nothing beyond the decoder has a ratio near 1; page faults or copies push it up.

    python -m tests.benchmarks.bench_samples [--network mlp]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from importlib import import_module

import torch

from pipeline.config import parse
from pipeline.training.replicate import Replicate
from tests.benchmarks.timing import clock, images, side_by_side, table

BATCH, STEPS, ROUNDS, SAMPLES = 32, 4, 3, (1, 4, 16, 64)


def as_in_a_worker() -> None:
    """Start this process again with the environment that the sweep's workers get: glibc reads it only then."""
    before = dict(os.environ)
    import_module("sweeps")
    if dict(os.environ) != before:
        os.execv(sys.executable, [sys.executable, "-m", __spec__.name, *sys.argv[1:]])


def runs(network: str, num_samples: int, data: int = STEPS * BATCH) -> dict[str, Callable[[], float]]:
    config = parse(
        {
            "model": {"latent_dim": 20, "network": {"name": network}},
            "objective": {"num_samples": num_samples},
            "training": {"batch_size": BATCH},
            "replicates": 1,
        }
    )
    replicate = Replicate(config, images(data), 0, torch.device("cpu"))
    vae, x = replicate.vae, replicate.data.train[:BATCH]
    z = torch.randn(num_samples, BATCH, vae.latent_dim, generator=torch.Generator().manual_seed(0))

    def decoder() -> None:
        for _ in range(STEPS):
            vae.zero_grad(set_to_none=True)
            vae.decode(z.requires_grad_()).log_prob(x).mean().backward()
            z.grad = None

    return {"step": clock(lambda: replicate._train(1)), "decoder": clock(decoder)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", nargs="*", default=["mlp", "cnn"])
    as_in_a_worker()
    torch.set_num_threads(1)
    rows = []
    for network in parser.parse_args().network:
        first = None
        for num_samples in SAMPLES:
            seconds = side_by_side(runs(network, num_samples), ROUNDS)
            step, decoder = (1000 * seconds[name] / STEPS for name in ("step", "decoder"))
            first = first or step
            rows.append([network, num_samples, step, decoder, step / decoder, step / first])
    print(f"batch {BATCH}, 28 x 28, 16 levels, 1 thread, load {os.getloadavg()[0]:.1f}")
    table(["network", "L", "step ms", "decoder ms", "step / decoder", "against L = 1"], rows)


if __name__ == "__main__":
    main()
