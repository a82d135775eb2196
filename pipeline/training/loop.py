"""The epoch loop: the replicates of one configuration, trained in lockstep, one record per replicate and epoch.

Nothing here knows a tracker, a folder or an orchestrator: `Training.run` yields rows and the caller decides what to do
with them. Every replicate draws from its own generators, so its numbers do not depend on how many others there are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

from pipeline.config import ConfigError, TrialConfig, fusable
from pipeline.data.images import ImageData
from pipeline.training.fused import Stack
from pipeline.training.precision import NEEDS_CUDA, tf32
from pipeline.training.replicate import Replicate, Row
from pipeline.training.schedules import kl_weight


def _fuses(config: TrialConfig, device: torch.device) -> bool:
    """Whether the replicates train as one model: never a single one, and only where that is faster."""
    fused = config.training.fused_replicates
    return config.replicates > 1 and (
        fused == "always" or (fused == "auto" and device.type == "cuda" and fusable(config))
    )


class Training:
    """All replicates of a trial, which advance together, so that means over seeds exist at every epoch."""

    def __init__(
        self, config: TrialConfig, data: ImageData, device: torch.device | str = "cpu", max_decodes: int | None = None
    ) -> None:
        device = torch.device(device)
        if config.training.precision in NEEDS_CUDA and device.type != "cuda":
            raise ConfigError(
                f"training.precision {config.training.precision!r} needs a CUDA device, got {device.type!r}"
            )
        self.config, self.epoch = config, -1
        """The last epoch that every replicate has completed; epoch 0 is the model before training, -1 nothing yet."""
        numbers = range(config.first_replicate, config.first_replicate + config.replicates)
        data = data.to(device)
        self.replicates = [Replicate(config, data, number, device, max_decodes) for number in numbers]
        self.fused = _fuses(config, device) and max_decodes is None

    def run(self) -> Iterator[list[Row]]:
        """Advance to the last epoch, and yield after each one the rows of all replicates.

        Raises:
            TrainingDiverged: one replicate has no finite loss.
        """
        while self.epoch < self.config.training.epochs:
            if self.fused and self.epoch >= 0:
                rows = self._advance_fused(self.epoch + 1)
            else:
                rows = [replicate.advance(self.epoch + 1) for replicate in self.replicates]
            self.epoch += 1
            yield rows

    def _advance_fused(self, epoch: int) -> list[Row]:
        """Train one epoch of all replicates at once; each has its own generator, used as in its solo run."""
        started, training = time.perf_counter(), self.config.training
        stack = Stack(
            [replicate.vae for replicate in self.replicates],
            [replicate.optimizer for replicate in self.replicates],
            self.replicates[0].objective,
            clip=training.gradient_clip,
            half=training.precision == "bfloat16",
        )
        orders = [replicate.batches() for replicate in self.replicates]
        records = []
        with tf32(training.precision == "tf32"):
            for i, indices in enumerate(zip(*orders)):
                inputs = [replicate.inputs(index) for replicate, index in zip(self.replicates, indices)]
                x, noise = (torch.stack(parts) for parts in zip(*inputs))
                records.append(stack.update(x, noise, kl_weight(self.config, epoch - 1 + i / len(orders[0]))))
        stack.unstack()
        record = torch.stack(records, dim=1)
        seconds = (time.perf_counter() - started) / len(self.replicates)
        return [
            replicate.close(epoch, replicate.trained(epoch, order, steps), seconds)
            for replicate, order, steps in zip(self.replicates, orders, record)
        ]

    @property
    def finished(self) -> bool:
        """Whether the last epoch is completed."""
        return self.epoch >= self.config.training.epochs

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, as tensors and plain values."""
        return {"epoch": self.epoch, "replicates": [replicate.state() for replicate in self.replicates]}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`: the same numbers as without the interruption."""
        self.epoch = state["epoch"]
        for replicate, saved in zip(self.replicates, state["replicates"], strict=True):
            replicate.restore(saved)
