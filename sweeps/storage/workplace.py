"""Where a worker writes its trial: in the sweep's folder on a shared disk, or in a scratch folder with a copy in the
storage."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sweeps.layout import RECORD, TRIALS, trial_name
from sweeps.storage.mirror import Mirror
from sweeps.storage.storage import Storage

NOT_SHARED = "the runs folder is not on a disk that this node shares: give the sweep a storage"


class NotSharedError(RuntimeError):
    """The folder that the driver made cannot be seen from this node."""


@contextmanager
def workplace(trials: Path, storage: Storage | None, number: int) -> Iterator[tuple[Path, Callable[[], object]]]:
    """The folder of a trial as it was left, and what brings its changes to safety (called after each epoch).

    Raises:
        NotSharedError: there is no storage, and the driver's folder is not here.
        StorageError: the storage does not answer; the trial may be tried again.
    """
    name = trial_name(number)
    if storage is None:
        if not (trials / name / RECORD).is_file():
            raise NotSharedError(f"{trials}: {NOT_SHARED}")
        yield trials / name, lambda: None
        return
    # Named by its process: what a killed one left behind can be told from what is in use.
    with tempfile.TemporaryDirectory(prefix=f"elbosweep-{os.getpid()}-") as parent:
        mirror = Mirror(Path(parent, name), storage / TRIALS / name, pushes=_of_worker)
        mirror.local.mkdir()
        mirror.pull(lambda file, size: _of_worker(file))
        try:
            yield mirror.local, mirror.push
        finally:
            mirror.push()


def _of_worker(file: str) -> bool:
    return file != RECORD
