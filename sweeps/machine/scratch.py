"""Temporary folders that are removed with their process or, after a SIGKILL, at the start of the next sweep."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "elbosweep"
OWNER = ".owner"
"""A file in each folder, locked for as long as its process lives; that also holds across containers with one /tmp."""

_own: set[Path] = set()


@contextmanager
def folder() -> Iterator[Path]:
    """Make a temporary folder named by this process; remove those of processes that are gone."""
    remove_abandoned()
    # Inside `home` the name is short: the paths of Ray's sockets must not become long.
    prefix = "" if Path(tempfile.gettempdir()) in _own else f"{PREFIX}-{os.getpid()}-"
    path = Path(tempfile.mkdtemp(prefix=prefix))
    _own.add(path)
    with (path / OWNER).open("w") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        try:
            yield path
        finally:
            remove(path)


@contextmanager
def home() -> Iterator[None]:
    """Put all temporary files of this process and of the programs that it starts (Ray's workers, W&B's service) into
    one folder, so that after a kill the next start finds and removes them all.

    For the command line only: W&B keeps the folder's name from its import to the end of the process, and a program
    that runs a second sweep would give it a folder that is gone.
    """
    with folder() as path:
        before = tempfile.tempdir, os.environ.get("TMPDIR")
        tempfile.tempdir = os.environ["TMPDIR"] = str(path)
        try:
            yield
        finally:
            tempfile.tempdir = before[0]
            if before[1] is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before[1]


def remove(path: Path) -> None:
    """Remove a folder of this process."""
    shutil.rmtree(path, ignore_errors=True)
    _own.discard(path)


def remove_own() -> None:
    """Remove every folder of this process, where there is no time for a clean end."""
    for path in list(_own):
        remove(path)


def remove_abandoned() -> None:
    """Remove the folders of this user whose process is gone."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}-[0-9]*-*"):
        if _abandoned(path):
            shutil.rmtree(path, ignore_errors=True)


def _abandoned(path: Path) -> bool:
    pid = path.name.split("-")[1]
    try:
        if path.is_symlink() or path.stat().st_uid != os.getuid() or not pid.isdigit() or _alive(int(pid)):
            return False
        with (path / OWNER).open("a") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # Locked by a process of another container; or removed since; or its process was killed before it made the lock.
        return path.is_dir() and not (path / OWNER).exists()
    return True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
