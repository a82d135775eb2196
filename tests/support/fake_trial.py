"""Stands in for training where the orchestration is the point: same folder, same reports, no torch in the loop.

`run_trial` behaves well and takes no time. `FakeTrial` is told which trials misbehave and how long an epoch takes:

    FakeTrial({"raise": {"model.latent_dim": 4}}, seconds=0.3)

It is plain data: it goes to Ray's workers with the sweep's function, and as JSON to a program of its own (SWEEP).
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.config import TrialConfig, config_hash, flatten
from pipeline.files import write_json, write_rows

SWEEP = Path(__file__).with_name("fake_sweep.py")
"""A whole sweep of fake trials as a program."""
BAD_EPOCH = 2
"""The epoch in which a misbehaviour shows; the first one has been reported by then."""
HELD_EPOCH = 3
"""The epoch after which a trial waits that is held."""
DISK_FULL_WHILE = "full"
"""Name of the file in the sweep's folder; while it exists, the disk is full."""

Misbehaviour = Literal[
    "raise",  # an exception, in the first attempt only
    "die",  # the worker's process ends, in the first attempt only
    "not_finite",  # the bound is not a number
    "hang",  # a call that no Python signal interrupts
    "out_of_memory",  # Python's own exception
    "disk_full",  # as long as the sweep's folder has a file DISK_FULL_WHILE
    "die_after",  # the worker's process ends soon after the trial, as it takes over the next one
]
Condition = Mapping[str, Any]
"""Values of the trial's configuration by dotted key, all of which must agree; an empty one holds for every trial."""


def bound(config: TrialConfig) -> float:
    """A smooth function of the configuration, best at 8 dimensions and a learning rate of 1e-3; noise by replicate."""
    shape = (math.log(config.model.latent_dim) - math.log(8)) ** 2
    rate = (math.log(config.training.learning_rate) - math.log(1e-3)) ** 2
    return -100.0 - 10 * shape - rate - 0.01 * config.first_replicate


def epoch_metrics(value: float) -> dict[str, float]:
    """What a trial reports after an epoch in which its bound was `value`."""
    names = ("elbo", "reconstruction", "kl", "bits_per_dim")
    splits = {f"{split}.{name}": value for split in ("train", "validation") for name in names}
    return splits | {"train.loss": -value, "training.learning_rate": 1e-3, "seconds": 0.1}


@dataclass(frozen=True)
class FakeTrial:
    """A trial function that reports each epoch, goes on from its own checkpoint and misbehaves as it is told."""

    misbehaviours: Mapping[str, Condition] = field(default_factory=dict)
    """Which trials misbehave: a `Misbehaviour` and the condition on the trial's configuration."""
    seconds: float = 0.0
    """How long an epoch takes."""
    held_while: str = ""
    """Path of a file; while it exists, no trial goes beyond the epoch HELD_EPOCH."""

    def __post_init__(self) -> None:
        if unknown := self.misbehaviours.keys() - set(get_args(Misbehaviour)):
            raise ValueError(f"misbehaviours must be among {get_args(Misbehaviour)}, got {sorted(unknown)}")

    @classmethod
    def from_json(cls, text: str) -> FakeTrial:
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def __call__(
        self, config: TrialConfig, folder: Path, *, report: Callable[[int, dict[str, float]], None], **ignored: Any
    ) -> None:
        if (folder / "result.json").is_file():
            return
        checkpoint = folder / "epoch.json"
        first = json.loads(checkpoint.read_text())["epoch"] + 1 if checkpoint.exists() else 1
        with (folder / "starts.jsonl").open("a") as file:
            file.write(json.dumps({"pid": os.getpid(), "first": first}) + "\n")
        told = self._told(config)
        value, epochs = bound(config), config.training.epochs
        for epoch in range(first, epochs + 1):
            time.sleep(self.seconds)
            write_json(checkpoint, {"epoch": epoch})
            _misbehave(told, epoch, checkpoint)
            report(epoch, epoch_metrics(value - (epochs - epoch)))
            while epoch == HELD_EPOCH and self.held_while and Path(self.held_while).exists():
                time.sleep(0.02)
        _write_record(config, folder, value, float("nan") if "not_finite" in told else value)
        if "die_after" in told:
            # Later from trial to trial: now before, now while the worker takes over the next one.
            threading.Timer(0.01 * (1 + int(folder.name)), os._exit, (1,)).start()

    def _told(self, config: TrialConfig) -> set[str]:
        """The misbehaviours whose condition this configuration meets."""
        values = flatten(config)
        return {
            name
            for name, condition in self.misbehaviours.items()
            if all(values[key] == value for key, value in condition.items())
        }


run_trial = FakeTrial()
"""The one that behaves."""


def _misbehave(told: set[str], epoch: int, checkpoint: Path) -> None:
    if "raise" in told and epoch == BAD_EPOCH:
        raise RuntimeError("asked to raise")
    if "die" in told and epoch == BAD_EPOCH:
        os._exit(1)
    if "hang" in told and epoch >= BAD_EPOCH:
        re.match(r"(a+)+$", "a" * 64 + "b")
    if "out_of_memory" in told and epoch >= BAD_EPOCH:
        raise MemoryError("cannot allocate 3 TB")
    if "disk_full" in told and epoch == BAD_EPOCH and (checkpoint.parents[2] / DISK_FULL_WHILE).exists():
        raise OSError(errno.ENOSPC, "No space left on device", str(checkpoint))


def _write_record(config: TrialConfig, folder: Path, value: float, validation: float) -> None:
    """What a finished trial leaves in its folder."""
    epochs = config.training.epochs
    replicates = range(config.first_replicate, config.first_replicate + config.replicates)
    write_rows(
        folder / "history.jsonl",
        [
            {"replicate": replicate, "epoch": epoch, "step": epoch, **epoch_metrics(value - (epochs - epoch))}
            for replicate in replicates
            for epoch in range(1, epochs + 1)
        ],
    )
    write_rows(
        folder / "replicates.jsonl",
        [{"replicate": replicate, "seed": replicate, "status": "finished"} for replicate in replicates],
    )
    write_json(
        folder / "result.json",
        {
            "schema": 1,
            "status": "finished",
            "config_hash": config_hash(config),
            "config": flatten(config),
            "metrics": {"validation.elbo": validation, "test.elbo": value - 1},
            "suspect": [],
            "seconds": {"training": 0.1, "evaluation": 0.0, "variance": 0.0, "total": 0.1},
            "environment": {"device": "cpu", "threads": 1},
        },
    )
