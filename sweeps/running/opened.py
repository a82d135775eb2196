"""A sweep that was opened: where and how it runs, and the resources, data and storage that it runs with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from pipeline.config import DataConfig, override
from pipeline.data.images import ImageData
from pipeline.data.images import load as load_data
from sweeps.machine.resources import resolve_resources
from sweeps.running import ray_session
from sweeps.running.worker import TrialFunction
from sweeps.specification.options import Resources
from sweeps.specification.spec import SweepSpec
from sweeps.storage import sweep_copy
from sweeps.storage.sweep_copy import SweepCopy

Data = Mapping[DataConfig, ImageData]


@dataclass(frozen=True)
class Setting:
    """Where and how a sweep runs on this machine; nothing here changes its results."""

    runs_dir: Path = Path("runs")
    data_dir: Path | None = None
    """Data sets, in torchvision's layout; default `$ELBOSWEEP_DATA`, else a cache folder in the home directory."""
    workers: int | None = None
    """Trials at the same time, in place of the specification's."""
    wandb: str | None = None
    """Mode of W&B in place of the specification's: `offline`, `online` or `disabled`."""
    address: str | None = None
    """An existing Ray cluster to run on; None starts a Ray on this machine."""
    storage: str | None = None
    """URL in place of the specification's storage."""
    command: str = ""
    """What was typed to start the sweep; it is kept in sweep.json."""
    console: Console | None = None
    """Where progress is shown; default standard error."""
    function: TrialFunction | None = None
    """Stands in for `pipeline.trial.run_trial` where training is not the point (tests, benchmarks)."""


@dataclass(frozen=True)
class OpenSweep:
    """What a sweep has once everything that it needs was found."""

    spec: SweepSpec
    folder: Path
    setting: Setting
    data: Data
    resources: Resources
    copy: SweepCopy | None
    """In the storage, for a sweep that has one."""

    @property
    def images(self) -> list[ImageData]:
        """All data sets, in the order in which the ranges name them."""
        return list(self.data.values())


@contextmanager
def opened(spec: SweepSpec, folder: Path, setting: Setting) -> Iterator[OpenSweep]:
    """Resolve resources, storage and data, joined to the cluster if there is one; fails before anything is written.

    Raises:
        ConfigError: no cluster at the address, too few GPUs, a storage that does not answer, missing data.
    """
    with ray_session.joined(setting.address):
        resources = resolve_resources(spec, setting.workers, ray_session.cluster(setting.address))
        storage = sweep_copy.opened(spec)
        data = load_all(spec, setting.data_dir)
        if setting.address is not None and storage is None:
            ray_session.check_shared(folder.parent)
        copy = None if storage is None else SweepCopy(folder, storage)
        yield OpenSweep(spec, folder, setting, data, resources, copy)


def load_all(spec: SweepSpec, data_dir: Path | None) -> Data:
    """Load every data set that the specification can ask for: missing data are found before anything starts."""
    ends = {key: value.ends for key, value in spec.parameters().items() if key.startswith("data.")}
    configs: dict[DataConfig, None] = {}
    for values in itertools.product(*ends.values()):
        tree = override(spec.base, dict(zip(ends, values)))
        configs[DataConfig.model_validate(tree["data"])] = None
    return {config: load_data(config, data_dir) for config in configs}
