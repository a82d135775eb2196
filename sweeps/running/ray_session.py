"""A Ray to run trials on: one of the sweep's own on this machine, gone without a trace at its end; or a cluster."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import ray
from ray._private import parameter
from ray._private.utils import read_ray_address
from ray.tune.execution import class_cache
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import pipeline
import sweeps
from pipeline.config import ConfigError
from sweeps.machine import scratch
from sweeps.machine.resources import gpus_needed
from sweeps.specification.options import Resources
from sweeps.storage.workplace import NOT_SHARED

SHORTEST_SOCKET_PATH = 40
"""Characters that Ray's folder may have so that its sockets stay below the system's limit (107)."""
REACH_SECONDS = 5.0
NODE_SECONDS = 60.0
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
HTTP2_SETTINGS = b"\4"
"""Ray's server speaks gRPC, and so HTTP/2: client and server open with a frame of type 4 (RFC 9113, section 3.4)."""
FOR_WORKERS = (
    "RAY_AIR_NEW_OUTPUT",
    "RAY_CHDIR_TO_TRIAL_DIR",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO",
    "MALLOC_ARENA_MAX",
    "MALLOC_MMAP_MAX_",
    "MALLOC_TRIM_THRESHOLD_",
)
"""Environment variables, set by `sweeps`, that workers on other nodes need: theirs is otherwise their node's."""
PRELOADED = ("ray.tune", "sweeps.running.worker", "pipeline.trial.run")
"""Modules that every worker imports while Ray is still starting: seconds that its first trial need not wait."""


@contextmanager
def local_ray(resources: Resources) -> Iterator[None]:
    """Start a Ray on this machine that prints nothing and leaves nothing; use the one that runs already, if any."""
    if ray.is_initialized():
        yield
        return
    _silence()
    with scratch.folder() as folder:
        own: dict[str, Any] = {"_temp_dir": str(folder)} if len(str(folder)) <= SHORTEST_SOCKET_PATH else {}
        with _quick_start():
            try:
                ray.init(
                    address="local",
                    num_cpus=resources.workers * resources.cpus,
                    num_gpus=gpus_needed(resources),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    _node_ip_address="127.0.0.1",
                    _system_config={"preload_python_modules": list(PRELOADED)},
                    **own,
                )
                yield
            finally:
                ray.shutdown()


@contextmanager
def _quick_start() -> Iterator[None]:
    """Start Ray without what costs seconds and is of no use here, for which `ray.init` and Tune have no argument.

    The autoscaler and the reader of log files are two programs; `ray start` has options to leave them out. And Tune
    asks for workers with some of the driver's environment variables set: the workers that Ray starts first have them
    anyway, but Ray would put those aside and start others, which import everything once more.
    """
    fewer: Any = partial(parameter.RayParams, no_monitor=True, include_log_monitor=False)  # type: ignore[arg-type]
    with (
        _replaced(parameter, "RayParams", fewer),
        _replaced(class_cache, "DEFAULT_ENV_VARS", {}),
        _replaced(class_cache, "ENV_VARS_TO_PROPAGATE", set()),
    ):
        yield


@contextmanager
def _replaced(module: ModuleType, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """Connect to an existing cluster, and leave it as it was; without an address nothing happens.

    The code of this project travels with the connection; all other packages must be installed on the nodes.

    Raises:
        ConfigError: there is no Ray at `address`, or this machine is not part of it.
    """
    if address is None:
        yield
        return
    _silence()
    head = _find(address)
    _check_that_it_answers(head)
    packages = [str(Path(package.__path__[0]).resolve()) for package in (pipeline, sweeps)]
    environment = {name: os.environ[name] for name in FOR_WORKERS if name in os.environ}
    try:
        ray.init(
            address=head,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            runtime_env={"py_modules": packages, "excludes": ["__pycache__"], "env_vars": environment},
        )
    except Exception as error:  # Ray raises all kinds
        raise ConfigError(f"--address: {head}: {_first_line(error)}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _find(address: str) -> str:
    """The head's HOST:PORT; `auto` stands for $RAY_ADDRESS, or what `ray start` left on this node.

    Ray's own `auto` takes any Ray that runs on the machine, and so that of another sweep.
    """
    if address != "auto":
        return address
    head = os.environ.get("RAY_ADDRESS") or read_ray_address()
    if not head:
        raise ConfigError("--address: auto: no Ray was started on this machine with `ray start`")
    return head


def _check_that_it_answers(address: str) -> None:
    """Fail within seconds where there is no Ray: Ray itself would wait for a minute, and then end the process."""
    if address.startswith("ray://"):
        raise ConfigError(
            f"--address: {address}: Ray's client would run the sweep on the head node, away from its folder: "
            "run elbosweep on a node of the cluster (or by `ray job submit`) with --address auto"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"--address: must be auto or HOST:PORT, got {address!r}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS) as connection:
            connection.sendall(HTTP2_HELLO)
            answer = connection.recv(9)
    except TimeoutError:
        answer = b""
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"--address: {address}: cannot be reached: {getattr(error, 'strerror', None) or error}"
        ) from None
    if answer[3:4] != HTTP2_SETTINGS:
        raise ConfigError(f"--address: {address}: is not a Ray cluster")


def cluster(address: str | None) -> dict[str, float] | None:
    """The resources of the joined cluster, by Ray's names; None without one."""
    return None if address is None else dict(ray.cluster_resources())


def check_shared(runs_dir: Path) -> None:
    """Check that every node of the joined cluster sees the runs folder, for a sweep without a storage.

    Raises:
        ConfigError: names the nodes that do not.
    """
    runs_dir.mkdir(parents=True, exist_ok=True)
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    look = ray.remote(num_cpus=0)(node_sees)
    with tempfile.NamedTemporaryFile(dir=runs_dir, prefix=".shared-") as file:
        answers = []
        for node in nodes:
            on_node = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            answers.append(look.options(scheduling_strategy=on_node).remote(file.name))
        try:
            seen = ray.get(answers, timeout=NODE_SECONDS)
        except ray.exceptions.RayError as error:
            raise ConfigError(f"--address: a node of the cluster cannot run our code: {_first_line(error)}") from None
    if blind := [node["NodeManagerAddress"] for node, answer in zip(nodes, seen) if not answer]:
        raise ConfigError(f"{runs_dir}: on node {', '.join(blind)}: {NOT_SHARED}")


def node_sees(path: str) -> bool:
    """Whether a path exists where this runs: on one node after the other."""
    return Path(path).exists()


def _silence() -> None:
    for name in ("ray", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
