"""Milliseconds per training step of our loop, beside two peers in an environment of their own (`make bench`).

Lightning: the textbook course, with our network: torchvision's MNIST behind a DataLoader, cross-entropy with the class
axis second, default Adam, Lightning's Trainer (no logger, no checkpoints, no progress bar). pythae: its BaseTrainer
and its default network and loss, beside the same network in our loop.

    python -m tests.benchmarks.bench_step [--threads 1 2] [--cases mlp cnn pythae]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import v2

from pipeline.config import parse
from pipeline.data.images import ImageData, quantise
from pipeline.model.networks import CNNDecoder
from pipeline.model.vae import VAE
from pipeline.training.replicate import Replicate
from tests.benchmarks.timing import clock, images, side_by_side, table

STEPS, ROUNDS, BATCH, LEVELS, DIM = 8, 4, 128, 16, 20
NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {"name": "mlp", "hidden": [256, 256]},
    "cnn": {"name": "cnn", "channels": 32},
}
CASES = {"mlp": "lightning", "cnn": "lightning", "pythae": "pythae"}
TARGETS = {("mlp", 1): 2.0, ("mlp", 2): 2.7, ("cnn", 1): 1.15, ("cnn", 2): 1.25, ("pythae", 1): 1.6}
Run = Callable[[], float]


class Noise(Dataset[tuple[Tensor, int]]):
    """torchvision's MNIST without its files: PIL, then transforms."""

    def __init__(self, transform: v2.Transform) -> None:
        self.images, self.transform = images(STEPS * BATCH, levels=256).train.numpy(), transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), 0


def textbook_images() -> tuple[Dataset[Any], ImageData]:
    """The images as a course loads them, and the same images as we do."""
    transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    folder = os.environ.get("ELBOSWEEP_DATA")
    if folder and (Path(folder) / "MNIST").is_dir():
        mnist = MNIST(folder, transform=transform)
        dataset, pixels = Subset(mnist, range(STEPS * BATCH)), mnist.data[: STEPS * BATCH].numpy()
    else:
        dataset = Noise(transform)
        pixels = dataset.images
    train = quantise(pixels, LEVELS, 255)
    return dataset, ImageData("bench", LEVELS, train, train[:2], train[:2], checksum="")


def our_replicate(network: dict[str, Any], data: ImageData, likelihood: dict[str, Any] | None = None) -> Replicate:
    model = {"latent_dim": DIM, "network": network, "likelihood": likelihood or {"name": "categorical"}}
    config = parse({"model": model, "training": {"batch_size": BATCH}, "replicates": 1})
    return Replicate(config, data, 0, torch.device("cpu"))


# --- Lightning ------------------------------------------------------------------------------------------------------


def textbook_logits(vae: VAE, z: Tensor) -> Tensor:
    """[batch, class, height, width], as torch's cross-entropy wants them."""
    decoder = vae.decoder
    if isinstance(decoder, CNNDecoder):
        maps: Tensor = decoder.convolutions(decoder.features(z).unflatten(-1, decoder.map_shape))
        return maps
    assert isinstance(decoder, nn.Sequential)
    logits: Tensor = nn.Sequential(*list(decoder)[:-1])(z).view(len(z), LEVELS, 28, 28)
    return logits


def lightning_epoch(network: dict[str, Any]) -> Run:
    """An epoch of the course's Trainer; the seconds are those from its first batch to its last."""
    from lightning import pytorch as lightning

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    dataset, data = textbook_images()

    class Course(lightning.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.vae = our_replicate(network, data).vae.to(memory_format=torch.contiguous_format)
            self.seconds = 0.0

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            x = (batch[0] * LEVELS).floor().clamp(max=LEVELS - 1).long().squeeze(1)
            loc, log_variance = self.vae.encoder(x / (LEVELS - 1)).chunk(2, dim=-1)
            z = loc + (log_variance / 2).exp() * torch.randn_like(loc)
            reconstruction = functional.cross_entropy(textbook_logits(self.vae, z), x, reduction="none").sum((1, 2))
            kl = 0.5 * (log_variance.exp() + loc**2 - 1 - log_variance).sum(-1)
            loss = (reconstruction + kl).mean()
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

        def on_train_epoch_start(self) -> None:
            self.seconds = time.perf_counter()

        def on_train_epoch_end(self) -> None:
            self.seconds = time.perf_counter() - self.seconds

    course, loader = Course(), DataLoader(dataset, batch_size=BATCH, shuffle=True)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)

    def epoch() -> float:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lightning.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=folder, **quiet).fit(course, loader)
        return course.seconds

    return epoch


# --- pythae ---------------------------------------------------------------------------------------------------------


class PythaeEncoder(nn.Module):
    """Its default encoder in our model: features are loc and raw scale (it makes log variances)."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        output = self.encoder(x)
        return torch.cat((output.embedding, output.log_covariance / 2), dim=-1)


class PythaeDecoder(nn.Module):
    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, z: Tensor) -> Tensor:
        pixels: Tensor = self.decoder(z.flatten(0, -2))["reconstruction"]
        return pixels.reshape(*z.shape[:-1], -1, 1)


def pythae_runs() -> dict[str, Run]:
    """Its trainer's epoch, and ours over the same network, loss (a Gaussian of scale 1 is half the squared error)."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE as PythaeVAE
    from pythae.models import VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    logging.getLogger("pythae").setLevel(logging.ERROR)
    _, data = textbook_images()
    grey = data.train.float().unsqueeze(1) / (LEVELS - 1)
    settings = VAEConfig(input_dim=(1, 28, 28), latent_dim=DIM)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = BaseTrainer(
            PythaeVAE(settings),
            train_dataset=BaseDataset(grey, torch.zeros(len(grey))),
            training_config=BaseTrainerConfig(
                output_dir=folder, per_device_train_batch_size=BATCH, learning_rate=1e-3, no_cuda=True
            ),
            callbacks=[TrainingCallback()],
        )
        trainer.prepare_training()
    trainer.callback_handler.callbacks = []  # no progress bar
    ours, theirs = our_replicate({"name": "linear"}, data, {"name": "gaussian"}), PythaeVAE(settings)
    ours.vae.encoder, ours.vae.decoder = PythaeEncoder(theirs.encoder), PythaeDecoder(theirs.decoder)
    ours.optimizer = torch.optim.Adam(ours.vae.parameters(), lr=1e-3, fused=True)
    return {"ours": clock(lambda: ours._train(1)), "peer": clock(lambda: trainer.train_step(1))}


# --------------------------------------------------------------------------------------------------------------------


def runs(name: str) -> dict[str, Run]:
    """Ours, and its peer where that is installed."""
    if name == "pythae":
        return pythae_runs() if find_spec("pythae") else {}
    ours = our_replicate(NETWORKS[name], textbook_images()[1])
    peer = {"peer": lightning_epoch(NETWORKS[name])} if find_spec("lightning") else {}
    return {"ours": clock(lambda: ours._train(1)), **peer}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    arguments = parser.parse_args()
    threads = [number for number in arguments.threads if number <= (os.cpu_count() or 1)]
    rows = []
    for name in arguments.cases:
        peer = CASES[name]
        for number in threads:
            torch.set_num_threads(number)
            ms = {key: 1000 * seconds / STEPS for key, seconds in side_by_side(runs(name), ROUNDS).items()}
            ratio = ms["peer"] / ms["ours"] if "peer" in ms else "not installed"
            rows.append(
                [name, number, peer, ms.get("ours", "-"), ms.get("peer", "-"), ratio, TARGETS.get((name, number), "-")]
            )
    print(f"batch {BATCH}, 28 x 28, {LEVELS} levels, D = {DIM}, load {os.getloadavg()[0]:.1f}")
    table(["network", "threads", "peer", "ours ms", "peer ms", "peer / ours", "target"], rows)


if __name__ == "__main__":
    main()
