"""The cores and GPUs that a sweep may use, and how many trials share them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.config import ConfigError
from sweeps.specification.options import Resources
from sweeps.specification.spec import SweepSpec


def available_cores() -> int:
    """Cores that this process may use: fewer than the machine has, in a container or a batch job."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def resolve_resources(
    spec: SweepSpec, workers: int | None = None, cluster: Mapping[str, float] | None = None
) -> Resources:
    """Turn `auto` into numbers: several trials on each GPU where there are any, else one of one thread on each core.

    The threads of a trial do not depend on the number of workers, since they can change the last digits of its result.

    Args:
        workers: number of workers in place of the specification's.
        cluster: what an existing Ray cluster has, by Ray's names (`CPU`, `GPU`); default this machine. A cluster may
            grow, so that more can be asked of it than it has.

    Raises:
        ConfigError: this machine has fewer GPUs than are asked for.
    """
    cores = available_cores() if cluster is None else max(1, int(cluster.get("CPU", 1)))
    gpus = _gpus() if cluster is None else int(cluster.get("GPU", 0))
    chosen = spec.resources if isinstance(spec.resources, Resources) else _auto(cores, gpus)
    if workers is not None:
        chosen = chosen.model_copy(update={"workers": workers})
    if cluster is None and chosen.gpus and not gpus:
        raise ConfigError(f"resources.gpus: this machine has 0 GPUs, got {chosen.gpus:g}")
    if cluster is None and gpus_needed(chosen) > gpus:
        wanted = f"{chosen.workers} workers with {chosen.gpus:g} GPUs each need {gpus_needed(chosen)}"
        raise ConfigError(f"resources: this machine has {gpus} GPUs, {wanted}: ask for fewer workers")
    return chosen


def gpus_needed(resources: Resources) -> int:
    """Whole GPUs that all workers take: a fraction is a part of one GPU, never of two."""
    if resources.gpus == 0:
        return 0
    if resources.gpus >= 1:
        return resources.workers * int(resources.gpus)
    # Ray counts in units of 1/10,000.
    per_gpu = 10_000 // max(1, round(resources.gpus * 10_000))
    return math.ceil(resources.workers / per_gpu)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _auto(cores: int, gpus: int) -> Resources:
    if not gpus:
        return Resources(workers=cores, cpus=1)
    per_gpu = max(1, min(4, cores // gpus))
    return Resources(workers=gpus * per_gpu, cpus=1, gpus=1 / per_gpu)
