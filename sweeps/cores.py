"""How many cores there are to use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def available_cores() -> int:
    """Cores that this process may use: fewer than the machine has, in a container or a batch job."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores
