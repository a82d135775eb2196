"""Milliseconds per training step of our loop, beside the textbook loop on the same network: a torchvision-style dataset
behind a DataLoader, cross-entropy with the class axis second, default Adam, the loss read at every step.

Both loops train the same number of steps in turns, so that a noisy machine hits both alike; the ratio is what counts.

    python -m tests.benchmarks.bench_step [--threads 1]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from PIL import Image
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from pipeline.config import TrialConfig, parse
from pipeline.data import ImageData
from pipeline.training import Replicate
from pipeline.vae import VAE

STEPS, ROUNDS, BATCH, LEVELS = 20, 5, 128, 16
NETWORKS = {"mlp": {"name": "mlp", "hidden": [256, 256]}, "cnn": {"name": "cnn", "channels": 32}}


class Images(Dataset[torch.Tensor]):
    """What torchvision's data sets do for each image: PIL, then transforms."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images.numpy()
        self.transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        image: torch.Tensor = self.transform(Image.fromarray(self.images[index]))
        return image


def textbook_epoch(vae: VAE, optimizer: torch.optim.Optimizer, loader: DataLoader[torch.Tensor]) -> None:
    for grey in loader:
        x = (grey.squeeze(1) * LEVELS).floor().clamp(max=LEVELS - 1).long()
        loc, raw = vae.encoder(x / (LEVELS - 1)).chunk(2, dim=-1)
        scale = (raw / 2).exp()
        logits = vae.decoder(loc + scale * torch.randn_like(loc)).transpose(1, 2).contiguous()
        reconstruction = functional.cross_entropy(logits, x.flatten(1), reduction="none").sum(-1)
        kl = 0.5 * (scale**2 + loc**2 - 1 - 2 * scale.log()).sum(-1)
        loss = (reconstruction + kl).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()


def measure(name: str) -> tuple[float, float]:
    """Median milliseconds per step: ours, textbook."""
    config: TrialConfig = parse(
        {"model": {"latent_dim": 20, "network": NETWORKS[name]}, "training": {"batch_size": BATCH}, "replicates": 1}
    )
    raw = torch.randint(256, (STEPS * BATCH, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    levels = (raw.int() * LEVELS // 256).to(torch.uint8)
    data = ImageData("random", LEVELS, levels, levels[:2], levels[:2], checksum="")
    ours, peer = (Replicate(config, data, number, torch.device("cpu")) for number in (0, 1))
    loader = DataLoader(Images(raw), batch_size=BATCH, shuffle=True)
    adam = torch.optim.Adam(peer.vae.parameters(), lr=1e-3)
    times: dict[str, list[float]] = {"ours": [], "textbook": []}
    for _ in range(ROUNDS + 1):  # the first round warms up
        started = time.perf_counter()
        ours._train(1)
        times["ours"].append(time.perf_counter() - started)
        started = time.perf_counter()
        textbook_epoch(peer.vae, adam, loader)
        times["textbook"].append(time.perf_counter() - started)
    return tuple(1000 * statistics.median(values[1:]) / STEPS for values in times.values())  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    print(f"batch {BATCH}, 28 x 28, {LEVELS} levels, {torch.get_num_threads()} thread(s)")
    print(f"{'network':8} {'ours ms':>9} {'textbook ms':>12} {'textbook / ours':>16}")
    for name in NETWORKS:
        ours, textbook = measure(name)
        print(f"{name:8} {ours:9.1f} {textbook:12.1f} {textbook / ours:16.2f}")


if __name__ == "__main__":
    main()
