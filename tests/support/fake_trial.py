"""Stands in for training where the orchestration is the point: same folder, same reports, no torch in the loop."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.config import TrialConfig, config_hash, flatten
from pipeline.files import write_json, write_rows

SWEEP = Path(__file__).with_name("fake_sweep.py")
"""A whole sweep of fake trials as a program."""


def bound(config: TrialConfig) -> float:
    """A smooth function of the configuration, best at 8 dimensions and a learning rate of 1e-3; noise by replicate."""
    shape = (math.log(config.model.latent_dim) - math.log(8)) ** 2
    rate = (math.log(config.training.learning_rate) - math.log(1e-3)) ** 2
    return -100.0 - 10 * shape - rate - 0.01 * config.first_replicate


def epoch_metrics(value: float) -> dict[str, float]:
    names = ("elbo", "reconstruction", "kl", "bits_per_dim")
    splits = {f"{split}.{name}": value for split in ("train", "validation") for name in names}
    return splits | {"train.loss": -value, "training.learning_rate": 1e-3, "seconds": 0.1}


def run_trial(
    config: TrialConfig,
    folder: Path,
    *,
    report: Callable[[int, dict[str, float]], None],
    wait: bool = True,
    **ignored: Any,
) -> None:
    """Reports each epoch, goes on from its own checkpoint, misbehaves where the configuration asks for it.

    `objective.free_bits` selects the misbehaviour: 1 raises, 2 kills the worker, 3 gives a bound that is not finite,
    4 hangs outside Python, 5 runs out of memory, 6 finds the disk full as long as the sweep's folder has a file `full`,
    7 kills the worker soon after its end, as it takes over the next trial.
    `training.gradient_clip` is how many seconds an epoch takes.
    """
    if (folder / "result.json").is_file():
        return
    checkpoint = folder / "epoch.json"
    first = json.loads(checkpoint.read_text())["epoch"] + 1 if checkpoint.exists() else 1
    with (folder / "starts.jsonl").open("a") as file:
        file.write(json.dumps({"pid": os.getpid(), "first": first}) + "\n")
    misbehaviour = getattr(config.objective, "free_bits", 0.0)
    value, epochs = bound(config), config.training.epochs
    for epoch in range(first, epochs + 1):
        time.sleep((config.training.gradient_clip or 0.0) if wait else 0.0)
        write_json(checkpoint, {"epoch": epoch})
        if misbehaviour == 1 and epoch == 2:
            raise RuntimeError("asked to raise")
        if misbehaviour == 2 and epoch == 2:
            os._exit(1)
        if misbehaviour == 4 and epoch >= 2:
            re.match(r"(a+)+$", "a" * 64 + "b")
        if misbehaviour == 5 and epoch >= 2:
            raise MemoryError("cannot allocate 3 TB")
        if misbehaviour == 6 and epoch == 2 and (folder.parents[1] / "full").exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(checkpoint))
        report(epoch, epoch_metrics(value - (epochs - epoch)))
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
            "metrics": {"validation.elbo": float("nan") if misbehaviour == 3 else value, "test.elbo": value - 1},
            "suspect": [],
            "seconds": {"training": 0.1, "evaluation": 0.0, "variance": 0.0, "total": 0.1},
            "environment": {"device": "cpu", "threads": 1},
        },
    )
    if misbehaviour == 7:
        threading.Timer(0.005 * config.model.latent_dim, os._exit, (1,)).start()
