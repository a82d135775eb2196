"""What there is to compute with, and how a sweep uses it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from sweeps.options import Resources
from sweeps.spec import SweepSpec


def available_cores() -> int:
    """Cores that this process may use: fewer than the machine has, in a container or a batch job."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def resolve_resources(spec: SweepSpec, workers: int | None = None) -> Resources:
    """`auto`: several trials on each GPU where there are any, else one trial with one thread on each core.

    The threads of a trial do not depend on the number of workers, since they can change the last digits of its result.
    """
    chosen = spec.resources if isinstance(spec.resources, Resources) else _auto()
    return chosen.model_copy(update={"workers": workers}) if workers is not None else chosen


def _auto() -> Resources:
    import torch

    cores, gpus = available_cores(), torch.cuda.device_count()
    if not gpus:
        return Resources(workers=cores, cpus=1)
    per_gpu = max(1, min(4, cores // gpus))
    return Resources(workers=gpus * per_gpu, cpus=1, gpus=1 / per_gpu)
