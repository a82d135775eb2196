"""The folders of sweeps: found by name, locked by their one driver, read by everybody else."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.config import ConfigError, read_yaml
from pipeline.files import read_json
from sweeps.layout import LOCK, SPEC, STATE
from sweeps.record.ledger import Ledger
from sweeps.record.tables import collect
from sweeps.specification.reading import parse
from sweeps.specification.spec import NAME_PATTERN, SweepSpec


def to_resume(folder: Path) -> str:
    """The command that goes on with a sweep, as it must be typed here."""
    usual = Path(os.environ.get("ELBOSWEEP_RUNS", "runs")).resolve()
    where = "" if folder.parent.resolve() == usual else f" --runs-dir {shlex.quote(str(folder.parent))}"
    return f"elbosweep resume {folder.name}{where}"


def find(name: str, runs_dir: Path) -> Path:
    """The folder of an existing sweep.

    Raises:
        ConfigError: the name is none, or there is no such sweep; names those that there are.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(f"name: must be letters, digits, '.', '_' or '-', got {name!r}")
    folder = runs_dir.resolve() / name
    if not (folder / SPEC).is_file():
        existing = ", ".join(names(runs_dir)) or "none"
        raise ConfigError(f"{folder}: no such sweep, got {name!r}; there are: {existing}")
    return folder


def names(runs_dir: Path) -> list[str]:
    """Names of all sweeps in the runs folder, in order."""
    return sorted(path.parent.name for path in runs_dir.glob(f"*/{SPEC}") if not path.parent.name.startswith("."))


def read_spec(folder: Path) -> SweepSpec:
    """The specification that a sweep goes on with, checked completely."""
    return parse(read_yaml(folder / SPEC), str(folder / SPEC))


def spec_to_read_by(folder: Path) -> SweepSpec:
    """The specification, to look at what a sweep left; a damaged spec.yaml does not stand in the way.

    sweep.json holds the one that the sweep was last started with; the reader is told. To go on, `read_spec`.
    """
    try:
        return read_spec(folder)
    except ConfigError as error:
        state = folder / STATE
        written = read_json(state).get("spec") if state.is_file() else None
        if not isinstance(written, dict):
            raise
        spec = parse(written, str(state))
        print(f"elbosweep: warning: {str(error).splitlines()[0]}; read from {state.name} instead", file=sys.stderr)
        return spec


def refresh(name: str, runs_dir: Path) -> tuple[Path, SweepSpec, Ledger]:
    """An existing sweep, its tables brought up to date with the trials' folders (after a kill they are behind)."""
    folder = find(name, runs_dir)
    spec = spec_to_read_by(folder)
    ledger = Ledger(folder, *spec.search.modes)
    if not running(folder):
        collect(ledger, spec)
    return folder, spec, ledger


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One driver at a time; the lock goes with the process, however that ends."""
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"{folder}: another process runs this sweep at the moment") from None
        yield


def running(folder: Path) -> bool:
    """Whether a driver is at work on the sweep."""
    try:
        with locked(folder):
            return False
    except ConfigError:
        return True


def remove(folder: Path) -> None:
    """Make room for a new sweep of the same name, if the old folder is a sweep and nobody is at work on it."""
    if not (folder / SPEC).is_file():
        raise ConfigError(f"{folder}: exists and is not a sweep (no {SPEC}): choose another name or move it away")
    with locked(folder):
        aside = folder.with_name(f".{folder.name}.replaced-{os.getpid()}")
        os.replace(folder, aside)
    shutil.rmtree(aside)
