"""The copy of a whole sweep in a storage: kept by the driver, brought back on another machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.config import ConfigError
from pipeline.files import read_json, write_text
from sweeps.layout import RECORD, SPEC, STATE, TRIALS, WANDB, trial_folder, trial_name
from sweeps.machine.watchdog import ERROR_FILE
from sweeps.specification.spec import SweepSpec
from sweeps.storage.mirror import Mirror
from sweeps.storage.storage import ERRORS, Storage, StorageError, reason


def opened(spec: SweepSpec) -> Storage | None:
    """The sweep's own folder in its storage, after a look whether it can be written."""
    if spec.storage is None:
        return None
    Storage.parse(spec.storage).check()
    return Storage.parse(spec.storage) / spec.name


def make_room(storage: Storage, name: str, *, force: bool) -> None:
    """A new sweep finds nothing of an older one of its name.

    Raises:
        ConfigError: there is one, and it may not be replaced.
    """
    with answering(storage):
        if storage.read(SPEC) is None:
            return
        if not force:
            raise ConfigError(f"{storage.url}: exists: say `elbosweep resume {name}`, or --force to replace it")
        storage.delete_all()


def bring(storage: Storage, name: str, folder: Path) -> None:
    """The record of a sweep that ran elsewhere, to go on with here; its trials follow in `SweepCopy.catch_up`."""
    with answering(storage):
        if storage.read(SPEC) is None:
            raise ConfigError(f"storage: {storage.url}: no such sweep, got {name!r}")
        mirror = Mirror(folder, storage)
        mirror.pull(lambda file, size: of_driver(file) and file != SPEC)
        mirror.pull(lambda file, size: file == SPEC)  # last: half a sweep is none


@contextmanager
def answering(storage: Storage) -> Iterator[None]:
    """Before a sweep starts, a storage that does not answer is bad input: one line."""
    try:
        yield
    except StorageError as error:
        raise ConfigError(str(error)) from None
    except ERRORS as error:
        raise ConfigError(f"storage: {storage.url}: {reason(error)}") from None


class SweepCopy:
    """What the driver keeps in the storage, and what it takes from there."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        self.folder, self.storage = folder, storage
        self._mirror = Mirror(folder, storage, pushes=of_driver)
        self._behind = False

    def catch_up(self) -> None:
        """Before a sweep goes on: the later record wins, here or there; trials are brought here, unless only here."""
        with answering(self.storage):
            stored = self.storage.files()
            trials = {name.split("/")[1] for name in stored if name.startswith(f"{TRIALS}/")}
            for path in sorted(self.folder.glob(f"{TRIALS}/*")):
                if path.name not in trials:
                    Mirror(path, self.storage / TRIALS / path.name).push()
            self._pull(stored, later=self._is_later())

    def _pull(self, stored: dict[str, int], *, later: bool) -> None:
        def wanted(name: str, size: int) -> bool:
            path = self.folder / name
            if of_driver(name) and not name.startswith(f"{WANDB}/"):
                return later or not path.exists()
            return not path.exists() or path.stat().st_size != size

        self._mirror.pull(wanted, listed=stored)

    def _is_later(self) -> bool:
        """Whether the copy was written after the record here, by a sweep that went on elsewhere."""
        content = self.storage.read(STATE)
        if content is None or not (self.folder / STATE).exists():
            return content is not None
        try:
            state: dict[str, Any] = json.loads(content)
        except ValueError:
            return False
        return str(state.get("ended", "")) > str(read_json(self.folder / STATE).get("ended", ""))

    def push(self, warn: Callable[[str], None], *, final: bool = False) -> None:
        """Bring the record up to date there. What fails is said once and tried again the next time."""
        self._mirror.pushes = of_driver if final else _of_running_driver
        try:
            self._mirror.push()
            self._behind = False
        except StorageError as error:
            if not self._behind or final:
                warn(f"{error}; the copy is behind, {self.folder} is the record")
            self._behind = True

    def fetch(self, number: int) -> None:
        """Bring a trial's folder here when it is over; why that failed is written where its error would be."""
        mirror = Mirror(trial_folder(self.folder, number), self.storage / TRIALS / trial_name(number))
        (mirror.local / ERROR_FILE).unlink(missing_ok=True)
        try:
            mirror.pull(lambda file, size: file != RECORD)
        except StorageError as error:
            write_text(mirror.local / ERROR_FILE, f"{error}\n")


def of_driver(name: str) -> bool:
    """Whether the driver writes a file, given by its name inside the sweep's folder; workers write all others."""
    return not name.startswith(f"{TRIALS}/") or name.endswith(f"/{RECORD}")


def _of_running_driver(name: str) -> bool:
    """W&B's files grow with every epoch of every trial: they go once, at the end."""
    return of_driver(name) and not name.startswith(f"{WANDB}/")
