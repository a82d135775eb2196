"""A Ray to run trials on: one of our own on this machine, silent, and gone without a trace at the end."""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from sweeps.options import Resources

SHORTEST_SOCKET_PATH = 40
"""Characters that Ray's folder may have so that its sockets stay below the system's limit (107)."""


@contextmanager
def session(resources: Resources) -> Iterator[None]:
    """A Ray of our own on this machine, silent, gone without a trace at the end; or the one that runs already."""
    if ray.is_initialized():
        yield
        return
    for name in ("ray", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    scratch = tempfile.mkdtemp(prefix="ray-")
    own_folder: dict[str, Any] = {"_temp_dir": scratch} if len(scratch) <= SHORTEST_SOCKET_PATH else {}
    try:
        ray.init(
            address="local",
            num_cpus=resources.workers * resources.cpus,
            num_gpus=math.ceil(resources.workers * resources.gpus),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            _node_ip_address="127.0.0.1",
            **own_folder,
        )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)
