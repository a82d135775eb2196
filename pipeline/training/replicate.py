"""One replicate: its model, its optimiser, its random streams, its best weights."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pipeline.config import TrialConfig
from pipeline.data.images import ImageData
from pipeline.model.vae import VAE, build_vae
from pipeline.probability.closed_forms import has_closed_form_kl
from pipeline.probability.sampling import replicate_seed
from pipeline.training.objectives import Iwae, build_objective
from pipeline.training.precision import tf32
from pipeline.training.schedules import kl_weight
from pipeline.training.validation import bound_row, importance_bound, validate

TRAIN_QUANTITIES = ("loss", "elbo", "reconstruction", "kl", "bits_per_dim")

Row = dict[str, Any]


class TrainingDiverged(RuntimeError):
    """The loss stopped being a finite number; the message names replicate, step and the settings that matter."""


class Replicate:
    """One seed of a configuration in training: weights, optimiser, random streams, its history and its best weights."""

    def __init__(
        self,
        config: TrialConfig,
        data: ImageData,
        number: int,
        device: torch.device,
        max_decodes: int | None = None,
    ) -> None:
        self.config, self.data, self.number, self.device = config, data, number, device
        self.vae = initial_vae(config, data, number, max_decodes).to(device)
        self.objective = build_objective(config)
        self.optimizer = torch.optim.Adam(self.vae.parameters(), lr=config.training.learning_rate, fused=True)
        self.generator = torch.Generator(device=device).manual_seed(self.seed("training"))
        self.closed_form = has_closed_form_kl(config.model.posterior.name, config.model.prior.name)
        self.step = 0
        self.seconds = 0.0
        self.rows: list[Row] = []
        self.trained_bound = trained_bound(config)
        self.best_bound = -math.inf
        self.best_epoch = 0
        self.best_weights: dict[str, Tensor] = {}

    def seed(self, purpose: str) -> int:
        """The seed of one of the replicate's random streams."""
        return replicate_seed(self.config.seed, self.number, purpose)

    def advance(self, epoch: int) -> Row:
        """Train one epoch (none for epoch 0), validate, and keep the weights if they are the best so far.

        Raises:
            TrainingDiverged: the loss or the validation bound is not finite.
        """
        started = time.perf_counter()
        trained = self._train(epoch) if epoch else dict.fromkeys(f"train.{quantity}" for quantity in TRAIN_QUANTITIES)
        return self.close(epoch, trained, time.perf_counter() - started)

    def close(self, epoch: int, trained: Row, seconds: float) -> Row:
        """Validate after an epoch whose training gave `trained` and took `seconds`, and keep weights that are best."""
        started = time.perf_counter()
        row: Row = {"replicate": self.number, "epoch": epoch, "step": self.step, **trained}
        row |= self._validate()
        for name in ("validation.elbo", self.trained_bound):
            if not math.isfinite(row[name]):
                raise self._diverged(f"{name} is {row[name]} after step {self.step}", epoch)
        if row[self.trained_bound] > self.best_bound:
            self.best_bound, self.best_epoch = row[self.trained_bound], epoch
            self.best_weights = {key: value.detach().clone() for key, value in self.vae.state_dict().items()}
        self.seconds += seconds + time.perf_counter() - started
        row |= {"training.learning_rate": self.config.training.learning_rate, "seconds": self.seconds}
        self.rows.append(row)
        return row

    def _validate(self) -> Row:
        images, seed = self.data.validation, self.seed("validation")
        row: Row = dict(validate(self.vae, images, closed_form=self.closed_form, seed=seed))
        if isinstance(self.objective, Iwae):
            size = self.objective.num_importance_samples
            row[self.trained_bound] = importance_bound(self.vae, images, size, seed=self.seed("validation bound"))
        return row

    def _train(self, epoch: int) -> Row:
        """Train for one pass over a fresh permutation of the training images."""
        batches = self.batches()
        # The loop never waits for the device: the records are looked at once, when the epoch is over.
        with tf32(self.config.training.precision == "tf32"):
            record = torch.stack([self.update(index, epoch - 1 + i / len(batches)) for i, index in enumerate(batches)])
        return self.trained(epoch, batches, record)

    def batches(self) -> tuple[Int64[Tensor, " batch"], ...]:
        """Draw a fresh order of the training images, cut into the steps of an epoch."""
        order = torch.randperm(len(self.data.train), generator=self.generator, device=self.device)
        batches: tuple[Tensor, ...] = order.split(self.config.training.batch_size)
        return batches

    def inputs(self, index: Int64[Tensor, " batch"]) -> tuple[Tensor, Float[Tensor, "sample batch dim"]]:
        """Make the inputs of one step: its images, and the noise of its draws."""
        x = self.data.train_batch(index, self.generator)
        return x, self.vae.noise(self.config.objective.sampling, self.objective.num_draws, len(x), self.generator)

    def trained(self, epoch: int, batches: Sequence[Tensor], record: Float[Tensor, "step record"]) -> Row:
        """Compute the epoch's means over the training images, each counted once.

        Raises:
            TrainingDiverged: the loss of a step is not finite.
        """
        self.step += len(batches)
        finite = record.isfinite().all(dim=1).cpu()
        if not bool(finite.all()):
            first = int((~finite).nonzero()[0])
            raise self._diverged(
                f"loss is {record[first, 0].item()} in step {self.step - len(batches) + first + 1}", epoch
            )
        sizes = torch.tensor([len(index) for index in batches], dtype=torch.float64)
        loss, elbo, reconstruction, kl = (sizes / sizes.sum() @ record.double().cpu()).tolist()
        return {"train.loss": loss} | bound_row("train", elbo, reconstruction, kl, self.vae.num_pixels)

    def update(self, index: Int64[Tensor, " batch"], progress: float) -> Float[Tensor, " record"]:
        """Take one step of Adam. Returns loss, bound, reconstruction and KL, left on the device."""
        x, noise = self.inputs(index)
        half = self.config.training.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            terms = self.objective(self.vae, x, noise, kl_weight=kl_weight(self.config, progress))
        self.optimizer.zero_grad(set_to_none=True)
        terms.loss.backward()
        if self.config.training.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.vae.parameters(), self.config.training.gradient_clip)
        self.optimizer.step()
        return torch.stack((terms.loss.detach(), terms.elbo, terms.reconstruction, terms.kl))

    def _diverged(self, what: str, epoch: int) -> TrainingDiverged:
        training, model = self.config.training, self.config.model
        return TrainingDiverged(
            f"replicate {self.number} diverged: {what} (epoch {epoch}), with training.learning_rate "
            f"{training.learning_rate:g}, training.batch_size {training.batch_size}, training.gradient_clip "
            f"{training.gradient_clip}, training.precision {training.precision}, model.latent_dim {model.latent_dim}, "
            f"objective {self.config.objective.name}, gradient.estimator {self.config.gradient.estimator}"
        )

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, as tensors and plain values."""
        return {
            "weights": self.vae.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "best_weights": self.best_weights,
            "plain": {key: getattr(self, key) for key in ("step", "seconds", "rows", "best_bound", "best_epoch")},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()` exactly: the same numbers as without the interruption."""
        self.vae.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.best_weights = {key: value.to(self.device) for key, value in state["best_weights"].items()}
        plain = dict(state["plain"])
        if "best_elbo" in plain:  # an older checkpoint, which chose by the ELBO whatever was trained
            elbo = plain.pop("best_elbo")
            plain["best_bound"] = elbo if self.trained_bound == "validation.elbo" else -math.inf
        vars(self).update(plain)


def trained_bound(config: TrialConfig) -> str:
    """The column of the history by which the best epoch is chosen: IWAE's own bound, and the ELBO of any other.

    A beta, free bits or a warm-up change what is minimised, but not the bound that is wanted.
    """
    objective = config.objective
    return f"validation.iwae_{objective.num_importance_samples}" if objective.name == "iwae" else "validation.elbo"


def initial_vae(config: TrialConfig, data: ImageData, number: int, max_decodes: int | None = None) -> VAE:
    """The replicate's VAE before training; the weights come from its own seed, on the CPU, whatever trains them."""
    generator = torch.Generator().manual_seed(replicate_seed(config.seed, number, "init"))
    vae = build_vae(config.model, image_shape=data.image_shape, levels=data.levels, generator=generator)
    vae.max_decodes = max_decodes
    return vae.to(torch.float64) if config.training.precision == "float64" else vae
